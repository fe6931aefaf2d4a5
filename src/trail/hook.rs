//! A hook as the own API shows it: without its secrets.

use serde_json::{Value, json};

use super::view;
use crate::destination::Destination;
use crate::hook::Hook;
use crate::queue::LaneStatus;

/// The hook, and how its lane stands if it has one.
pub fn hook(hook: &Hook, destination: &Destination, lane: Option<&LaneStatus>) -> Value {
    let subscription = hook.config.subscription.as_ref();
    json!({
        "id": hook.id,
        "source": hook.repository.source,
        "repository": hook.repository.name,
        "kind": hook.kind.name(),
        "url": hook.config.url.to_string(),
        "content_type": hook.config.content_type.name(),
        "has_secret": hook.config.secret.is_some(),
        "events": hook.events,
        "active": hook.active,
        "created": hook.created.to_string(),
        "updated": hook.updated.to_string(),
        "topic": subscription.map(|it| &it.topic),
        "until": subscription.map(|it| it.until.to_string()),
        "open": subscription.map(|it| it.open),
        "lane": lane.map(|lane| view::lane(lane, Some(destination))),
    })
}
