//! One question to a reader: whether it meant what was asked for in its name. Follows nothing,
//! reads no more than the answer that is wanted, and takes no other for it.

use std::time::Duration;

use bytes::Bytes;
use form_urlencoded::Serializer;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue, USER_AGENT};
use url::Url;
use uuid::Uuid;

use super::pending::{Mode, Pending};
use crate::destination::{Reach, Trust};
use crate::send::transport::{Answer, Failure, Request, Transport};

/// An answer takes at most so long, from dialling to its end.
const TIMEOUT: Duration = Duration::from_secs(10);

const AGENT: &str = concat!("gogs-relay/", env!("CARGO_PKG_VERSION"));

/// What a reader says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Yes,
    /// It does not want it, or never can say so: in words.
    No(String),
    /// It may say something when it is asked again: in words.
    Nothing(String),
}

/// Asks once.
pub(super) async fn ask(transport: &Transport, pending: &Pending) -> Said {
    // 244 random bits.
    let challenge = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let url = question(pending, &challenge);
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let request = Request {
        method: Method::GET,
        url: &url,
        reach: Reach::Stored,
        trust: Trust::Verified,
        headers,
        body: Bytes::new(),
        // One byte more shows that it is another answer.
        most: challenge.len() + 1,
    };
    match transport.call(request, TIMEOUT).await {
        Ok(answer) => heard(pending.mode, &answer, &challenge),
        Err(Failure::Forbidden(refusal)) => Said::No(refusal.to_string()),
        Err(Failure::Trouble { words, .. }) => Said::Nothing(words),
    }
}

/// The callback with the question added to its own query, which stays as it was written.
fn question(pending: &Pending, challenge: &str) -> Url {
    let mut url = pending.callback.expose().clone();
    let mut query = Serializer::new(String::new());
    query.append_pair("hub.mode", pending.mode.name());
    query.append_pair("hub.topic", &pending.topic);
    match pending.mode {
        Mode::Denied => {
            query.append_pair("hub.reason", "the topic is no longer for everybody");
        }
        Mode::Subscribe | Mode::Unsubscribe => {
            query.append_pair("hub.challenge", challenge);
        }
    }
    if pending.mode == Mode::Subscribe {
        query.append_pair("hub.lease_seconds", &pending.lease.as_secs().to_string());
    }
    if let Some(token) = &pending.verify_token {
        query.append_pair("hub.verify_token", token);
    }
    let added = query.finish();
    let query = match url.query() {
        Some(own) if !own.is_empty() => format!("{own}&{added}"),
        _ => added,
    };
    url.set_query(Some(&query));
    url
}

fn heard(mode: Mode, answer: &Answer, challenge: &str) -> Said {
    let said = format!("it answered {}", answer.status);
    match answer.status {
        // It was told, whatever it makes of that.
        200..=499 if mode == Mode::Denied => Said::Yes,
        200..=299 if answer.cut.is_some() => Said::Nothing(format!("{said}, and broke off")),
        200..=299 if is_same(&answer.body, challenge.as_bytes()) => Said::Yes,
        200..=299 => Said::No(format!("{said} without the challenge")),
        408 | 429 | 500..=599 => Said::Nothing(said),
        _ => Said::No(said),
    }
}

/// Takes the same time wherever the first difference is.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let differing = |all, (a, b): (&u8, &u8)| all | (a ^ b);
    given.len() == wanted.len() && given.iter().zip(wanted).fold(0, differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::destination::SecretUrl;
    use crate::hook::{Form, Repository};

    fn pending(mode: Mode, callback: &str) -> Pending {
        Pending {
            mode,
            topic: "http://relay.test/a/b/events/push".to_owned(),
            callback: SecretUrl::parse(callback).unwrap(),
            repository: Repository {
                source: "gogs".into(),
                name: "a/b".to_owned(),
            },
            event: "push".to_owned(),
            form: Form::Json,
            secret: None,
            lease: Duration::from_secs(60),
            verify_token: Some("a&b".to_owned()),
            open: true,
            since: Timestamp(0),
        }
    }

    #[test]
    fn a_question_keeps_the_query_of_the_callback_as_it_is() {
        let topic = "hub.topic=http%3A%2F%2Frelay.test%2Fa%2Fb%2Fevents%2Fpush";
        let asked = |mode, callback| question(&pending(mode, callback), "c").to_string();
        assert_eq!(
            asked(Mode::Subscribe, "http://r.test/in?x=%2f&hub.mode=a;b"),
            format!(
                "http://r.test/in?x=%2f&hub.mode=a;b&hub.mode=subscribe&{topic}&hub.challenge=c\
                 &hub.lease_seconds=60&hub.verify_token=a%26b"
            )
        );
        assert_eq!(
            asked(Mode::Unsubscribe, "http://r.test"),
            format!(
                "http://r.test/?hub.mode=unsubscribe&{topic}&hub.challenge=c&hub.verify_token=a%26b"
            )
        );
        let denied = asked(Mode::Denied, "http://r.test/?");
        assert!(denied.starts_with(&format!(
            "http://r.test/?hub.mode=denied&{topic}&hub.reason="
        )));
        assert!(!denied.contains("challenge"), "{denied}");
    }

    #[test]
    fn only_a_success_with_the_challenge_and_nothing_else_confirms() {
        let heard = |status, body: &str| {
            let answer = Answer {
                status,
                headers: HeaderMap::new(),
                body: Bytes::copy_from_slice(body.as_bytes()),
                cut: None,
            };
            super::heard(Mode::Subscribe, &answer, "challenge")
        };
        assert_eq!(heard(200, "challenge"), Said::Yes);
        assert_eq!(heard(299, "challenge"), Said::Yes);
        for (status, body) in [
            (200, "challenge\n"),
            (200, "challeng"),
            (200, "Challenge"),
            (200, ""),
            (301, "challenge"),
            (404, "challenge"),
        ] {
            assert!(
                matches!(heard(status, body), Said::No(_)),
                "{status} {body:?}"
            );
        }
        for status in [408, 429, 500, 503] {
            assert!(
                matches!(heard(status, "challenge"), Said::Nothing(_)),
                "{status}"
            );
        }
    }
}
