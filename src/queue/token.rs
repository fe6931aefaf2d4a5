//! Leases: what a delivery carries while somebody has it, and how it finds its way back.

use std::sync::Arc;

use crate::delivery::DeliveryId;
use crate::event::{EventId, Facts};
use crate::queue::Lease;
use crate::queue::engine::{Engine, Shared};
use crate::queue::key::LaneId;
use crate::queue::lane::{Lane, Leased};
use crate::queue::page::Entry;
use crate::queue::record::Failing;

/// What the engine needs to find a lease again. Dropped, it gives the lease back.
pub(crate) struct LeaseToken {
    pub(super) engine: Arc<Engine>,
    pub(super) lane: LaneId,
    pub(super) serial: u64,
    pub(super) place: Place,
    pub(super) facts: Arc<Facts>,
    pub(super) is_settled: bool,
    pub(super) event: u64,
    /// The settings it is attempted with, if that was said.
    pub(super) settings: Option<u64>,
}

/// Where the delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Log,
    Parked,
    Redelivery,
}

/// A delivery that is about to be handed out.
pub(super) struct Taken {
    pub(super) event: u64,
    pub(super) leased: Leased,
    pub(super) place: Place,
}

impl Lane {
    /// Attempts in this round, those of them that count for the poison rule, and the failure
    /// that giving up counts from.
    fn so_far(&self, event: u64, place: Place) -> (u32, u32, Option<Failing>) {
        match place {
            Place::Log => {
                let out = self.out.get(&event).map(|out| &out.trail);
                let (tries, answered) = out.map_or((0, 0), |trail| (trail.tries, trail.answered));
                let is_strict = self.run.is_some_and(|run| !run.loose);
                (
                    tries,
                    answered,
                    self.failing.filter(|_| is_strict || tries > 0),
                )
            }
            Place::Parked => self.parked.get(&event).map_or((0, 0, None), |parked| {
                (parked.tries, parked.answered, parked.failing)
            }),
            Place::Redelivery => (0, 0, None),
        }
    }
}

impl Engine {
    /// Makes the lease of a delivery that was taken.
    pub(super) fn lease(
        self: &Arc<Engine>,
        shared: &mut Shared,
        id: LaneId,
        entry: &Entry,
        taken: Taken,
    ) -> Box<Lease> {
        let Taken {
            event,
            leased,
            place,
        } = taken;
        let now = self.now();
        shared.notice_sleep(now);
        let lane = shared.lane(id);
        let destination = lane.destination.clone();
        let mut route = entry.planned(id).and_then(|planned| planned.route.clone());
        let (attempts, answered, failing) = lane.so_far(event, place);
        let failing_since = lane.effective(failing, now.wall);
        let mut round = 1;
        if place != Place::Log
            && let Some(record) = self.record(shared, event, id)
        {
            round = record.round;
            route = record.route.or(route);
        }
        Box::new(Lease {
            id: DeliveryId {
                event: EventId(event),
                destination,
            },
            event: entry.event_alone(),
            route,
            round,
            attempts,
            answered,
            failing_since,
            is_probe: leased.is_probe,
            past_head: leased.past_head,
            token: LeaseToken {
                engine: self.clone(),
                lane: id,
                serial: leased.serial,
                place,
                facts: entry.facts.clone(),
                is_settled: false,
                event,
                settings: None,
            },
        })
    }
}

impl std::fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LeaseToken({})", self.serial)
    }
}

impl Drop for LeaseToken {
    fn drop(&mut self) {
        if !self.is_settled {
            self.engine.clone().give_back(self);
        }
    }
}
