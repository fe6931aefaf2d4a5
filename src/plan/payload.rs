//! Reads a payload of any version of Gogs, and evens out what differs between them or is wrong.

use serde_json::{Map, Value};

use super::surrogates::mend_surrogates;

/// The payload as an object: HTML entities in names undone, zero times null, the field names of
/// old versions supplied under today's names. Missing fields stay missing.
pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mended = mend_surrogates(body);
    // A text needs no second look at each string in it.
    let mut payload: Map<String, Value> = match std::str::from_utf8(&mended) {
        Ok(text) => serde_json::from_str(text)?,
        Err(_) => serde_json::from_slice(&mended)?,
    };
    payload.remove("secret");
    for (name, value) in &mut payload {
        tidy(name, value);
    }
    Ok(payload)
}

/// The text at `path`, unless it is empty.
pub(super) fn text<'a>(payload: &'a Map<String, Value>, path: &[&str]) -> Option<&'a str> {
    let text = find(payload, path)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// The value at `path`, unless it is null.
pub(super) fn find<'a>(payload: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let mut value = payload.get(*first)?;
    for name in rest {
        value = value.get(name)?;
    }
    (!value.is_null()).then_some(value)
}

fn tidy(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.starts_with("0001-01-01T00:00:00") && is_time(name) {
                *value = Value::Null;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(name, item)),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                tidy(name, member);
            }
            tidy_object(name, members);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_time(name: &str) -> bool {
    name.ends_with("_at") || name == "timestamp" || name == "due_on"
}

fn tidy_object(name: &str, members: &mut Map<String, Value>) {
    match name {
        "sender" | "pusher" | "user" | "owner" | "assignee" | "merged_by" => {
            undo_entities(members, "full_name");
            // Up to 0.9 a pusher had `name`, a sender `login` alone.
            supply(members, "username", &["login", "name"]);
            supply(members, "login", &["username"]);
        }
        "author" | "committer" => {
            undo_entities(members, "full_name");
            let sent = members.get("name").cloned();
            if undo_entities(members, "name") {
                members.insert("name_as_sent".to_owned(), sent.unwrap_or_default());
            }
        }
        "repository" | "forkee" | "head_repo" | "base_repo" | "parent" => {
            supply(members, "html_url", &["url"]);
            supply_full_name(members);
        }
        "labels" => {
            // Up to 0.10 colours had a hash sign.
            if let Some(Value::String(color)) = members.get_mut("color")
                && color.starts_with('#')
            {
                color.remove(0);
            }
        }
        _ => {}
    }
}

/// Whether there were any.
fn undo_entities(members: &mut Map<String, Value>, name: &str) -> bool {
    let Some(Value::String(text)) = members.get_mut(name) else {
        return false;
    };
    if !text.contains('&') {
        return false;
    }
    let undone = html_escape::decode_html_entities(text.as_str()).into_owned();
    let differs = undone != *text;
    *text = undone;
    differs
}

/// Fills `name` from the first of `others` that has a text, if it has none itself.
fn supply(members: &mut Map<String, Value>, name: &str, others: &[&str]) {
    if text(members, &[name]).is_some() {
        return;
    }
    let found = others.iter().find_map(|other| text(members, &[other]));
    if let Some(found) = found.map(Value::from) {
        members.insert(name.to_owned(), found);
    }
}

fn supply_full_name(repository: &mut Map<String, Value>) {
    if text(repository, &["full_name"]).is_some() {
        return;
    }
    let owner = text(repository, &["owner", "username"]);
    if let (Some(owner), Some(name)) = (owner, text(repository, &["name"])) {
        let full_name = format!("{owner}/{name}");
        repository.insert("full_name".to_owned(), full_name.into());
    }
}
