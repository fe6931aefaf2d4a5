//! The calls about what was sent to a hook: each attempt that the trail tells is a delivery.

use hyper::StatusCode;
use hyper::header::LINK;
use serde_json::Value;

use super::super::call::Call;
use super::super::{Answer, json};
use super::fault::Fault;
use super::{hooks, links, shapes};
use crate::delivery::Attempt;
use crate::hook::Hook;
use crate::queue::{Attempted, QueueError};

/// What cursors begin with.
const CURSOR: &str = "v1_";

pub(super) async fn list(call: &Call<'_>, hook: &Hook) -> Result<Answer, Fault> {
    let takes = match links::given(call.query, "status").as_deref() {
        None | Some("") => |_: &Attempt| true,
        Some("success") => |attempt: &Attempt| (200..400).contains(&shapes::status_code(attempt)),
        Some("failure") => |attempt: &Attempt| (400..600).contains(&shapes::status_code(attempt)),
        Some(_) => return Err(Fault::invalid("status")),
    };
    let from = match links::given(call.query, "cursor").as_deref() {
        None | Some("") => None,
        Some(cursor) => {
            let id = cursor.strip_prefix(CURSOR).and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| Fault::invalid("cursor"))?)
        }
    };
    let queue = &call.means.queue;
    let per_page = links::per_page(call.query);
    let page = queue.attempts(&hook.lane(), from, per_page, takes).await?;
    let mut shown = Vec::with_capacity(page.found.len());
    for attempted in &page.found {
        let event = queue.event(attempted.delivery.event).await?;
        shown.push(shapes::item(attempted, event.as_ref()));
    }
    let around = [("prev", page.newer), ("next", page.older)];
    let around = around
        .into_iter()
        .filter_map(|(relation, id)| Some((relation, id?)));
    let pages: Vec<_> = around
        .map(|(relation, id)| (relation, format!("{CURSOR}{id}")))
        .collect();
    let url = format!("{}/deliveries", shapes::hook_url(hook, &hooks::base(call)));
    let link = links::to_pages(&url, call.query, "cursor", &pages);
    let answer = json(StatusCode::OK, Value::from(shown).to_string());
    Ok(hooks::with_header(answer, LINK, link))
}

pub(super) async fn get(call: &Call<'_>, hook: &Hook, id: u64) -> Result<Answer, Fault> {
    let attempted = find(call, hook, id).await?;
    let event = call.means.queue.event(attempted.delivery.event).await?;
    let shown = shapes::delivery(&attempted, event.as_ref(), hook);
    Ok(json(StatusCode::OK, shown.to_string()))
}

/// Sends the same event again under the same GUID, to the hook as it is now. One that still waits
/// for its next try is not doubled.
pub(super) async fn redeliver(call: &Call<'_>, hook: &Hook, id: u64) -> Result<Answer, Fault> {
    let event = find(call, hook, id).await?.delivery.event;
    match call.means.queue.redeliver(event, &[hook.lane()]).await {
        Ok(_) => Ok(json(StatusCode::ACCEPTED, "{}")),
        Err(QueueError::NoSuchEvent(_)) => Err(Fault::NotFound),
        Err(error) => Err(error.into()),
    }
}

async fn find(call: &Call<'_>, hook: &Hook, id: u64) -> Result<Attempted, Fault> {
    let found = call.means.queue.attempt(&hook.lane(), id).await?;
    found.ok_or(Fault::NotFound)
}
