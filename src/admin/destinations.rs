//! Destinations: how their lanes stand; hold, resume, discard, test.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::deliveries::time;
use super::error::ApiError;
use super::{Shared, read};
use crate::destination::{Destination, Kind};
use crate::queue::{Range, Rest, Resume};
use crate::trail;

pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    let relay = shared.relay()?;
    let settings = relay.settings();
    let dead = settings.config.dead;
    let lanes: Vec<Value> = relay
        .queue
        .lanes()
        .iter()
        .map(|lane| trail::lane(lane, settings.of_lane(&lane.destination)))
        .collect();
    let missing = relay.queue.missing();
    let missing: Vec<Value> = missing.iter().map(trail::missing).collect();
    let dead_letters = json!({
        "count": relay.queue.stats().dead,
        "at_most": dead.at_most,
        "keep_seconds": dead.keep.as_secs(),
    });
    Ok(Json(json!({
        "destinations": lanes,
        "dead_letters": dead_letters,
        "missing": missing,
        "damage": relay.queue.damage(),
    })))
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
struct ResumeHow {
    newer_than: Option<String>,
    rest: Option<String>,
}

pub(super) async fn resume(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let ResumeHow { newer_than, rest } = read(&body)?;
    let relay = shared.relay()?;
    let how = Resume {
        newer_than: newer_than
            .as_deref()
            .map(|text| time("newer_than", text))
            .transpose()?,
        rest: rest.as_deref().map(rest_of).transpose()?,
    };
    if how.rest == Some(Rest::Summary) {
        let settings = relay.settings();
        takes_summaries(settings.of_lane(&name), &name)?;
    }
    let left = relay.queue.resume_with(&name, how).await?;
    let became = match (how.newer_than, how.rest) {
        (None, None) => "none",
        (_, None | Some(Rest::Keep)) => "kept_back",
        (_, Some(Rest::Dead)) => "dead",
        (_, Some(Rest::Summary)) => "summarised",
    };
    Ok(Json(
        json!({ "resumed": name, "left_behind": left, "became": became }),
    ))
}

fn rest_of(text: &str) -> Result<Rest, ApiError> {
    match text {
        "keep" => Ok(Rest::Keep),
        "dead" => Ok(Rest::Dead),
        "summary" => Ok(Rest::Summary),
        other => Err(
            ApiError::bad_request(format!("{other:?} cannot become of the rest"))
                .hint("known are keep, dead and summary"),
        ),
    }
}

/// A summary is a message to people: whoever takes Gogs' format could not read it.
fn takes_summaries(destination: Option<&Destination>, name: &str) -> Result<(), ApiError> {
    match destination.map(|destination| &destination.kind) {
        Some(Kind::Slack(_) | Kind::Discord(_) | Kind::DingTalk(_) | Kind::Console) => Ok(()),
        Some(Kind::Gogs(_) | Kind::GitHub(_) | Kind::WebSub(_)) => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("{name} takes payloads, which have no form for a summary"),
        )
        .hint("leave the rest to keep or dead")),
        None => Err(ApiError::not_found(format!("no destination {name:?}"))),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Discard {
    #[serde(default)]
    dry_run: bool,
    expect: Option<u64>,
    #[serde(default)]
    kept_back: bool,
}

pub(super) async fn discard(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let queue = &shared.relay()?.queue;
    let discard: Discard = read(&body)?;
    let range = match discard.kept_back {
        true => Range::KeptBack,
        false => Range::All,
    };
    if discard.dry_run {
        let count = queue.count(&name, range).await?;
        return Ok(Json(json!({ "would_discard": count })));
    }
    let Some(expect) = discard.expect else {
        let error = ApiError::bad_request("how many deliveries should go is not said");
        return Err(
            error.hint(r#"ask with {"dry_run":true}, then repeat with {"expect":<that number>}"#)
        );
    };
    let discarded = queue.discard(&name, range, Some(expect)).await?;
    Ok(Json(json!({ "discarded": discarded })))
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
