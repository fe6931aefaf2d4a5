//! New events: whether they are new, and the page that is made of those that are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;

use crate::delivery::State;
use crate::event::EventId;
use crate::queue::engine::{Engine, Request, Shared};
use crate::queue::head::Hashes;
use crate::queue::key::{self, Key};
use crate::queue::page::{self, Entry, Page};
use crate::queue::record::{About, Record};
use crate::queue::store::Fault;
use crate::queue::writer::Writer;
use crate::queue::{Appended, Planned, PlannedDelivery, QueueError, Redelivery, Repeats};

/// So long a new event waits for room on the disk. Gogs does not retry.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A crash leaves no more events than this without their records.
const UNRECORDED: u64 = 1000;

impl Engine {
    pub(super) async fn append(
        &self,
        planned: Planned,
        repeats: Repeats,
    ) -> Result<Appended, QueueError> {
        let until = self.clock.elapsed() + WAIT_FOR_ROOM;
        self.wait_for_room(until).await?;
        let hashes = Hashes::of(&planned.event);
        let (reply, answer) = oneshot::channel();
        {
            let mut shared = self.shared();
            if shared.closing {
                return Err(QueueError::Closed);
            }
            let plan = shared.plan(&planned.deliveries)?;
            let entry = Entry {
                event: planned.event,
                facts: Arc::new(planned.facts),
                plan,
            };
            shared.appends.push_back(Request {
                entry,
                hashes,
                repeats,
                until,
                reply,
            });
            self.tell_writer(&shared);
        }
        answer.await.unwrap_or(Err(QueueError::Closed))
    }

    async fn wait_for_room(&self, until: Duration) -> Result<(), QueueError> {
        while let Some(why) = self.no_room() {
            if self.clock.elapsed() >= until {
                return Err(why);
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Why nothing new can be stored now.
    fn no_room(&self) -> Option<QueueError> {
        if self.shared().faulty {
            return Some(QueueError::Unavailable);
        }
        (!self.disk.has_room()).then_some(QueueError::DiskLow)
    }

    /// Events that go nowhere have their history all the same, in the commit after their own.
    pub(super) fn record_unrouted(&self, shared: &mut Shared, page: &Page) {
        self.record_unrouted_if(shared, page, |_| true);
    }

    /// The same for what a crash left between the two commits.
    pub(super) fn record_unrouted_at_end(&self) -> Result<(), Fault> {
        let from = self.shared().log.next.saturating_sub(UNRECORDED);
        for head in self.some_heads(from, UNRECORDED as usize)? {
            if !head.ways().any(|(_, mut lanes)| lanes.next().is_none()) {
                continue;
            }
            let page = match self.page(head.first) {
                Err(fault) if fault.is_damage() => None,
                page => page?,
            };
            if let Some(page) = page {
                let is_new = |key: &Key| matches!(self.store.get(key), Ok(None));
                self.record_unrouted_if(&mut self.shared(), &page, is_new);
            }
        }
        Ok(())
    }

    fn record_unrouted_if(&self, shared: &mut Shared, page: &Page, is_new: impl Fn(&Key) -> bool) {
        let mut writes = Vec::new();
        for (sequence, entry) in page.range().zip(&page.entries) {
            if !entry.plan.is_empty() {
                continue;
            }
            let key = key::record(sequence, 0);
            if is_new(&key) {
                let record = Record {
                    state: State::Unrouted,
                    settled: Some(entry.event.received),
                    ..Record::waiting(About::new(entry), None, 1)
                };
                shared.count(0, None, Some(State::Unrouted));
                writes.push((key, Some(record.encode())));
            }
        }
        if !writes.is_empty() {
            let now = self.now();
            writes.push(shared.lane(0).write(now));
            self.push(shared, writes);
        }
    }
}

impl Shared {
    /// The plan with its lanes. Most events go the same ways, so the last plan is shared.
    fn plan(
        &mut self,
        deliveries: &Arc<[PlannedDelivery]>,
    ) -> Result<Arc<[page::Planned]>, QueueError> {
        if let Some((last, plan)) = &self.last_plan
            && last == deliveries
        {
            return Ok(plan.clone());
        }
        let plan = deliveries.iter().map(|delivery| {
            Ok(page::Planned {
                lane: self.lane_id(&delivery.destination)?,
                destination: delivery.destination.clone(),
                route: delivery.route.clone(),
            })
        });
        let plan: Arc<[page::Planned]> = plan.collect::<Result<_, QueueError>>()?;
        self.last_plan = Some((deliveries.clone(), plan.clone()));
        Ok(plan)
    }
}

/// What is to be done with an event that wants in.
pub(super) enum Judged {
    New,
    /// Its like is in the page being made: judge it again when that is on disk.
    Later,
    /// Known; said when this stamp is reached.
    Answer(Result<(u64, Appended), QueueError>),
}

impl Writer {
    pub(super) fn judge(&self, request: &Request, new: &[Request]) -> Judged {
        let hashes = request.hashes;
        let same_body = request.repeats.same_body;
        let twin = new.iter().any(|other| {
            other.hashes.id == hashes.id
                || (same_body.is_some() && other.hashes.body == hashes.body)
        });
        if twin {
            return Judged::Later;
        }
        let judged = self.repeats_id(request).and_then(|found| match found {
            Some(answer) => Ok(Some(answer)),
            None => self.repeats_body(request),
        });
        match judged {
            Ok(None) => Judged::New,
            Ok(Some(answer)) => Judged::Answer(answer),
            Err(fault) => {
                warn!(error = %fault, "an earlier event cannot be read; taking this one as new");
                Judged::New
            }
        }
    }

    fn repeats_id(&self, request: &Request) -> Result<Option<Found>, Fault> {
        let Some(event) = self.duplicates.by_id(request.hashes) else {
            return Ok(None);
        };
        let Some(entry) = self.engine.entry(event)? else {
            // Only a stub is left: its two hashes decide, and there is nothing to send again.
            let same = self.engine.head_of(event)?.is_some_and(|head| {
                let at = (event - head.first) as usize;
                head.events[at].hashes == request.hashes
            });
            return Ok(same.then(|| Ok((0, repeats(event, Vec::new())))));
        };
        let (old, new) = (&entry.event, &request.entry.event);
        if old.source != new.source || old.delivery_id != new.delivery_id {
            return Ok(None);
        }
        if new.received.since(old.received) > self.engine.options.dedupe.keep {
            return Ok(None);
        }
        if old.body != new.body {
            warn!(event.id = event, source.name = %new.source,
                "a delivery has the id of event {event} and another body; taking it as new");
            return Ok(None);
        }
        let requeued = self.engine.requeue(event, &entry, request);
        Ok(Some(
            requeued.map(|(stamp, again)| (stamp, repeats(event, again))),
        ))
    }

    fn repeats_body(&self, request: &Request) -> Result<Option<Found>, Fault> {
        let Some(within) = request.repeats.same_body else {
            return Ok(None);
        };
        let Some(event) = self.duplicates.by_body(request.hashes) else {
            return Ok(None);
        };
        let Some(entry) = self.engine.entry(event)? else {
            return Ok(None);
        };
        let (old, new) = (&entry.event, &request.entry.event);
        let same = old.source == new.source
            && old.name == new.name
            && old.body == new.body
            && old.delivery_id != new.delivery_id
            && new.received.since(old.received) <= within
            // The wall clock may have gone back.
            && old.received.since(new.received) <= within;
        Ok(same.then(|| Ok((0, repeats(event, Vec::new())))))
    }
}

type Found = Result<(u64, Appended), QueueError>;

fn repeats(event: u64, requeued: Vec<Arc<str>>) -> Appended {
    Appended::Repeats {
        event: EventId(event),
        requeued,
    }
}

impl Engine {
    /// What a repeated delivery id sends again.
    fn requeue(
        &self,
        event: u64,
        entry: &Entry,
        request: &Request,
    ) -> Result<(u64, Vec<Arc<str>>), QueueError> {
        let redelivery = request.repeats.redelivery;
        if redelivery == Redelivery::None {
            return Ok((0, Vec::new()));
        }
        let mut shared = self.shared();
        let mut again = Vec::new();
        let mut stamp = 0;
        let today = request.entry.plan.iter();
        let today = today.filter(|planned| entry.planned(planned.lane).is_none());
        for planned in entry.plan.iter().chain(today) {
            let was_planned = entry.planned(planned.lane).is_some();
            let through = match self.record(&shared, event, planned.lane) {
                Some(record) => matches!(record.state, State::Delivered | State::Skipped),
                // Of a settled delivery whose record has gone by age we know that it is no dead
                // letter.
                None => was_planned,
            };
            if through && redelivery == Redelivery::Failed {
                continue;
            }
            if let Some(pushed) = self.new_round(&mut shared, event, entry, planned) {
                stamp = pushed;
                again.push(shared.lane(planned.lane).destination.clone());
            }
        }
        Ok((stamp, again))
    }
}
