//! What websub.rocks checks of a hub (its tests 100 to 106), in our own words.

use gogs_relay::clock::Clock;
use gogs_relay::standin::Received;

use super::reader::{
    Reader, TOPIC, ask, field, form, has_hooks, met, pushed, read, start, subscribed, wish,
};
use crate::binary::signature;
use crate::relay::TestRelay;
use crate::world::within;

const PATH: &str = "/orbit/public-1/events/push";

/// A delivery is the content of the topic, with its type and its links.
async fn is_the_topic(relay: &TestRelay, delivery: &Received, topic: &str) {
    let path = topic.strip_prefix("http://127.0.0.1:8025").unwrap();
    let content = read(relay, path, &[]).await;
    assert_eq!(content.status, 200);
    assert!(!content.body.is_empty());
    assert_eq!(content.body.as_bytes(), &delivery.body);
    let media = format!("content-type: {}", delivery.header("content-type"));
    assert!(content.head.contains(&media), "{content:?}");
    let link = format!("<http://127.0.0.1:8025/hub>; rel=\"hub\", <{topic}>; rel=\"self\"");
    assert_eq!(delivery.header("link"), link);
}

#[tokio::test]
async fn check_100_a_reader_subscribes_is_asked_and_gets_the_topic_unsigned() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        let callback = reader.callback("x%2fy&hub.mode=mine");
        subscribed(&relay, &reader, TOPIC, &callback).await;
        let question = reader.is_asked(1).await;
        assert!(
            question
                .target
                .starts_with("/in?for=x%2fy&hub.mode=mine&hub.mode=subscribe&")
        );
        assert_eq!(field(&question, "hub.topic"), TOPIC);
        assert_eq!(field(&question, "hub.lease_seconds"), "864000");
        assert!(field(&question, "hub.challenge").len() >= 32);
        pushed(&relay, 1).await;
        let delivery = reader.gets(1).await;
        assert_eq!(delivery.target, "/in?for=x%2fy&hub.mode=mine");
        assert_eq!(delivery.json()["before"], "1");
        assert!(
            !delivery
                .headers
                .keys()
                .any(|name| name.as_str().contains("signature"))
        );
        is_the_topic(&relay, &delivery, TOPIC).await;
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn check_101_and_102_a_secret_signs_and_unknown_parameters_change_nothing() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        let (callback, secret) = (reader.callback("a"), "s".repeat(199));
        let mut fields = wish("subscribe", TOPIC, &callback);
        fields.extend([
            ("hub.secret", secret.as_str()),
            ("hub.foo", "bar"),
            ("foo", ""),
        ]);
        assert_eq!(form(&fields).of(&relay).await.status, 202);
        has_hooks(&relay, |hooks| hooks.len() == 1).await;
        pushed(&relay, 1).await;
        let delivery = reader.gets(1).await;
        let body = std::str::from_utf8(&delivery.body).unwrap();
        let signed = format!("sha256={}", signature(&secret, body));
        assert_eq!(delivery.header("x-hub-signature"), signed);
        is_the_topic(&relay, &delivery, TOPIC).await;
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn check_103_who_subscribes_again_gets_everything_once_under_the_new_secret() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        let callback = reader.callback("a");
        subscribed(&relay, &reader, TOPIC, &callback).await;
        let mut fields = wish("subscribe", TOPIC, &callback);
        fields.push(("hub.secret", "refused"));
        reader.agree(false);
        assert_eq!(form(&fields).of(&relay).await.status, 202);
        reader.is_asked(2).await;
        pushed(&relay, 1).await;
        assert_eq!(reader.gets(1).await.header("x-hub-signature"), "");

        reader.agree(true);
        fields[3].1 = "agreed";
        assert_eq!(form(&fields).of(&relay).await.status, 202);
        reader.is_asked(3).await;
        let hooks = has_hooks(&relay, |hooks| hooks[0]["has_secret"] == true).await;
        assert_eq!(hooks.len(), 1);
        pushed(&relay, 2).await;
        let delivery = reader.gets(2).await;
        let body = std::str::from_utf8(&delivery.body).unwrap();
        let signed = format!("sha256={}", signature("agreed", body));
        assert_eq!(delivery.header("x-hub-signature"), signed);
        pushed(&relay, 3).await;
        assert_eq!(reader.gets(3).await.json()["before"], "3");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn check_104_who_unsubscribes_is_asked_and_gets_nothing_more() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        let other = Reader::start().await;
        let callback = reader.callback("a");
        subscribed(&relay, &reader, TOPIC, &callback).await;
        subscribed(&relay, &other, TOPIC, &other.callback("b")).await;
        // Nobody else can end it.
        reader.agree(false);
        assert_eq!(
            ask(&relay, "unsubscribe", TOPIC, &callback).await.status,
            202
        );
        reader.is_asked(2).await;
        pushed(&relay, 1).await;
        reader.gets(1).await;

        reader.agree(true);
        assert_eq!(
            ask(&relay, "unsubscribe", TOPIC, &callback).await.status,
            202
        );
        let question = reader.is_asked(3).await;
        assert_eq!(field(&question, "hub.mode"), "unsubscribe");
        assert_eq!(field(&question, "hub.lease_seconds"), "");
        has_hooks(&relay, |hooks| hooks.len() == 1).await;
        pushed(&relay, 2).await;
        other.gets(2).await;
        assert_eq!(reader.deliveries().len(), 1);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn check_105_and_106_a_topic_of_plain_text_and_one_of_json_keep_their_types() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        for (number, suffix, media) in [
            (1, ".txt", "text/plain; charset=utf-8"),
            (2, ".json", "application/json"),
        ] {
            let topic = format!("{TOPIC}{suffix}");
            let callback = reader.callback(suffix);
            subscribed(&relay, &reader, &topic, &callback).await;
            has_hooks(&relay, |hooks| hooks.len() == 1).await;
            pushed(&relay, number).await;
            let delivery = reader.gets(number as usize).await;
            assert_eq!(delivery.header("content-type"), media);
            is_the_topic(&relay, &delivery, &topic).await;
            assert_eq!(
                ask(&relay, "unsubscribe", &topic, &callback).await.status,
                202
            );
            has_hooks(&relay, <[_]>::is_empty).await;
        }
        let text = read(&relay, &format!("{PATH}.txt"), &[]).await.body;
        assert_eq!(text, "push on main in orbit/public-1 by mira\n");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_topic_tells_where_to_subscribe_in_the_form_that_is_asked_for() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        pushed(&relay, 1).await;
        let base = "http://elsewhere.example";
        for (accept, suffix) in [
            ("*/*", ""),
            ("application/json", ".json"),
            ("text/html, text/plain;q=0.5", ".txt"),
        ] {
            let content = read(&relay, PATH, &[("Accept", accept)]).await;
            let link = format!("<{base}/hub>; rel=\"hub\", <{base}{PATH}{suffix}>; rel=\"self\"");
            assert!(
                content.head.contains(&format!("link: {link}")),
                "{content:?}"
            );
            assert!(content.head.contains("vary: accept"), "{content:?}");
            assert_eq!(content.status, 200);
        }
        let before = read(&relay, "/orbit/public-1/events/issues", &[]).await;
        assert_eq!(before.status, 404);
        assert!(before.head.contains("rel=\"hub\""), "{before:?}");
        relay.finish().await;
    })
    .await;
}
