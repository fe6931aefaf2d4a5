//! The JSON of deliveries, events and lanes: the one place that names their members.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::Relay;
use crate::clock::Timestamp;
use crate::delivery::{Attempt, DeliveryId, State};
use crate::destination::Destination;
use crate::event::{Event, EventId};
use crate::plan::Explained;
use crate::queue::{Delivery, LaneStatus, Missing};
use crate::send::pace;
use crate::trail::missed::Gap;

/// How long settled deliveries and dead letters are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeps {
    pub history: Duration,
    pub dead: Duration,
}

impl Keeps {
    /// As a running relay's settings say.
    pub fn of(relay: &Relay) -> Keeps {
        let settings = relay.settings();
        Keeps {
            history: settings.config.history.keep,
            dead: settings.config.dead.keep,
        }
    }

    /// When the delivery goes by its age, if not before by number.
    fn until(&self, delivery: &Delivery) -> Option<Timestamp> {
        let keep = match delivery.state {
            State::Waiting | State::Sending | State::Held => return None,
            State::Dead => self.dead,
            _ => self.history,
        };
        delivery.settled.map(|settled| settled.plus(keep))
    }
}

/// A delivery in a list.
pub fn delivery_line(delivery: &Delivery, keeps: &Keeps) -> Value {
    let last = delivery.attempts.last();
    json!({
        "id": id(delivery),
        "event": delivery.event,
        "destination": delivery.destination,
        "source": delivery.source,
        "name": delivery.name,
        "repo": delivery.repo,
        "summary": delivery.summary,
        "route": delivery.route,
        "state": delivery.state,
        "reason": delivery.reason,
        "why": delivery.why,
        "round": delivery.round,
        "received": time(delivery.received),
        "settled": delivery.settled.map(time),
        "kept_until": keeps.until(delivery).map(time),
        "next_try": delivery.next_try.map(time),
        "attempts": delivery.attempts.iter().map(|attempt| u64::from(attempt.count)).sum::<u64>(),
        "last_error": last.filter(|_| delivery.settled.is_none()).map(|attempt| &attempt.verdict),
    })
}

/// A delivery in full: every attempt, the last answer, the body as sent if it was kept, and the
/// push before it if that never reached us.
pub fn delivery(
    delivery: &Delivery,
    keeps: &Keeps,
    sent: Option<&[u8]>,
    gap: Option<&Gap>,
) -> Value {
    let mut view = delivery_line(delivery, keeps);
    view["attempts"] = delivery.attempts.iter().map(attempt).collect();
    view["answer"] = String::from_utf8_lossy(&delivery.answer).into();
    view["template"] = delivery.template.clone().into();
    view["fingerprint"] = delivery.fingerprint.clone().into();
    view["fallback"] = delivery.fallback.clone().into();
    view["sent"] = sent
        .map(|body| String::from_utf8_lossy(body).into_owned())
        .into();
    view["missed"] = gap.map(missed).into();
    view
}

/// Events that damage has taken.
pub fn missing(missing: &Missing) -> Value {
    json!({
        "first": missing.first,
        "last": missing.last,
        "events": missing.events(),
        "after": missing.after.map(time),
        "before": missing.before.map(time),
        "found": time(missing.found),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "id": attempt.id,
        "count": attempt.count,
        "first": time(attempt.first),
        "last": time(attempt.last),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "reason": attempt.reason,
        "verdict": attempt.verdict,
    })
}

/// A stored event with its body as text, and the push before it if that never reached us.
pub fn event(id: EventId, event: &Event, gap: Option<&Gap>) -> Value {
    json!({
        "event": id,
        "source": event.source,
        "name": event.name,
        "delivery_id": event.delivery_id,
        "received": time(event.received),
        "body": String::from_utf8_lossy(&event.body),
        "missed": gap.map(missed),
    })
}

/// A destination and its lane. `rate` is what the relay allows itself, in words.
pub fn lane(lane: &LaneStatus, destination: Option<&Destination>) -> Value {
    let held = lane.held.as_ref();
    let state = match (lane.orphaned, held, lane.failing_since) {
        (true, _, _) => "orphaned",
        (false, Some(_), _) => "held",
        (false, None, Some(_)) => "backing_off",
        (false, None, None) => "running",
    };
    let kept_back = lane
        .kept_back
        .map(|(count, since)| json!({ "count": count, "since": time(since) }));
    json!({
        "name": lane.destination,
        "kind": destination.map(|destination| destination.kind.name()),
        "state": state,
        "reason": held.map(|held| &held.words),
        "since": held.map(|held| held.since).or(lane.failing_since).map(time),
        "waiting": lane.waiting,
        "dead": lane.dead,
        "kept_back": kept_back,
        "oldest": lane.oldest.map(time),
        "next_try": lane.next_try.map(time),
        "last_error": lane.last_error,
        "rate": destination.map(pace::in_words),
    })
}

/// A push that never reached us.
pub fn missed(gap: &Gap) -> Value {
    json!({
        "source": gap.source,
        "repo": gap.repo,
        "branch": gap.branch,
        "words": gap.words(),
        "link": gap.link(),
        "next_push": gap.event,
        "noticed": time(gap.noticed),
    })
}

/// What each route made of an event.
pub fn explained(routes: &[Explained]) -> Value {
    let one = |route: &Explained| json!({ "route": route.route, "matched": route.matched, "why": route.why, "to": route.to });
    json!({ "routes": routes.iter().map(one).collect::<Vec<_>>() })
}

fn id(delivery: &Delivery) -> String {
    match &delivery.destination {
        Some(destination) => DeliveryId {
            event: delivery.event,
            destination: destination.clone(),
        }
        .to_string(),
        None => delivery.event.to_string(),
    }
}

fn time(time: Timestamp) -> String {
    time.to_string()
}
