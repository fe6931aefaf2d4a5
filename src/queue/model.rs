//! The nouns of the queue's interface: what goes in, what comes out, and what people see.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::delivery::{DeliveryId, Reason, State, Trace};
use crate::event::{Event, EventId, Facts};
use crate::queue::token::LeaseToken;

/// An event and where it goes: what `plan::route` made of it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub event: Event,
    pub facts: Facts,
    /// Most events go the same ways, so the plan is shared.
    pub deliveries: Arc<[PlannedDelivery]>,
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

/// What a change of relay.yaml means for the queue.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// All destinations there are from now on.
    pub lanes: &'a [LaneSpec],
    pub history: Keep,
    pub dead: Keep,
}

/// A small value that another part keeps in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub name: String,
    /// `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Notes as they are stored: names and values.
pub type Notes = [(String, Vec<u8>)];

/// What `configure` did to lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// Lanes that have lost their destination.
    pub orphaned: Vec<Orphan>,
    /// The former and the new name of each lane that was taken over.
    pub taken_over: Vec<(Arc<str>, Arc<str>)>,
}

/// A lane that has lost its destination, and how many deliveries wait in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub destination: Arc<str>,
    pub waiting: u64,
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
    /// The time give-up counts from, if something failed: see [`Queue::settle`](crate::queue::Queue::settle).
    pub failing_since: Option<Timestamp>,
    /// The lane is held and this is a probe.
    pub is_probe: bool,
    /// This one was taken past the head, to see whether the head is poison.
    pub past_head: bool,
    pub(super) token: LeaseToken,
}

impl Lease {
    /// Says that it is attempted with these settings of its destination. When they have changed
    /// by the time it is settled, a failure does not tell of the new ones: the delivery is tried
    /// again at once.
    pub fn attempted_with(&mut self, settings: u64) {
        self.token.settings = Some(settings);
    }
}

/// What `next` has for a lane.
#[derive(Debug)]
pub enum Next {
    Lease(Box<Lease>),
    /// Nothing before this moment of [`Clock::elapsed`](crate::clock::Clock::elapsed).
    NotBefore(Duration),
    /// A large event: ask again with [`Room`](crate::queue::Room) for so many bytes.
    Large(usize),
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
    /// Of those that wait, how many were kept back on resuming, and since when.
    pub kept_back: Option<(u64, Timestamp)>,
    /// When the oldest waiting event was received.
    pub oldest: Option<Timestamp>,
    /// When the head is tried next, if it failed.
    pub next_try: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    /// The last failure in words, since the last success.
    pub last_error: Option<String>,
}

/// What a lane did since the start, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneTally {
    /// How attempts ended.
    pub attempts: BTreeMap<Reason, u64>,
    /// What became of deliveries; one that is sent again counts again.
    pub settled: BTreeMap<State, u64>,
}

/// How a lane's newest attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    pub reason: Reason,
}

impl LastAttempt {
    pub(super) fn of(trace: &Trace) -> LastAttempt {
        LastAttempt {
            status: trace.status,
            reason: trace.reason,
        }
    }
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
    /// Whether the database takes new events: not while it cannot write, nor for good where it is
    /// damaged.
    pub accepts: bool,
}
