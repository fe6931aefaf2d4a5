//! A Slack incoming webhook: its format, its limits, and a message a second with short bursts.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Received, Script, Service};

/// So many messages may come at once before one a second is all there is.
const BURST: f64 = 10.0;

/// Stands in for Slack.
#[derive(Default)]
pub struct FakeSlack {
    /// How full each path's bucket is, and when that was.
    buckets: HashMap<String, (f64, Duration)>,
}

impl Service for FakeSlack {
    fn answer(&mut self, request: &Received) -> (Script, Vec<String>) {
        let mut wrong = Vec::new();
        if !self.has_room(request) {
            wrong.push("more than a message a second".to_owned());
            let body = json!({"retry_after": 1, "ok": false, "error": "rate_limited"});
            return (Script::json(429, &body).header("retry-after", "1"), wrong);
        }
        let error = check(request, &mut wrong);
        let script = match error {
            Some(error) => Script::status(400).body(error),
            None => Script::status(200).body("ok"),
        };
        (script, wrong)
    }

    fn path(&self) -> &'static str {
        "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    }
}

impl FakeSlack {
    fn has_room(&mut self, request: &Received) -> bool {
        let path = request.path().to_owned();
        let (level, before) = self.buckets.entry(path).or_insert((0.0, request.at));
        let passed = request.at.saturating_sub(*before).as_secs_f64();
        *level = (*level - passed).max(0.0) + 1.0;
        *before = request.at;
        *level <= BURST
    }
}

/// Slack's error for a request, if it would refuse it; everything that is wrong goes to `wrong`.
fn check(request: &Received, wrong: &mut Vec<String>) -> Option<&'static str> {
    if request.method != "POST" || !request.header("content-type").contains("json") {
        wrong.push("not a POST of JSON".to_owned());
        return Some("invalid_payload");
    }
    let Value::Object(message) = request.json() else {
        wrong.push("the body is not a JSON object".to_owned());
        return Some("invalid_payload");
    };
    let mut error = None;
    let mut refuse = |code: &'static str, what: String| {
        wrong.push(format!("{code}: {what}"));
        error.get_or_insert(code);
    };
    let text = message.get("text").and_then(Value::as_str).unwrap_or("");
    let list = |name: &str| message.get(name).and_then(Value::as_array);
    let attachments = list("attachments").map_or(&[][..], Vec::as_slice);
    let blocks = list("blocks").map_or(&[][..], Vec::as_slice);
    if text.trim().is_empty() && attachments.is_empty() && blocks.is_empty() {
        refuse("no_text", "neither text nor attachments nor blocks".into());
    }
    if text.chars().count() > 40_000 {
        refuse("msg_too_long", "text over 40,000 characters".into());
    }
    if attachments.len() > 100 {
        refuse("too_many_attachments", attachments.len().to_string());
    }
    for attachment in attachments.iter().filter_map(Value::as_object) {
        check_attachment(attachment, &mut refuse);
    }
    if blocks.len() > 50 {
        refuse("invalid_blocks", format!("{} blocks", blocks.len()));
    }
    for block in blocks.iter().filter_map(Value::as_object) {
        check_block(block, &mut refuse);
    }
    if let Some(icon) = message.get("icon_url").and_then(Value::as_str)
        && !(1..=255).contains(&icon.chars().count())
    {
        refuse(
            "invalid_payload",
            "icon_url empty or over 255 characters".into(),
        );
    }
    for call in ["<!channel", "<!here", "<!everyone"] {
        if strings(&Value::Object(message.clone())).any(|text| text.contains(call)) {
            wrong.push(format!("{call}> pings the channel"));
        }
    }
    error
}

type Refuse<'a> = &'a mut dyn FnMut(&'static str, String);

fn check_attachment(attachment: &Map<String, Value>, refuse: Refuse<'_>) {
    let length = |name: &str| {
        let text = attachment.get(name).and_then(Value::as_str);
        text.map(|text| text.chars().count())
    };
    for (name, most) in [("title", 1024), ("footer", 300)] {
        if length(name).is_some_and(|length| length > most) {
            refuse(
                "invalid_attachments",
                format!("{name} over {most} characters"),
            );
        }
    }
    let shown = ["text", "fallback", "title", "pretext", "fields", "blocks"];
    let is_empty = |name: &&str| match attachment.get(*name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    if shown.iter().all(is_empty) {
        refuse("no_text", "an attachment that shows nothing".into());
    }
}

fn check_block(block: &Map<String, Value>, refuse: Refuse<'_>) {
    let most = match block.get("type").and_then(Value::as_str) {
        Some("header") => 150,
        Some("section") => 3000,
        _ => 3000,
    };
    let fields = block.get("fields").and_then(Value::as_array);
    if fields.is_some_and(|fields| fields.len() > 10) {
        refuse("invalid_blocks", "more than 10 fields".into());
    }
    let elements = block.get("elements").and_then(Value::as_array);
    if elements.is_some_and(|elements| elements.len() > 10) {
        refuse("invalid_blocks", "more than 10 elements".into());
    }
    let texts = fields.into_iter().chain(elements).flatten();
    let limits = texts.map(|text| (text, 2000));
    for (object, most) in limits.chain(block.get("text").map(|text| (text, most))) {
        let Some(text) = object.get("text").and_then(Value::as_str) else {
            continue;
        };
        if !(1..=most).contains(&text.chars().count()) {
            refuse("invalid_blocks", format!("a text is empty or over {most}"));
        }
    }
}

/// Every text in a value.
pub(super) fn strings(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(list) => Box::new(list.iter().flat_map(strings)),
        Value::Object(object) => Box::new(object.values().flat_map(strings)),
        _ => Box::new(std::iter::empty()),
    }
}
