//! What it takes to render one push and fit it to the services' limits.

use std::path::Path;
use std::time::Instant;

use gogs_relay::clock::Timestamp;
use gogs_relay::config;
use gogs_relay::destination::Destination;
use gogs_relay::event::{Event, EventId};
use gogs_relay::plan::{Rendered, Step, Templates};

use crate::load::push;

/// Prints a row for each set: µs for Slack, for Discord, and for both.
pub(crate) fn measure() {
    let (templates, problems) = Templates::load(Path::new("no-such-folder"));
    assert!(problems.is_empty(), "the built-in sets are sound");
    println!(
        "{:<34} {:>12} {:>12} {:>12}",
        "render and fit one push, µs", "Slack", "Discord", "both"
    );
    for set in ["default", "classic"] {
        let [slack, discord] =
            ["slack", "discord"].map(|kind| time(&templates, &destination(kind, set)));
        println!(
            "{set:<34} {slack:>12.1} {discord:>12.1} {:>12.1}",
            slack + discord
        );
    }
}

/// The median of many runs, each over a batch, in microseconds.
fn time(templates: &Templates, destination: &Destination) -> f64 {
    const BATCH: usize = 100;
    let template = include_str!("push.json");
    let events: Vec<Event> = (0..BATCH)
        .map(|number| event(push(template, number)))
        .collect();
    let runs: Vec<f64> = (0..51)
        .map(|_| {
            let started = Instant::now();
            for event in &events {
                let rendered = templates.render(event, EventId(1), destination, Step::Chosen, None);
                assert!(
                    matches!(rendered, Rendered::Message(message) if message.fallback.is_none())
                );
            }
            started.elapsed().as_secs_f64() * 1e6 / BATCH as f64
        })
        .collect();
    crate::median(&runs)
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
