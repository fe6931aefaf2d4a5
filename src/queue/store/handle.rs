//! The open database: how it is opened with care, and closed.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tracing::warn;

use crate::queue::files::{repair_before_open, set_snapshots_aside, sync_files};
use crate::queue::inspect;

/// sled's own default is 1 GB.
const CACHE: u64 = 8 << 20;
/// sled's old handle holds its lock for some milliseconds after closing.
const LOCK_TRIES: u32 = 100;

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) db: sled::Db,
    pub(super) file: File,
}

impl Handle {
    /// Opens or makes the database, and brings all of it on stable storage.
    ///
    /// # Errors
    /// In words, with what can be done where it is damaged.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Handle> {
        repair_before_open(folder)?;
        let db = match open_sled(folder) {
            Ok(db) => db,
            // A full disk is no damage: the snapshot is not to blame.
            Err(sled::Error::Io(first)) if first.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(first).context("open the queue's database");
            }
            Err(first) => {
                if !set_snapshots_aside(folder)? {
                    return Err(first).context(is_damaged(folder));
                }
                warn!(error = %first, "opening the queue's database again without its snapshot");
                // Without it the database replays its whole file.
                refuse_damaged(folder, None)?;
                open_sled(folder).context(is_damaged(folder))?
            }
        };
        catch_unwind(AssertUnwindSafe(|| db.flush().map(drop)))
            .unwrap_or(Err(sled::Error::ReportableBug("panic in flush".into())))
            .context("write to the queue's database")?;
        sync_files(folder).context("sync the queue's files")?;
        let file = File::open(folder.join("db")).context("open the queue's file")?;
        Ok(Handle { db, file })
    }

    /// Says whether it was closed in order.
    pub(super) fn close(handle: Option<Handle>) -> bool {
        // Dropping the last handle makes sled write what it still has, which may panic.
        let closed = catch_unwind(AssertUnwindSafe(move || drop(handle)));
        if closed.is_err() {
            warn!("the database panicked while it was closed");
        }
        closed.is_ok()
    }
}

/// Damage that the database would not see, or see only after it has written over what is behind.
pub(super) fn refuse_damaged(folder: &Path, closed: Option<u64>) -> anyhow::Result<()> {
    let damage = inspect::look(folder, closed).context("look through the queue's file")?;
    match damage {
        Some(words) => Err(anyhow!(words)).context(is_damaged(folder)),
        None => Ok(()),
    }
}

/// What to say, and what can be done.
pub(in crate::queue) fn is_damaged(folder: &Path) -> String {
    format!(
        "the queue in {} is damaged; `gogs-relay salvage` makes a new one of all that can be read",
        folder.display()
    )
}

fn open_sled(folder: &Path) -> Result<sled::Db, sled::Error> {
    let mut tries = 0;
    loop {
        let opened = catch_unwind(|| {
            sled::Config::new()
                .path(folder)
                .cache_capacity(CACHE)
                .flush_every_ms(None)
                .open()
        });
        let opened =
            opened.unwrap_or_else(|_| Err(sled::Error::ReportableBug("panic in open".into())));
        tries += 1;
        match opened {
            Err(sled::Error::Io(error)) if is_locked(&error) && tries < LOCK_TRIES => {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("lock")
}
