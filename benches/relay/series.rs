//! The acknowledged rate over the number of destinations, and of connections.

use std::time::Duration;

use crate::relayed::{Relay, refusing};
use crate::table::{Row, ratios};
use crate::{CONNECTIONS, Effort, load};

const DESTINATIONS: [usize; 5] = [1, 2, 10, 50, 1000];
const OVER: [usize; 4] = [1, 16, 64, 256];
/// One connection waits for each of its commits.
const REQUESTS_OF_ONE: usize = 1000;

pub(crate) fn destinations(effort: Effort) -> Vec<Row> {
    let mut rates = [const { Vec::new() }; DESTINATIONS.len()];
    for which in effort.in_turn(DESTINATIONS.len()) {
        let yaml = refusing(DESTINATIONS[which]);
        rates[which].push(rate(&yaml, CONNECTIONS, effort.requests));
    }
    let against_one = ratios(&rates[3], &rates[0]);
    let mut rows = vec![Row::new("50 destinations against 1", against_one, 2).at_least(0.9)];
    for (destinations, rates) in DESTINATIONS.iter().zip(rates) {
        let what = format!("acknowledged a second: {destinations} destinations");
        rows.push(Row::new(what, rates, 0));
    }
    rows
}

pub(crate) fn connections(effort: Effort) -> Vec<Row> {
    let mut rates = [const { Vec::new() }; OVER.len()];
    for which in effort.in_turn(OVER.len()) {
        let connections = OVER[which];
        let requests = effort.requests.min(REQUESTS_OF_ONE * connections);
        rates[which].push(rate(&refusing(2), connections, requests));
    }
    let rows = OVER.iter().zip(rates).map(|(connections, rates)| {
        let what = format!("acknowledged a second: {connections} connections");
        Row::new(what, rates, 0)
    });
    rows.collect()
}

fn rate(yaml: &str, connections: usize, requests: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), yaml);
    let took: Duration = load::run(relay.hooks, connections, load::requests(requests));
    requests as f64 / took.as_secs_f64()
}
