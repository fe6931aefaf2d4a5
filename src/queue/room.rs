//! Room in memory for one large event that is handed out. Whoever asks for the event brings it, and
//! it is given back when the last has gone that has the event's body.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// Room for an event of so many bytes. Small events need none. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Room {
    bytes: usize,
    _share: Option<Arc<OwnedSemaphorePermit>>,
}

impl Room {
    /// For small events alone.
    pub fn none() -> Room {
        Room {
            bytes: 0,
            _share: None,
        }
    }

    /// For whatever there is, beside all limits.
    pub fn any() -> Room {
        Room {
            bytes: usize::MAX,
            _share: None,
        }
    }

    /// For `bytes`, which are a share of some limit.
    pub fn of(bytes: usize, share: OwnedSemaphorePermit) -> Room {
        Room {
            bytes,
            _share: Some(Arc::new(share)),
        }
    }

    pub(super) fn holds(&self, bytes: usize) -> bool {
        bytes <= self.bytes
    }
}

/// A body in memory, with the room that it takes.
#[derive(Debug)]
pub(super) struct Roomy {
    body: Bytes,
    _room: Room,
}

impl Roomy {
    pub(super) fn new(body: Bytes, room: Room) -> Arc<Roomy> {
        Arc::new(Roomy { body, _room: room })
    }
}

/// What keeps such a body in memory.
pub(super) struct Shared(pub(super) Arc<Roomy>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.body
    }
}
