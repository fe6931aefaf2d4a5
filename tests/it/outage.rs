//! Days of trouble in seconds: an outage of Slack for four days, and a relay that was off for
//! four. Every single attempt is compared with what the policy says, to the second: by a model of
//! it that shares nothing with the relay.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gogs_relay::clock::{Clock, Timestamp};
use gogs_relay::delivery::{Reason, State};
use gogs_relay::destination::Destination;
use gogs_relay::event::EventId;
use gogs_relay::standin::{Ending, FakeSlack, Received, Script, StandIn};

use crate::world::{START, World, s, slack, time_of};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Shows, among those who sleep, an attempt that is under way: no wait of a lane is as crooked.
const TIMEOUT: Duration = Duration::from_micros(15_000_123);

/// An attempt: seconds since [`START`], and which event.
type Attempt = (u64, usize);

/// How a destination that is down answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    /// Not at all.
    Resets,
    /// With 503, which counts for the poison rule.
    Answers,
}

/// What happens, in seconds since [`START`].
struct Story {
    arrivals: Vec<u64>,
    outage: Range<u64>,
    down: Down,
    /// The relay does not run.
    off: Range<u64>,
}

/// What the policy makes of a story: first 1 s, doubling, 10 minutes at most, given up after 3
/// days; at most five messages in five seconds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    attempts: Vec<Attempt>,
    /// How often each event was tried, looks past the head among it, and whether it was delivered.
    ends: BTreeMap<usize, (u32, bool)>,
}

impl Outcome {
    fn requests(&self, event: usize) -> u32 {
        let requests = self.attempts.iter().filter(|(_, of)| *of == event);
        requests.count().try_into().unwrap()
    }
}

impl Story {
    /// The first moment from `at` on at which the relay runs and the pace allows a message.
    fn turn(&self, at: u64, attempts: &[Attempt]) -> u64 {
        let at = if self.off.contains(&at) {
            self.off.end
        } else {
            at
        };
        let fifth = attempts
            .len()
            .checked_sub(5)
            .map(|fifth| attempts[fifth].0 + 5);
        at.max(fifth.unwrap_or(0))
    }

    fn model(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let (mut now, mut failing): (u64, Option<u64>) = (0, None);
        for (event, &arrival) in self.arrivals.iter().enumerate() {
            let (mut due, mut tries) = (now.max(arrival), 0);
            loop {
                now = self.turn(due, &outcome.attempts);
                outcome.attempts.push((now, event));
                tries += 1;
                if !self.outage.contains(&now) {
                    failing = None;
                    outcome.ends.insert(event, (outcome.requests(event), true));
                    break;
                }
                let since = *failing.get_or_insert(now);
                let is_moved = since < self.off.start && now >= self.off.end;
                let moved = since
                    + if is_moved {
                        self.off.end - self.off.start
                    } else {
                        0
                    };
                if now - moved.max(arrival) > 3 * DAY {
                    outcome.ends.insert(event, (outcome.requests(event), false));
                    break;
                }
                due = now + (1 << (tries - 1).min(10)).min(600);
                let next = event + 1;
                let has_next = self.arrivals.get(next).is_some_and(|next| *next <= now);
                if self.down == Down::Answers && tries % 10 == 0 && has_next {
                    let past = self.turn(now, &outcome.attempts);
                    outcome.attempts.push((past, next));
                }
            }
        }
        outcome
    }
}

/// A relay in a story.
struct Stage {
    world: World,
    standin: StandIn,
    /// The clock of the relay that runs now.
    clock: Arc<Mutex<Clock>>,
    attempts: Arc<Mutex<Vec<(u64, String)>>>,
    events: Vec<EventId>,
}

fn seconds(time: Timestamp) -> u64 {
    time.since(time_of(START)).as_secs()
}

impl Stage {
    async fn new(story: &Story) -> Stage {
        let time = World::clock();
        let standin = StandIn::start(FakeSlack::default(), time.0.clone())
            .await
            .unwrap();
        let clock = Arc::new(Mutex::new(time.0.clone()));
        let attempts = Arc::<Mutex<Vec<(u64, String)>>>::default();
        let (outage, down) = (story.outage.clone(), story.down);
        let (log, now) = (attempts.clone(), clock.clone());
        standin.rule(move |request: &Received| {
            let now = seconds(now.lock().unwrap().now());
            log.lock()
                .unwrap()
                .push((now, String::from_utf8_lossy(&request.body).into_owned()));
            let script = match down {
                _ if !outage.contains(&now) => Script::status(200).body("ok"),
                Down::Answers => Script::status(503),
                Down::Resets => Script::status(200).ending(Ending::Closes),
            };
            Some(script)
        });
        let world = World::start(&time, vec![Stage::destination(&standin)]);
        Stage {
            world,
            standin,
            clock,
            attempts,
            events: Vec::new(),
        }
    }

    fn destination(standin: &StandIn) -> Destination {
        Destination {
            timeout: TIMEOUT,
            ..slack("team", standin)
        }
    }

    fn now(&self) -> u64 {
        seconds(self.world.clock.now())
    }

    async fn arrive(&mut self) {
        let number = self.events.len();
        let body = format!(r#"{{"repository":{{"full_name":"orbit/number-{number}-"}}}}"#);
        self.events
            .push(self.world.append("push", &body, &["team"]).await);
    }

    /// Waits until nothing happens any more before time goes on; until when nothing will.
    async fn rest(&self) -> Option<Duration> {
        loop {
            let (now, sleepers) = (self.world.clock.elapsed(), self.world.hand.sleepers());
            let is_under_way = sleepers.contains(&(now + TIMEOUT));
            match sleepers.first() {
                Some(first) if *first > now && !is_under_way => return Some(*first),
                None if self.world.lane("team").waiting == 0 => return None,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    /// Lets time pass up to this second, and events arrive.
    async fn play(&mut self, arrivals: &mut VecDeque<u64>, until: u64) {
        loop {
            let due = self.rest().await;
            let now = self.now();
            if arrivals.front().is_some_and(|arrival| *arrival <= now) {
                arrivals.pop_front();
                self.arrive().await;
                continue;
            }
            if now >= until {
                return;
            }
            let soonest = arrivals
                .front()
                .map_or(until, |arrival| *arrival.min(&until));
            let ahead = self.world.clock.elapsed() + s((soonest - now) as f64);
            self.world
                .hand
                .advance_to(due.map_or(ahead, |due| due.min(ahead)));
        }
    }

    /// Stops the relay, and starts it again when so many seconds have passed.
    async fn off(self, off: &Range<u64>) -> Stage {
        let later = s((off.end - off.start) as f64);
        let destinations = vec![Stage::destination(&self.standin)];
        let world = self.world.restart(later, destinations).await;
        *self.clock.lock().unwrap() = world.clock.clone();
        Stage { world, ..self }
    }

    async fn outcome(self) -> Outcome {
        let mut outcome = Outcome::default();
        for (at, body) in self.attempts.lock().unwrap().iter() {
            let number = body
                .split("number-")
                .nth(1)
                .and_then(|rest| rest.split('-').next());
            outcome
                .attempts
                .push((*at, number.unwrap().parse().unwrap()));
        }
        for (number, event) in self.events.iter().enumerate() {
            let delivery = self.world.delivery(*event, "team").await.unwrap();
            let tries = delivery.attempts.iter().map(|it| it.count).sum();
            match delivery.state {
                State::Delivered => outcome.ends.insert(number, (tries, true)),
                State::Dead => {
                    assert_eq!(delivery.reason, Some(Reason::GaveUp), "{delivery:?}");
                    outcome.ends.insert(number, (tries, false))
                }
                _ => panic!("{delivery:?}"),
            };
        }
        self.world.finish().await;
        outcome
    }
}

/// Plays the story, and compares it with its model.
async fn check(what: &str, story: Story) -> Outcome {
    let mut stage = Stage::new(&story).await;
    let mut arrivals: VecDeque<u64> = story.arrivals.clone().into();
    if !story.off.is_empty() {
        stage.play(&mut arrivals, story.off.start).await;
        stage = stage.off(&story.off).await;
    }
    let end = story.outage.end.max(*story.arrivals.last().unwrap()) + 2 * HOUR;
    stage.play(&mut arrivals, end).await;
    let (was, model) = (stage.outcome().await, story.model());
    let differs = was
        .attempts
        .iter()
        .zip(&model.attempts)
        .position(|(was, model)| was != model);
    let from = differs.unwrap_or(was.attempts.len().min(model.attempts.len()));
    let around = |attempts: &[Attempt]| {
        let from = from.saturating_sub(3).min(attempts.len());
        attempts[from..attempts.len().min(from + 8)].to_vec()
    };
    assert!(
        was.attempts == model.attempts,
        "{what}: attempt {from} is another: {:?}…, the policy says {:?}…",
        around(&was.attempts),
        around(&model.attempts)
    );
    assert_eq!(was.ends, model.ends, "{what}");
    let dead = was
        .ends
        .values()
        .filter(|(_, delivered)| !delivered)
        .count();
    figure!(
        "{what}: {} attempts for {} events, each at its second; {} delivered in order, {dead} given up",
        was.attempts.len(),
        was.ends.len(),
        was.ends.len() - dead,
    );
    was
}

fn every(step: u64, until: u64) -> Vec<u64> {
    (0..)
        .map(|n| n * step)
        .take_while(|at| *at < until)
        .collect()
}

#[tokio::test]
async fn four_days_without_an_answer_from_slack_cost_only_what_is_older_than_three() {
    let story = Story {
        arrivals: every(37 * MINUTE, 5 * DAY),
        outage: HOUR..HOUR + 4 * DAY,
        down: Down::Resets,
        off: 0..0,
    };
    let outcome = check("four days without an answer", story).await;
    for (number, (tries, delivered)) in outcome.ends {
        let arrival = number as u64 * 37 * MINUTE;
        let is_too_old = (HOUR..DAY + HOUR - 10 * MINUTE).contains(&arrival);
        let is_young = !(HOUR..DAY + HOUR).contains(&arrival);
        assert!(delivered || !is_young, "{number} at {arrival} s");
        assert!(!delivered || !is_too_old, "{number} at {arrival} s");
        assert!(tries > 0, "nothing dies of age untried");
    }
}

#[tokio::test]
async fn four_days_of_503_from_slack_are_a_wall_and_not_poison() {
    let story = Story {
        arrivals: every(37 * MINUTE, 5 * DAY),
        outage: HOUR..HOUR + 4 * DAY,
        down: Down::Answers,
        off: 0..0,
    };
    check("four days of 503", story).await;
}

#[tokio::test]
async fn four_days_of_being_off_use_no_patience_up() {
    let off = 2 * DAY..6 * DAY;
    let mut arrivals = every(3 * HOUR, 2 * DAY);
    arrivals.extend(
        every(3 * HOUR, 2 * DAY)
            .iter()
            .map(|at| at + off.end + MINUTE),
    );
    let story = Story {
        arrivals,
        outage: 0..8 * DAY,
        down: Down::Resets,
        off,
    };
    let outcome = check("an outage, and four days off in the middle of it", story).await;
    let dead = outcome.ends.iter().filter(|(_, (_, delivered))| !delivered);
    let dead: Vec<_> = dead.map(|(number, (tries, _))| (*number, *tries)).collect();
    assert_eq!(
        dead.len(),
        16,
        "those from before, when the outage had lasted three days of work"
    );
    assert!(dead.iter().all(|(_, tries)| *tries > 0));
}

#[tokio::test]
async fn a_machine_that_sleeps_for_four_days_uses_no_patience_up() {
    let story = Story {
        arrivals: every(HOUR, 12 * HOUR),
        outage: 0..7 * DAY,
        down: Down::Resets,
        off: 0..0,
    };
    let mut stage = Stage::new(&story).await;
    let mut arrivals: VecDeque<u64> = story.arrivals.clone().into();
    stage.play(&mut arrivals, DAY).await;
    stage
        .world
        .hand
        .jump_wall(s((4 * DAY) as f64).as_millis() as i64);
    stage.play(&mut arrivals, 7 * DAY + HOUR).await;
    let ends = stage.outcome().await.ends;
    let given_up = ends.values().filter(|(_, delivered)| !delivered).count();
    assert_eq!(
        (ends.len(), given_up),
        (12, 0),
        "it was awake and failed for three days, and not longer"
    );
}

#[tokio::test]
async fn what_waited_while_the_relay_was_off_for_four_days_is_tried_before_it_is_old() {
    let off = MINUTE..4 * DAY;
    let story = Story {
        arrivals: vec![0, 10, 20, 30],
        outage: 0..4 * DAY + HOUR,
        down: Down::Resets,
        off,
    };
    let outcome = check("four days off, and an hour of outage after them", story).await;
    assert!(
        outcome.ends.values().all(|(_, delivered)| *delivered),
        "{:?}",
        outcome.ends
    );
}
