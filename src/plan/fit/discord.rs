//! Discord: one text over a limit, or one empty one, and it refuses the whole message.

use serde_json::{Map, Value, json};

use super::cut::{cut, length};
use super::{Place, colour, dress, is_web, leave_out_bad_url, prune, settle, shorten};
use crate::destination::Discord;
use crate::plan::escape::{Format, Label};
use crate::plan::neutral::discord_raw;

const CONTENT: usize = 2000;
const EMBEDS: usize = 10;
const TITLE: usize = 256;
const DESCRIPTION: usize = 4096;
const FIELDS: usize = 25;
const FIELD_NAME: usize = 256;
const FIELD_VALUE: usize = 1024;
const FOOTER: usize = 2048;
const AUTHOR: usize = 256;
/// Of all embeds' texts together.
const TOTAL: usize = 6000;
const USERNAME: usize = 80;
const URL: usize = 2048;
/// Discord refuses an empty field; Gogs writes this for a list without labels.
const EMPTY: &str = "<empty>";

/// Fits a message.
///
/// # Errors
/// It shows nothing.
pub(super) fn fit(
    message: &mut Map<String, Value>,
    settings: Option<&Discord>,
    more: Option<&str>,
) -> Result<(), String> {
    if let Some(settings) = settings {
        dress(message, "username", settings.username.as_ref());
        dress(message, "avatar_url", settings.avatar_url.as_ref());
    }
    let colour = settings.and_then(|settings| settings.color.as_deref());
    fit_text(message, "content", Place::Formatted, CONTENT);
    fit_text(message, "username", Place::Plain, USERNAME);
    fit_text(message, "thread_name", Place::Plain, 100);
    fit_url(message, "avatar_url");
    if message
        .get("username")
        .and_then(Value::as_str)
        .is_some_and(is_forbidden_name)
    {
        message.remove("username");
    }
    if let Some(Value::Array(embeds)) = message.get_mut("embeds") {
        let say = |words: &str| Value::from(link_to(words, more));
        shorten(embeds, EMBEDS, |words| json!({"description": say(words)}));
        for embed in embeds.iter_mut().filter_map(Value::as_object_mut) {
            fit_embed(embed, colour, more);
        }
        leave_out_repeated_urls(embeds);
        fit_total(embeds, more);
    }
    for member in message.values_mut() {
        settle_rest(member);
    }
    prune(message);
    allow_no_mentions(message);
    let embeds = message.get("embeds").and_then(Value::as_array);
    let has_embeds = embeds.is_some_and(|embeds| !embeds.is_empty());
    let shows = ["content", "components", "poll"]
        .iter()
        .any(|name| message.contains_key(*name));
    match shows || has_embeds {
        true => Ok(()),
        false => Err("the message shows nothing".to_owned()),
    }
}

fn link_to(words: &str, more: Option<&str>) -> String {
    match more {
        Some(url) => Format::Discord.link(words, url, Label::Plain),
        None => words.to_owned(),
    }
}

/// Ids that the template itself lists may be reached; what somebody wrote never decides it.
fn allow_no_mentions(message: &mut Map<String, Value>) {
    let mut allowed = Map::new();
    if let Some(Value::Object(own)) = message.get_mut("allowed_mentions") {
        for name in ["users", "roles"] {
            if let Some(ids) = own.remove(name).filter(Value::is_array) {
                allowed.insert(name.to_owned(), ids);
            }
        }
    }
    allowed.insert("parse".to_owned(), json!([]));
    message.insert("allowed_mentions".to_owned(), allowed.into());
}

fn fit_embed(embed: &mut Map<String, Value>, own_colour: Option<&str>, more: Option<&str>) {
    fit_text(embed, "title", Place::Plain, TITLE);
    fit_text(embed, "description", Place::Formatted, DESCRIPTION);
    fit_url(embed, "url");
    for (name, text, limit) in [("author", "name", AUTHOR), ("footer", "text", FOOTER)] {
        if let Some(Value::Object(part)) = embed.get_mut(name) {
            fit_text(part, text, Place::Plain, limit);
            fit_url(part, "url");
            fit_url(part, "icon_url");
            if is_blank(part.get(text)) {
                embed.remove(name);
            }
        }
    }
    for name in ["image", "thumbnail"] {
        if let Some(Value::Object(part)) = embed.get_mut(name) {
            fit_url(part, "url");
        }
    }
    let wanted = own_colour
        .map(Value::from)
        .or_else(|| embed.remove("color"));
    match wanted.as_ref().and_then(colour::parse) {
        Some(number) => embed.insert("color".to_owned(), number.into()),
        None => embed.remove("color"),
    };
    if let Some(Value::Array(fields)) = embed.get_mut("fields") {
        fields
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .for_each(fit_field);
        shorten(fields, FIELDS, |words| more_fields(words, more));
    }
}

fn more_fields(words: &str, more: Option<&str>) -> Value {
    json!({"name": "…", "value": link_to(words, more)})
}

fn fit_field(field: &mut Map<String, Value>) {
    fit_text(field, "name", Place::Plain, FIELD_NAME);
    fit_text(field, "value", Place::Formatted, FIELD_VALUE);
    for name in ["name", "value"] {
        if is_blank(field.get(name)) {
            field.insert(name.to_owned(), EMPTY.into());
        }
    }
}

fn is_blank(text: Option<&Value>) -> bool {
    text.and_then(Value::as_str)
        .is_none_or(|text| text.trim().is_empty())
}

fn fit_text(holder: &mut Map<String, Value>, name: &str, place: Place, limit: usize) {
    let Some(Value::String(text)) = holder.get_mut(name) else {
        return;
    };
    settle(text, place, Format::Discord);
    if place == Place::Plain {
        // Some clients do show a masked link in a title.
        *text = discord_raw(text);
    }
    cut(text, limit, Format::Discord);
}

fn fit_url(holder: &mut Map<String, Value>, name: &str) {
    if let Some(Value::String(url)) = holder.get_mut(name) {
        settle(url, Place::Url, Format::Discord);
    }
    leave_out_bad_url(holder, name, is_taken);
}

/// Discord refuses the message for an address whose host is a bare name.
fn is_taken(text: &str) -> bool {
    let is_full = |url: url::Url| {
        let host = url.host_str().unwrap_or_default();
        is_web(&url) && (host.contains('.') || host.starts_with('['))
    };
    text.len() <= URL && url::Url::parse(text).is_ok_and(is_full)
}

/// What no rule above knows, components for example, takes Markdown.
fn settle_rest(value: &mut Value) {
    match value {
        Value::String(text) => settle(text, Place::Formatted, Format::Discord),
        Value::Array(items) => items.iter_mut().for_each(settle_rest),
        Value::Object(members) => members.values_mut().for_each(settle_rest),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Discord refuses these in a name.
fn is_forbidden_name(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("clyde") || name.contains("discord") || ["everyone", "here"].contains(&&*name)
}

/// Of embeds with the same URL Discord shows the first alone.
fn leave_out_repeated_urls(embeds: &mut [Value]) {
    let mut seen: Vec<Value> = Vec::new();
    for embed in embeds.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(url) = embed.get("url").cloned() {
            if seen.contains(&url) {
                embed.remove("url");
            } else {
                seen.push(url);
            }
        }
    }
}

/// Spends what all embeds may hold together in reading order: of each first what names it, then
/// its text, then its fields.
fn fit_total(embeds: &mut [Value], more: Option<&str>) {
    let mut left = TOTAL;
    for embed in embeds.iter_mut().filter_map(Value::as_object_mut) {
        let spent: usize = [("title", ""), ("author", "name"), ("footer", "text")]
            .iter()
            .map(|(name, inner)| length_of(embed.get(*name), inner))
            .sum();
        if spent > left {
            embed.clear();
            continue;
        }
        left -= spent;
        if let Some(Value::String(description)) = embed.get_mut("description") {
            cut(description, left, Format::Discord);
            left -= length(description);
        }
        if let Some(Value::Array(fields)) = embed.get_mut("fields") {
            left -= fit_fields(fields, left, more);
        }
    }
}

/// Drops fields from the end until they fit; gives what they take.
fn fit_fields(fields: &mut Vec<Value>, left: usize, more: Option<&str>) -> usize {
    let size = |field: &Value| length_of(field.get("name"), "") + length_of(field.get("value"), "");
    let total = |fields: &[Value]| fields.iter().map(size).sum::<usize>();
    if total(fields) <= left {
        return total(fields);
    }
    for kept in (0..fields.len()).rev() {
        let rest = more_fields(&format!("… and {} more", fields.len() - kept), more);
        let taken = total(&fields[..kept]) + size(&rest);
        if taken <= left {
            fields.truncate(kept);
            fields.push(rest);
            return taken;
        }
    }
    fields.clear();
    0
}

fn length_of(value: Option<&Value>, inner: &str) -> usize {
    let text = match (value, inner) {
        (Some(Value::String(text)), _) => Some(text.as_str()),
        (Some(Value::Object(part)), inner) => part.get(inner).and_then(Value::as_str),
        _ => None,
    };
    text.map_or(0, length)
}
