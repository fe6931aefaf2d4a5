//! What is known of a repository: what its newest event says that is kept.

use serde_json::{Map, Value};
use tracing::warn;

use super::call::Call;
use crate::event::Event;
use crate::hook::Repository;
use crate::plan::mend_surrogates;
use crate::queue::Filter;

/// So often a search of 25 ms may go on.
const SEARCHES: usize = 20;

/// The repository's newest event, of this name if one is given.
pub(super) async fn newest(
    call: &Call<'_>,
    repository: &Repository,
    name: Option<&str>,
) -> Option<Event> {
    let filter = Filter {
        source: Some(repository.source.to_string()),
        event: name.map(str::to_owned),
        repo: Some(repository.name.clone()),
        ..Filter::default()
    };
    let queue = &call.means.queue;
    let mut cursor = None;
    for _ in 0..SEARCHES {
        let found = queue.find(filter.clone(), cursor, 1).await;
        let found = found
            .inspect_err(|error| warn!("cannot look for events of a repository: {error}"))
            .ok()?;
        if let Some(delivery) = found.deliveries.first() {
            return queue.event(delivery.event).await.ok()?;
        }
        cursor = Some(found.next?);
    }
    None
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
