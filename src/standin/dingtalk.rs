//! A DingTalk robot: its signature, its limit of twenty a minute, and answers that are always 200.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Received, Script, Service};
use crate::send::gogs::hmac_sha256;

/// A little shorter than a minute, because requests travel for different times.
const RATE: (usize, Duration) = (20, Duration::from_millis(59_900));
/// How old a signature may be, in milliseconds.
const OLDEST: i64 = 3_600_000;

/// Stands in for a robot.
#[derive(Default)]
pub struct FakeDingTalk {
    secret: Option<String>,
    /// When the latest requests came.
    requests: VecDeque<Duration>,
}

impl FakeDingTalk {
    /// Wants requests signed with this secret.
    pub fn with_secret(secret: &str) -> FakeDingTalk {
        FakeDingTalk {
            secret: Some(secret.to_owned()),
            ..FakeDingTalk::default()
        }
    }

    /// The first thing that is wrong, as DingTalk would say it.
    fn check(&self, request: &Received) -> Result<(), (i64, &'static str)> {
        let query = |wanted: &str| {
            let (_, query) = request.target.split_once('?')?;
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let (_, value) = pairs.find(|(name, _)| name == wanted)?;
            Some(value.into_owned())
        };
        if request.method != "POST" {
            return Err((43_002, "POST is needed"));
        }
        if !request
            .header("content-type")
            .starts_with("application/json")
        {
            return Err((43_004, "invalid Content-Type"));
        }
        match query("access_token") {
            None => return Err((40_035, "missing parameter access_token")),
            Some(token) if token != TOKEN => return Err((300_005, "token is not exist")),
            Some(_) => {}
        }
        if let Some(secret) = &self.secret {
            let time = query("timestamp").unwrap_or_default();
            let age = time
                .parse()
                .map_or(i64::MAX, |then: i64| (request.time.0 - then).abs());
            if age > OLDEST {
                return Err((310_000, "invalid timestamp"));
            }
            let text = format!("{time}\n{secret}");
            let signature = hmac_sha256(secret.as_bytes(), text.as_bytes());
            if query("sign") != Some(BASE64_STANDARD.encode(signature)) {
                return Err((310_000, "sign not match"));
            }
        }
        if request.body.len() > 20_000 {
            return Err((460_101, "message too long, exceed 20000 bytes"));
        }
        check_message(&request.json())
    }
}

const TOKEN: &str = "566cc69da782ec";

/// Each type with what it needs.
const NEEDED: [(&str, &[&str]); 4] = [
    ("text", &["content"]),
    ("markdown", &["title", "text"]),
    ("actionCard", &["title", "text", "singleTitle", "singleURL"]),
    ("link", &["title", "text", "messageUrl"]),
];

fn check_message(message: &Value) -> Result<(), (i64, &'static str)> {
    let kind = message["msgtype"].as_str().unwrap_or_default();
    let needed = NEEDED.iter().find(|(name, _)| *name == kind);
    let Some((_, needed)) = needed else {
        return Err((400_105, "unsupported msgtype"));
    };
    let has = |name: &&str| {
        let text = message[kind][*name].as_str().unwrap_or_default();
        let is_address = name.ends_with("URL") || name.ends_with("Url");
        match is_address {
            true => url::Url::parse(text).is_ok_and(|url| url.has_host()),
            false => !text.trim().is_empty(),
        }
    };
    match needed.iter().all(has) {
        true => Ok(()),
        false => Err((40_035, "missing parameter")),
    }
}

impl Service for FakeDingTalk {
    fn answer(&mut self, request: &Received) -> (Script, Vec<String>) {
        let (most, per) = RATE;
        self.requests.push_back(request.at);
        self.requests.retain(|time| request.at < *time + per);
        let checked = match self.requests.len() > most {
            true => Err((130_101, "send too fast, exceed 20 times per minute")),
            false => self.check(request),
        };
        match checked {
            Ok(()) => (
                Script::json(200, &json!({"errcode": 0, "errmsg": "ok"})),
                Vec::new(),
            ),
            Err((code, words)) => (
                Script::json(200, &json!({"errcode": code, "errmsg": words})),
                vec![format!("{code} {words}")],
            ),
        }
    }

    fn path(&self) -> &'static str {
        "/robot/send?access_token=566cc69da782ec"
    }
}
