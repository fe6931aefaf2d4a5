//! Where the lanes stand in the new queue. Where that cannot be read, everything that is not known
//! as settled waits, and the lane is held, so that nothing is lost and no channel is flooded.

use std::sync::Arc;

use anyhow::Context;

use crate::delivery::Reason;
use crate::queue::Held;
use crate::queue::key::{self, LaneId};
use crate::queue::lane_value::LaneValue;
use crate::queue::salvage::SalvagedLane;
use crate::queue::salvage::rebuild::Rebuild;

/// What is known of a lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    value: Option<LaneValue>,
    /// As the newest plan calls it.
    name: Option<Arc<str>>,
    /// Deliveries that wait in the log, and the oldest of them.
    in_log: u64,
    oldest: Option<u64>,
    /// Deliveries that wait beside it.
    pub(super) beside: u64,
    pub(super) dead: u64,
    pub(super) history: u64,
    pub(super) lost: u64,
    /// Events with a record, at or after the cursor.
    pub(super) ahead: u64,
}

impl Lane {
    /// Whether a delivery that has no record may wait in the log.
    pub(super) fn may_wait(&self, event: u64) -> bool {
        self.value.as_ref().is_none_or(|value| {
            event >= value.cursor || value.asides.iter().any(|aside| aside.holds(event))
        })
    }

    /// Whether a record of this event lies at or after the cursor, in no range of its own.
    pub(super) fn is_ahead(&self, event: u64) -> bool {
        let asides = self.value.as_ref().map(|value| &value.asides);
        let is_aside = asides.is_some_and(|asides| asides.iter().any(|aside| aside.holds(event)));
        !is_aside && self.cursor().is_some_and(|cursor| event >= cursor)
    }

    /// A delivery of the log without a record.
    pub(super) fn is_open(&mut self, event: u64) {
        let mut asides = self.value.iter_mut().flat_map(|value| &mut value.asides);
        match asides.find(|aside| aside.holds(event)) {
            Some(aside) => {
                aside.count += 1;
                self.in_log += u64::from(aside.fate.waits());
            }
            None => {
                self.in_log += 1;
                self.oldest.get_or_insert(event);
            }
        }
    }

    pub(super) fn is_called(&mut self, name: &Arc<str>) {
        if self.name.as_ref() != Some(name) {
            self.name = Some(name.clone());
        }
    }

    /// The cursor, if it is known or something waits.
    pub(super) fn cursor(&self) -> Option<u64> {
        let known = self.value.as_ref().map(|value| value.cursor);
        known.or(self.oldest)
    }
}

impl Rebuild<'_> {
    pub(super) fn read_lanes(&mut self) -> anyhow::Result<()> {
        for (key, found) in self.tree.range(key::all(b"l")) {
            let id = key.strip_prefix(b"l").and_then(|id| id.try_into().ok());
            let id = LaneId::from_be_bytes(id.context("a lane's key")?);
            let mut value = LaneValue::decode(&self.tree.value(found)?).ok();
            let asides = value.iter_mut().flat_map(|value| &mut value.asides);
            // They are counted again as their pages come back.
            asides.for_each(|aside| aside.count = 0);
            self.lanes.entry(id).or_default().value = value;
        }
        Ok(())
    }

    pub(super) fn write_lanes(&mut self) -> anyhow::Result<()> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for (id, lane) in std::mem::take(&mut self.lanes) {
            let is_unknown = lane.value.is_none() && id != 0;
            let (dead, history) = (lane.dead, lane.history);
            let (waiting, lost) = (lane.in_log + lane.beside, lane.lost);
            let known = lane.value.as_ref();
            self.report.dead.back += dead - lost;
            self.report.dead.lost +=
                known.map_or(0, |value| value.dead.saturating_sub(dead - lost));
            self.report.history.back += history;
            self.report.history.lost +=
                known.map_or(0, |value| value.history.saturating_sub(history));
            self.report.waiting.back += waiting;
            self.report.waiting.lost += lost;
            let mut value = self.value_of(id, lane);
            // A lane without a name waits for a new destination.
            let is_named = !value.destination.is_empty();
            if is_named && names.contains(&value.destination) {
                value.destination = format!("lost-{id}").into();
            }
            names.push(value.destination.clone());
            if is_named {
                self.report.lanes.push(SalvagedLane {
                    destination: value.destination.clone(),
                    waiting,
                    lost,
                    is_unknown,
                });
            }
            self.out.put(&key::lane(id), &value.encode())?;
        }
        let by_name = |lane: &SalvagedLane| lane.destination.clone();
        self.report.lanes.sort_by_key(by_name);
        Ok(())
    }

    fn value_of(&self, id: LaneId, lane: Lane) -> LaneValue {
        let cursor = lane.cursor().unwrap_or(self.next);
        let mut value = lane.value.unwrap_or_else(|| {
            let name = lane.name.as_deref();
            LaneValue {
                destination: name.map_or_else(|| format!("lost-{id}").into(), Into::into),
                cursor,
                held: Some((self.held(lane.in_log), None)),
                ..LaneValue::default()
            }
        });
        value.head = value.head.filter(|head| self.is_in_a_page(head.event));
        value.ahead = lane.ahead;
        value.dead = lane.dead;
        value.history = lane.history;
        value
    }

    fn held(&self, waiting: u64) -> Held {
        Held {
            manual: true,
            reason: Reason::Damaged,
            words: format!(
                "salvage could not read how far this destination had come: of the {waiting} \
                 deliveries that wait, some were delivered before; resume sends them all"
            ),
            since: self.now,
        }
    }
}
