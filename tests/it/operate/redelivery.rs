//! Sending again: one, many by a filter, and what never comes twice.

use std::collections::BTreeSet;

use gogs_relay::delivery::{Reason, State};
use gogs_relay::queue::{Again, Filter, QueueError, Settlement};

use super::desk::{Desk, HOUR, strict};

fn dead(lane: &str) -> Filter {
    Filter {
        state: Some(State::Dead),
        destination: Some(lane.into()),
        ..Filter::default()
    }
}

const DRY_RUN: Again = Again {
    dry_run: true,
    limit: None,
    cursor: None,
};

#[tokio::test]
async fn dead_letters_of_a_full_log_come_back_in_the_order_of_their_events() {
    let lanes = [strict("chat"), strict("ci")];
    let mut desk = Desk::with(&lanes, |options| options.backlog = 200);
    desk.queue.hold("chat", "away".into()).await.unwrap();
    desk.append_many(1000, &["chat", "ci"]).await;
    while desk.queue.stats().events > 200 {
        desk.deliver_all("ci").await;
        tokio::task::yield_now().await;
    }
    let count = desk.lane("chat").dead;
    assert!(count >= 800, "{count} dead letters");
    let counted = desk
        .queue
        .redeliver_all(dead("chat"), DRY_RUN)
        .await
        .unwrap();
    assert_eq!((counted.matched, counted.requeued), (count, 0));
    let sample: Vec<u64> = counted.sample.iter().map(|it| it.event.0).collect();
    assert_eq!(sample, [1, 2, 3, 4, 5]);
    assert_eq!(desk.lane("chat").dead, count, "a dry run changes nothing");

    // In parts, as the command does it, with a crash between two.
    let mut cursor = None;
    let mut requeued = 0;
    loop {
        let part = Again {
            limit: Some(300),
            cursor,
            ..Again::default()
        };
        let done = desk.queue.redeliver_all(dead("chat"), part).await.unwrap();
        requeued += done.requeued;
        cursor = done.next;
        if cursor.is_none() {
            break;
        }
        desk.crash().await;
    }
    assert_eq!(requeued, count);
    let again = desk.queue.redeliver_all(dead("chat"), Again::default());
    assert_eq!(again.await.unwrap().requeued, 0, "none waits twice");
    desk.queue.resume("chat").await.unwrap();
    let all: Vec<u64> = (1..=1000).collect();
    assert_eq!(desk.deliver_all("chat").await, all);
    let first = desk.delivery(1, "chat").await.unwrap();
    assert_eq!((first.state, first.round), (State::Delivered, 2));
}

#[tokio::test]
async fn a_filter_says_which_are_sent_again_and_what_waits_is_never_doubled() {
    let mut desk = Desk::new(&[strict("chat"), strict("ci")]);
    for _ in 0..10 {
        desk.append(&["chat", "ci"]).await;
    }
    for _ in 0..10 {
        desk.attempt("chat", Settlement::Dead(Reason::ContentRefused))
            .await;
        desk.attempt("ci", Settlement::Dead(Reason::ContentRefused))
            .await;
    }
    assert!(desk.again(6, "chat").await.unwrap());
    assert!(!desk.again(6, "chat").await.unwrap(), "it waits already");
    let rovers = Filter {
        repo: Some("Orbit/Rover".into()),
        ..dead("chat")
    };
    let done = desk
        .queue
        .redeliver_all(rovers, Again::default())
        .await
        .unwrap();
    assert_eq!(
        (done.matched, done.requeued),
        (2, 2),
        "3 and 9, for 6 waits"
    );
    assert_eq!(desk.deliver_all("chat").await, [3, 6, 9]);
    desk.hand.advance(HOUR);
    desk.append(&["chat"]).await;
    desk.attempt("chat", Settlement::Dead(Reason::ContentRefused))
        .await;
    let recent = Filter {
        since: Some(desk.clock.now()),
        destination: None,
        ..dead("chat")
    };
    let done = desk
        .queue
        .redeliver_all(recent, Again::default())
        .await
        .unwrap();
    assert_eq!(done.requeued, 1);
    assert_eq!(desk.deliver_all("chat").await, [11]);
    let whole = Filter::default();
    let refused = desk.queue.redeliver_all(whole, Again::default()).await;
    assert!(matches!(refused, Err(QueueError::Refused(_))));
}

#[tokio::test]
async fn what_cannot_go_again_is_counted_and_left() {
    let lanes = [strict("chat")];
    let mut desk = Desk::with(&lanes, |options| options.backlog = 10);
    for _ in 0..10 {
        desk.append_many(30, &["chat"]).await;
        desk.deliver_all("chat").await;
    }
    while desk.queue.stats().events > 10 {
        tokio::task::yield_now().await;
    }
    let delivered = Filter {
        state: Some(State::Delivered),
        ..dead("chat")
    };
    let done = desk
        .queue
        .redeliver_all(delivered, Again::default())
        .await
        .unwrap();
    assert_eq!(done.matched, done.requeued + done.impossible);
    assert!(
        done.impossible > 0,
        "old pages are gone, and were needed by nobody"
    );
    let gone = desk.find_state(State::Delivered, "chat").await;
    let left = desk.again(gone[0], "chat").await;
    assert!(matches!(left, Err(QueueError::NoSuchEvent(_))));
}

/// The ids of the attempts that are known of the first events.
async fn attempts_of(desk: &Desk, events: u64) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    for event in 1..=events {
        for lane in ["chat", "ci"] {
            let delivery = desk.delivery(event, lane).await.unwrap();
            ids.extend(delivery.attempts.iter().map(|attempt| attempt.id));
        }
    }
    ids
}

#[tokio::test]
async fn every_attempt_has_an_id_of_its_own_whatever_happens_between() {
    let mut desk = Desk::new(&[strict("chat"), strict("ci")]);
    let mut used = BTreeSet::new();
    for round in 0..6 {
        let kept = attempts_of(&desk, round).await;
        desk.append(&["chat", "ci"]).await;
        for lane in ["chat", "ci"] {
            let dead = Settlement::Dead(Reason::ContentRefused);
            let event = desk.attempt(lane, dead).await;
            assert!(desk.again(event.0, lane).await.unwrap());
            let event = desk.attempt(lane, Settlement::Delivered).await;
            let delivery = desk.delivery(event.0, lane).await.unwrap();
            let made = delivery.attempts.iter().map(|attempt| attempt.id);
            for id in made.filter(|id| !kept.contains(id)) {
                assert!(id < 1 << 53);
                assert!(used.insert(id), "{id} was used before: {delivery:?}");
            }
        }
        match round % 2 {
            // What was settled in these moments comes again, under new ids.
            0 => desk.crash().await,
            _ => desk.reopen().await,
        }
    }
}
