//! GitHub's webhooks: the payload as it came, in GitHub's headers, with both of its signatures.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::destination::GitHub;
use crate::event::Event;
use crate::send::gogs::{event_name, hex_value, hmac_sha256, wrapped};

/// The body for a JSON text, in the hook's content type, and its headers but for those that tell
/// who sends it and under which id.
///
/// With a secret, `X-Hub-Signature` and `X-Hub-Signature-256` are over the raw body, so over the
/// form's text in a form; without one there are none.
pub fn request(to: &GitHub, event: &Event, json: &Bytes) -> (HeaderMap, Bytes) {
    let (content_type, body) = wrapped(to.content_type, json);
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONTENT_TYPE, content_type);
    let mut tell = |name, value| headers.insert(HeaderName::from_static(name), value);
    tell("x-github-event", event_name(event));
    tell("x-github-hook-id", to.hook.into());
    tell(
        "x-github-hook-installation-target-type",
        HeaderValue::from_static("repository"),
    );
    if let Some(repository) = repository_id(json) {
        tell("x-github-hook-installation-target-id", repository.into());
    }
    if let Some(secret) = &to.secret {
        let key = secret.expose_secret().as_bytes();
        let sha1 = format!("sha1={}", hex::encode(hmac_sha1(key, &body)));
        let sha256 = format!("sha256={}", hex::encode(hmac_sha256(key, &body)));
        tell("x-hub-signature", hex_value(&sha1));
        tell("x-hub-signature-256", hex_value(&sha256));
    }
    (headers, body)
}

/// The heads of a request and of its answer, if one came, to be kept beside the delivery:
/// `{"request": {name: value}, "response": {name: value} or null}`, with names as GitHub writes
/// them. Values hold no secret: a signature does not give its key away.
pub(crate) fn heads(request: &HeaderMap, answer: Option<&HeaderMap>) -> Bytes {
    let heads = json!({ "request": head(request), "response": answer.map(head) });
    heads.to_string().into()
}

fn head(headers: &HeaderMap) -> Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let line = |name: &HeaderName| {
        let values: Vec<String> = headers.get_all(name).iter().map(text).collect();
        (shown_name(name.as_str()), Value::from(values.join(", ")))
    };
    Value::Object(headers.keys().map(line).collect())
}

/// `X-GitHub-Hook-ID` for `x-github-hook-id`.
fn shown_name(name: &str) -> String {
    let words = name.split('-').map(|word| match word {
        "github" => "GitHub".to_owned(),
        "id" => "ID".to_owned(),
        word => {
            let (first, rest) = word.split_at(usize::from(word.is_char_boundary(1)));
            first.to_uppercase() + rest
        }
    });
    words.collect::<Vec<_>>().join("-")
}

/// The id of the repository that a payload is about, if it says one.
pub(crate) fn repository_id(json: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Payload {
        repository: Repository,
    }
    #[derive(Deserialize)]
    struct Repository {
        id: u64,
    }
    let payload: Payload = serde_json::from_slice(json).ok()?;
    Some(payload.repository.id)
}

pub(crate) fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length");
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::destination::{ContentType, SecretUrl};

    fn sent(content_type: ContentType, secret: Option<&str>, json: &str) -> (HeaderMap, Bytes) {
        let event = Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: "f6266f16-1bf3-46a5-9ea4-602e06ead473".into(),
            received: Timestamp(0),
            body: Bytes::copy_from_slice(json.as_bytes()),
        };
        let to = GitHub {
            url: SecretUrl::parse("http://127.0.0.1:9/hook").unwrap(),
            secret: secret.map(|secret| secret.to_owned().into()),
            content_type,
            insecure_ssl: false,
            hook: 71,
            repository: "ana/boat".to_owned(),
        };
        request(&to, &event, &event.body)
    }

    #[test]
    fn both_signatures_are_over_the_raw_body_in_either_content_type() {
        const JSON: &str = r#"{"zen":"hi there & bye"}"#;
        for (content_type, body, sha1, sha256) in [
            (
                ContentType::Json,
                JSON,
                "sha1=316c46bba78555372f9f0af7ba8a92a99710b3ee",
                "sha256=73914568e26946092dc338cd2087500a7a8f1970b89c0d4db0dc6c497c265d5b",
            ),
            (
                ContentType::Form,
                "payload=%7B%22zen%22%3A%22hi+there+%26+bye%22%7D",
                "sha1=d52ddf33b38f4bb4e30938037090d3f451edcd25",
                "sha256=90c4cc4b81ae5e78401527afddd23576eaabdb76772276bb3480953be16e2180",
            ),
        ] {
            let (headers, sent) = sent(content_type, Some("s3cr3t"), JSON);
            assert_eq!(sent, body);
            assert_eq!(headers["x-hub-signature"], sha1);
            assert_eq!(headers["x-hub-signature-256"], sha256);
        }
    }

    #[test]
    fn heads_are_kept_under_the_names_that_github_writes() {
        let (headers, _) = sent(ContentType::Json, None, "{}");
        let mut answer = HeaderMap::new();
        answer.append("set-cookie", HeaderValue::from_static("a"));
        answer.append("set-cookie", HeaderValue::from_static("b"));
        let kept: Value = serde_json::from_slice(&heads(&headers, Some(&answer))).unwrap();
        assert_eq!(kept["request"]["X-GitHub-Hook-ID"], "71");
        assert_eq!(kept["response"], json!({ "Set-Cookie": "a, b" }));
        let kept: Value = serde_json::from_slice(&heads(&headers, None)).unwrap();
        assert_eq!(kept["response"], Value::Null);
    }

    #[test]
    fn headers_tell_the_hook_and_the_repository_as_far_as_the_payload_names_it() {
        let (headers, body) = sent(
            ContentType::Json,
            None,
            r#"{"repository":{"id":140,"x":1}}"#,
        );
        assert_eq!(body, r#"{"repository":{"id":140,"x":1}}"#);
        assert_eq!(headers["accept"], "*/*");
        assert_eq!(headers["x-github-event"], "push");
        assert_eq!(headers["x-github-hook-id"], "71");
        let target = "x-github-hook-installation-target";
        assert_eq!(headers[format!("{target}-type")], "repository");
        assert_eq!(headers[format!("{target}-id")], "140");
        assert!(
            !headers
                .keys()
                .any(|name| name.as_str().contains("signature"))
        );
        for unknown in [
            "{}",
            r#"{"repository":null}"#,
            r#"{"repository":{"id":"7"}}"#,
        ] {
            let (headers, _) = sent(ContentType::Json, None, unknown);
            assert!(!headers.contains_key(format!("{target}-id")), "{unknown}");
        }
    }
}
