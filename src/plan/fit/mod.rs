//! Makes what a template rendered into a body that the service takes: within its limits, without
//! what it refuses, dressed in the destination's own settings.

mod colour;
mod cut;
mod dingtalk;
mod discord;
mod slack;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::escape::{Format, MARK};
use super::text;
use crate::destination::{Discord, Kind, Slack};

/// What a body is fitted for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Slack(Option<&'a Slack>),
    Discord(Option<&'a Discord>),
    DingTalk,
    Gogs,
    Console,
}

impl<'a> From<&'a Kind> for Target<'a> {
    fn from(kind: &'a Kind) -> Target<'a> {
        match kind {
            Kind::Slack(settings) => Target::Slack(Some(settings)),
            Kind::Discord(settings) => Target::Discord(Some(settings)),
            Kind::DingTalk(_) => Target::DingTalk,
            Kind::Gogs(_) | Kind::GitHub(_) | Kind::WebSub(_) => Target::Gogs,
            Kind::Console => Target::Console,
        }
    }
}

/// Fits `rendered` for `target`. `more` is where all of it can be seen.
///
/// # Errors
/// Why it cannot be sent, in words: not JSON, or nothing to show.
pub(super) fn fit(rendered: &str, target: Target<'_>, more: Option<&str>) -> Result<Bytes, String> {
    if let Target::Gogs = target {
        let _valid: serde::de::IgnoredAny =
            serde_json::from_str(rendered).map_err(|error| not_json(&error))?;
        return Ok(Bytes::from(rendered.trim().to_owned()));
    }
    let mut message: Map<String, Value> =
        serde_json::from_str(rendered).map_err(|error| not_json(&error))?;
    match target {
        Target::Discord(settings) => discord::fit(&mut message, settings, more)?,
        Target::DingTalk => dingtalk::fit(&mut message, more)?,
        Target::Slack(settings) => slack::fit(&mut message, settings, more)?,
        Target::Console | Target::Gogs => slack::fit(&mut message, None, more)?,
    }
    match target {
        Target::Console => Ok(Bytes::from(text::of_slack(&message, more))),
        _ => serde_json::to_vec(&message)
            .map(Bytes::from)
            .map_err(|error| error.to_string()),
    }
}

/// Says in what way a text is not JSON.
pub(super) fn not_json(error: &serde_json::Error) -> String {
    let error = error.to_string();
    // The place is one in what was rendered, which nobody sees.
    let what = error.split(" at line ").next().unwrap_or_default();
    let hint = match what.contains("control character") {
        true => "; write \\n for a line break inside a text",
        false => "",
    };
    format!("what it renders is not a JSON object: {what}{hint}")
}

/// What becomes of the marks that the escapes left before formatting characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Formatting works here: the mark becomes what keeps it off.
    Formatted,
    /// Formatting does not work here: the mark goes.
    Plain,
    /// An address.
    Url,
}

/// Settles the marks of a text.
fn settle(text: &mut String, place: Place, format: Format) {
    if place == Place::Url && format == Format::Slack && text.contains('&') {
        *text = text
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
    }
    if !text.contains(MARK) {
        return;
    }
    let with = match (place, format) {
        (Place::Formatted, Format::Discord | Format::DingTalk) => "\\",
        (Place::Formatted, _) => "\u{200b}",
        (Place::Plain | Place::Url, _) => "",
    };
    *text = text.replace(MARK, with);
}

/// Cuts a list to `most`, the last of which says how many more there are.
fn shorten(items: &mut Vec<Value>, most: usize, say: impl Fn(&str) -> Value) {
    if items.len() > most {
        let hidden = items.len() - (most - 1);
        items.truncate(most - 1);
        items.push(say(&format!("… and {hidden} more")));
    }
}

/// Leaves out empty texts and nulls, and objects that have nothing else, all the way down.
fn prune(members: &mut Map<String, Value>) {
    members.retain(|_, member| !is_nothing(member));
}

fn is_nothing(value: &mut Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Object(members) => {
            prune(members);
            members.is_empty() || is_hollow(members)
        }
        Value::Array(items) => {
            items.retain_mut(|item| !is_nothing(item));
            false
        }
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether this is one of Slack's blocks or text objects without the text that it needs.
fn is_hollow(members: &Map<String, Value>) -> bool {
    let lacks = |names: &[&str]| !names.iter().any(|name| members.contains_key(*name));
    match members.get("type").and_then(Value::as_str) {
        Some("mrkdwn" | "plain_text" | "header" | "markdown") => lacks(&["text"]),
        Some("section") => lacks(&["text", "fields"]),
        Some("context") => members
            .get("elements")
            .is_none_or(|list| *list == Value::Array(vec![])),
        _ => false,
    }
}

fn leave_out_bad_url(holder: &mut Map<String, Value>, name: &str, is_good: impl Fn(&str) -> bool) {
    if holder.contains_key(name) && !holder[name].as_str().is_some_and(is_good) {
        holder.remove(name);
    }
}

fn is_web(url: &url::Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Puts a setting of the destination in where the template did not write its own.
fn dress(message: &mut Map<String, Value>, name: &str, setting: Option<&String>) {
    let has_own = message
        .get(name)
        .and_then(Value::as_str)
        .is_some_and(|own| !own.is_empty());
    if let Some(setting) = setting
        && !has_own
    {
        message.insert(name.to_owned(), setting.as_str().into());
    }
}
