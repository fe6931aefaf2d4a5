//! A message as Discord would draw it, nearly.

use serde_json::Value;

use super::{escape, shown};

/// The whole message.
pub fn draw(body: &Value) -> String {
    let mut drawn = String::from("<div class=discord>");
    drawn += &markdown(body["content"].as_str().unwrap_or_default());
    for embed in body["embeds"].as_array().into_iter().flatten() {
        drawn.push_str(&embedded(embed));
    }
    drawn + "</div>"
}

fn embedded(embed: &Value) -> String {
    let color = embed["color"].as_u64().unwrap_or(0x001e_1f22);
    let mut drawn = format!("<div class=embed style='border-color: #{color:06x}'>");
    if let Some(name) = embed["author"]["name"].as_str() {
        let link = shown(&embed["author"], "url");
        let avatar = if embed["author"]["icon_url"].is_string() {
            "<span class=avatar></span>"
        } else {
            ""
        };
        drawn += &format!(
            "<div class=author>{avatar}<a href=\"{link}\">{}</a></div>",
            escape(name)
        );
    }
    let title = markdown(embed["title"].as_str().unwrap_or_default());
    match embed["url"].as_str() {
        Some(link) => {
            drawn += &format!(
                "<div class=title><a href=\"{}\">{title}</a></div>",
                escape(link)
            )
        }
        None => drawn += &format!("<div class=title>{title}</div>"),
    }
    drawn += &markdown(embed["description"].as_str().unwrap_or_default());
    for field in embed["fields"].as_array().into_iter().flatten() {
        let value = markdown(field["value"].as_str().unwrap_or_default());
        drawn += &format!("<div class=name>{}</div>{value}", shown(field, "name"));
    }
    if embed["footer"].is_object() {
        drawn += &format!(
            "<div class=footer>{}</div>",
            shown(&embed["footer"], "text")
        );
    }
    drawn + "</div>"
}

/// Quotes, then line by line.
fn markdown(text: &str) -> String {
    if let Some(quoted) = text.strip_prefix(">>> ") {
        return format!("<div class=quote>{}</div>", inline(quoted));
    }
    match text.split_once("\n>>> ") {
        Some((before, quoted)) => {
            format!(
                "{}<div class=quote>{}</div>",
                inline(before),
                inline(quoted)
            )
        }
        None => inline(text),
    }
}

pub fn inline(text: &str) -> String {
    let mut drawn = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        if let Some((shape, behind)) = special(next, after) {
            drawn += &shape;
            rest = behind;
            continue;
        }
        drawn += &match next {
            '\n' => "<br>".to_owned(),
            _ => escape(&next.to_string()),
        };
        rest = after;
    }
    drawn
}

/// An escape, a masked link, or a run between marks, and what stands behind it.
fn special(next: char, after: &str) -> Option<(String, &str)> {
    match next {
        '\\' => {
            let escaped = after.chars().next().filter(char::is_ascii_punctuation)?;
            Some((escape(&escaped.to_string()), &after[1..]))
        }
        '[' => {
            let (label, behind) = until(after, "](")?;
            let (target, behind) = behind.split_once(')')?;
            if !target.starts_with("http") {
                return None;
            }
            let target = escape(target);
            let link = format!(
                "<a href=\"{target}\" title=\"{target}\">{}</a>",
                inline(label)
            );
            Some((link, behind))
        }
        '`' => run("code", after, "`"),
        '*' => match after.strip_prefix('*') {
            Some(after) => run("b", after, "**"),
            None => run("i", after, "*"),
        },
        '~' => run("s", after.strip_prefix('~')?, "~~"),
        '_' => run("i", after, "_"),
        _ => None,
    }
}

fn run<'a>(tag: &str, after: &'a str, end: &str) -> Option<(String, &'a str)> {
    let (inside, behind) = until(after, end)?;
    (!inside.is_empty()).then(|| (format!("<{tag}>{}</{tag}>", inline(inside)), behind))
}

/// Up to `end` where no backslash stands before it.
fn until<'a>(text: &'a str, end: &str) -> Option<(&'a str, &'a str)> {
    let mut found = text.match_indices(end);
    let (at, _) = found.find(|(at, _)| {
        let before = text[..*at].bytes().rev().take_while(|byte| *byte == b'\\');
        before.count() % 2 == 0
    })?;
    Some((&text[..at], &text[at + end.len()..]))
}
