//! Finds the newest event of a repository among those that are kept.

use tracing::warn;

use crate::event::{Event, EventId};
use crate::hook::Repository;
use crate::queue::{Filter, Queue};

/// So often a search of 25 ms may go on.
const SEARCHES: usize = 20;

/// The repository's newest event, of this name if one is given.
pub async fn newest(
    queue: &Queue,
    repository: &Repository,
    name: Option<&str>,
) -> Option<(EventId, Event)> {
    let filter = Filter {
        source: Some(repository.source.to_string()),
        event: name.map(str::to_owned),
        repo: Some(repository.name.clone()),
        ..Filter::default()
    };
    let mut cursor = None;
    for _ in 0..SEARCHES {
        let found = queue.find(filter.clone(), cursor, 1).await;
        let found = found
            .inspect_err(|error| warn!("cannot look for events of a repository: {error}"))
            .ok()?;
        if let Some(delivery) = found.deliveries.first() {
            let event = queue.event(delivery.event).await.ok()??;
            return Some((delivery.event, event));
        }
        cursor = Some(found.next?);
    }
    None
}
