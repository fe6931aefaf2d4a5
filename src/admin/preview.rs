//! Events as stored, and what would become of one now: where it would go, what would be sent.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Shared, read};
use crate::app::Relay;
use crate::event::{Event, EventId, not_a_name};
use crate::plan::{Rendered, Step};
use crate::queue::QueueError;
use crate::{ingest, trail};

pub(super) async fn event(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = EventId(
        id.parse()
            .map_err(|_| ApiError::bad_request("an event's id is a number"))?,
    );
    let relay = shared.relay()?;
    let event = stored(relay, id).await?;
    let gap = relay.missed.told_by(id);
    Ok(Json(trail::event(id, &event, gap.as_ref())))
}

/// An event to try: a stored one by its id, or one given whole.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    id: Option<EventId>,
    event: Option<String>,
    source: Option<String>,
    body: Option<Box<RawValue>>,
    /// For `render`: the destination.
    to: Option<String>,
}

pub(super) async fn route(
    State(shared): State<Shared>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let relay = shared.relay()?;
    let (_, event) = event_of(relay, read(&body)?).await?;
    Ok(Json(trail::explained(
        &relay
            .settings()
            .router
            .explain(&event, &ingest::facts(&event)),
    )))
}

pub(super) async fn render(
    State(shared): State<Shared>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let relay = shared.relay()?;
    let trial: Trial = read(&body)?;
    let name = trial
        .to
        .clone()
        .ok_or_else(|| ApiError::bad_request("`to` does not name a destination"))?;
    let settings = relay.settings();
    let destination = settings.of_lane(&name);
    let destination =
        destination.ok_or_else(|| ApiError::not_found(format!("no destination {name:?}")))?;
    let (id, event) = event_of(relay, trial).await?;
    Ok(Json(
        match settings
            .templates
            .render(&event, id, destination, Step::Chosen, None)
        {
            Rendered::Message(message) => json!({
                "body": String::from_utf8_lossy(&message.body),
                "template": message.template,
                "fingerprint": message.fingerprint,
                "fallback": message.fallback,
            }),
            Rendered::Skip {
                template,
                fingerprint,
            } => {
                json!({ "skipped": true, "template": template, "fingerprint": fingerprint })
            }
            Rendered::Failed(why) => json!({ "failed": why }),
        },
    ))
}

async fn event_of(relay: &Relay, trial: Trial) -> Result<(EventId, Event), ApiError> {
    match (trial.id, trial.body) {
        (Some(id), None) => Ok((id, stored(relay, id).await?)),
        (None, Some(body)) => Ok((EventId(0), given(relay, trial.event, trial.source, &body)?)),
        _ => Err(ApiError::bad_request(
            "give either `id`, or `body` with `event`",
        )),
    }
}

async fn stored(relay: &Relay, id: EventId) -> Result<Event, ApiError> {
    Ok(relay
        .queue
        .event(id)
        .await?
        .ok_or(QueueError::NoSuchEvent(id))?)
}

fn given(
    relay: &Relay,
    name: Option<String>,
    source: Option<String>,
    body: &RawValue,
) -> Result<Event, ApiError> {
    let name =
        name.ok_or_else(|| ApiError::bad_request("`event` does not say which event this is"))?;
    let settings = relay.settings();
    if let Some(wrong) = not_a_name(&name) {
        return Err(ApiError::bad_request(wrong));
    }
    let (source, _) = settings
        .config
        .source(source.as_deref())
        .map_err(ApiError::bad_request)?;
    Ok(Event {
        source: source.clone(),
        name: name.into(),
        delivery_id: "trial".into(),
        received: relay.clock.now(),
        body: Bytes::copy_from_slice(body.get().as_bytes()),
    })
}
