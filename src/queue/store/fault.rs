//! Why the database could not do something.

use std::io;

use crate::queue::chunk::Damaged;

/// The database could not do it.
#[derive(Debug, thiserror::Error)]
pub(in crate::queue) enum Fault {
    #[error("the database is closed")]
    Closed,
    #[error("the database gave up: {0}")]
    Database(#[source] sled::Error),
    #[error("the database could not be synced: {0}")]
    Sync(#[from] io::Error),
    #[error("the database panicked")]
    Panicked,
    #[error("{0}")]
    Damaged(#[from] Damaged),
    /// Nothing is wrong, but whoever reads it has to ask for room in memory first.
    #[error("the event takes {0} bytes of memory")]
    Large(usize),
}

impl Fault {
    /// What is on the disk is not what was written. The database panics on some of it.
    pub(in crate::queue) fn is_damage(&self) -> bool {
        matches!(self, Fault::Damaged(_) | Fault::Panicked)
    }
}

impl From<sled::Error> for Fault {
    fn from(error: sled::Error) -> Fault {
        match error {
            sled::Error::Corruption { .. } => Fault::Damaged(Damaged),
            // The file ends before something that it refers to.
            sled::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Fault::Damaged(Damaged)
            }
            other => Fault::Database(other),
        }
    }
}
