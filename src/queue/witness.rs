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
use std::sync::atomic::{AtomicU64, Ordering};

const NAME: &str = "witness";

/// `next sequence 8 | end of the file after an orderly end, or 0: 8 | crc 4`, big-endian.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    next: AtomicU64,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Testimony {
    /// Every event before it was acknowledged, or may have been.
    pub(super) next: u64,
    /// So far the database's file reached when it was closed in order.
    pub(super) closed: Option<u64>,
}

impl Witness {
    /// From now on the database is not closed in order until [`Witness::close`] says so.
    pub(super) fn open(folder: &Path) -> io::Result<Witness> {
        let known = read(folder).map_or(1, |known| known.next);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let witness = Witness {
            file: options.open(folder.join(NAME))?,
            next: AtomicU64::new(known),
        };
        witness.write(0)?;
        witness.file.sync_data()?;
        Ok(witness)
    }

    pub(super) fn say(&self, next: u64) -> io::Result<()> {
        self.next.store(next, Ordering::Relaxed);
        self.write(0)
    }

    /// The database is closed, and its file reaches to `end`.
    pub(super) fn close(&self, end: u64) -> io::Result<()> {
        self.write(end)?;
        self.file.sync_data()
    }

    fn write(&self, end: u64) -> io::Result<()> {
        let next = self.next.load(Ordering::Relaxed);
        let fields = [next.to_be_bytes(), end.to_be_bytes()];
        let crc = crc32fast::hash(fields.as_flattened()).to_be_bytes();
        self.file
            .write_all_at(&[fields.as_flattened(), &crc].concat(), 0)
    }
}

/// Nothing when it is not there, or damaged itself.
pub(super) fn read(folder: &Path) -> Option<Testimony> {
    let bytes = fs::read(folder.join(NAME)).ok()?;
    let (fields, crc) = bytes.split_at_checked(16)?;
    let (next, end) = fields.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
    let good = crc == crc32fast::hash(fields).to_be_bytes();
    let testimony = Testimony {
        next: number(next)?,
        closed: number(end).filter(|end| *end > 0),
    };
    good.then_some(testimony)
}
