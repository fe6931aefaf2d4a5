//! GitHub's `POST /hub`, asked as GitHub's clients ask, and the hooks that come of it.

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, Script, StandIn};
use serde_json::{Value, json};

use super::wire::{Answer, Ask, TOKEN, ask, happens, tokens, yaml};
use crate::binary::signature;
use crate::relay::TestRelay;
use crate::world::within;

const HOOKS: &str = "/api/v3/repos/orbit/lander/hooks";
const PUSH: &str = "https://github.com/orbit/lander/events/push";

async fn receiver() -> StandIn {
    let standin = StandIn::start(FakeGogs::default(), Clock::system());
    let standin = standin.await.unwrap();
    standin.rule(|_| Some(Script::status(204)));
    standin
}

async fn start(folder: &std::path::Path) -> TestRelay {
    let yaml = yaml(&tokens()) + "hub: {}\n";
    TestRelay::start(folder, &yaml, Clock::system()).await
}

/// Fields as `PyGithub` sends them.
fn multipart(fields: &[(&str, &str)]) -> Ask<'static> {
    let part = |(name, value): &(&str, &str)| {
        format!("--BoUnD\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let mut body: String = fields.iter().map(part).collect();
    body.push_str("--BoUnD--\r\n");
    post(TOKEN, "multipart/form-data; boundary=BoUnD", &body)
}

/// Fields as go-github and octokit.rb send them.
fn form(fields: &[(&str, &str)]) -> Ask<'static> {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    post(TOKEN, "application/x-www-form-urlencoded", &body.finish())
}

fn post(token: &str, content_type: &str, body: &str) -> Ask<'static> {
    let headers = vec![
        ("Authorization", format!("token {token}")),
        ("Accept", "application/vnd.github.v3+json".to_owned()),
        ("Content-Type", content_type.to_owned()),
    ];
    Ask {
        method: "POST",
        target: "/api/v3/hub",
        headers,
        body: body.into(),
    }
}

async fn hooks(relay: &TestRelay) -> Value {
    ask(relay, "GET", HOOKS, "").await.with(200)
}

#[track_caller]
fn is_done(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert!(!answer.head.contains("content-type"), "{answer:?}");
}

#[tokio::test]
async fn a_multipart_subscription_is_a_hook_that_gets_signed_forms_with_links() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, receiver) = (start(folder.path()).await, receiver().await);
        let url = receiver.url();
        let fields = [
            ("hub.callback", url.as_str()),
            ("hub.topic", PUSH),
            ("hub.mode", "subscribe"),
            ("hub.secret", "receiver-s3cret"),
        ];
        is_done(&multipart(&fields).of(&relay).await);
        let hooks = hooks(&relay).await;
        assert_eq!(hooks.as_array().unwrap().len(), 1);
        let config = json!({ "url": url, "content_type": "form", "insecure_ssl": "0", "secret": "********" });
        assert_eq!((&hooks[0]["name"], &hooks[0]["config"]), (&json!("web"), &config));
        assert_eq!(hooks[0]["events"], json!(["push"]));

        happens(&relay, "push", "orbit/lander", 1).await;
        let delivery = receiver.wait_for(1).await.pop().unwrap();
        assert_eq!(delivery.header("x-github-event"), "push");
        let body = std::str::from_utf8(&delivery.body).unwrap();
        let signed = format!("sha256={}", signature("receiver-s3cret", body));
        assert_eq!(delivery.header("x-hub-signature-256"), signed);
        assert!(delivery.header("x-hub-signature").starts_with("sha1="));
        let payload: Value = serde_json::from_slice(&FakeGogs::payload(&delivery).unwrap()).unwrap();
        assert_eq!(payload["before"], "1");
        let base = "http://127.0.0.1:8025";
        let link = format!("<{base}/hub>; rel=\"hub\", <{base}/orbit/lander/events/push>; rel=\"self\"");
        assert_eq!(delivery.header("link"), link);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn events_of_one_callback_are_united_and_the_last_one_takes_the_hook_with_it() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, receiver) = (start(folder.path()).await, receiver().await);
        let url = receiver.url();
        let subscribe = |mode, event: &str, secret| {
            let topic = format!("http://127.0.0.1:8025/Orbit/Lander/events/{event}");
            let fields = [
                ("hub.callback", url.as_str()),
                ("hub.mode", mode),
                ("hub.topic", topic.as_str()),
                ("hub.secret", secret),
            ];
            form(&fields)
        };
        is_done(
            &subscribe("subscribe", "push.json", "s3cret")
                .of(&relay)
                .await,
        );
        is_done(&subscribe("subscribe", "push.json", "").of(&relay).await);
        is_done(&subscribe("subscribe", "issues.json", "").of(&relay).await);
        let hooks_now = hooks(&relay).await;
        assert_eq!(hooks_now.as_array().unwrap().len(), 1);
        assert_eq!(hooks_now[0]["events"], json!(["push", "issues"]));
        assert_eq!(hooks_now[0]["config"]["content_type"], "json");
        assert_eq!(hooks_now[0]["config"]["secret"], "********");
        happens(&relay, "issues", "orbit/lander", 1).await;
        assert_eq!(receiver.wait_for(1).await[0].json()["before"], "1");

        is_done(&subscribe("unsubscribe", "push.json", "").of(&relay).await);
        is_done(
            &subscribe("unsubscribe", "release.json", "")
                .of(&relay)
                .await,
        );
        assert_eq!(hooks(&relay).await[0]["events"], json!(["issues"]));
        is_done(&subscribe("unsubscribe", "issues", "").of(&relay).await);
        is_done(&subscribe("unsubscribe", "issues", "").of(&relay).await);
        assert_eq!(hooks(&relay).await, json!([]));
        happens(&relay, "issues", "orbit/lander", 2).await;
        assert_eq!(receiver.received().len(), 1);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn json_is_had_by_asking_for_it_and_other_repositories_have_hooks_of_their_own() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path()).await;
        for (repository, accept) in [("lander", "application/json"), ("rover", "*/*")] {
            let topic = format!("https://github.com/orbit/{repository}/events/push");
            let fields = [
                ("hub.callback", "http://127.0.0.1:9/in?a=b"),
                ("hub.mode", "subscribe"),
                ("hub.topic", topic.as_str()),
            ];
            let mut ask = form(&fields);
            ask.target = "/hub";
            ask.headers[1].1 = accept.to_owned();
            is_done(&ask.of(&relay).await);
        }
        assert_eq!(hooks(&relay).await[0]["config"]["content_type"], "json");
        let other = ask(&relay, "GET", "/api/v3/repos/orbit/rover/hooks", "").await;
        assert_eq!(other.with(200)[0]["config"]["content_type"], "form");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_github_would_refuse_is_refused_in_its_words() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path()).await;
        let callback = ("hub.callback", "http://127.0.0.1:9/in");
        let (mode, topic) = (("hub.mode", "subscribe"), ("hub.topic", PUSH));
        let foreign = "https://github.com/apollo/lander/events/push";
        let not_found = |topic: &str| format!("No repository found for hub.topic: {topic:?}");
        let elsewhere = "https://nowhere.example/orbit/lander/events/push";
        let unknown = "https://github.com/orbit/lander/events/pushes";
        for (fields, words) in [
            (vec![mode, topic], "Needs hub.callback.".to_owned()),
            (vec![callback, topic], "Needs hub.mode.".to_owned()),
            (vec![callback, mode], "Needs hub.topic.".to_owned()),
            (vec![callback, topic, ("hub.mode", "ask")], "Invalid hub.mode: \"ask\"".to_owned()),
            (vec![mode, topic, ("hub.callback", "")], "Invalid hub.callback: ''".to_owned()),
            (
                vec![mode, topic, ("hub.callback", "github://Email?address=a@b.c")],
                "Invalid hub.callback: 'github://Email?address=a@b.c' (the URL is neither http nor https)".to_owned(),
            ),
            (vec![callback, mode, ("hub.topic", foreign)], not_found(foreign)),
            (vec![callback, mode, ("hub.topic", elsewhere)], not_found(elsewhere)),
            (vec![callback, mode, ("hub.topic", unknown)], not_found(unknown)),
        ] {
            let told = form(&fields).of(&relay).await.with(422);
            assert_eq!(told["message"], words);
            assert!(told["documentation_url"].is_string(), "{told}");
        }
        let json = r#"{"hub.mode":"subscribe","hub.callback":"http://127.0.0.1:9/in"}"#;
        let told = post(TOKEN, "application/json", json).of(&relay).await.with(422);
        assert_eq!(told["message"], "Invalid hub.callback: ''");
        let wrong = post("another-t0ken", "application/x-www-form-urlencoded", "").of(&relay);
        assert_eq!(wrong.await.with(401)["message"], "Bad credentials");
        let mut nobody = form(&[callback, mode, topic]);
        nobody.headers.remove(0);
        let told = nobody.of(&relay).await.with(401);
        assert_eq!(told["message"], "Requires authentication");
        assert_eq!(hooks(&relay).await, json!([]));
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn without_a_hub_there_is_none_and_deliveries_carry_no_links() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = TestRelay::start(folder.path(), &yaml(&tokens()), Clock::system()).await;
        let receiver = receiver().await;
        let hook = json!({ "config": { "url": receiver.url() } }).to_string();
        ask(&relay, "POST", HOOKS, &hook).await.with(201);
        assert_eq!(form(&[]).of(&relay).await.status, 404);
        let ping = receiver.wait_for(1).await.pop().unwrap();
        assert_eq!(ping.header("link"), "");
        relay.finish().await;
    })
    .await;
}
