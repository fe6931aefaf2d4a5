//! The checks of `POST /hooks/{source}`, in their order, up to the answer.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request};
use tracing::debug;

use super::answer::{self, Answer, Refusal};
use super::body::{self, Bodies, Means, Unreadable};
use super::budget::{self, Budget, Patience};
use super::decode;
use super::form;
use super::payload::{self, NotAnEvent};
use super::receive::Answers;
use super::verify::Unverified;
use crate::clock::Clock;
use crate::config::Limits;
use crate::destination::ContentType;
use crate::hub::Hub;
use crate::queue::{Appended, Planned, Queue, QueueError, Repeats};
use crate::settings::{InForce, Settings};

/// The event that only asks whether somebody is there.
const PING: &str = "ping";

/// Where events are made durable: the [`Queue`], outside benches.
pub trait Log: Send + Sync + 'static {
    /// Stores an event with its plan, or finds the one it repeats; on stable storage when it
    /// returns.
    fn append(
        &self,
        planned: Planned,
        repeats: Repeats,
    ) -> impl Future<Output = Result<Appended, QueueError>> + Send;
}

impl Log for Queue {
    async fn append(&self, planned: Planned, repeats: Repeats) -> Result<Appended, QueueError> {
        Queue::append(self, planned, repeats).await
    }
}

/// Answers deliveries; what it acknowledges is on stable storage.
#[derive(Debug)]
pub struct Ingest<L = Queue> {
    limits: Limits,
    clock: Clock,
    log: L,
    budget: Budget,
    settings: InForce,
    /// Is told of what events say of their repositories.
    hub: Option<Hub>,
}

impl<L: Log> Ingest<L> {
    /// Bodies on their way in take at most [`Limits::bytes_in`] of memory together, or twice
    /// `limits.body` if that is more.
    pub fn new(limits: Limits, settings: InForce, log: L, clock: Clock) -> Ingest<L> {
        // A form needs the body and, decoded, at most as much again.
        let largest = limits.body.saturating_mul(2);
        Ingest {
            limits,
            clock,
            log,
            budget: Budget::new(limits.bytes_in(), largest),
            settings,
            hub: None,
        }
    }

    /// The same, where a hub is told of each event.
    #[must_use]
    pub fn telling(self, hub: Hub) -> Ingest<L> {
        Ingest {
            hub: Some(hub),
            ..self
        }
    }

    /// For bodies of at most this size besides deliveries, in bytes.
    pub fn bodies(&self, at_most: usize) -> Bodies {
        Bodies {
            limits: Limits {
                body: at_most.min(self.limits.body),
                ..self.limits
            },
            budget: self.budget.clone(),
            clock: self.clock.clone(),
        }
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    async fn take(&self, head: &Parts, body: &mut Incoming) -> Result<Answer, Refusal> {
        let path = head.uri.path();
        self.settings().gates.at(path).ok_or(Refusal::NoSource)?;
        if head.method != Method::POST {
            return Err(Refusal::NotPost);
        }
        let content_type = content_type(&head.headers)?;
        self.check_length(&head.headers)?;

        let mut means = Means {
            limits: &self.limits,
            clock: &self.clock,
            room: self.budget.reservation(),
            patience: Patience::new(self.clock.clone()),
        };
        let unverified = self.read(content_type, head, body, &mut means).await?;
        // One set of settings decides the rest, also when it is replaced meanwhile.
        let settings = self.settings();
        let gate = settings.gates.at(path).ok_or(Refusal::NoSource)?;
        let verified = gate.verify(&unverified);
        let verified =
            verified.map_err(|mismatch| wrong_kind(&unverified).unwrap_or(mismatch.into()))?;
        drop(unverified);

        let (mut event, facts) = decode::decode(verified, &head.headers, self.clock.now())?;
        if &*event.name == PING {
            return Ok(answer::pong());
        }
        event.body = budget::paid(event.body, means.room);
        let arriving = match &self.hub {
            Some(hub) => hub.arriving(&settings, &event, &facts).await,
            None => Ok(None),
        };
        let arriving = arriving.map_err(Refusal::Queue)?;
        let deliveries = settings.router.route(&event, &facts);
        let planned = Planned {
            event,
            facts,
            deliveries,
        };
        let deliveries = planned.deliveries.clone();
        let delivery_id = planned.event.delivery_id.clone();
        let appended = match (&self.hub, arriving) {
            (Some(hub), Some(arriving)) => hub.append(arriving, planned, gate.repeats()).await,
            _ => self.log.append(planned, gate.repeats()).await,
        };
        let appended = appended.map_err(Refusal::Queue)?;
        debug!(
            "delivery {delivery_id} to source {}: {appended:?}",
            gate.name()
        );
        Ok(answer::appended(&appended, &deliveries))
    }

    async fn read<'h>(
        &self,
        content_type: ContentType,
        head: &'h Parts,
        body: &mut Incoming,
        means: &mut Means<'_>,
    ) -> Result<Unverified<'h>, Refusal> {
        let refuse = |unreadable| Refusal::of_body(unreadable, &self.limits);
        let raw = means.read(body).await.map_err(refuse)?;
        let json = match content_type {
            ContentType::Json => raw.clone(),
            ContentType::Form => {
                let payload = form::Payload::find(&raw)?;
                let length = payload.decoded_len();
                let mut buffer = means.buffer(length).await.map_err(refuse)?;
                payload.decode_into(buffer.bytes_mut());
                buffer.freeze(length)
            }
        };
        Ok(Unverified {
            headers: &head.headers,
            content_type,
            raw,
            json,
        })
    }

    fn check_length(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        // Whatever is no number here has been refused by hyper, or is a chunked body.
        let length: Option<usize> = length.and_then(|it| it.parse().ok());
        if length.is_some_and(|it| it > self.limits.body) {
            return Err(Refusal::of_body(Unreadable::TooLarge, &self.limits));
        }
        Ok(())
    }
}

impl<L: Log> Answers for Ingest<L> {
    async fn answer(&self, request: Request<Incoming>, _: IpAddr) -> Answer {
        let (head, mut body) = request.into_parts();
        let refusal = match self.take(&head, &mut body).await {
            Ok(answer) => return answer,
            Err(refusal) => refusal,
        };
        debug!(
            response.status = refusal.status().as_u16(),
            "refused a request to {}: {refusal:?}",
            head.uri.path()
        );
        // Who waits for our word before sending the body gets it at once instead.
        let waits = head.headers.contains_key(EXPECT);
        if !waits && !matches!(refusal, Refusal::TooSlow { .. }) {
            body::discard(&mut body, &self.limits, &self.clock).await;
        }
        answer::refused(&refusal)
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

fn content_type(headers: &HeaderMap) -> Result<ContentType, Refusal> {
    let text = |name| {
        headers
            .get(name)
            .map(|it| it.to_str().unwrap_or("?").trim())
    };
    let encoding = text(CONTENT_ENCODING).unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") {
        return Err(Refusal::ContentEncoding);
    }
    let full = text(CONTENT_TYPE).unwrap_or("");
    let media = full.split(';').next().unwrap_or("").trim_end();
    if media.eq_ignore_ascii_case("application/json") {
        Ok(ContentType::Json)
    } else if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(ContentType::Form)
    } else {
        Err(Refusal::ContentType)
    }
}

/// The better reason to refuse what is not signed: it is not for us at all. Asked only here, so
/// that no other body is parsed twice; what is signed finds it out when decoded.
fn wrong_kind(unverified: &Unverified<'_>) -> Option<Refusal> {
    let service = payload::chat_service(&unverified.json)?;
    Some(Refusal::Content(NotAnEvent::ForChat(service)))
}
