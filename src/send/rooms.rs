//! How much memory large events may take together while they are sent.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::queue::Room;

/// Hands out room, in the order of asking.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    bytes: usize,
    free: Arc<Semaphore>,
}

impl Rooms {
    /// For `bytes` together.
    pub(crate) fn new(bytes: usize) -> Rooms {
        let bytes = bytes.clamp(1, u32::MAX as usize);
        Rooms {
            bytes,
            free: Arc::new(Semaphore::new(bytes)),
        }
    }

    /// Room for one event of so many bytes; one that is larger than all together has all of it.
    pub(crate) async fn room(&self, bytes: usize) -> Room {
        let share = u32::try_from(bytes.min(self.bytes)).unwrap_or(u32::MAX);
        match self.free.clone().acquire_many_owned(share).await {
            Ok(share) => Room::of(bytes, share),
            // It is never closed.
            Err(_) => Room::any(),
        }
    }
}
