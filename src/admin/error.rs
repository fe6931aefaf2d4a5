//! What the own API answers when it cannot do as asked: `{"error","hint"}` and a status.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::queue::QueueError;

/// An answer of the own API that is not a success.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    error: String,
    hint: Option<String>,
}

impl ApiError {
    /// The request makes no sense as it stands.
    pub(super) fn bad_request(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, error)
    }

    /// There is no such thing.
    pub(super) fn not_found(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, error)
    }

    /// Any other status.
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> ApiError {
        ApiError {
            status,
            error: error.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> ApiError {
        self.hint = Some(hint.into());
        self
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> ApiError {
        let text = error.to_string();
        match error {
            QueueError::NoSuchDelivery(_)
            | QueueError::NoSuchEvent(_)
            | QueueError::NoSuchLane(_) => ApiError::not_found(text),
            QueueError::Changed { .. } => ApiError::new(StatusCode::CONFLICT, text)
                .hint("look again, and repeat with the number there is now"),
            QueueError::Refused(_) => ApiError::new(StatusCode::CONFLICT, text),
            QueueError::DiskLow | QueueError::Unavailable | QueueError::Closed => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

/// What the web framework refuses by itself (a method, a size, a path that is not UTF-8), in the
/// form of all other errors.
pub(super) async fn in_our_form(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let media_type = response.headers().get(header::CONTENT_TYPE);
    if !is_error || media_type.is_some_and(|value| value == "application/json") {
        return response;
    }
    let error = match status {
        StatusCode::METHOD_NOT_ALLOWED => "this path does not take the method",
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too large; try a stored event by its id",
        _ => "the request makes no sense",
    };
    let mut ours = ApiError::new(status, error).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        ours.headers_mut().insert(header::ALLOW, allow.clone());
    }
    ours
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.error });
        if let Some(hint) = self.hint {
            body["hint"] = hint.into();
        }
        (self.status, Json(body)).into_response()
    }
}
