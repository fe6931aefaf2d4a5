//! What GitHub's API shows of hooks and deliveries. Pure.

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::delivery::{Attempt, Reason};
use crate::event::Event;
use crate::hook::{Hook, HookConfig};
use crate::plan::mend_surrogates;
use crate::queue::{Attempted, LastAttempt};
use crate::send::github;

/// What stands for every secret; sent back, it means the one that there is.
pub(super) const MASK: &str = "********";

/// A hook, with its links below `base`.
pub(super) fn hook(hook: &Hook, base: &str, last: Option<LastAttempt>) -> Value {
    let url = hook_url(hook, base);
    let mut shown = bare_hook(hook);
    shown["url"] = json!(url);
    shown["test_url"] = json!(format!("{url}/tests"));
    shown["ping_url"] = json!(format!("{url}/pings"));
    shown["deliveries_url"] = json!(format!("{url}/deliveries"));
    shown["last_response"] = last_response(last);
    shown
}

/// A hook without what only calls are concerned with, as a ping tells it.
pub(super) fn bare_hook(hook: &Hook) -> Value {
    json!({
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": hook.events,
        "config": config(&hook.config),
        "updated_at": seconds(hook.updated),
        "created_at": seconds(hook.created),
    })
}

pub(super) fn hook_url(hook: &Hook, base: &str) -> String {
    format!("{base}/repos/{}/hooks/{}", hook.repository.name, hook.id)
}

pub(super) fn config(config: &HookConfig) -> Value {
    let mut shown = json!({
        "url": config.url.expose_text(),
        "content_type": config.content_type.name(),
        "insecure_ssl": if config.insecure_ssl { "1" } else { "0" },
    });
    if config.secret.is_some() {
        shown["secret"] = json!(MASK);
    }
    shown
}

/// One attempt as an entry of a list. `event` is `None` when it is no longer kept.
pub(super) fn item(attempted: &Attempted, event: Option<&Event>) -> Value {
    let attempt = &attempted.attempt;
    json!({
        "id": attempt.id,
        "guid": event.map_or("", |event| &*event.delivery_id),
        "delivered_at": attempt.last.to_string(),
        "redelivery": attempt.round > 1,
        "duration": f64::from(attempt.duration_ms) / 1000.0,
        "status": outcome(attempt.status, attempt.reason),
        "status_code": status_code(attempt),
        "event": attempted.delivery.name,
        "action": event.and_then(action),
        "installation_id": null,
        "repository_id": event.and_then(|event| github::repository_id(&event.body)),
        "throttled_at": null,
    })
}

/// One attempt in full. Heads and answers are known of the last one for each event alone.
pub(super) fn delivery(attempted: &Attempted, event: Option<&Event>, hook: &Hook) -> Value {
    let payload: Option<Map<String, Value>> =
        event.and_then(|event| serde_json::from_slice(&mend_surrogates(&event.body)).ok());
    let sent = attempted.sent.as_deref();
    let heads = sent.and_then(|sent| serde_json::from_slice::<Value>(sent).ok());
    let heads = heads.unwrap_or_default();
    let answered = attempted.is_last && attempted.attempt.status.is_some();
    let answer = answered.then(|| String::from_utf8_lossy(&attempted.delivery.answer));
    let mut shown = item(attempted, event);
    shown["url"] = json!(hook.config.url.expose_text());
    shown["request"] = json!({ "headers": heads["request"], "payload": payload });
    shown["response"] = json!({ "headers": heads["response"], "payload": answer });
    shown
}

/// What GitHub counts an attempt as: the status that came, or one that stands for none.
pub(super) fn status_code(attempt: &Attempt) -> u16 {
    code(attempt.status, attempt.reason)
}

fn code(status: Option<u16>, reason: Reason) -> u16 {
    match (status, reason) {
        (Some(status), _) => status,
        (None, Reason::Accepted | Reason::EmptyMessage) => 200,
        (None, Reason::Timeout) => 504,
        (None, _) => 502,
    }
}

fn outcome(status: Option<u16>, reason: Reason) -> String {
    match (status, reason) {
        (Some(200..=299), _) | (None, Reason::Accepted | Reason::EmptyMessage) => "OK".to_owned(),
        (Some(status), _) => format!("Invalid HTTP Response: {status}"),
        (None, Reason::Timeout) => "timed out".to_owned(),
        (None, Reason::Refused | Reason::Dns) => "failed to connect to host".to_owned(),
        (None, Reason::Tls) => {
            "Peer certificate cannot be authenticated with given CA certificates".to_owned()
        }
        (None, other) => other.in_words().to_owned(),
    }
}

fn last_response(last: Option<LastAttempt>) -> Value {
    let Some(LastAttempt { status, reason }) = last else {
        return json!({ "code": null, "status": "unused", "message": null });
    };
    let word = match (status, reason) {
        (Some(200..=299), _) | (None, Reason::Accepted | Reason::EmptyMessage) => "active",
        (Some(_), _) => "misconfigured",
        (None, Reason::Timeout) => "timeout",
        (None, _) => "connection_error",
    };
    json!({ "code": code(status, reason), "status": word, "message": outcome(status, reason) })
}

/// RFC 3339 without fractions, as GitHub has it.
fn seconds(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => time.to_string(),
    }
}

fn action(event: &Event) -> Option<String> {
    crate::ingest::decode::facts(event).action
}
