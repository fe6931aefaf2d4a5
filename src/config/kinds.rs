//! Checks what is particular to each kind of destination.

use super::check::Check;
use super::keys::Keys;
use super::layers::Node;
use super::problem::Found;
use super::shapes::{COLOR, CONTENT_TYPE, THREAD};
use crate::destination::{ContentType, DingTalk, Discord, Gogs, Kind, SecretUrl, Slack};

const KINDS: [&str; 5] = ["slack", "discord", "dingtalk", "gogs", "console"];

/// Exactly one key says what kind of destination it is.
pub(super) fn kind(keys: &mut Keys<'_>) -> Option<Kind> {
    let check = keys.check;
    let given = KINDS.map(|kind| (kind, keys.optional(kind)));
    let mut given = given
        .into_iter()
        .filter_map(|(kind, node)| Some((kind, node?)));
    let Some((kind, node)) = given.next() else {
        if !keys.misspelt(&KINDS) {
            let found = Found::error(&keys.node.key, "this destination has no kind");
            check.report(found.hint("add one of slack, discord, dingtalk, gogs and console"));
        }
        return None;
    };
    for (other, node) in given {
        let found = Found::error(&node.key, format!("`{other}` cannot stand beside `{kind}`"));
        check.report(found.hint("a destination has one kind; make another one for the second"));
    }
    match kind {
        "slack" => slack(check, node).map(Kind::Slack),
        "discord" => discord(check, node).map(Kind::Discord),
        "dingtalk" => dingtalk(check, node).map(Kind::DingTalk),
        "gogs" => gogs(check, node).map(Kind::Gogs),
        _ => {
            check.keys(node)?.finish();
            Some(Kind::Console)
        }
    }
}

fn slack(check: &Check<'_>, node: &Node) -> Option<Slack> {
    let mut keys = check.keys(node)?;
    let mut text = |key| keys.optional(key).and_then(|node| check.free_text(node));
    let channel = text("channel");
    let username = text("username");
    let icon_url = picture(&mut keys, "icon_url");
    let color = keys.shaped_if_given("color", &COLOR);
    let url = keys.required("url").and_then(|node| check.url(node));
    keys.finish();
    Some(Slack {
        url: url?,
        channel,
        username,
        icon_url,
        color,
    })
}

fn discord(check: &Check<'_>, node: &Node) -> Option<Discord> {
    let mut keys = check.keys(node)?;
    let username = keys
        .optional("username")
        .and_then(|node| discord_name(check, node));
    let avatar_url = picture(&mut keys, "avatar_url");
    let color = keys.shaped_if_given("color", &COLOR);
    let thread_id = keys.shaped_if_given("thread_id", &THREAD);
    let url = keys
        .required("url")
        .and_then(|node| not_slacks(check, node));
    keys.finish();
    Some(Discord {
        url: url?,
        username,
        avatar_url,
        color,
        thread_id,
    })
}

fn dingtalk(check: &Check<'_>, node: &Node) -> Option<DingTalk> {
    let mut keys = check.keys(node)?;
    let secret = keys.optional("secret").and_then(|node| check.secret(node));
    let url = keys.required("url").and_then(|node| {
        let url = not_slacks(check, node)?;
        let mut query = url.expose().query_pairs();
        if query.any(|(name, token)| name == "access_token" && !token.is_empty()) {
            return Some(url);
        }
        let found = Found::error(&node.place, "this URL of DingTalk has no access_token");
        check.report(found.hint("copy it whole, with everything behind the question mark"));
        None
    });
    keys.finish();
    Some(DingTalk { url: url?, secret })
}

fn gogs(check: &Check<'_>, node: &Node) -> Option<Gogs> {
    let mut keys = check.keys(node)?;
    let secret = keys.optional("secret").and_then(|node| check.secret(node));
    let given = keys.shaped_if_given("content_type", &CONTENT_TYPE);
    let url = keys
        .required("url")
        .and_then(|node| not_slacks(check, node));
    keys.finish();
    Some(Gogs {
        url: url?,
        secret,
        content_type: given.unwrap_or(ContentType::Json),
    })
}

/// The URL of a picture, as the service gets to see it.
fn picture(keys: &mut Keys<'_>, key: &'static str) -> Option<String> {
    let node = keys.optional(key)?;
    Some(keys.check.url(node)?.expose_text().to_owned())
}

/// A URL that is not one of Slack's, pasted into the wrong place.
fn not_slacks(check: &Check<'_>, node: &Node) -> Option<SecretUrl> {
    let url = check.url(node)?;
    if url.expose().host_str() == Some("hooks.slack.com") {
        let found = Found::error(&node.place, "this is a URL of Slack");
        check.report(found.hint("put it under `slack`"));
        return None;
    }
    Some(url)
}

/// Discord answers 400 to every message under a name that it does not allow.
fn discord_name(check: &Check<'_>, node: &Node) -> Option<String> {
    let name = check.free_text(node)?;
    let lower = name.to_lowercase();
    let fault = if name.chars().count() > 80 {
        "Discord takes names of at most 80 characters"
    } else if lower.contains("discord") || lower.contains("clyde") {
        "Discord refuses names that contain “discord” or “clyde”"
    } else {
        return Some(name);
    };
    check.report(Found::error(&node.place, fault));
    None
}
