//! Why a call never reaches its API. Each API words it in its own way.

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::{Answer, LARGEST_BODY};
use crate::ingest::Unreadable;

/// Why a call is refused before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no token: send `Authorization: token …`, as `api.tokens` in relay.yaml has it")]
    NoToken,
    #[error("tokens in the query are switched off: send `Authorization: token …`")]
    OnlyInQuery,
    #[error("the token is none of `api.tokens` in relay.yaml")]
    WrongToken,
    #[error("there is no such path")]
    NoSuchPath,
    #[error("the body is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    #[error("the body took too long")]
    TooSlow,
    #[error("the body is cut short")]
    CutShort,
    #[error("too much is under way, try again")]
    NoRoom,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Refusal::NoToken | Refusal::OnlyInQuery | Refusal::WrongToken => {
                StatusCode::UNAUTHORIZED
            }
            Refusal::NoSuchPath => StatusCode::NOT_FOUND,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::CutShort => StatusCode::BAD_REQUEST,
            Refusal::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer with the headers that go with the refusal in HTTP.
    pub(super) fn complete(self, mut answer: Answer) -> Answer {
        let extra = match self {
            Refusal::NoToken | Refusal::OnlyInQuery | Refusal::WrongToken => {
                (WWW_AUTHENTICATE, "Bearer")
            }
            Refusal::TooLarge | Refusal::TooSlow => (CONNECTION, "close"),
            Refusal::NoRoom => (RETRY_AFTER, "10"),
            Refusal::NoSuchPath | Refusal::CutShort => return answer,
        };
        let value = HeaderValue::from_static(extra.1);
        answer.headers_mut().insert(extra.0, value);
        answer
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Refusal {
        match unreadable {
            Unreadable::TooLarge => Refusal::TooLarge,
            Unreadable::TooSlow => Refusal::TooSlow,
            Unreadable::NoRoom => Refusal::NoRoom,
            Unreadable::Broken => Refusal::CutShort,
        }
    }
}
