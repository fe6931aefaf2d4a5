//! A file beside the database that says how far the log had come. When damage takes the end of the
//! database's file, everything in it agrees that there never was more; this file does not.
//!
//! It is written after a commit was synced and before anybody is told, and never synced itself: a
//! power cut may leave an older number, never one that is too high.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const NAME: &str = "witness";

/// `next sequence 8 | crc 4`, big-endian.
#[derive(Debug)]
pub(super) struct Witness(File);

impl Witness {
    pub(super) fn open(folder: &Path) -> io::Result<Witness> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        options.open(folder.join(NAME)).map(Witness)
    }

    /// Every event before `next` was acknowledged, or may have been.
    pub(super) fn say(&self, next: u64) -> io::Result<()> {
        let next = next.to_be_bytes();
        let crc = crc32fast::hash(&next).to_be_bytes();
        self.0.write_all_at(&[&next[..], &crc].concat(), 0)
    }
}

/// What it said last; nothing when it is not there or damaged itself.
pub(super) fn read(folder: &Path) -> Option<u64> {
    let bytes = fs::read(folder.join(NAME)).ok()?;
    let (next, crc) = bytes.split_at_checked(8)?;
    let good = crc == crc32fast::hash(next).to_be_bytes();
    good.then(|| next.try_into().map(u64::from_be_bytes).ok())?
}
