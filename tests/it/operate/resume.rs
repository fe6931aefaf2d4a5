//! Resuming a lane for what is newer, and what becomes of the rest.

use gogs_relay::delivery::{Reason, State};
use gogs_relay::event::EventId;
use gogs_relay::queue::{QueueError, Range, Rest, Resume, Settlement};

use super::desk::{DAY, Desk, HOUR, NOON, defer, loose, strict};

fn newer(hours: u32, rest: Rest) -> Resume {
    Resume {
        newer_than: Some(NOON.plus(HOUR * hours)),
        rest: Some(rest),
    }
}

/// Ten events at noon, five two hours later, in a lane that is held.
async fn held(lane: gogs_relay::queue::LaneSpec) -> Desk {
    let mut desk = Desk::new(&[lane]);
    for _ in 0..10 {
        desk.append(&["chat"]).await;
    }
    desk.hand.advance(HOUR * 2);
    for _ in 0..5 {
        desk.append(&["chat"]).await;
    }
    desk.queue.hold("chat", "repairs".into()).await.unwrap();
    desk
}

#[tokio::test]
async fn what_is_older_is_kept_back_until_the_lane_is_resumed_again() {
    let mut desk = held(strict("chat")).await;
    let left = desk.queue.resume_with("chat", newer(1, Rest::Keep)).await;
    assert_eq!(left.unwrap(), 10);
    assert_eq!(desk.deliver_all("chat").await, [11, 12, 13, 14, 15]);
    desk.are(1..=10, "chat", State::Held).await;
    let why = desk.delivery(4, "chat").await.unwrap().why.unwrap();
    assert!(why.starts_with("kept back since 2026-"), "{why}");
    let lane = desk.lane("chat");
    assert_eq!(lane.held, None, "the lane itself runs");
    assert_eq!(lane.waiting, 10);
    assert_eq!(lane.kept_back, Some((10, NOON.plus(HOUR * 2))));
    assert_eq!(lane.oldest, Some(NOON));

    let one = Range::One(EventId(3));
    assert_eq!(desk.queue.discard("chat", one, None).await.unwrap(), 1);
    desk.crash().await;
    assert_eq!(desk.lane("chat").kept_back.unwrap().0, 9);
    assert_eq!(desk.state(3, "chat").await, Some(State::Cancelled));
    desk.append(&["chat"]).await;
    assert_eq!(desk.deliver_all("chat").await, [16]);

    desk.append(&["chat"]).await;
    desk.queue.resume("chat").await.unwrap();
    let expected = [1, 2, 4, 5, 6, 7, 8, 9, 10, 17];
    assert_eq!(desk.deliver_all("chat").await, expected);
    assert_eq!(desk.lane("chat").waiting, 0);
    assert_eq!(desk.lane("chat").kept_back, None);
    desk.reopen().await;
    assert_eq!(
        desk.deliver_all("chat").await,
        [0; 0],
        "nothing comes twice"
    );
}

#[tokio::test]
async fn a_resumed_range_goes_on_where_it_was_after_a_restart() {
    let mut desk = held(strict("chat")).await;
    let left = desk.queue.resume_with("chat", newer(1, Rest::Keep)).await;
    assert_eq!(left.unwrap(), 10);
    assert_eq!(desk.deliver_all("chat").await.len(), 5);
    desk.queue.resume("chat").await.unwrap();
    for expected in 1..=4 {
        let event = desk.attempt("chat", Settlement::Delivered).await;
        assert_eq!(event, EventId(expected));
    }
    // The fifth failed, and is tried again at its time.
    assert_eq!(desk.attempt("chat", defer(60)).await, EventId(5));
    desk.reopen().await;
    assert_eq!(desk.deliver_all("chat").await, [0; 0]);
    desk.hand.advance(HOUR);
    let lease = desk.lease("chat").await;
    assert_eq!((lease.id.event, lease.attempts), (EventId(5), 1));
    desk.queue.settle(lease, Settlement::Delivered, None);
    assert_eq!(desk.deliver_all("chat").await, [6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn the_rest_can_become_dead_letters_at_once_and_come_back_in_order() {
    let mut desk = held(strict("chat")).await;
    desk.queue.resume("chat").await.unwrap();
    assert_eq!(desk.attempt("chat", defer(60)).await, EventId(1));
    let left = desk.queue.resume_with("chat", newer(1, Rest::Dead)).await;
    assert_eq!(left.unwrap(), 10);
    // Whether their records are written yet or not, they are dead letters from here on.
    desk.are(1..=10, "chat", State::Dead).await;
    assert_eq!(desk.lane("chat").dead, 10);
    assert_eq!(desk.find_state(State::Dead, "chat").await.len(), 10);
    desk.crash().await;
    desk.are(1..=10, "chat", State::Dead).await;
    let first = desk.delivery(1, "chat").await.unwrap();
    assert_eq!(first.reason, Some(Reason::LeftBehind));
    assert_eq!(first.attempts.len(), 1, "what was tried keeps its attempts");
    assert_eq!(desk.deliver_all("chat").await, [11, 12, 13, 14, 15]);
    for event in [7, 2, 9] {
        assert!(desk.again(event, "chat").await.unwrap());
    }
    assert_eq!(desk.deliver_all("chat").await, [2, 7, 9]);
    assert_eq!(desk.lane("chat").dead, 7);
}

#[tokio::test]
async fn what_is_kept_back_can_be_buried_discarded_or_cut_again() {
    let mut desk = held(strict("chat")).await;
    desk.hand.advance(HOUR * 2);
    desk.append(&["chat"]).await;
    let left = desk.queue.resume_with("chat", newer(3, Rest::Keep)).await;
    assert_eq!(left.unwrap(), 15);
    // Of what is kept back, those of the second hour go now.
    let left = desk.queue.resume_with("chat", newer(1, Rest::Keep)).await;
    assert_eq!(left.unwrap(), 10);
    assert_eq!(desk.deliver_all("chat").await, [11, 12, 13, 14, 15, 16]);
    assert_eq!(desk.lane("chat").kept_back.unwrap().0, 10);
    let refused = desk.queue.discard("chat", Range::KeptBack, Some(9)).await;
    assert!(matches!(
        refused,
        Err(QueueError::Changed { found: 10, .. })
    ));
    desk.append(&["chat"]).await;
    let all = desk.queue.discard("chat", Range::KeptBack, Some(10)).await;
    assert_eq!(all.unwrap(), 10);
    desk.crash().await;
    desk.are(1..=10, "chat", State::Cancelled).await;
    assert_eq!(
        desk.deliver_all("chat").await,
        [17],
        "what is newer was not meant"
    );

    desk.append(&["chat"]).await;
    let now = Resume {
        newer_than: Some(desk.clock.now()),
        rest: None,
    };
    assert_eq!(desk.queue.resume_with("chat", now).await.unwrap(), 1);
    let bury = Resume {
        newer_than: None,
        rest: Some(Rest::Dead),
    };
    assert_eq!(desk.queue.resume_with("chat", bury).await.unwrap(), 1);
    assert_eq!(desk.state(18, "chat").await, Some(State::Dead));
    assert_eq!(desk.lane("chat").waiting, 0);
}

#[tokio::test]
async fn a_delivery_that_is_under_way_shares_the_fate_of_the_rest_when_it_fails() {
    let mut desk = held(strict("chat")).await;
    desk.queue.resume("chat").await.unwrap();
    let under_way = desk.lease("chat").await;
    let left = desk.queue.resume_with("chat", newer(1, Rest::Keep)).await;
    assert_eq!(left.unwrap(), 9, "one is under way");
    assert_eq!(desk.state(1, "chat").await, Some(State::Sending));
    desk.queue.settle(under_way, defer(60), None);
    assert_eq!(desk.lane("chat").kept_back.unwrap().0, 10);
    assert_eq!(desk.deliver_all("chat").await, [11, 12, 13, 14, 15]);
    desk.reopen().await;
    desk.queue.resume("chat").await.unwrap();
    let expected: Vec<u64> = (1..=10).collect();
    assert_eq!(desk.deliver_all("chat").await, expected);
}

#[tokio::test]
async fn parked_deliveries_of_a_loose_lane_stay_behind_with_the_rest() {
    let mut desk = held(loose("chat", 2)).await;
    desk.queue.resume("chat").await.unwrap();
    for event in 1..=3 {
        assert_eq!(desk.attempt("chat", defer(5)).await, EventId(event));
    }
    let left = desk.queue.resume_with("chat", newer(1, Rest::Keep)).await;
    assert_eq!(left.unwrap(), 10);
    desk.hand.advance(HOUR);
    assert_eq!(desk.deliver_all("chat").await, [11, 12, 13, 14, 15]);
    desk.are(1..=10, "chat", State::Held).await;
    desk.reopen().await;
    assert_eq!(desk.lane("chat").kept_back.unwrap().0, 10);
    let bury = Resume {
        newer_than: None,
        rest: Some(Rest::Dead),
    };
    assert_eq!(desk.queue.resume_with("chat", bury).await.unwrap(), 10);
    while desk.find_state(State::Dead, "chat").await.len() < 10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.deliver_all("chat").await, [0; 0]);
    assert_eq!(desk.lane("chat").waiting, 0);
}

#[tokio::test]
async fn a_discard_is_one_decision_and_holds_after_a_crash_at_once() {
    let mut desk = held(strict("chat")).await;
    let counted = desk.queue.count("chat", Range::All).await.unwrap();
    assert_eq!(counted, 15);
    let wrong = desk.queue.discard("chat", Range::All, Some(14)).await;
    assert!(matches!(wrong, Err(QueueError::Changed { found: 15, .. })));
    desk.are(1..=15, "chat", State::Held).await;
    let all = desk.queue.discard("chat", Range::All, Some(15)).await;
    assert_eq!(all.unwrap(), 15);
    desk.crash().await;
    desk.are(1..=15, "chat", State::Cancelled).await;
    desk.queue.resume("chat").await.unwrap();
    assert_eq!(desk.deliver_all("chat").await, [0; 0]);
}

#[tokio::test]
async fn what_is_kept_back_outlives_history_and_becomes_dead_when_the_log_is_full() {
    let mut desk = Desk::with(&[strict("chat"), strict("ci")], |options| {
        options.backlog = 800;
    });
    desk.append_many(400, &["chat", "ci"]).await;
    desk.hand.advance(HOUR);
    let now = Resume {
        newer_than: Some(desk.clock.now()),
        rest: None,
    };
    assert_eq!(desk.queue.resume_with("chat", now).await.unwrap(), 400);
    assert_eq!(desk.deliver_all("ci").await.len(), 400);
    desk.hand.advance(DAY * 8);
    desk.append_many(100, &["chat", "ci"]).await;
    assert_eq!(desk.deliver_all("chat").await.len(), 100);
    assert_eq!(desk.deliver_all("ci").await.len(), 100);
    assert_eq!(desk.lane("chat").kept_back.unwrap().0, 400);
    desk.append_many(400, &["ci"]).await;
    while desk.queue.stats().events > 800 {
        tokio::task::yield_now().await;
    }
    let lane = desk.lane("chat");
    assert!(lane.dead >= 100, "{} dead", lane.dead);
    assert_eq!(lane.dead + lane.kept_back.unwrap().0, 400);
    let dead = desk.delivery(1, "chat").await.unwrap();
    assert_eq!(dead.reason, Some(Reason::LaneFull));
    desk.queue.resume("chat").await.unwrap();
    let rest: Vec<u64> = (lane.dead + 1..=400).collect();
    assert_eq!(desk.deliver_all("chat").await, rest);
}
