//! What the end of a lease does to its lane, and what is to be written of the delivery. No IO.

use crate::delivery::{State, Trace};
use crate::queue::chunk::{Kind, Of, Packed};
use crate::queue::key::{self, Key, LaneId};
use crate::queue::lane::{Hold, Lane, Leased, Now, Parked, Probe};
use crate::queue::record::Record;
use crate::queue::token::Place;
use crate::queue::{Held, Settlement};

/// A body as sent is kept up to so many bytes, compressed.
const SENT: usize = 8 << 10;

pub(super) type Writes = Vec<(Key, Option<Vec<u8>>)>;

pub(super) const NOBODY: Leased = Leased {
    serial: 0,
    is_probe: false,
    past_head: false,
};

/// A delivery that somebody has just given back.
pub(super) struct Ended {
    pub(super) lane: LaneId,
    pub(super) event: u64,
    pub(super) place: Place,
    pub(super) leased: Leased,
    pub(super) record: Record,
    pub(super) now: Now,
}

impl Lane {
    /// What the lane learns from the end of a lease.
    pub(super) fn learn(
        &mut self,
        settlement: &Settlement,
        trace: Option<&Trace>,
        leased: Leased,
        now: Now,
    ) {
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
                if leased.is_probe && self.held.as_ref().is_some_and(|hold| !hold.held.manual) =>
            {
                self.end_hold(now);
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
pub(super) fn park(
    lane: &mut Lane,
    ended: Ended,
    at: std::time::Duration,
    was_tried: bool,
) -> Writes {
    let (event, now) = (ended.event, ended.now);
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
pub(super) fn keep_sent(
    event: u64,
    lane: LaneId,
    record: &mut Record,
) -> impl Iterator<Item = (Key, Option<Vec<u8>>)> + use<> {
    let packed = record.trail.sent.take().map(|sent| Packed::pack(&sent));
    let packed = packed.filter(|packed| packed.len() <= SENT);
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
