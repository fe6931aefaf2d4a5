//! GitHub's API, walked by octocrab and asked for what a client would not ask.

use std::collections::BTreeSet;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, Received, Script, StandIn};
use octocrab::Octocrab;
use octocrab::models::hooks::{Config, ContentType, Delivery, Hook, UpdateHookConfig};
use octocrab::models::webhook_events::WebhookEventType;
use serde_json::{Value, json};

use super::octokit::{client, client_with};
use super::schema;
use super::wire::{Ask, happens, start, tokens, yaml};
use crate::relay::TestRelay;
use crate::world::within;

const SECRET: &str = "receiver-s3cret";
const HOOKS: &str = "/api/v3/repos/orbit/lander/hooks";

async fn receiver() -> StandIn {
    let standin = StandIn::start(FakeGogs::default(), Clock::system())
        .await
        .unwrap();
    standin.rule(|_| Some(Script::status(204)));
    standin
}

fn wanted(url: &str) -> Hook {
    Hook {
        name: "web".to_owned(),
        active: true,
        events: vec![WebhookEventType::Push],
        config: Config {
            url: url.to_owned(),
            content_type: Some(ContentType::Json),
            insecure_ssl: None,
            secret: Some(SECRET.to_owned()),
        },
        ..Hook::default()
    }
}

/// All deliveries, a page of one after the other, once the newest is as wanted.
async fn deliveries(
    octocrab: &Octocrab,
    hook: u64,
    is_there: impl Fn(&[Delivery]) -> bool,
) -> Vec<Delivery> {
    loop {
        let repository = octocrab.repos("orbit", "lander");
        let hooks = repository.hooks();
        let first = hooks
            .deliveries(hook)
            .list()
            .per_page(1)
            .send()
            .await
            .unwrap();
        let all = octocrab.all_pages(first).await.unwrap();
        if is_there(&all) {
            return all;
        }
    }
}

#[track_caller]
fn refused<T>(result: octocrab::Result<T>, status: u16) -> String {
    match result.map(drop) {
        Err(octocrab::Error::GitHub { source, .. }) => {
            assert_eq!(source.status_code.as_u16(), status, "{source:?}");
            format!("{} {:?}", source.message, source.errors)
        }
        other => panic!("not refused by the relay: {other:?}"),
    }
}

#[tokio::test]
async fn octocrab_walks_all_twelve_routes() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let receiver = receiver().await;
        let (octocrab, seen) = client(relay.hooks);
        let hook = is_made_and_pinged(&octocrab, &receiver).await;
        is_changed(&octocrab, &hook).await;
        gets_what_it_is_tested_with(&octocrab, &hook, (&relay, &receiver)).await;
        let repository = octocrab.repos("orbit", "lander");
        repository.hooks().delete(hook.id).await.unwrap();
        let listed = repository.hooks().list().send().await.unwrap();
        assert_eq!((listed.items.len(), listed.next), (0, None));
        let seen = seen.lock().unwrap().clone();
        let answered: BTreeSet<&String> = seen.iter().map(|(id, _)| id).collect();
        assert_eq!(answered, schema::operations().iter().collect());
        relay.finish().await;
    })
    .await;
}

async fn is_made_and_pinged(octocrab: &Octocrab, receiver: &StandIn) -> Hook {
    let repository = octocrab.repos("orbit", "lander");
    let hooks = repository.hooks();
    let hook = hooks.create(wanted(&receiver.url())).await.unwrap();
    let said = (hook.name.as_str(), hook.r#type.as_str(), hook.active);
    assert_eq!(said, ("web", "Repository", true));
    assert_eq!(hook.config.secret.as_deref(), Some("********"));
    let unused = hook.last_response.clone().unwrap();
    let unused = (unused.code, unused.status.as_deref(), unused.message);
    assert_eq!(unused, (None, Some("unused"), None));
    let ping = receiver.wait_for(1).await.pop().unwrap();
    assert_eq!(ping.header("x-github-event"), "ping");
    assert_eq!(ping.json()["hook"]["id"], hook.id);

    let delivered = deliveries(octocrab, hook.id, |all| all.len() == 1).await;
    let shown = hooks.get(hook.id).await.unwrap();
    let answered = shown.last_response.unwrap();
    let answered = (answered.code, answered.status.as_deref());
    assert_eq!(answered, (Some(204), Some("active")));
    let shown = hooks.get_delivery(hook.id, delivered[0].id).await.unwrap();
    assert_eq!(shown.event, "ping");
    assert_eq!(shown.guid, ping.header("x-github-delivery"));
    hook
}

async fn is_changed(octocrab: &Octocrab, hook: &Hook) {
    let repository = octocrab.repos("orbit", "lander");
    let hooks = repository.hooks();
    let update = hooks
        .update(hook.id)
        .add_events(vec![WebhookEventType::Release]);
    let updated = update.active(true).send().await.unwrap();
    let both = [WebhookEventType::Push, WebhookEventType::Release];
    assert_eq!(updated.events, both);
    let config = hooks.get_config(hook.id).await.unwrap();
    assert_eq!(config.url, hook.config.url);
    let config = hooks.update_config(hook.id).secret("another");
    let config = config.send().await.unwrap();
    let said = (config.secret.as_deref(), config.insecure_ssl.as_deref());
    assert_eq!(said, (Some("********"), Some("0")));
}

async fn gets_what_it_is_tested_with(
    octocrab: &Octocrab,
    hook: &Hook,
    (relay, receiver): (&TestRelay, &StandIn),
) {
    let repository = octocrab.repos("orbit", "lander");
    let hooks = repository.hooks();
    hooks.ping(hook.id).await.unwrap();
    receiver.wait_for(2).await;
    // There is no push yet that it could repeat.
    hooks.test(hook.id).await.unwrap();
    happens(relay, "push", "orbit/lander", 1).await;
    let pushed = receiver.wait_for(3).await.pop().unwrap();
    assert_eq!(pushed.header("x-github-delivery"), "delivery-1");
    hooks.test(hook.id).await.unwrap();
    let tested = receiver.wait_for(4).await.pop().unwrap();
    assert_eq!(tested.header("x-github-event"), "push");
    assert_eq!(tested.body, pushed.body);
    assert_ne!(tested.header("x-github-delivery"), "delivery-1");

    let all = deliveries(octocrab, hook.id, |all| all.len() == 4).await;
    hooks.redeliver(hook.id, all[1].id).await.unwrap();
    let again = receiver.wait_for(5).await.pop().unwrap();
    assert_eq!(again.header("x-github-delivery"), "delivery-1");
    let all = deliveries(octocrab, hook.id, |all| all.len() == 5).await;
    assert!(all[0].redelivery && all[1..].iter().all(|other| !other.redelivery));
    assert!(all.is_sorted_by(|newer, older| newer.id > older.id));
}

#[tokio::test]
async fn octocrab_walks_lists_of_hooks_to_their_end() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let receiver = receiver().await;
        let (octocrab, _) = client(relay.hooks);
        let repository = octocrab.repos("Orbit", "LANDER");
        let hooks = repository.hooks();
        let mut made = Vec::new();
        for number in 0..7 {
            let url = format!("{}?{number}", receiver.url());
            made.push(hooks.create(wanted(&url)).await.unwrap().id);
        }
        for per_page in [1u8, 2, 3, 7, 100] {
            let first = hooks.list().per_page(per_page).send().await.unwrap();
            assert_eq!(first.prev, None);
            assert_eq!(first.next.is_some(), per_page < 7);
            let all = octocrab.all_pages(first).await.unwrap();
            let ids: Vec<u64> = all.iter().map(|hook| hook.id).collect();
            assert_eq!(ids, made, "{per_page} a page");
        }
        let beyond = hooks.list().per_page(3).page(9u32).send().await.unwrap();
        assert_eq!(beyond.items.len(), 0);
        let back = octocrab
            .get_page::<Hook>(&beyond.prev)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(back.items.len(), 1, "the last page there is");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn octocrab_is_refused_what_is_not_there_or_not_its_own() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let (octocrab, _) = client(relay.hooks);
        let repository = octocrab.repos("orbit", "lander");
        let hooks = repository.hooks();
        assert_eq!(refused(hooks.get(9).await, 404), "Not Found None");
        refused(hooks.delete(9).await, 404);
        refused(hooks.ping(9).await, 404);
        refused(hooks.test(9).await, 404);
        refused(hooks.get_config(9).await, 404);
        refused(hooks.update(9).active(true).send().await, 404);
        refused(hooks.deliveries(9).list().send().await, 404);
        refused(hooks.redeliver(9, 9).await, 404);
        let elsewhere = octocrab.repos("other", "lander");
        let none = refused(elsewhere.hooks().list().send().await, 404);
        assert_eq!(none, "Not Found None");
        let (stranger, _) = client_with(relay.hooks, "wrong-t0ken-012345");
        let repository = stranger.repos("orbit", "lander");
        let wrong = refused(repository.hooks().list().send().await, 401);
        assert_eq!(wrong, "Bad credentials None");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn octocrab_is_told_what_is_wrong_with_a_hook() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let (octocrab, _) = client(relay.hooks);
        let repository = octocrab.repos("orbit", "lander");
        let hooks = repository.hooks();
        let receiver = receiver().await;
        let hook = hooks.create(wanted(&receiver.url())).await.unwrap();
        let twice = refused(hooks.create(wanted(&receiver.url())).await, 422);
        assert!(
            twice.contains("Hook already exists on this repository"),
            "{twice}"
        );
        let mut jenkins = wanted(&receiver.url());
        jenkins.name = "jenkins".to_owned();
        assert!(refused(hooks.create(jenkins).await, 422).contains("\"name\""));
        for url in [
            "",
            "nowhere",
            "http://192.168.0.1/",
            "http://10.1.2.3/",
            "http://me@example.org/",
        ] {
            let words = refused(hooks.create(wanted(url)).await, 422);
            assert!(!words.contains("192.168.0.1/"), "{words}");
        }
        let config = UpdateHookConfig {
            insecure_ssl: Some("2".to_owned()),
            ..UpdateHookConfig::default()
        };
        refused(hooks.update(hook.id).config(config).send().await, 422);
        refused(hooks.get_delivery(hook.id, 999_999).await, 404);
        refused(
            hooks
                .deliveries(hook.id)
                .list()
                .cursor("elsewhere")
                .send()
                .await,
            422,
        );
        relay.finish().await;
    })
    .await;
}

/// An answer to a call that octocrab would not make, held against GitHub's schema.
async fn ask(relay: &TestRelay, method: &str, target: &str, body: &str) -> (u16, String, Value) {
    let answer = Ask::new(method, target, body).of(relay).await;
    let path = target
        .strip_prefix("/api/v3")
        .unwrap()
        .split('?')
        .next()
        .unwrap();
    let (id, wrong) = schema::violations(method, path, answer.status, answer.body.as_bytes());
    assert_eq!(wrong, [""; 0], "{id}: {answer:?}");
    let body = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status, answer.head, body)
}

async fn make(relay: &TestRelay, wish: &Value) -> Value {
    let (status, _, hook) = ask(relay, "POST", HOOKS, &wish.to_string()).await;
    assert_eq!(status, 201, "{hook}");
    hook
}

#[tokio::test]
async fn what_is_not_said_of_a_hook_is_as_at_github() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let url = receiver().await.url();
        let hook = make(&relay, &json!({ "name": null, "events": null, "config": { "url": url } })).await;
        assert_eq!((&hook["active"], &hook["events"]), (&json!(true), &json!(["push"])));
        let config = json!({ "url": url, "content_type": "form", "insecure_ssl": "0" });
        assert_eq!(hook["config"], config);
        let target = format!("{HOOKS}/{}", hook["id"]);
        let patched = async |suffix: &str, body: Value| {
            let (status, _, shown) = ask(&relay, "PATCH", &format!("{target}{suffix}"), &body.to_string()).await;
            assert_eq!(status, 200, "{shown}");
            shown
        };
        let more = json!({ "secret": "s3cret", "content_type": "application/json", "insecure_ssl": 1 });
        let shown = patched("/config", more).await;
        let full = json!({ "url": url, "content_type": "json", "insecure_ssl": "1", "secret": "********" });
        assert_eq!(shown, full);
        let same = patched("", json!({ "config": full, "active": false, "events": null })).await;
        assert_eq!((&same["config"], &same["active"], &same["events"]), (&full, &json!(false), &json!(["push"])));
        let replaced = patched("", json!({ "name": "web", "config": { "url": url } })).await;
        assert_eq!(replaced["config"], config, "a configuration replaces the whole");
        let events = json!({ "add_events": ["*", "push", "workflow_run"], "remove_events": ["push"] });
        assert_eq!(patched("", events).await["events"], json!(["*", "push", "workflow_run"]));
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn bodies_that_are_not_what_they_should_be_are_refused() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let refused = async |body: &str| {
            let answer = Ask::new("POST", HOOKS, body).of(&relay).await;
            let json = answer.json();
            assert_eq!(json["status"], answer.status.to_string());
            (answer.status, json["message"].as_str().unwrap().to_owned())
        };
        assert_eq!(
            refused("{").await,
            (400, "Problems parsing JSON".to_owned())
        );
        assert_eq!(
            refused("[]").await,
            (400, "Body should be a JSON object".to_owned())
        );
        assert_eq!(refused("").await.0, 422);
        for body in [
            r#"{"active":"yes","config":{"url":"http://example.org/"}}"#,
            r#"{"config":"http://example.org/"}"#,
            r#"{"events":"push","config":{"url":"http://example.org/"}}"#,
            r#"{"config":{"url":7}}"#,
        ] {
            let (status, message) = refused(body).await;
            assert!(
                status == 422 && message.starts_with("Invalid request."),
                "{message}"
            );
        }
        for body in [
            r#"{"events":["pushes"],"config":{"url":"http://example.org/"}}"#,
            r#"{"config":{"url":"http://example.org/","content_type":"xml"}}"#,
            r#"{"config":{"url":"http://example.org/","secret":"********"}}"#,
        ] {
            assert_eq!(
                refused(body).await,
                (422, "Validation Failed".to_owned()),
                "{body}"
            );
        }
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn other_paths_are_not_there() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        for target in [
            "/api/v3/",
            "/api/v3/repos/orbit/lander/hooks/",
            "/api/v3/repos/orbit/lander/hooks/x",
        ] {
            assert_eq!(
                Ask::new("GET", target, "").of(&relay).await.status,
                404,
                "{target}"
            );
        }
        relay.finish().await;
    })
    .await;
}

/// The newest delivery, once it is a push.
async fn newest_push(relay: &TestRelay, list: &str) -> Value {
    loop {
        let (_, _, listed) = ask(relay, "GET", list, "").await;
        if listed[0]["event"] == "push" {
            return listed[0].clone();
        }
    }
}

#[tokio::test]
async fn deliveries_tell_what_went_out_and_what_came_back() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let receiver = receiver().await;
        receiver.rule(|it: &Received| match it.header("x-github-event") {
            "ping" => Some(Script::status(204)),
            _ => Some(
                Script::status(202)
                    .header("x-answer", "fine")
                    .body("queued"),
            ),
        });
        let hook = make(
            &relay,
            &json!({ "config": { "url": receiver.url(), "secret": SECRET } }),
        )
        .await;
        receiver.wait_for(1).await;
        happens(&relay, "push", "orbit/lander", 1).await;
        let sent = receiver.wait_for(2).await.pop().unwrap();
        let list = format!("{HOOKS}/{}/deliveries", hook["id"]);
        let newest = newest_push(&relay, &list).await;
        assert_eq!(newest["guid"], "delivery-1");
        let (_, _, full) = ask(&relay, "GET", &format!("{list}/{}", newest["id"]), "").await;
        for (name, value) in newest.as_object().unwrap() {
            assert_eq!(full[name], *value, "{name}");
        }
        assert_eq!(full["request"]["payload"]["before"], "1");
        for name in [
            "X-GitHub-Event",
            "X-GitHub-Hook-ID",
            "X-Hub-Signature",
            "X-Hub-Signature-256",
            "Content-Type",
        ] {
            assert_eq!(
                full["request"]["headers"][name],
                sent.header(&name.to_lowercase()),
                "{name}"
            );
        }
        assert_eq!(full["response"]["headers"]["X-Answer"], "fine");
        assert_eq!(full["response"]["payload"], "queued");
        assert_eq!(full["status_code"], 202);
        assert_eq!(full["repository_id"], 7);
        assert!(!full.to_string().contains(SECRET));
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn failures_fold_into_one_delivery_and_are_told_by_status() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        // Nobody listens there.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", nobody.local_addr().unwrap());
        drop(nobody);
        let hook = make(&relay, &json!({ "config": { "url": url } })).await;
        let target = format!("{HOOKS}/{}", hook["id"]);
        let list = format!("{target}/deliveries");
        let mut first = None;
        // One delivery, whose id grows with its attempts.
        let last = loop {
            let (_, _, listed) = ask(&relay, "GET", &list, "").await;
            assert!(listed.as_array().unwrap().len() <= 1, "{listed}");
            let Some(id) = listed[0]["id"].as_u64() else {
                continue;
            };
            if *first.get_or_insert(id) != id {
                break listed[0].clone();
            }
        };
        assert_eq!(
            (&last["status_code"], &last["status"]),
            (&json!(502), &json!("failed to connect to host"))
        );
        let earlier = format!("{list}/{}", first.unwrap());
        let (status, _, run) = ask(&relay, "GET", &earlier, "").await;
        assert_eq!(
            (status, &run["guid"]),
            (200, &last["guid"]),
            "an attempt is found in its run"
        );
        let (_, _, shown) = ask(&relay, "GET", &target, "").await;
        assert_eq!(shown["last_response"]["status"], "connection_error");
        for (filter, count) in [("success", 0), ("failure", 1)] {
            let (_, _, listed) = ask(&relay, "GET", &format!("{list}?status={filter}"), "").await;
            assert_eq!(listed.as_array().unwrap().len(), count, "{filter}");
        }
        assert_eq!(
            ask(&relay, "GET", &format!("{list}?status=maybe"), "")
                .await
                .0,
            422
        );
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn cursors_lead_forth_and_back() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let receiver = receiver().await;
        let hook = make(&relay, &json!({ "config": { "url": receiver.url() } })).await;
        for number in 1..=6 {
            happens(&relay, "push", "orbit/lander", number).await;
        }
        receiver.wait_for(7).await;
        let list = format!("{HOOKS}/{}/deliveries", hook["id"]);
        let ids = |page: &Value| -> Vec<u64> {
            let items = page.as_array().unwrap().iter();
            items.map(|item| item["id"].as_u64().unwrap()).collect()
        };
        let all = loop {
            let (_, head, all) = ask(&relay, "GET", &list, "").await;
            assert!(!head.contains("\nlink:"), "{head}");
            if ids(&all).len() == 7 {
                break ids(&all);
            }
        };
        let (_, head, first) = ask(&relay, "GET", &format!("{list}?per_page=3"), "").await;
        assert_eq!(ids(&first), all[..3]);
        assert!(
            head.contains(&format!("per_page=3&cursor=v1_{}>; rel=\"next\"", all[3])),
            "{head}"
        );
        assert!(!head.contains("prev") && !head.contains("last") && !head.contains("first\""));
        let middle = format!("{list}?per_page=3&cursor=v1_{}", all[3]);
        let (_, head, second) = ask(&relay, "GET", &middle, "").await;
        assert_eq!(ids(&second), all[3..6]);
        assert!(
            head.contains(&format!("cursor=v1_{}>; rel=\"prev\"", all[0])),
            "{head}"
        );
        assert!(
            head.contains(&format!("cursor=v1_{}>; rel=\"next\"", all[6])),
            "{head}"
        );
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn hooks_of_gogs_api_are_webhooks_too_and_hooks_for_chats_are_none() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = TestRelay::start(folder.path(), &yaml(&tokens()), Clock::system()).await;
        let receiver = receiver().await;
        let gogs = "/api/v1/repos/orbit/lander/hooks";
        for (kind, more) in [("gogs", ""), ("slack", r##","channel":"#dev""##)] {
            let body = format!(
                r#"{{"type":"{kind}","config":{{"url":"{}","content_type":"json"{more}}},"active":true}}"#,
                receiver.url()
            );
            Ask::new("POST", gogs, &body).of(&relay).await.with(201);
        }
        let (_, _, listed) = ask(&relay, "GET", HOOKS, "").await;
        assert_eq!(listed.as_array().unwrap().len(), 1);
        let target = format!("{HOOKS}/{}", listed[0]["id"]);
        let insecure = r#"{"insecure_ssl":"1"}"#;
        assert_eq!(ask(&relay, "PATCH", &format!("{target}/config"), insecure).await.0, 422);
        assert_eq!(ask(&relay, "POST", &format!("{target}/pings"), "").await.0, 204);
        let ping = receiver.wait_for(1).await.pop().unwrap();
        assert_eq!((ping.header("x-gogs-event"), ping.header("user-agent")), ("ping", "GogsServer"));

        make(&relay, &json!({ "config": { "url": receiver.url(), "content_type": "json" } })).await;
        let shown = Ask::new("GET", gogs, "").of(&relay).await.with(200);
        let kinds: Vec<&str> = shown.as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["gogs", "slack", "gogs"]);
        relay.finish().await;
    })
    .await;
}
