//! A file that has become much larger than what is in it is written anew at start: the database
//! uses space again but never gives it back. Whoever is killed on the way leaves the old queue or
//! the new one whole, and nothing else that counts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::{CWD, RenameFlags};
use tracing::{info, warn};

use crate::queue::chunk::{self, Damaged};
use crate::queue::files;
use crate::queue::head::Head;
use crate::queue::key::{self, Key};
use crate::queue::pending::WINDOW;
use crate::queue::store::{Batch, Fault, Store};

/// A smaller file is left alone, in bytes.
const FILE: u64 = 256 << 20;
/// How much larger than what is in it a file may be.
const TIMES: u64 = 4;
/// More than this is not copied while somebody waits for the start, in bytes.
const LIVE: u64 = 128 << 20;
/// The last chunk of a page is hardly ever smaller, in bytes; the others are full.
const LAST: u64 = 500;
const STEP: usize = 256;

/// The store, or one in its place that holds the same in a smaller file.
pub(super) fn if_due(store: Store) -> anyhow::Result<Store> {
    let new = beside(store.folder());
    if new.exists() {
        // What is not the queue was left by somebody who was killed at this.
        fs::remove_dir_all(&new).with_context(|| format!("remove {}", new.display()))?;
    }
    let size = store.size();
    if size <= FILE {
        return Ok(store);
    }
    match live(&store, LIVE.min(size / TIMES)) {
        Ok(Some(live)) => {
            let (file, live_size) = (size >> 20, live >> 20);
            info!("the queue's file has {file} MiB for {live_size} MiB; writing it anew");
            compact(store, live)
        }
        Ok(None) => Ok(store),
        Err(error) => {
            warn!(%error, "whether the queue's file is too large cannot be read");
            Ok(store)
        }
    }
}

fn compact(store: Store, live: u64) -> anyhow::Result<Store> {
    let (old, new) = (store.folder().to_owned(), beside(store.folder()));
    let copied = has_room(&store, live).and_then(|()| copy(&store, &new));
    let exchanged = copied.and_then(|copy| exchange(&store, &copy).map(|()| copy));
    let copy = match exchanged {
        Ok(copy) => copy,
        Err(error) => {
            warn!("the queue's file stays as large as it is: {error:#}");
            // What this leaves is removed by the next start.
            fs::remove_dir_all(&new).ok();
            store.reopen()?;
            return Ok(store);
        }
    };
    let copy = copy.moved_to(&old)?;
    // As above.
    fs::remove_dir_all(&new).ok();
    info!("the queue's file has {} MiB now", copy.size() >> 20);
    Ok(copy)
}

fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".compacting");
    PathBuf::from(name)
}

/// Bytes of all that is stored; nothing when there are more than `at_most`.
fn live(store: &Store, at_most: u64) -> Result<Option<u64>, Fault> {
    // Chunks are most of it, and heads are quick to read.
    let mut pages = 0;
    let is_small = each(store, key::all(b"h"), |key, value| {
        let first = key::first_of_head(key).ok_or(Damaged)?;
        let full = u64::from(Head::decode(first, value)?.chunks).checked_sub(1);
        pages += full.map_or(0, |full| full * chunk::ROOM as u64 + LAST);
        Ok(pages <= at_most)
    })?;
    let mut live = 0;
    let fits = is_small
        && each(store, everything(), |key, value| {
            live += (key.len() + value.len()) as u64;
            Ok(live <= at_most)
        })?;
    Ok(fits.then_some(live))
}

fn everything() -> std::ops::Range<Key> {
    Key::new()..vec![u8::MAX]
}

/// Every entry of the range, as long as `more` wants more; says whether it saw all of them.
fn each(
    store: &Store,
    mut range: std::ops::Range<Key>,
    mut more: impl FnMut(&[u8], &[u8]) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    loop {
        let some = store.scan(range.clone(), STEP)?;
        let Some((last, _)) = some.last() else {
            return Ok(true);
        };
        range.start = [last.as_ref(), &[0]].concat();
        for (key, value) in &some {
            if !more(key, value)? {
                return Ok(false);
            }
        }
    }
}

fn has_room(store: &Store, live: u64) -> anyhow::Result<()> {
    let disk = rustix::fs::statvfs(store.folder()).context("ask how full the disk is")?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    // The database needs more than what is in it, and others need room meanwhile.
    let needed = 3 * live + (64 << 20);
    ensure!(
        free >= needed,
        "that takes {} MiB of free disk",
        needed >> 20
    );
    Ok(())
}

/// All of it in a folder of its own, on stable storage.
fn copy(store: &Store, folder: &Path) -> anyhow::Result<Store> {
    let copy = Store::open(folder)?;
    let testimony = store.witnessed();
    if let Some(testimony) = testimony {
        copy.bear_witness(testimony.first, testimony.next);
    }
    let (mut batch, mut bytes, mut copied) = (Batch::new(), 0, 0_u64);
    each(store, everything(), |key, value| {
        if bytes + key.len() + value.len() > WINDOW {
            copy.write(std::mem::replace(&mut batch, Batch::new()))?;
            bytes = 0;
        }
        batch.put(key, value);
        bytes += key.len() + value.len();
        copied += 1;
        Ok(true)
    })?;
    copy.commit(batch)?;
    // What counts is what the new file gives back once it is read from the disk again.
    copy.reopen()?;
    let mut found = 0_u64;
    each(&copy, everything(), |_, _| {
        found += 1;
        Ok(true)
    })?;
    ensure!(
        found == copied,
        "the copy holds {found} of {copied} entries"
    );
    Ok(copy)
}

/// The two folders change names in one step, so that there is a whole queue at every moment. The
/// copy has a lock of its own, held since before.
fn exchange(store: &Store, copy: &Store) -> anyhow::Result<()> {
    store.close();
    copy.close();
    files::sync_files(copy.folder()).context("sync the copy")?;
    rustix::fs::renameat_with(
        CWD,
        copy.folder(),
        CWD,
        store.folder(),
        RenameFlags::EXCHANGE,
    )
    .context("exchange the old queue's folder for the new one's")?;
    if let Err(error) = sync_names(store.folder()) {
        // A power cut now may bring the old folder back, which is as whole.
        warn!(%error, "the new name of the queue's folder cannot be synced");
    }
    Ok(())
}

fn sync_names(folder: &Path) -> io::Result<()> {
    let parent = files::or_here(folder.parent().unwrap_or(Path::new("")));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path) -> Store {
        let store = Store::open(&folder.join("queue")).unwrap();
        store.bear_witness(3, 9);
        for round in 0..40_u8 {
            let mut batch = Batch::new();
            for event in 0..30 {
                batch.put(&key::page_chunk(event, 0), &[round; 3000]);
            }
            batch.put(&key::record(u64::from(round), 1), &[round]);
            store.commit(batch).unwrap();
        }
        store
    }

    fn entries(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = store.scan(everything(), usize::MAX).unwrap();
        all.iter()
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect()
    }

    #[test]
    fn a_compacted_queue_holds_the_same_in_less_and_stays_locked() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path());
        let (before, size) = (entries(&store), store.size());
        let live = live(&store, LIVE).unwrap().unwrap();
        let store = compact(store, live).unwrap();
        assert_eq!(entries(&store), before);
        assert!(store.size() < size / 2, "{} of {size}", store.size());
        let testimony = store.witnessed().unwrap();
        assert_eq!((testimony.first, testimony.next), (3, 9));
        assert!(!beside(&folder.path().join("queue")).exists());
        let second = Store::open(&folder.path().join("queue"));
        assert!(format!("{:#}", second.err().unwrap()).contains("another process"));
        store.close_for_good();
        let again = Store::open(&folder.path().join("queue")).unwrap();
        assert_eq!(entries(&again), before);
    }

    #[test]
    fn what_a_kill_leaves_beside_the_queue_is_removed_and_the_queue_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path());
        let before = entries(&store);
        // Killed before the exchange: the copy is beside the queue.
        let new = beside(store.folder());
        drop(copy(&store, &new).unwrap());
        assert!(new.join("db").exists());
        let store = if_due(store).unwrap();
        assert!(!new.exists());
        // Killed right after it: the old queue is.
        let copied = copy(&store, &new).unwrap();
        exchange(&store, &copied).unwrap();
        drop((store, copied));
        let store = if_due(Store::open(&folder.path().join("queue")).unwrap()).unwrap();
        assert!(!new.exists());
        assert_eq!(entries(&store), before);
    }

    #[test]
    fn more_than_can_be_copied_in_a_moment_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path());
        let all = live(&store, LIVE).unwrap().unwrap();
        assert!(all > 30 * 3000);
        assert_eq!(live(&store, all - 1).unwrap(), None);
    }
}
