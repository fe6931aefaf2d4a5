//! A whole relay that is reloaded through its own API.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gogs_relay::clock::Clock;
use gogs_relay::config;
use gogs_relay::standin::{FakeGogs, FakeSlack, StandIn};
use serde_json::{Value, json};

use crate::binary::{Client, HalfSent, PATIENCE, push};
use crate::relay::TestRelay;

const SECRET: &str = "reload-s3cret";
/// Connections that post at once.
const CONNECTIONS: usize = 8;
/// So often the configuration changes under load.
const RELOADS: usize = 40;

async fn receiver() -> StandIn {
    let service = FakeGogs::with_secret(SECRET);
    StandIn::start(service, Clock::system()).await.unwrap()
}

/// relay.yaml with these destinations, each in Gogs' format, and `more`. A delivery that fails
/// waits for an hour.
fn yaml(secret: &str, destinations: &[(&str, &StandIn)], more: &str) -> String {
    let mut yaml = format!("sources: {{ gogs: {{ secret: {secret} }} }}\ndestinations:\n");
    for (name, standin) in destinations {
        yaml += &format!(
            "  {name}: {{ gogs: {{ url: '{}', secret: {SECRET} }}, retry: {{ first: 1h, max: 1h }} }}\n",
            standin.url()
        );
    }
    yaml + more
}

fn nothing() -> Value {
    json!({"changed": [], "needs_restart": [], "orphaned": [], "taken_over": [], "warnings": []})
}

/// The report of a reload with these members; the others are empty.
fn report(members: Value) -> (u16, Value) {
    let mut report = nothing();
    for (name, value) in members.as_object().unwrap() {
        report[name] = value.clone();
    }
    (200, report)
}

async fn start(yaml: &str) -> (tempfile::TempDir, TestRelay) {
    let folder = tempfile::tempdir().unwrap();
    let relay = TestRelay::start(folder.path(), yaml, Clock::system()).await;
    while relay.api("GET /readyz", "").await.0 != 200 {
        tokio::task::yield_now().await;
    }
    (folder, relay)
}

fn ids(standin: &StandIn) -> Vec<String> {
    let received = standin.received().into_iter();
    received
        .map(|it| it.header("x-gogs-delivery").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_each_event_is_planned_by_one_set_of_settings_and_arrives_once() {
    let (a, b, both) = (receiver().await, receiver().await, receiver().await);
    let first = yaml(SECRET, &[("a", &a), ("both", &both)], "");
    let second = yaml(SECRET, &[("b", &b), ("both", &both)], "");
    let (_folder, relay) = start(&first).await;
    let (hooks, stop) = (relay.hooks, &*Box::leak(Box::new(AtomicBool::new(false))));
    let posting = tokio::task::spawn_blocking(move || post_until(hooks, stop));
    for number in 0..RELOADS {
        let (gone, yaml) = if number % 2 == 0 {
            ("a", &second)
        } else {
            ("b", &first)
        };
        let (status, report) = relay.reload(yaml).await;
        assert_eq!(
            (status, &report["changed"]),
            (200, &json!(["destinations.a", "destinations.b"]))
        );
        assert_eq!(report["orphaned"][0]["destination"], gone);
    }
    stop.store(true, Ordering::SeqCst);
    let planned = posting.await.unwrap();

    // What waits in lanes whose destination was away goes out when it is there.
    let all = yaml(SECRET, &[("a", &a), ("b", &b), ("both", &both)], "");
    assert_eq!(relay.reload(&all).await.0, 200);
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (id, destinations) in &planned {
        let of_one_set = [json!(["a", "both"]), json!(["b", "both"])];
        assert!(of_one_set.contains(destinations), "{id}: {destinations}");
        for name in destinations.as_array().unwrap() {
            wanted.entry(name.as_str().unwrap()).or_default().insert(id);
        }
    }
    for (name, standin) in [("a", &a), ("b", &b), ("both", &both)] {
        let wanted = &wanted[name];
        let clock = Clock::system();
        let arrived = clock.timeout(PATIENCE, standin.wait_for(wanted.len()));
        assert!(arrived.await.is_ok(), "not all arrived at {name}");
        let ids = ids(standin);
        assert_eq!(ids.len(), wanted.len(), "{name} got some twice");
        assert_eq!(
            &ids.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            wanted
        );
        assert_eq!(standin.violations(), Vec::<String>::new());
    }
    figure!(
        "{RELOADS} reloads while {} events came in: none refused, none lost, none delayed, none twice",
        planned.len()
    );
    relay.finish().await;
}

/// Posts from all connections until told to stop; each id, and where its answer says it goes.
fn post_until(hooks: std::net::SocketAddr, stop: &AtomicBool) -> Vec<(String, Value)> {
    let planned = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let planned = &planned;
            scope.spawn(move || {
                let mut client = Client::connect(hooks).unwrap();
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let id = format!("{connection}-{number}");
                    let answer = client.deliver("gogs", SECRET, &id, &push(&id)).unwrap();
                    assert_eq!(answer.status, 202, "{answer:?}");
                    let answer: Value = serde_json::from_str(&answer.body).unwrap();
                    let mut planned = planned.lock().unwrap();
                    planned.push((id, answer["destinations"].clone()));
                }
            });
        }
    });
    planned.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_named_and_what_did_not_is_said_so() {
    let (a, b) = (receiver().await, receiver().await);
    let (_folder, relay) = start(&yaml(SECRET, &[("a", &a), ("b", &b)], "")).await;
    let again = yaml(SECRET, &[("a", &a), ("b", &b)], "# a remark\n");
    assert_eq!(relay.reload(&again).await, (200, nothing()));

    let routes = "routes: [{ to: [c], events: [push] }]\nhistory: { keep: 2d }\n";
    let mut next = yaml(SECRET, &[("a", &a), ("c", &b)], routes);
    next = next.replace("  c: {", "  c: { was: b,");
    next = next.replace(
        "gogs: { secret: reload-s3cret } }\n",
        "gogs: { secret: x }, more: { secret: y } }\n",
    );
    let expected = report(json!({
        "changed": ["sources.gogs", "sources.more", "destinations.b", "destinations.c", "routes", "history"],
        "taken_over": [{"was": "b", "destination": "c"}],
        "warnings": [],
    }));
    let (status, mut said) = relay.reload(&next).await;
    // That `a` has no route is a warning, as `check` gives it.
    let warnings = said["warnings"].take();
    assert!(
        warnings[0]["message"].as_str().unwrap().contains("\"a\""),
        "{warnings}"
    );
    said["warnings"] = json!([]);
    assert_eq!((status, said), expected);
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_named_each_time_and_stays_as_it_was() {
    let a = receiver().await;
    let (_folder, relay) = start(&yaml(SECRET, &[("a", &a)], "")).await;
    let more = "listen: 127.0.0.1:8099\npublic_url: https://relay.example/\ndata: elsewhere\n\
                shutdown_grace: 1s\ndedupe: { keep: 1d, at_most: 5 }\n\
                admin: { listen: '127.0.0.1:8098', token: t0ken, hosts: [relay.lan] }\n\
                limits: { body: 1MiB, bytes: 2MiB, headers: 16KiB, connections: 9, \
                header_timeout: 1s, body_timeout: 2s, sends: 3, backlog: 4, free_disk: 5MiB }\n";
    let expected = report(json!({"needs_restart": [
        "listen", "public_url", "data", "shutdown_grace",
        "admin.listen", "admin.token", "admin.hosts", "dedupe.keep", "dedupe.at_most",
        "limits.body", "limits.bytes", "limits.headers", "limits.connections",
        "limits.header_timeout", "limits.body_timeout", "limits.sends", "limits.backlog",
        "limits.free_disk",
    ]}));
    let changed = yaml(SECRET, &[("a", &a)], more);
    for _ in 0..2 {
        assert_eq!(relay.reload(&changed).await, expected, "without a token");
    }
    assert_eq!(relay.post(SECRET, "one").await.status, 202);
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_every_mistake_is_drawn_as_check_draws_it() {
    let (a, b) = (receiver().await, receiver().await);
    let (folder, relay) = start(&yaml(SECRET, &[("a", &a)], "")).await;
    let broken = "routs: []\nhistory: { keep: soon }\n";
    let broken = yaml("brand-new-s3cret", &[("b", &b)], broken);
    let (status, answer) = relay.reload(&broken).await;
    assert_eq!(status, 422);
    let expected = "nothing was changed, because of 2 mistakes";
    assert_eq!(answer["error"], expected, "{answer}");
    let sets = |_: &Path| vec!["default".to_owned()];
    let path = folder.path().join("relay.yaml");
    let problems = config::load(&path, &Default::default(), &sets).unwrap_err();
    let mut drawn = Vec::new();
    config::draw(&mut drawn, &problems, false).unwrap();
    assert_eq!(answer["text"], String::from_utf8(drawn).unwrap());
    assert_eq!(answer["problems"], serde_json::to_value(&problems).unwrap());
    assert!(!answer.to_string().contains("brand-new-s3cret"), "{answer}");

    let answer = relay.post(SECRET, "one").await;
    assert_eq!(answer.body, r#"{"event":1,"destinations":["a"]}"#);
    a.wait_for(1).await;
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_template_says_what_waits_in_new_words_and_a_broken_one_changes_nothing() {
    let slack = StandIn::start(FakeSlack::default(), Clock::system())
        .await
        .unwrap();
    let yaml = format!(
        "sources: {{ gogs: {{ secret: {SECRET} }} }}\n\
         destinations: {{ team: {{ slack: {{ url: '{}' }}, templates: mine }} }}\n",
        slack.url()
    );
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("templates/mine/slack/push.hbs");
    std::fs::create_dir_all(template.parent().unwrap()).unwrap();
    let say = |text: &str| std::fs::write(&template, text).unwrap();
    say(r#"{"text": "before"}"#);
    let relay = TestRelay::start(folder.path(), &yaml, Clock::system()).await;
    while relay.api("GET /readyz", "").await.0 != 200 {
        tokio::task::yield_now().await;
    }
    relay.api("POST /v1/destinations/team/hold", "").await;
    assert_eq!(relay.post(SECRET, "one").await.status, 202);

    say(r#"{"text": "{{nonsense x}}"}"#);
    let (status, answer) = relay.reload(&yaml).await;
    assert_eq!(status, 422);
    let text = answer["text"].as_str().unwrap();
    assert!(
        text.contains("mine/slack/push.hbs:1") && text.contains("nonsense"),
        "{text}"
    );
    let preview = r#"{"event":"push","body":{"commits":[]},"to":"team"}"#;
    let (_, shown) = relay.api("POST /v1/render", preview).await;
    assert!(
        shown["body"].as_str().unwrap().contains("before"),
        "{shown}"
    );

    say(r#"{"text": "after"}"#);
    let expected = report(json!({"changed": ["templates/mine/slack/push.hbs"]}));
    assert_eq!(relay.reload(&yaml).await, expected);
    relay.api("POST /v1/destinations/team/resume", "").await;
    assert_eq!(slack.wait_for(1).await[0].json()["text"], "after");
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_signs_with_the_old_secret_is_told_so_however_often_it_was_reloaded_since() {
    let a = receiver().await;
    let (_folder, relay) = start(&yaml("old-s3cret", &[("a", &a)], "")).await;
    assert_eq!(relay.reload(&yaml(SECRET, &[("a", &a)], "")).await.0, 200);
    for keep in 1..=10 {
        let more = format!("history: {{ keep: {keep}d }}\n");
        assert_eq!(
            relay.reload(&yaml(SECRET, &[("a", &a)], &more)).await.0,
            200
        );
    }
    let answer = relay.post("old-s3cret", "one").await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("old secret"), "{answer:?}");
    assert_eq!(relay.post(SECRET, "two").await.status, 202);
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_file_is_read_anew() {
    let a = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gogs.secret");
    std::fs::write(&file, "first-s3cret\n").unwrap();
    let yaml = yaml("{ file: gogs.secret }", &[("a", &a)], "");
    let relay = TestRelay::start(folder.path(), &yaml, Clock::system()).await;
    while relay.post("first-s3cret", "one").await.status != 202 {
        tokio::task::yield_now().await;
    }
    std::fs::write(&file, "second-s3cret\n").unwrap();
    let expected = report(json!({"changed": ["sources.gogs"]}));
    assert_eq!(relay.reload(&yaml).await, expected);
    assert_eq!(relay.post("second-s3cret", "two").await.status, 202);
    assert_eq!(relay.post("first-s3cret", "three").await.status, 401);
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_being_received_is_judged_by_the_new_settings_as_a_whole() {
    let (a, b) = (receiver().await, receiver().await);
    let (_folder, relay) = start(&yaml("old-s3cret", &[("a", &a)], "")).await;
    let begin = |secret: &'static str, id: &str| {
        let (hooks, id) = (relay.hooks, id.to_owned());
        tokio::task::spawn_blocking(move || HalfSent::start(hooks, secret, id))
    };
    let with_old = begin("old-s3cret", "one").await.unwrap();
    let with_new = begin("new-s3cret", "two").await.unwrap();
    assert_eq!(
        relay.reload(&yaml("new-s3cret", &[("b", &b)], "")).await.0,
        200
    );
    let end = |half: HalfSent| tokio::task::spawn_blocking(move || half.finish().1);
    let refused = end(with_old).await.unwrap();
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(refused.body.contains("old secret"), "{refused:?}");
    let taken = end(with_new).await.unwrap();
    assert_eq!(taken.body, r#"{"event":1,"destinations":["b"]}"#);
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_api_goes_by_the_new_settings_as_well() {
    let (a, b) = (receiver().await, receiver().await);
    let (_folder, relay) = start(&yaml(SECRET, &[("a", &a)], "")).await;
    let routes = "routes: [{ name: builds, to: [b], events: [push] }]\n";
    relay.rewrite(&yaml(SECRET, &[("b", &b)], routes));
    relay.hang_up();
    loop {
        let (_, listed) = relay.api("GET /v1/destinations", "").await;
        let name = listed["destinations"][0]["name"].clone();
        if name == "b" {
            assert_eq!(
                listed["destinations"].as_array().unwrap().len(),
                1,
                "{listed}"
            );
            break;
        }
    }
    let event = r#"{"event":"push","body":{"commits":[]}}"#;
    let (_, routed) = relay.api("POST /v1/route", event).await;
    assert_eq!(routed["routes"][0]["route"], "builds");
    let (status, tested) = relay.api("POST /v1/destinations/b/test", "").await;
    assert_eq!((status, &tested["delivered"]), (200, &json!(true)));
    assert_eq!(relay.api("POST /v1/destinations/a/test", "").await.0, 404);
    relay.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_that_overlap_run_one_after_the_other() {
    let (a, b) = (receiver().await, receiver().await);
    let first = yaml(SECRET, &[("a", &a)], "");
    let (_folder, relay) = start(&first).await;
    relay.rewrite(&yaml(SECRET, &[("b", &b)], ""));
    let all = (0..10).map(|_| relay.api("POST /v1/reload", ""));
    let mut changes = Vec::new();
    for (status, report) in futures_join(all).await {
        assert_eq!(status, 200);
        changes.push(report["changed"].as_array().unwrap().len());
    }
    changes.sort_unstable();
    assert_eq!(
        changes,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        "one of them changed it"
    );
    relay.finish().await;
}

/// Runs them all at once.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                done.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        match running.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done
}
