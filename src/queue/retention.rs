//! What goes when it is old or too much: settled deliveries, dead letters, pages of the log, and
//! at last what is known of repeats. Always a little at a time, between commits.

use std::time::Duration;

use tracing::{debug, warn};

use crate::delivery::{Reason, State};
use crate::queue::chunk;
use crate::queue::duplicates::Duplicates;
use crate::queue::engine::{Engine, Shared};
use crate::queue::head::Head;
use crate::queue::key::{self, Key};
use crate::queue::leave::leave;
use crate::queue::merge::Merging;
use crate::queue::open;
use crate::queue::page::{self, Entry};
use crate::queue::pending::{REMOVALS, WINDOW};
use crate::queue::record::{About, Record};
use crate::queue::renew::Renewal;
use crate::queue::store::Fault;
use crate::queue::summary::Summaries;
use crate::queue::token::Place;
use crate::queue::walk::Walk;

/// So often it is written that the relay was running.
const ALIVE_EVERY: Duration = Duration::from_secs(60);
/// So often it is looked whether the reserve is there.
const RESERVE_EVERY: Duration = Duration::from_secs(1);
/// So many chunks of a copy are written together: they must fit a commit beside a page.
const COPIED: usize = 12;
/// So long nothing is removed after a part of the database could not be read.
const REST: Duration = Duration::from_secs(60);
/// At most so many pages go in one step.
const PAGES: usize = 4;

/// Where each kind of removal stands. Belongs to the writer.
#[derive(Debug)]
pub(super) struct Retention {
    history: Walk,
    dead: Walk,
    /// The head of the oldest page, once it was read.
    oldest: Option<Head>,
    merging: Merging,
    renewal: Renewal,
    summaries: Summaries,
    alive_at: Duration,
    reserve_at: Duration,
    rests_until: Duration,
}

impl Retention {
    pub(super) fn new(engine: &Engine) -> Retention {
        Retention {
            history: Walk::new(false),
            dead: Walk::new(true),
            oldest: None,
            merging: Merging::default(),
            renewal: Renewal::default(),
            summaries: Summaries::default(),
            alive_at: engine.clock.elapsed() + ALIVE_EVERY,
            reserve_at: engine.clock.elapsed() + RESERVE_EVERY,
            rests_until: Duration::ZERO,
        }
    }

    /// Does what is due, unless the disk is behind already. What cannot be read is left for
    /// `salvage`.
    pub(super) fn step(
        &mut self,
        engine: &Engine,
        duplicates: &mut Duplicates,
    ) -> Result<(), Fault> {
        self.say_alive(engine);
        self.look_after_reserve(engine);
        let now = engine.clock.elapsed();
        if now < self.rests_until {
            return Ok(());
        }
        match self.remove_some(engine, duplicates) {
            Err(fault) if fault.is_damage() && !engine.store.is_half_written() => {
                warn!(error = %fault, "what is old cannot be removed where the queue is damaged");
                self.rests_until = now + REST;
                Ok(())
            }
            done => done,
        }
    }

    fn remove_some(&mut self, engine: &Engine, duplicates: &mut Duplicates) -> Result<(), Fault> {
        let mut is_behind = self.settle_ranges(engine)?;
        let settled_from = std::mem::replace(&mut engine.shared().settled_from, u64::MAX);
        for walk in [&mut self.history, &mut self.dead] {
            walk.go_back_to(settled_from);
            if engine.shared().pending.bytes() < WINDOW {
                is_behind |= walk.step(engine)?;
            }
        }
        let mut pages = 0;
        while pages < PAGES
            && engine.shared().pending.bytes() < WINDOW
            && self.remove_page(engine)?
        {
            pages += 1;
        }
        is_behind |= pages == PAGES;
        if self.merging.step(engine)? {
            self.oldest = None;
            is_behind = true;
        }
        if is_behind {
            engine.shared().urgent = true;
        }
        engine.let_lanes_go();
        self.remove_stub(engine, duplicates)?;
        self.renewal.step(engine)
    }

    /// Goes on with ranges that were settled as a whole; says whether there is more to do at once.
    fn settle_ranges(&mut self, engine: &Engine) -> Result<bool, Fault> {
        if !engine.shared().settling {
            return Ok(false);
        }
        let is_counting = self.summaries.step(engine)?;
        let is_settling = engine.settle_asides()?;
        let mut shared = engine.shared();
        shared.settling = shared.lanes.iter().any(|lane| lane.is_settling());
        Ok(is_counting || is_settling)
    }

    /// Says that the relay runs, while anything waits whose patience its downtime would use up.
    fn say_alive(&mut self, engine: &Engine) {
        let now = engine.clock.elapsed();
        if now < self.alive_at {
            return;
        }
        self.alive_at = now + ALIVE_EVERY;
        let mut shared = engine.shared();
        if shared.lanes.iter().any(|lane| lane.waiting() > 0) {
            let alive = engine.alive_mark();
            engine.push(&mut shared, vec![alive]);
        }
    }

    fn look_after_reserve(&mut self, engine: &Engine) {
        let now = engine.clock.elapsed();
        if now >= self.reserve_at {
            self.reserve_at = now + RESERVE_EVERY;
            if let Err(error) = engine.disk.put_reserve_back() {
                debug!(%error, "no room to put the reserve back");
            }
        }
    }

    /// Removes the oldest page, if nobody needs it or the log is over its bound; says whether.
    fn remove_page(&mut self, engine: &Engine) -> Result<bool, Fault> {
        let (from, next, is_over) = {
            let shared = engine.shared();
            let log = shared.log;
            (
                log.pages_from,
                log.next,
                log.events > engine.options.backlog,
            )
        };
        if from >= next {
            return Ok(false);
        }
        if self.oldest.as_ref().is_none_or(|head| head.first != from) {
            self.oldest = engine.head_at_or_after(from)?;
        }
        let Some(head) = &self.oldest else {
            return Ok(false);
        };
        if !is_over && !self.is_unneeded(engine, head) {
            return Ok(false);
        }
        let is_removed = engine.remove_page(head, is_over)?;
        self.oldest = None;
        Ok(is_removed)
    }

    fn is_unneeded(&self, engine: &Engine, head: &Head) -> bool {
        let end = head.range().end;
        if self.history.nothing_before() < end {
            return false;
        }
        let mut shared = engine.shared();
        let next = shared.log.next;
        for lane in shared.lanes.iter_mut().skip(1) {
            lane.catch_up(next);
        }
        let is_passed = shared.lanes.iter().skip(1).all(|lane| lane.floor() >= end);
        if is_passed {
            // What is removed is written after this.
            let now = engine.now();
            let behind = shared.lanes.iter_mut().skip(1);
            let behind = behind.filter(|lane| lane.written_floor < end);
            let writes: Vec<(Key, Option<Vec<u8>>)> = behind.map(|lane| lane.write(now)).collect();
            if !writes.is_empty() {
                engine.push(&mut shared, writes);
            }
        }
        is_passed
    }

    /// Forgets the oldest stub when `dedupe` does.
    fn remove_stub(&self, engine: &Engine, duplicates: &mut Duplicates) -> Result<(), Fault> {
        let log = engine.shared().log;
        if log.first >= log.pages_from {
            return Ok(());
        }
        let Some(head) = engine.head_at_or_after(log.first)?.filter(Head::is_stub) else {
            return Ok(());
        };
        let end = head.range().end;
        let dedupe = engine.options.dedupe;
        let last = head.received(end - 1).unwrap_or_default();
        let is_old = engine.clock.now().since(last) > dedupe.keep;
        if !is_old && log.next - log.first <= dedupe.at_most {
            return Ok(());
        }
        duplicates.forget_before(end);
        let mut shared = engine.shared();
        shared.log.first = end;
        let writes = vec![
            (key::head(head.first), None),
            (key::mark("first"), Some(end.to_be_bytes().to_vec())),
        ];
        engine.push(&mut shared, writes);
        Ok(())
    }
}

impl Engine {
    /// Whether the log is over its bound, and what shrinks it waits for room in a commit: then
    /// that goes first, or new events would come faster than old ones can go.
    pub(super) fn is_overfull(&self) -> bool {
        let shared = self.shared();
        shared.log.events > self.options.backlog && shared.pending.bytes() >= WINDOW
    }

    fn head_at_or_after(&self, from: u64) -> Result<Option<Head>, Fault> {
        Ok(self.some_heads(from, 1)?.pop())
    }

    /// At most so many heads that begin at or after `from`.
    pub(super) fn some_heads(&self, from: u64, at_most: usize) -> Result<Vec<Head>, Fault> {
        let heads = key::head(from)..key::all(b"h").end;
        let heads = self.store.scan_around(heads, at_most)?;
        let heads = heads.iter().map(|(key, value)| {
            let first = key::first_of_head(key).ok_or(chunk::Damaged)?;
            Head::decode(first, value)
        });
        Ok(heads.collect::<Result<_, chunk::Damaged>>()?)
    }

    /// Removes a page: what is still needed of it is copied, its head becomes a stub, and then
    /// its chunks go. Says whether: unless it must go, it stays if something of it was settled since
    /// history was looked through, and so has a history now.
    fn remove_page(&self, head: &Head, must_go: bool) -> Result<bool, Fault> {
        let end = head.range().end;
        let entries = match self.page(head.first) {
            Ok(page) => page,
            Err(fault) if fault.is_damage() => None,
            Err(fault) => return Err(fault),
        };
        let mut shared = self.shared();
        if !must_go && shared.settled_from < end {
            return Ok(false);
        }
        for event in head.range() {
            let entry = entries.as_ref().and_then(|page| page.get(event));
            let is_dead = self.bury_what_waits(&mut shared, head, event, entry);
            if (is_dead || self.is_needed(&shared, event)?)
                && let Some(entry) = entry
            {
                self.copy(&mut shared, event, entry);
            }
        }
        shared.log.pages_from = end;
        shared.log.events = shared.log.events.saturating_sub(head.events.len() as u64);
        let stub = (key::head(head.first), Some(head.stub().encode()));
        self.push(&mut shared, vec![stub]);
        let chunks = (0..head.chunks).map(|n| key::page_chunk(head.first, n));
        // What cannot be read cannot be removed either.
        let chunks = chunks.filter(|key| entries.is_some() || self.store.get(key).is_ok());
        self.push_removals(&mut shared, chunks.collect());
        self.cache().remove(head.first);
        Ok(true)
    }

    /// What lanes still need of a page that goes all the same becomes dead letters, so that one
    /// stuck lane never stops the others and nothing disappears unseen.
    fn bury_what_waits(
        &self,
        shared: &mut Shared,
        head: &Head,
        event: u64,
        entry: Option<&Entry>,
    ) -> bool {
        let now = self.now();
        let mut any = false;
        let lanes = head.lanes().filter(|(of, _)| *of == event);
        for (_, id) in lanes.collect::<Vec<_>>() {
            if self.settles_with_its_range(shared, (event, id), entry) {
                continue;
            }
            let lane = shared.lane(id);
            if !any {
                warn!(event.id = event, destination.name = %lane.destination,
                    "the log is full: its oldest deliveries become dead letters");
            }
            any = true;
            let trail = lane.out.get(&event).map(|out| out.trail.clone());
            let about = entry.map_or_else(About::unknown, About::new);
            let planned = entry.and_then(|entry| entry.planned(id));
            let record = Record {
                state: State::Dead,
                reason: Some(Reason::LaneFull),
                settled: Some(now.wall),
                trail: trail.unwrap_or_default(),
                ..Record::waiting(about, planned.and_then(|planned| planned.route.clone()), 1)
            };
            let mut writes = leave(lane, Place::Log, event);
            lane.pass(event);
            shared.count(id, None, Some(State::Dead));
            writes.push((key::record(event, id), Some(record.encode())));
            writes.push(shared.lane(id).write(now));
            self.push(shared, writes);
            self.wake(shared, id);
        }
        any
    }

    /// Whether a dead letter or a delivery that waits on its own needs the event.
    pub(super) fn is_needed(&self, shared: &Shared, event: u64) -> Result<bool, Fault> {
        let range = key::record(event, 0)..key::record(event + 1, 0);
        if self.store.is_wounded_in(&range) {
            return Ok(true);
        }
        let records = self.scan(shared, range, usize::MAX >> 1)?;
        let mut records = records
            .iter()
            .filter_map(|(_, value)| Record::decode(value).ok());
        Ok(records.any(|record| matches!(record.state, State::Waiting | State::Dead)))
    }

    /// One copy serves all lanes.
    fn copy(&self, shared: &mut Shared, event: u64, entry: &Entry) {
        let packed = page::pack([entry]).packed;
        let chunks = packed.split(open::copy_of(event));
        let mut writes = chunks.map(|(n, chunk)| (key::body_chunk(event, 0, n), Some(chunk)));
        loop {
            let some: Vec<(Key, Option<Vec<u8>>)> = writes.by_ref().take(COPIED).collect();
            if some.is_empty() {
                break;
            }
            self.push(shared, some);
        }
    }

    /// Removes an event's copy when its last record that needed it is gone.
    pub(super) fn remove_copy(&self, shared: &mut Shared, event: u64) -> Result<(), Fault> {
        if event >= shared.log.pages_from || self.is_needed(shared, event)? {
            return Ok(());
        }
        let first = key::body_chunk(event, 0, 0);
        let stored = match shared.pending.get(&first) {
            Some(pending) => pending.map(|value| value.to_vec()),
            None => match self.store.get(&first) {
                // It stays where it cannot be read.
                Err(fault) if fault.is_damage() => return Ok(()),
                stored => stored?.map(|value| value.to_vec()),
            },
        };
        if let Some(stored) = stored {
            let count = chunk::count_from(&stored).unwrap_or(0);
            let chunks = (0..count).map(|n| key::body_chunk(event, 0, n));
            self.push_removals(shared, chunks.collect());
        }
        Ok(())
    }

    pub(super) fn push_removals(&self, shared: &mut Shared, keys: Vec<Key>) {
        for some in keys.chunks(REMOVALS) {
            let writes = some.iter().map(|key| (key.clone(), None));
            self.push(shared, writes.collect());
        }
    }
}
