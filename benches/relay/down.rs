//! What a destination that is down for the whole run costs the others.

use std::net::SocketAddr;

use crate::drain::{to_both, yaml};
use crate::process::processor_time;
use crate::relayed::Relay;
use crate::sink::Sink;
use crate::table::{Row, ratios};
use crate::{CONNECTIONS, Effort, load};

/// The relay's processor time a delivery that arrived: acknowledging, delivering and recording,
/// with two destinations that take everything.
pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let mut costs = [Vec::new(), Vec::new()];
    for which in effort.in_turn(costs.len()) {
        costs[which].push(run(effort.requests / 2, which == 1));
    }
    let [without, with] = costs;
    vec![
        Row::new(
            "a third destination is down: the others' cost",
            ratios(&with, &without),
            2,
        )
        .at_most(1.1),
        Row::new("… processor time a delivery with it, µs", with, 1),
        Row::new("… and without, µs", without, 1),
    ]
}

fn run(events: usize, with_one_down: bool) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::start(2 * events);
    let mut destinations = to_both(sink.address).to_vec();
    if with_one_down {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        destinations.push(("down", format!("http://{nobody}/")));
    }
    let relay = Relay::start(folder.path(), &yaml(&destinations));
    let pushes = load::requests(events);
    let before = processor_time(&relay.process);
    load::run(relay.hooks, CONNECTIONS, pushes);
    sink.all();
    relay.drained(&["first", "second"]);
    let used = processor_time(&relay.process) - before;
    used.as_secs_f64() * 1e6 / (2.0 * events as f64)
}
