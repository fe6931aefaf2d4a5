//! What it takes to render one push and fit it to the services' limits.

use std::path::Path;
use std::time::Instant;

use gogs_relay::clock::Timestamp;
use gogs_relay::config;
use gogs_relay::destination::Destination;
use gogs_relay::event::{Event, EventId};
use gogs_relay::plan::{Rendered, Step, Templates};

use crate::Effort;
use crate::load::push;
use crate::table::{Row, median};

/// What one event takes to Slack alone, to Discord alone, and to both, in microseconds.
pub(crate) fn measure(_: Effort) -> Vec<Row> {
    let (templates, problems) = Templates::load(Path::new("no-such-folder"));
    assert!(problems.is_empty(), "the built-in sets are sound");
    let mut rows = Vec::new();
    for set in ["default", "classic"] {
        let [slack, discord] = ["slack", "discord"].map(|kind| destination(kind, set));
        let row = |to: &str, destinations: &[&Destination]| {
            let what = format!("render and fit one push: {to}, `{set}`, µs");
            Row::new(what, vec![time(&templates, destinations)], 1)
        };
        rows.push(row("Slack and Discord", &[&slack, &discord]).at_most(60.0));
        rows.push(row("Slack", &[&slack]));
        rows.push(row("Discord", &[&discord]));
    }
    rows
}

/// What an event takes that goes to all `destinations` in turn, in microseconds: the median of
/// many runs, short ones, so that a busy machine disturbs few of them. Each event is new to the
/// renderer, as in the relay.
fn time(templates: &Templates, destinations: &[&Destination]) -> f64 {
    const RUN: usize = 10;
    let template = include_str!("push.json");
    let events: Vec<Event> = (0..100)
        .map(|number| event(push(template, number)))
        .collect();
    let mut runs = Vec::new();
    for _ in 0..crate::number("BENCH_RUNS", 50) {
        for some in events.chunks(RUN) {
            let started = Instant::now();
            for event in some {
                for destination in destinations {
                    render(templates, event, destination);
                }
            }
            runs.push(started.elapsed().as_secs_f64() * 1e6 / RUN as f64);
        }
    }
    median(&runs)
}

fn render(templates: &Templates, event: &Event, destination: &Destination) {
    let rendered = templates.render(event, EventId(1), destination, Step::Chosen, None);
    assert!(matches!(rendered, Rendered::Message(message) if message.fallback.is_none()));
}

fn event(body: String) -> Event {
    Event {
        source: "gogs".into(),
        name: "push".into(),
        delivery_id: "bench".into(),
        received: Timestamp(1_700_000_000_000),
        body: body.into(),
    }
}

fn destination(kind: &str, set: &str) -> Destination {
    let yaml = format!(
        "sources: {{ gogs: {{ secret: bench }} }}\ndestinations: {{ chat: {{ {kind}: {{ url: 'https://chat.invalid/api/webhooks/1/x' }}, templates: {set} }} }}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("relay.yaml");
    std::fs::write(&path, yaml).expect("the folder is writable");
    let loaded = config::load(&path, &Default::default(), &|_| vec![set.to_owned()])
        .expect("a sound configuration");
    loaded.config.destinations["chat"].clone()
}
