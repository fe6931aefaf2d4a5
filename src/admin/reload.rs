//! `POST /v1/reload`: puts what changed in relay.yaml and the templates in force.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Shared, read};
use crate::reload::Refused;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// 200 and [`Report`](crate::reload::Report) when it is in force; 422 when there are mistakes and
/// nothing was changed: `{"error","hint","problems":[…],"text"}`, each problem as `check --json`
/// has it, and `text` as `check` draws them.
pub(super) async fn reload(
    State(shared): State<Shared>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Nothing {} = read(&body)?;
    match shared.relay()?.reload.now().await {
        Ok(report) => Ok(Json(report).into_response()),
        Err(Refused::Mistakes(mistakes)) => {
            let answer = json!({
                "error": mistakes.to_string(),
                "hint": "the relay goes on with what it has; correct them, and reload again",
                "problems": mistakes.0,
                "text": mistakes.drawn(),
            });
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Json::<Value>(answer)).into_response())
        }
        Err(other) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            other.to_string(),
        )),
    }
}
