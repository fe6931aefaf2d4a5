//! What the queue's parts share: the state in memory, the database behind it, and who waits for
//! what. One lock guards the state; nothing waits for the disk while it is held, but for a key
//! or two that a single delivery needs.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch};

use crate::clock::Clock;
use crate::delivery::State;
use crate::queue::cache::Cache;
use crate::queue::disk::Disk;
use crate::queue::head::{Hashes, Head};
use crate::queue::key::{self, Key, LaneId};
use crate::queue::lane::{Lane, Now};
use crate::queue::page::{Entry, Planned};
use crate::queue::pending::{Pending, WINDOW};
use crate::queue::pick::Pick;
use crate::queue::record::Record;
use crate::queue::store::Store;
use crate::queue::{Appended, Keep, Missing, Options, PlannedDelivery, QueueError, Repeats};

/// An operation that waits for the disk gives up after this; what it did stays, and is written
/// when the disk works again.
const PATIENCE: Duration = Duration::from_secs(10);
/// A clock that is corrected by less than this was not away.
const SLEEP: Duration = Duration::from_secs(60);
/// Attempt ids are reserved on disk in blocks.
const ATTEMPTS: u64 = 10_000;
const READERS: usize = 2;

pub(super) struct Engine {
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    pub(super) store: Store,
    pub(super) cache: Mutex<Cache>,
    /// Held while a head and what belongs to it are read together: pages are merged only when
    /// nobody does. Nobody waits to have it alone, so it may be taken twice.
    pub(super) pages_stand: RwLock<()>,
    /// Held while a large page is read.
    pub(super) large_reads: Mutex<()>,
    /// So many lanes read at once. Each thread that reads keeps some of what the allocator gave it.
    pub(super) readers: Semaphore,
    shared: Mutex<Shared>,
    /// The writer has something to do.
    pub(super) work: Condvar,
    /// The stamp of [`Pending`] that is on disk.
    pub(super) written: watch::Sender<u64>,
    pub(super) woken: Notify,
    pub(super) closed: watch::Sender<bool>,
    /// People operate on lanes one after the other.
    pub(super) operating: tokio::sync::Mutex<()>,
}

/// What the lock guards.
pub(super) struct Shared {
    /// By id; the first stands for “no lane” and counts events without a route. A lane without a
    /// name is vacant: its id is used again.
    pub(super) lanes: Vec<Lane>,
    pub(super) by_name: HashMap<Arc<str>, LaneId>,
    /// What lanes were called before the last change; plans under way may still say so.
    pub(super) former_names: HashMap<Arc<str>, LaneId>,
    /// Orphaned lanes that no plan to come can name; they go when nothing is left of them.
    pub(super) parting: Vec<LaneId>,
    pub(super) vacant: Vec<LaneId>,
    pub(super) history: Keep,
    pub(super) dead: Keep,
    pub(super) pending: Pending,
    pub(super) appends: VecDeque<Request>,
    pub(super) woken: Vec<LaneId>,
    pub(super) log: Log,
    /// What damage has taken of it.
    pub(super) missing: Vec<Missing>,
    /// The last plan, as asked for and with its lanes.
    pub(super) last_plan: Option<LastPlan>,
    pub(super) next_attempt: u64,
    pub(super) attempts_reserved: u64,
    pub(super) serial: u64,
    /// The oldest event that was settled since retention looked last.
    pub(super) settled_from: u64,
    pub(super) commits: u64,
    /// Some range may be settled whose records are still to be written.
    pub(super) settling: bool,
    /// Somebody waits for what is pending.
    pub(super) urgent: bool,
    /// The writer waits to be told that there is work.
    pub(super) writer_rests: bool,
    pub(super) closing: bool,
    /// The disk failed, and has not worked since.
    pub(super) faulty: bool,
    /// When a lane was last given something to do, or gave it back.
    pub(super) looked: Now,
}

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Log {
    /// The oldest sequence that is known, if only by a stub.
    pub(super) first: u64,
    /// The oldest sequence whose page is there.
    pub(super) pages_from: u64,
    pub(super) next: u64,
    /// Events whose pages are there.
    pub(super) events: u64,
}

/// A plan as asked for, and with its lanes.
type LastPlan = (Arc<[PlannedDelivery]>, Arc<[Planned]>);

/// An event that waits to be appended.
pub(super) struct Request {
    pub(super) entry: Entry,
    pub(super) hashes: Hashes,
    pub(super) repeats: Repeats,
    /// It waits so long for the disk, on [`Clock::elapsed`].
    pub(super) until: Duration,
    pub(super) reply: oneshot::Sender<Result<Appended, QueueError>>,
}

impl Engine {
    pub(super) fn new(
        options: Options,
        clock: Clock,
        disk: Disk,
        store: Store,
        shared: Shared,
    ) -> Engine {
        Engine {
            disk,
            options,
            clock,
            store,
            cache: Mutex::default(),
            pages_stand: RwLock::default(),
            large_reads: Mutex::default(),
            readers: Semaphore::new(READERS),
            shared: Mutex::new(shared),
            work: Condvar::new(),
            written: watch::Sender::new(0),
            woken: Notify::new(),
            closed: watch::Sender::new(false),
            operating: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pages stay as they are until this is dropped.
    pub(super) fn standing_pages(&self) -> RwLockReadGuard<'_, ()> {
        let standing = self.pages_stand.read();
        standing.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: self.clock.now(),
            elapsed: self.clock.elapsed(),
        }
    }

    /// There is work. A writer that is at work sees it by itself when it is done.
    pub(super) fn tell_writer(&self, shared: &Shared) {
        if shared.writer_rests {
            self.work.notify_one();
        }
    }

    /// Adds to what is pending. The first of it wakes the writer, which then waits a little for
    /// more; a full window does not wait.
    pub(super) fn push(&self, shared: &mut Shared, writes: Vec<(Key, Option<Vec<u8>>)>) -> u64 {
        let before = shared.pending.bytes();
        let was_empty = shared.pending.is_empty();
        let stamp = shared.pending.push(writes);
        if was_empty || (before < WINDOW && shared.pending.bytes() >= WINDOW) {
            self.tell_writer(shared);
        }
        stamp
    }

    /// Waits until everything up to `stamp` is on disk.
    pub(super) async fn durable(&self, stamp: u64) -> Result<(), QueueError> {
        {
            let mut shared = self.shared();
            if !shared.pending.is_empty() {
                shared.urgent = true;
                self.tell_writer(&shared);
            }
        }
        let mut written = self.written.subscribe();
        let reached = written.wait_for(|written| *written >= stamp);
        match self.clock.timeout(PATIENCE, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(QueueError::Closed),
            Err(_) => Err(QueueError::Unavailable),
        }
    }

    /// The lane has more to do than before. One that waits for its time, or for what is under way,
    /// goes on by itself.
    pub(super) fn wake_if_free(&self, shared: &mut Shared, lane: LaneId, now: Duration) {
        let pick = shared.lane(lane).pick(now);
        if !matches!(pick, Pick::Nothing | Pick::NotBefore(_)) {
            self.wake(shared, lane);
        }
    }

    /// The lane has, or may have, something to do.
    pub(super) fn wake(&self, shared: &mut Shared, lane: LaneId) {
        if lane != 0 && !std::mem::replace(&mut shared.lane(lane).is_woken, true) {
            shared.woken.push(lane);
            self.woken.notify_one();
        }
    }

    /// What is known of a delivery off the straight path of its lane.
    pub(super) fn record(&self, shared: &Shared, event: u64, lane: LaneId) -> Option<Record> {
        let key = key::record(event, lane);
        let value = match shared.pending.get(&key) {
            Some(value) => value.map(|value| value.to_vec()),
            None => self.store.get(&key).ok()?.map(|value| value.to_vec()),
        };
        Record::decode(&value?).ok()
    }

    /// The id of one more attempt; ids are reserved on disk before any record can name them.
    pub(super) fn attempt_id(&self, shared: &mut Shared) -> u64 {
        let id = shared.next_attempt;
        shared.next_attempt += 1;
        if shared.next_attempt >= shared.attempts_reserved {
            shared.attempts_reserved = shared.next_attempt + ATTEMPTS;
            let value = shared.attempts_reserved.to_be_bytes().to_vec();
            self.push(shared, vec![(key::mark("attempt"), Some(value))]);
        }
        id
    }
}

impl Shared {
    pub(super) fn lane_id(&self, destination: &str) -> Result<LaneId, QueueError> {
        let id = self.by_name.get(destination);
        let id = id.or_else(|| self.former_names.get(destination)).copied();
        id.ok_or_else(|| QueueError::NoSuchLane(destination.into()))
    }

    pub(super) fn lane(&mut self, id: LaneId) -> &mut Lane {
        // Ids are handed out by this table, which never shrinks.
        &mut self.lanes[id as usize]
    }

    /// Counts as idle what the wall clock has gone on while the monotonic one stood: the machine
    /// slept, or its clock was set right. Nothing was tried in it, as in the relay's own downtime.
    pub(super) fn notice_sleep(&mut self, now: Now) {
        let expected = self.looked.wall_at(now.elapsed);
        let slept = now.wall.since(expected);
        self.looked = now;
        if slept < SLEEP {
            return;
        }
        let lanes = self.lanes.iter_mut().skip(1);
        // Those that stand still count the time by the wall clock as it is.
        for lane in lanes.filter(|lane| lane.held.is_none() && lane.orphaned.is_none()) {
            lane.idle += slept.as_millis() as u64;
        }
    }

    /// A delivery of this event was settled.
    pub(super) fn settled(&mut self, event: u64) {
        self.settled_from = self.settled_from.min(event);
    }

    /// Counts a delivery whose record changes.
    pub(super) fn count(&mut self, lane: LaneId, before: Option<State>, after: Option<State>) {
        let lane = self.lane(lane);
        let settled = after.filter(|state| state.is_settled());
        if let Some(settled) = settled {
            *lane.tally.settled.entry(settled).or_default() += 1;
        }
        for (state, by) in [(before, -1), (after, 1)] {
            match state {
                None | Some(State::Waiting | State::Sending | State::Held) => {}
                Some(State::Dead) => lane.dead = lane.dead.saturating_add_signed(by),
                Some(_) => lane.history = lane.history.saturating_add_signed(by),
            }
        }
    }

    /// A page, or what a page became, is in the log: its deliveries wait.
    pub(super) fn take_in(&mut self, head: &Head) {
        let range = head.range();
        if !head.is_stub() {
            self.log.events += head.events.len() as u64;
        }
        for lane in &mut self.lanes {
            lane.catch_up(range.start);
        }
        for (events, lanes) in head.ways() {
            for lane in lanes {
                if let Some(lane) = self.lanes.get_mut(lane as usize) {
                    lane.take_in(&events);
                }
            }
        }
        self.log.next = self.log.next.max(range.end);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
