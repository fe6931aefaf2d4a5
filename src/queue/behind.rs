//! What a resumed lane leaves behind, and what of it goes first. Decides, and does no IO.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::queue::Rest;
use crate::queue::aside::{Aside, Fate};
use crate::queue::lane::Lane;

impl Lane {
    /// What failed before `before`, and is not under way, is unread again.
    pub(super) fn put_back(&mut self, before: u64) {
        let out = self.out.range(..before);
        let idle = out.filter(|(_, out)| out.leased.is_none());
        for event in idle.map(|(event, _)| *event).collect::<Vec<u64>>() {
            self.out.remove(&event);
            match self.aside_of_mut(event) {
                Some(aside) => {
                    aside.at = aside.at.min(event);
                    aside.count += 1;
                }
                None => {
                    self.read = self.read.min(event);
                    self.unread += 1;
                }
            }
        }
    }

    /// The ranges before `before` that no decision covers as a whole: the first part of one that
    /// it cuts through, and what lies between those that there are.
    pub(super) fn undecided(&self, before: u64) -> Vec<Range<u64>> {
        let open = self.asides.iter().filter(|aside| aside.fate.is_open());
        let cut = open.filter(|aside| aside.at < before && before < aside.to);
        let mut ranges: Vec<Range<u64>> = cut.map(|aside| aside.at..before).collect();
        let mut asides: Vec<&Aside> = self.asides.iter().collect();
        asides.sort_by_key(|aside| aside.from);
        // What is under way shares the fate of the rest, should it fail.
        let mut out = self.out.range(..before).map(|(event, _)| *event);
        let out = out.find(|event| self.aside_of(*event).is_none());
        let mut from = out.map_or(self.read, |out| self.read.min(out));
        for aside in asides {
            if from < aside.from.min(before) {
                ranges.push(from..aside.from.min(before));
            }
            from = from.max(aside.to);
        }
        if from < before {
            ranges.push(from..before);
        }
        ranges
    }

    /// Leaves behind what waits before `before`, and lets the rest go on; says how much that is.
    pub(super) fn leave_behind(
        &mut self,
        before: u64,
        counted: Vec<(Range<u64>, u64)>,
        rest: Rest,
        now: Timestamp,
    ) -> u64 {
        let mut left = self.parked_before(before);
        let mut asides = Vec::with_capacity(self.asides.len() + counted.len());
        for mut aside in std::mem::take(&mut self.asides) {
            let cut = counted.iter().find(|(range, _)| aside.holds(range.start));
            if !aside.fate.is_open() {
                asides.push(aside);
                continue;
            }
            if let Some((_, count)) = cut {
                let (front, back) = aside.cut(before, *count);
                asides.push(front.left_to(rest, now));
                aside = back;
                left += count;
            } else if aside.at < before {
                left += aside.count;
                asides.push(aside.left_to(rest, now));
                continue;
            }
            aside.fate = Fate::Resumed;
            asides.push(aside);
        }
        let is_straight = |start: u64| asides.iter().all(|aside| !aside.holds(start));
        let straight = counted
            .into_iter()
            .filter(|(range, _)| is_straight(range.start));
        for (range, count) in straight.collect::<Vec<_>>() {
            let mut aside = Aside::new(range.start, range.end, Fate::KeptBack, now);
            aside.count = count;
            asides.push(aside.left_to(rest, now));
            self.unread = self.unread.saturating_sub(count);
            left += count;
        }
        if self.parked_before(before) > 0 {
            // Parked deliveries share the fate of a range that ends behind them.
            let end = Aside::new(before, before, Fate::KeptBack, now);
            asides.push(end.left_to(rest, now));
        }
        self.read = self.read.max(before);
        self.asides = asides;
        left
    }

    /// What was kept back goes first now, or is left to another fate; says how much stays behind.
    pub(super) fn resume_asides(&mut self, rest: Option<Rest>, now: Timestamp) -> u64 {
        let undecided = self.undecided_aside();
        let mut left = 0;
        for aside in &mut self.asides {
            match (aside.fate, rest) {
                (Fate::KeptBack, None) => aside.fate = Fate::Resumed,
                (Fate::KeptBack, Some(rest)) => {
                    left = undecided;
                    *aside = aside.clone().left_to(rest, now);
                }
                _ => {}
            }
        }
        left
    }

    fn parked_before(&self, before: u64) -> u64 {
        let parked = self.parked.range(..before);
        parked.filter(|(_, parked)| parked.round == 1).count() as u64
    }
}

impl Rest {
    fn fate(self) -> Fate {
        match self {
            Rest::Keep => Fate::KeptBack,
            Rest::Dead => Fate::Dead,
            Rest::Summary => Fate::Counted,
        }
    }
}

impl Aside {
    /// The part before `before`, in which so many wait, and the part from there on.
    fn cut(self, before: u64, count: u64) -> (Aside, Aside) {
        let front = Aside {
            to: before,
            count: count.min(self.count),
            ..self.clone()
        };
        let back = Aside {
            from: before,
            at: before,
            count: self.count - front.count,
            ..self
        };
        (front, back)
    }

    /// What is kept back once more keeps its time.
    fn left_to(self, rest: Rest, now: Timestamp) -> Aside {
        let is_same = self.fate == rest.fate();
        Aside {
            fate: rest.fate(),
            since: if is_same { self.since } else { now },
            ..self
        }
    }
}
