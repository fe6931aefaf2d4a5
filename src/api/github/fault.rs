//! Why a call fails, in GitHub's words and shape.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::{Answer, json as json_answer};
use crate::queue::QueueError;

/// Where errors send people.
const DOCUMENTATION: &str = "https://docs.github.com/rest/repos/webhooks";

/// Why a call fails.
#[derive(Debug)]
pub(in crate::api) enum Fault {
    NotFound,
    /// 400, in these words.
    BadRequest(&'static str),
    /// 422: a value of the wrong type, where and how.
    Invalid(String),
    /// 422, in these words.
    Unprocessable(String),
    /// 422: what is wrong with the hook, as GitHub lists it.
    Validation(Value),
    Queue(QueueError),
}

impl Fault {
    /// A field with a value that it cannot have.
    pub(super) fn invalid(field: &str) -> Fault {
        Fault::Validation(json!({ "resource": "Hook", "field": field, "code": "invalid" }))
    }

    /// A field that must be there.
    pub(super) fn missing(field: &str) -> Fault {
        Fault::Validation(json!({ "resource": "Hook", "field": field, "code": "missing_field" }))
    }

    /// What only words can say.
    pub(super) fn custom(message: impl Into<String>) -> Fault {
        let message = message.into();
        Fault::Validation(json!({ "resource": "Hook", "code": "custom", "message": message }))
    }

    pub(in crate::api) fn answer(self) -> Answer {
        match self {
            Fault::NotFound => error(StatusCode::NOT_FOUND, "Not Found", None),
            Fault::BadRequest(words) => error(StatusCode::BAD_REQUEST, words, None),
            Fault::Invalid(what) => {
                let words = format!("Invalid request.\n\n{what}");
                error(StatusCode::UNPROCESSABLE_ENTITY, &words, None)
            }
            Fault::Unprocessable(words) => error(StatusCode::UNPROCESSABLE_ENTITY, &words, None),
            Fault::Validation(what) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                error(status, "Validation Failed", Some(what))
            }
            Fault::Queue(reason) => {
                let words = format!("It cannot be stored now: {reason}");
                error(StatusCode::SERVICE_UNAVAILABLE, &words, None)
            }
        }
    }
}

impl From<QueueError> for Fault {
    fn from(reason: QueueError) -> Fault {
        Fault::Queue(reason)
    }
}

/// The answer to what never became a call.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    let words = match refusal {
        Refusal::NoToken | Refusal::OnlyInQuery => "Requires authentication".to_owned(),
        Refusal::WrongToken => "Bad credentials".to_owned(),
        Refusal::NoSuchPath => "Not Found".to_owned(),
        other => other.to_string(),
    };
    error(refusal.status(), &words, None)
}

fn error(status: StatusCode, message: &str, what: Option<Value>) -> Answer {
    let mut body = json!({
        "message": message,
        "documentation_url": DOCUMENTATION,
        "status": status.as_str(),
    });
    if let Some(what) = what {
        body["errors"] = json!([what]);
    }
    json_answer(status, body.to_string())
}
