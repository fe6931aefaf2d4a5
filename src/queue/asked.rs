//! What people ask of the queue, and what they get to see.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::delivery::{Attempt, Reason, State};
use crate::event::EventId;

/// Which deliveries of a lane an operation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All that waits.
    All,
    /// What was kept back when the lane was resumed.
    KeptBack,
    /// One delivery.
    One(EventId),
}

/// How a lane goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Only what was received after this moment; `None`: everything.
    pub newer_than: Option<Timestamp>,
    /// What becomes of the rest; kept back unless said otherwise. Without `newer_than`, the rest
    /// is what was kept back before, and goes first unless said otherwise.
    pub rest: Option<Rest>,
}

/// What becomes of deliveries that a resumed lane leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They wait, in state `held`, until a person decides.
    Keep,
    /// They become dead letters.
    Dead,
    /// One message says what they were, and they are skipped.
    Summary,
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

/// How many deliveries to send again, and from where on.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// Count, and change nothing.
    pub dry_run: bool,
    /// At most about so many, and for at most a second; `None`: all.
    pub limit: Option<u64>,
    /// The [`next`](Redelivered::next) of the call before.
    pub cursor: Option<String>,
}

/// What sending many again came to.
#[derive(Clone, Debug, Default)]
pub struct Redelivered {
    /// Deliveries that the filter took.
    pub matched: u64,
    /// Of them, those that wait again now.
    pub requeued: u64,
    /// Of them, those whose event is no longer kept or whose destination is not configured.
    pub impossible: u64,
    /// With `dry_run`: the oldest few.
    pub sample: Vec<Delivery>,
    /// Where to go on, if a limit was reached.
    pub next: Option<String>,
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
    /// Why it stands as it does, in words, where its attempts do not say it.
    pub why: Option<String>,
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
