//! Discord: its URLs, its answers by JSON code, and its rate headers.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::delivery::Reason;
use crate::send::retry_after::{self, Asked};
use crate::send::transport::Answer;
use crate::send::verdict::{self, Judgement, Slowdown, Verdict, hold};

/// A block of all unauthenticated callers at one address lasts at least this long.
const GLOBAL: Duration = Duration::from_secs(10);
/// Cloudflare counts invalid requests over ten minutes; asking again sooner lengthens its block.
const CLOUDFLARE: Duration = Duration::from_secs(600);

/// Where a message goes: the hook's URL under `/api/v10/`, where errors are detailed and waits
/// are in seconds, with `wait=true`, so that a message that is not saved is an error.
pub fn target(url: &url::Url, thread_id: Option<&str>) -> url::Url {
    let mut target = url.clone();
    target.set_path(&path_with_version(url.path()));
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "wait" && !(name == "thread_id" && thread_id.is_some()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut query = target.query_pairs_mut();
    query.clear().extend_pairs(kept).append_pair("wait", "true");
    if let Some(thread) = thread_id {
        query.append_pair("thread_id", thread);
    }
    drop(query);
    target
}

/// `/api/webhooks/…` and `/api/v9/webhooks/…` as `/api/v10/webhooks/…`; other paths as they are.
pub(crate) fn path_with_version(path: &str) -> String {
    let Some(rest) = path.strip_prefix("/api/") else {
        return path.to_owned();
    };
    let rest = match rest.split_once('/') {
        Some((version, rest)) if is_version(version) => rest,
        _ => rest,
    };
    format!("/api/v10/{rest}")
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads Discord's answer.
pub fn judge(answer: &Answer, now: Timestamp) -> Judgement {
    let error: Option<ErrorBody> = serde_json::from_slice(&answer.body).ok();
    let code = error.as_ref().and_then(|error| error.code);
    let status = answer.status;
    let said = match code {
        Some(code) => format!("Discord answered {status} (code {code})"),
        None => format!("Discord answered {status}"),
    };
    let mut judgement = match status {
        429 => limited(answer, error, &said, now),
        400 | 413 => bad_request(error, said),
        401 | 403 => refused(code, said),
        404 | 410 => gone(code, said),
        200..=299 => Judgement::new(Verdict::Delivered, took(answer, said)),
        _ => verdict::by_status("Discord", answer, now).unwrap_or_else(|| {
            let verdict = Verdict::Retry {
                reason: Reason::ClientError,
                wait: None,
            };
            Judgement::new(verdict, said)
        }),
    };
    judgement.slowdown = judgement.slowdown.or_else(|| used_up(answer));
    judgement
}

/// Keeps the message's id, which alone can find the message again.
fn took(answer: &Answer, said: String) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match body.get("id").and_then(Value::as_str) {
        Some(id) if is_word(id) => format!("{said}: message {id}"),
        _ => said,
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default, deserialize_with = "lenient_code")]
    code: Option<u64>,
    #[serde(default)]
    errors: Value,
    #[serde(default)]
    retry_after: Value,
    #[serde(default)]
    global: Value,
}

fn lenient_code<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(from)?.as_u64())
}

fn bad_request(error: Option<ErrorBody>, said: String) -> Judgement {
    let content = |words: String| {
        let reason = Reason::ContentRefused;
        Judgement::new(Verdict::Reshape { reason }, words)
    };
    let endpoint =
        |words: &str| Judgement::new(hold(Reason::EndpointRefused), format!("{said}: {words}"));
    let code = error.as_ref().and_then(|error| error.code);
    match code {
        Some(50035) => {
            let paths = error.map(|error| paths(&error.errors)).unwrap_or_default();
            if !paths.is_empty() && paths.iter().all(|path| is_of_the_url(path)) {
                return endpoint(&format!(
                    "the URL or thread_id is wrong ({})",
                    paths.join(", ")
                ));
            }
            content(format!("{said}: it refuses {}", paths.join(", ")))
        }
        Some(50006) => content(format!("{said}: the message is empty")),
        Some(50109 | 40005) => content(format!("{said}: not JSON, or too large")),
        Some(200_000 | 240_000) => content(format!("{said}: a filter blocked the message")),
        Some(220_001) => endpoint("a forum needs thread_id"),
        Some(220_002) => endpoint("both thread_id and thread_name are set"),
        Some(220_003) => endpoint("threads can be made in forums only"),
        Some(50083) => endpoint("the thread is archived"),
        Some(160_005) => endpoint("the thread is locked"),
        Some(160_006) => endpoint("too many threads are active"),
        _ => {
            let reason = Reason::ClientError;
            let words = format!("{said}, without a reason we know");
            Judgement::new(Verdict::Reshape { reason }, words)
        }
    }
}

fn refused(code: Option<u64>, said: String) -> Judgement {
    let why = match code {
        Some(50027) => ": the token in the URL is wrong",
        Some(50013 | 50001) => ": the hook lacks permission",
        Some(40333) => ": Cloudflare blocked the request",
        _ => "",
    };
    Judgement::new(hold(Reason::EndpointRefused), format!("{said}{why}"))
}

fn gone(code: Option<u64>, said: String) -> Judgement {
    match code {
        // Using a deleted hook again brings a restriction, so it is never probed.
        Some(10015) => {
            let verdict = Verdict::Hold {
                reason: Reason::EndpointGone,
                probe: None,
            };
            Judgement::new(verdict, format!("{said}: the hook was deleted"))
        }
        Some(10003) => Judgement::new(
            hold(Reason::EndpointGone),
            format!("{said}: there is no such channel or thread"),
        ),
        _ => Judgement::new(hold(Reason::EndpointGone), said),
    }
}

/// A 429. Header and body may differ: the longer wait counts. Without a JSON body it is
/// Cloudflare's, which blocks the address for every hook.
fn limited(answer: &Answer, error: Option<ErrorBody>, said: &str, now: Timestamp) -> Judgement {
    let in_body = error.as_ref().and_then(|error| error.retry_after.as_f64());
    let in_body = in_body
        .and_then(retry_after::seconds_wait)
        .map(Asked::from_wait);
    let asked = retry_after::asked(answer, now).max(in_body);
    let is_global = answer.header("x-ratelimit-global") == Some("true")
        || error
            .as_ref()
            .is_some_and(|error| error.global == Value::Bool(true));
    let floor = match (&error, is_global) {
        (None, _) => CLOUDFLARE,
        (Some(_), true) => GLOBAL,
        (Some(_), false) => return verdict::rate_limited(said, asked),
    };
    let asked = asked.max(Some(Asked::Wait(floor)));
    let mut judgement = verdict::rate_limited(&format!("{said} for this whole address"), asked);
    let wait = asked.map_or(floor, Asked::wait);
    judgement.slowdown = Some(Slowdown::Service(wait));
    judgement
}

/// When the answer says that no request is left, the URL rests until the window is new.
fn used_up(answer: &Answer) -> Option<Slowdown> {
    if answer.header("x-ratelimit-remaining")?.trim() != "0" {
        return None;
    }
    let seconds: f64 = answer
        .header("x-ratelimit-reset-after")?
        .trim()
        .parse()
        .ok()?;
    let wait = retry_after::seconds_wait(seconds)?;
    Some(Slowdown::Url(wait.min(retry_after::LONGEST)))
}

fn is_of_the_url(path: &str) -> bool {
    ["thread_id", "webhook_id", "webhook_token"]
        .iter()
        .any(|name| path.starts_with(name))
}

/// `embeds.0.title BASE_TYPE_MAX_LENGTH` for each error in the tree, at most five. Keys that
/// could be text of ours are left out.
fn paths(errors: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(errors, &mut Vec::new(), &mut found);
    found
}

fn walk(errors: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    let Value::Object(object) = errors else {
        return;
    };
    for (key, value) in object {
        if found.len() == 5 || path.len() > 16 {
            return;
        }
        if key == "_errors" {
            let code = value.get(0).and_then(|error| error.get("code"));
            let code = code.and_then(Value::as_str).filter(|code| is_word(code));
            found.push(format!("{} {}", path.join("."), code.unwrap_or("error")));
        } else {
            path.push(if is_word(key) {
                key.clone()
            } else {
                "…".into()
            });
            walk(value, path, found);
            path.pop();
        }
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
