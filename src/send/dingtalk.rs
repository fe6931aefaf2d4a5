//! DingTalk's custom robots: the signed URL, and answers by `errcode`. Every answer is a 200.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::clock::Timestamp;
use crate::delivery::Reason;
use crate::destination::DingTalk;
use crate::send::gogs::hmac_sha256;
use crate::send::retry_after::Asked;
use crate::send::transport::Answer;
use crate::send::verdict::{self, Judgement, Verdict, hold};

/// A robot that was too fast is heard again after this time, says DingTalk's documentation.
const TOO_FAST: Duration = Duration::from_secs(600);

/// Where a message goes: with a secret, `timestamp` and `sign` stand in the query. A signature is
/// good for an hour.
pub fn target(to: &DingTalk, now: Timestamp) -> url::Url {
    let mut target = to.url.expose().clone();
    let Some(secret) = &to.secret else {
        return target;
    };
    let secret = secret.expose_secret();
    let time = now.0.to_string();
    let signature = hmac_sha256(secret.as_bytes(), format!("{time}\n{secret}").as_bytes());
    let kept: Vec<(String, String)> = target
        .query_pairs()
        .filter(|(name, _)| name != "timestamp" && name != "sign")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    target
        .query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair("timestamp", &time)
        .append_pair("sign", &BASE64_STANDARD.encode(signature));
    target
}

/// The robot's token, or nothing.
pub(crate) fn token(url: &url::Url) -> String {
    let mut pairs = url.query_pairs();
    let token = pairs.find(|(name, _)| name == "access_token");
    token.map_or_else(String::new, |(_, token)| token.into_owned())
}

/// Reads DingTalk's answer.
pub fn judge(answer: &Answer, now: Timestamp) -> Judgement {
    let status = answer.status;
    let read: Option<Body> = serde_json::from_slice(&answer.body).ok();
    let Some(Body { errcode, errmsg }) = read else {
        let said = format!("DingTalk answered {status}");
        return without_code(answer, said, now);
    };
    let said = format!("DingTalk answered errcode {errcode}");
    let retry = |reason, words: &str| {
        Judgement::new(
            Verdict::Retry { reason, wait: None },
            format!("{said}: {words}"),
        )
    };
    let refuses = |words| Judgement::new(hold(Reason::EndpointRefused), format!("{said}: {words}"));
    let content = |words: &str| {
        let reason = Reason::ContentRefused;
        Judgement::new(Verdict::Reshape { reason }, format!("{said}: {words}"))
    };
    match errcode {
        0 => Judgement::new(Verdict::Delivered, "DingTalk took it".to_owned()),
        -1 => retry(Reason::ServerError, "it is busy"),
        130_101 | 302_033 | 410_100 => verdict::rate_limited(&said, Some(Asked::Wait(TOO_FAST))),
        310_000 => refuses(security(&errmsg)),
        400_102 => refuses("the robot is switched off"),
        300_001 | 300_005 | 400_101 | 400_106 | 400_013 => {
            let words = "the robot or its group is gone: copy the URL anew";
            Judgement::new(hold(Reason::EndpointGone), format!("{said}: {words}"))
        }
        40_035 if errmsg.contains("access_token") => refuses("the URL has no access_token"),
        40_035 | 400_105 => content("it misses something in the message"),
        101_002 | 460_101 => content("the message is too long"),
        430_101..=430_104 => content("a filter blocked the message"),
        _ => {
            let verdict = Verdict::Reshape {
                reason: Reason::ClientError,
            };
            Judgement::new(verdict, format!("{said}, without a reason we know"))
        }
    }
}

#[derive(Deserialize)]
struct Body {
    errcode: i64,
    #[serde(default)]
    errmsg: String,
}

/// What guards DingTalk answers itself, before any robot does.
fn without_code(answer: &Answer, said: String, now: Timestamp) -> Judgement {
    if answer.is_success() {
        let verdict = Verdict::Retry {
            reason: Reason::ServerError,
            wait: None,
        };
        return Judgement::new(verdict, format!("{said} without an errcode"));
    }
    verdict::by_status("DingTalk", answer, now).unwrap_or_else(|| {
        let verdict = Verdict::Retry {
            reason: Reason::ClientError,
            wait: None,
        };
        Judgement::new(verdict, said)
    })
}

/// Which of the robot's security settings is not met; the code is the same for all.
fn security(errmsg: &str) -> &'static str {
    let lower = errmsg.to_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if names(&["keyword", "关键词"]) {
        "none of the robot's keywords is in the message; set a `secret` in their place"
    } else if names(&["timestamp", "时间戳"]) && !names(&["sign", "签名"]) {
        "this machine's clock is wrong by more than an hour"
    } else if names(&["sign", "签名"]) {
        "the signature does not match: is `secret` the robot's, and the clock right?"
    } else if names(&["whitelist", "白名单"]) {
        "this machine's address is not among those that the robot takes"
    } else {
        "the robot's security settings refuse it"
    }
}
