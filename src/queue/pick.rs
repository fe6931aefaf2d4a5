//! What a lane may do now. Pure.

use std::time::Duration;

use crate::queue::lane::{Lane, Out, PARKED};

/// What a lane would do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// A delivery of the log that was out before.
    Out(u64),
    Parked(u64),
    /// The first redelivery that is not under way.
    Redelivery,
    /// The next delivery of the log, at or after `read`.
    Log,
    NotBefore(Duration),
    Nothing,
}

impl Lane {
    /// What it would do now.
    pub(super) fn pick(&self, now: Duration) -> Pick {
        let Some(run) = self.run.filter(|_| !self.paused) else {
            return Pick::Nothing;
        };
        let under_way = self.under_way();
        let is_probe = match self.held.as_ref().map(|hold| hold.probe) {
            None => false,
            Some(Some(probe)) if under_way == 0 && probe.at <= now => true,
            Some(Some(probe)) if under_way == 0 => return Pick::NotBefore(probe.at),
            Some(_) => return Pick::Nothing,
        };
        // What is under way may have to be parked as well.
        let is_full = self.parked.len() + self.out.len() + self.redelivering.len() >= PARKED;
        let width = if run.loose && !is_full { run.width } else { 1 };
        if under_way >= width {
            return Pick::Nothing;
        }
        let now = if is_probe { Duration::MAX } else { now };
        let mut soonest = Duration::MAX;
        for (sequence, out) in self.out.iter().filter(|(_, out)| out.leased.is_none()) {
            if out.not_before <= now {
                return Pick::Out(*sequence);
            }
            soonest = soonest.min(out.not_before);
            if !run.loose {
                return Pick::NotBefore(soonest);
            }
        }
        for (event, parked) in self
            .parked
            .iter()
            .filter(|(event, parked)| parked.leased.is_none() && !self.stops(**event, parked))
        {
            if parked.not_before <= now {
                return Pick::Parked(*event);
            }
            soonest = soonest.min(parked.not_before);
        }
        if !is_full && self.redeliveries > self.redelivering.len() as u64 {
            return Pick::Redelivery;
        }
        if self.has_unread() && !(is_full && run.loose) && !self.out.values().any(Out::is_retried) {
            return Pick::Log;
        }
        if soonest == Duration::MAX {
            Pick::Nothing
        } else {
            Pick::NotBefore(soonest)
        }
    }

    /// Whether there may be something past a head that failed, and nothing is under way.
    pub(super) fn may_look_past_head(&self) -> bool {
        let runs = self.run.is_some_and(|run| !run.loose) && self.held.is_none() && !self.paused;
        let head = self.out.first_key_value();
        runs && self.under_way() == 0 && head.is_some_and(|(_, head)| head.is_retried())
    }
}
