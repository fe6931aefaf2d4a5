//! From time to time the database is opened anew: only then it makes a snapshot, and a start reads
//! again what was written since the last one. Best while nobody waits for it, but no start shall
//! have to read more than it can in a moment.

use std::time::Duration;

use tracing::{debug, error};

use crate::queue::engine::Engine;
use crate::queue::store::{Fault, Renewed};

/// With so many bytes committed it is done as soon as nothing was appended for a while. In the
/// file they take some times as many.
const QUIET: u64 = 4 << 20;
/// With so many it is done all the same: appending waits meanwhile, the longer the more they are.
const BUSY: u64 = 128 << 20;
const A_WHILE: Duration = Duration::from_secs(2);

/// When something was appended last. Belongs to the writer.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    next: u64,
    appended_at: Duration,
    is_over: bool,
}

impl Renewal {
    /// Opens the database anew if that is due.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<(), Fault> {
        let now = engine.clock.elapsed();
        let next = engine.shared().log.next;
        if std::mem::replace(&mut self.next, next) != next {
            self.appended_at = now;
        }
        let is_quiet = now.saturating_sub(self.appended_at) >= A_WHILE;
        let due = if is_quiet { QUIET } else { BUSY };
        // Opening anew may end what can still be read of a damaged one.
        if self.is_over || engine.store.is_wounded() || engine.store.written() < due {
            return Ok(());
        }
        match engine.store.renew() {
            Ok(Renewed::Yes) => {
                let took = engine.clock.elapsed().saturating_sub(now);
                debug!("the queue's database was opened anew in {took:?}");
                Ok(())
            }
            Ok(Renewed::No(damage)) => {
                self.is_over = true;
                error!(
                    "the queue is damaged: {damage}; the next start will refuse it. Stop the relay \
                     soon and run `gogs-relay salvage`"
                );
                Ok(())
            }
            Err(error) => {
                error!("the queue's database cannot be opened anew: {error:#}");
                Err(Fault::Closed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::queue::key;
    use crate::queue::store::{Batch, Store};

    /// Some segments full of it, and says so.
    fn fill(store: &Store, from: u64, to: u64) {
        for event in from..to {
            let mut batch = Batch::new();
            batch.put(&key::page_chunk(event, 0), &[event as u8; 3000]);
            store.commit(batch).unwrap();
        }
    }

    fn holds(store: &Store, to: u64) -> bool {
        (0..to).all(|event| {
            let value = store.get(&key::page_chunk(event, 0)).unwrap();
            value.is_some_and(|value| value.as_ref() == [event as u8; 3000])
        })
    }

    fn image(folder: &Path) -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.metadata().unwrap().is_file() {
                fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
            }
        }
        image
    }

    fn has_snapshot(folder: &Path) -> bool {
        let mut entries = fs::read_dir(folder).unwrap().flatten();
        entries.any(|entry| entry.file_name().to_string_lossy().starts_with("snap."))
    }

    #[test]
    fn a_database_opened_anew_has_a_snapshot_and_all_that_was_committed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for round in 1..=4 {
            fill(&store, (round - 1) * 300, round * 300);
            assert!(store.written() > 300 * 3000);
            std::thread::scope(|scope| {
                // Readers wait, and find it open again.
                let readers = [(); 2].map(|()| scope.spawn(|| holds(&store, round * 300)));
                assert!(matches!(store.renew().unwrap(), Renewed::Yes));
                assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
            });
            assert_eq!(store.written(), 0);
            assert!(has_snapshot(folder.path()));
            fill(&store, round * 300, round * 300 + 10);
            // What a kill would leave.
            let image = image(folder.path());
            let killed = Store::open(image.path()).unwrap();
            assert!(holds(&killed, round * 300 + 10));
        }
    }

    #[test]
    fn what_is_damaged_is_left_open_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fill(&store, 0, 2000);
        let path = folder.path().join("db");
        let mut file = fs::read(&path).unwrap();
        let middle = file.len() / 3;
        file[middle] ^= 16;
        fs::write(&path, file).unwrap();
        let renewed = store.renew().unwrap();
        assert!(matches!(renewed, Renewed::No(damage) if damage.contains("not as it was written")));
        assert!(!has_snapshot(folder.path()));
        fill(&store, 2000, 2010);
    }
}
