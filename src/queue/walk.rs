//! A walk through the records from the oldest event on, for those that are old or too many.

use std::time::Duration;

use crate::delivery::State;
use crate::queue::Keep;
use crate::queue::engine::{Engine, Shared};
use crate::queue::key::{self, LaneId};
use crate::queue::record::Record;
use crate::queue::store::Fault;

/// So many records are looked at in a step.
const STEP: usize = 64;
/// So long a walk rests when it has seen everything.
const REST: Duration = Duration::from_secs(10);

/// Either through dead letters or through all other settled deliveries.
#[derive(Debug)]
pub(super) struct Walk {
    is_for_dead: bool,
    /// Before this event there is none of this kind.
    from: u64,
    /// Where the walk under way goes on.
    at: u64,
    /// The first that this walk left in place.
    left: Option<u64>,
    rests_until: Duration,
}

impl Walk {
    pub(super) fn new(is_for_dead: bool) -> Walk {
        Walk {
            is_for_dead,
            from: 0,
            at: 0,
            left: None,
            rests_until: Duration::ZERO,
        }
    }

    /// Before this event there is no record of this kind.
    pub(super) fn nothing_before(&self) -> u64 {
        self.from
    }

    /// A delivery as old as this was settled.
    pub(super) fn go_back_to(&mut self, event: u64) {
        self.from = self.from.min(event);
        self.at = self.at.min(event);
    }

    pub(super) fn step(&mut self, engine: &Engine) -> Result<(), Fault> {
        let (mut over, keep) = self.bounds(&engine.shared());
        if over == 0 && engine.clock.elapsed() < self.rests_until {
            return Ok(());
        }
        if over > 0 {
            self.begin_again();
        }
        let range = key::record(self.at, 0)..key::all(b"d").end;
        let end = engine.shared().log.next;
        let step = if over > 0 {
            STEP.min(over as usize + 16)
        } else {
            STEP
        };
        let records = engine.scan_apart(range, step)?;
        let is_all = records.len() < step;
        let now = engine.clock.now();
        for (key, value) in &records {
            let (Some((event, lane)), Ok(record)) = (key::of_record(key), Record::decode(value))
            else {
                continue;
            };
            self.at = event;
            if !self.is_mine(record.state) {
                continue;
            }
            let settled = record.settled.unwrap_or(record.about.received);
            let is_old = now.since(settled) > keep;
            if (over > 0 || is_old) && engine.prune(event, lane)? {
                over = over.saturating_sub(1);
                continue;
            }
            self.left.get_or_insert(event);
            if now.since(record.about.received) <= keep {
                // Nothing newer can be old.
                self.rest(engine, event);
                return Ok(());
            }
        }
        if is_all {
            self.rest(engine, end);
        } else if records
            .iter()
            .all(|(key, _)| key::of_record(key).map(|(event, _)| event) == Some(self.at))
        {
            self.at += 1;
        }
        if self.left.is_none() {
            self.from = self.from.max(self.at);
        }
        Ok(())
    }

    /// How many there are too many, and how old they may be.
    fn bounds(&self, shared: &Shared) -> (u64, Duration) {
        (self.over(shared), self.keep(shared).keep)
    }

    fn over(&self, shared: &Shared) -> u64 {
        let kept: u64 = (shared.lanes.iter())
            .map(|lane| {
                if self.is_for_dead {
                    lane.dead
                } else {
                    lane.history
                }
            })
            .sum();
        kept.saturating_sub(self.keep(shared).at_most)
    }

    fn keep(&self, shared: &Shared) -> Keep {
        if self.is_for_dead {
            shared.dead
        } else {
            shared.history
        }
    }

    fn is_mine(&self, state: State) -> bool {
        match state {
            State::Waiting | State::Sending | State::Held => false,
            State::Dead => self.is_for_dead,
            _ => !self.is_for_dead,
        }
    }

    fn rest(&mut self, engine: &Engine, seen_to: u64) {
        self.from = self.left.unwrap_or(seen_to);
        self.rests_until = engine.clock.elapsed() + REST;
        self.begin_again();
    }

    fn begin_again(&mut self) {
        self.at = self.from;
        self.left = None;
    }
}

impl Engine {
    /// Removes a settled delivery, unless its lane has not passed it for good or it has been
    /// sent again meanwhile; says whether.
    fn prune(&self, event: u64, id: LaneId) -> Result<bool, Fault> {
        let mut shared = self.shared();
        let Some(record) = self.record(&shared, event, id) else {
            return Ok(true);
        };
        let next = shared.log.next;
        let lane = shared.lane(id);
        lane.catch_up(next);
        // Until the lane has passed it, the record is what says that it is settled.
        if record.state == State::Waiting || (id != 0 && lane.needs_record(event)) {
            return Ok(false);
        }
        if record.state == State::Dead {
            tracing::info!(event.id = event, destination.name = %lane.destination,
                "dead letter {event}:{} is removed by age or number", lane.destination);
        }
        shared.count(id, Some(record.state), None);
        let mut writes = vec![(key::record(event, id), None)];
        writes.extend((0..record.sent).map(|n| (key::body_chunk(event, id, n), None)));
        let now = self.now();
        writes.push(shared.lane(id).write(now));
        self.push(&mut shared, writes);
        self.remove_copy(&mut shared, event)?;
        Ok(true)
    }
}
