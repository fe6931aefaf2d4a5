//! Bringing the queue's state back from disk.

use std::time::Duration;

use anyhow::Context;

use crate::clock::Timestamp;
use crate::queue::chunk::Damaged;
use crate::queue::configure::LONGEST_WAIT;
use crate::queue::duplicates::Duplicates;
use crate::queue::engine::{Engine, Shared};
use crate::queue::gaps::Gaps;
use crate::queue::head::Head;
use crate::queue::key::{self, LaneId};
use crate::queue::lane::{Lane, Parked};
use crate::queue::lane_value::LaneValue;
use crate::queue::record::ParkedNote;
use crate::queue::store::Fault;

const STEP: usize = 1024;

/// Which lanes were found, by id. An event goes to no lane that was not written before it.
#[derive(Debug, Default)]
pub(super) struct StoredLanes(Vec<bool>);

impl StoredLanes {
    fn contains(&self, lane: LaneId) -> bool {
        self.0.get(lane as usize).is_some_and(|stored| *stored)
    }
}

impl Engine {
    /// All heads from this sequence on.
    pub(super) fn heads_from(&self, from: u64) -> Result<Vec<Head>, Fault> {
        let mut all = Vec::new();
        self.each_head(from, |head| all.push(head))?;
        Ok(all)
    }

    fn each_head(&self, from: u64, mut each: impl FnMut(Head)) -> Result<(), Fault> {
        self.heads_while(from, |head| {
            each(head);
            true
        })
    }

    /// The same one by one, beginning with the page that this sequence lies in, until `each` has
    /// seen enough.
    pub(super) fn heads_while(
        &self,
        from: u64,
        mut each: impl FnMut(Head) -> bool,
    ) -> Result<(), Fault> {
        let _standing = self.standing_pages();
        let from = self.head_of(from)?.map_or(from, |head| head.first);
        let mut range = key::head(from)..key::all(b"h").end;
        loop {
            let heads = self.store.scan(range.clone(), STEP)?;
            let Some((last, _)) = heads.last() else {
                return Ok(());
            };
            range.start = [last.as_ref(), &[0]].concat();
            for (key, value) in &heads {
                let first = key::first_of_head(key).ok_or(Damaged)?;
                if !each(Head::decode(first, value)?) {
                    return Ok(());
                }
            }
        }
    }

    /// Reads the lanes; the relay's own downtime counts as idle.
    pub(super) fn load_lanes(&self, alive: Option<Timestamp>) -> anyhow::Result<StoredLanes> {
        let now = self.now();
        let downtime = alive.map(|alive| now.wall.since(alive)).unwrap_or_default();
        let mut shared = self.shared();
        let next = shared.log.next;
        let mut stored = StoredLanes::default();
        for (key, value) in self.store.scan(key::all(b"l"), usize::MAX)? {
            let id = key.strip_prefix(b"l").and_then(|id| id.try_into().ok());
            let id = LaneId::from_be_bytes(id.context("a lane's key is damaged")?);
            while (shared.lanes.len() as LaneId) < id {
                let missing = shared.lanes.len() as LaneId;
                shared
                    .lanes
                    .push(Lane::new(missing, format!("lost-{missing}").into(), next));
            }
            let value = LaneValue::decode(&value).with_context(|| format!("read lane {id}"))?;
            let mut lane = Lane::from_value(id, value, now);
            if lane.held.is_none() && lane.orphaned.is_none() {
                lane.idle += downtime.as_millis() as u64;
            }
            shared.lanes.push(lane);
            stored.0.resize(id as usize, false);
            stored.0.push(true);
        }
        if shared.lanes.is_empty() {
            shared.lanes.push(Lane::new(0, "".into(), next));
        }
        let Shared {
            lanes,
            by_name,
            vacant,
            ..
        } = &mut *shared;
        for lane in lanes.iter().skip(1) {
            if lane.is_vacant() {
                vacant.push(lane.id);
            } else {
                by_name.insert(lane.destination.clone(), lane.id);
            }
        }
        Ok(stored)
    }

    /// Reads the heads: what is known, and what each lane has waiting.
    pub(super) fn load_log(&self, stored: &StoredLanes) -> anyhow::Result<Duplicates> {
        self.load_ahead()?;
        let mut shared = self.shared();
        let (first, next) = (shared.log.first, shared.log.next);
        let events = next.saturating_sub(first);
        let mut duplicates = Duplicates::loading(self.options.dedupe.at_most, events);
        shared.log.pages_from = next;
        let mut gaps = Gaps::new(shared.log, self.clock.now());
        let mut strangers = false;
        self.each_head(0, |head| {
            if gaps.see(&head) > 0 {
                duplicates.skip_to(head.first);
            }
            if !head.is_stub() {
                shared.log.pages_from = shared.log.pages_from.min(head.first);
            }
            for (sequence, known) in head.range().zip(&head.events) {
                duplicates.push(sequence, known.hashes);
            }
            strangers |= head.any_lane(|lane| !stored.contains(lane));
            shared.take_in(&head);
        })?;
        if strangers {
            return Err(Damaged).context("what waits for some destinations has lost its lane");
        }
        self.tell_of_gaps(&mut shared, gaps.finish(next))?;
        duplicates.skip_to(next);
        duplicates.index();
        Ok(duplicates)
    }

    /// What lanes settled beyond their cursors is known by its records.
    fn load_ahead(&self) -> anyhow::Result<()> {
        let mut shared = self.shared();
        for lane in shared.lanes.iter_mut().skip(1) {
            let mut missing = lane.stored_ahead;
            let mut range = key::record(lane.cursor(), 0)..key::all(b"d").end;
            while missing > 0 {
                let records = self.store.scan(range.clone(), STEP)?;
                let Some((last, _)) = records.last() else {
                    break;
                };
                range.start = [last.as_ref(), &[0]].concat();
                for (event, of) in records.iter().filter_map(|(key, _)| key::of_record(key)) {
                    if of == lane.id && missing > 0 && lane.aside_of(event).is_none() {
                        lane.ahead.insert(event);
                        missing -= 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// What waits off the straight path.
    pub(super) fn load_waiting(&self) -> anyhow::Result<()> {
        let now = self.now();
        let mut shared = self.shared();
        for (key, value) in self.store.scan(key::all(b"k"), usize::MAX)? {
            let Some((lane, event)) = shared.waiting_at(&key) else {
                continue;
            };
            let note = ParkedNote::decode(&value).context("read a parked delivery")?;
            let longest = lane
                .run
                .map_or(LONGEST_WAIT, |run| run.longest_wait.max(LONGEST_WAIT));
            let mut wait = note.not_before.since(now.wall).min(longest);
            if note.failing.is_some_and(|it| it.settings != lane.settings) {
                wait = Duration::ZERO;
            }
            lane.parked
                .insert(event, Parked::from_note(note, now.elapsed + wait));
        }
        let mut range = key::all(b"w");
        loop {
            let some = self.store.scan(range.clone(), STEP)?;
            let Some((last, _)) = some.last() else {
                break;
            };
            range.start = [last.as_ref(), &[0]].concat();
            for (key, _) in &some {
                if let Some((lane, _)) = shared.waiting_at(key) {
                    lane.redeliveries += 1;
                }
            }
        }
        let busy: Vec<LaneId> = (shared.lanes.iter())
            .filter(|lane| lane.waiting() > 0)
            .map(|lane| lane.id)
            .collect();
        for id in busy {
            self.wake(&mut shared, id);
        }
        Ok(())
    }
}

impl Shared {
    /// Lane and event of a key made by [`key::parked`] or [`key::redelivery`].
    fn waiting_at(&mut self, key: &[u8]) -> Option<(&mut Lane, u64)> {
        let event = key::event_of_waiting(key)?;
        let id = LaneId::from_be_bytes(key.get(1..5)?.try_into().ok()?);
        Some((self.lanes.get_mut(id as usize)?, event))
    }
}
