//! What Gogs is told: short JSON in ASCII, because Gogs stores every answer whole and shows it to
//! whoever looks after the hook. Never a secret, never what a right signature would have been.

use std::fmt::{Arguments, Write};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::Unreadable;
use super::form::FormError;
use super::payload::NotAnEvent;
use super::verify::Mismatch;
use crate::config::Limits;
use crate::event::EventId;
use crate::queue::{Appended, PlannedDelivery, QueueError};

pub(super) type Answer = Response<Full<Bytes>>;

/// Destinations are named in an answer up to this many; beyond they are counted.
const NAMED: usize = 5;

/// No answer's body is longer, in bytes.
const LONGEST: usize = 300;

/// Why a request is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no such source")]
    NoSource,
    #[error("only POST")]
    NotPost,
    #[error("unknown content type")]
    ContentType,
    #[error("unknown content encoding")]
    ContentEncoding,
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body took longer than {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the body is cut short")]
    CutShort,
    #[error("too much under way")]
    NoRoom,
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(transparent)]
    Signature(#[from] Mismatch),
    #[error(transparent)]
    Content(#[from] NotAnEvent),
    #[error("cannot store it now")]
    Queue(QueueError),
}

impl Refusal {
    pub(super) fn of_body(unreadable: Unreadable, limits: &Limits) -> Refusal {
        match unreadable {
            Unreadable::TooLarge => Refusal::TooLarge { limit: limits.body },
            Unreadable::TooSlow => Refusal::TooSlow {
                seconds: limits.body_timeout.as_secs(),
            },
            Unreadable::NoRoom => Refusal::NoRoom,
            Unreadable::Broken => Refusal::CutShort,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Refusal::NoSource => StatusCode::NOT_FOUND,
            Refusal::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::ContentType | Refusal::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Refusal::CutShort | Refusal::Form(_) | Refusal::Content(_) => StatusCode::BAD_REQUEST,
            Refusal::Signature(_) => StatusCode::UNAUTHORIZED,
            Refusal::NoRoom | Refusal::Queue(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What to do about it.
    fn hint(&self) -> &'static str {
        match self {
            Refusal::NoSource => {
                "the payload URL ends in /hooks/ and a name under `sources` in relay.yaml, without a slash after it"
            }
            Refusal::NotPost => "Gogs posts; a GET here comes from a redirect on the way",
            Refusal::ContentType => {
                "set the hook's content type to application/json or application/x-www-form-urlencoded"
            }
            Refusal::ContentEncoding => "send the body uncompressed",
            Refusal::TooLarge { .. } => "raise limits.body in relay.yaml",
            Refusal::TooSlow { .. } => "raise limits.body_timeout in relay.yaml",
            Refusal::CutShort => "look for a proxy that cuts bodies",
            Refusal::NoRoom => "raise limits.bytes in relay.yaml if this is usual",
            Refusal::Form(_) => "a form holds the JSON in one field named payload",
            Refusal::Signature(mismatch) => mismatch_hint(*mismatch),
            Refusal::Content(NotAnEvent::ForChat(_)) => {
                "create the hook with type Gogs; hooks of this type cannot be signed in Gogs' pages"
            }
            Refusal::Content(_) => {
                "Gogs sends one JSON object; look for what changes it on the way"
            }
            Refusal::Queue(QueueError::DiskLow) => "free space in the relay's data folder",
            Refusal::Queue(_) => "see the relay's log",
        }
    }
}

fn mismatch_hint(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Missing => "set a secret in the hook; Gogs signs from 0.10 on",
        Mismatch::Empty => "the hook has no secret set in Gogs; set the one of this source",
        Mismatch::OnlySha1 => "send X-Hub-Signature-256, or set `sha1: allow` on this source",
        Mismatch::SignsForm => {
            "it matches the raw form, and Gogs signs the payload in it; choose application/json"
        }
        Mismatch::SignsPayload => {
            "it matches the payload of a form, but the content type says JSON; look for what changes it on the way"
        }
        Mismatch::OldSecret => {
            "make the hook anew with the secret in relay.yaml, or add the old one to `secrets`"
        }
        Mismatch::Wrong => {
            "compare the hook's secret with relay.yaml; if they are equal, something changes the body on the way"
        }
    }
}

/// The answer to a request that is refused.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    let body = json!({ "error": refusal.to_string(), "hint": refusal.hint() });
    let mut answer = json(refusal.status(), body.to_string());
    let extra = match refusal {
        Refusal::NotPost => Some((ALLOW, "POST")),
        Refusal::TooLarge { .. } | Refusal::TooSlow { .. } => Some((CONNECTION, "close")),
        Refusal::NoRoom | Refusal::Queue(_) => Some((RETRY_AFTER, "10")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// The answer to a delivery that is on stable storage.
pub(super) fn appended(appended: &Appended, deliveries: &[PlannedDelivery]) -> Answer {
    match appended {
        Appended::New(event) => {
            let names = deliveries.iter().map(|delivery| &delivery.destination);
            let body = with_names(format_args!(r#"{{"event":{event},"destinations":"#), names);
            json(StatusCode::ACCEPTED, body)
        }
        Appended::Repeats { event, requeued } => json(StatusCode::OK, repeated(*event, requeued)),
    }
}

/// The answer to a `ping`, which is not stored.
pub(super) fn pong() -> Answer {
    json(StatusCode::OK, r#"{"ping":true}"#.to_owned())
}

fn repeated(event: EventId, requeued: &[Arc<str>]) -> String {
    let start = format_args!(r#"{{"event":{event},"duplicate":true,"requeued":"#);
    with_names(start, requeued.iter())
}

/// `start`, the names as a list, or their number where they are many or long, and the brace that
/// closes. Names need no escaping: `[a-z0-9_-]` is all they are made of.
fn with_names<'a>(
    start: Arguments<'_>,
    names: impl ExactSizeIterator<Item = &'a Arc<str>>,
) -> String {
    let count = names.len();
    let mut body = String::with_capacity(128);
    // Writing to a string cannot fail.
    write!(body, "{start}[").unwrap_or_default();
    if count <= NAMED {
        for (at, name) in names.enumerate() {
            body.push_str(if at == 0 { "\"" } else { ",\"" });
            body.push_str(name);
            body.push('"');
        }
    }
    body.push_str("]}");
    if count > NAMED || body.len() >= LONGEST {
        return format!("{start}{count}}}");
    }
    body
}

fn json(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
