//! Somebody asks for thousands of subscriptions in the name of one host: how much of it that host
//! sees, and that others are served meanwhile.

use std::time::Duration;

use gogs_relay::clock::Clock;

use super::reader::{Reader, TOPIC, ask, happens, pushed, start, subscribed};
use crate::relay::TestRelay;

/// Repositories that everybody may read.
const REPOSITORIES: usize = 10;
const EVENTS: [&str; 8] = [
    "create",
    "delete",
    "fork",
    "issues",
    "issue_comment",
    "pull_request",
    "push",
    "release",
];

/// Asks for every so many-th of so many topics; how often each status was the answer.
async fn flood(
    relay: &TestRelay,
    victim: &Reader,
    (first, step, all): (usize, usize, usize),
) -> [usize; 3] {
    let mut answers = [0; 3];
    for number in (first..all).step_by(step) {
        let repository = number % REPOSITORIES;
        let event = EVENTS[number / REPOSITORIES % EVENTS.len()];
        let topic = format!("http://127.0.0.1:8025/orbit/public-{repository}/events/{event}");
        let callback = victim.callback(&number.to_string());
        let at = match ask(relay, "subscribe", &topic, &callback).await.status {
            202 => 0,
            429 => 1,
            _ => 2,
        };
        answers[at] += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_reaches_its_victim_as_a_trickle_and_keeps_nobody_else_waiting() {
    let all = std::env::var("HUB_FLOOD").map_or(2000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let relay = start(folder.path(), clock.clone()).await;
    for number in 0..REPOSITORIES {
        happens(
            &relay,
            "push",
            (&format!("orbit/public-{number}"), "false"),
            0,
        )
        .await;
    }
    let (victim, honest) = (Reader::start().await, Reader::start().await);
    victim.agree(false);
    let begun = clock.elapsed();
    let floods = async {
        let one = |first| flood(&relay, &victim, (first, 4, all));
        tokio::join!(one(0), one(1), one(2), one(3))
    };
    let served = async {
        let begun = clock.elapsed();
        subscribed(&relay, &honest, TOPIC, &honest.callback("a")).await;
        pushed(&relay, 1).await;
        honest.gets(1).await;
        clock.elapsed() - begun
    };
    let (floods, served) = tokio::join!(floods, served);
    let took = clock.elapsed() - begun;
    let [taken, slowed, other] = [floods.0, floods.1, floods.2, floods.3]
        .into_iter()
        .fold([0; 3], |all, of| [0, 1, 2].map(|at| all[at] + of[at]));
    let seen = victim.standin.received().len();
    figure!(
        "{all} requests in {took:?}: {taken} taken, {slowed} told to slow down; their host saw {seen} \
         questions; an honest reader was subscribed and served in {served:?} (debug build)"
    );
    assert_eq!((taken + slowed, other), (all, 0));
    assert!(
        seen <= 21 + took.as_secs() as usize / 3,
        "{seen} in {took:?}"
    );
    assert!(seen >= 10, "honest questions are not kept back");
    assert!(served < Duration::from_secs(20), "{served:?}");
    relay.finish().await;
}
