//! WebSub's requests, and those of `PubSubHubbub` 0.4 and 0.3: checked, and handed to the hub, which
//! asks the reader.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use secrecy::SecretString;

use super::super::github::judge_url;
use super::super::{Answer, empty};
use super::fields::Fields;
use super::{Request, plain};
use crate::config;
use crate::destination::SecretUrl;
use crate::hook::Form;
use crate::hub::topic::{Suffix, Topic};
use crate::hub::{Mode, Pending, Refused};

/// Longer ones cannot be stored, in bytes.
const LONGEST_CALLBACK: usize = 1500;
const LONGEST_TOKEN: usize = 500;
/// As the standard has it: a secret is shorter.
const LONGEST_SECRET: usize = 199;

pub(super) async fn answer(request: &Request<'_>, fields: &Fields) -> Answer {
    match take(request, fields).await {
        Ok(status) => empty(status),
        Err(wrong) => wrong.answer(),
    }
}

/// Events reach the hub by themselves, so that there is nothing to do when one is announced.
pub(super) fn publish(fields: &Fields) -> Answer {
    let topics = ["hub.url", "hub.topic"];
    match topics.iter().any(|name| fields.filled(name).is_some()) {
        true => empty(StatusCode::NO_CONTENT),
        false => Wrong::Bad("hub.url is missing".to_owned()).answer(),
    }
}

/// Why a request is not taken.
enum Wrong {
    /// In words.
    Bad(String),
    Refused(Refused),
}

impl Wrong {
    fn answer(self) -> Answer {
        let (status, words, wait) = match self {
            Wrong::Bad(words) => (StatusCode::BAD_REQUEST, words, None),
            Wrong::Refused(refused) => {
                let words = refused.to_string();
                let (status, wait) = match refused {
                    Refused::Host(seconds) => (StatusCode::TOO_MANY_REQUESTS, Some(seconds)),
                    Refused::Full | Refused::TooMany | Refused::Queue(_) => {
                        (StatusCode::SERVICE_UNAVAILABLE, Some(60))
                    }
                    Refused::Unconfirmed(_) => (StatusCode::CONFLICT, None),
                };
                (status, words, wait)
            }
        };
        let mut answer = plain(status, &words);
        if let Some(wait) = wait {
            let wait = HeaderValue::from(wait);
            answer.headers_mut().insert(RETRY_AFTER, wait);
        }
        answer
    }
}

async fn take(request: &Request<'_>, fields: &Fields) -> Result<StatusCode, Wrong> {
    if !fields.is_form {
        let words = "the body should be application/x-www-form-urlencoded";
        return Err(Wrong::Bad(words.to_owned()));
    }
    let is_sync = is_sync(fields).map_err(Wrong::Bad)?;
    let (topic, pending) = read(request, fields).map_err(Wrong::Bad)?;
    let hub = &request.means.hub;
    let is_covered = !pending.open;
    let is_subscribed = pending.mode == Mode::Unsubscribe && hub.has(&pending);
    if !is_covered && !is_subscribed && !hub.is_open(request.hub, &topic.repository).await {
        return Err(Wrong::Bad(no_such_topic(&pending.topic)));
    }
    let done = match is_sync {
        true => hub.take_at_once(pending).await,
        false => hub.take(pending).await,
    };
    done.map_err(Wrong::Refused)?;
    Ok(match is_sync {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::ACCEPTED,
    })
}

/// What a request asks for.
fn read(request: &Request<'_>, fields: &Fields) -> Result<(Topic, Pending), String> {
    let mode = match fields.filled("hub.mode") {
        Some("subscribe") => Mode::Subscribe,
        Some("unsubscribe") => Mode::Unsubscribe,
        Some(other) => {
            return Err(format!(
                "hub.mode is {other:?}, not subscribe or unsubscribe"
            ));
        }
        None => return Err("hub.mode is missing".to_owned()),
    };
    let text = fields.filled("hub.topic").ok_or("hub.topic is missing")?;
    let callback = callback(request, fields)?;
    let secret = fields.filled("hub.secret");
    if secret.is_some_and(|secret| secret.len() > LONGEST_SECRET) {
        return Err("hub.secret should be less than 200 bytes long".to_owned());
    }
    let verify_token = fields.get("hub.verify_token");
    if verify_token.is_some_and(|token| token.len() > LONGEST_TOKEN) {
        return Err(format!(
            "hub.verify_token is longer than {LONGEST_TOKEN} bytes"
        ));
    }
    let lease = match mode {
        Mode::Subscribe => lease(fields, &request.hub.lease)?,
        _ => Duration::ZERO,
    };
    let topic = request.topic(text).ok_or_else(|| no_such_topic(text))?;
    let pending = Pending {
        mode,
        topic: text.to_owned(),
        callback,
        repository: topic.repository.clone(),
        event: topic.event.clone(),
        form: match topic.suffix {
            Suffix::Text => Form::Text,
            Suffix::None | Suffix::Json => Form::Json,
        },
        secret: secret.map(SecretString::from),
        lease,
        verify_token: verify_token.map(str::to_owned),
        open: !request.covers(&topic.repository),
        since: request.means.clock.now(),
    };
    Ok((topic, pending))
}

/// The same words for what is private and for what is not there.
fn no_such_topic(text: &str) -> String {
    format!("hub.topic {text:?} is none that can be subscribed to here")
}

fn callback(request: &Request<'_>, fields: &Fields) -> Result<SecretUrl, String> {
    let text = fields.filled("hub.callback");
    let text = text.ok_or("hub.callback is missing")?;
    if text.len() > LONGEST_CALLBACK {
        return Err(format!(
            "hub.callback is longer than {LONGEST_CALLBACK} bytes"
        ));
    }
    let url = SecretUrl::parse(text).map_err(|error| format!("hub.callback is no URL: {error}"))?;
    if url.expose().fragment().is_some() {
        return Err("hub.callback has a fragment".to_owned());
    }
    let egress = &request.settings.config.egress;
    let judged = judge_url(egress, url.expose());
    judged.map_err(|refusal| format!("hub.callback cannot be sent to: {refusal}"))?;
    Ok(url)
}

/// For how long; without a wish, as `PubSubHubbub` 0.3 writes it too, for as long as is usual here.
fn lease(fields: &Fields, lease: &config::Lease) -> Result<Duration, String> {
    let Some(text) = fields.filled("hub.lease_seconds") else {
        return Ok(lease.default);
    };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = text.bytes().all(|byte| byte == b'0');
    if !is_number || is_zero {
        return Err("hub.lease_seconds should be a whole number above zero".to_owned());
    }
    // Longer than any number we have is too long as well.
    let wished = Duration::from_secs(text.parse().unwrap_or(u64::MAX));
    Ok(wished.clamp(lease.min, lease.max))
}

/// Whether the reader wants to be asked before it is answered: of the ways that it names, the first
/// that there is.
fn is_sync(fields: &Fields) -> Result<bool, String> {
    let mut named = fields
        .all("hub.verify")
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .peekable();
    if named.peek().is_none() {
        return Ok(false);
    }
    let mut known = named.filter_map(|value| match value {
        "sync" => Some(true),
        "async" => Some(false),
        _ => None,
    });
    let first = known.next();
    first.ok_or_else(|| "hub.verify names neither sync nor async".to_owned())
}
