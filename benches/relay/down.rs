//! What a destination that is down for the whole run costs the others.

use std::net::SocketAddr;

use crate::CONNECTIONS;
use crate::drain::{to_both, yaml};
use crate::load;
use crate::relayed::Relay;
use crate::sink::Sink;

/// The relay's processor time a delivery that arrived, in microseconds: acknowledging, delivering
/// and recording. Medians.
#[derive(Clone, Copy)]
pub(crate) struct Costs {
    pub(crate) without: f64,
    /// With a third destination to which everything goes and which refuses connections.
    pub(crate) with: f64,
}

/// So many pushes to two destinations that take everything, without and with one that is down, in
/// turn, over so many rounds.
pub(crate) fn measure(events: usize, rounds: usize) -> Costs {
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Each round starts with the other one.
        for turn in 0..2 {
            let with = (round + turn) % 2;
            costs[with].push(run(events, with == 1));
        }
    }
    Costs {
        without: crate::median(&costs[0]),
        with: crate::median(&costs[1]),
    }
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
    let pushes = load::requests(events, "/hooks/gogs");
    let before = relay.processor_time();
    let (accepted, _) = load::run(relay.hooks, CONNECTIONS, pushes);
    assert_eq!(accepted, events, "some were not accepted");
    sink.all();
    relay.drained(&["first", "second"]);
    let used = relay.processor_time() - before;
    used.as_secs_f64() * 1e6 / (2.0 * events as f64)
}
