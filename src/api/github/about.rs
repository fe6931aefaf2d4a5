//! What is known of users and repositories: of a user the token's name, of a repository what its
//! newest event says.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::known::payload_of;
use super::super::{Answer, json as json_answer};
use super::hooks::base;
use crate::hook::Repository;

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
    let told = payload_of(call, repository).await;
    let (owner, name) = repository.name.split_once('/').unwrap_or_default();
    let mut shown = told.unwrap_or_default();
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
