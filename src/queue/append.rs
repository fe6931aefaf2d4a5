//! New events: whether they are new, and the page that is made of those that are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;

use crate::delivery::State;
use crate::event::EventId;
use crate::queue::chunk::Packed;
use crate::queue::engine::{Engine, Request, Shared};
use crate::queue::head::{Hashes, Head};
use crate::queue::key;
use crate::queue::page::{self, Entry, Page};
use crate::queue::record::{About, Record};
use crate::queue::store::{Batch, Fault};
use crate::queue::writer::{PAGE, Writer};
use crate::queue::{Appended, Planned, QueueError, Redelivery, Repeats};

/// A page is cut where its events take so many bytes.
const RAW: usize = 256 << 10;
/// So long a new event waits for room on the disk. Gogs does not retry.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Engine {
    pub(super) async fn append(
        &self,
        planned: Planned,
        repeats: Repeats,
    ) -> Result<Appended, QueueError> {
        self.wait_for_room().await?;
        let hashes = Hashes::of(&planned.event);
        let (reply, answer) = oneshot::channel();
        {
            let mut shared = self.shared();
            if shared.closing {
                return Err(QueueError::Closed);
            }
            if shared.faulty {
                return Err(QueueError::Unavailable);
            }
            let plan: Result<Arc<[page::Planned]>, QueueError> = (planned.deliveries.iter())
                .map(|delivery| {
                    Ok(page::Planned {
                        lane: shared.lane_id(&delivery.destination)?,
                        destination: delivery.destination.clone(),
                        route: delivery.route.clone(),
                    })
                })
                .collect();
            let entry = Entry {
                event: planned.event,
                facts: Arc::new(planned.facts),
                plan: plan?,
            };
            shared.appends.push_back(Request {
                entry,
                hashes,
                repeats,
                reply,
            });
        }
        self.work.notify_one();
        answer.await.unwrap_or(Err(QueueError::Closed))
    }

    async fn wait_for_room(&self) -> Result<(), QueueError> {
        if self.disk.has_room() {
            return Ok(());
        }
        let until = self.clock.elapsed() + WAIT_FOR_ROOM;
        while self.clock.elapsed() < until {
            self.clock.sleep(LOOK_EVERY).await;
            if self.disk.has_room() {
                return Ok(());
            }
        }
        Err(QueueError::DiskLow)
    }

    /// Events that go nowhere have their history all the same.
    pub(super) fn record_unrouted(&self, shared: &mut Shared, page: &Page) {
        let mut writes = Vec::new();
        for (sequence, entry) in page.range().zip(&page.entries) {
            if entry.plan.is_empty() {
                let record = Record {
                    state: State::Unrouted,
                    settled: Some(entry.event.received),
                    ..Record::waiting(About::new(entry), None, 1)
                };
                shared.count(0, None, Some(State::Unrouted));
                writes.push((key::record(sequence, 0), Some(record.encode())));
            }
        }
        if !writes.is_empty() {
            let now = self.now();
            writes.push(shared.lane(0).write(now));
            self.push(shared, writes);
        }
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
            && new.received.since(old.received) <= within;
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
            let id = planned.lane;
            if let Some(pushed) = self.new_round(&mut shared, event, entry, id, &planned.route) {
                stamp = pushed;
                again.push(shared.lane(id).destination.clone());
            }
        }
        Ok((stamp, again))
    }
}

/// A page ready to be written, and who waits for it.
pub(super) struct Built {
    pub(super) head: Head,
    pub(super) packed: Packed,
    pub(super) page: Arc<Page>,
    pub(super) chunks_are_written: bool,
    replies: Vec<oneshot::Sender<Result<Appended, QueueError>>>,
}

impl Built {
    /// Makes a page of as many requests as it holds; gives back the others.
    pub(super) fn new(first: u64, mut requests: Vec<Request>) -> (Option<Built>, Vec<Request>) {
        let mut head = Head::new(first);
        let mut raw = 0;
        let mut count = 0;
        for request in &requests {
            let size = request.entry.event.body.len() + 200;
            if count > 0 && raw + size > RAW {
                break;
            }
            if !head.add(&request.entry, request.hashes) {
                break;
            }
            raw += size;
            count += 1;
        }
        if count == 0 {
            return (None, requests);
        }
        let mut rest = requests.split_off(count);
        let mut entries: Vec<Entry> = requests
            .iter()
            .map(|request| request.entry.clone())
            .collect();
        let mut packed = Packed::pack(&page::encode(&entries));
        while packed.bytes.len() > PAGE && entries.len() > 1 {
            entries.truncate(entries.len() / 2);
            packed = Packed::pack(&page::encode(&entries));
        }
        if entries.len() < requests.len() {
            let mut back = requests.split_off(entries.len());
            back.append(&mut rest);
            rest = back;
            head = Head::new(first);
            for request in &requests {
                head.add(&request.entry, request.hashes);
            }
        }
        head.chunks = packed.chunks();
        let built = Built {
            head,
            packed,
            page: Arc::new(Page::new(
                first,
                entries.into_iter().map(Entry::on_its_own).collect(),
            )),
            chunks_are_written: false,
            replies: requests.into_iter().map(|request| request.reply).collect(),
        };
        (Some(built), rest)
    }

    pub(super) fn add_to(&self, batch: &mut Batch) {
        if !self.chunks_are_written {
            for (n, chunk) in self.packed.split(self.of()) {
                batch.put(&key::page_chunk(self.head.first, n), &chunk);
            }
        }
        batch.put(&key::head(self.head.first), &self.head.encode());
        let next = self.head.range().end;
        batch.put(&key::mark("next"), &next.to_be_bytes());
    }

    pub(super) fn answer(self) {
        for (sequence, reply) in self.head.range().zip(self.replies) {
            // Nobody there to hear it is no fault.
            reply.send(Ok(Appended::New(EventId(sequence)))).ok();
        }
    }

    pub(super) fn refuse(self, error: &QueueError) {
        for reply in self.replies {
            // Nobody there to hear it is no fault.
            reply.send(Err(error.clone())).ok();
        }
    }
}
