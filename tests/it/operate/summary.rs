//! A summary in place of what was left behind.

use gogs_relay::clock::{Clock, Timestamp};
use gogs_relay::delivery::{Reason, State};
use gogs_relay::event::EventId;
use gogs_relay::queue::{Range, Rest, Resume};
use gogs_relay::standin::{FakeSlack, Script, StandIn};

use super::desk::{Desk, HOUR, NOON, strict};
use crate::world::{World, s, slack, within};

const SUMMARY: Resume = Resume {
    newer_than: Some(NOON),
    rest: Some(Rest::Summary),
};

#[tokio::test]
async fn one_message_tells_what_was_left_behind_before_what_is_newer_goes() {
    let time = World::clock();
    let standin = StandIn::start(FakeSlack::default(), time.0.clone());
    let standin = standin.await.unwrap();
    let world = World::start(&time, vec![slack("chat", &standin)]);
    world.queue.hold("chat", "repairs".into()).await.unwrap();
    world.push(0..7, &["chat"]).await;
    world.append("issues", "{}", &["chat"]).await;
    world.hand.advance(s(3600.0));
    let newer = world.push(7..9, &["chat"]).await;
    let how = Resume {
        newer_than: Some(Timestamp(world.clock.now().0 - 1)),
        rest: Some(Rest::Summary),
    };
    // The service is away when the summary is due: it stays the first all the same.
    standin.script([Script::status(503)]);
    let left = world.queue.resume_with("chat", how).await.unwrap();
    assert_eq!(left, 8);
    within(standin.wait_for(1)).await;
    world.step_to_next_try("chat", s(1.0)).await;
    let received = within(standin.wait_for(4)).await;
    let text = |at: usize| received[at].json()["text"].as_str().unwrap().to_owned();
    assert!(text(1).starts_with("8 events from "), "{}", text(1));
    assert!(text(1).contains("7 push, 1 issues"), "{}", text(1));
    assert_eq!(text(0), text(1));
    for event in 1..=8 {
        let settled = world.settled(EventId(event), "chat", State::Skipped).await;
        assert_eq!(settled.reason, Some(Reason::Summarised));
    }
    for event in newer {
        world.settled(event, "chat", State::Delivered).await;
    }
    world.settled(EventId(11), "chat", State::Delivered).await;
    assert_eq!(standin.violations(), Vec::<String>::new());
    world.finish().await;
}

/// Whatever a crash leaves, the summary comes once, before all others, and nothing of the rest.
#[tokio::test]
async fn a_crash_at_any_moment_of_a_summary_leaves_one_of_them() {
    for commits in 0..6 {
        let mut desk = Desk::new(&[strict("chat")]);
        for _ in 0..5 {
            desk.append(&["chat"]).await;
        }
        desk.hand.advance(HOUR);
        desk.append(&["chat"]).await;
        assert_eq!(desk.queue.resume_with("chat", SUMMARY).await.unwrap(), 5);
        let before = desk.queue.stats().commits;
        let patience = Clock::system();
        let until = patience.elapsed() + s(2.0);
        while desk.queue.stats().commits < before + commits && patience.elapsed() < until {
            tokio::task::yield_now().await;
        }
        desk.crash().await;
        let mut delivered = Vec::new();
        while delivered.len() < 2 {
            delivered.extend(desk.deliver_all("chat").await);
            tokio::task::yield_now().await;
        }
        assert_eq!(delivered, [7, 6], "after {commits} commits");
        let summary = desk.queue.event(EventId(7)).await.unwrap().unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&summary.body).unwrap();
        assert_eq!(&*summary.name, "summary");
        assert_eq!(payload["count"], 5);
        assert_eq!(payload["repositories"][0]["full_name"], "orbit/lander");
        assert_eq!(payload["repositories"][0]["count"], 4);
        desk.are(1..=5, "chat", State::Skipped).await;
        desk.reopen().await;
        assert_eq!(desk.deliver_all("chat").await, [0; 0]);
        assert_eq!(desk.lane("chat").waiting, 0);
    }
}

#[tokio::test]
async fn a_summary_can_be_discarded_while_it_is_made_or_waits() {
    let mut desk = Desk::new(&[strict("chat")]);
    for _ in 0..5 {
        desk.append(&["chat"]).await;
    }
    desk.queue.resume_with("chat", SUMMARY).await.unwrap();
    while desk.lane("chat").waiting != 1 {
        tokio::task::yield_now().await;
    }
    let all = desk.queue.discard("chat", Range::All, Some(1)).await;
    assert_eq!(all.unwrap(), 1);
    assert_eq!(desk.deliver_all("chat").await, [0; 0]);
    desk.crash().await;
    assert_eq!(desk.state(6, "chat").await, Some(State::Cancelled));
    desk.append(&["chat"]).await;
    assert_eq!(desk.deliver_all("chat").await, [7]);
}
