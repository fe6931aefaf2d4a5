//! What people and repeated deliveries do to lanes: hold, resume, cancel, send again.

use std::sync::Arc;

use tracing::info;

use crate::delivery::{Reason, State};
use crate::event::EventId;
use crate::queue::engine::{Engine, Shared};
use crate::queue::key::{self, LaneId};
use crate::queue::lane::Hold;
use crate::queue::lane_value::HELD_WORDS;
use crate::queue::leave::leave;
use crate::queue::page::{Entry, Planned};
use crate::queue::record::{About, Record};
use crate::queue::store::Fault;
use crate::queue::token::Place;
use crate::queue::trail::cut;
use crate::queue::{Held, QueueError, Range};

/// So many deliveries are cancelled before the disk is waited for.
const STEP: usize = 500;

impl Engine {
    pub(super) async fn hold(&self, destination: &str, words: String) -> Result<(), QueueError> {
        let stamp = {
            let mut shared = self.shared();
            let id = shared.lane_id(destination)?;
            let now = self.now();
            let lane = shared.lane(id);
            let since = lane.held.as_ref().map_or(now.wall, |hold| hold.held.since);
            let held = Held {
                manual: true,
                reason: Reason::Manual,
                // So much is stored; memory should hold no more.
                words: cut(&words, HELD_WORDS).to_owned(),
                since,
            };
            info!(
                destination.name = destination,
                "{destination} is held: {}", held.words
            );
            lane.held = Some(Hold { held, probe: None });
            let write = lane.write(now);
            self.push(&mut shared, vec![write])
        };
        self.durable(stamp).await
    }

    pub(super) async fn count(
        self: &Arc<Engine>,
        destination: &str,
        range: Range,
    ) -> Result<u64, QueueError> {
        let lane = self.shared().lane_id(destination)?;
        match range {
            Range::All => Ok(self.shared().lane(lane).waiting()),
            Range::KeptBack => Ok(self.shared().lane(lane).undecided_aside()),
            Range::One(event) => {
                let place = self
                    .blocking(move |engine| engine.place_of(lane, event.0))
                    .await?;
                let place = place.map_err(|_| QueueError::Unavailable)?;
                Ok(u64::from(place.is_some()))
            }
        }
    }

    pub(super) async fn discard(
        self: &Arc<Engine>,
        destination: &str,
        range: Range,
        expect: Option<u64>,
    ) -> Result<u64, QueueError> {
        let _turn = self.operating.lock().await;
        let found = self.count(destination, range).await?;
        if let Some(expected) = expect.filter(|expected| *expected != found) {
            return Err(QueueError::Changed { expected, found });
        }
        let id = self.shared().lane_id(destination)?;
        let until = self.shared().log.next;
        let mut cancelled = match range {
            Range::One(event) => return self.cancel_these(id, vec![event.0]).await,
            Range::All | Range::KeptBack => self.cancel_log(id, range).await?,
        };
        if range == Range::All {
            cancelled += self.cancel_singles(id, until).await?;
        }
        info!(
            destination.name = destination,
            cancelled, "{cancelled} deliveries to {destination} are cancelled"
        );
        Ok(cancelled)
    }

    /// Cancels what waits in the log with one write, whatever its number; says how many.
    async fn cancel_log(&self, id: LaneId, range: Range) -> Result<u64, QueueError> {
        let (cancelled, stamp) = {
            let mut shared = self.shared();
            let (now, end) = (self.now(), shared.log.next);
            let lane = shared.lane(id);
            let cancelled = lane.cancel_log(range, end, now.wall);
            let write = lane.write(now);
            shared.settling = true;
            (cancelled, self.push(&mut shared, vec![write]))
        };
        self.durable(stamp).await?;
        Ok(cancelled)
    }

    /// Cancels, in steps, what of the lane is under way or waits outside the log, before `until`.
    async fn cancel_singles(self: &Arc<Engine>, id: LaneId, until: u64) -> Result<u64, QueueError> {
        let mut cancelled = 0;
        loop {
            let single = self.blocking(move |engine| engine.waiting_singly(id, until));
            let single = single.await?.map_err(|_| QueueError::Unavailable)?;
            match self.cancel_these(id, single).await? {
                0 => return Ok(cancelled),
                some => cancelled += some,
            }
        }
    }

    async fn cancel_these(
        self: &Arc<Engine>,
        id: LaneId,
        events: Vec<u64>,
    ) -> Result<u64, QueueError> {
        let step = self.blocking(move |engine| engine.cancel_some(id, events));
        let (cancelled, stamp) = step.await?.map_err(|_| QueueError::Unavailable)?;
        self.durable(stamp).await?;
        Ok(cancelled)
    }

    pub(super) async fn redeliver(
        self: &Arc<Engine>,
        event: EventId,
        destinations: &[Arc<str>],
    ) -> Result<Vec<Arc<str>>, QueueError> {
        let entry = self.blocking(move |engine| engine.entry(event.0)).await?;
        let entry = entry.map_err(|_| QueueError::Unavailable)?;
        let entry = entry.ok_or(QueueError::NoSuchEvent(event))?;
        let (again, stamp) = {
            let mut shared = self.shared();
            let ids: Result<Vec<LaneId>, QueueError> = destinations
                .iter()
                .map(|name| shared.lane_id(name))
                .collect();
            let mut again = Vec::new();
            let mut stamp = 0;
            for id in ids? {
                let destination = shared.lane(id).destination.clone();
                if shared.lane(id).run.is_none() {
                    let words = format!("{destination} is no longer a destination in relay.yaml");
                    return Err(QueueError::Refused(words));
                }
                let planned = entry.planned(id).cloned().unwrap_or_else(|| Planned {
                    lane: id,
                    destination: destination.clone(),
                    route: None,
                });
                if let Some(pushed) = self.new_round(&mut shared, event.0, &entry, &planned) {
                    stamp = pushed;
                    again.push(destination);
                }
            }
            (again, stamp)
        };
        self.durable(stamp).await?;
        Ok(again)
    }

    /// Starts a new round, unless the delivery waits already or its destination is gone; gives the stamp of what is written.
    pub(super) fn new_round(
        &self,
        shared: &mut Shared,
        event: u64,
        entry: &Entry,
        planned: &Planned,
    ) -> Option<u64> {
        let (id, route) = (planned.lane, &planned.route);
        self.settle_if_its_range_is(shared, id, event);
        let known = self.record(shared, event, id);
        let was_planned = entry.planned(id).is_some();
        let lane = shared.lane(id);
        let before = known.as_ref().map(|record| record.state);
        let waits = match before {
            Some(state) => state == State::Waiting,
            None => was_planned && lane.waits_in_log(event),
        };
        if waits || lane.run.is_none() {
            return None;
        }
        Some(match known {
            Some(known) => {
                let route = known.route.clone().or_else(|| route.clone());
                self.begin_round(shared, event, id, Record { route, ..known })
            }
            None => {
                let round = if was_planned { 2 } else { 1 };
                let record = Record::waiting(About::new(entry), route.clone(), round);
                self.let_wait(shared, event, id, (None, record))
            }
        })
    }

    /// Where the delivery waits, if it does.
    pub(super) fn place_of(&self, id: LaneId, event: u64) -> Result<Option<Place>, Fault> {
        let planned = self
            .entry(event)?
            .is_some_and(|entry| entry.planned(id).is_some());
        let mut shared = self.shared();
        self.settle_if_its_range_is(&mut shared, id, event);
        let record = self.record(&shared, event, id);
        let lane = shared.lane(id);
        if lane.parked.contains_key(&event) {
            return Ok(Some(Place::Parked));
        }
        if let Some(record) = record {
            return Ok((record.state == State::Waiting).then_some(Place::Redelivery));
        }
        Ok((planned && lane.waits_in_log(event)).then_some(Place::Log))
    }

    /// Cancels those of them that wait; says how many, and the stamp of what is written.
    fn cancel_some(&self, id: LaneId, events: Vec<u64>) -> Result<(u64, u64), Fault> {
        let (mut cancelled, mut stamp) = (0, 0);
        for event in events {
            let Some(place) = self.place_of(id, event)? else {
                continue;
            };
            let Some(entry) = self.entry(event)? else {
                continue;
            };
            stamp = self.cancel(id, event, place, &entry);
            cancelled += 1;
        }
        Ok((cancelled, stamp))
    }

    /// A number of those before `until` that are under way, or wait outside the log.
    fn waiting_singly(&self, id: LaneId, until: u64) -> Result<Vec<u64>, Fault> {
        let mut shared = self.shared();
        let keys = key::redelivery(id, 0)..key::redelivery(id, until);
        let redeliveries = self.scan(&shared, keys, STEP)?;
        let redeliveries = redeliveries
            .iter()
            .filter_map(|(key, _)| key::event_of_waiting(key));
        let lane = shared.lane(id);
        let mut single: Vec<u64> = lane.out.keys().chain(lane.parked.keys()).copied().collect();
        single.extend(redeliveries);
        single.retain(|event| *event < until);
        single.truncate(STEP);
        Ok(single)
    }

    fn cancel(&self, id: LaneId, event: u64, place: Place, entry: &Entry) -> u64 {
        let mut shared = self.shared();
        let now = self.now();
        let known = self.record(&shared, event, id);
        let before = known.as_ref().map(|record| record.state);
        let route = entry.planned(id).and_then(|planned| planned.route.clone());
        let out = shared.lane(id).out.get(&event).map(|out| out.trail.clone());
        let record = known.unwrap_or_else(|| Record {
            trail: out.unwrap_or_default(),
            ..Record::waiting(About::new(entry), route, 1)
        });
        let record = Record {
            state: State::Cancelled,
            reason: Some(Reason::Manual),
            settled: Some(now.wall),
            not_before: None,
            ..record
        };
        let mut writes = leave(shared.lane(id), place, event);
        shared.count(id, before, Some(State::Cancelled));
        shared.settled(event);
        writes.push((key::record(event, id), Some(record.encode())));
        writes.push(shared.lane(id).write(now));
        self.wake(&mut shared, id);
        self.push(&mut shared, writes)
    }
}
