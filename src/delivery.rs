//! A delivery: one event on its way to one destination, and what came of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::event::EventId;

/// `<event>:<destination>`, for example `1234:team-slack`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    pub event: EventId,
    pub destination: Arc<str>,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.event, self.destination)
    }
}

/// The text is not `<event>:<destination>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a delivery is named <event>:<destination>, for example 1234:team-slack")]
pub struct NotADeliveryId;

impl FromStr for DeliveryId {
    type Err = NotADeliveryId;

    fn from_str(text: &str) -> Result<DeliveryId, NotADeliveryId> {
        let (event, destination) = text.split_once(':').ok_or(NotADeliveryId)?;
        let event = EventId(event.parse().map_err(|_| NotADeliveryId)?);
        if destination.is_empty() {
            return Err(NotADeliveryId);
        }
        Ok(DeliveryId {
            event,
            destination: destination.into(),
        })
    }
}

/// Where a delivery stands, in its latest round (a redelivery is a new round).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Waiting,
    Sending,
    Delivered,
    /// Its template rendered nothing, or a summary stood in for it.
    Skipped,
    /// Set aside where a person finds it.
    Dead,
    Cancelled,
    /// Waits in a held lane, or was kept back on resuming.
    Held,
    /// The event matched no route.
    Unrouted,
}

impl State {
    /// The label in metrics and the word in JSON.
    pub fn label(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Sending => "sending",
            State::Delivered => "delivered",
            State::Skipped => "skipped",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
            State::Held => "held",
            State::Unrouted => "unrouted",
        }
    }

    /// Whether it ended.
    pub fn is_settled(self) -> bool {
        !matches!(self, State::Waiting | State::Sending | State::Held)
    }
}

/// Why an attempt or a delivery ended as it did. Closed, because it is also the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A 2xx that means it.
    Accepted,
    /// The template rendered nothing.
    EmptyMessage,
    /// A summary was sent in its place.
    Summarised,
    /// No answer within the destination's `timeout`.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection broke before the whole answer was there.
    Reset,
    Dns,
    Tls,
    /// 429.
    RateLimited,
    /// 408 or 5xx.
    ServerError,
    /// A 4xx that says nothing about message or endpoint.
    ClientError,
    /// 3xx: never followed.
    Redirect,
    /// The service refused the message for its content.
    ContentRefused,
    /// The URL leads where nothing may be sent, and nothing was.
    Forbidden,
    /// The endpoint refuses us: revoked, archived, not permitted.
    EndpointRefused,
    /// The endpoint is gone.
    EndpointGone,
    /// The service asked for a longer wait than an hour.
    LongWait,
    /// No step of the ladder gave a message that can be sent.
    RenderFailed,
    /// The next delivery passed, this one never did.
    Poison,
    /// Older than `give_up_after`.
    GaveUp,
    /// The log was full and this was its oldest.
    LaneFull,
    /// Its event can no longer be read from disk.
    Damaged,
    /// A bug of ours, caught.
    Panic,
    /// A person did it.
    Manual,
    /// Its destination was resumed for what is newer, and this was not to follow.
    LeftBehind,
}

impl Reason {
    /// The label in metrics and the word in JSON.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Accepted => "accepted",
            Reason::EmptyMessage => "empty_message",
            Reason::Summarised => "summarised",
            Reason::Timeout => "timeout",
            Reason::Refused => "refused",
            Reason::Reset => "reset",
            Reason::Dns => "dns",
            Reason::Tls => "tls",
            Reason::RateLimited => "rate_limited",
            Reason::ServerError => "server_error",
            Reason::ClientError => "client_error",
            Reason::Redirect => "redirect",
            Reason::ContentRefused => "content_refused",
            Reason::Forbidden => "forbidden",
            Reason::EndpointRefused => "endpoint_refused",
            Reason::EndpointGone => "endpoint_gone",
            Reason::LongWait => "long_wait",
            Reason::RenderFailed => "render_failed",
            Reason::Poison => "poison",
            Reason::GaveUp => "gave_up",
            Reason::LaneFull => "lane_full",
            Reason::Damaged => "damaged",
            Reason::Panic => "panic",
            Reason::Manual => "manual",
            Reason::LeftBehind => "left_behind",
        }
    }

    /// For people: what happened, as a part of a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Reason::Accepted => "the destination took it",
            Reason::EmptyMessage => "its template rendered nothing",
            Reason::Summarised => "a summary was sent in its place",
            Reason::Timeout => "no answer came in time",
            Reason::Refused => "the connection was refused",
            Reason::Reset => "the connection broke",
            Reason::Dns => "the destination's name was not found",
            Reason::Tls => "no secure connection could be made",
            Reason::RateLimited => "the destination wants it slower",
            Reason::ServerError => "the destination is in trouble itself",
            Reason::ClientError => "the destination refused the request",
            Reason::Redirect => "the destination redirects, and redirects are never followed",
            Reason::ContentRefused => "the destination refused the message for its content",
            Reason::Forbidden => "its URL leads where nothing may be sent",
            Reason::EndpointRefused => "the destination refuses us",
            Reason::EndpointGone => "the destination is gone",
            Reason::LongWait => "the destination wants a longer wait than an hour",
            Reason::RenderFailed => "no message could be made of it",
            Reason::Poison => "it never passed, but the next one did",
            Reason::GaveUp => "it failed for longer than `give_up_after`",
            Reason::LaneFull => "the log was full, and this was its oldest",
            Reason::Damaged => "its event can no longer be read from disk",
            Reason::Panic => "a bug of gogs-relay, caught",
            Reason::Manual => "a person cancelled it",
            Reason::LeftBehind => "left behind when the destination was resumed for what is newer",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// One attempt, or a run of equal consecutive failures folded into one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its own integer id, under 2^53; of a run, the id of the last.
    pub id: u64,
    /// How many attempts this entry stands for.
    pub count: u32,
    /// The round it was made in: 1 for the first, more for redeliveries.
    pub round: u32,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Of the last one, in milliseconds.
    pub duration_ms: u32,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    pub reason: Reason,
    /// The verdict in words, for people: `Slack answered 404 no_service: the hook was removed`.
    pub verdict: String,
}

/// What one attempt leaves behind for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub started: Timestamp,
    pub duration_ms: u32,
    pub status: Option<u16>,
    pub reason: Reason,
    pub verdict: String,
    /// The start of the answer's body, at most [`Trace::ANSWER`] bytes.
    pub answer: Bytes,
    /// Which template made the message: `classic/slack/push`, say. Empty if none was needed.
    pub template: String,
    /// A short hash of the template's text and its partials.
    pub fingerprint: String,
    /// Why a lower step of the ladder had to be taken.
    pub fallback: Option<String>,
    /// The body as sent, for chat kinds; for GitHub's the heads of request and answer, as JSON.
    pub sent: Option<Bytes>,
}

impl Trace {
    /// So much of an answer is kept, in bytes.
    pub const ANSWER: usize = 2048;

    /// Whether the destination itself answered, by HTTP.
    pub fn answered(&self) -> bool {
        self.status.is_some()
    }
}
