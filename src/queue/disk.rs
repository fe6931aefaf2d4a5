//! The disk below the data folder: how much room there is, and the reserve that is given up so
//! that the database can be opened again after the disk was full.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::queue::Options;

/// The database needs 0.25 to 2 MiB to open.
const TO_OPEN: u64 = 2 << 20;
/// Bytes that are given up when the disk is full.
const RESERVE: u64 = 8 << 20;
/// The file system is asked at most so often.
const ASK_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Disk {
    data: PathBuf,
    keep_free: u64,
    clock: Clock,
    last: Mutex<Option<(Duration, bool)>>,
}

impl Disk {
    pub(super) fn new(options: &Options, clock: Clock) -> Disk {
        Disk {
            data: options.data.clone(),
            keep_free: options.free_disk,
            clock,
            last: Mutex::default(),
        }
    }

    /// Whether new events may be taken. When the file system does not answer, they may.
    pub(super) fn has_room(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.elapsed();
        if let Some((asked, answer)) = *last
            && now.saturating_sub(asked) < ASK_EVERY
        {
            return answer;
        }
        let answer = self.free().is_none_or(|free| free >= self.keep_free);
        *last = Some((now, answer));
        answer
    }

    /// Allocates the reserve when it is not there and there is room for it and for others: on a
    /// disk that is all but full it would only be given up again.
    pub(super) fn put_reserve_back(&self) -> io::Result<()> {
        let path = self.data.join("reserve");
        if fs::metadata(&path).is_ok_and(|reserve| reserve.len() >= RESERVE) {
            return Ok(());
        }
        if self.free().is_some_and(|free| free < 2 * RESERVE) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let made = File::create(&path).and_then(|file| {
            let none = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, none, 0, RESERVE) {
                Err(rustix::io::Errno::OPNOTSUPP) => fs::write(&path, vec![0xa5; RESERVE as usize]),
                allocated => Ok(allocated?),
            }
        });
        if made.is_err() {
            // Half a reserve helps nobody.
            self.give_reserve_up();
        }
        made
    }

    /// Before the database is opened: on a full disk it needs the reserve.
    pub(super) fn make_room_to_open(&self) {
        if self.free().is_some_and(|free| free < TO_OPEN) {
            self.give_reserve_up();
        }
    }

    pub(super) fn give_reserve_up(&self) {
        // When it is not there, there is nothing to give up.
        fs::remove_file(self.data.join("reserve")).ok();
    }

    fn free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.data).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
