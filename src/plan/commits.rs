//! The commits of a push that a message shows, each with what a line about it says.

use handlebars::JsonTruthy;
use serde_json::{Map, Value};

use super::helpers::shown;
use super::payload::find;
use super::values::{first_line_of, short_of, truncated};

/// So many commits are in `latest_commits`.
pub(super) const LATEST: usize = 10;

/// A commit's title is cut to so many characters.
const TITLE: usize = 100;

/// At most ten of the commits, newest last; Gogs lists the newest first.
pub(super) fn latest(payload: &Map<String, Value>) -> Value {
    let commits = find(payload, &["commits"]).and_then(Value::as_array);
    let latest = commits.into_iter().flatten().take(LATEST).map(in_words);
    let mut latest: Vec<Value> = latest.collect();
    latest.reverse();
    Value::Array(latest)
}

/// The commit with `short_id`, `title` and `author_name`.
fn in_words(commit: &Value) -> Value {
    let mut members = commit.as_object().cloned().unwrap_or_default();
    let part = |name: &str| members.get(name).map(shown).unwrap_or_default();
    let short_id = Value::from(short_of(&part("id")));
    let title = match first_line_of(&part("message")) {
        "" => Value::from("(no message)"),
        line => truncated(line, TITLE, false).into(),
    };
    let author = |name: &str| commit.pointer(&format!("/author/{name}"));
    let names = [author("name"), author("username")].into_iter().flatten();
    let name = names.into_iter().find(|name| name.is_truthy(true)).cloned();
    let author_name = name.unwrap_or_else(|| "unknown".into());
    for (name, word) in [
        ("short_id", short_id),
        ("title", title),
        ("author_name", author_name),
    ] {
        members.insert(name.to_owned(), word);
    }
    members.into()
}
