//! What is known of a repository: what its newest event says that is kept.

use serde_json::{Map, Value};

use super::call::Call;
use crate::event::Event;
use crate::hook::Repository;
use crate::plan::mend_surrogates;
use crate::trail;

/// The repository's newest event, of this name if one is given.
pub(super) async fn newest(
    call: &Call<'_>,
    repository: &Repository,
    name: Option<&str>,
) -> Option<Event> {
    let newest = trail::newest(&call.means.queue, repository, name).await;
    newest.map(|(_, event)| event)
}

/// The repository as the payload of its newest event has it.
pub(super) async fn payload_of(
    call: &Call<'_>,
    repository: &Repository,
) -> Option<Map<String, Value>> {
    let event = newest(call, repository, None).await?;
    let mut payload: Value = serde_json::from_slice(&mend_surrogates(&event.body)).ok()?;
    match payload.get_mut("repository")?.take() {
        Value::Object(told) => Some(told),
        _ => None,
    }
}
