//! What people, probes and the dispatcher see of the lanes, and how the queue ends.

use std::sync::Arc;

use crate::delivery::Reason;
use crate::event::EventId;
use crate::queue::engine::Engine;
use crate::queue::lane::{Lane, Now};
use crate::queue::{LaneStatus, Stats};

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
        let (mut statuses, heads): (Vec<LaneStatus>, Vec<Option<u64>>) = {
            let shared = self.shared();
            let lanes = shared.lanes.iter().skip(1);
            lanes.map(|lane| (lane.status(now), lane.oldest())).unzip()
        };
        for (status, oldest) in statuses.iter_mut().zip(heads) {
            let head = oldest.and_then(|event| Some((event, self.head_of(event).ok()??)));
            status.oldest = head.and_then(|(event, head)| head.received(event));
        }
        statuses.sort_by(|one, other| one.destination.cmp(&other.destination));
        statuses
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
        LaneStatus {
            destination: self.destination.clone(),
            orphaned: self.run.is_none(),
            held: self.held.as_ref().map(|hold| hold.held.clone()),
            waiting: self.waiting(),
            dead: self.dead,
            oldest: None,
            next_try: next.map(|at| now.wall_at(at)),
            failing_since: self.effective(self.failing, now.wall),
            last_error: self.last_error.clone(),
        }
    }

    /// The oldest event that waits, as far as the lane knows.
    fn oldest(&self) -> Option<u64> {
        let log = (self.unread > 0 || !self.out.is_empty()).then(|| self.cursor());
        let parked = self.parked.keys().next().copied();
        log.into_iter().chain(parked).min()
    }
}
