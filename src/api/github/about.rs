//! What is known of users and repositories: of a user the token's name, of a repository what its
//! newest event says.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::{Answer, json as json_answer};
use super::hooks::base;
use crate::event::Event;
use crate::hook::Repository;
use crate::plan::mend_surrogates;
use crate::queue::Filter;

/// So many looks into the history are taken for an event; each is short.
const LOOKS: usize = 20;

/// Who calls.
pub(super) fn user(call: &Call<'_>) -> Answer {
    json_answer(StatusCode::OK, who(call).to_string())
}

/// A repository that the token administers.
pub(super) async fn repository(call: &Call<'_>, repository: &Repository) -> Answer {
    let mut shown = known(call, repository).await;
    let url = format!("{}/repos/{}", base(call), repository.name);
    shown["hooks_url"] = json!(format!("{url}/hooks"));
    shown["url"] = json!(url);
    shown["permissions"] = json!({ "admin": true, "push": true, "pull": true });
    json_answer(StatusCode::OK, shown.to_string())
}

/// The token's name, as the user that it stands for.
pub(super) fn who(call: &Call<'_>) -> Value {
    json!({ "login": call.token.name, "type": "User" })
}

/// The repository as its newest event tells it; without any, its name alone.
pub(super) async fn known(call: &Call<'_>, repository: &Repository) -> Value {
    let event = newest(call, repository, None).await;
    let payload =
        event.and_then(|event| serde_json::from_slice::<Value>(&mend_surrogates(&event.body)).ok());
    let told = payload.and_then(|mut payload| match payload["repository"].take() {
        Value::Object(told) => Some(told),
        _ => None,
    });
    let (owner, name) = repository.name.split_once('/').unwrap_or_default();
    let mut shown: Map<String, Value> = told.unwrap_or_default();
    let known = [
        ("name", json!(name)),
        ("full_name", json!(repository.name)),
        ("owner", json!({ "login": owner })),
    ];
    for (key, value) in known {
        shown.entry(key).or_insert(value);
    }
    shown.into()
}

/// The repository's newest event that is kept, of this name if one is given.
pub(super) async fn newest(
    call: &Call<'_>,
    repository: &Repository,
    name: Option<&str>,
) -> Option<Event> {
    let filter = Filter {
        source: Some(repository.source.to_string()),
        event: name.map(str::to_owned),
        repo: Some(repository.name.clone()),
        ..Filter::default()
    };
    let queue = &call.means.queue;
    let mut cursor = None;
    for _ in 0..LOOKS {
        let found = queue.find(filter.clone(), cursor, 1).await.ok()?;
        if let Some(delivery) = found.deliveries.first() {
            return queue.event(delivery.event).await.ok()?;
        }
        cursor = Some(found.next?);
    }
    None
}
