//! Sending many settled deliveries again: found in the order of their events, started anew in
//! steps that are each durable. What was started by a call that broke off waits, and is passed
//! over by the next.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::State;
use crate::queue::engine::{Engine, Shared};
use crate::queue::key::{self, LaneId};
use crate::queue::record::Record;
use crate::queue::store::Fault;
use crate::queue::{Again, Filter, QueueError, Redelivered};

/// So many records are looked at before others may have the disk.
const STEP: usize = 200;
/// So many of those that match are shown.
const SAMPLE: usize = 5;
/// A call that has a limit takes no longer.
const BUDGET: Duration = Duration::from_secs(1);

/// Where one call stands.
struct Progress {
    done: Redelivered,
    /// Event and lane to go on with, and the first event that is too new.
    at: (u64, LaneId),
    end: u64,
    stamp: u64,
}

impl Engine {
    pub(super) async fn redeliver_all(
        self: &Arc<Engine>,
        filter: Filter,
        how: Again,
    ) -> Result<Redelivered, QueueError> {
        let state = filter.state.filter(|state| may_go_again(*state));
        let Some(state) = state else {
            let words = "what is to be sent again must be dead, cancelled, skipped or delivered";
            return Err(QueueError::Refused(words.into()));
        };
        let at = match &how.cursor {
            None => Some((0, 0)),
            Some(cursor) => cursor
                .split_once('.')
                .and_then(|(event, lane)| Some((event.parse().ok()?, lane.parse().ok()?))),
        };
        let at = at.ok_or_else(|| QueueError::Refused("no such cursor".into()))?;
        self.records_are_written(state).await?;
        let mut progress = Progress {
            done: Redelivered::default(),
            at,
            end: self.shared().log.next,
            stamp: 0,
        };
        let until = self.clock.elapsed() + BUDGET;
        let filter = Arc::new(filter);
        loop {
            let (looked_for, how_far) = (filter.clone(), how.clone());
            let step = self.blocking(move |engine| {
                let more = engine.redeliver_some(&looked_for, &how_far, &mut progress)?;
                Ok((progress, more))
            });
            let more;
            (progress, more) = step.await?.map_err(|_| QueueError::Unavailable)?;
            if progress.stamp > 0 {
                self.durable(progress.stamp).await?;
            }
            if !more {
                return Ok(progress.done);
            }
            let is_enough = |limit| progress.done.matched >= limit || self.clock.elapsed() >= until;
            if how.limit.is_some_and(is_enough) {
                let (event, lane) = progress.at;
                progress.done.next = Some(format!("{event}.{lane}"));
                return Ok(progress.done);
            }
        }
    }

    /// Waits until deliveries that were settled as a whole have their records.
    async fn records_are_written(&self, state: State) -> Result<(), QueueError> {
        let mut written = self.written.subscribe();
        loop {
            let is_behind = (self.shared().lanes.iter()).any(|lane| lane.settled_aside(state) > 0);
            if !is_behind {
                return Ok(());
            }
            if written.changed().await.is_err() || self.shared().closing {
                return Err(QueueError::Closed);
            }
        }
    }

    /// Looks at some records and starts those that match; says whether there are more.
    fn redeliver_some(
        &self,
        filter: &Filter,
        how: &Again,
        progress: &mut Progress,
    ) -> Result<bool, Fault> {
        let (event, lane) = progress.at;
        let range = key::record(event, lane)..key::record(progress.end, 0);
        let records = self.scan_apart(range, STEP)?;
        for (key, value) in &records {
            let Some((event, lane)) = key::of_record(key) else {
                continue;
            };
            if how
                .limit
                .is_some_and(|limit| progress.done.matched >= limit)
            {
                progress.at = (event, lane);
                return Ok(true);
            }
            progress.at = (event, lane.saturating_add(1));
            let Ok(record) = Record::decode(value) else {
                continue;
            };
            if lane != 0 && Some(record.state) == filter.state {
                self.consider(filter, how, progress, (event, lane, record))?;
            }
        }
        Ok(records.len() >= STEP)
    }

    fn consider(
        &self,
        filter: &Filter,
        how: &Again,
        progress: &mut Progress,
        (event, lane, record): (u64, LaneId, Record),
    ) -> Result<(), Fault> {
        let state = record.state;
        let delivery = {
            let now = self.now();
            self.shared().of_record(event, lane, record, now)
        };
        if !filter.takes(&delivery) {
            return Ok(());
        }
        progress.done.matched += 1;
        let is_lost = state != State::Dead
            && event < self.shared().log.pages_from
            && self.entry(event)?.is_none();
        let mut shared = self.shared();
        if is_lost || shared.lane(lane).run.is_none() {
            progress.done.impossible += 1;
            return Ok(());
        }
        if how.dry_run {
            if progress.done.sample.len() < SAMPLE {
                progress.done.sample.push(delivery);
            }
            return Ok(());
        }
        // Others may have been quicker.
        let known = self.record(&shared, event, lane);
        if let Some(known) = known.filter(|known| known.state == state) {
            progress.stamp = self.begin_round(&mut shared, event, lane, known);
            progress.done.requeued += 1;
        }
        Ok(())
    }

    /// Starts a new round of a settled delivery; gives the stamp of what is written.
    pub(super) fn begin_round(
        &self,
        shared: &mut Shared,
        event: u64,
        id: LaneId,
        known: Record,
    ) -> u64 {
        let before = known.state;
        let record = Record {
            round: known.round + 1,
            sent: known.sent,
            route: known.route,
            trail: known.trail.next_round(),
            ..Record::waiting(known.about, None, 1)
        };
        self.let_wait(shared, event, id, (Some(before), record))
    }

    /// A delivery waits on its own, untried; gives the stamp of what is written.
    pub(super) fn let_wait(
        &self,
        shared: &mut Shared,
        event: u64,
        id: LaneId,
        (before, record): (Option<State>, Record),
    ) -> u64 {
        shared.lane(id).redeliveries += 1;
        shared.count(id, before, Some(State::Waiting));
        let now = self.now();
        let writes = vec![
            (key::record(event, id), Some(record.encode())),
            (key::redelivery(id, event), Some(Vec::new())),
            shared.lane(id).write(now),
        ];
        self.wake(shared, id);
        self.push(shared, writes)
    }
}

fn may_go_again(state: State) -> bool {
    match state {
        State::Dead | State::Cancelled | State::Skipped | State::Delivered => true,
        State::Waiting | State::Sending | State::Held | State::Unrouted => false,
    }
}
