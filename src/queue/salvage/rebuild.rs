//! Which pages of the log come back. A page whose chunks are whole comes back with its plan, with
//! or without its head; one that retention had removed does not, although its bytes may still be
//! there.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, bail};

use crate::clock::Timestamp;
use crate::queue::head::{Hashes, Head};
use crate::queue::key::{self, LaneId};
use crate::queue::open::FORMAT;
use crate::queue::page::Page;
use crate::queue::salvage::Salvaged;
use crate::queue::salvage::coverage::Coverage;
use crate::queue::salvage::lanes::Lane;
use crate::queue::salvage::output::Output;
use crate::queue::salvage::tree::Tree;
use crate::queue::witness::Testimony;

/// Attempts that may have been made after the newest that can be read.
const ATTEMPTS: u64 = 10_000;

/// A queue being put together.
pub(super) struct Rebuild<'a> {
    pub(super) tree: &'a Tree,
    pub(super) out: Output,
    pub(super) now: Timestamp,
    /// By id; those of which nothing but a name in a plan is known too.
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    /// By first sequence.
    heads: BTreeMap<u64, HeadFound>,
    /// The sequences of the pages in the new log, in order.
    pages: Vec<Range<u64>>,
    /// What the new log knows, in order, with the times of the first and the last event.
    known: Coverage,
    first: u64,
    pub(super) next: u64,
    /// The newest attempt that a record names.
    pub(super) newest_attempt: u64,
    pub(super) report: Salvaged,
}

#[derive(Debug)]
struct HeadFound {
    end: u64,
    is_stub: bool,
}

impl<'a> Rebuild<'a> {
    /// Begins with marks, lanes and heads.
    pub(super) fn new(
        tree: &'a Tree,
        out: Output,
        now: Timestamp,
        witnessed: Option<Testimony>,
    ) -> anyhow::Result<Rebuild<'a>> {
        match tree.get(&key::mark("format"))?.as_deref() {
            None | Some([FORMAT]) => {}
            Some(_) => bail!("the queue was written by a newer gogs-relay; use that one"),
        }
        let mut rebuild = Rebuild {
            tree,
            out,
            now,
            lanes: BTreeMap::new(),
            heads: BTreeMap::new(),
            pages: Vec::new(),
            known: Coverage::default(),
            first: 1,
            next: 1,
            newest_attempt: 0,
            report: Salvaged::default(),
        };
        rebuild.report.holes = tree.holes;
        rebuild.read_lanes()?;
        rebuild.read_heads()?;
        let said = witnessed.map_or((1, 1), |witnessed| (witnessed.first, witnessed.next));
        let next = rebuild.mark("next")?.unwrap_or(1);
        rebuild.next = rebuild.next.max(next).max(said.1);
        rebuild.first = rebuild.mark("first")?.unwrap_or(1).max(said.0);
        Ok(rebuild)
    }

    fn read_heads(&mut self) -> anyhow::Result<()> {
        for (key, found) in self.tree.range(key::all(b"h")) {
            let first = key::first_of_head(key).context("a head's key")?;
            // What does not decode was never ours: it is found again by its chunks.
            let Ok(head) = Head::decode(first, &self.tree.value(found)?) else {
                continue;
            };
            let found = HeadFound {
                end: head.range().end,
                is_stub: head.is_stub(),
            };
            self.next = self.next.max(found.end);
            self.heads.insert(first, found);
        }
        Ok(())
    }

    /// Writes the pages that come back, and the stubs of those that were removed.
    pub(super) fn pages(&mut self, progress: &mut dyn FnMut(u64, u64)) -> anyhow::Result<()> {
        let mut from = 0;
        let tree = self.tree;
        let mut firsts = self.heads.keys().copied().collect::<Vec<u64>>();
        firsts.extend(
            tree.range(key::all(b"p"))
                .filter_map(|(key, _)| key::first_of_chunk(key)),
        );
        firsts.sort_unstable();
        firsts.dedup();
        let (low, high) = (firsts.first().copied(), firsts.last().copied());
        for first in firsts {
            if first < from {
                // Within a page that came back: of a page that a crash had cut short.
                continue;
            }
            if self.page(first)? {
                from = self.known.end_of(first);
            }
            let done = first - low.unwrap_or(first);
            progress(
                done,
                high.unwrap_or(first).saturating_sub(low.unwrap_or(first)),
            );
        }
        Ok(())
    }

    /// Brings a page back, or its stub; says whether the new log knows its events.
    fn page(&mut self, first: u64) -> anyhow::Result<bool> {
        let head = self.heads.get(&first);
        if head.is_some_and(|head| head.is_stub) {
            let stub = self.tree.get(&key::head(first))?.context("a stub")?;
            let head = Head::decode(first, &stub)?;
            return self.keep_stub(&head).map(|()| true);
        }
        let Some((page, chunks)) = self.read_page(first)? else {
            return Ok(false);
        };
        let range = page.range();
        let head = head_of(&page, chunks);
        let is_in_the_log = match self.agrees_with_its_head(&head)? {
            Some(false) => return Ok(false),
            Some(true) => true,
            None => {
                let next_head = self.heads.range(first + 1..).next();
                if next_head.is_some_and(|(next, _)| *next < range.end) {
                    return Ok(false);
                }
                self.was_in_the_log(&page)?
            }
        };
        if is_in_the_log {
            self.write_page(&page, &head)?;
        } else if range.end > self.first {
            self.keep_stub(&head.stub())?;
        }
        Ok(true)
    }

    /// Whether the head under which a page lies knows the same events. Pages are merged, so of the
    /// two either may be older than the other: one begins with the other, or is a part of it.
    fn agrees_with_its_head(&self, page: &Head) -> anyhow::Result<Option<bool>> {
        let before = self.heads.range(..=page.first).next_back();
        let Some((&first, found)) =
            before.filter(|(_, head)| !head.is_stub && head.end > page.first)
        else {
            return Ok(None);
        };
        if (first, found.end) == (page.first, page.range().end) {
            return Ok(Some(true));
        }
        let value = self.tree.get(&key::head(first))?.context("a head")?;
        let head = Head::decode(first, &value)?;
        let known = head.events.iter().skip((page.first - first) as usize);
        let mut both = known.zip(&page.events);
        Ok(Some(both.all(|(one, other)| one.hashes == other.hashes)))
    }

    /// Of a page without a head: whether retention had left it in the log.
    fn was_in_the_log(&self, page: &Page) -> anyhow::Result<bool> {
        let range = page.range();
        if range.end <= self.first {
            return Ok(false);
        }
        let chunks = key::page_chunk(page.first, 0)..key::page_chunk(page.first, u32::MAX);
        let mut chunks = self.tree.range(chunks).map(|(_, found)| found);
        let Some(first) = chunks.next() else {
            return Ok(false);
        };
        let others: Vec<_> = chunks.collect();
        let mut all = std::iter::once(first).chain(others);
        if all.any(|found| found.is_removed) {
            return Ok(false);
        }
        if !first.is_stray {
            return Ok(true);
        }
        // Retention removes a page only once every lane has passed it.
        for (event, entry) in range.zip(&page.entries) {
            for planned in entry.plan.iter() {
                let lane = self.lanes.get(&planned.lane);
                if lane.is_none_or(|lane| lane.may_wait(event)) {
                    return Ok(true);
                }
            }
            if self.record(event, 0)?.is_some() {
                return Ok(true);
            }
            for planned in entry.plan.iter() {
                if self.record(event, planned.lane)?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn write_page(&mut self, page: &Page, head: &Head) -> anyhow::Result<()> {
        for n in 0..head.chunks {
            let key = key::page_chunk(page.first, n);
            let chunk = self.tree.get(&key)?.context("a chunk")?;
            self.out.put(&key, &chunk)?;
        }
        self.out.put(&key::head(page.first), &head.encode())?;
        self.report.events.back += page.entries.len() as u64;
        self.known.add(head);
        self.next = self.next.max(page.range().end);
        for (event, entry) in page.range().zip(&page.entries) {
            for planned in entry.plan.iter() {
                let is_open = self.record(event, planned.lane)?.is_none();
                let lane = self.lanes.entry(planned.lane).or_default();
                lane.is_called(&planned.destination);
                if is_open && lane.may_wait(event) {
                    lane.is_open(event);
                }
            }
        }
        self.pages.push(page.range());
        Ok(())
    }

    fn keep_stub(&mut self, head: &Head) -> anyhow::Result<()> {
        self.known.add(head);
        self.out.put(&key::head(head.first), &head.encode())
    }

    /// What waited in pages that do not come back becomes dead letters.
    pub(super) fn lost_pages(&mut self) -> anyhow::Result<()> {
        let lost = self.heads.iter().filter(|(first, head)| {
            let mut events = **first..head.end;
            events.any(|event| !self.known.holds(event))
        });
        for first in lost.map(|(first, _)| *first).collect::<Vec<u64>>() {
            let head = self.tree.get(&key::head(first))?.unwrap_or_default();
            let Ok(head) = Head::decode(first, &head) else {
                continue;
            };
            for (event, id) in head.lanes() {
                let is_open = self.record(event, id)?.is_none();
                let lane = self.lanes.entry(id).or_default();
                if is_open && lane.may_wait(event) && !self.known.holds(event) {
                    self.bury(event, id, head.received(event))?;
                }
            }
        }
        Ok(())
    }

    /// Whether the event is in a page of the new log.
    pub(super) fn is_in_a_page(&self, event: u64) -> bool {
        let at = self.pages.partition_point(|page| page.end <= event);
        self.pages.get(at).is_some_and(|page| page.contains(&event))
    }

    /// Writes lanes and marks, and what is missing.
    pub(super) fn finish(mut self) -> anyhow::Result<Salvaged> {
        self.first = self.first.min(self.next);
        for missing in self.known.missing(self.first..self.next, self.now) {
            self.report.events.lost += missing.events();
            self.report.missing.push(missing);
            self.out
                .put(&key::missing(missing.first), &missing.encode())?;
        }
        self.write_lanes()?;
        let attempt = self.mark("attempt")?.unwrap_or(1);
        let attempt = attempt.max(self.newest_attempt + ATTEMPTS);
        for (name, number) in [
            ("first", Some(self.first)),
            ("next", Some(self.next)),
            ("attempt", Some(attempt)),
            ("alive", self.mark("alive")?),
        ] {
            if let Some(number) = number {
                self.out.put(&key::mark(name), &number.to_be_bytes())?;
            }
        }
        self.out.finish(self.first, self.next)?;
        Ok(self.report)
    }
}

/// The head as it was when the page was made.
fn head_of(page: &Page, chunks: u32) -> Head {
    let mut head = Head::new(page.first);
    for entry in &page.entries {
        // It took them before, so it takes them again.
        let _fits = head.add(entry, Hashes::of(&entry.event));
    }
    head.chunks = chunks;
    head
}
