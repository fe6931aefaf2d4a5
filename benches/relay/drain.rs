//! Draining: a backlog goes to two strict destinations of Gogs' format, everything is recorded.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::process::processor_time;
use crate::relayed::Relay;
use crate::sink::Sink;
use crate::table::{Row, ratios};
use crate::{CONNECTIONS, Effort, acknowledge, load};

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let (mut bare, mut rates, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        bare.push(acknowledge::bare(effort.requests));
        let (rate, cost) = drain(effort.requests);
        rates.push(rate);
        costs.push(cost);
    }
    vec![
        Row::new("draining, of the bare server", ratios(&rates, &bare), 2).at_least(0.2),
        Row::new("drained: deliveries a second to two destinations", rates, 0),
        Row::new("… the relay's processor time a delivery, µs", costs, 1),
    ]
}

/// Fills a backlog of so many signed 3 KB pushes while both destinations refuse connections, and
/// drains it to a sink by a relay that is started anew: deliveries a second, of both together, and
/// the relay's processor time for each in microseconds.
fn drain(events: usize) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), events);
    let sink = Sink::start(2 * events);
    let relay = Relay::start(folder.path(), &yaml(&to_both(sink.address)));
    let took = sink.all();
    relay.drained(&["first", "second"]);
    let used = processor_time(&relay.process);
    let deliveries = 2.0 * events as f64;
    (
        deliveries / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / deliveries,
    )
}

fn fill(folder: &std::path::Path, events: usize) {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let relay = Relay::start(folder, &yaml(&to_both(nobody)));
    load::run(relay.hooks, CONNECTIONS, load::requests(events));
}

/// Two destinations at the same receiver.
pub(crate) fn to_both(receiver: SocketAddr) -> [(&'static str, String); 2] {
    ["first", "second"].map(|name| (name, format!("http://{receiver}/{name}")))
}

/// A relay.yaml with strict destinations of Gogs' format, which try again soon.
pub(crate) fn yaml(destinations: &[(&str, String)]) -> String {
    let mut yaml = "listen: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\n\
                    sources: { gogs: { secret: bench-secret } }\ndestinations:\n"
        .to_owned();
    for (name, url) in destinations {
        // Writing to a string cannot fail.
        let _ok = writeln!(
            yaml,
            "  {name}: {{ gogs: {{ url: '{url}', secret: receiver }}, retry: {{ first: 1s, max: 1s }} }}"
        );
    }
    yaml
}
