//! Slack: entities and control sequences stay whole, and no name in the text is ever linked.

use serde_json::{Map, Value, json};

use super::cut::cut;
use super::{Place, colour, dress, is_nothing, is_web, leave_out_bad_url, prune, settle, shorten};
use crate::destination::Slack;
use crate::plan::escape::Format;

/// Longer texts Slack cuts itself, wherever that is.
const TEXT: usize = 40_000;
const ATTACHMENTS: usize = 100;
const BLOCKS: usize = 50;
const URL: usize = 3000;
const ICON_URL: usize = 255;
/// What an attachment can link to or show.
const ADDRESSES: [&str; 6] = [
    "title_link",
    "author_link",
    "author_icon",
    "image_url",
    "thumb_url",
    "footer_icon",
];

/// Fits a message.
///
/// # Errors
/// It shows nothing.
pub(super) fn fit(
    message: &mut Map<String, Value>,
    settings: Option<&Slack>,
    more: Option<&str>,
) -> Result<(), String> {
    for (name, member) in message.iter_mut() {
        visit(name, member);
    }
    // Either would turn a name that somebody wrote into a mention.
    message.remove("parse");
    if message
        .get("link_names")
        .is_some_and(|on| on != 0 && on != false)
    {
        message.remove("link_names");
    }
    let say = |words: &str| match more {
        Some(url) => Format::Slack.link(words, url, crate::plan::escape::Label::Plain),
        None => words.to_owned(),
    };
    if let Some(Value::Array(attachments)) = message.get_mut("attachments") {
        shorten(
            attachments,
            ATTACHMENTS,
            |words| json!({"text": say(words)}),
        );
    }
    if let Some(Value::Array(blocks)) = message.get_mut("blocks") {
        shorten(
            blocks,
            BLOCKS,
            |words| json!({"type": "context", "elements": [{"type": "mrkdwn", "text": say(words)}]}),
        );
    }
    leave_out_bad_url(message, "icon_url", |url| is_taken(url, ICON_URL));
    if let Some(settings) = settings {
        dress(message, "channel", settings.channel.as_ref());
        dress(message, "username", settings.username.as_ref());
        dress(message, "icon_url", settings.icon_url.as_ref());
    }
    paint(
        message,
        settings.and_then(|settings| settings.color.as_deref()),
    );
    prune(message);
    match shows_something(message) {
        true => Ok(()),
        false => Err("the message shows nothing".to_owned()),
    }
}

/// Settles marks and cuts texts, all the way down.
fn visit(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => {
            settle(text, place(name), Format::Slack);
            if let Some(limit) = limit(name) {
                cut(text, limit, Format::Slack);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| visit(name, item)),
        Value::Object(members) => {
            let kind = members
                .get("type")
                .and_then(Value::as_str)
                .map(str::to_owned);
            for (name, member) in members.iter_mut() {
                visit(name, member);
            }
            if let Some(kind) = kind {
                fit_block(&kind, members);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn place(name: &str) -> Place {
    match name {
        "title" | "author_name" | "footer" | "fallback" | "username" | "channel" | "alt_text" => {
            Place::Plain
        }
        "url" => Place::Url,
        _ if name.ends_with("_url") || name.ends_with("_link") => Place::Url,
        _ => Place::Formatted,
    }
}

/// Of attachments and the message itself; blocks have their own, lower ones.
fn limit(name: &str) -> Option<usize> {
    match name {
        "text" | "pretext" | "fallback" | "value" => Some(TEXT),
        "title" => Some(1024),
        "footer" => Some(300),
        "author_name" => Some(256),
        "username" | "channel" => Some(80),
        "alt_text" => Some(2000),
        _ => None,
    }
}

/// Block Kit refuses the whole message for one text that is too long.
fn fit_block(kind: &str, block: &mut Map<String, Value>) {
    match kind {
        "section" => {
            cut_text_of(block.get_mut("text"), 3000);
            if let Some(Value::Array(fields)) = block.get_mut("fields") {
                fields.retain_mut(|field| !is_nothing(field));
                fields.truncate(10);
                fields
                    .iter_mut()
                    .for_each(|field| cut_text_of(Some(field), 2000));
            }
        }
        "header" => cut_text_of(block.get_mut("text"), 150),
        "context" | "actions" => {
            let most = if kind == "context" { 10 } else { 25 };
            if let Some(Value::Array(elements)) = block.get_mut("elements") {
                elements.truncate(most);
                elements
                    .iter_mut()
                    .for_each(|element| cut_text_of(Some(element), 2000));
            }
        }
        "markdown" => {
            if let Some(Value::String(text)) = block.get_mut("text") {
                cut(text, 12_000, Format::Slack);
            }
        }
        "plain_text" => {
            if let Some(Value::String(text)) = block.get_mut("text") {
                // Written for mrkdwn by the escape, shown as it stands here.
                *text = text.replace('\u{200b}', "");
            }
        }
        _ => {}
    }
}

fn cut_text_of(object: Option<&mut Value>, limit: usize) {
    if let Some(Value::String(text)) = object.and_then(|object| object.get_mut("text")) {
        cut(text, limit, Format::Slack);
    }
}

/// The destination's colour wins over the template's; one that Slack does not know goes.
fn paint(message: &mut Map<String, Value>, own: Option<&str>) {
    let Some(Value::Array(attachments)) = message.get_mut("attachments") else {
        return;
    };
    for attachment in attachments.iter_mut().filter_map(Value::as_object_mut) {
        let wanted = own.map(Value::from).or_else(|| attachment.remove("color"));
        match wanted.as_ref().and_then(colour::for_slack) {
            Some(colour) => attachment.insert("color".to_owned(), colour.into()),
            None => attachment.remove("color"),
        };
        for name in ADDRESSES {
            leave_out_bad_url(attachment, name, |url| is_taken(url, URL));
        }
    }
}

fn is_taken(text: &str, longest: usize) -> bool {
    text.len() <= longest && url::Url::parse(text).is_ok_and(|url| is_web(&url))
}

fn shows_something(message: &Map<String, Value>) -> bool {
    let has = |holder: &Map<String, Value>, names: &[&str]| {
        names.iter().any(|name| holder.contains_key(*name))
    };
    let list = |name: &str| message.get(name).and_then(Value::as_array);
    has(message, &["text"])
        || list("blocks").is_some_and(|blocks| !blocks.is_empty())
        || list("attachments").is_some_and(|attachments| {
            let visible = [
                "text",
                "title",
                "pretext",
                "fields",
                "blocks",
                "image_url",
                "fallback",
            ];
            let attachments = attachments.iter().filter_map(Value::as_object);
            attachments
                .into_iter()
                .any(|attachment| has(attachment, &visible))
        })
}
