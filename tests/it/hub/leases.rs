//! Leases under a clock that is stepped by hand: they end, are renewed, and are kept over restarts.

use std::path::Path;
use std::time::Duration;

use gogs_relay::clock::{Clock, Hand};
use gogs_relay::standin::Script;

use super::reader::{Reader, TOPIC, field, form, has_hooks, met, pushed, start, wish};
use crate::relay::TestRelay;
use crate::world::within;

struct Time {
    clock: Clock,
    hand: Hand,
}

impl Time {
    fn new() -> Time {
        let (clock, hand) = Clock::stepped("2026-02-03T04:05:06Z".parse().unwrap());
        Time { clock, hand }
    }

    fn passes(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }

    async fn relay(&self, folder: &Path) -> TestRelay {
        start(folder, self.clock.clone()).await
    }
}

/// Asks for so many seconds, and waits until the subscription is there or renewed; the seconds
/// that were told.
async fn subscribe(relay: &TestRelay, reader: &Reader, seconds: &str) -> String {
    let callback = reader.callback("a");
    let mut fields = wish("subscribe", TOPIC, &callback);
    fields.push(("hub.lease_seconds", seconds));
    let asked = reader.questions().len();
    let before = until(relay).await;
    assert_eq!(form(&fields).of(relay).await.status, 202);
    let question = reader.is_asked(asked + 1).await;
    has_hooks(relay, |hooks| {
        hooks.first().is_some_and(|hook| hook["until"] != before)
    })
    .await;
    field(&question, "hub.lease_seconds")
}

/// The end of the only subscription; null without any.
async fn until(relay: &TestRelay) -> serde_json::Value {
    let hooks = has_hooks(relay, |_| true).await;
    hooks
        .first()
        .map_or(serde_json::Value::Null, |hook| hook["until"].clone())
}

#[tokio::test]
async fn a_lease_is_within_what_is_allowed_and_ends_when_it_is_over() {
    within(async {
        let (folder, time) = (tempfile::tempdir().unwrap(), Time::new());
        let (relay, reader) = met(folder.path(), time.clock.clone()).await;
        for (wished, told) in [
            ("7", "60"),
            ("99999999999999999999999", "2678400"),
            ("120", "120"),
        ] {
            time.passes(1);
            assert_eq!(subscribe(&relay, &reader, wished).await, told);
        }
        time.passes(119);
        pushed(&relay, 1).await;
        reader.gets(1).await;
        time.passes(1);
        // Nobody has looked at leases yet, perhaps.
        pushed(&relay, 2).await;
        time.passes(5);
        has_hooks(&relay, <[_]>::is_empty).await;
        pushed(&relay, 3).await;
        assert_eq!(reader.deliveries().len(), 1);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_renewed_lease_counts_from_the_question_and_outlives_a_restart() {
    within(async {
        let (folder, time) = (tempfile::tempdir().unwrap(), Time::new());
        let (relay, reader) = met(folder.path(), time.clock.clone()).await;
        subscribe(&relay, &reader, "100").await;
        time.passes(90);
        subscribe(&relay, &reader, "100").await;
        assert_eq!(until(&relay).await, "2026-02-03T04:08:16.000Z");
        relay.finish().await;
        time.passes(90);
        let relay = time.relay(folder.path()).await;
        assert_eq!(until(&relay).await, "2026-02-03T04:08:16.000Z");
        pushed(&relay, 1).await;
        reader.gets(1).await;
        relay.finish().await;
        time.passes(20);
        let relay = time.relay(folder.path()).await;
        has_hooks(&relay, <[_]>::is_empty).await;
        pushed(&relay, 2).await;
        assert_eq!(reader.deliveries().len(), 1);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_is_gone_ends_its_subscription_and_one_that_fails_keeps_it() {
    within(async {
        let (folder, time) = (tempfile::tempdir().unwrap(), Time::new());
        let (relay, reader) = met(folder.path(), time.clock.clone()).await;
        subscribe(&relay, &reader, "2678400").await;
        let refused = [301, 403, 404, 500].map(Script::status);
        let count = refused.len();
        reader.standin.script(refused);
        pushed(&relay, 1).await;
        has_hooks(&relay, |_| {
            time.passes(1);
            reader.deliveries().len() > count
        })
        .await;
        let delivered = reader.gets(count + 1).await;
        assert_eq!(
            (delivered.status, &delivered.json()["before"]),
            (204, &"1".into())
        );
        has_hooks(&relay, |hooks| hooks.len() == 1).await;

        reader.standin.script([Script::status(410)]);
        pushed(&relay, 2).await;
        reader.gets(count + 2).await;
        has_hooks(&relay, |hooks| {
            time.passes(1);
            hooks.is_empty()
        })
        .await;
        pushed(&relay, 3).await;
        assert_eq!(reader.deliveries().len(), count + 2);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_does_not_answer_is_asked_three_times_over_a_restart_as_well() {
    within(async {
        let (folder, time) = (tempfile::tempdir().unwrap(), Time::new());
        let (relay, reader) = met(folder.path(), time.clock.clone()).await;
        reader
            .standin
            .script([503, 503, 503, 503].map(Script::status));
        let callback = reader.callback("a");
        let fields = wish("subscribe", TOPIC, &callback);
        assert_eq!(form(&fields).of(&relay).await.status, 202);
        let asked = time.clock.elapsed();
        for (times, wait) in [(1, 15), (2, 120)] {
            reader.is_asked(times).await;
            let again = time.clock.elapsed() + Duration::from_secs(wait);
            time.hand.someone_sleeps_until(again).await;
            time.passes(wait);
        }
        reader.is_asked(3).await;
        assert_eq!(time.clock.elapsed() - asked, Duration::from_secs(135));
        // Asked three times, it is forgotten, and asked about anew when it comes again.
        assert_eq!(form(&fields).of(&relay).await.status, 202);
        reader.is_asked(4).await;
        relay.finish().await;
        let relay = time.relay(folder.path()).await;
        reader.is_asked(5).await;
        has_hooks(&relay, |hooks| hooks.len() == 1).await;
        relay.finish().await;
    })
    .await;
}
