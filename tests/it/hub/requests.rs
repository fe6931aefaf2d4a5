//! Requests to the hub: which are taken, how they are meant, and what the hook APIs show of them.

use gogs_relay::clock::Clock;
use serde_json::json;

use super::reader::{
    Reader, TOPIC, ask, field, form, form_with_token, has_hooks, met, pushed, read, start,
    subscribed, wish,
};
use crate::api::wire::{self, tokens, yaml};
use crate::relay::TestRelay;
use crate::world::within;

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_plain_text() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        let (callback, long) = (reader.callback("a"), "x".repeat(200));
        let far = format!("http://127.0.0.1:9/{}", "x".repeat(1500));
        let good = wish("subscribe", TOPIC, &callback);
        let with = |name: &'static str, value| {
            let mut fields = good.clone();
            fields.retain(|(key, _)| *key != name);
            fields.push((name, value));
            fields
        };
        for (fields, words) in [
            (with("hub.mode", ""), "hub.mode is missing"),
            (with("hub.mode", "ask"), "not subscribe or unsubscribe"),
            (with("hub.topic", ""), "hub.topic is missing"),
            (with("hub.topic", "push"), "none that can be subscribed to"),
            (with("hub.callback", ""), "hub.callback is missing"),
            (with("hub.callback", "in"), "hub.callback is no URL"),
            (with("hub.callback", "ftp://x/"), "neither http nor https"),
            (with("hub.callback", "http://127.0.0.1:9/#a"), "fragment"),
            (with("hub.callback", "http://a:b@127.0.0.1:9/"), "user name"),
            (
                with("hub.callback", "http://10.0.0.1/"),
                "a private address",
            ),
            (with("hub.callback", "http://169.254.169.254/"), "metadata"),
            (with("hub.callback", &far), "longer than 1500 bytes"),
            (with("hub.secret", &long), "less than 200 bytes"),
            (with("hub.lease_seconds", "0"), "above zero"),
            (with("hub.lease_seconds", "-60"), "above zero"),
            (with("hub.lease_seconds", "1h"), "above zero"),
            (with("hub.verify", "never"), "neither sync nor async"),
        ] {
            let refused = form(&fields).of(&relay).await;
            assert_eq!(refused.status, 400, "{fields:?} {refused:?}");
            assert!(refused.body.contains(words), "{words}: {refused:?}");
            assert!(refused.head.contains("text/plain"), "{refused:?}");
        }
        assert_eq!(reader.standin.received().len(), 0);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_no_form_and_no_post_is_refused() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let mut json = form(&wish("subscribe", TOPIC, "http://127.0.0.1:9/"));
        json.headers[0].1 = "application/json".to_owned();
        assert_eq!(json.of(&relay).await.status, 400);
        assert_eq!(read(&relay, "/hub", &[]).await.status, 405);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn older_readers_are_asked_before_they_are_answered_if_they_want_it() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        let callback = reader.callback("a");
        let mut fields = wish("subscribe", TOPIC, &callback);
        fields.extend([("hub.verify", "sync"), ("hub.verify", "async")]);
        fields.extend([("hub.verify_token", "t0ken"), ("hub.lease_seconds", "")]);
        reader.agree(false);
        let refused = form(&fields).of(&relay).await;
        assert_eq!(refused.status, 409);
        assert!(refused.body.contains("it answered 404"), "{refused:?}");
        has_hooks(&relay, <[_]>::is_empty).await;
        reader.agree(true);
        assert_eq!(form(&fields).of(&relay).await.status, 204);
        let question = reader.is_asked(2).await;
        assert_eq!(field(&question, "hub.verify_token"), "t0ken");
        assert_eq!(field(&question, "hub.lease_seconds"), "864000");
        pushed(&relay, 1).await;
        reader.gets(1).await;
        fields[0].1 = "unsubscribe";
        fields[3].1 = "async,sync";
        fields.swap(3, 4);
        assert_eq!(form(&fields).of(&relay).await.status, 202);
        has_hooks(&relay, <[_]>::is_empty).await;
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_token_makes_it_github_s_call_unless_a_word_of_websub_says_otherwise() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = (
            start(folder.path(), Clock::system()).await,
            Reader::start().await,
        );
        let topic = "https://github.com/orbit/lander/events/push";
        let callback = reader.callback("a");
        let fields = wish("subscribe", topic, &callback);
        let with = |more| [&fields[..], more].concat();
        assert_eq!(form_with_token(&fields).of(&relay).await.status, 204);
        has_hooks(&relay, |hooks| hooks[0]["kind"] == "github").await;
        assert_eq!(reader.questions().len(), 0);

        let lease = with(&[("hub.lease_seconds", "60")]);
        let mut mode = form_with_token(&fields);
        mode.target = "/api/v3/hub?mode=websub";
        let verify = with(&[("hub.verify", "async")]);
        let asks = [form_with_token(&lease), mode, form_with_token(&verify)];
        for (at, request) in asks.into_iter().enumerate() {
            assert_eq!(request.of(&relay).await.status, 202);
            reader.is_asked(at + 1).await;
        }
        has_hooks(&relay, |hooks| hooks.len() == 2).await;

        let shown = wire::ask(&relay, "GET", "/api/v3/repos/orbit/lander/hooks", "").await;
        let shown = shown.with(200);
        let id = shown[1]["id"].as_u64().unwrap();
        assert_eq!(shown[1]["config"]["url"], callback);
        let (_, own) = relay.api(&format!("GET /v1/hooks/{id}"), "").await;
        assert_eq!(
            (&own["kind"], &own["topic"]),
            (&json!("websub"), &json!(topic))
        );
        let of_gogs = wire::ask(&relay, "GET", "/api/v1/repos/orbit/lander/hooks", "").await;
        assert_eq!(of_gogs.with(200).as_array().unwrap().len(), 1);
        let target = format!("/api/v3/repos/orbit/lander/hooks/{id}");
        let elsewhere = r#"{"config":{"url":"http://127.0.0.1:9/"}}"#;
        wire::ask(&relay, "PATCH", &target, elsewhere)
            .await
            .with(422);
        wire::ask(&relay, "POST", &format!("{target}/pings"), "")
            .await
            .with(204);
        wire::ask(&relay, "DELETE", &target, "").await.with(204);
        assert_eq!(reader.deliveries().len(), 0);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn announcing_an_update_is_taken_and_changes_nothing() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        subscribed(&relay, &reader, TOPIC, &reader.callback("a")).await;
        for name in ["hub.url", "hub.topic"] {
            let fields = [("hub.mode", "publish"), (name, TOPIC)];
            assert_eq!(form(&fields).of(&relay).await.status, 204);
        }
        let fields = [("hub.mode", "publish")];
        assert_eq!(form(&fields).of(&relay).await.status, 400);
        pushed(&relay, 1).await;
        assert_eq!(reader.gets(1).await.json()["before"], "1");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn without_egress_to_it_no_reader_on_this_machine_is_asked() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let yaml = yaml(&tokens()).replace("egress: { allow: [127.0.0.0/8] }\n", "");
        let yaml = format!("{yaml}hub: {{ open: [\"orbit/*\"] }}\n");
        let relay = TestRelay::start(folder.path(), &yaml, Clock::system()).await;
        let reader = Reader::start().await;
        pushed(&relay, 0).await;
        for callback in [&*reader.callback("a"), "http://localhost.:9/"] {
            let refused = ask(&relay, "subscribe", TOPIC, callback).await;
            assert_eq!(refused.status, 400);
            assert!(refused.body.contains("a loopback address"), "{refused:?}");
        }
        assert_eq!(reader.standin.received().len(), 0);
        relay.finish().await;
    })
    .await;
}
