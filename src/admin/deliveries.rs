//! Deliveries: list, show, send again, cancel.

use std::str::FromStr;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::error::ApiError;
use crate::clock::Timestamp;
use crate::delivery::{DeliveryId, State as DeliveryState};
use crate::queue::{Filter, QueueError, Range};
use crate::trail;

/// What a list may be narrowed by; each part as text, so that a mistake is answered in our words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<String>,
    destination: Option<String>,
    source: Option<String>,
    event: Option<String>,
    repo: Option<String>,
    since: Option<String>,
    q: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// A list is so long unless `limit` says otherwise, and never longer than [`LONGEST`].
const USUAL: usize = 50;
const LONGEST: usize = 500;

pub(super) async fn list(
    State(shared): State<Shared>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(query) = query.map_err(|error| {
        ApiError::bad_request(error.body_text())
            .hint("known are state, destination, source, event, repo, since, q, limit and cursor")
    })?;
    let limit = match &query.limit {
        Some(limit) => limit
            .parse()
            .map_err(|_| ApiError::bad_request("limit is not a number"))?,
        None => USUAL,
    };
    let (cursor, filter) = (query.cursor.clone(), filter(query)?);
    let found = shared
        .relay()?
        .queue
        .find(filter, cursor, limit.clamp(1, LONGEST))
        .await
        .map_err(|error| match error {
            QueueError::Refused(why) => {
                ApiError::bad_request(why).hint("a cursor is the `next` of the page before")
            }
            other => other.into(),
        })?;
    let deliveries: Vec<Value> = found.deliveries.iter().map(trail::delivery_line).collect();
    Ok(Json(
        json!({ "deliveries": deliveries, "next": found.next }),
    ))
}

fn filter(query: ListQuery) -> Result<Filter, ApiError> {
    Ok(Filter {
        state: query.state.as_deref().map(state).transpose()?,
        destination: query.destination.map(Into::into),
        source: query.source,
        event: query.event,
        repo: query.repo,
        since: query.since.as_deref().map(since).transpose()?,
        text: query.q,
    })
}

fn state(text: &str) -> Result<DeliveryState, ApiError> {
    serde_json::from_value(text.into()).map_err(|_| {
        ApiError::bad_request(format!("{text:?} is no state of a delivery")).hint(
            "known are waiting, sending, delivered, skipped, dead, cancelled, held and unrouted",
        )
    })
}

fn since(text: &str) -> Result<Timestamp, ApiError> {
    Timestamp::from_str(text).map_err(|_| {
        ApiError::bad_request("since is not a time")
            .hint("write it as RFC 3339: 2026-03-13T18:00:00Z")
    })
}

pub(super) async fn show(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (queue, id) = (&shared.relay()?.queue, delivery_id(&id)?);
    let delivery = queue
        .delivery(&id)
        .await?
        .ok_or_else(|| QueueError::NoSuchDelivery(id.clone()))?;
    let sent = queue.sent(&id).await?;
    Ok(Json(trail::delivery(&delivery, sent.as_deref())))
}

pub(super) async fn redeliver(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = delivery_id(&id)?;
    let started = shared
        .relay()?
        .queue
        .redeliver(id.event, std::slice::from_ref(&id.destination))
        .await?;
    if started.is_empty() {
        return Err(QueueError::Refused(format!("{id} waits already")).into());
    }
    Ok(Json(json!({ "requeued": [id.to_string()] })))
}

pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = delivery_id(&id)?;
    let cancelled = shared
        .relay()?
        .queue
        .discard(&id.destination, Range::One(id.event), None)
        .await?;
    if cancelled == 0 {
        return Err(QueueError::Refused(format!(
            "{id} does not wait, so there is nothing to cancel"
        ))
        .into());
    }
    Ok(Json(json!({ "cancelled": [id.to_string()] })))
}

fn delivery_id(text: &str) -> Result<DeliveryId, ApiError> {
    text.parse()
        .map_err(|error: crate::delivery::NotADeliveryId| ApiError::bad_request(error.to_string()))
}
