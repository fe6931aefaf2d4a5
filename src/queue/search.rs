//! A walk back through the log and the records of what left it, event by event, a little at a
//! time.

use std::collections::BTreeMap;

use crate::delivery::State;
use crate::queue::engine::Engine;
use crate::queue::head::Head;
use crate::queue::key::{self, LaneId};
use crate::queue::lane::Lane;
use crate::queue::record::Record;
use crate::queue::store::Fault;
use crate::queue::{Delivery, Filter};

/// So many records are read at once.
const STEP: usize = 64;

/// An event, and what of its deliveries there is.
pub(super) type Stop = (u64, Vec<(LaneId, Delivery)>);

/// Where it stands in both.
pub(super) struct Search<'a> {
    engine: &'a Engine,
    wants_log: bool,
    /// Only this lane is asked for.
    lane: Option<LaneId>,
    /// The head of the page that the log was last looked at in.
    head: Option<Head>,
    /// Records below this event were not read yet.
    records_below: u64,
    records: BTreeMap<u64, Vec<(LaneId, Record)>>,
    /// Events of the log from here on were looked at.
    log_below: u64,
    /// Nothing waits in the log before this.
    log_from: u64,
    is_out_of_records: bool,
}

impl<'a> Search<'a> {
    /// Over all events up to `before`.
    pub(super) fn new(engine: &'a Engine, filter: &Filter, before: u64) -> Search<'a> {
        let shared = engine.shared();
        let end = before.saturating_add(1).min(shared.log.next);
        let wants_log = filter.state.is_none_or(|state| {
            let mut lanes = shared.lanes.iter();
            matches!(state, State::Waiting | State::Sending | State::Held)
                || lanes.any(|lane| lane.settled_aside(state) > 0)
        });
        let lane = filter.destination.as_ref();
        let lane = lane.and_then(|lane| shared.by_name.get(lane).copied());
        let lanes = shared.lanes.iter().skip(1);
        let log_from =
            lanes.filter(|lane| lane.unread > 0 || !lane.out.is_empty() || !lane.asides.is_empty());
        let log_from = log_from.map(Lane::floor).min().unwrap_or(shared.log.next);
        Search {
            engine,
            wants_log,
            lane,
            head: None,
            records_below: end,
            records: BTreeMap::new(),
            log_below: end,
            log_from,
            is_out_of_records: false,
        }
    }

    /// The next older event with its deliveries, newest lane first.
    pub(super) fn step(&mut self) -> Result<Option<Stop>, Fault> {
        if self.records.is_empty() && !self.is_out_of_records {
            self.read_records()?;
        }
        let is_other_page = self.skip_page()?;
        let record = self.records.last_key_value().map(|(event, _)| *event);
        let log = self.log().map(|below| below - 1);
        let is_behind = record.is_none() && log < self.unread();
        if (is_other_page && record < self.log()) || is_behind {
            // Nothing yet; one call looks only so long.
            let seen = self
                .log()
                .max(record.map(|event| event + 1).or(self.unread()));
            return Ok(seen.map(|seen| (seen, Vec::new())));
        }
        let Some(event) = record.max(log) else {
            return Ok(None);
        };
        let records = self.records.remove(&event).unwrap_or_default();
        let entry = if log == Some(event) {
            self.log_below = event;
            match self.engine.page(event) {
                // What cannot be read does not hide the rest.
                Err(fault) if fault.is_damage() => None,
                page => page?.and_then(|page| page.get(event).cloned()),
            }
        } else {
            None
        };
        self.log_below = self.log_below.min(event);
        let now = self.engine.now();
        let mut shared = self.engine.shared();
        let mut deliveries = BTreeMap::new();
        if let Some(entry) = &entry {
            for planned in entry.plan.iter() {
                let lane = planned.lane;
                let delivery = shared.of_log(event, lane, entry, now).or_else(|| {
                    // It may have been settled since the records were read.
                    let record = self.engine.record(&shared, event, lane)?;
                    Some(shared.of_record(event, lane, record, now))
                });
                deliveries.extend(delivery.map(|delivery| (lane, delivery)));
            }
        }
        for (lane, record) in records {
            deliveries.insert(lane, shared.of_record(event, lane, record, now));
        }
        Ok(Some((event, deliveries.into_iter().rev().collect())))
    }

    /// Events of the log below this are still to be looked at.
    fn log(&self) -> Option<u64> {
        (self.wants_log && self.log_below > self.log_from).then_some(self.log_below)
    }

    /// Records of events below this are still to be read.
    fn unread(&self) -> Option<u64> {
        (!self.is_out_of_records).then_some(self.records_below)
    }

    /// Passes over a page of the log that has nothing for the lane; says whether it did.
    fn skip_page(&mut self) -> Result<bool, Fault> {
        let (Some(lane), Some(below)) = (self.lane, self.log()) else {
            return Ok(false);
        };
        let is_known = (self.head.as_ref()).is_some_and(|head| head.range().contains(&(below - 1)));
        if !is_known {
            self.head = self.engine.head_of(below - 1)?;
        }
        let Some(head) = &self.head else {
            return Ok(false);
        };
        let mut events = head.first..below;
        if events.any(|event| head.goes_to(event, lane)) {
            return Ok(false);
        }
        self.log_below = head.first;
        Ok(true)
    }

    /// Reads some more; an event's records are always read together.
    fn read_records(&mut self) -> Result<(), Fault> {
        let range = key::record(0, 0)..key::record(self.records_below, 0);
        let some = self.engine.scan_back(range, STEP)?;
        self.is_out_of_records = some.len() < STEP;
        let Some((last, _)) = some.last() else {
            return Ok(());
        };
        let lowest = key::of_record(last).map_or(0, |(event, _)| event);
        let rest = key::record(lowest, 0)..last.clone();
        let rest = self.engine.scan_back(rest, usize::MAX >> 1)?;
        for (key, value) in some.iter().chain(&rest) {
            let Some((event, lane)) = key::of_record(key) else {
                continue;
            };
            if self.lane.is_none_or(|wanted| wanted == lane)
                && let Ok(record) = Record::decode(value)
            {
                self.records.entry(event).or_default().push((lane, record));
            }
        }
        self.records_below = lowest;
        Ok(())
    }
}
