//! What clients ask before they come to hooks: who am I, what is this, is there such a repository.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::warn;

use super::super::call::Call;
use super::super::{Answer, json as answer};
use super::Fault;
use super::shapes::encoded;
use crate::hook::Repository;
use crate::plan::mend_surrogates;
use crate::queue::Filter;

/// The Gogs whose API this is, and behind the + what answers.
const VERSION: &str = concat!("0.14.3+gogs-relay.", env!("CARGO_PKG_VERSION"));

/// So often a search of 25 ms may go on for the newest event of a repository.
const SEARCHES: usize = 4;

#[derive(Serialize)]
struct ShownUser<'a> {
    id: i64,
    username: &'a str,
    login: &'a str,
    full_name: &'a str,
    email: &'a str,
    avatar_url: &'a str,
}

fn shown_user(name: &str) -> ShownUser<'_> {
    ShownUser {
        id: 0,
        username: name,
        login: name,
        full_name: "",
        email: "",
        avatar_url: "",
    }
}

/// A user with the token's name.
pub(super) fn user(call: &Call<'_>) -> Answer {
    answer(StatusCode::OK, encoded(&shown_user(&call.token.name)))
}

pub(super) fn version() -> Answer {
    answer(StatusCode::OK, encoded(&json!({ "version": VERSION })))
}

/// A repository as its newest event shows it, or with nothing but its name.
pub(super) async fn repository(call: &Call<'_>, repository: &Repository) -> Result<Answer, Fault> {
    let stored = stored(call, repository).await;
    let mut shown = stored.unwrap_or_else(|| minimal(&repository.name));
    // Payloads leave it out; who may do what here is what the token says.
    shown["permissions"] = json!({ "admin": true, "push": true, "pull": true });
    Ok(answer(StatusCode::OK, encoded(&shown)))
}

/// The repository in its newest event that is kept and has one.
async fn stored(call: &Call<'_>, repository: &Repository) -> Option<Value> {
    let queue = &call.means.queue;
    let filter = Filter {
        source: Some(repository.source.to_string()),
        repo: Some(repository.name.clone()),
        ..Filter::default()
    };
    let mut cursor = None;
    for _ in 0..SEARCHES {
        let found = queue.find(filter.clone(), cursor, 1).await;
        let found = found
            .inspect_err(|error| warn!("cannot look for events of a repository: {error}"))
            .ok()?;
        if let Some(delivery) = found.deliveries.first() {
            let event = queue.event(delivery.event).await.ok()??;
            let mut body: Value = serde_json::from_slice(&mend_surrogates(&event.body)).ok()?;
            let stored = body.get_mut("repository").map(Value::take)?;
            return stored.is_object().then_some(stored);
        }
        cursor = Some(found.next?);
    }
    None
}

fn minimal(full_name: &str) -> Value {
    let (owner, name) = full_name.split_once('/').unwrap_or_default();
    json!({
        "id": 0,
        "owner": shown_user(owner),
        "name": name,
        "full_name": full_name,
        "description": "",
        "private": false,
        "fork": false,
        "parent": null,
        "empty": false,
        "mirror": false,
    })
}
