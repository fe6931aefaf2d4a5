//! How leases end: what it does to the lane, and what is written of it.

use std::time::Duration;

use tracing::error;

use crate::delivery::{Reason, State, Trace};
use crate::queue::engine::{Engine, Shared};
use crate::queue::key::{self, LaneId};
use crate::queue::lane::Leased;
use crate::queue::leave::{Ended, NOBODY, Writes, keep_sent, leave, park};
use crate::queue::page::Entry;
use crate::queue::record::{About, Record};
use crate::queue::token::{LeaseToken, Place};
use crate::queue::{Lease, Settlement};

impl Engine {
    pub(super) fn settle(&self, mut lease: Lease, settlement: Settlement, trace: Option<Trace>) {
        lease.token.is_settled = true;
        let mut shared = self.shared();
        let Some(leased) = take_back(&mut shared, &lease.token) else {
            self.settle_late(&mut shared, &lease, &settlement, trace.as_ref());
            return;
        };
        let LeaseToken {
            lane, event, place, ..
        } = lease.token;
        let mut record = self.record_of(&mut shared, &lease);
        if let Some(trace) = &trace {
            let id = self.attempt_id(&mut shared);
            match settlement {
                // It was not this one's turn.
                Settlement::Release => record.trail.note(id, record.round, trace),
                _ => record.trail.add(id, record.round, trace),
            }
            shared.lane(lane).note_attempt(trace);
        }
        let now = self.now();
        shared.notice_sleep(now);
        let ended = Ended {
            lane,
            event,
            place,
            leased,
            record,
            now,
        };
        let settlement = match shared.lane(lane).is_outdated(&lease.token, &settlement) {
            true => Settlement::Defer {
                wait: Duration::ZERO,
            },
            false => {
                let lane = shared.lane(lane);
                lane.learn(&settlement, trace.as_ref(), leased, now);
                settlement
            }
        };
        self.end(&mut shared, ended, settlement, trace.is_some());
        // In a strict lane nobody else has anything to do now than whoever settles, unless that
        // goes by another name.
        let is_renamed = shared.lane(lane).destination != lease.id.destination;
        if is_renamed || shared.lane(lane).is_loose() {
            self.wake(&mut shared, lane);
        }
    }

    /// Writes what became of it.
    fn end(&self, shared: &mut Shared, ended: Ended, settlement: Settlement, was_tried: bool) {
        match settlement {
            Settlement::Delivered => self.finish(shared, ended, State::Delivered, None),
            Settlement::Skipped(reason) => {
                self.finish(shared, ended, State::Skipped, Some(reason));
            }
            Settlement::Dead(reason) => self.finish(shared, ended, State::Dead, Some(reason)),
            Settlement::Defer { wait } => self.wait(shared, ended, Some(wait), was_tried),
            Settlement::Hold { .. } => self.wait(shared, ended, None, was_tried),
            Settlement::Release => self.wait(shared, ended, None, false),
        }
    }

    /// Takes back a lease that was dropped.
    pub(super) fn give_back(&self, token: &LeaseToken) {
        let mut shared = self.shared();
        if take_back(&mut shared, token).is_some() {
            shared.lane(token.lane).goes_back_aside(token.event);
            self.wake(&mut shared, token.lane);
        }
    }

    /// Buries a delivery of the log that is out, whoever has it.
    pub(super) fn bury_out(&self, lane: LaneId, event: u64, reason: Reason, entry: &Entry) {
        let mut shared = self.shared();
        let Some(out) = shared.lane(lane).out.get(&event) else {
            return;
        };
        let trail = out.trail.clone();
        let leased = out.leased.unwrap_or(NOBODY);
        let route = entry
            .planned(lane)
            .and_then(|planned| planned.route.clone());
        let record = Record {
            trail,
            ..Record::waiting(About::new(entry), route, 1)
        };
        let ended = Ended {
            lane,
            event,
            place: Place::Log,
            leased,
            record,
            now: self.now(),
        };
        self.finish(&mut shared, ended, State::Dead, Some(reason));
        self.wake(&mut shared, lane);
    }

    /// Buries a delivery whose event cannot be read, so that the lane goes on.
    pub(super) fn bury_unreadable(&self, lane: LaneId, event: u64) {
        let mut shared = self.shared();
        // Of a damage that takes many it is told once.
        if !self.store.is_wounded() {
            error!(event.id = event, destination.name = %shared.lane(lane).destination,
                "stored event {event} cannot be read");
        }
        let known = self.record(&shared, event, lane);
        let waits_beside = (known.as_ref()).is_some_and(|record| record.state == State::Waiting);
        let record = known.unwrap_or_else(|| Record::waiting(About::unknown(), None, 1));
        let place = if shared.lane(lane).parked.contains_key(&event) {
            Place::Parked
        } else if waits_beside {
            Place::Redelivery
        } else {
            Place::Log
        };
        if place == Place::Log && !shared.lane(lane).waits_in_log(event) {
            return;
        }
        if place == Place::Log && !shared.lane(lane).out.contains_key(&event) {
            shared.lane(lane).move_to(event);
            if shared.lane(lane).position() == event {
                shared.lane(lane).take_out(NOBODY);
            }
        }
        let ended = Ended {
            lane,
            event,
            place,
            leased: NOBODY,
            record,
            now: self.now(),
        };
        self.finish(&mut shared, ended, State::Dead, Some(Reason::Damaged));
    }

    /// The record of a delivery that ends or waits now, with its attempts so far.
    fn record_of(&self, shared: &mut Shared, lease: &Lease) -> Record {
        let token = &lease.token;
        if token.place != Place::Log
            && let Some(record) = self.record(shared, token.event, token.lane)
        {
            return record;
        }
        // If it goes on waiting there, it gets it back.
        let out = shared.lane(token.lane).out.get_mut(&token.event);
        let out = out.filter(|_| token.place == Place::Log);
        let trail = out.map(|out| std::mem::take(&mut out.trail));
        let about = About::of(&lease.event, &token.facts);
        Record {
            trail: trail.unwrap_or_default(),
            ..Record::waiting(about, lease.route.clone(), lease.round)
        }
    }

    fn finish(&self, shared: &mut Shared, ended: Ended, state: State, reason: Option<Reason>) {
        let Ended {
            lane,
            event,
            place,
            mut record,
            now,
            ..
        } = ended;
        let before = (place != Place::Log).then_some(State::Waiting);
        record.state = state;
        record.reason = reason;
        record.settled = Some(now.wall);
        record.not_before = None;
        let mut writes = leave(shared.lane(lane), place, event);
        writes.extend(keep_sent(event, lane, &mut record));
        shared.count(lane, before, Some(state));
        shared.settled(event);
        writes.push((key::record(event, lane), Some(record.encode())));
        writes.push(shared.lane(lane).write(now));
        self.push(shared, writes);
    }

    /// The delivery waits, for `wait` or until the lane may go on.
    fn wait(
        &self,
        shared: &mut Shared,
        ended: Ended,
        wait: Option<std::time::Duration>,
        was_tried: bool,
    ) {
        let now = ended.now;
        let at = wait.map_or(now.elapsed, |wait| now.elapsed + wait);
        let lane = shared.lane(ended.lane);
        let parks = match ended.place {
            Place::Log => {
                lane.is_loose() && was_tried && wait.is_some() && !lane.stands_aside(ended.event)
            }
            Place::Redelivery => was_tried || wait.is_some(),
            Place::Parked => true,
        };
        let mut writes = Writes::new();
        if parks {
            writes = park(lane, ended, at, was_tried);
        } else if lane.goes_back_aside(ended.event) {
            // Its range was left behind while it was under way.
        } else if let Some(out) = lane.out.get_mut(&ended.event) {
            out.trail = ended.record.trail;
            out.not_before = if ended.leased.past_head {
                now.elapsed
            } else {
                at
            };
        }
        if was_tried || wait.is_some() || lane.held.is_some() {
            writes.push(lane.write(now));
            self.push(shared, writes);
        }
    }

    /// The delivery was settled otherwise while somebody had it. That it was delivered is true
    /// all the same.
    fn settle_late(
        &self,
        shared: &mut Shared,
        lease: &Lease,
        settlement: &Settlement,
        trace: Option<&Trace>,
    ) {
        let (lane, event) = (lease.token.lane, lease.token.event);
        if *settlement != Settlement::Delivered {
            return;
        }
        let Some(mut record) = self.record(shared, event, lane) else {
            return;
        };
        if record.state == State::Waiting {
            return;
        }
        let before = record.state;
        if let Some(trace) = trace {
            let id = self.attempt_id(shared);
            record.trail.add(id, record.round, trace);
            shared.lane(lane).note_attempt(trace);
        }
        record.state = State::Delivered;
        record.reason = None;
        record.settled = Some(self.clock.now());
        let mut writes: Writes = keep_sent(event, lane, &mut record).collect();
        shared.count(lane, Some(before), Some(State::Delivered));
        shared.settled(event);
        writes.push((key::record(event, lane), Some(record.encode())));
        writes.push(shared.lane(lane).write(self.now()));
        self.push(shared, writes);
    }
}

/// Ends the lease, if it is still the one that counts.
fn take_back(shared: &mut Shared, token: &LeaseToken) -> Option<Leased> {
    let lane = shared.lane(token.lane);
    let slot = match token.place {
        Place::Log => &mut lane.out.get_mut(&token.event)?.leased,
        Place::Parked => &mut lane.parked.get_mut(&token.event)?.leased,
        Place::Redelivery => {
            let leased = *lane.redelivering.get(&token.event)?;
            if leased.serial == token.serial {
                lane.redelivering.remove(&token.event);
                return Some(leased);
            }
            return None;
        }
    };
    slot.take_if(|leased| leased.serial == token.serial)
}
