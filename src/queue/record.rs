//! Records: one a delivery that left its lane's straight path, settled or waiting on its own.
//! Versioned; old ones are fixtures in `tests/fixtures/stored/`. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::delivery::{Reason, State};
use crate::event::{Event, Facts};
use crate::queue::chunk::{Damaged, MAX_VALUE};
use crate::queue::page::Entry;
use crate::queue::trail::{Trail, TrailV1, cut};
use crate::queue::{codes, plain};

const VERSION: u8 = 1;
/// The same, and after it the round of each attempt: of what was sent again.
const WITH_ROUNDS: u8 = 2;

/// What a listing shows of an event, without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) source: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) repo: Option<String>,
    pub(super) summary: String,
    pub(super) received: Timestamp,
}

impl About {
    pub(super) fn new(entry: &Entry) -> About {
        About::of(&entry.event, &entry.facts)
    }

    pub(super) fn of(event: &Event, facts: &Facts) -> About {
        let repo = facts.repo.as_deref();
        let mut summary = facts.summary(&event.name);
        summary.truncate(cut(&summary, 240).len());
        About {
            source: event.source.clone(),
            name: event.name.clone(),
            repo: repo.map(|repo| cut(repo, 200).to_owned()),
            summary,
            received: event.received,
        }
    }

    /// Of an event that cannot be read.
    pub(super) fn unknown() -> About {
        About {
            source: "".into(),
            name: "unknown".into(),
            repo: None,
            summary: String::new(),
            received: Timestamp(0),
        }
    }
}

/// When something began to fail, and what was known then, so that time in which it was not
/// tried can be taken off later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) since: Timestamp,
    /// The lane's idle time when it began, in milliseconds.
    pub(super) idle_then: u64,
    /// The destination's settings when it began.
    pub(super) settings: u64,
}

/// A delivery off the straight path of its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) reason: Option<Reason>,
    pub(super) round: u32,
    pub(super) route: Option<Arc<str>>,
    pub(super) about: About,
    pub(super) settled: Option<Timestamp>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) failing: Option<Failing>,
    pub(super) trail: Trail,
    /// So many chunks of the body as sent lie beside it.
    pub(super) sent: u32,
}

impl Record {
    /// Waits for its first attempt in `round`.
    pub(super) fn waiting(about: About, route: Option<Arc<str>>, round: u32) -> Record {
        Record {
            state: State::Waiting,
            reason: None,
            round,
            route,
            about,
            settled: None,
            not_before: None,
            failing: None,
            trail: Trail::default(),
            sent: 0,
        }
    }

    /// At most [`MAX_VALUE`] bytes; what does not fit loses detail.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = self.write();
        if value.len() <= MAX_VALUE {
            return value;
        }
        let mut smaller = self.clone();
        for _ in 0..100 {
            smaller.trail.shrink(value.len() - MAX_VALUE);
            value = smaller.write();
            if value.len() <= MAX_VALUE {
                break;
            }
        }
        value
    }

    fn write(&self) -> Vec<u8> {
        let stored = RecordV1 {
            state: codes::of_state(self.state),
            reason: self.reason.map(codes::of_reason),
            round: self.round,
            route: self.route.as_ref().map(|route| cut(route, 200)),
            source: cut(&self.about.source, 100),
            name: cut(&self.about.name, 100),
            repo: self.about.repo.as_deref(),
            summary: &self.about.summary,
            received: self.about.received.0,
            settled: self.settled.map(|time| time.0),
            not_before: self.not_before.map(|time| time.0),
            failing: self.failing.map(FailingV1::from),
            trail: TrailV1::from(&self.trail),
            sent: self.sent,
        };
        let rounds = self.trail.attempts.iter().map(|attempt| attempt.round);
        if rounds.clone().all(|round| round == 1) {
            return plain::write(VERSION, &stored);
        }
        plain::write(WITH_ROUNDS, &(stored, rounds.collect::<Vec<u32>>()))
    }

    pub(super) fn decode(value: &[u8]) -> Result<Record, Damaged> {
        let (version, rest) = value.split_first().ok_or(Damaged)?;
        let (stored, rounds): (RecordV1<'_>, Vec<u32>) = match *version {
            VERSION => (postcard::from_bytes(rest).map_err(|_| Damaged)?, Vec::new()),
            WITH_ROUNDS => postcard::from_bytes(rest).map_err(|_| Damaged)?,
            _ => return Err(Damaged),
        };
        let mut trail = Trail::from(stored.trail);
        for (attempt, round) in trail.attempts.iter_mut().zip(rounds) {
            attempt.round = round;
        }
        Ok(Record {
            state: codes::state(stored.state).ok_or(Damaged)?,
            reason: stored.reason.map(codes::reason),
            round: stored.round,
            route: stored.route.map(Into::into),
            about: About {
                source: stored.source.into(),
                name: stored.name.into(),
                repo: stored.repo.map(Into::into),
                summary: stored.summary.into(),
                received: Timestamp(stored.received),
            },
            settled: stored.settled.map(Timestamp),
            not_before: stored.not_before.map(Timestamp),
            failing: stored.failing.map(Failing::from),
            trail,
            sent: stored.sent,
        })
    }
}

/// Of a parked delivery, what its lane keeps in memory. Stored beside the record, so that
/// start-up need not read that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParkedNote {
    pub(super) tries: u32,
    pub(super) answered: u32,
    pub(super) round: u32,
    pub(super) not_before: Timestamp,
    pub(super) failing: Option<Failing>,
}

impl ParkedNote {
    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = ParkedV1 {
            tries: self.tries,
            answered: self.answered,
            round: self.round,
            not_before: self.not_before.0,
            failing: self.failing.map(FailingV1::from),
        };
        plain::write(VERSION, &stored)
    }

    pub(super) fn decode(value: &[u8]) -> Result<ParkedNote, Damaged> {
        let Some((&VERSION, rest)) = value.split_first() else {
            return Err(Damaged);
        };
        let stored: ParkedV1 = postcard::from_bytes(rest).map_err(|_| Damaged)?;
        Ok(ParkedNote {
            tries: stored.tries,
            answered: stored.answered,
            round: stored.round,
            not_before: Timestamp(stored.not_before),
            failing: stored.failing.map(Failing::from),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct RecordV1<'a> {
    state: u8,
    reason: Option<u8>,
    round: u32,
    #[serde(borrow)]
    route: Option<&'a str>,
    source: &'a str,
    name: &'a str,
    #[serde(borrow)]
    repo: Option<&'a str>,
    summary: &'a str,
    received: i64,
    settled: Option<i64>,
    not_before: Option<i64>,
    failing: Option<FailingV1>,
    #[serde(borrow)]
    trail: TrailV1<'a>,
    sent: u32,
}

#[derive(Serialize, Deserialize)]
struct ParkedV1 {
    tries: u32,
    answered: u32,
    round: u32,
    not_before: i64,
    failing: Option<FailingV1>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FailingV1 {
    since: i64,
    idle_then: u64,
    settings: [u8; 8],
}

impl From<Failing> for FailingV1 {
    fn from(failing: Failing) -> FailingV1 {
        FailingV1 {
            since: failing.since.0,
            idle_then: failing.idle_then,
            settings: failing.settings.to_le_bytes(),
        }
    }
}

impl From<FailingV1> for Failing {
    fn from(stored: FailingV1) -> Failing {
        Failing {
            since: Timestamp(stored.since),
            idle_then: stored.idle_then,
            settings: u64::from_le_bytes(stored.settings),
        }
    }
}
