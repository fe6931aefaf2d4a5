//! Gogs' own format: the body and its signatures as Gogs sends them, and what answers mean.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::delivery::Reason;
use crate::destination::{ContentType, Gogs};
use crate::event::Event;
use crate::send::transport::Answer;
use crate::send::verdict::{self, Judgement, Verdict};

/// So many headers a request has at most.
const HEADERS: usize = 12;
const GOGS_EVENT: HeaderName = HeaderName::from_static("x-gogs-event");
const GITHUB_EVENT: HeaderName = HeaderName::from_static("x-github-event");
const GOGS_SIGNATURE: HeaderName = HeaderName::from_static("x-gogs-signature");
const HUB_SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const ALGORITHM: &[u8] = b"sha256=";

/// The body for a JSON text, in the destination's content type, and its headers.
///
/// `X-Gogs-Signature` is over the JSON text, and empty without a secret, as Gogs has it;
/// `X-Hub-Signature-256` is over the raw body.
pub fn request(destination: &Gogs, event: &Event, json: &Bytes) -> (HeaderMap, Bytes) {
    let (content_type, body) = wrapped(destination.content_type, json);
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(CONTENT_TYPE, content_type);
    let name = event_name(event);
    headers.insert(GOGS_EVENT, name.clone());
    headers.insert(GITHUB_EVENT, name);
    match &destination.secret {
        Some(secret) => {
            let over_json = signature(secret, json);
            let over_body = match destination.content_type {
                ContentType::Json => over_json.clone(),
                ContentType::Form => signature(secret, &body),
            };
            headers.insert(HUB_SIGNATURE, text_value(over_body));
            let digits = over_json.slice(ALGORITHM.len()..);
            headers.insert(GOGS_SIGNATURE, text_value(digits));
        }
        None => {
            headers.insert(GOGS_SIGNATURE, HeaderValue::from_static(""));
        }
    }
    (headers, body)
}

/// Reads the answer of a receiver of Gogs' format. Only its status counts.
pub fn judge(answer: &Answer, now: Timestamp) -> Judgement {
    verdict::by_status("the receiver", answer, now).unwrap_or_else(|| {
        let said = format!("the receiver answered {}", answer.status);
        if answer.status == 410 {
            let verdict = Verdict::Hold {
                reason: Reason::EndpointGone,
                probe: None,
            };
            return Judgement::new(verdict, format!("{said}: it is gone for good"));
        }
        let verdict = Verdict::Retry {
            reason: Reason::ClientError,
            wait: None,
        };
        Judgement::new(verdict, said)
    })
}

/// A JSON text in a content type, and that type's name.
pub(crate) fn wrapped(content_type: ContentType, json: &Bytes) -> (HeaderValue, Bytes) {
    let (name, body) = match content_type {
        ContentType::Json => ("application/json", json.clone()),
        ContentType::Form => ("application/x-www-form-urlencoded", form(json)),
    };
    (HeaderValue::from_static(name), body)
}

/// An event's name is always a header's value.
pub(crate) fn event_name(event: &Event) -> HeaderValue {
    HeaderValue::from_str(&event.name).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// `payload=` and the text, encoded as Go encodes forms: `A-Z a-z 0-9 - _ . ~` stay, a space is
/// `+`, every other byte is `%XX`.
fn form(json: &[u8]) -> Bytes {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut body = Vec::with_capacity(json.len() * 2);
    body.extend_from_slice(b"payload=");
    for &byte in json {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => body.push(byte),
            b' ' => body.push(b'+'),
            _ => body.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    body.into()
}

/// `sha256=` and the HMAC in hexadecimal.
fn signature(secret: &SecretString, message: &[u8]) -> Bytes {
    let mac = hmac_sha256(secret.expose_secret().as_bytes(), message);
    let mut text = [0; ALGORITHM.len() + 64];
    let (name, digits) = text.split_at_mut(ALGORITHM.len());
    name.copy_from_slice(ALGORITHM);
    // There is room for each digit.
    let _cannot_fail = hex::encode_to_slice(mac, digits);
    Bytes::copy_from_slice(&text)
}

/// A signature is always a header's value.
fn text_value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Hexadecimal digits are always a header's value.
pub(crate) fn hex_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// HMAC-SHA256, which takes a key of any length.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length");
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::SecretUrl;

    const TINY: &str = "{\n  \"ref\": \"refs/heads/main\",\n  \"before\": \"a \\u0026 b\"\n}";

    fn event() -> Event {
        Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: "f6266f16-1bf3-46a5-9ea4-602e06ead473".into(),
            received: Timestamp(0),
            body: Bytes::from_static(TINY.as_bytes()),
        }
    }

    fn destination(content_type: ContentType, secret: Option<&str>) -> Gogs {
        Gogs {
            url: SecretUrl::parse("http://127.0.0.1:9/hook").unwrap(),
            secret: secret.map(|secret| secret.to_owned().into()),
            content_type,
        }
    }

    #[test]
    fn signature_and_form_encoding_are_those_of_gogs() {
        let secret = Some("orbit-hook-s3cret");
        let event = event();
        let (headers, body) = request(&destination(ContentType::Form, secret), &event, &event.body);
        assert_eq!(
            headers["x-gogs-signature"],
            "87bdc9fc36aea98f11877f0550ee6da335473b67563dc978ee9b575e28ff85bb"
        );
        assert_eq!(
            body,
            "payload=%7B%0A++%22ref%22%3A+%22refs%2Fheads%2Fmain%22%2C%0A++%22before%22%3A+%22a+%5Cu0026+b%22%0A%7D"
        );
        let raw = hmac_sha256(b"orbit-hook-s3cret", &body);
        let hub = format!("sha256={}", hex::encode(raw));
        assert_eq!(headers["x-hub-signature-256"], hub);
    }

    #[test]
    fn without_a_secret_the_signature_is_there_and_empty() {
        let event = event();
        let (headers, body) = request(&destination(ContentType::Json, None), &event, &event.body);
        assert_eq!(headers["x-gogs-signature"], "");
        assert!(!headers.contains_key("x-hub-signature-256"));
        assert_eq!(body, event.body);
    }
}
