//! Draws a message as DingTalk shows it: Markdown by lines, and the button of a card.

use serde_json::Value;

use super::{discord::inline, shown};

pub fn draw(message: &Value) -> String {
    let kind = message["msgtype"].as_str().unwrap_or_default();
    let inside = &message[kind];
    let text = inside["text"].as_str().or(inside["content"].as_str());
    let lines: String = text.unwrap_or_default().lines().map(line).collect();
    let button = match inside.get("singleTitle") {
        Some(_) => format!(
            "<div class=footer><a title=\"{}\">{}</a></div>",
            shown(inside, "singleURL"),
            shown(inside, "singleTitle")
        ),
        None => String::new(),
    };
    format!(
        "<div class=dingtalk><div class=footer>{}</div>{lines}{button}</div>",
        shown(inside, "title")
    )
}

fn line(line: &str) -> String {
    let inside = |from: usize| inline(line[from..].trim_start());
    match line.split(' ').next().unwrap_or_default() {
        "" => "<br>".to_owned(),
        ">" => format!("<div class=quote>{}</div>", inside(1)),
        "-" => format!("<div>• {}</div>", inside(1)),
        marks if marks.bytes().all(|byte| byte == b'#') => {
            format!("<div class=title>{}</div>", inside(marks.len()))
        }
        _ => format!("<div>{}</div>", inline(line)),
    }
}
