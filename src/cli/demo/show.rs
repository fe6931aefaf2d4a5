//! Messages as a person would see them, on a terminal.

use serde_json::Value;

use crate::cli::paint::{self, tame};
use crate::standin::Received;

/// A message beside the name of where it arrived.
pub(super) fn bubble(name: &str, message: &str) -> String {
    let paint = paint::stdout();
    let label = |line| {
        if line == 0 {
            paint.bold(&format!("{name:>8}"))
        } else {
            " ".repeat(8)
        }
    };
    let lines = message.lines().enumerate();
    let lines: Vec<String> = lines
        .map(|(at, line)| format!("{}{}{line}", label(at), paint.dim(" │ ")))
        .collect();
    lines.join("\n")
}

/// A send that was answered badly on purpose.
pub(super) fn failure(request: &Received) -> String {
    let what = match request.status {
        0 => "closed the connection".to_owned(),
        429 => "answered 429, asking to wait".to_owned(),
        status => format!("answered {status}"),
    };
    paint::stdout().yellow(&format!("({what}; the relay will try again)"))
}

/// Slack's `text` and its attachments.
pub(super) fn slack(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut lines = vec![slack_text(&body["text"])];
    for attachment in body["attachments"].as_array().into_iter().flatten() {
        for part in ["pretext", "title", "text"] {
            lines.push(slack_text(&attachment[part]));
        }
        for field in attachment["fields"].as_array().into_iter().flatten() {
            lines.push(format!(
                "{}: {}",
                slack_text(&field["title"]),
                slack_text(&field["value"])
            ));
        }
    }
    joined(&lines)
}

/// Links as their labels, entities undone.
fn slack_text(text: &Value) -> String {
    let mut rest = text.as_str().unwrap_or("");
    let mut shown = String::new();
    while let Some((before, after)) = rest.split_once('<') {
        let Some((link, behind)) = after.split_once('>') else {
            break;
        };
        shown.push_str(before);
        shown.push_str(link.split_once('|').map_or(link, |(_, label)| label));
        rest = behind;
    }
    shown.push_str(rest);
    shown
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// Discord's `content` and its embeds.
pub(super) fn discord(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut lines = vec![discord_text(&body["content"])];
    for embed in body["embeds"].as_array().into_iter().flatten() {
        lines.push(discord_text(&embed["author"]["name"]));
        lines.push(discord_text(&embed["title"]));
        lines.push(discord_text(&embed["description"]));
        for field in embed["fields"].as_array().into_iter().flatten() {
            lines.push(format!(
                "{}: {}",
                discord_text(&field["name"]),
                discord_text(&field["value"])
            ));
        }
    }
    joined(&lines)
}

/// Masked links as their labels, backslashes undone.
fn discord_text(text: &Value) -> String {
    let mut shown = String::new();
    let mut rest = text.as_str().unwrap_or("").chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => shown.extend(rest.next()),
            ']' if rest.peek() == Some(&'(') => {
                rest.by_ref().find(|&c| c == ')');
            }
            '[' | '`' | '*' => {}
            other => shown.push(other),
        }
    }
    shown
}

/// Gogs' own payload, passed on unchanged: its first members say enough.
pub(super) fn gogs(body: &[u8]) -> String {
    let payload: Value = serde_json::from_slice(body).unwrap_or_default();
    let members = payload.as_object().map_or(0, serde_json::Map::len);
    let repo = payload["repository"]["full_name"].as_str().unwrap_or("");
    format!(
        "{} bytes of Gogs' own JSON about {}, {members} members, signed again",
        body.len(),
        tame(repo)
    )
}

fn joined(lines: &[String]) -> String {
    let lines: Vec<String> = lines
        .iter()
        .filter(|line| !line.is_empty())
        .flat_map(|text| text.lines().map(tame))
        .collect();
    lines.join("\n")
}
