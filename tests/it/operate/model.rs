//! Random operations with crashes between them, and a check that nothing is lost, sent though it
//! was settled otherwise, or sent twice without a crash that explains it.

use std::collections::BTreeMap;

use gogs_relay::clock::Timestamp;
use gogs_relay::delivery::{Reason, State};
use gogs_relay::event::EventId;
use gogs_relay::queue::{Next, Range, Rest, Resume, Settlement};

use super::desk::{Desk, HOUR, defer, loose, strict};

/// xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[derive(Default, Debug)]
struct Known {
    received: Timestamp,
    delivered: u32,
    rounds: u32,
}

#[tokio::test]
async fn whatever_is_done_to_a_lane_every_delivery_ends_and_none_is_lost() {
    let seeds: u64 = std::env::var("SEEDS").map_or(12, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        let lane = if seed % 2 == 0 {
            strict("chat")
        } else {
            loose("chat", 3)
        };
        play(seed, lane).await;
    }
}

async fn play(seed: u64, lane: gogs_relay::queue::LaneSpec) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut desk = Desk::new(&[lane]);
    let mut known: BTreeMap<u64, Known> = BTreeMap::new();
    let mut crashes = 0;
    // While a range is summed up its deliveries come to be settled at any moment.
    let mut sums_up = false;
    let mut said = Vec::new();
    for _ in 0..120 {
        let step = dice.roll(16);
        said.push(step);
        match step {
            0..=4 => {
                for _ in 0..dice.roll(20) {
                    let event = desk.append(&["chat"]).await;
                    let event = known.entry(event.0).or_default();
                    event.received = desk.clock.now();
                    event.rounds = 1;
                }
            }
            5..=8 => deliver(&desk, &mut dice, &mut known).await,
            9 => desk.hand.advance(HOUR * dice.roll(5) as u32),
            10 => desk.queue.hold("chat", "dice".into()).await.unwrap(),
            11 | 12 => sums_up |= resume(&desk, &mut dice).await,
            13 => discard(&desk, &mut dice, &known, sums_up).await,
            14 => again(&desk, &mut dice, &mut known, sums_up).await,
            _ if dice.roll(2) == 0 => {
                desk.crash().await;
                crashes += 1;
            }
            _ => desk.reopen().await,
        }
    }
    finish(&mut desk, &mut known, seed, crashes).await;
}

async fn deliver(desk: &Desk, dice: &mut Dice, known: &mut BTreeMap<u64, Known>) {
    for _ in 0..dice.roll(15) {
        let Next::Lease(lease) = desk.queue.next("chat").await.unwrap() else {
            return;
        };
        let event = lease.id.event.0;
        let end = match dice.roll(8) {
            0 => defer(dice.roll(100)),
            1 => Settlement::Dead(Reason::ContentRefused),
            2 => Settlement::Release,
            _ => Settlement::Delivered,
        };
        if end == Settlement::Delivered {
            known.entry(event).or_default().delivered += 1;
        }
        desk.queue.settle(*lease, end, None);
    }
}

/// Says whether the rest is summed up.
async fn resume(desk: &Desk, dice: &mut Dice) -> bool {
    let rest = [
        None,
        Some(Rest::Keep),
        Some(Rest::Dead),
        Some(Rest::Summary),
    ];
    let age = HOUR.as_millis() as i64 * dice.roll(6) as i64;
    let than = Timestamp(desk.clock.now().0 - age);
    let how = Resume {
        newer_than: (dice.roll(3) > 0).then_some(than),
        rest: rest[dice.roll(4) as usize],
    };
    desk.queue.resume_with("chat", how).await.unwrap();
    how.rest == Some(Rest::Summary)
}

async fn discard(desk: &Desk, dice: &mut Dice, known: &BTreeMap<u64, Known>, sums_up: bool) {
    let range = match dice.roll(6) {
        0 => Range::All,
        1 => Range::KeptBack,
        _ => Range::One(EventId(dice.roll(known.len() as u64 + 1))),
    };
    // There may be no such event.
    let count = desk.queue.count("chat", range).await.unwrap();
    let cancelled = desk.queue.discard("chat", range, Some(count)).await;
    let is_as_counted = cancelled
        .as_ref()
        .is_ok_and(|cancelled| *cancelled == count);
    assert!(
        is_as_counted || sums_up,
        "{range:?}: {cancelled:?} of {count}"
    );
}

async fn again(desk: &Desk, dice: &mut Dice, known: &mut BTreeMap<u64, Known>, sums_up: bool) {
    let event = 1 + dice.roll(known.len() as u64 + 1);
    let before = desk.state(event, "chat").await;
    let Ok(again) = desk.again(event, "chat").await else {
        return;
    };
    let waits = matches!(before, Some(State::Waiting | State::Sending | State::Held));
    assert!(again != waits || sums_up, "{event} was {before:?}");
    if again {
        known.entry(event).or_default().rounds += 1;
    }
}

/// Everything that is left goes out; then every delivery has ended.
async fn finish(desk: &mut Desk, known: &mut BTreeMap<u64, Known>, seed: u64, crashes: u32) {
    loop {
        desk.queue.resume("chat").await.unwrap();
        desk.hand.advance(HOUR);
        for event in desk.deliver_all("chat").await {
            known.entry(event).or_default().delivered += 1;
        }
        if desk.lane("chat").waiting == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    desk.reopen().await;
    assert_eq!(desk.deliver_all("chat").await, [0; 0], "seed {seed}");
    for (event, known) in known.iter() {
        let state = desk.state(*event, "chat").await;
        let is_ended = matches!(
            state,
            Some(State::Delivered | State::Dead | State::Cancelled | State::Skipped)
        );
        assert!(is_ended, "seed {seed}: {event} is {state:?}");
        if state == Some(State::Delivered) {
            assert!(
                known.delivered > 0,
                "seed {seed}: {event} was never handed out"
            );
        }
        let most = known.rounds.max(1) + crashes;
        assert!(
            known.delivered <= most,
            "seed {seed}: {event} went out {known:?}"
        );
    }
}
