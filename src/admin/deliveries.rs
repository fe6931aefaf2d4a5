//! Deliveries: list, show, send again one or many, cancel.

use std::str::FromStr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Shared, read};
use crate::clock::Timestamp;
use crate::delivery::{DeliveryId, State as DeliveryState};
use crate::queue::{Again, Filter, QueueError, Range};
use crate::trail::{self, Keeps};

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
    let filter = Narrowed {
        state: query.state,
        destination: query.destination,
        source: query.source,
        event: query.event,
        repo: query.repo,
        since: query.since,
        q: query.q,
    };
    let relay = shared.relay()?;
    let found = relay
        .queue
        .find(filter.checked()?, query.cursor, limit.clamp(1, LONGEST));
    let found = found.await.map_err(|error| match error {
        QueueError::Refused(why) => {
            ApiError::bad_request(why).hint("a cursor is the `next` of the page before")
        }
        other => other.into(),
    })?;
    let keeps = Keeps::of(relay);
    let lines = found.deliveries.iter();
    let deliveries: Vec<Value> = lines
        .map(|delivery| trail::delivery_line(delivery, &keeps))
        .collect();
    Ok(Json(
        json!({ "deliveries": deliveries, "next": found.next }),
    ))
}

/// The filter of a list and of a bulk redelivery; each part as text, so that a mistake is
/// answered in our words.
#[derive(Debug, Default)]
struct Narrowed {
    state: Option<String>,
    destination: Option<String>,
    source: Option<String>,
    event: Option<String>,
    repo: Option<String>,
    since: Option<String>,
    q: Option<String>,
}

impl Narrowed {
    fn checked(self) -> Result<Filter, ApiError> {
        Ok(Filter {
            state: self.state.as_deref().map(state).transpose()?,
            destination: self.destination.map(Into::into),
            source: self.source,
            event: self.event,
            repo: self.repo,
            since: self
                .since
                .as_deref()
                .map(|text| time("since", text))
                .transpose()?,
            text: self.q,
        })
    }
}

fn state(text: &str) -> Result<DeliveryState, ApiError> {
    serde_json::from_value(text.into()).map_err(|_| {
        ApiError::bad_request(format!("{text:?} is no state of a delivery")).hint(
            "known are waiting, sending, delivered, skipped, dead, cancelled, held and unrouted",
        )
    })
}

/// A moment that a request names.
pub(super) fn time(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    Timestamp::from_str(text).map_err(|_| {
        ApiError::bad_request(format!("{name} is not a time"))
            .hint("write it as RFC 3339: 2026-03-13T18:00:00Z")
    })
}

pub(super) async fn show(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (relay, id) = (shared.relay()?, delivery_id(&id)?);
    let queue = &relay.queue;
    let delivery = queue
        .delivery(&id)
        .await?
        .ok_or_else(|| QueueError::NoSuchDelivery(id.clone()))?;
    let sent = queue.sent(&id).await?;
    let (keeps, gap) = (Keeps::of(relay), relay.missed.told_by(id.event));
    let view = trail::delivery(&delivery, &keeps, sent.as_deref(), gap.as_ref());
    Ok(Json(view))
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

/// What is to be sent again: the filter of a list, and how far to go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk {
    state: Option<String>,
    destination: Option<String>,
    source: Option<String>,
    event: Option<String>,
    repo: Option<String>,
    since: Option<String>,
    q: Option<String>,
    #[serde(default)]
    dry_run: bool,
    limit: Option<u64>,
    cursor: Option<String>,
}

pub(super) async fn redeliver_all(
    State(shared): State<Shared>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let relay = shared.relay()?;
    let bulk: Bulk = read(&body)?;
    if bulk.state.is_none() {
        let error = ApiError::bad_request("what is to be sent again is not said");
        return Err(error.hint(r#"name a state: {"state":"dead"}, and what else narrows it"#));
    }
    let again = Again {
        dry_run: bulk.dry_run,
        limit: bulk.limit,
        cursor: bulk.cursor,
    };
    let filter = Narrowed {
        state: bulk.state,
        destination: bulk.destination,
        source: bulk.source,
        event: bulk.event,
        repo: bulk.repo,
        since: bulk.since,
        q: bulk.q,
    };
    let done = relay.queue.redeliver_all(filter.checked()?, again);
    let done = done.await.map_err(|error| match error {
        QueueError::Refused(why) => ApiError::bad_request(why),
        other => other.into(),
    })?;
    let keeps = Keeps::of(relay);
    let sample = done.sample.iter();
    let sample: Vec<Value> = sample
        .map(|delivery| trail::delivery_line(delivery, &keeps))
        .collect();
    Ok(Json(json!({
        "matched": done.matched,
        "requeued": done.requeued,
        "impossible": done.impossible,
        "sample": sample,
        "next": done.next,
    })))
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
