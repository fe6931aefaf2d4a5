//! Makes an event of a verified payload and the headers that came with it.

use std::sync::Arc;

use hyper::HeaderMap;
use uuid::Uuid;

use super::payload::{self, NotAnEvent};
use super::verify::Verified;
use crate::clock::Timestamp;
use crate::event::{Event, Facts, is_name};

/// A longer delivery id is not one; in bytes.
const LONGEST_ID: usize = 200;

/// The event in a verified payload, with what routing needs.
///
/// Its name is `X-Gogs-Event`, else `X-GitHub-Event`; `unknown` unless `[a-z0-9_]{1,40}`. Its id
/// is `X-Gogs-Delivery`, else `X-GitHub-Delivery`, of 1 to 200 visible ASCII characters, else a
/// new UUID.
///
/// # Errors
/// The payload is no JSON object of sane depth, or a message for a chat service.
pub fn decode(
    verified: Verified,
    headers: &HeaderMap,
    received: Timestamp,
) -> Result<(Event, Facts), NotAnEvent> {
    let (source, body) = verified.into_parts();
    let decoded = payload::read(event_name(headers), &body)?;
    let event = Event {
        source,
        name: Arc::from(decoded.name),
        delivery_id: delivery_id(headers),
        received,
        body,
    };
    Ok((event, decoded.facts))
}

/// The facts of an event that is stored or given; none, where its body is no payload.
pub fn facts(event: &Event) -> Facts {
    let decoded = payload::read(&event.name, &event.body);
    decoded.map(|decoded| decoded.facts).unwrap_or_default()
}

fn event_name(headers: &HeaderMap) -> &str {
    let name = first_of(headers, ["x-gogs-event", "x-github-event"]);
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    name.filter(|name| is_name(name)).unwrap_or("unknown")
}

fn delivery_id(headers: &HeaderMap) -> Arc<str> {
    let id = first_of(headers, ["x-gogs-delivery", "x-github-delivery"]);
    let id = id.filter(|id| id.len() <= LONGEST_ID && id.iter().all(u8::is_ascii_graphic));
    match id.and_then(|id| std::str::from_utf8(id).ok()) {
        Some(id) => Arc::from(id),
        None => Arc::from(Uuid::new_v4().to_string()),
    }
}

/// The value of the first of these headers that has one.
fn first_of<'a>(headers: &'a HeaderMap, names: [&str; 2]) -> Option<&'a [u8]> {
    let value = |name| headers.get(name).map(|value| value.as_bytes().trim_ascii());
    names
        .into_iter()
        .filter_map(value)
        .find(|value| !value.is_empty())
}
