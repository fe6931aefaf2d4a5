//! What is private stays so: for who asks, who subscribes, and who subscribed before.

use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::standin::Received;

use super::reader::{
    Reader, TOPIC, ask, config, field, form_with_token, happens, has_hooks, met, pushed, read,
    start, subscribed, wish,
};
use crate::api::wire::{Ask, TOKEN};
use crate::relay::TestRelay;
use crate::world::within;

const PUBLIC: (&str, &str) = ("orbit/public-1", "false");
const PRIVATE: (&str, &str) = ("orbit/public-1", "true");

#[tokio::test]
async fn what_is_private_unknown_or_not_open_is_answered_like_what_is_not_there() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = (
            start(folder.path(), Clock::system()).await,
            Reader::start().await,
        );
        happens(&relay, "push", ("orbit/public-secret", "true"), 1).await;
        happens(&relay, "push", ("orbit/public-odd", "null"), 1).await;
        happens(&relay, "push", ("orbit/lander", "false"), 1).await;
        let callback = reader.callback("a");
        let nowhere = read(&relay, "/nowhere/at-all/events/push", &[]).await;
        for repository in ["public-secret", "public-odd", "lander", "public-unknown"] {
            let path = format!("/orbit/{repository}/events/push");
            let content = read(&relay, &path, &[]).await;
            assert_eq!((content.status, &content.body), (404, &nowhere.body));
            assert!(!content.head.contains("link:"), "{content:?}");
            let topic = format!("http://127.0.0.1:8025{path}");
            for mode in ["subscribe", "unsubscribe"] {
                let refused = ask(&relay, mode, &topic, &callback).await;
                let words = format!("hub.topic {topic:?} is none that can be subscribed to here\n");
                assert_eq!((refused.status, refused.body), (400, words));
            }
        }
        assert_eq!(reader.questions().len(), 0);

        // Who has a token for it reads and subscribes.
        let token = format!("token {TOKEN}");
        let headers = [("Authorization", token.as_str())];
        let content = read(&relay, "/orbit/public-secret/events/push", &headers).await;
        assert_eq!(content.json()["repository"]["private"], true);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn when_a_repository_turns_private_who_came_without_credentials_is_told_and_gets_nothing() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), Clock::system()).await;
        let trusted = Reader::start().await;
        subscribed(&relay, &reader, TOPIC, &reader.callback("a")).await;
        let callback = trusted.callback("b");
        let mut fields = wish("subscribe", TOPIC, &callback);
        fields.push(("hub.lease_seconds", "600"));
        assert_eq!(form_with_token(&fields).of(&relay).await.status, 202);
        has_hooks(&relay, |hooks| hooks.len() == 2).await;
        pushed(&relay, 1).await;
        reader.gets(1).await;
        trusted.gets(1).await;

        happens(&relay, "push", PRIVATE, 2).await;
        let denied = reader.is_asked(2).await;
        assert_eq!(field(&denied, "hub.mode"), "denied");
        assert_eq!(field(&denied, "hub.topic"), TOPIC);
        assert_eq!(field(&denied, "hub.challenge"), "");
        has_hooks(&relay, |hooks| hooks.len() == 1).await;
        assert_eq!(trusted.gets(2).await.json()["before"], "2");
        assert_eq!(reader.deliveries().len(), 1);
        assert_eq!(
            ask(&relay, "subscribe", TOPIC, &reader.callback("a"))
                .await
                .status,
            400
        );
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_was_seen_last_counts_after_a_restart_too() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let path = "/orbit/public-1/events/push";
        let mut relay = start(folder.path(), Clock::system()).await;
        for (number, (seen, status)) in [(PUBLIC, 200), (PRIVATE, 404), (PUBLIC, 200)]
            .into_iter()
            .enumerate()
        {
            happens(&relay, "push", seen, number as u32).await;
            let answer = read(&relay, path, &[]).await;
            assert_eq!(answer.status, status, "{number}: {answer:?}");
            relay.finish().await;
            relay = start(folder.path(), Clock::system()).await;
            assert_eq!(read(&relay, path, &[]).await.status, status);
        }
        relay.finish().await;
        // Without a hub nobody notes it, and the newest event is found all the same.
        let without = config("orbit/public-*").replace("hub:", "hub: { enabled: false }\n#");
        let relay = TestRelay::start(folder.path(), &without, Clock::system()).await;
        happens(&relay, "push", PRIVATE, 3).await;
        relay.finish().await;
        let relay = start(folder.path(), Clock::system()).await;
        assert_eq!(read(&relay, path, &[]).await.status, 404);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_happened_while_a_repository_was_private_is_not_shown_when_it_is_public_again() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        happens(&relay, "push", PRIVATE, 1).await;
        happens(&relay, "issues", PUBLIC, 2).await;
        let read = async |event: &str| {
            let content = read(&relay, &format!("/orbit/public-1/events/{event}"), &[]).await;
            assert!(!content.body.contains("\"private\":true"), "{content:?}");
            content.status
        };
        assert_eq!((read("push").await, read("issues").await), (404, 200));
        assert_eq!(read("*").await, 200);
        pushed(&relay, 3).await;
        assert_eq!(read("push").await, 200);
        relay.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_events_meet_no_private_one_reaches_who_came_without_credentials() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let (mut public, mut denied) = (0, 0);
        for round in 0..10 {
            let (number, reader) = (10 * round, Reader::start().await);
            pushed(&relay, number).await;
            subscribed(&relay, &reader, TOPIC, &reader.callback("a")).await;
            tokio::join!(
                happens(&relay, "push", PUBLIC, number + 1),
                happens(&relay, "push", PRIVATE, number + 2),
                happens(&relay, "push", PUBLIC, number + 3),
                happens(&relay, "push", PRIVATE, number + 4),
                happens(&relay, "push", PUBLIC, number + 5),
            );
            happens(&relay, "push", PRIVATE, number + 6).await;
            has_hooks(&relay, <[_]>::is_empty).await;
            reader.is_asked(2).await;
            let deliveries = reader.deliveries();
            let is_public = |it: &Received| it.json()["repository"]["private"] == false;
            assert!(deliveries.iter().all(is_public), "round {round}");
            public += deliveries.len();
            denied += reader.questions().len() - 1;
        }
        figure!(
            "{public} public events in 10 rounds, 0 private ones, {denied} readers told of the end"
        );
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn topics_that_are_no_longer_open_end_and_a_hub_that_is_switched_off_sends_nothing() {
    within(async {
        let (clock, hand) = Clock::stepped("2026-02-03T04:05:06Z".parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let (relay, reader) = met(folder.path(), clock).await;
        subscribed(&relay, &reader, TOPIC, &reader.callback("a")).await;
        let off = config("orbit/public-*").replace("hub:", "hub: { enabled: false }\n#");
        assert_eq!(relay.reload(&off).await.0, 200);
        pushed(&relay, 1).await;
        assert_eq!(
            ask(&relay, "subscribe", TOPIC, &reader.callback("a"))
                .await
                .status,
            404
        );
        assert_eq!(relay.reload(&config("orbit/public-*")).await.0, 200);
        pushed(&relay, 2).await;
        assert_eq!(reader.gets(1).await.json()["before"], "2");

        assert_eq!(relay.reload(&config("orbit/other-*")).await.0, 200);
        pushed(&relay, 3).await;
        has_hooks(&relay, |hooks| {
            hand.advance(Duration::from_secs(1));
            hooks.is_empty()
        })
        .await;
        let denied = reader.is_asked(2).await;
        assert_eq!(field(&denied, "hub.mode"), "denied");
        assert_eq!(reader.deliveries().len(), 1);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_token_is_no_way_in() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        pushed(&relay, 1).await;
        for method in ["GET", "POST"] {
            let target = match method {
                "GET" => "/orbit/public-1/events/push",
                _ => "/hub",
            };
            let headers = vec![("Authorization", "token another-t0ken".to_owned())];
            let body = Vec::new();
            let asked = Ask {
                method,
                target,
                headers,
                body,
            }
            .of(&relay)
            .await;
            assert_eq!(asked.status, 401, "{asked:?}");
        }
        relay.finish().await;
    })
    .await;
}
