//! Slack's answers. The text of the body says more than the status, so it is read first.

use crate::clock::Timestamp;
use crate::delivery::Reason;
use crate::send::retry_after::{self, Asked};
use crate::send::transport::Answer;
use crate::send::verdict::{self, Judgement, Verdict, hold};

/// The error that is tried once more without a `channel` of our own.
pub(crate) const CHANNEL_NOT_FOUND: &str = "channel_not_found";

/// Reads Slack's answer.
pub fn judge(answer: &Answer, now: Timestamp) -> Judgement {
    let status = answer.status;
    let error = error_name(&answer.body);
    let said = match &error {
        Some(name) => format!("Slack answered {status} {name}"),
        None => format!("Slack answered {status}"),
    };
    match error.as_deref().and_then(meaning) {
        Some(Meaning::Limited) => {
            let asked = retry_after::asked(answer, now).or_else(|| wait_in_body(&answer.body));
            verdict::rate_limited(&said, asked)
        }
        Some(meaning) => Judgement::new(meaning.verdict(), format!("{said}: {}", meaning.words())),
        None if error.is_some() && answer.is_success() => unknown(said),
        None => verdict::by_status("Slack", answer, now).unwrap_or_else(|| refused(status, said)),
    }
}

/// The name of the error in a body: Slack sends it bare, or as `{"ok":false,"error":"…"}`. A bare
/// word under a 2xx is one only if we know it (`ok` is none).
pub(crate) fn error_name(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text) {
        if object.get("ok") != Some(&serde_json::Value::Bool(false)) {
            return None;
        }
        let name = object.get("error").and_then(|name| name.as_str());
        return Some(name.filter(|name| is_name(name)).unwrap_or("error").into());
    }
    (is_name(text) && meaning(text).is_some()).then(|| text.to_owned())
}

/// The observed `{"retry_after":1,"ok":false,"error":"rate_limited"}`, when the header is missing.
fn wait_in_body(body: &[u8]) -> Option<Asked> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let wait = retry_after::seconds_wait(body.get("retry_after")?.as_f64()?)?;
    Some(Asked::from_wait(wait))
}

fn is_name(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(small)
}

/// What an error of Slack's is about.
#[derive(Clone, Copy)]
enum Meaning {
    Content,
    Refuses(&'static str),
    Gone(&'static str),
    Limited,
    Trouble,
}

fn meaning(name: &str) -> Option<Meaning> {
    Some(match name {
        "invalid_payload"
        | "no_text"
        | "too_many_attachments"
        | "user_not_found"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "invalid_attachments"
        | "msg_too_long"
        | "msg_blocks_too_long"
        | "missing_text_or_fallback_or_attachments" => Meaning::Content,
        "invalid_token" => Meaning::Refuses("the URL is wrong, expired or revoked"),
        "action_prohibited" => Meaning::Refuses("an administrator forbids it"),
        "posting_to_general_channel_denied" => {
            Meaning::Refuses("posting to the general channel is restricted")
        }
        "channel_is_archived" => Meaning::Refuses("the channel is archived"),
        CHANNEL_NOT_FOUND => Meaning::Refuses("there is no such channel"),
        "team_disabled" => Meaning::Gone("the workspace is inactive"),
        "no_service" | "no_service_id" | "no_active_hooks" => {
            Meaning::Gone("the hook was removed or disabled")
        }
        "no_team" => Meaning::Gone("there is no such workspace"),
        "rate_limited" | "ratelimited" => Meaning::Limited,
        "rollup_error" | "internal_error" | "fatal_error" | "service_unavailable" => {
            Meaning::Trouble
        }
        _ => return None,
    })
}

impl Meaning {
    fn verdict(self) -> Verdict {
        match self {
            Meaning::Content => Verdict::Reshape {
                reason: Reason::ContentRefused,
            },
            Meaning::Refuses(_) => hold(Reason::EndpointRefused),
            Meaning::Gone(_) => Verdict::Hold {
                reason: Reason::EndpointGone,
                probe: None,
            },
            Meaning::Limited => Verdict::Retry {
                reason: Reason::RateLimited,
                wait: None,
            },
            Meaning::Trouble => Verdict::Retry {
                reason: Reason::ServerError,
                wait: None,
            },
        }
    }

    fn words(self) -> &'static str {
        match self {
            Meaning::Content => "it does not take the message in this form",
            Meaning::Refuses(words) | Meaning::Gone(words) => words,
            Meaning::Limited => "too fast",
            Meaning::Trouble => "trouble at Slack",
        }
    }
}

/// A 4xx whose text says nothing that we know.
fn refused(status: u16, said: String) -> Judgement {
    let verdict = match status {
        401 | 403 => hold(Reason::EndpointRefused),
        404 | 410 => hold(Reason::EndpointGone),
        413 => Verdict::Reshape {
            reason: Reason::ContentRefused,
        },
        400 => return unknown(said),
        _ => Verdict::Retry {
            reason: Reason::ClientError,
            wait: None,
        },
    };
    Judgement::new(verdict, said)
}

/// Perhaps it is the message: try a plainer one, and leave the rest to the poison rule.
fn unknown(said: String) -> Judgement {
    let verdict = Verdict::Reshape {
        reason: Reason::ClientError,
    };
    Judgement::new(verdict, format!("{said}, without a reason we know"))
}
