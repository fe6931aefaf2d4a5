//! Bringing the queue's state back from disk, and what relay.yaml now says of the lanes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tracing::{error, info};

use crate::clock::Timestamp;
use crate::queue::LaneSpec;
use crate::queue::chunk::Damaged;
use crate::queue::duplicates::Duplicates;
use crate::queue::engine::{Engine, Shared};
use crate::queue::head::Head;
use crate::queue::key::{self, LaneId};
use crate::queue::lane::{Lane, Now, Parked, Run};
use crate::queue::lane_value::LaneValue;
use crate::queue::record::ParkedNote;
use crate::queue::store::Fault;

const STEP: usize = 1024;
/// A stored wait is never longer than this or the policy's longest, whatever the wall clock did.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Engine {
    /// All heads from this sequence on; those that are damaged are reported and left out.
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
                match Head::decode(first, value) {
                    Ok(head) => {
                        if !each(head) {
                            return Ok(());
                        }
                    }
                    Err(_) => error!(event.id = first, "the head of a page is damaged"),
                }
            }
        }
    }

    /// Reads the lanes; the relay's own downtime counts as idle.
    pub(super) fn load_lanes(&self, alive: Option<Timestamp>) -> anyhow::Result<()> {
        let now = self.now();
        let downtime = alive.map(|alive| now.wall.since(alive)).unwrap_or_default();
        let mut shared = self.shared();
        let next = shared.log.next;
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
            if lane.held.is_none() {
                lane.idle += downtime.as_millis() as u64;
            }
            shared.lanes.push(lane);
        }
        if shared.lanes.is_empty() {
            shared.lanes.push(Lane::new(0, "".into(), next));
        }
        let names = shared.lanes.iter().skip(1);
        shared.by_name = names
            .map(|lane| (lane.destination.clone(), lane.id))
            .collect();
        Ok(())
    }

    pub(super) fn apply_specs(&self, specs: &[LaneSpec]) {
        let now = self.now();
        let mut shared = self.shared();
        for spec in specs {
            let id = shared.lane_for(spec, specs);
            let lane = shared.lane(id);
            let longest = spec.longest_wait.max(LONGEST_WAIT);
            lane.run = Some(Run {
                width: spec.width.max(1),
                loose: spec.loose,
                longest_wait: spec.longest_wait,
            });
            for out in lane.out.values_mut() {
                out.not_before = out.not_before.min(now.elapsed + longest);
            }
            if lane.settings != spec.settings {
                lane.settings_changed(spec.settings, now);
            }
        }
        for lane in shared
            .lanes
            .iter()
            .skip(1)
            .filter(|lane| lane.run.is_none())
        {
            info!(destination.name = %lane.destination,
                "destination {} is no longer in relay.yaml; its lane is kept", lane.destination);
        }
    }

    /// Reads the heads: what is known, and what each lane has waiting.
    pub(super) fn load_log(&self) -> anyhow::Result<Duplicates> {
        self.load_ahead()?;
        let mut shared = self.shared();
        let mut duplicates = Duplicates::new(self.options.dedupe.at_most);
        let mut expected = shared.log.first;
        let next = shared.log.next;
        duplicates.expect(next.saturating_sub(expected));
        shared.log.pages_from = next;
        self.each_head(0, |head| {
            if head.first != expected {
                error!(
                    "the log has a gap: events {expected} to {} are missing",
                    head.first
                );
            }
            expected = head.range().end;
            if !head.is_stub() {
                shared.log.pages_from = shared.log.pages_from.min(head.first);
            }
            for (sequence, known) in head.range().zip(&head.events) {
                duplicates.push(sequence, known.hashes);
            }
            shared.take_in(&head);
        })?;
        if expected != next && expected != shared.log.first {
            error!("the log has a gap: events {expected} to {next} are missing");
        }
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
            let wait = note.not_before.since(now.wall).min(longest);
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
    /// The destination's lane: its own, the one that it takes over, or a new one.
    fn lane_for(&mut self, spec: &LaneSpec, specs: &[LaneSpec]) -> LaneId {
        if let Some(id) = self.by_name.get(&spec.destination) {
            return *id;
        }
        let free = |was: &&Arc<str>| specs.iter().all(|other| other.destination != **was);
        if let Some(was) = spec.was.as_ref().filter(free)
            && let Some(id) = self.by_name.remove(was)
        {
            self.lane(id).destination = spec.destination.clone();
            self.by_name.insert(spec.destination.clone(), id);
            return id;
        }
        let id = self.lanes.len() as LaneId;
        let lane = Lane::new(id, spec.destination.clone(), self.log.next);
        self.lanes.push(lane);
        self.by_name.insert(spec.destination.clone(), id);
        id
    }

    /// Lane and event of a key made by [`key::parked`] or [`key::redelivery`].
    fn waiting_at(&mut self, key: &[u8]) -> Option<(&mut Lane, u64)> {
        let event = key::event_of_waiting(key)?;
        let id = LaneId::from_be_bytes(key.get(1..5)?.try_into().ok()?);
        Some((self.lanes.get_mut(id as usize)?, event))
    }
}

impl Lane {
    /// A change of the destination's settings ends an automatic hold, and what failed before
    /// says nothing any more.
    pub(super) fn settings_changed(&mut self, settings: u64, now: Now) {
        self.settings = settings;
        self.failing = None;
        if self.held.as_ref().is_some_and(|hold| !hold.held.manual) {
            self.end_hold(now);
        }
        for out in self.out.values_mut() {
            out.not_before = Duration::ZERO;
        }
    }
}
