//! The attempts in one lane, newest first: out of what is under way, and out of the records of what
//! left the lane's straight path. Reads alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delivery::Attempt;
use crate::queue::engine::Engine;
use crate::queue::key::{self, LaneId};
use crate::queue::record::Record;
use crate::queue::store::Fault;
use crate::queue::{Delivery, LastAttempt, QueueError};

/// So many records are read at once.
const STEP: usize = 512;

/// Some attempts to one destination.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// Newest first.
    pub found: Vec<Attempted>,
    /// The id that as many newer ones begin with, if there are any.
    pub newer: Option<u64>,
    /// The id that older ones begin with, if there are any.
    pub older: Option<u64>,
}

/// One attempt, or a run of equal failures, and the delivery that it was made for.
#[derive(Clone, Debug)]
pub struct Attempted {
    pub attempt: Attempt,
    /// What the answer and the template are told of is the last attempt alone.
    pub is_last: bool,
    pub delivery: Delivery,
    /// What was kept of what was sent, of the last attempt alone.
    pub sent: Option<Vec<u8>>,
}

impl Engine {
    pub(super) async fn attempts(
        self: &Arc<Engine>,
        destination: &str,
        from: Option<u64>,
        limit: usize,
        takes: fn(&Attempt) -> bool,
    ) -> Result<Attempts, QueueError> {
        let Ok(lane) = self.shared().lane_id(destination) else {
            return Ok(Attempts::default());
        };
        let window = Window::new(from.unwrap_or(u64::MAX), limit.max(1));
        let found = self.blocking(move |engine| engine.look_at_attempts(lane, window, takes));
        found.await?.map_err(|_| QueueError::Unavailable)
    }

    pub(super) async fn attempt(
        self: &Arc<Engine>,
        destination: &str,
        id: u64,
    ) -> Result<Option<Attempted>, QueueError> {
        let here = self.attempts(destination, Some(id), 1, |_| true).await?;
        let exact = here.found.into_iter().find(|found| found.attempt.id == id);
        // A run goes by the id of its last attempt.
        let (None, Some(newer)) = (&exact, here.newer) else {
            return Ok(exact);
        };
        let run = self.attempts(destination, Some(newer), 1, |_| true).await?;
        let mut run = run.found.into_iter();
        Ok(run.find(|found| found.attempt.count > 1))
    }

    pub(super) fn last_attempt(&self, destination: &str) -> Option<LastAttempt> {
        let mut shared = self.shared();
        let lane = shared.lane_id(destination).ok()?;
        shared.lane(lane).last
    }

    fn look_at_attempts(
        &self,
        lane: LaneId,
        mut window: Window,
        takes: fn(&Attempt) -> bool,
    ) -> Result<Attempts, Fault> {
        // In this order, because what is under way gets a record meanwhile.
        for (event, out) in &self.shared().lane(lane).out {
            window.add(*event, &out.trail.attempts, takes);
        }
        let mut range = key::all(b"d");
        loop {
            let records = self.scan_apart(range.clone(), STEP)?;
            for (key, value) in &records {
                if let Some((event, of)) = key::of_record(key)
                    && of == lane
                    && let Ok(record) = Record::decode(value)
                {
                    window.add(event, &record.trail.attempts, takes);
                }
            }
            match records.last() {
                Some((last, _)) if records.len() >= STEP => {
                    range.start = [last.as_slice(), &[0]].concat();
                }
                _ => return self.attempts_in(lane, &window),
            }
        }
    }

    fn attempts_in(&self, lane: LaneId, window: &Window) -> Result<Attempts, Fault> {
        let mut ids = window.older.iter().rev();
        let mut found = Vec::new();
        for (id, event) in ids.by_ref().take(window.limit) {
            found.extend(self.attempted(lane, *event, *id)?);
        }
        Ok(Attempts {
            found,
            newer: window.newer.keys().next_back().copied(),
            older: ids.next().map(|(id, _)| *id),
        })
    }

    /// `None` when it was removed, or became part of a run, since it was found.
    fn attempted(&self, lane: LaneId, event: u64, id: u64) -> Result<Option<Attempted>, Fault> {
        let Some(delivery) = self.delivery_of(event, lane)? else {
            return Ok(None);
        };
        let mut attempts = delivery.attempts.iter();
        let Some(attempt) = attempts.find(|attempt| attempt.id == id).cloned() else {
            return Ok(None);
        };
        let is_last = attempts.next().is_none();
        let sent = match is_last {
            true => self.sent_last(event, lane)?,
            false => None,
        };
        Ok(Some(Attempted {
            attempt,
            is_last,
            delivery,
            sent,
        }))
    }

    fn sent_last(&self, event: u64, lane: LaneId) -> Result<Option<Vec<u8>>, Fault> {
        let under_way = {
            let mut shared = self.shared();
            let out = shared.lane(lane).out.get(&event);
            out.and_then(|out| out.trail.sent.clone())
        };
        match under_way {
            Some(sent) => Ok(Some(sent.into())),
            None => self.sent_body(event, lane),
        }
    }
}

/// The ids of attempts on both sides of one, each with its event: as few as will be shown, however
/// many are looked at.
struct Window {
    from: u64,
    limit: usize,
    /// From `from` down: one more than are shown.
    older: BTreeMap<u64, u64>,
    /// Those next above `from`.
    newer: BTreeMap<u64, u64>,
}

impl Window {
    fn new(from: u64, limit: usize) -> Window {
        Window {
            from,
            limit,
            older: BTreeMap::new(),
            newer: BTreeMap::new(),
        }
    }

    fn add(&mut self, event: u64, attempts: &[Attempt], takes: fn(&Attempt) -> bool) {
        for attempt in attempts.iter().filter(|attempt| takes(attempt)) {
            if attempt.id > self.from {
                self.newer.insert(attempt.id, event);
                if self.newer.len() > self.limit {
                    self.newer.pop_last();
                }
            } else {
                self.older.insert(attempt.id, event);
                if self.older.len() > self.limit + 1 {
                    self.older.pop_first();
                }
            }
        }
    }
}
