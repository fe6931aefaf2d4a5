//! A file beside the database that says how far the log had come. When damage takes the end of the
//! database's file, everything in it agrees that there never was more; this file does not.
//!
//! It is written after a commit was synced and before anybody is told, and not synced itself: a
//! power cut may leave an older number, never one that is too high. Only an orderly end is synced,
//! and that it is over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const NAME: &str = "witness";

/// `first 8 | next 8 | end of the file after an orderly end, or 0: 8 | crc 4`, big-endian.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    log: Mutex<(u64, u64)>,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Testimony {
    /// Every event before it was forgotten, with nothing of it left to do.
    pub(super) first: u64,
    /// Every event before it was acknowledged, or may have been.
    pub(super) next: u64,
    /// So far the database's file reached when it was closed in order.
    pub(super) closed: Option<u64>,
}

impl Witness {
    /// From now on the database is not closed in order until [`Witness::close`] says so.
    pub(super) fn open(folder: &Path) -> io::Result<Witness> {
        let known = read(folder).map_or((1, 1), |known| (known.first, known.next));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let witness = Witness {
            file: options.open(folder.join(NAME))?,
            log: Mutex::new(known),
        };
        witness.write(0)?;
        witness.file.sync_data()?;
        Ok(witness)
    }

    /// The log goes from `first` to before `next`.
    pub(super) fn say(&self, first: u64, next: u64) -> io::Result<()> {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = (first, next);
        self.write(0)
    }

    /// The database is closed, and its file reaches to `end`.
    pub(super) fn close(&self, end: u64) -> io::Result<()> {
        self.write(end)?;
        self.file.sync_data()
    }

    fn write(&self, end: u64) -> io::Result<()> {
        let (first, next) = *self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let fields = [first, next, end].map(u64::to_be_bytes);
        let crc = crc32fast::hash(fields.as_flattened()).to_be_bytes();
        self.file
            .write_all_at(&[fields.as_flattened(), &crc].concat(), 0)
    }
}

/// Nothing when it is not there, or damaged itself.
pub(super) fn read(folder: &Path) -> Option<Testimony> {
    let bytes = fs::read(folder.join(NAME)).ok()?;
    let (fields, crc) = bytes.split_at_checked(24)?;
    if crc != crc32fast::hash(fields).to_be_bytes() {
        return None;
    }
    let number = |at: usize| fields[at..at + 8].try_into().map(u64::from_be_bytes).ok();
    Some(Testimony {
        first: number(0)?,
        next: number(8)?,
        closed: number(16).filter(|end| *end > 0),
    })
}
