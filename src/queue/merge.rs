//! Small pages become larger ones. An event that comes alone is a page of its own, and what the
//! database keeps in memory of a page hardly depends on how much is in it: a million such pages
//! would take 300 MB.
//!
//! One commit puts the larger page in the place of the first of its parts and removes the others,
//! so there is the one or the other after a crash, with the same events under the same numbers.

use std::sync::Arc;

use crate::queue::build::RAW;
use crate::queue::chunk::{Kind, Of, Packed};
use crate::queue::engine::Engine;
use crate::queue::head::Head;
use crate::queue::key;
use crate::queue::page::{self, Page};
use crate::queue::pending::REMOVALS;
use crate::queue::room::Room;
use crate::queue::store::{Batch, Fault};

/// So many heads are looked at in a step.
const STEP: usize = 256;
/// A page of more events stays as it is.
const SMALL: usize = 8;
/// A page of more chunks holds a large event, and stays as it is.
const CHUNKS: u32 = 4;
/// Fewer pages between two that stay as they are stay so too.
const FEW: usize = 4;
/// When so many events wait for the next commit, they go first.
const LOAD: usize = 8;

/// How far the log was looked through. Belongs to the writer.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// Pages from here on were not looked at.
    from: u64,
    /// Small pages in a row, the last that were looked at.
    run: Vec<Head>,
}

impl Merging {
    /// Looks at some pages, and makes one of several if they are small; says whether it did.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<bool, Fault> {
        let (log, load) = {
            let shared = engine.shared();
            (shared.log, shared.appends.len())
        };
        // What is damaged is not arranged anew.
        if load >= LOAD || engine.store.is_wounded() || !engine.disk.has_room() {
            return Ok(false);
        }
        if self
            .run
            .first()
            .is_some_and(|head| head.first < log.pages_from)
        {
            self.run.clear();
        }
        self.from = self.from.max(log.pages_from);
        if self.from >= log.next {
            return Ok(false);
        }
        for head in engine.some_heads(self.from, STEP)? {
            if let Some(run) = self.take(head) {
                return self.merge(engine, run);
            }
        }
        Ok(false)
    }

    /// Takes the next page; gives a run that is as long as it can be.
    fn take(&mut self, head: Head) -> Option<Vec<Head>> {
        let follows = self
            .run
            .last()
            .is_none_or(|last| last.range().end == head.first);
        let is_small = !head.is_stub() && head.events.len() <= SMALL && head.chunks <= CHUNKS;
        let chunks: u32 = self.run.iter().map(|head| head.chunks).sum();
        let fits = (chunks + head.chunks) as usize <= REMOVALS;
        let full = match follows && is_small && fits {
            true => None,
            false => Some(std::mem::take(&mut self.run)),
        };
        self.from = head.range().end;
        if is_small {
            self.run.push(head);
        }
        full.filter(|run| run.len() >= FEW)
    }

    /// Makes one page of the first of these, as many as it can hold; says whether it did.
    fn merge(&mut self, engine: &Engine, run: Vec<Head>) -> Result<bool, Fault> {
        let (parts, merged) = Merged::new(engine, &run)?;
        if let Some(rest) = run.get(parts.max(1)) {
            self.look_again_from(rest.first);
        }
        let Some(merged) = merged else {
            return Ok(false);
        };
        let parts = &run[..parts];
        // Whoever reads just now reads on; there is another time.
        let Ok(_alone) = engine.pages_stand.try_write() else {
            self.look_again_from(merged.head.first);
            return Ok(false);
        };
        engine.store.commit(merged.batch(parts))?;
        let mut cache = engine.cache();
        for part in parts {
            cache.remove(part.first);
        }
        cache.put(Arc::new(merged.page), Room::none());
        Ok(true)
    }

    fn look_again_from(&mut self, first: u64) {
        self.from = first;
        self.run.clear();
    }
}

/// A page in place of several.
struct Merged {
    head: Head,
    packed: Packed,
    page: Page,
}

impl Merged {
    /// As many of these as one page holds, if that is worth it; says how many they are.
    fn new(engine: &Engine, run: &[Head]) -> Result<(usize, Option<Merged>), Fault> {
        let first = run.first().map_or(0, |head| head.first);
        let mut head = Head::new(first);
        let (mut entries, mut raw, mut parts) = (Vec::new(), 0, 0);
        for part in run {
            let page = match engine.page(part.first) {
                Ok(page) => page.filter(|page| page.range() == part.range()),
                // It stays as it is, and is told of where it is needed.
                Err(fault) if fault.is_damage() => None,
                Err(fault) => return Err(fault),
            };
            let Some(page) = page else { break };
            raw += page.weight;
            let before = head.clone();
            let mut known = page.entries.iter().zip(&part.events);
            if raw > RAW || !known.all(|(entry, known)| head.add(entry, known.hashes)) {
                head = before;
                break;
            }
            entries.extend(page.entries.iter().cloned());
            parts += 1;
        }
        if parts < FEW {
            return Ok((parts, None));
        }
        let (packed, page) = page::pack(&entries).page(first, entries);
        head.chunks = packed.chunks();
        let merged = Merged { head, packed, page };
        Ok((parts, Some(merged)))
    }

    /// What puts it in the place of its parts.
    fn batch(&self, parts: &[Head]) -> Batch {
        let first = self.head.first;
        let of = Of {
            kind: Kind::Page,
            sequence: first,
            lane: 0,
        };
        let mut batch = Batch::new();
        for part in parts {
            for n in 0..part.chunks {
                batch.remove(&key::page_chunk(part.first, n));
            }
            batch.remove(&key::head(part.first));
        }
        for (n, chunk) in self.packed.split(of) {
            batch.put(&key::page_chunk(first, n), &chunk);
        }
        batch.put(&key::head(first), &self.head.encode());
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::event::{Event, Facts};
    use crate::queue::{
        Keep, LaneSpec, Next, Options, Planned, PlannedDelivery, Redelivery, Repeats, Settlement,
        chunk, open, salvage,
    };

    const EVENTS: u64 = 100;

    fn open_in(folder: &Path) -> Arc<Engine> {
        let keep = Keep {
            keep: Duration::from_secs(86_400),
            at_most: 1000,
        };
        let options = Options {
            data: folder.to_owned(),
            history: keep,
            dead: keep,
            dedupe: keep,
            backlog: 1000,
            free_disk: 0,
        };
        let spec = LaneSpec {
            destination: "ci".into(),
            was: None,
            width: 1,
            loose: false,
            settings: 1,
            longest_wait: Duration::from_secs(60),
        };
        open::open(options, |_| Ok(vec![spec]), Clock::system()).unwrap()
    }

    fn body(number: u64) -> String {
        format!("{{\"number\":{number}}}").repeat(1 + number as usize % 7)
    }

    async fn append(engine: &Engine, number: u64) {
        let planned = Planned {
            event: Event {
                source: "gogs".into(),
                name: "push".into(),
                delivery_id: format!("id-{number}").into(),
                received: Timestamp(1_780_000_000_000),
                body: Bytes::from(body(number)),
            },
            facts: Facts::default(),
            deliveries: [PlannedDelivery {
                destination: "ci".into(),
                route: None,
            }]
            .into(),
        };
        let repeats = Repeats {
            redelivery: Redelivery::Failed,
            same_body: None,
        };
        engine.append(planned, repeats).await.unwrap();
    }

    /// A queue of events that came one by one, and share pages now.
    async fn merged(folder: &Path) -> Arc<Engine> {
        let engine = open_in(folder);
        for number in 1..=EVENTS {
            append(&engine, number).await;
        }
        let small = REMOVALS * 2;
        while engine.heads_from(1).unwrap().len() > small {
            tokio::task::yield_now().await;
        }
        engine
    }

    async fn delivered(engine: &Arc<Engine>) -> Vec<String> {
        let mut delivered = Vec::new();
        while let Next::Lease(lease) = engine.next("ci", &Room::any()).await.unwrap() {
            delivered.push(String::from_utf8(lease.event.body.to_vec()).unwrap());
            engine.settle(*lease, Settlement::Delivered, None);
        }
        delivered
    }

    async fn close(engine: &Engine) {
        engine.begin_to_close();
        let mut closed = engine.closed.subscribe();
        closed.wait_for(|closed| *closed).await.unwrap();
    }

    fn all() -> Vec<String> {
        (1..=EVENTS).map(body).collect()
    }

    #[tokio::test]
    async fn events_that_come_alone_share_pages_and_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let engine = merged(folder.path()).await;
        let mut expected = 1;
        for head in engine.heads_from(1).unwrap() {
            assert_eq!(head.first, expected);
            expected = head.range().end;
        }
        assert_eq!(expected, EVENTS + 1);
        close(&engine).await;
        let engine = open_in(folder.path());
        assert_eq!(engine.shared().missing, Vec::new());
        assert_eq!(delivered(&engine).await, all());
        close(&engine).await;
    }

    #[expect(clippy::await_holding_lock, reason = "the writer never waits for it")]
    #[tokio::test]
    async fn pages_that_are_read_just_now_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open_in(folder.path());
        let standing = engine.standing_pages();
        for number in 1..=EVENTS {
            append(&engine, number).await;
        }
        assert_eq!(engine.heads_from(1).unwrap().len() as u64, EVENTS);
        drop(standing);
        close(&engine).await;
    }

    #[tokio::test]
    async fn what_a_damaged_page_was_made_of_comes_back_by_salvage() {
        let folder = tempfile::tempdir().unwrap();
        let engine = merged(folder.path()).await;
        close(&engine).await;
        let path = folder.path().join("queue/db");
        let mut file = fs::read(&path).unwrap();
        let pages = last_chunks_of_the_first_page(&file);
        assert!(pages.len() > 1, "as it came, and as it was merged");
        file[pages[pages.len() - 1] + 50] ^= 4;
        fs::write(&path, file).unwrap();
        let new = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("queue"), new.path().join("queue"));
        let report = salvage(&from, &to, Timestamp(0), &mut |_, _, _| {}).unwrap();
        assert_eq!((report.events.back, report.events.lost), (EVENTS, 0));
        let engine = open_in(new.path());
        assert_eq!(delivered(&engine).await, all());
        close(&engine).await;
    }

    /// Where the first chunk of the first page lies in the file, in the order in which it was
    /// written.
    fn last_chunks_of_the_first_page(file: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(next) = chunk::find(&file[at..]) {
            at += next;
            let label = chunk::label(&file[at..]);
            found.extend(
                label
                    .filter(|(key, _)| *key == key::page_chunk(1, 0))
                    .map(|_| at),
            );
            at += 1;
        }
        found
    }
}
