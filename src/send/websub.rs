//! WebSub's content distribution: the content of a topic with its type, its links, and one
//! signature where the reader gave a secret.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK};
use secrecy::ExposeSecret;
use sha2::{Sha384, Sha512};

use crate::clock::Timestamp;
use crate::delivery::Reason;
use crate::destination::{Method, WebSub};
use crate::event::Event;
use crate::hook::Form;
use crate::ingest::decode;
use crate::send::github::hmac_sha1;
use crate::send::gogs::{self, event_name, hex_value, hmac_sha256};
use crate::send::transport::Answer;
use crate::send::verdict::{Judgement, Verdict};
use crate::send::voice::Voice;

/// The body for a payload, and its headers but for those that tell who sends it and under which
/// id. `hub` is `None` when it is switched off, and something still waits.
pub fn request(
    to: &WebSub,
    event: &Event,
    json: &Bytes,
    hub: Option<Voice<'_>>,
) -> (HeaderMap, Bytes) {
    let (content_type, body) = content(to.form, event, json);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type);
    let tells = HeaderName::from_static("x-github-event");
    headers.insert(tells, event_name(event));
    headers.extend(
        hub.and_then(|hub| hub.link(&to.topic))
            .map(|link| (LINK, link)),
    );
    if let Some(secret) = &to.secret {
        let method = hub.map_or(Method::Sha256, |hub| hub.signature);
        let signature = sign(method, secret.expose_secret().as_bytes(), &body);
        let name = HeaderName::from_static("x-hub-signature");
        headers.insert(name, hex_value(&signature));
    }
    (headers, body)
}

/// What a topic's content is for an event, and its type: the same for who is sent it and for who
/// asks for it.
pub fn content(form: Form, event: &Event, json: &Bytes) -> (HeaderValue, Bytes) {
    match form {
        Form::Json => (HeaderValue::from_static("application/json"), json.clone()),
        Form::Text => {
            let line = decode::facts(event).summary(&event.name) + "\n";
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            (text, line.into())
        }
    }
}

/// Reads a reader's answer. Whatever is no success is a failure that is tried again, but 410: then
/// the reader wants no more.
pub fn judge(answer: &Answer, now: Timestamp) -> Judgement {
    match answer.status {
        300..=399 => {
            let verdict = Verdict::Retry {
                reason: Reason::Redirect,
                wait: None,
            };
            let words = format!(
                "the reader answered {}: redirects are never followed",
                answer.status
            );
            Judgement::new(verdict, words)
        }
        _ => gogs::judge(answer, now),
    }
}

/// `sha256=` and the HMAC in hexadecimal.
fn sign(method: Method, key: &[u8], body: &[u8]) -> String {
    let digest = match method {
        Method::Sha1 => hmac_sha1(key, body).to_vec(),
        Method::Sha256 => hmac_sha256(key, body).to_vec(),
        Method::Sha384 => hmac::<Hmac<Sha384>>(key, body),
        Method::Sha512 => hmac::<Hmac<Sha512>>(key, body),
    };
    format!("{}={}", method.name(), hex::encode(digest))
}

fn hmac<M: Mac + KeyInit>(key: &[u8], body: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length");
    };
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        let (key, body) = (b"Jefe", b"what do ya want for nothing?");
        for (method, begins) in [
            (
                Method::Sha1,
                "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            (Method::Sha256, "sha256=5bdcc146bf60754e6a042426089575c7"),
            (Method::Sha384, "sha384=af45d2e376484031617f78d2b58a6b1b"),
            (Method::Sha512, "sha512=164b7a7bfcf819e2e395fbe73b56e0a3"),
        ] {
            let signature = sign(method, key, body);
            assert!(signature.starts_with(begins), "{signature}");
        }
    }
}
