//! Acknowledging: the relay against a server that only appends and syncs, and one that only answers.

use crate::baseline::Baseline;
use crate::process::processor_time;
use crate::relayed::{Relay, refusing};
use crate::table::{Row, ratios};
use crate::{CONNECTIONS, Effort, load};

const SERVERS: [&str; 3] = [
    "a bare hyper server that reads and answers",
    "the relay with a raw file for a queue, appended to and synced",
    "the relay, two destinations",
];

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let mut rates = [const { Vec::new() }; 3];
    let mut costs = [const { Vec::new() }; 3];
    for which in effort.in_turn(SERVERS.len()) {
        let (rate, cost) = run(which, effort.requests);
        rates[which].push(rate);
        costs[which].push(cost);
    }
    let [bare, raw, relay] = &rates;
    let mut rows = vec![
        Row::new("the relay, of the raw file", ratios(relay, raw), 2).at_least(0.85),
        Row::new("the relay, of the bare server", ratios(relay, bare), 2).at_least(0.45),
    ];
    for ((name, rates), costs) in SERVERS.iter().zip(rates).zip(costs) {
        rows.push(Row::new(format!("acknowledged a second: {name}"), rates, 0));
        rows.push(Row::new("… its processor time a request, µs", costs, 1));
    }
    rows
}

/// What the bare server does a second.
pub(crate) fn bare(requests: usize) -> f64 {
    run(0, requests).0
}

/// Requests a second, and the server's processor time for each in microseconds.
fn run(which: usize, requests: usize) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let pushes = load::requests(requests);
    let (took, used) = match which {
        0 | 1 => {
            let folder = folder.path().display().to_string();
            let server = Baseline::start(["bare", "raw"][which], &[("BENCH_FOLDER", folder)]);
            let before = processor_time(&server.process);
            let took = load::run(server.address, CONNECTIONS, pushes);
            (took, processor_time(&server.process) - before)
        }
        _ => {
            let relay = Relay::start(folder.path(), &refusing(2));
            let before = processor_time(&relay.process);
            let took = load::run(relay.hooks, CONNECTIONS, pushes);
            (took, processor_time(&relay.process) - before)
        }
    };
    let requests = requests as f64;
    (
        requests / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / requests,
    )
}
