//! `/metrics`: what the relay counts anyhow, in the text format of Prometheus. Labels are names of
//! relay.yaml and closed words alone, so there are never more than can be looked at: hooks that
//! were added over the hook APIs are one destination here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::Shared;
use crate::app::Relay;
use crate::clock::Timestamp;
use crate::delivery::{Reason, State as Standing};
use crate::hook::Hook;
use crate::queue::Missing;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The label of what goes to hooks of the hook APIs.
const HOOKS: &str = "hooks";

pub(super) async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let mut text = Text::default();
    let relay = shared.relay.get();
    let is_ready = relay.is_some_and(|relay| relay.queue.stats().accepts);
    let is_ready = is_ready && !shared.shutdown.is_cancelled();
    text.one(
        ("gogs_relay_ready", "gauge"),
        "Whether deliveries of Gogs are accepted.",
        u64::from(is_ready),
    );
    if let Some(relay) = relay {
        tell_of_queue(&mut text, relay);
        tell_of_sources(&mut text, relay);
        tell_of_destinations(&mut text, relay);
    }
    ([(CONTENT_TYPE, TEXT)], text.0)
}

fn tell_of_queue(text: &mut Text, relay: &Relay) {
    let queue = &relay.queue;
    let stats = queue.stats();
    let missing: u64 = queue.missing().iter().map(Missing::events).sum();
    let acknowledged = queue.next_event().0 - 1;
    let numbers = [
        (
            "events_total",
            "counter",
            "Events acknowledged, ever.",
            acknowledged,
        ),
        ("log_events", "gauge", "Events in the log.", stats.events),
        (
            "queue_bytes",
            "gauge",
            "Bytes of the queue on disk.",
            stats.bytes_on_disk,
        ),
        (
            "commits_total",
            "counter",
            "Commits since the start.",
            stats.commits,
        ),
        (
            "missing_events",
            "gauge",
            "Events lost to damage of the queue.",
            missing,
        ),
        (
            "damaged_parts",
            "gauge",
            "Parts of the queue that cannot be read.",
            queue.damage().len() as u64,
        ),
    ];
    for (name, kind, help, value) in numbers {
        text.one((&format!("gogs_relay_{name}"), kind), help, value);
    }
}

fn tell_of_sources(text: &mut Text, relay: &Relay) {
    let name = "gogs_relay_missed_pushes_total";
    text.family(
        (name, "counter"),
        "Pushes that never reached us, since the start.",
    );
    let settings = relay.settings();
    let sources = settings.config.sources.keys();
    let mut counts: BTreeMap<Arc<str>, u64> = sources.map(|name| (name.clone(), 0)).collect();
    counts.extend(relay.missed.counts());
    for (source, count) in counts {
        text.sample(name, &[("source", &source)], count);
    }
}

/// A destination, or all hooks.
#[derive(Default)]
struct Sum {
    waiting: u64,
    dead: u64,
    held: u64,
    oldest: Option<Timestamp>,
    attempts: BTreeMap<Reason, u64>,
    settled: BTreeMap<Standing, u64>,
}

fn sums(relay: &Relay) -> BTreeMap<Arc<str>, Sum> {
    let label = |destination: &Arc<str>| match Hook::of_lane(destination) {
        Some(_) => HOOKS.into(),
        None => destination.clone(),
    };
    let mut sums: BTreeMap<Arc<str>, Sum> = BTreeMap::new();
    for lane in relay.queue.lanes() {
        let sum = sums.entry(label(&lane.destination)).or_default();
        sum.waiting += lane.waiting;
        sum.dead += lane.dead;
        sum.held += u64::from(lane.held.is_some());
        sum.oldest = sum.oldest.into_iter().chain(lane.oldest).min();
    }
    for (destination, tally) in relay.queue.tallies() {
        let Some(sum) = sums.get_mut(&label(&destination)) else {
            continue;
        };
        for (reason, count) in tally.attempts {
            *sum.attempts.entry(reason).or_default() += count;
        }
        for (state, count) in tally.settled {
            *sum.settled.entry(state).or_default() += count;
        }
    }
    sums
}

fn tell_of_destinations(text: &mut Text, relay: &Relay) {
    let sums = sums(relay);
    let now = relay.clock.now();
    type Number = (&'static str, &'static str, fn(&Sum, Timestamp) -> u64);
    let numbers: [Number; 4] = [
        (
            "gogs_relay_waiting",
            "Deliveries that wait, with those under way.",
            |sum, _| sum.waiting,
        ),
        (
            "gogs_relay_dead_letters",
            "Deliveries that were given up and are kept.",
            |sum, _| sum.dead,
        ),
        (
            "gogs_relay_held",
            "Lanes that stand still until somebody or a probe resumes them.",
            |sum, _| sum.held,
        ),
        (
            "gogs_relay_oldest_waiting_seconds",
            "Age of the oldest delivery that waits.",
            |sum, now| sum.oldest.map_or(0, |oldest| now.since(oldest).as_secs()),
        ),
    ];
    for (name, help, number) in numbers {
        text.family((name, "gauge"), help);
        for (destination, sum) in &sums {
            text.sample(name, &[("destination", destination)], number(sum, now));
        }
    }
    tell_of_outcomes(text, &sums);
}

fn tell_of_outcomes(text: &mut Text, sums: &BTreeMap<Arc<str>, Sum>) {
    let name = "gogs_relay_attempts_total";
    text.family(
        (name, "counter"),
        "Attempts since the start, by how they ended.",
    );
    for (destination, sum) in sums {
        for (reason, count) in &sum.attempts {
            let labels = [("destination", &**destination), ("reason", reason.label())];
            text.sample(name, &labels, *count);
        }
    }
    let name = "gogs_relay_deliveries_total";
    text.family(
        (name, "counter"),
        "Deliveries settled since the start, by what became of them.",
    );
    for (destination, sum) in sums {
        for (state, count) in &sum.settled {
            let labels = [("destination", &**destination), ("state", state.label())];
            text.sample(name, &labels, *count);
        }
    }
}

/// The text format of Prometheus.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A metric without labels.
    fn one(&mut self, named: (&str, &str), help: &str, value: u64) {
        self.family(named, help);
        self.sample(named.0, &[], value);
    }

    /// What comes before all samples of a metric.
    fn family(&mut self, (name, kind): (&str, &str), help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        match labels.collect::<Vec<_>>().join(",") {
            none if none.is_empty() => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        writeln!(self.0, "{line}").unwrap_or_default();
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_ends_where_it_is_told_to() {
        let mut text = Text::default();
        text.sample("a_metric", &[("name", "a\"} 1\n\\")], 2);
        assert_eq!(text.0, "a_metric{name=\"a\\\"} 1\\n\\\\\"} 2\n");
    }
}
