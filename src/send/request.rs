//! The HTTP request for a message, in each kind's format.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK, USER_AGENT};
use serde_json::Value;
use url::Url;

use crate::clock::Timestamp;
use crate::destination::Kind;
use crate::send::deliver::Errand;
use crate::send::{dingtalk, discord, github, gogs, websub};

/// The id that a receiver can drop repeats by; every request carries it, those of GitHub's kind as
/// `X-GitHub-Delivery` alone.
const DELIVERY: HeaderName = HeaderName::from_static("x-gogs-delivery");
const GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

const PLAIN_AGENT: &str = concat!("gogs-relay/", env!("CARGO_PKG_VERSION"));
/// Discord wants this form, and its shield blocks others.
const DISCORD_AGENT: &str = concat!(
    "DiscordBot (",
    env!("CARGO_PKG_HOMEPAGE"),
    ", ",
    env!("CARGO_PKG_VERSION"),
    ")"
);
/// Receivers of Gogs' format may look at it.
const GOGS_AGENT: &str = "GogsServer";
/// Receivers know GitHub's webhooks by how it begins.
const GITHUB_AGENT: &str = concat!("GitHub-Hookshot/gogs-relay-", env!("CARGO_PKG_VERSION"));

/// What is posted. Without `Debug`: all of it is confidential.
pub(crate) struct Outgoing<'a> {
    pub(crate) url: Cow<'a, Url>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The request for a rendered body, to be sent `now`; `None` for the console, which has no address.
pub(crate) fn build<'a>(
    errand: Errand<'a>,
    message: &Bytes,
    now: Timestamp,
) -> Option<Outgoing<'a>> {
    let (event, hub) = (errand.event, errand.hub);
    let id = header_text(&event.delivery_id);
    let (url, agent, mut headers, body) = match &errand.destination.kind {
        Kind::Console => return None,
        Kind::Slack(slack) => {
            let url = Cow::Borrowed(slack.url.expose());
            (url, PLAIN_AGENT, json_headers(), message.clone())
        }
        Kind::DingTalk(to) => {
            let url = Cow::Owned(dingtalk::target(to, now));
            (url, PLAIN_AGENT, json_headers(), message.clone())
        }
        Kind::Discord(to) => {
            let url = discord::target(to.url.expose(), to.thread_id.as_deref());
            (
                Cow::Owned(url),
                DISCORD_AGENT,
                json_headers(),
                message.clone(),
            )
        }
        Kind::Gogs(to) => {
            let (mut headers, body) = gogs::request(to, event, message);
            headers.insert(GITHUB_DELIVERY, id.clone());
            (Cow::Borrowed(to.url.expose()), GOGS_AGENT, headers, body)
        }
        Kind::GitHub(to) => {
            let (mut headers, body) = github::request(to, event, message);
            let topic = hub.and_then(|hub| hub.topic(to, &event.name));
            if let (Some(hub), Some(topic)) = (hub, topic) {
                headers.extend(hub.link(&topic).map(|link| (LINK, link)));
            }
            headers.insert(USER_AGENT, HeaderValue::from_static(GITHUB_AGENT));
            headers.insert(GITHUB_DELIVERY, id);
            let url = Cow::Borrowed(to.url.expose());
            return Some(Outgoing { url, headers, body });
        }
        Kind::WebSub(to) => {
            let (mut headers, body) = websub::request(to, event, message, hub);
            headers.insert(GITHUB_DELIVERY, id.clone());
            (Cow::Borrowed(to.url.expose()), PLAIN_AGENT, headers, body)
        }
    };
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(DELIVERY, id);
    Some(Outgoing { url, headers, body })
}

/// The body without its `channel`, and that channel; `None` when it names none.
pub(crate) fn without_channel(body: &[u8]) -> Option<(Bytes, String)> {
    let mut object = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => object,
        _ => return None,
    };
    let channel = object.remove("channel")?;
    let channel = channel.as_str().unwrap_or("").to_owned();
    let body = serde_json::to_vec(&object).ok()?;
    Some((body.into(), channel))
}

fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// An id as a header: what a header cannot carry is left out.
fn header_text(text: &str) -> HeaderValue {
    if let (true, Ok(value)) = (
        text.bytes().all(|byte| byte.is_ascii_graphic()),
        HeaderValue::from_str(text),
    ) {
        return value;
    }
    let fits: String = text.chars().filter(char::is_ascii_graphic).collect();
    HeaderValue::from_str(&fits).unwrap_or_else(|_| HeaderValue::from_static(""))
}
