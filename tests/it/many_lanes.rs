//! Lanes by the hundred, and lanes with much that failed: nobody waits for more than its turn.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Instant;

use gogs_relay::clock::Clock;
use gogs_relay::delivery::{Reason, State};
use gogs_relay::destination::{Destination, Order};
use gogs_relay::event::EventId;
use gogs_relay::queue::Delivery;
use gogs_relay::standin::{Ending, FakeGogs, Received, Script, StandIn};

use crate::binary::{Binary, Client, PATIENCE};
use crate::world::{SECRET, World, body, gogs, s, within};

const LANES: usize = 1000;
const SENDS: usize = 8;
const EVENTS: usize = 3;

async fn fake_gogs(clock: &Clock) -> StandIn {
    let service = FakeGogs::with_secret(SECRET);
    StandIn::start(service, clock.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lanes_take_turns_and_a_black_hole_among_them_changes_nothing() {
    let clock = Clock::system();
    let (fine, black_hole) = (fake_gogs(&clock).await, fake_gogs(&clock).await);
    black_hole.rule(|_| Some(Script::status(200).ending(Ending::Never)));
    let folder = tempfile::tempdir().unwrap();
    let yaml = relay_yaml(&fine, &black_hole);
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let relay = Binary::start(folder.path());
    let (idle, hooks) = (relay.peak_memory(), relay.hooks);
    let started = Instant::now();
    let mut client = Client::connect(hooks).unwrap();
    let mut post = |number: usize| {
        let text = body(number as u32);
        let answer = client.deliver("gogs", SECRET, &format!("event-{number}"), &text);
        assert_eq!(answer.unwrap().status, 202);
    };
    post(0);
    // The others come when no lane is busy with its start any more.
    let first = clock.timeout(PATIENCE, fine.wait_for(LANES - 1)).await;
    first.expect("all lanes but one deliver the first");
    (1..EVENTS).for_each(&mut post);
    let all = EVENTS * (LANES - 1);
    let received = clock.timeout(PATIENCE, fine.wait_for(all)).await;
    let received = received.expect("all lanes but one deliver everything");
    let took = started.elapsed();
    figure!(
        "{LANES} lanes, {EVENTS} events, {SENDS} sends: {} ms; memory {idle} bytes idle, {} at most",
        took.as_millis(),
        relay.peak_memory()
    );
    assert_eq!(received.len(), all);
    assert_turns(&received, LANES - 1);
    assert_eq!(fine.violations(), Vec::<String>::new());
    assert_eq!(
        black_hole.received().len(),
        1,
        "it never answered the first"
    );
}

fn relay_yaml(fine: &StandIn, black_hole: &StandIn) -> String {
    let mut yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\nlimits: {{ sends: {SENDS} }}\n\
         sources: {{ gogs: {{ secret: {SECRET} }} }}\ndestinations:\n"
    );
    for lane in 0..LANES {
        let standin = if lane == LANES / 2 { black_hole } else { fine };
        let url = standin.url();
        writeln!(
            yaml,
            "  lane-{lane}: {{ gogs: {{ url: '{url}?lane={lane}', secret: {SECRET} }}, timeout: 60s }}"
        )
        .unwrap();
    }
    yaml
}

/// Each gets the events in order, and a turn comes after all others have had as many. Some may be
/// early, however far: a lane that just looks for more when an event comes has its turn at once,
/// and may line up again in the milliseconds before those that rest are woken and line up. On a
/// busy machine these were 60 of the thousand; of lanes that do not wait for each other nearly
/// half are early.
fn assert_turns(received: &[Received], lanes: usize) {
    let mut turns: HashMap<&str, usize> = HashMap::new();
    let mut early = 0;
    for (at, request) in received.iter().enumerate() {
        let turn = turns.entry(&request.target).or_default();
        let text = body(*turn as u32);
        assert_eq!(request.body, text, "{} in order", request.target);
        early += usize::from(at < *turn * lanes);
        *turn += 1;
    }
    assert_eq!(turns.len(), lanes);
    assert!(early <= lanes / 5, "{early} turns come too early");
}

fn loose(standin: &StandIn) -> Destination {
    let mut destination = gogs("ci", standin);
    destination.order = Order::Loose { concurrency: 4 };
    destination
}

#[tokio::test]
async fn a_loose_lane_parks_a_thousand_and_then_waits_like_a_strict_one() {
    const PARKED: usize = 1000;
    let test = async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(500)));
        let world = World::start(&time, vec![loose(&standin)]);
        let events = world.push(0..1010, &["ci"]).await;
        let received = standin.wait_for(PARKED).await;
        // All that failed wait for their own next try, in a second.
        world.hand.someone_sleeps_until(s(1.0)).await;
        assert_eq!(standin.received().len(), PARKED, "no more than it may park");
        let firsts = distinct_bodies(&received);
        assert_eq!(firsts, PARKED, "each was tried once");
        assert_eq!(world.lane("ci").waiting, 1010);

        // One that goes through makes room for one more, and all the rest go on failing.
        let first = received[0].body.clone();
        standin.rule(move |request| (request.body != first).then(|| Script::status(500)));
        world.hand.advance_to(s(1.0));
        standin.wait_for(2 * PARKED + 1).await;
        world.hand.someone_sleeps_until(s(2.0)).await;
        assert_eq!(distinct_bodies(&standin.received()), PARKED + 1);

        standin.rule(|_| None);
        for at in [2.0, 3.0] {
            world.hand.someone_sleeps_until(s(at)).await;
            world.hand.advance_to(s(at));
        }
        world.idle("ci").await;
        for event in events {
            world.settled(event, "ci", State::Delivered).await;
        }
        assert_eq!(standin.violations(), Vec::<String>::new());
        world.finish().await;
    };
    let ended = Clock::system().timeout(PATIENCE, test).await;
    ended.expect("the test ends");
}

fn distinct_bodies(received: &[Received]) -> usize {
    let bodies = received.iter().map(|request| &request.body);
    bodies.collect::<std::collections::HashSet<_>>().len()
}

#[tokio::test]
async fn what_is_parked_has_its_own_attempts_and_is_given_up_by_its_own_first_failure() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|request| (request.body != body(2)).then(|| Script::status(500)));
        let mut patient = loose(&standin);
        (patient.retry.first, patient.retry.max) = (s(600.0), s(600.0));
        patient.retry.give_up_after = s(1500.0);
        let world = World::start(&time, vec![patient]);
        let old = world.push(0..1, &["ci"]).await[0];
        waits(&world, old, 600.0).await;
        world.hand.advance_to(s(600.0));
        waits(&world, old, 1200.0).await;
        // A success in between, and one that fails for the first time.
        let passed = world.push(2..3, &["ci"]).await[0];
        world.settled(passed, "ci", State::Delivered).await;
        let young = world.push(1..2, &["ci"]).await[0];
        waits(&world, young, 1200.0).await;
        world.hand.advance_to(s(1200.0));
        waits(&world, old, 1800.0).await;
        waits(&world, young, 1800.0).await;
        world.hand.advance_to(s(1800.0));
        let dead = world.settled(old, "ci", State::Dead).await;
        assert_eq!(dead.reason, Some(Reason::GaveUp));
        assert_eq!(dead.attempts[0].count, 4, "at 0, 600, 1200 and 1800 s");
        let waiting = waits(&world, young, 2400.0).await;
        assert_eq!(waiting.attempts[0].count, 3, "at 600, 1200 and 1800 s");
        world.hand.advance_to(s(2400.0));
        let dead = world.settled(young, "ci", State::Dead).await;
        assert_eq!(dead.reason, Some(Reason::GaveUp));
        assert_eq!(standin.received().len(), 9);
        world.finish().await;
    })
    .await;
}

/// Waits until the delivery waits for this time, in seconds since the clock was made, and until
/// somebody sleeps until then.
async fn waits(world: &World, event: EventId, seconds: f64) -> Delivery {
    let left = s(seconds) - world.clock.elapsed();
    let at = world.clock.now().plus(left);
    loop {
        let delivery = world.settled(event, "ci", State::Waiting).await;
        if delivery.next_try == Some(at) {
            world.hand.someone_sleeps_until(s(seconds)).await;
            return delivery;
        }
        tokio::task::yield_now().await;
    }
}
