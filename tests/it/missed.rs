//! Pushes that never reached the relay, as people and Prometheus see them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use gogs_relay::clock::{Clock, Hand, Timestamp};
use serde_json::{Value, json};

use crate::binary::Client;
use crate::relay::TestRelay;

const NOON: Timestamp = Timestamp(1_780_000_000_000);
const SECRET: &str = "orbit-hook-s3cret";
const YAML: &str = "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\ndata: DATA\n\
    sources: { gogs: { secret: orbit-hook-s3cret } }\n\
    destinations: { screen: { console: {} }, gone: { gogs: { url: 'http://127.0.0.1:9/' } } }\n";

/// A push of `main` from one commit to another; 0 is none.
fn push(before: u8, after: u8) -> String {
    let name = |commit: u8| format!("{commit:02x}").repeat(20);
    let (before, second) = (name(before), after);
    let payload = json!({
        "ref": "refs/heads/main", "before": before, "after": name(after),
        "compare_url": "", "commits": [], "sender": { "username": "mira" },
        "repository": {
            "id": 1, "full_name": "orbit/lander", "html_url": "http://gogs.lan/orbit/lander",
            "updated_at": format!("2026-11-21T10:00:{second:02}Z"),
        },
    });
    payload.to_string()
}

struct World {
    folder: tempfile::TempDir,
    clock: Clock,
    hand: Hand,
    relay: TestRelay,
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::stepped(NOON);
        let relay = start(&folder, &clock).await;
        World {
            folder,
            clock,
            hand,
            relay,
        }
    }

    async fn restart(self) -> World {
        self.relay.finish().await;
        let relay = start(&self.folder, &self.clock).await;
        World { relay, ..self }
    }

    async fn post(&self, before: u8, after: u8) {
        let hooks = self.relay.hooks;
        let posted = tokio::task::spawn_blocking(move || {
            let id = format!("push-{after}");
            let mut client = Client::connect(hooks).unwrap();
            let answer = client.deliver("gogs", SECRET, &id, &push(before, after));
            answer.unwrap().status
        });
        assert_eq!(posted.await.unwrap(), 202);
    }

    async fn missed(&self) -> Vec<Value> {
        let (status, answer) = self.relay.api("GET /v1/missed", "").await;
        assert_eq!(status, 200, "{answer}");
        answer["missed"].as_array().unwrap().clone()
    }

    /// One delivery, or one event, in full.
    async fn shown(&self, id: &str) -> Value {
        let kind = if id.contains(':') {
            "deliveries"
        } else {
            "events"
        };
        let (status, shown) = self.relay.api(&format!("GET /v1/{kind}/{id}"), "").await;
        assert_eq!(status, 200, "{shown}");
        shown
    }

    /// What a command prints.
    fn says(&self, command: &[&str]) -> String {
        let admin = format!("http://{}", self.relay.admin);
        let mut binary = Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
        let done = binary.args(command).args(["--admin", &admin]).output();
        String::from_utf8(done.unwrap().stdout).unwrap()
    }

    /// Lets the time go on until so many are reported; says how long that took.
    async fn until(&self, missed: usize) -> Duration {
        let began = self.clock.elapsed();
        while self.missed().await.len() != missed {
            self.hand.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.clock.elapsed() - began
    }

    async fn metrics(&self) -> BTreeMap<String, f64> {
        let admin = self.relay.admin;
        let text = tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(admin).unwrap();
            let answer = client.call("no-token", ("GET", "/metrics"), "");
            answer.unwrap()
        });
        let answer = text.await.unwrap();
        assert_eq!(answer.status, 200);
        samples(&answer.body)
    }
}

async fn start(folder: &tempfile::TempDir, clock: &Clock) -> TestRelay {
    let data = folder.path().join("data").display().to_string();
    TestRelay::start(folder.path(), &YAML.replace("DATA", &data), clock.clone()).await
}

/// Reads the text format of Prometheus, and is strict about it: each sample by its name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut found, mut family) = (BTreeMap::new(), String::new());
    let mut lines = text.lines();
    assert!(text.ends_with('\n'));
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty(), "{line}");
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let kind = kind.strip_prefix(name).unwrap();
            assert!([" counter", " gauge"].contains(&kind), "{kind}");
            assert_eq!(kind == " counter", name.ends_with("_total"), "{name}");
            assert!(!text.contains(&format!("\n{name} ")) || family != name);
            name.clone_into(&mut family);
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        assert_eq!(name, family, "a sample outside its family");
        let labels = labels.strip_suffix('}').unwrap();
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').unwrap();
            assert!(is_name(name), "{line}");
            let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            assert!(!value.contains(['"', '\\']), "{line}");
        }
        let value = value.parse().unwrap();
        assert!(found.insert(sample.to_owned(), value).is_none(), "{line}");
    }
    found
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !name.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_never_came_is_reported_once_kept_over_restarts_and_settled_when_it_comes() {
    let world = World::start().await;
    world.post(0, 1).await;
    world.post(1, 2).await;
    world.post(3, 4).await;
    assert!(world.until(1).await >= Duration::from_secs(600));
    let missed = world.missed().await;
    let (from, to) = ("02".repeat(20), "03".repeat(20));
    let link = format!("http://gogs.lan/orbit/lander/compare/{from}...{to}");
    assert_eq!(missed[0]["link"], link);
    assert_eq!(missed[0]["branch"], "main");
    assert_eq!(missed[0]["next_push"], 3);
    let said = world.says(&["missed"]);
    assert!(
        said.contains(&link) && said.contains("orbit/lander"),
        "{said}"
    );
    // So does the push that told of it, wherever it went, and no other.
    let words = format!("a push to orbit/lander main never reached us: {link}");
    for id in ["3:screen", "3:gone", "3"] {
        assert!(world.says(&["deliveries", "show", id]).contains(&words));
        assert_eq!(world.shown(id).await["missed"]["words"], words);
    }
    assert_eq!(world.shown("3:screen").await["missed"], missed[0]);
    for id in ["2:screen", "2"] {
        assert!(!world.says(&["deliveries", "show", id]).contains("missed"));
        assert_eq!(world.shown(id).await["missed"], Value::Null);
    }

    let world = world.restart().await;
    world.post(4, 5).await;
    for _ in 0..20 {
        world.hand.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.missed().await, missed);
    assert_eq!(world.shown("3:screen").await["missed"], missed[0]);
    world.post(2, 3).await;
    world.until(0).await;
    assert_eq!(world.shown("3:screen").await["missed"], Value::Null);
    world.relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_happened_and_need_neither_token_nor_host() {
    let world = World::start().await;
    world.post(0, 1).await;
    world.post(2, 3).await;
    world.until(1).await;
    let metrics = world.metrics().await;
    let is = |name: &str, value: f64| assert_eq!(metrics.get(name), Some(&value), "{metrics:#?}");
    is("gogs_relay_ready", 1.0);
    is("gogs_relay_events_total", 2.0);
    is("gogs_relay_missed_pushes_total{source=\"gogs\"}", 1.0);
    is("gogs_relay_damaged_parts", 0.0);
    is("gogs_relay_waiting{destination=\"gone\"}", 2.0);
    is("gogs_relay_waiting{destination=\"screen\"}", 0.0);
    let delivered = "gogs_relay_deliveries_total{destination=\"screen\",state=\"delivered\"}";
    is(delivered, 2.0);
    let refused = "gogs_relay_attempts_total{destination=\"gone\",reason=\"refused\"}";
    assert!(metrics[refused] >= 1.0, "{metrics:#?}");
    let oldest = "gogs_relay_oldest_waiting_seconds{destination=\"gone\"}";
    assert!(metrics[oldest] >= 600.0, "{metrics:#?}");
    assert!(metrics["gogs_relay_queue_bytes"] > 0.0);
    let (status, ready) = world.relay.api("GET /readyz", "").await;
    assert_eq!((status, &ready["damage"]), (200, &json!([])));
    world.relay.finish().await;
}
