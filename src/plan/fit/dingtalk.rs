//! DingTalk: a message of so many bytes and no more, with a title wherever it wants one, and a card
//! that leads somewhere.

use serde_json::{Map, Value, json};

use super::cut::{cut, length};
use super::{Place, is_web, leave_out_bad_url, prune, settle};
use crate::plan::escape::Format;

/// Of the whole body, in bytes.
const BODY: usize = 20_000;
/// The lists of chats show no more.
const TITLE: usize = 128;
const BUTTON: usize = 64;
const URL: usize = 2048;
/// DingTalk refuses a message without a title.
const NO_TITLE: &str = "Gogs";

/// Fits a message.
///
/// # Errors
/// It shows nothing, or not in DingTalk's form.
pub(super) fn fit(message: &mut Map<String, Value>, more: Option<&str>) -> Result<(), String> {
    let kind = message.get("msgtype").and_then(Value::as_str);
    let kind = kind.ok_or("the message has no `msgtype`")?.to_owned();
    let place = match kind.as_str() {
        "markdown" | "actionCard" => Place::Formatted,
        _ => Place::Plain,
    };
    if let Some(inside) = message.get_mut(&kind) {
        visit(inside, place);
    }
    prune(message);
    let kind = match kind.as_str() {
        "actionCard" => lead_somewhere(message, more),
        kind => kind,
    };
    let inside = message.get_mut(kind).and_then(Value::as_object_mut);
    let inside = inside.ok_or_else(|| format!("the message shows nothing: no `{kind}`"))?;
    let shown = match kind {
        "text" => "content",
        "feedCard" => "links",
        _ => "text",
    };
    if !inside.contains_key(shown) {
        return Err(format!("the message shows nothing: no `{kind}.{shown}`"));
    }
    if matches!(kind, "markdown" | "actionCard" | "link") {
        inside.entry("title").or_insert_with(|| NO_TITLE.into());
    }
    let kind = kind.to_owned();
    cut_to_size(message, &kind, shown)
}

/// Settles marks, cuts what names something, and leaves out addresses that are none.
fn visit(value: &mut Value, place: Place) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, place)),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match (member, name.as_str()) {
                    (Value::String(text), name) if is_address(name) => {
                        settle(text, Place::Url, Format::DingTalk);
                    }
                    (Value::String(text), "title" | "singleTitle") => {
                        settle(text, Place::Plain, Format::DingTalk);
                        let limit = if name == "title" { TITLE } else { BUTTON };
                        cut(text, limit, Format::DingTalk);
                    }
                    (Value::String(text), _) => settle(text, place, Format::DingTalk),
                    (member, _) => visit(member, place),
                }
            }
            let names: Vec<String> = members
                .keys()
                .filter(|name| is_address(name))
                .cloned()
                .collect();
            for name in names {
                leave_out_bad_url(members, &name, is_taken);
            }
        }
        _ => {}
    }
}

fn is_address(name: &str) -> bool {
    name.ends_with("URL") || name.ends_with("Url")
}

fn is_taken(text: &str) -> bool {
    text.len() <= URL && url::Url::parse(text).is_ok_and(|url| is_web(&url))
}

/// A card without a button is refused: it gets one to where all can be seen, or becomes a plain
/// message.
fn lead_somewhere(message: &mut Map<String, Value>, more: Option<&str>) -> &'static str {
    let Some(Value::Object(card)) = message.get_mut("actionCard") else {
        return "actionCard";
    };
    if card.contains_key("btns") {
        return "actionCard";
    }
    if let Some(url) = more.filter(|url| is_taken(url)) {
        card.entry("singleURL").or_insert_with(|| url.into());
    }
    if card.contains_key("singleURL") {
        card.entry("singleTitle").or_insert_with(|| "Open".into());
        return "actionCard";
    }
    let shown = [
        ("title", card.remove("title")),
        ("text", card.remove("text")),
    ];
    let shown = shown
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?)));
    let shown: Map<String, Value> = shown.collect();
    message.remove("actionCard");
    message.insert("msgtype".to_owned(), json!("markdown"));
    message.insert("markdown".to_owned(), shown.into());
    "markdown"
}

/// Cuts the text until the whole body is short enough.
fn cut_to_size(message: &mut Map<String, Value>, kind: &str, shown: &str) -> Result<(), String> {
    loop {
        let size = serde_json::to_vec(message).map_or(usize::MAX, |body| body.len());
        if size <= BODY {
            return Ok(());
        }
        let text = match message
            .get_mut(kind)
            .and_then(|inside| inside.get_mut(shown))
        {
            Some(Value::String(text)) if !text.is_empty() => text,
            _ => return Err(format!("the message is longer than {BODY} bytes")),
        };
        // By as much as the rest allows, and at least by something.
        let units = length(text);
        cut(text, (units * BODY / size).min(units - 1), Format::DingTalk);
    }
}
