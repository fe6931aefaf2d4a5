//! A Slack message as plain text, for the console.

use serde_json::{Map, Value};

/// The message's texts, links by their labels alone, and below them `page`, where it can be seen.
pub(super) fn of_slack(message: &Map<String, Value>, page: Option<&str>) -> String {
    let mut lines = Vec::new();
    add(message, "text", "", &mut lines);
    for block in list(message, "blocks") {
        add_block(block, &mut lines);
    }
    for attachment in list(message, "attachments") {
        let before = lines.len();
        for name in ["pretext", "author_name", "title", "text"] {
            add(attachment, name, "  ", &mut lines);
        }
        for field in list(attachment, "fields") {
            let part = |name: &str| field.get(name).and_then(Value::as_str).map(unescape);
            let (title, value) = (part("title"), part("value"));
            let line = format!(
                "  {}: {}",
                title.unwrap_or_default(),
                value.unwrap_or_default()
            );
            lines.push(line.replace('\n', " "));
        }
        add(attachment, "footer", "  ", &mut lines);
        if lines.len() == before && lines.is_empty() {
            add(attachment, "fallback", "", &mut lines);
        }
    }
    lines.extend(page.map(|page| format!("  {}", unescape(page))));
    lines.join("\n")
}

fn list<'a>(
    holder: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a Map<String, Value>> {
    let items = holder.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_object)
}

fn add(holder: &Map<String, Value>, name: &str, indent: &str, lines: &mut Vec<String>) {
    if let Some(text) = holder.get(name).and_then(Value::as_str) {
        let text = unescape(text);
        lines.extend(text.lines().map(|line| format!("{indent}{line}")));
    }
}

fn add_block(block: &Map<String, Value>, lines: &mut Vec<String>) {
    let texts = block.get("text").into_iter();
    let fields = ["fields", "elements"]
        .iter()
        .flat_map(|name| list(block, name));
    for text in texts.filter_map(Value::as_object).chain(fields) {
        add(text, "text", "  ", lines);
    }
    add(block, "text", "  ", lines);
}

/// Undoes Slack's entities and links, and takes out what would act on a terminal.
fn unescape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        shown.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('>') else {
            break;
        };
        let inside = &rest[open + 1..open + close];
        let label = inside.split_once('|').map_or(inside, |(_, label)| label);
        shown.push_str(label);
        rest = &rest[open + close + 1..];
    }
    shown.push_str(rest);
    let shown = shown
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let is_shown = |c: &char| *c == '\n' || (!c.is_control() && *c != '\u{200b}');
    shown.chars().filter(is_shown).collect()
}
