//! Hands a planned event to the queue, and waits while the disk has no room for it.

use std::time::Duration;

use super::budget::Patience;
use crate::queue::{Appended, Planned, Queue, QueueError, Repeats};

/// How long to wait before the queue is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Appends the event; what comes back is on stable storage.
///
/// # Errors
/// What the queue said last, when patience ended or waiting is no use.
pub(super) async fn append(
    queue: &Queue,
    planned: &Planned,
    repeats: Repeats,
    patience: &mut Patience,
) -> Result<Appended, QueueError> {
    loop {
        let refused = match queue.append(planned.clone(), repeats).await {
            Ok(appended) => return Ok(appended),
            Err(refused) => refused,
        };
        let may_pass = matches!(refused, QueueError::DiskLow | QueueError::Unavailable);
        if !may_pass || patience.pause(PAUSE).await.is_err() {
            return Err(refused);
        }
    }
}
