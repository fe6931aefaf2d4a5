//! What Gogs' API shows, with its keys in its order and written as Go writes JSON. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::hook::{Hook, HookKind};

pub(super) use crate::event::GOGS_EVENTS as EVENTS;

/// A hook, with everything but its secret.
#[derive(Serialize)]
pub(super) struct ShownHook<'a> {
    id: u64,
    r#type: &'static str,
    config: BTreeMap<&'static str, &'a str>,
    events: Vec<&'static str>,
    active: bool,
    updated_at: String,
    created_at: String,
}

impl<'a> ShownHook<'a> {
    pub(super) fn of(hook: &'a Hook) -> ShownHook<'a> {
        let wanted = |event: &&&str| hook.events.iter().any(|it| it == **event || it == "*");
        ShownHook {
            id: hook.id,
            r#type: match hook.kind {
                // Gogs has no such kind; a hook with a URL, a content type and a secret is its own.
                HookKind::GitHub => HookKind::Gogs.name(),
                kind => kind.name(),
            },
            config: config(hook),
            events: EVENTS.iter().filter(wanted).copied().collect(),
            active: hook.active,
            updated_at: seconds(hook.updated),
            created_at: seconds(hook.created),
        }
    }
}

fn config(hook: &Hook) -> BTreeMap<&'static str, &str> {
    let config = &hook.config;
    let mut shown = BTreeMap::from([
        ("url", config.url.expose_text()),
        ("content_type", config.content_type.name()),
    ]);
    let settings = [
        ("channel", &config.channel),
        ("username", &config.username),
        ("icon_url", &config.icon_url),
        ("color", &config.color),
    ];
    for (key, value) in settings {
        match (hook.kind, value) {
            // Gogs has all of them for Slack, empty where they were not given.
            (HookKind::Slack, value) => shown.insert(key, value.as_deref().unwrap_or_default()),
            (HookKind::Discord, Some(value)) => shown.insert(key, value),
            _ => continue,
        };
    }
    shown
}

/// RFC 3339 without fractions, as Gogs has it.
fn seconds(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => time.to_string(),
    }
}

/// JSON as Go writes it.
pub(super) fn encoded(shown: &impl Serialize) -> String {
    // Maps with keys of text and without fallible parts always serialise.
    let text = serde_json::to_string(shown).unwrap_or_default();
    // None of these is JSON's own, so they stand within texts alone.
    let escaped = [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    let escape = |text: String, (sign, escape): (char, &str)| match text.contains(sign) {
        true => text.replace(sign, escape),
        false => text,
    };
    escaped.into_iter().fold(text, escape)
}
