//! How leases end: what it does to the lane, and what is written of it.

use tracing::error;

use crate::delivery::{Reason, State, Trace};
use crate::queue::chunk::{Kind, Of, Packed};
use crate::queue::engine::{Engine, Shared};
use crate::queue::key::{self, Key, LaneId};
use crate::queue::lane::{Hold, Lane, Leased, Now, Parked, Probe};
use crate::queue::lease::{LeaseToken, Place};
use crate::queue::page::Entry;
use crate::queue::record::{About, Record};
use crate::queue::{Held, Lease, Settlement};

/// A body as sent is kept up to so many bytes, compressed.
const SENT: usize = 8 << 10;

pub(super) type Writes = Vec<(Key, Option<Vec<u8>>)>;

/// A delivery that somebody has just given back.
struct Ended {
    lane: LaneId,
    event: u64,
    place: Place,
    leased: Leased,
    record: Record,
}

impl Engine {
    pub(super) fn settle(&self, mut lease: Lease, settlement: Settlement, trace: Option<Trace>) {
        lease.token.is_settled = true;
        let mut shared = self.shared();
        let Some(leased) = take_back(&mut shared, &lease.token) else {
            self.settle_late(&mut shared, &lease, &settlement, trace.as_ref());
            return;
        };
        let (lane, event, place) = (lease.token.lane, lease.token.event, lease.token.place);
        let mut record = self.record_of(&mut shared, &lease);
        if let Some(trace) = &trace {
            let id = self.attempt_id(&mut shared);
            record.trail.add(id, trace);
        }
        let ended = Ended {
            lane,
            event,
            place,
            leased,
            record,
        };
        let now = self.now();
        shared
            .lane(lane)
            .learn(&settlement, trace.as_ref(), leased, now);
        match settlement {
            Settlement::Delivered => self.finish(&mut shared, ended, State::Delivered, None),
            Settlement::Skipped(reason) => {
                self.finish(&mut shared, ended, State::Skipped, Some(reason));
            }
            Settlement::Dead(reason) => self.finish(&mut shared, ended, State::Dead, Some(reason)),
            Settlement::Defer { wait } => {
                self.wait(&mut shared, ended, Some(wait), trace.is_some())
            }
            Settlement::Hold { .. } => self.wait(&mut shared, ended, None, trace.is_some()),
            Settlement::Release => self.wait(&mut shared, ended, None, trace.is_some()),
        }
        self.wake(&mut shared, lane);
    }

    /// Takes back a lease that was dropped.
    pub(super) fn give_back(&self, token: &LeaseToken) {
        let mut shared = self.shared();
        if take_back(&mut shared, token).is_some() {
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
        };
        self.finish(&mut shared, ended, State::Dead, Some(reason));
        self.wake(&mut shared, lane);
    }

    /// Buries a delivery whose event cannot be read, so that the lane goes on.
    pub(super) fn bury_unreadable(&self, lane: LaneId, event: u64) {
        let mut shared = self.shared();
        error!(event.id = event, destination.name = %shared.lane(lane).destination,
            "stored event {event} cannot be read");
        let known = self.record(&shared, event, lane);
        let record = known.unwrap_or_else(|| Record::waiting(About::unknown(), None, 1));
        let place = if shared.lane(lane).parked.contains_key(&event) {
            Place::Parked
        } else if record.round > 1 {
            Place::Redelivery
        } else {
            Place::Log
        };
        if place == Place::Log && event >= shared.lane(lane).read {
            shared.lane(lane).read = event;
            shared.lane(lane).take_out(NOBODY);
        }
        let ended = Ended {
            lane,
            event,
            place,
            leased: NOBODY,
            record,
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
        let out = shared.lane(token.lane).out.get(&token.event);
        let trail = out.map(|out| out.trail.clone()).unwrap_or_default();
        Record {
            trail,
            ..Record::waiting(token.about.clone(), lease.route.clone(), lease.round)
        }
    }

    fn finish(&self, shared: &mut Shared, ended: Ended, state: State, reason: Option<Reason>) {
        let now = self.now();
        let Ended {
            lane,
            event,
            place,
            mut record,
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
        let now = self.now();
        let at = wait.map_or(now.elapsed, |wait| now.elapsed + wait);
        let lane = shared.lane(ended.lane);
        let is_loose = lane.run.is_some_and(|run| run.loose);
        let parks = match ended.place {
            Place::Log => is_loose && was_tried && wait.is_some(),
            Place::Redelivery => was_tried,
            Place::Parked => true,
        };
        let mut writes = Writes::new();
        if parks {
            writes = park(lane, ended, at, now, was_tried);
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
            record.trail.add(id, trace);
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

pub(super) const NOBODY: Leased = Leased {
    serial: 0,
    is_probe: false,
    past_head: false,
};

impl About {
    /// Of an event that cannot be read.
    pub(super) fn unknown() -> About {
        About {
            source: "".into(),
            name: "unknown".into(),
            repo: None,
            summary: String::new(),
            received: crate::clock::Timestamp(0),
        }
    }
}

impl Lane {
    /// What the lane learns from the end of a lease.
    fn learn(&mut self, settlement: &Settlement, trace: Option<&Trace>, leased: Leased, now: Now) {
        match settlement {
            Settlement::Delivered => {
                self.failing = None;
                self.last_error = None;
            }
            Settlement::Skipped(_) | Settlement::Release => {}
            Settlement::Dead(_) | Settlement::Defer { .. } | Settlement::Hold { .. } => {
                if let Some(trace) = trace {
                    self.say_error(&trace.verdict);
                    let failing = self.failing_from(now.wall);
                    let known = self.failing.filter(|known| known.settings == self.settings);
                    self.failing = Some(known.unwrap_or(failing));
                }
            }
        }
        match settlement {
            Settlement::Hold {
                reason,
                words,
                probe,
            } if self.held.as_ref().is_none_or(|hold| !hold.held.manual) => {
                let since = self.held.as_ref().map_or(now.wall, |hold| hold.held.since);
                self.held = Some(Hold {
                    held: Held {
                        manual: false,
                        reason: *reason,
                        words: words.clone(),
                        since,
                    },
                    probe: probe.map(|wait| Probe {
                        wait,
                        at: now.elapsed + wait,
                    }),
                });
            }
            Settlement::Delivered | Settlement::Skipped(_) | Settlement::Dead(_)
                if leased.is_probe =>
            {
                if self.held.as_ref().is_some_and(|hold| !hold.held.manual) {
                    self.end_hold(now);
                }
            }
            Settlement::Defer { .. } if leased.is_probe => {
                if let Some(probe) = self.held.as_mut().and_then(|hold| hold.probe.as_mut()) {
                    probe.at = now.elapsed + probe.wait;
                }
            }
            _ => {}
        }
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

/// Removes the delivery from where it waited.
pub(super) fn leave(lane: &mut Lane, place: Place, event: u64) -> Writes {
    match place {
        Place::Log => {
            lane.left_log(event);
            Vec::new()
        }
        Place::Parked => {
            lane.parked.remove(&event);
            vec![(key::parked(lane.id, event), None)]
        }
        Place::Redelivery => {
            lane.redeliveries = lane.redeliveries.saturating_sub(1);
            lane.redelivering.remove(&event);
            vec![(key::redelivery(lane.id, event), None)]
        }
    }
}

/// Puts a delivery aside, to wait on its own.
fn park(
    lane: &mut Lane,
    ended: Ended,
    at: std::time::Duration,
    now: Now,
    was_tried: bool,
) -> Writes {
    let event = ended.event;
    let mut record = ended.record;
    let mut writes = leave(lane, ended.place, event);
    if was_tried {
        let known = record
            .failing
            .filter(|failing| failing.settings == lane.settings);
        record.failing = Some(known.unwrap_or_else(|| lane.failing_from(now.wall)));
    }
    let parked = Parked {
        tries: record.trail.tries,
        answered: record.trail.answered,
        round: record.round,
        failing: record.failing,
        not_before: at,
        leased: None,
    };
    record.state = State::Waiting;
    record.not_before = Some(now.wall_at(at));
    writes.push((key::record(event, lane.id), Some(record.encode())));
    writes.push((key::parked(lane.id, event), Some(parked.note(now).encode())));
    lane.parked.insert(event, parked);
    writes
}

/// The chunks of the last body as sent, if it is to be kept; removes those of an earlier round.
fn keep_sent(
    event: u64,
    lane: LaneId,
    record: &mut Record,
) -> impl Iterator<Item = (Key, Option<Vec<u8>>)> + use<> {
    let packed = record.trail.sent.take().map(|sent| Packed::pack(&sent));
    let packed = packed.filter(|packed| packed.bytes.len() <= SENT);
    let before = record.sent;
    let of = Of {
        kind: Kind::Sent,
        sequence: event,
        lane,
    };
    let chunks: Vec<(u32, Vec<u8>)> = packed.iter().flat_map(|packed| packed.split(of)).collect();
    let after = chunks.len() as u32;
    record.sent = if after == 0 { before } else { after };
    let stale = (after..before)
        .filter(move |_| after > 0)
        .map(move |n| (n, None));
    let chunks = chunks
        .into_iter()
        .map(|(n, chunk)| (n, Some(chunk)))
        .chain(stale);
    chunks.map(move |(n, chunk)| (key::body_chunk(event, lane, n), chunk))
}
