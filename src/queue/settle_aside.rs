//! Gives deliveries of ranges that were settled as a whole their records, some between any two
//! commits. A crash loses nothing of it: the range is what is stored, and goes on from there.

use std::ops::Range;

use crate::queue::aside::{Aside, Fate};
use crate::queue::engine::{Engine, Shared};
use crate::queue::head::Head;
use crate::queue::key::{self, LaneId};
use crate::queue::leave::{Writes, leave};
use crate::queue::page::Entry;
use crate::queue::pending::WINDOW;
use crate::queue::record::{About, Record};
use crate::queue::store::Fault;
use crate::queue::token::Place;

/// So many times a step goes on,
const TURNS: usize = 4;
/// each time by at most so many records.
const RECORDS: usize = 50;

/// Whether a range can go on at once.
#[derive(PartialEq, Eq)]
enum Went {
    On,
    /// Not before something under way has ended.
    Stuck,
}

impl Engine {
    /// One step for the first range that can go on; says whether there is more to do at once.
    pub(super) fn settle_asides(&self) -> Result<bool, Fault> {
        let settled = self.settled_asides();
        for _ in 0..TURNS {
            if self.shared().pending.bytes() >= WINDOW / 2 {
                break;
            }
            let mut went = false;
            for (id, aside) in self.settled_asides() {
                went = self.settle_some(id, &aside)? == Went::On;
                if went {
                    break;
                }
            }
            if !went {
                return Ok(false);
            }
        }
        Ok(!settled.is_empty())
    }

    /// Ranges that are settled, with their lanes.
    fn settled_asides(&self) -> Vec<(LaneId, Aside)> {
        let shared = self.shared();
        let asides = shared.lanes.iter().flat_map(|lane| {
            let settled = lane.asides.iter().filter(|aside| !aside.fate.waits());
            settled.map(|aside| (lane.id, aside.clone()))
        });
        asides.collect()
    }

    /// Goes through some parked deliveries, or through a page.
    fn settle_some(&self, id: LaneId, aside: &Aside) -> Result<Went, Fault> {
        if self.settle_parked(id, aside) {
            return Ok(Went::On);
        }
        let head = self.head_with(id, aside.at)?;
        let Some(head) = head.filter(|head| aside.at < aside.to && head.first < aside.to) else {
            return Ok(self.end_aside(id, aside));
        };
        let page = match self.page(head.first) {
            Ok(page) => page,
            Err(fault) if fault.is_damage() => None,
            Err(fault) => return Err(fault),
        };
        let from = aside.at.max(head.first);
        let to = head.range().end.min(aside.to);
        let entry = |event| page.as_ref().and_then(|page| page.get(event));
        let mut shared = self.shared();
        let reached = self.write_some(&mut shared, id, from..to, (&head, &entry));
        Ok(match reached == from {
            true => Went::Stuck,
            false => Went::On,
        })
    }

    /// Writes records from an event on; says which comes next.
    fn write_some<'a>(
        &self,
        shared: &mut Shared,
        id: LaneId,
        events: Range<u64>,
        (head, entry): (&Head, &dyn Fn(u64) -> Option<&'a Entry>),
    ) -> u64 {
        let (now, mut writes, mut at) = (self.now(), Writes::new(), events.start);
        while at < events.end && writes.len() < RECORDS {
            let lane = shared.lane(id);
            if lane.out.contains_key(&at) {
                break;
            }
            // Somebody may have discarded, or sent again, what was to be settled otherwise.
            let Some(aside) = lane
                .aside_of(at)
                .filter(|aside| !aside.fate.waits())
                .cloned()
            else {
                break;
            };
            if head.goes_to(at, id) && self.record(shared, at, id).is_none() {
                writes.push(self.settle_one(shared, (at, id), entry(at), &aside));
            }
            at += 1;
            if let Some(aside) = shared.lane(id).aside_of_mut(at - 1) {
                aside.at = at;
            }
        }
        if at > events.start {
            writes.push(shared.lane(id).write(now));
            self.push(shared, writes);
        }
        at
    }

    /// The record of one delivery that shares the fate of its range; leaves the log.
    fn settle_one(
        &self,
        shared: &mut Shared,
        (event, id): (u64, LaneId),
        entry: Option<&Entry>,
        aside: &Aside,
    ) -> (key::Key, Option<Vec<u8>>) {
        let (state, reason) = aside.fate.settled().unzip();
        let route = entry.and_then(|entry| entry.planned(id));
        let about = entry.map_or_else(About::unknown, About::new);
        let waiting = Record::waiting(about, route.and_then(|planned| planned.route.clone()), 1);
        let record = Record {
            state: state.unwrap_or(waiting.state),
            reason,
            settled: Some(aside.since),
            ..waiting
        };
        shared.lane(id).left_log(event);
        shared.count(id, None, state);
        shared.settled(event);
        (key::record(event, id), Some(record.encode()))
    }

    /// Whether a delivery, whose page goes, waits no more: then, if its range was settled, it gets
    /// its record now.
    pub(super) fn settles_with_its_range(
        &self,
        shared: &mut Shared,
        (event, id): (u64, LaneId),
        entry: Option<&Entry>,
    ) -> bool {
        let lane = shared.lane(id);
        let Some(aside) = lane.aside_of(event).cloned() else {
            return !lane.waits_in_log(event);
        };
        if event < aside.at || lane.out.contains_key(&event) {
            return !lane.waits_in_log(event);
        }
        if self.record(shared, event, id).is_some() {
            return true;
        }
        if aside.fate.waits() {
            return false;
        }
        let mut writes = vec![self.settle_one(shared, (event, id), entry, &aside)];
        let now = self.now();
        let lane = shared.lane(id);
        lane.pass(event);
        writes.push(lane.write(now));
        self.push(shared, writes);
        true
    }

    /// Parked deliveries before the end of the range share its fate; says whether there were any.
    fn settle_parked(&self, id: LaneId, aside: &Aside) -> bool {
        let mut shared = self.shared();
        let lane = shared.lane(id);
        let parked = lane.parked.range(..aside.to);
        let idle = parked.filter(|(_, parked)| parked.round == 1 && parked.leased.is_none());
        let idle: Vec<u64> = idle.map(|(event, _)| *event).take(RECORDS).collect();
        for event in &idle {
            self.settle_one_parked(&mut shared, id, *event, aside);
        }
        !idle.is_empty()
    }

    /// A parked delivery whose range is settled shares its fate at once, where somebody asks for
    /// it by itself.
    pub(super) fn settle_if_its_range_is(&self, shared: &mut Shared, id: LaneId, event: u64) {
        let lane = shared.lane(id);
        let parked = lane.parked.get(&event);
        if parked.is_none_or(|parked| parked.round != 1 || parked.leased.is_some()) {
            return;
        }
        let mut settled = lane.asides.iter().filter(|aside| !aside.fate.waits());
        if let Some(aside) = settled.find(|aside| event < aside.to).cloned() {
            self.settle_one_parked(shared, id, event, &aside);
        }
    }

    fn settle_one_parked(&self, shared: &mut Shared, id: LaneId, event: u64, aside: &Aside) {
        let known = self.record(shared, event, id);
        let mut writes = leave(shared.lane(id), Place::Parked, event);
        if let (Some(known), Some((state, reason))) = (known, aside.fate.settled()) {
            let record = Record {
                state,
                reason: Some(reason),
                settled: Some(aside.since),
                not_before: None,
                ..known
            };
            shared.count(id, None, Some(state));
            shared.settled(event);
            writes.push((key::record(event, id), Some(record.encode())));
        }
        let now = self.now();
        writes.push(shared.lane(id).write(now));
        self.push(shared, writes);
    }

    /// Nothing of the range is left in the log.
    fn end_aside(&self, id: LaneId, aside: &Aside) -> Went {
        let now = self.now();
        let mut shared = self.shared();
        let lane = shared.lane(id);
        let before = lane.asides.len();
        for range in &mut lane.asides {
            if range.from == aside.from && range.to == aside.to && range.fate == aside.fate {
                range.at = range.to;
            }
        }
        lane.drop_empty_asides();
        if lane.asides.len() == before {
            return Went::Stuck;
        }
        let write = lane.write(now);
        self.wake(&mut shared, id);
        self.push(&mut shared, vec![write]);
        Went::On
    }
}

impl Aside {
    /// Whether a summary of it is being made.
    pub(super) fn is_counted(&self) -> bool {
        self.fate == Fate::Counted
    }
}
