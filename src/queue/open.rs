//! Opening: brings the queue back from disk, repairs what a crash left half done, and settles
//! what relay.yaml now says of the lanes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::clock::{Clock, Timestamp};
use crate::queue::chunk::{Damaged, Kind, Of};
use crate::queue::compact;
use crate::queue::disk::Disk;
use crate::queue::duplicates::Duplicates;
use crate::queue::engine::{Engine, Log, Shared};
use crate::queue::files;
use crate::queue::head::Head;
use crate::queue::key::{self, Key};
use crate::queue::lane::Now;
use crate::queue::pending::{Pending, REMOVALS, WINDOW};
use crate::queue::retention::Retention;
use crate::queue::store::{self, Batch, Fault, Store};
use crate::queue::writer::{Beat, Writer};
use crate::queue::{LaneSpec, Notes, Options};

pub(super) const FORMAT: u8 = 1;

/// Opens the queue and starts its writer.
pub(super) fn open(
    options: Options,
    specs: impl FnOnce(&Notes) -> anyhow::Result<Vec<LaneSpec>>,
    clock: Clock,
) -> anyhow::Result<Arc<Engine>> {
    let folder = options.data.join("queue");
    files::make_private(&options.data)?;
    let disk = Disk::new(&options, clock.clone());
    disk.make_room_to_open();
    let store = Store::open(&folder)?;
    open_store(options, specs, (clock, disk), store).map_err(|error| match is_damage(&error) {
        true => error.context(store::is_damaged(&folder)),
        false => error,
    })
}

pub(super) fn is_damage(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes
        .any(|cause| cause.is::<Damaged>() || (cause.downcast_ref()).is_some_and(Fault::is_damage))
}

fn open_store(
    options: Options,
    specs: impl FnOnce(&Notes) -> anyhow::Result<Vec<LaneSpec>>,
    (clock, disk): (Clock, Disk),
    store: Store,
) -> anyhow::Result<Arc<Engine>> {
    let store = compact::if_due(store)?;
    check_format(&store)?;
    let log = marks(&store)?;
    check_ends(&store, log.next)?;
    let attempts = number(&store, "attempt")?.unwrap_or(1);
    let alive = number(&store, "alive")?;
    let shared = Shared {
        lanes: Vec::new(),
        by_name: HashMap::new(),
        former_names: HashMap::new(),
        parting: Vec::new(),
        vacant: Vec::new(),
        history: options.history,
        dead: options.dead,
        pending: Pending::default(),
        appends: VecDeque::new(),
        woken: Vec::new(),
        log,
        missing: Vec::new(),
        last_plan: None,
        next_attempt: attempts,
        attempts_reserved: attempts,
        serial: 0,
        settled_from: u64::MAX,
        commits: 0,
        settling: true,
        urgent: false,
        writer_rests: false,
        closing: false,
        faulty: false,
        looked: Now {
            wall: clock.now(),
            elapsed: clock.elapsed(),
        },
    };
    let engine = Arc::new(Engine::new(options, clock, disk, store, shared));
    if let Err(error) = engine.disk.put_reserve_back() {
        tracing::warn!(%error, "no room for the reserve");
    }
    engine.repair_tail()?;
    let stored = engine.load_lanes(alive.map(|time| Timestamp(time as i64)))?;
    engine.begin_with(&specs(&engine.read_notes("")?)?);
    let duplicates = engine.load_log(&stored)?;
    engine.load_waiting()?;
    engine.record_unrouted_at_end()?;
    engine.first_commit()?;
    start_writer(&engine, duplicates)?;
    Ok(engine)
}

fn start_writer(engine: &Arc<Engine>, duplicates: Duplicates) -> anyhow::Result<()> {
    let writer = Writer {
        engine: engine.clone(),
        duplicates,
        retention: Retention::new(engine),
        answers: VecDeque::new(),
        beat: Beat::default(),
    };
    let thread = std::thread::Builder::new().name("queue-writer".into());
    thread
        .spawn(move || writer.run())
        .context("start the queue's writer")?;
    Ok(())
}

fn check_format(store: &Store) -> anyhow::Result<()> {
    match store.get(&key::mark("format"))?.as_deref() {
        None | Some([FORMAT]) => Ok(()),
        Some(other) => {
            bail!("the queue was written by a newer gogs-relay (format {other:?}); use that one")
        }
    }
}

/// Where the log begins and ends. The last head may have no mark after a crash; otherwise what the
/// marks, the heads and the witness say differs only after damage. The log goes on behind all of
/// them, so that no sequence is used twice.
fn marks(store: &Store) -> anyhow::Result<Log> {
    let last = store.scan_back(key::all(b"h"), 1)?.pop();
    let heads_end = last.map(|(key, value)| {
        let first = key::first_of_head(&key).ok_or(Damaged)?;
        Head::decode(first, &value).map(|head| head.range().end)
    });
    let heads_end = heads_end.transpose()?;
    let mark = number(store, "next")?;
    let witnessed = store.witnessed().map(|testimony| testimony.next);
    let is_empty = store.get(&key::mark("format"))?.is_none();
    if is_empty && let Some(next) = witnessed.filter(|next| *next > 1) {
        return Err(Damaged)
            .with_context(|| format!("it held events up to {} and is empty now", next - 1));
    }
    if mark.is_none() && heads_end.is_some() {
        return Err(Damaged).context("its mark of the next event is gone");
    }
    let ends = [mark, heads_end, witnessed];
    Ok(Log {
        first: number(store, "first")?.unwrap_or(1),
        pages_from: 0,
        next: ends.into_iter().flatten().max().unwrap_or(1),
        events: 0,
    })
}

/// New events and records are written at the ends of their ranges: those must be sound.
fn check_ends(store: &Store, next: u64) -> Result<(), Fault> {
    let mut ends = ends(next).into_iter();
    ends.try_for_each(|end| store.get(&end).map(drop))
}

/// Where what comes next is written.
pub(super) fn ends(next: u64) -> [Key; 5] {
    [
        key::page_chunk(next, 0),
        key::head(next),
        key::record(next, 0),
        key::body_chunk(next, 0, 0),
        key::mark("next"),
    ]
}

fn number(store: &Store, name: &str) -> anyhow::Result<Option<u64>> {
    let Some(value) = store.get(&key::mark(name))? else {
        return Ok(None);
    };
    let bytes = value
        .as_ref()
        .try_into()
        .ok()
        .context("a mark of the queue is damaged")?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

impl Engine {
    /// Removes the chunks of pages that never became whole, before their sequences are used
    /// again, and those of pages that were being removed.
    pub(super) fn repair_tail(&self) -> anyhow::Result<()> {
        let log = self.shared().log;
        // A commit that failed may be on disk all the same, beyond what memory knows.
        let next = marks(&self.store)?.next.max(log.next);
        self.remove_chunks(key::page_chunk(next, 0)..key::all(b"p").end)?;
        let mut from = key::all(b"p");
        while let Some((chunk, _)) = self.store.scan(from.clone(), 1)?.pop() {
            let first = key::first_of_chunk(&chunk).ok_or(Damaged)?;
            let head = self.store.get(&key::head(first))?;
            let head = head.map(|head| Head::decode(first, &head)).transpose()?;
            match head {
                Some(head) if !head.is_stub() => break,
                // Without a head, and not forgotten: damage, and salvage may want it.
                None if first >= log.first => {}
                _ => {
                    self.remove_chunks(key::page_chunk(first, 0)..key::page_chunk(first + 1, 0))?
                }
            }
            from.start = key::page_chunk(first + 1, 0);
        }
        Ok(())
    }

    fn remove_chunks(&self, range: std::ops::Range<Key>) -> anyhow::Result<()> {
        loop {
            let some = self.store.scan(range.clone(), REMOVALS)?;
            if some.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for (key, _) in &some {
                batch.remove(key);
            }
            self.store.commit(batch)?;
        }
    }

    /// Shows that the disk takes writes before anybody is told so.
    fn first_commit(&self) -> anyhow::Result<()> {
        let now = self.now();
        let mut shared = self.shared();
        let format = (key::mark("format"), Some(vec![FORMAT]));
        // The head of a page may be on disk before its mark, but never without any.
        let next = shared.log.next.to_be_bytes().to_vec();
        let next = (key::mark("next"), Some(next));
        shared.pending.push(vec![format, next, self.alive_mark()]);
        self.write_missing(&mut shared)?;
        for id in 0..shared.lanes.len() {
            let lane = shared.lanes[id].write(now);
            shared.pending.push(vec![lane]);
        }
        while !shared.pending.is_empty() {
            let taken = shared.pending.take(WINDOW);
            let mut batch = Batch::new();
            taken.add_to(&mut batch);
            self.store.commit(batch).context("write to the queue")?;
            shared.pending.forget(&taken);
        }
        Ok(())
    }

    /// Says that the relay was running now.
    pub(super) fn alive_mark(&self) -> (Key, Option<Vec<u8>>) {
        let now = self.clock.now().0.to_be_bytes().to_vec();
        (key::mark("alive"), Some(now))
    }
}

/// The chunks of an event's copy outside the log.
pub(super) fn copy_of(event: u64) -> Of {
    Of {
        kind: Kind::Copy,
        sequence: event,
        lane: 0,
    }
}
