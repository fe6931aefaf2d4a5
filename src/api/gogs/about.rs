//! What clients ask before they come to hooks: who am I, what is this, is there such a repository.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::known::payload_of;
use super::super::{Answer, json as answer};
use super::Fault;
use super::shapes::encoded;
use crate::hook::Repository;

/// The Gogs whose API this is, and behind the + what answers.
const VERSION: &str = concat!("0.14.3+gogs-relay.", env!("CARGO_PKG_VERSION"));

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
    let told = payload_of(call, repository).await;
    let mut shown = told.map_or_else(|| minimal(&repository.name), Value::Object);
    // Payloads leave it out; who may do what here is what the token says.
    shown["permissions"] = json!({ "admin": true, "push": true, "pull": true });
    Ok(answer(StatusCode::OK, encoded(&shown)))
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
