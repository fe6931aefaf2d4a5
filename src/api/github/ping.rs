//! What is sent to one hook because somebody asked: a ping, or the newest push once more. Both go
//! through the hook's own lane, so they are durable, and seen among its deliveries.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::known::newest;
use super::super::{Answer, empty};
use super::fault::Fault;
use super::{about, shapes};
use crate::event::Event;
use crate::hook::{Hook, HookKind};
use crate::ingest::decode;
use crate::queue::{Planned, PlannedDelivery, QueueError, Redelivery, Repeats};

/// Whoever sets a hook up gets to read one of these.
const ZEN: [&str; 6] = [
    "Small steps arrive.",
    "What waits is not lost.",
    "Say it once, keep it safe.",
    "The slowest neighbour harms nobody.",
    "Try again, a little later.",
    "Plain words travel far.",
];

pub(super) async fn ping(call: &Call<'_>, hook: &Hook) -> Result<Answer, Fault> {
    // A reader gets what it subscribed to, and nothing else.
    if hook.kind != HookKind::WebSub {
        send(call, hook).await?;
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Queues a ping for the hook.
///
/// # Errors
/// The queue does not take it.
pub(super) async fn send(call: &Call<'_>, hook: &Hook) -> Result<(), QueueError> {
    let mut body = json!({
        "zen": ZEN[(hook.updated.0.unsigned_abs() % ZEN.len() as u64) as usize],
        "hook_id": hook.id,
        "hook": shapes::bare_hook(hook),
        "sender": about::who(call),
    });
    body["repository"] = about::known(call, &hook.repository).await;
    append(call, hook, "ping", Value::to_string(&body).into()).await
}

/// Sends the newest push to the repository again, under another GUID. Nothing is sent to a hook
/// that gets no pushes, and where none is kept.
pub(super) async fn test(call: &Call<'_>, hook: &Hook) -> Result<Answer, Fault> {
    let wants_pushes = hook
        .events
        .iter()
        .any(|event| event == "*" || event == "push");
    if wants_pushes && let Some(push) = newest(call, &hook.repository, Some("push")).await {
        append(call, hook, "push", push.body).await?;
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn append(
    call: &Call<'_>,
    hook: &Hook,
    name: &str,
    body: bytes::Bytes,
) -> Result<(), QueueError> {
    let event = Event {
        source: hook.repository.source.clone(),
        name: name.into(),
        delivery_id: uuid::Uuid::new_v4().to_string().into(),
        received: call.means.clock.now(),
        body,
    };
    let planned = Planned {
        facts: decode::facts(&event),
        event,
        deliveries: [PlannedDelivery {
            destination: hook.lane(),
            route: None,
        }]
        .into(),
    };
    // Each of them is meant, even if the last one was the same.
    let repeats = Repeats {
        redelivery: Redelivery::None,
        same_body: None,
    };
    call.means.queue.append(planned, repeats).await?;
    Ok(())
}
