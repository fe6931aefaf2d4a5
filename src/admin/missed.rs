//! Pushes that never reached us.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Shared;
use super::error::ApiError;
use crate::trail;

/// Those that were reported and did not come since, oldest first.
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    let missed = shared.relay()?.missed.all();
    let missed: Vec<Value> = missed.iter().map(trail::missed).collect();
    Ok(Json(json!({ "missed": missed })))
}
