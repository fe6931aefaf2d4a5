//! A Discord webhook: its limits, its detailed errors, and its two rate windows.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Received, Script, Service};

/// Told in the headers.
const SHORT: (usize, Duration) = (5, Duration::from_secs(2));
/// Not told; a little shorter than a minute, because requests travel for different times.
const LONG: (usize, Duration) = (30, Duration::from_millis(59_900));

/// Stands in for Discord.
#[derive(Default)]
pub struct FakeDiscord {
    /// When requests came, by path; of the last minute.
    requests: HashMap<String, VecDeque<Duration>>,
    messages: u64,
}

impl Service for FakeDiscord {
    fn answer(&mut self, request: &Received) -> (Script, Vec<String>) {
        let mut wrong = Vec::new();
        if let Some(wait) = self.too_many(request) {
            wrong.push("more than 5 in 2 s or 30 in 60 s".to_owned());
            let seconds = wait.as_secs_f64();
            let message = "You are being rate limited.";
            let body = json!({"message": message, "retry_after": seconds, "global": false});
            let wait = seconds.ceil().to_string();
            return (Script::json(429, &body).header("retry-after", wait), wrong);
        }
        let mut refused = Map::new();
        check(request, &mut |path: &str, code: &str| {
            wrong.push(format!("{path}: {code}"));
            let error = json!({"_errors": [{"code": code, "message": "refused"}]});
            refused.insert(path.to_owned(), error);
        });
        self.messages += 1;
        let script = if refused.is_empty() {
            let id = (1_000_000_000_000 + self.messages).to_string();
            Script::json(200, &json!({"id": id, "type": 0, "channel_id": "1"}))
        } else {
            let message = "Invalid Form Body";
            let body = json!({"message": message, "code": 50035, "errors": refused});
            Script::json(400, &body)
        };
        (self.with_rate(request, script), wrong)
    }

    fn path(&self) -> &'static str {
        "/api/webhooks/223704706495545344/3d89bb7572e0fb30d8128367b3b1b44fecd1726de135cbe28a41f8b2f777c372"
    }
}

impl FakeDiscord {
    /// Counts the request; how long to wait if it was one too many.
    fn too_many(&mut self, request: &Received) -> Option<Duration> {
        let path = request.path().to_owned();
        let times = self.requests.entry(path).or_default();
        times.push_back(request.at);
        while times
            .front()
            .is_some_and(|time| request.at - *time >= LONG.1)
        {
            times.pop_front();
        }
        let over = |(count, per): (usize, Duration)| {
            let crowding = *times.get(times.len().checked_sub(count + 1)?)?;
            let free = crowding + per;
            (free > request.at).then(|| free - request.at)
        };
        over(SHORT).max(over(LONG))
    }

    fn with_rate(&self, request: &Received, script: Script) -> Script {
        let (count, per) = SHORT;
        let times = self.requests.get(request.path());
        let times = times.into_iter().flatten();
        let recent: Vec<&Duration> = times.filter(|time| request.at < **time + per).collect();
        let left = count.saturating_sub(recent.len());
        let reset = recent
            .first()
            .map_or(per, |first| **first + per - request.at);
        script
            .header("x-ratelimit-limit", count.to_string())
            .header("x-ratelimit-remaining", left.to_string())
            .header("x-ratelimit-reset-after", reset.as_secs_f64().to_string())
            .header("x-ratelimit-bucket", "webhook")
    }
}

type Refuse<'a> = &'a mut dyn FnMut(&str, &str);

fn check(request: &Received, refuse: Refuse<'_>) {
    if request.method != "POST" || request.header("content-type") != "application/json" {
        refuse("_", "CONTENT_TYPE_INVALID");
    }
    if !request.path().starts_with("/api/v10/webhooks/") {
        refuse("_", "API_VERSION");
    }
    if !request.target.contains("wait=true") {
        refuse("_", "NO_WAIT");
    }
    if !request.header("user-agent").starts_with("DiscordBot (") {
        refuse("_", "USER_AGENT");
    }
    if request.target.contains("thread_id=") && !thread_is_a_number(&request.target) {
        refuse("thread_id", "NUMBER_TYPE_COERCE");
    }
    let Value::Object(message) = request.json() else {
        return refuse("_", "NOT_A_JSON_OBJECT");
    };
    check_message(&message, refuse);
}

fn thread_is_a_number(target: &str) -> bool {
    let (_, after) = target.split_once("thread_id=").unwrap_or_default();
    let id = after.split('&').next().unwrap_or("");
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_message(message: &Map<String, Value>, refuse: Refuse<'_>) {
    let content = message.get("content").and_then(Value::as_str);
    let embeds = message.get("embeds").and_then(Value::as_array);
    let embeds = embeds.map_or(&[][..], Vec::as_slice);
    if units(content.unwrap_or("")) == 0 && embeds.is_empty() {
        refuse("content", "EMPTY_MESSAGE");
    }
    if units(content.unwrap_or("")) > 2000 {
        refuse("content", "BASE_TYPE_MAX_LENGTH");
    }
    if let Some(name) = message.get("username") {
        let name = name.as_str().unwrap_or("");
        let lower = name.to_lowercase();
        if !(1..=80).contains(&units(name)) {
            refuse("username", "BASE_TYPE_BAD_LENGTH");
        }
        if lower.contains("clyde") || lower.contains("discord") {
            refuse("username", "USERNAME_INVALID_CONTAINS");
        }
    }
    if message.get("avatar_url").is_some_and(|url| !is_web(url)) {
        refuse("avatar_url", "URL_TYPE_INVALID_URL");
    }
    if message.get("allowed_mentions") != Some(&json!({"parse": []})) {
        refuse("allowed_mentions", "WOULD_PING");
    }
    if embeds.len() > 10 {
        refuse("embeds", "BASE_TYPE_MAX_LENGTH");
    }
    let total: usize = embeds.iter().map(total_units).sum();
    if total > 6000 {
        refuse("embeds", "MAX_EMBED_SIZE_EXCEEDED");
    }
    let mut seen = Vec::new();
    for (index, embed) in embeds.iter().enumerate() {
        check_embed(&format!("embeds.{index}"), embed, refuse);
        if let Some(url) = embed.get("url") {
            if seen.contains(&url) {
                refuse("embeds", "EQUAL_URLS_SHOW_ONE_EMBED");
            }
            seen.push(url);
        }
    }
}

fn check_embed(path: &str, embed: &Value, refuse: Refuse<'_>) {
    check_texts(path, embed, refuse);
    let mut refuse = |pointer: &str, code| refuse(&format!("{path}{}", dotted(pointer)), code);
    let present = |pointer: &str| embed.pointer(pointer).filter(|value| !value.is_null());
    for pointer in [
        "/url",
        "/author/url",
        "/author/icon_url",
        "/footer/icon_url",
        "/image/url",
    ] {
        if present(pointer).is_some_and(|url| !is_web(url)) {
            refuse(pointer, "URL_TYPE_INVALID_URL");
        }
    }
    let too_large = |colour: &Value| colour.as_u64().is_none_or(|colour| colour > 0xff_ffff);
    if present("/color").is_some_and(too_large) {
        refuse("/color", "NUMBER_TYPE_MAX");
    }
    let is_time = |text: &str| text.parse::<jiff::Timestamp>().is_ok();
    if present("/timestamp").is_some_and(|time| !time.as_str().is_some_and(is_time)) {
        refuse("/timestamp", "DATE_TIME_TYPE_PARSE");
    }
}

fn check_texts(path: &str, embed: &Value, refuse: Refuse<'_>) {
    let mut text = |pointer: &str, most: usize, required: bool| {
        let name = format!("{path}{}", dotted(pointer));
        match embed.pointer(pointer) {
            None | Some(Value::Null) if !required => {}
            Some(Value::String(text)) if units(text) > most => {
                refuse(&name, "BASE_TYPE_MAX_LENGTH");
            }
            Some(Value::String(text)) if units(text) == 0 && required => {
                refuse(&name, "BASE_TYPE_REQUIRED");
            }
            Some(Value::String(_)) => {}
            _ => refuse(&name, "STRING_TYPE_CONVERT"),
        }
    };
    let has = |name: &str| embed.get(name).is_some_and(Value::is_object);
    text("/title", 256, false);
    text("/description", 4096, false);
    text("/footer/text", 2048, has("footer"));
    text("/author/name", 256, has("author"));
    let fields = embed.get("fields").and_then(Value::as_array);
    let fields = fields.map_or(0, Vec::len);
    for index in 0..fields {
        text(&format!("/fields/{index}/name"), 256, true);
        text(&format!("/fields/{index}/value"), 1024, true);
    }
    if fields > 25 {
        refuse(&format!("{path}.fields"), "BASE_TYPE_MAX_LENGTH");
    }
}

fn dotted(pointer: &str) -> String {
    pointer.replace('/', ".")
}

/// What counts for the 6,000 units of all embeds together.
fn total_units(embed: &Value) -> usize {
    let text = |value: Option<&Value>| units(value.and_then(Value::as_str).unwrap_or(""));
    let fixed = ["/title", "/description", "/footer/text", "/author/name"];
    let fixed: usize = fixed.iter().map(|at| text(embed.pointer(at))).sum();
    let fields = embed.get("fields").and_then(Value::as_array);
    let fields = fields.into_iter().flatten();
    let fields: usize = fields
        .map(|f| text(f.get("name")) + text(f.get("value")))
        .sum();
    fixed + fields
}

/// Length in UTF-16 units, without white space around it.
fn units(text: &str) -> usize {
    text.trim().encode_utf16().count()
}

fn is_web(url: &Value) -> bool {
    let Some(text) = url.as_str() else {
        return false;
    };
    let parsed = url::Url::parse(text);
    text.len() <= 2048
        && parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
