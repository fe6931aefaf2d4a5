//! The queue: a log of events, a lane into it for each destination, and records for what left
//! its lane. What the rest of the program sees is in this file; nothing of it knows of pages,
//! cursors or sled.
//!
//! All but [`Queue::settle`] are durable when they return.

mod append;
mod cache;
mod chunk;
mod codes;
mod disk;
mod duplicates;
mod engine;
mod find;
mod head;
mod key;
mod lane;
mod lane_value;
mod lease;
mod open;
mod operate;
mod page;
mod pending;
mod read;
mod record;
mod retention;
mod settle;
mod status;
mod store;
mod trail;
mod view;
mod walk;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::delivery::{Attempt, DeliveryId, Reason, State, Trace};
use crate::event::{Event, EventId, Facts};
use crate::queue::engine::Engine;
use crate::queue::lease::LeaseToken;

/// An event and where it goes: what `plan::route` made of it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub event: Event,
    pub facts: Facts,
    pub deliveries: Vec<PlannedDelivery>,
}

/// One destination of a plan, and the route that named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDelivery {
    pub destination: Arc<str>,
    /// The route's name, or its place in relay.yaml (`route 2`); `None` when there are no routes.
    pub route: Option<Arc<str>>,
}

/// What `append` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    New(EventId),
    /// The event is one we had: under the same id, or the same body under another within
    /// `same_body`.
    Repeats {
        event: EventId,
        requeued: Vec<Arc<str>>,
    },
}

/// How a repeated delivery is known and what it sends again; from the source's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    pub redelivery: Redelivery,
    /// Within this time an equal body under another id is the same event.
    pub same_body: Option<Duration>,
}

/// What a repeated delivery id sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// What the original plan or today's routes name and that has not been delivered.
    Failed,
    All,
    None,
}

/// Why the queue could not take something. Nothing of it was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// Below `limits.free_disk`.
    #[error("the disk of the data folder is nearly full")]
    DiskLow,
    #[error("the queue is recovering from a disk fault")]
    Unavailable,
    #[error("the queue is shutting down")]
    Closed,
    #[error("no delivery {0}")]
    NoSuchDelivery(DeliveryId),
    #[error("no event {0}")]
    NoSuchEvent(EventId),
    #[error("no lane for destination {0:?}")]
    NoSuchLane(Arc<str>),
    /// `discard` found another number than expected.
    #[error("{found} deliveries wait now, not {expected}")]
    Changed { expected: u64, found: u64 },
    /// What the state of things does not allow, in words.
    #[error("{0}")]
    Refused(String),
}

/// How `Queue::open` is told what to keep and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// `<data>`; the queue lives in `<data>/queue`, the reserve is `<data>/reserve`.
    pub data: PathBuf,
    pub history: Keep,
    pub dead: Keep,
    pub dedupe: Keep,
    /// At most so many events in the log.
    pub backlog: u64,
    /// Below so many free bytes new events are refused.
    pub free_disk: u64,
}

/// How long, and how many at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub keep: Duration,
    pub at_most: u64,
}

/// What the queue must know of a destination to run its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSpec {
    pub destination: Arc<str>,
    pub was: Option<Arc<str>>,
    /// Deliveries that may be under way at once: 1 for strict, `concurrency` for loose.
    pub width: usize,
    /// Loose: what fails is parked, and the lane goes on.
    pub loose: bool,
    /// Changes when the destination's settings do; a change ends an automatic hold.
    pub settings: u64,
    /// The longest wait its retry policy gives.
    pub longest_wait: Duration,
}

/// A delivery handed out by `next`, to be given back through `settle` exactly once. Dropping it
/// unsettled gives it back untried.
#[derive(Debug)]
pub struct Lease {
    pub id: DeliveryId,
    pub event: Event,
    pub route: Option<Arc<str>>,
    /// 1 for the first; a redelivery is a new round.
    pub round: u32,
    /// Attempts in this round so far.
    pub attempts: u32,
    /// Of them, those answered by HTTP with a failure that counts for the poison rule, since the
    /// last probe past the head.
    pub answered: u32,
    /// The time give-up counts from, if something failed: see [`Queue::settle`].
    pub failing_since: Option<Timestamp>,
    /// The lane is held and this is a probe.
    pub is_probe: bool,
    /// This one was taken past the head, to see whether the head is poison.
    pub past_head: bool,
    pub(crate) token: LeaseToken,
}

/// What `next` has for a lane.
#[derive(Debug)]
pub enum Next {
    Lease(Box<Lease>),
    /// Nothing before this moment of [`Clock::elapsed`].
    NotBefore(Duration),
    /// Nothing until `woken` names the lane again.
    Nothing,
}

/// How a lease ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    Delivered,
    Skipped(Reason),
    /// Try again after this wait.
    Defer {
        wait: Duration,
    },
    /// The lane stops and keeps everything; after `probe` it tries its head once.
    Hold {
        reason: Reason,
        words: String,
        probe: Option<Duration>,
    },
    Dead(Reason),
    /// It was a probe past the head and did not pass, or shutdown came first: as if never leased.
    Release,
}

/// Which deliveries of a lane an operation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All that waits.
    All,
    /// One delivery.
    One(EventId),
}

/// Why a lane is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// By a person; then only a person resumes it.
    pub manual: bool,
    pub reason: Reason,
    /// In words, for people.
    pub words: String,
    pub since: Timestamp,
}

/// A lane as a person sees it.
#[derive(Clone, Debug)]
pub struct LaneStatus {
    pub destination: Arc<str>,
    /// Its destination is no longer in relay.yaml.
    pub orphaned: bool,
    pub held: Option<Held>,
    /// Deliveries that wait, with those under way.
    pub waiting: u64,
    pub dead: u64,
    /// When the oldest waiting event was received.
    pub oldest: Option<Timestamp>,
    /// When the head is tried next, if it failed.
    pub next_try: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    /// The last failure in words, since the last success.
    pub last_error: Option<String>,
}

/// What `find` looks for; every part must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub destination: Option<Arc<str>>,
    pub source: Option<String>,
    pub event: Option<String>,
    pub repo: Option<String>,
    pub since: Option<Timestamp>,
    /// Searched in the summary, without case.
    pub text: Option<String>,
}

/// A page of what `find` found, newest first.
#[derive(Clone, Debug)]
pub struct Found {
    pub deliveries: Vec<Delivery>,
    /// Where to go on, if there may be more.
    pub next: Option<String>,
}

/// A delivery as history and listings know it.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub event: EventId,
    /// `None` when the event matched no route.
    pub destination: Option<Arc<str>>,
    pub source: Arc<str>,
    pub name: Arc<str>,
    pub repo: Option<String>,
    /// One line that says what happened, for people and for searching.
    pub summary: String,
    pub route: Option<Arc<str>>,
    pub state: State,
    pub reason: Option<Reason>,
    pub round: u32,
    pub received: Timestamp,
    pub settled: Option<Timestamp>,
    pub next_try: Option<Timestamp>,
    pub attempts: Vec<Attempt>,
    pub answer: Vec<u8>,
    pub template: String,
    pub fingerprint: String,
    pub fallback: Option<String>,
}

/// Numbers for probes, metrics and people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events in the log.
    pub events: u64,
    /// Settled deliveries kept.
    pub records: u64,
    pub dead: u64,
    pub bytes_on_disk: u64,
    pub commits: u64,
}

/// The engine behind the interface. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    handle: Arc<Handle>,
}

/// What is left when the last [`Queue`] is dropped unclosed: the writer writes what is due, and
/// ends.
#[derive(Debug)]
struct Handle(Arc<Engine>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.begin_to_close();
    }
}

impl Queue {
    /// Opens or makes the queue in `options.data`; returns when the first append is possible.
    ///
    /// # Errors
    /// In words: another process has it, or what is wrong with the disk or the data.
    pub fn open(options: Options, lanes: &[LaneSpec], clock: Clock) -> anyhow::Result<Queue> {
        let engine = open::open(options, lanes, clock)?;
        let handle = Arc::new(Handle(engine));
        Ok(Queue { handle })
    }

    /// Stores an event with its plan, or finds the one it repeats. Waits up to 8 s for room on
    /// the disk.
    pub async fn append(&self, planned: Planned, repeats: Repeats) -> Result<Appended, QueueError> {
        self.engine().append(planned, repeats).await
    }

    /// The names of lanes that may have something to do since the last call; waits until there
    /// is one. For a single caller.
    pub async fn woken(&self) -> Vec<Arc<str>> {
        self.engine().woken().await
    }

    /// The lane's next delivery: redeliveries before the next event of the log.
    pub async fn next(&self, destination: &str) -> Result<Next, QueueError> {
        self.engine().next(destination).await
    }

    /// The delivery behind a head that is being retried, to see whether the head is poison.
    pub async fn next_past_head(
        &self,
        destination: &str,
    ) -> Result<Option<Box<Lease>>, QueueError> {
        self.engine().next_past_head(destination).await
    }

    /// Ends a lease. Written with the next commit, at the latest after 50 ms.
    pub fn settle(&self, lease: Lease, settlement: Settlement, trace: Option<Trace>) {
        self.engine().settle(lease, settlement, trace);
    }

    /// Buries the head of the lane, whoever leased it last: the poison rule found it.
    pub fn bury_head(&self, destination: &str, event: EventId, reason: Reason) {
        self.engine().bury_head(destination, event, reason);
    }

    /// Stops a lane by hand.
    pub async fn hold(&self, destination: &str, words: String) -> Result<(), QueueError> {
        self.engine().hold(destination, words).await
    }

    /// Ends any hold.
    pub async fn resume(&self, destination: &str) -> Result<(), QueueError> {
        self.engine().resume(destination).await
    }

    /// How many `discard` would cancel.
    pub async fn count(&self, destination: &str, range: Range) -> Result<u64, QueueError> {
        self.engine().count(destination, range).await
    }

    /// Cancels what waits in `range`, if it is `expect` deliveries; says how many.
    pub async fn discard(
        &self,
        destination: &str,
        range: Range,
        expect: Option<u64>,
    ) -> Result<u64, QueueError> {
        self.engine().discard(destination, range, expect).await
    }

    /// Starts a new round for an event, to each of these destinations where none waits; says
    /// which.
    pub async fn redeliver(
        &self,
        event: EventId,
        destinations: &[Arc<str>],
    ) -> Result<Vec<Arc<str>>, QueueError> {
        self.engine().redeliver(event, destinations).await
    }

    /// Looks through deliveries, newest first, for at most 25 ms and `limit` of them.
    pub async fn find(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<Found, QueueError> {
        self.engine().find(filter, cursor, limit).await
    }

    /// One delivery, whatever its state.
    pub async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, QueueError> {
        self.engine().delivery(id).await
    }

    /// The body as sent, if it was kept.
    pub async fn sent(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, QueueError> {
        self.engine().sent(id).await
    }

    /// A stored event.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, QueueError> {
        self.engine().event(id).await
    }

    /// All lanes, by name.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        self.engine().lanes()
    }

    pub fn stats(&self) -> Stats {
        self.engine().stats()
    }

    /// Writes what is due, and closes. Everything after it gets [`QueueError::Closed`].
    pub async fn close(&self) {
        self.engine().begin_to_close();
        let mut closed = self.engine().closed.subscribe();
        // The sender lives as long as the engine.
        closed.wait_for(|closed| *closed).await.ok();
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.handle.0
    }
}
