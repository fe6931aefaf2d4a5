//! Destinations: how their lanes stand; hold, resume, discard, test.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Shared, read};
use crate::queue::Range;
use crate::trail;

pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    let relay = shared.relay()?;
    let settings = relay.settings();
    let destinations = &settings.config.destinations;
    let lanes: Vec<Value> = relay
        .queue
        .lanes()
        .iter()
        .map(|lane| trail::lane(lane, destinations.get(&lane.destination)))
        .collect();
    let missing = relay.queue.missing();
    let missing: Vec<Value> = missing.iter().map(trail::missing).collect();
    Ok(Json(json!({ "destinations": lanes, "missing": missing })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    reason: Option<String>,
}

pub(super) async fn hold(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Hold { reason } = read(&body)?;
    let words = reason.unwrap_or_else(|| "held by hand".to_owned());
    shared.relay()?.queue.hold(&name, words).await?;
    Ok(Json(json!({ "held": name })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {}

pub(super) async fn resume(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Resume {} = read(&body)?;
    shared.relay()?.queue.resume(&name).await?;
    Ok(Json(json!({ "resumed": name })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Discard {
    #[serde(default)]
    dry_run: bool,
    expect: Option<u64>,
}

pub(super) async fn discard(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let queue = &shared.relay()?.queue;
    match read(&body)? {
        Discard { dry_run: true, .. } => Ok(Json(
            json!({ "would_discard": queue.count(&name, Range::All).await? }),
        )),
        Discard { expect: None, .. } => Err(ApiError::bad_request(
            "how many deliveries should go is not said",
        )
        .hint(r#"ask with {"dry_run":true}, then repeat with {"expect":<that number>}"#)),
        Discard { expect, .. } => Ok(Json(
            json!({ "discarded": queue.discard(&name, Range::All, expect).await? }),
        )),
    }
}

/// Sends one sample past the queue, and says what came of it.
pub(super) async fn test(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let tested = shared.relay()?.send_test(&name).await;
    let (delivered, words) =
        tested.ok_or_else(|| ApiError::not_found(format!("no destination {name:?}")))?;
    Ok(Json(json!({ "delivered": delivered, "verdict": words })))
}
