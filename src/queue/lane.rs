//! A lane in memory: where it stands in the log, what of it is under way or failed, and what it
//! may do next. Memory holds heads, never the backlog. Decides, and does no IO.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::delivery::Trace;
use crate::queue::aside::Aside;
use crate::queue::key::LaneId;
use crate::queue::record::{Failing, ParkedNote};
use crate::queue::trail;
use crate::queue::trail::Trail;
use crate::queue::{Held, LaneTally, LastAttempt};

/// With so many parked, a lane takes nothing new before one of them is through.
pub(super) const PARKED: usize = 1000;

/// Both faces of the clock, read once for one operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) elapsed: Duration,
}

impl Now {
    /// The wall clock's time at a monotonic moment.
    pub(super) fn wall_at(&self, at: Duration) -> Timestamp {
        self.wall.plus(at.saturating_sub(self.elapsed))
    }
}

/// How a lane runs; from relay.yaml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) width: usize,
    pub(super) loose: bool,
    pub(super) longest_wait: Duration,
    /// It runs for a destination that has another lane of its own.
    pub(super) taken_over: bool,
}

/// A lane of the log, with what left its straight path and waits on its own.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) destination: Arc<str>,
    /// `None`: it has no destination, and does nothing.
    pub(super) run: Option<Run>,
    /// Since when it has none.
    pub(super) orphaned: Option<Timestamp>,
    pub(super) settings: u64,
    /// Every sequence before it was looked at.
    pub(super) read: u64,
    /// Deliveries of the log that wait at or after `read`.
    pub(super) unread: u64,
    /// Deliveries of the log before `read` that are not settled.
    pub(super) out: BTreeMap<u64, Out>,
    /// What has a record although the cursor has not passed it.
    pub(super) ahead: BTreeSet<u64>,
    pub(super) parked: BTreeMap<u64, Parked>,
    /// Redeliveries that wait untried, those under way included.
    pub(super) redeliveries: u64,
    pub(super) redelivering: BTreeMap<u64, Leased>,
    pub(super) failing: Option<Failing>,
    pub(super) idle: u64,
    pub(super) held: Option<Hold>,
    /// Ranges of the log beside the straight path.
    pub(super) asides: Vec<Aside>,
    /// Somebody is working out what to do with it: nothing goes out meanwhile.
    pub(super) paused: bool,
    pub(super) last_error: Option<String>,
    pub(super) last: Option<LastAttempt>,
    pub(super) tally: LaneTally,
    pub(super) dead: u64,
    pub(super) history: u64,
    /// No page of the log names it from this sequence on.
    pub(super) named_until: u64,
    /// The [`floor`](Lane::floor) as last written.
    pub(super) written_floor: u64,
    /// So many entries [`ahead`](Lane::ahead) had when it was written.
    pub(super) stored_ahead: u64,
    /// It is named in the list of those that were woken.
    pub(super) is_woken: bool,
}

/// A delivery of the log that is under way, or waits after a failure.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) trail: Trail,
    pub(super) leased: Option<Leased>,
    pub(super) not_before: Duration,
}

impl Out {
    pub(super) fn is_retried(&self) -> bool {
        self.leased.is_none() && self.trail.tries > 0
    }
}

/// A delivery on its own, after a failure; the rest of it is in its record.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) tries: u32,
    pub(super) answered: u32,
    pub(super) round: u32,
    pub(super) failing: Option<Failing>,
    pub(super) not_before: Duration,
    pub(super) leased: Option<Leased>,
}

/// Who has a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leased {
    pub(super) serial: u64,
    pub(super) is_probe: bool,
    pub(super) past_head: bool,
}

/// Why a lane stands, and when it is tried.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) held: Held,
    pub(super) probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) wait: Duration,
    pub(super) at: Duration,
}

impl Lane {
    pub(super) fn new(id: LaneId, destination: Arc<str>, at: u64) -> Lane {
        Lane {
            id,
            destination,
            run: None,
            orphaned: None,
            settings: 0,
            read: at,
            unread: 0,
            out: BTreeMap::new(),
            ahead: BTreeSet::new(),
            parked: BTreeMap::new(),
            redeliveries: 0,
            redelivering: BTreeMap::new(),
            failing: None,
            idle: 0,
            held: None,
            asides: Vec::new(),
            paused: false,
            last_error: None,
            last: None,
            tally: LaneTally::default(),
            dead: 0,
            history: 0,
            named_until: 0,
            written_floor: 0,
            stored_ahead: 0,
            is_woken: false,
        }
    }

    /// Its id waits for another destination.
    pub(super) fn is_vacant(&self) -> bool {
        self.destination.is_empty()
    }

    /// Deliveries that wait, with those under way.
    pub(super) fn waiting(&self) -> u64 {
        let log = self.unread + self.waiting_aside() + self.out.len() as u64;
        log + self.parked.len() as u64 + self.redeliveries
    }

    pub(super) fn under_way(&self) -> usize {
        let out = self.out.values().filter(|out| out.leased.is_some()).count();
        let parked = self
            .parked
            .values()
            .filter(|parked| parked.leased.is_some());
        out + parked.count() + self.redelivering.len()
    }

    /// Idle time up to now, in milliseconds: a hold that lasts counts, and time without a
    /// destination.
    pub(super) fn idle_until(&self, now: Timestamp) -> u64 {
        let held = self.held.as_ref().map(|hold| hold.held.since);
        let since = held.into_iter().chain(self.orphaned).min();
        self.idle + since.map_or(0, |since| now.since(since).as_millis() as u64)
    }

    /// A reason to stand still, which began at `since`, is gone; another may last.
    pub(super) fn stood_still(&mut self, since: Timestamp, now: Timestamp) {
        let held = self.held.as_ref().map(|hold| hold.held.since);
        let other = held.into_iter().chain(self.orphaned).min();
        self.idle += other.unwrap_or(now).since(since).as_millis() as u64;
    }

    /// A failure that begins now.
    pub(super) fn failing_from(&self, now: Timestamp) -> Failing {
        Failing {
            since: now,
            idle_then: self.idle_until(now),
            settings: self.settings,
        }
    }

    /// Since when it fails, without the time in which it was not tried; nothing when the
    /// settings have changed since.
    pub(super) fn effective(&self, failing: Option<Failing>, now: Timestamp) -> Option<Timestamp> {
        let failing = failing.filter(|failing| failing.settings == self.settings)?;
        let idle = self.idle_until(now).saturating_sub(failing.idle_then);
        Some(failing.since.plus(Duration::from_millis(idle)).min(now))
    }

    /// Ends a hold; what waited for its time is due at once.
    pub(super) fn end_hold(&mut self, now: Now) {
        if let Some(hold) = self.held.take() {
            self.stood_still(hold.held.since, now.wall);
        }
        for out in self.out.values_mut() {
            out.not_before = Duration::ZERO;
        }
        for parked in self.parked.values_mut() {
            parked.not_before = Duration::ZERO;
        }
    }

    /// Another attempt came back.
    pub(super) fn note_attempt(&mut self, trace: &Trace) {
        self.last = Some(LastAttempt::of(trace));
        *self.tally.attempts.entry(trace.reason).or_default() += 1;
    }

    pub(super) fn say_error(&mut self, words: &str) {
        self.last_error = Some(trail::cut(words, 240).to_owned());
    }
}

impl Parked {
    pub(super) fn from_note(note: ParkedNote, not_before: Duration) -> Parked {
        Parked {
            tries: note.tries,
            answered: note.answered,
            round: note.round,
            failing: note.failing,
            not_before,
            leased: None,
        }
    }

    pub(super) fn note(&self, now: Now) -> ParkedNote {
        ParkedNote {
            tries: self.tries,
            answered: self.answered,
            round: self.round,
            not_before: now.wall_at(self.not_before),
            failing: self.failing,
        }
    }
}
