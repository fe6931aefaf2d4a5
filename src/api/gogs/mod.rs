//! Gogs' API at `/api/v1`, as Gogs 0.14 answers it, but for the deviations that docs/hook-apis.md
//! gives the reasons of. This file is the map: which path is answered where, and every error.

mod about;
mod binding;
mod config;
mod hooks;
mod shapes;

use hyper::{Method, StatusCode};
use serde::Serialize;

use super::call::Call;
use super::refusal::Refusal;
use super::{Answer, json};
use crate::queue::QueueError;

use binding::Unbound;
use shapes::encoded;

/// The answer to a call.
pub(super) async fn answer(call: &Call<'_>) -> Answer {
    route(call).await.unwrap_or_else(|fault| fault.answer())
}

/// The answer to what never became a call.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    error(refusal.status(), &refusal.to_string())
}

async fn route(call: &Call<'_>) -> Result<Answer, Fault> {
    let mut path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    // As in Gogs, one slash at the end makes no difference.
    if path.last() == Some(&"") {
        path.pop();
    }
    match (&call.method, path.as_slice()) {
        (&Method::GET, ["user"]) => Ok(about::user(call)),
        (&Method::GET, ["version"]) => Ok(about::version()),
        (method, ["repos", owner, name, rest @ ..]) => {
            let repository = call.repository(owner, name).ok_or(Fault::NotFound)?;
            match (method, rest) {
                (&Method::GET, []) => about::repository(call, &repository).await,
                (&Method::GET, ["hooks"]) => Ok(hooks::list(call, &repository)),
                (&Method::POST, ["hooks"]) => hooks::create(call, repository).await,
                (&Method::GET, ["hooks", id]) => hooks::get(call, &repository, id),
                (&Method::PATCH, ["hooks", id]) => hooks::edit(call, repository, id).await,
                (&Method::DELETE, ["hooks", id]) => hooks::delete(call, repository, id).await,
                _ => Err(Fault::NotFound),
            }
        }
        _ => Err(Fault::NotFound),
    }
}

/// Why a call fails.
#[derive(Debug)]
enum Fault {
    NotFound,
    /// In Gogs' words where it has some.
    Unprocessable(String),
    /// The body does not become what the call needs.
    Unbound(Unbound),
    Queue(QueueError),
}

impl Fault {
    fn answer(&self) -> Answer {
        match self {
            Fault::NotFound => error(StatusCode::NOT_FOUND, "Not found."),
            Fault::Unprocessable(message) => error(StatusCode::UNPROCESSABLE_ENTITY, message),
            Fault::Unbound(unbound) => unbound.answer(),
            // Larger than what is stored as one.
            Fault::Queue(QueueError::Refused(words)) => {
                let message = format!("The hook cannot be stored: {words}.");
                error(StatusCode::UNPROCESSABLE_ENTITY, &message)
            }
            Fault::Queue(reason) => {
                let message = format!("cannot store it now: {reason}");
                error(StatusCode::SERVICE_UNAVAILABLE, &message)
            }
        }
    }
}

/// The shape of errors in Gogs. It has nothing but the status where one is not an error of its
/// handlers; clients that read the message are better off with one.
fn error(status: StatusCode, message: &str) -> Answer {
    #[derive(Serialize)]
    struct Error<'a> {
        message: &'a str,
        url: &'static str,
    }
    let url = "https://github.com/gogs/docs-api";
    json(status, encoded(&Error { message, url }))
}
