//! What people, probes and the dispatcher see of the lanes, and how the queue ends.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::delivery::{Reason, State};
use crate::event::EventId;
use crate::queue::engine::Engine;
use crate::queue::key::{self, LaneId};
use crate::queue::lane::{Lane, Now};
use crate::queue::{LaneStatus, LaneTally, Stats};

impl Engine {
    pub(super) async fn woken(&self) -> Vec<Arc<str>> {
        loop {
            {
                let mut shared = self.shared();
                if !shared.woken.is_empty() {
                    let woken = std::mem::take(&mut shared.woken);
                    let names = woken.into_iter().map(|id| {
                        let lane = shared.lane(id);
                        lane.is_woken = false;
                        lane.destination.clone()
                    });
                    return names.collect();
                }
            }
            self.woken.notified().await;
        }
    }

    pub(super) fn bury_head(&self, destination: &str, event: EventId, reason: Reason) {
        let Ok(lane) = self.shared().lane_id(destination) else {
            return;
        };
        match self.entry(event.0) {
            Ok(Some(entry)) => self.bury_out(lane, event.0, reason, &entry),
            Ok(None) => self.bury_unreadable(lane, event.0),
            Err(error) => {
                tracing::warn!(%error, "event {event} cannot be read now; it stays the lane's head");
            }
        }
    }

    pub(super) fn lanes(&self) -> Vec<LaneStatus> {
        let now = self.now();
        let count = self.shared().lanes.len();
        let lanes = (1..count as LaneId).filter_map(|id| {
            let status = {
                let mut shared = self.shared();
                let lane = shared.lane(id);
                lane.is_shown().then(|| lane.status(now))?
            };
            let oldest = (status.waiting > 0).then(|| self.oldest(id)).flatten();
            Some(LaneStatus { oldest, ..status })
        });
        let mut statuses: Vec<LaneStatus> = lanes.collect();
        statuses.sort_by(|one, other| one.destination.cmp(&other.destination));
        statuses
    }

    /// When the oldest event arrived that waits for this lane.
    fn oldest(&self, id: LaneId) -> Option<Timestamp> {
        let (out, unread_from, parked) = {
            let mut shared = self.shared();
            let lane = shared.lane(id);
            let out = lane.out.keys().next().copied();
            let waiting = lane.asides.iter().filter(|aside| aside.fate.waits());
            let waiting = waiting.filter(|aside| aside.count > 0);
            let aside = waiting.map(|aside| aside.at).min();
            let unread = (lane.unread > 0).then_some(lane.read);
            let unread = [aside, unread].into_iter().flatten().min();
            (out, unread, lane.parked.keys().next().copied())
        };
        let redeliveries = key::redelivery(id, 0)..key::redelivery(id, u64::MAX);
        let redelivery = self.scan_apart(redeliveries, 1).ok()?;
        let redelivery = redelivery
            .first()
            .and_then(|(key, _)| key::event_of_waiting(key));
        let unread = unread_from.and_then(|from| {
            let head = self.head_with(id, from).ok()??;
            let mut events = from.max(head.first)..head.range().end;
            events.find(|event| head.goes_to(*event, id))
        });
        let event = [out, unread, parked, redelivery]
            .into_iter()
            .flatten()
            .min()?;
        match self.head_of(event).ok()? {
            Some(head) => head.received(event),
            None => Some(self.entry(event).ok()??.event.received),
        }
    }

    /// By destination; events without a route have none.
    pub(super) fn tallies(&self) -> Vec<(Arc<str>, LaneTally)> {
        let shared = self.shared();
        let lanes = shared.lanes.iter();
        lanes
            .map(|lane| (lane.destination.clone(), lane.tally.clone()))
            .collect()
    }

    pub(super) fn stats(&self) -> Stats {
        let bytes_on_disk = self.store.size();
        let shared = self.shared();
        Stats {
            events: shared.log.events,
            records: shared.lanes.iter().map(|lane| lane.history).sum(),
            dead: shared.lanes.iter().map(|lane| lane.dead).sum(),
            bytes_on_disk,
            commits: shared.commits,
            accepts: !shared.faulty,
        }
    }

    pub(super) fn begin_to_close(&self) {
        let mut shared = self.shared();
        if std::mem::replace(&mut shared.closing, true) {
            return;
        }
        let alive = self.alive_mark();
        self.push(&mut shared, vec![alive]);
        self.work.notify_one();
    }
}

impl Lane {
    /// A lane whose destination is gone is of interest while something is left in it.
    fn is_shown(&self) -> bool {
        let has_something = self.waiting() > 0 || self.dead > 0;
        let is_at_home = self.run.is_some_and(|run| !run.taken_over);
        !self.is_vacant() && (is_at_home || has_something)
    }

    fn status(&self, now: Now) -> LaneStatus {
        let head = self
            .out
            .values()
            .next()
            .filter(|head| head.leased.is_none());
        let head = head
            .filter(|head| head.trail.tries > 0)
            .map(|head| head.not_before);
        let parked = self
            .parked
            .values()
            .filter(|parked| parked.leased.is_none());
        let parked = parked.map(|parked| parked.not_before).min();
        let probe = self
            .held
            .as_ref()
            .map(|hold| hold.probe.map(|probe| probe.at));
        let next = probe.unwrap_or_else(|| head.into_iter().chain(parked).min());
        // Without a delivery there is nothing to probe with.
        let next = next.filter(|_| self.waiting() > 0);
        LaneStatus {
            destination: self.destination.clone(),
            orphaned: self.run.is_none(),
            held: self.held.as_ref().map(|hold| hold.held.clone()),
            waiting: self.waiting(),
            dead: self.dead + self.settled_aside(State::Dead),
            kept_back: self.kept_back(),
            oldest: None,
            next_try: next.map(|at| now.wall_at(at)),
            failing_since: self.effective(self.failing, now.wall),
            last_error: self.last_error.clone(),
        }
    }
}
