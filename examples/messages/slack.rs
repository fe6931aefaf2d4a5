//! A message as Slack would draw it, nearly.

use serde_json::Value;

use super::escape;

/// The whole message.
pub fn draw(body: &Value) -> String {
    let mut drawn = format!("<div class=slack>{}", mrkdwn(&text(body, "text")));
    for attachment in body["attachments"].as_array().into_iter().flatten() {
        drawn.push_str(&attached(attachment));
    }
    drawn + "</div>"
}

fn attached(attachment: &Value) -> String {
    let color = match attachment["color"].as_str().unwrap_or("#ddd") {
        "good" => "#2eb67d",
        "warning" => "#ecb22e",
        "danger" => "#e01e5a",
        color => color,
    };
    let mut drawn = format!(
        "<div class=attachment style='border-color: {}'>",
        escape(color)
    );
    let title = mrkdwn(&text(attachment, "title"));
    match attachment["title_link"].as_str() {
        Some(link) => {
            drawn += &format!(
                "<div class=title><a href='{}'>{title}</a></div>",
                escape(link)
            )
        }
        None => drawn += &format!("<div class=title>{title}</div>"),
    }
    drawn += &mrkdwn(&text(attachment, "text"));
    let footer = escape(&unescape(&text(attachment, "footer")));
    drawn += &format!("<div class=footer>{footer}</div>");
    drawn + "</div>"
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Links and control sequences first, then the three entities, then formatting.
fn mrkdwn(text: &str) -> String {
    let mut drawn = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('<') {
        drawn += &formatted(before);
        let Some((inside, after)) = behind.split_once('>') else {
            drawn += &formatted(behind);
            return drawn;
        };
        drawn += &angled(inside);
        rest = after;
    }
    drawn + &formatted(rest)
}

fn angled(inside: &str) -> String {
    let (target, label) = inside.split_once('|').unwrap_or((inside, inside));
    if target.starts_with(['!', '@', '#']) {
        return format!("<span class=ping>{}</span>", escape(label));
    }
    let target = unescape(target);
    format!(
        "<a href=\"{0}\" title=\"{0}\">{1}</a>",
        escape(&target),
        formatted(label)
    )
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&")
}

/// Bold, italic, struck and code where a mark opens a word and its twin closes one.
fn formatted(text: &str) -> String {
    let text: Vec<char> = unescape(text).chars().collect();
    let mut drawn = String::new();
    let mut at = 0;
    while at < text.len() {
        match run(&text, at) {
            Some((tag, end)) => {
                let inside: String = text[at + 1..end].iter().collect();
                drawn += &format!("<{tag}>{}</{tag}>", escape(&inside));
                at = end + 1;
            }
            None => {
                drawn += &match text[at] {
                    '\n' => "<br>".to_owned(),
                    other => escape(&other.to_string()),
                };
                at += 1;
            }
        }
    }
    drawn
}

fn run(text: &[char], at: usize) -> Option<(&'static str, usize)> {
    let tag = match text[at] {
        '*' => "b",
        '_' => "i",
        '~' => "s",
        '`' => "code",
        _ => return None,
    };
    let word = |at: Option<&char>| at.is_some_and(|next| next.is_alphanumeric());
    let opens = at == 0 || !word(text.get(at - 1));
    let inside_starts = text
        .get(at + 1)
        .is_some_and(|next| !next.is_whitespace() && *next != text[at] && *next != '\u{200b}');
    let line = text[at + 1..]
        .iter()
        .position(|next| *next == '\n')
        .map_or(text.len(), |n| at + 1 + n);
    let end = (at + 2..line).find(|end| {
        text[*end] == text[at] && !text[end - 1].is_whitespace() && !word(text.get(end + 1))
    })?;
    (opens && inside_starts).then_some((tag, end))
}
