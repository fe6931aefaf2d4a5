//! The database file: the one folder that names sled, and where its traps are avoided.
//!
//! - `flush` alone loses everything in a power cut, so every commit ends in `sync_data` on sled's
//!   `db` file; and a failed sync is never simply repeated (see [`Store::reopen`]).
//! - sled panics on most damage, so every call is made under `catch_unwind`.
//! - Everything lies in one tree, so that a batch is atomic.

use std::fs::{self, File};
#[cfg(test)]
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use anyhow::Context;
use tracing::warn;

use crate::queue::files::make_private;
use crate::queue::inspect;
use crate::queue::key::Key;
use crate::queue::lock;
use crate::queue::witness::{self, Testimony, Witness};
use crate::queue::wounds::Wounds;

mod fault;
mod handle;

pub(super) use fault::Fault;
pub(super) use handle::is_damaged;
pub(super) use sled::IVec as Value;

use handle::{Handle, refuse_damaged};

/// Keys and their values.
pub(super) type Entries = Vec<(Value, Value)>;

/// See [`Store::let_go`].
const USES: usize = 8;
/// More parts than lie in a segment of which nothing can be read.
const WRITE_TRIES: u32 = 512;

/// The database, open or, after a fault, closed until it is opened again.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    handle: RwLock<Option<Handle>>,
    written: AtomicU64,
    #[cfg(test)]
    pub(super) failing_syncs: std::sync::atomic::AtomicU32,
    witness: Witness,
    pub(super) wounds: Wounds,
    /// A write broke off: memory may hold a part of it.
    is_half_written: AtomicBool,
    /// Held until the queue is closed for good.
    lock: Mutex<Option<File>>,
}

/// What one commit writes.
#[derive(Default)]
pub(super) struct Batch {
    inner: sled::Batch,
    bytes: u64,
    is_empty: bool,
}

/// What came of [`Store::renew`].
pub(super) enum Renewed {
    Yes,
    /// It stays open as it is, because of this damage.
    No(String),
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            inner: sled::Batch::default(),
            bytes: 0,
            is_empty: true,
        }
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.inner.insert(key, value);
        self.bytes += (key.len() + value.len()) as u64;
        self.is_empty = false;
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.inner.remove(key);
        self.is_empty = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }
}

impl Store {
    /// Opens or makes the database in `folder`, for this process alone.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Store> {
        make_private(folder)?;
        let lock = lock::take(folder)?;
        let testimony = witness::read(folder);
        let closed = testimony.and_then(|testimony| testimony.closed);
        refuse_damaged(folder, closed)?;
        let witness = Witness::open(folder)
            .with_context(|| format!("open the witness in {}", folder.display()))?;
        let handle = Handle::open(folder)?;
        Ok(Store {
            witness,
            folder: folder.to_owned(),
            handle: RwLock::new(Some(handle)),
            written: AtomicU64::new(0),
            wounds: Wounds::default(),
            is_half_written: AtomicBool::new(false),
            #[cfg(test)]
            failing_syncs: std::sync::atomic::AtomicU32::new(0),
            lock: Mutex::new(Some(lock)),
        })
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Value>, Fault> {
        let get = |handle: &Handle| Ok(handle.db.get(key)?);
        match self.with(get) {
            // Damage elsewhere may come in the way of a read, but only once.
            Err(fault) if fault.is_damage() => self.with(get),
            value => value,
        }
    }

    /// At most `limit` of the entries in `range`, in order.
    pub(super) fn scan(&self, range: Range<Key>, limit: usize) -> Result<Entries, Fault> {
        self.with(|handle| {
            Ok(handle
                .db
                .range(range)
                .take(limit)
                .collect::<Result<_, _>>()?)
        })
    }

    /// At most `limit` of the entries in `range`, from its end.
    pub(super) fn scan_back(&self, range: Range<Key>, limit: usize) -> Result<Entries, Fault> {
        self.with(|handle| {
            let entries = handle.db.range(range).rev().take(limit);
            Ok(entries.collect::<Result<_, _>>()?)
        })
    }

    /// The same as far as it can be read, and what stopped it.
    pub(super) fn scan_as_far(
        &self,
        range: Range<Key>,
        limit: usize,
        is_back: bool,
    ) -> (Entries, Option<Fault>) {
        let mut found = Entries::new();
        if range.start >= range.end {
            return (found, None);
        }
        let fault = self.with(|handle| {
            let mut entries = handle.db.range(range);
            while found.len() < limit {
                let next = if is_back {
                    entries.next_back()
                } else {
                    entries.next()
                };
                match next {
                    Some(entry) => found.push(entry?),
                    None => break,
                }
            }
            Ok(())
        });
        (found, fault.err())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same database after its folder got another name, opened again.
    pub(super) fn moved_to(mut self, folder: &Path) -> anyhow::Result<Store> {
        self.close();
        self.folder = folder.to_owned();
        let handle = Handle::open(folder)?;
        *self.handle.write().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        Ok(self)
    }

    /// Writes the batch, to be on stable storage only after the next commit.
    pub(super) fn write(&self, batch: Batch) -> Result<(), Fault> {
        self.with_writing(|handle| again_if_damaged(|| handle.db.apply_batch(batch.inner.clone())))
    }

    /// Writes the batch; returns when it is on stable storage. After a crash all of it is there,
    /// or nothing.
    pub(super) fn commit(&self, batch: Batch) -> Result<(), Fault> {
        self.written.fetch_add(batch.bytes, Ordering::Relaxed);
        self.with_writing(|handle| {
            again_if_damaged(|| handle.db.apply_batch(batch.inner.clone()))?;
            self.make_stable(handle)
        })
    }

    /// Writes one after the other; returns when all are on stable storage. After a crash some of
    /// them may be there, but none without all before it. This takes sled half the writes of a
    /// batch, which it announces in a write of its own.
    pub(super) fn commit_in_order(
        &self,
        writes: impl Iterator<Item = (Key, Vec<u8>)>,
    ) -> Result<(), Fault> {
        self.with_writing(|handle| {
            for (key, value) in writes {
                again_if_damaged(|| handle.db.insert(key.as_slice(), value.as_slice()))?;
            }
            self.make_stable(handle)
        })
    }

    fn make_stable(&self, handle: &Handle) -> Result<(), Fault> {
        handle.db.flush()?;
        #[cfg(test)]
        self.fail_if_told()?;
        handle.file.sync_data()?;
        Ok(())
    }

    /// Where the log began and ended when the queue ran last.
    pub(super) fn witnessed(&self) -> Option<Testimony> {
        witness::read(&self.folder)
    }

    /// A commit with all events from `first` to before `next` is on stable storage.
    pub(super) fn bear_witness(&self, first: u64, next: u64) {
        if let Err(error) = self.witness.say(first, next) {
            // Only the next start would have missed it, and only after damage.
            tracing::debug!(%error, "the witness of the queue cannot be written");
        }
    }

    /// Says often enough that these were used for sled to notice. It counts uses in blocks of 64
    /// in each of the 256 parts of its cache, and lets nothing go before a block is full: what is
    /// written once and left alone stays in memory, 20 MB of it.
    pub(super) fn let_go(&self, keys: &[Key]) {
        let used = self.with(|handle| {
            for key in keys.iter().cycle().take(USES * keys.len()) {
                handle.db.get(key)?;
            }
            Ok(())
        });
        if let Err(fault) = used {
            // Whoever needs the keys next will meet the fault.
            warn!(error = %fault, "what was just written cannot be read");
        }
    }

    /// Forgets what the kernel holds of the file, and opens it again. After a failed sync the
    /// kernel may have marked as clean what never reached the disk.
    pub(super) fn reopen(&self) -> anyhow::Result<()> {
        self.close();
        if let Ok(file) = File::open(self.folder.join("db")) {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
                .context("drop cached pages of the database")?;
        }
        let handle = Handle::open(&self.folder)?;
        *self.handle.write().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        self.written.store(0, Ordering::Relaxed);
        self.is_half_written.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a write broke off since the database was opened: then nothing in memory is to be
    /// trusted. A read that fails harms nothing.
    pub(super) fn is_half_written(&self) -> bool {
        self.is_half_written.load(Ordering::Relaxed)
    }

    /// Bytes in the batches that were committed since the database was opened.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Closes the database in order and opens it again. Whoever reads meanwhile waits.
    pub(super) fn renew(&self) -> anyhow::Result<Renewed> {
        // On opening, the database would drop what cannot be read.
        if let Some(damage) = inspect::look(&self.folder, None)? {
            return Ok(Renewed::No(damage));
        }
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        Handle::close(handle.take());
        *handle = Some(Handle::open(&self.folder)?);
        self.written.store(0, Ordering::Relaxed);
        Ok(Renewed::Yes)
    }

    /// Closes the database in order and lets other processes have it.
    pub(super) fn close_for_good(&self) {
        if self.close() {
            let end = inspect::end(&self.folder);
            if let Err(error) = end.and_then(|end| self.witness.close(end)) {
                warn!(%error, "the queue is closed, but it is not written that it was in order");
            }
        }
        drop(
            self.lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Says whether the database was open and is closed in order now.
    pub(super) fn close(&self) -> bool {
        let handle = self
            .handle
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let was_open = handle.is_some();
        was_open && Handle::close(handle)
    }

    /// Bytes of the database's files.
    pub(super) fn size(&self) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return 0;
        };
        let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
        sizes.map(|metadata| metadata.len()).sum()
    }

    fn with<T>(&self, work: impl FnOnce(&Handle) -> Result<T, Fault>) -> Result<T, Fault> {
        let handle = self.handle.read().unwrap_or_else(PoisonError::into_inner);
        let handle = handle.as_ref().ok_or(Fault::Closed)?;
        catch_unwind(AssertUnwindSafe(|| work(handle))).unwrap_or(Err(Fault::Panicked))
    }

    fn with_writing<T>(&self, work: impl FnOnce(&Handle) -> Result<T, Fault>) -> Result<T, Fault> {
        let written = self.with(work);
        if written.is_err() {
            self.is_half_written.store(true, Ordering::Relaxed);
        }
        written
    }

    #[cfg(test)]
    fn fail_if_told(&self) -> io::Result<()> {
        let left = self.failing_syncs.load(Ordering::SeqCst);
        if left > 0 {
            self.failing_syncs.store(left - 1, Ordering::SeqCst);
            return Err(io::Error::other("told to fail"));
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Writes again what did not get through for damage. With a write the database may move an old
/// part of its file that has nothing to do with it, and tries to move each only once as long as it
/// is open: what stays in the way is where the write itself leads.
fn again_if_damaged<T>(mut write: impl FnMut() -> Result<T, sled::Error>) -> Result<T, Fault> {
    let mut tries = 1;
    loop {
        match write().map_err(Fault::from) {
            Err(Fault::Damaged(_)) if tries < WRITE_TRIES => tries += 1,
            done => return done,
        }
    }
}
