//! A walk through the records from the oldest event on, for those that are old or too many.

use std::time::Duration;

use tracing::warn;

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

/// So often it is looked for dead letters that go soon.
const AHEAD_EVERY: Duration = Duration::from_secs(3600);
/// So long before they go it is said; of a short time to keep, the last quarter.
const SOON: Duration = Duration::from_secs(86_400);

/// Either through dead letters or through all other settled deliveries.
#[derive(Debug)]
pub(super) struct Walk {
    is_for_dead: bool,
    /// Before this event there is none of this kind.
    from: u64,
    /// Where the walk under way goes on: event and lane.
    at: (u64, LaneId),
    /// The first that this walk left in place.
    left: Option<u64>,
    rests_until: Duration,
    notices: Notices,
}

/// What was said of dead letters before they go.
#[derive(Debug, Default)]
struct Notices {
    ahead_at: Duration,
    /// The last event that was announced.
    announced: u64,
    /// How many this walk found that go soon, the first and the last.
    found: Option<(u64, u64, u64)>,
    is_crowded: bool,
}

/// What a walk goes by.
struct Bounds {
    /// So many are too many.
    over: u64,
    keep: Duration,
    /// Dead letters that go within this time are announced.
    soon: Duration,
}

impl Walk {
    pub(super) fn new(is_for_dead: bool) -> Walk {
        Walk {
            is_for_dead,
            from: 0,
            at: (0, 0),
            left: None,
            rests_until: Duration::ZERO,
            notices: Notices::default(),
        }
    }

    /// Before this event there is no record of this kind.
    pub(super) fn nothing_before(&self) -> u64 {
        self.from
    }

    /// A delivery as old as this was settled.
    pub(super) fn go_back_to(&mut self, event: u64) {
        self.from = self.from.min(event);
        self.at = self.at.min((event, 0));
    }

    /// Looks at some; says whether there is more to remove at once.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<bool, Fault> {
        let mut bounds = self.bounds(engine);
        if bounds.over == 0 && engine.clock.elapsed() < self.rests_until {
            return Ok(false);
        }
        let range = key::record(self.at.0, self.at.1)..key::all(b"d").end;
        let end = engine.shared().log.next;
        let records = engine.scan_apart(range, STEP)?;
        for (key, value) in &records {
            let (Some((event, lane)), Ok(record)) = (key::of_record(key), Record::decode(value))
            else {
                continue;
            };
            self.at = (event, lane.saturating_add(1));
            if !self.is_mine(record.state) {
                continue;
            }
            if self.removes(engine, (event, lane), &record, &bounds)? {
                bounds.over = bounds.over.saturating_sub(1);
                continue;
            }
            self.left.get_or_insert(event);
            let age = engine.clock.now().since(record.about.received);
            if bounds.over == 0 && age + bounds.soon <= bounds.keep {
                // Nothing newer can be old.
                self.rest(engine, event, &bounds);
                return Ok(false);
            }
        }
        if records.len() < STEP {
            self.rest(engine, end, &bounds);
            return Ok(false);
        }
        if self.left.is_none() {
            self.from = self.from.max(self.at.0);
        }
        Ok(true)
    }

    /// Removes the record, if it is old or one too many and nobody needs it; says whether.
    fn removes(
        &mut self,
        engine: &Engine,
        (event, lane): (u64, LaneId),
        record: &Record,
        bounds: &Bounds,
    ) -> Result<bool, Fault> {
        let settled = record.settled.unwrap_or(record.about.received);
        let age = engine.clock.now().since(settled);
        if (bounds.over > 0 || age > bounds.keep) && engine.prune(event, lane)? {
            return Ok(true);
        }
        if age + bounds.soon > bounds.keep && event > self.notices.announced {
            let (count, first, _) = self.notices.found.unwrap_or((0, event, event));
            self.notices.found = Some((count + 1, first, event));
        }
        Ok(false)
    }

    fn bounds(&mut self, engine: &Engine) -> Bounds {
        let shared = engine.shared();
        let kept = shared.lanes.iter().map(|lane| match self.is_for_dead {
            true => lane.dead,
            false => lane.history,
        });
        let (kept, keep) = (kept.sum::<u64>(), self.keep(&shared));
        drop(shared);
        let looks_ahead = self.is_for_dead && engine.clock.elapsed() >= self.notices.ahead_at;
        if self.is_for_dead {
            self.notices.tell_if_crowded(kept, keep.at_most);
        }
        Bounds {
            over: kept.saturating_sub(keep.at_most),
            keep: keep.keep,
            soon: match looks_ahead {
                true => SOON.min(keep.keep / 4),
                false => Duration::ZERO,
            },
        }
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

    fn rest(&mut self, engine: &Engine, seen_to: u64, bounds: &Bounds) {
        self.from = self.left.take().unwrap_or(seen_to);
        self.at = (self.from, 0);
        let now = engine.clock.elapsed();
        self.rests_until = now + REST;
        if !bounds.soon.is_zero() {
            self.notices.tell_of_soon(bounds.soon);
            self.notices.ahead_at = now + AHEAD_EVERY;
        }
    }
}

impl Notices {
    fn tell_of_soon(&mut self, soon: Duration) {
        let Some((count, first, last)) = self.found.take() else {
            return;
        };
        self.announced = last;
        let hours = soon.as_secs_f64() / 3600.0;
        warn!(
            "{count} dead letters go by age within {hours:.0} hours, those of events {first} to \
             {last}; `gogs-relay deliveries redeliver --state dead` sends them again"
        );
    }

    /// Said once each time that there come to be so many.
    fn tell_if_crowded(&mut self, kept: u64, at_most: u64) {
        let is_crowded = kept * 10 >= at_most * 9 && kept > 0;
        if is_crowded && !std::mem::replace(&mut self.is_crowded, true) {
            warn!(
                "{kept} dead letters are kept, and at most {at_most}: beyond that the oldest go; \
                 `gogs-relay deliveries redeliver --state dead` sends them again"
            );
        }
        if kept * 10 < at_most * 8 {
            self.is_crowded = false;
        }
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
