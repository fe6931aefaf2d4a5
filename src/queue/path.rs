//! A lane's way through the log: ranges that go first, then the straight path, which leads around
//! those that lie beside it. Decides, and does no IO.

use crate::queue::aside::Aside;
use crate::queue::lane::{Lane, Leased, Out};
use crate::queue::page::Page;

impl Lane {
    /// The oldest unsettled sequence of the straight path.
    pub(super) fn cursor(&self) -> u64 {
        let mut out = self.out.keys();
        let first = out.find(|event| self.aside_of(**event).is_none());
        first.map_or(self.read, |first| self.read.min(*first))
    }

    /// With nothing left in the log, the lane stands at its end.
    pub(super) fn catch_up(&mut self, end: u64) {
        if self.unread == 0 && self.out.is_empty() {
            self.read = self.read.max(end);
        }
    }

    pub(super) fn is_loose(&self) -> bool {
        self.run.is_some_and(|run| run.loose)
    }

    /// These events of the log go to this lane.
    pub(super) fn take_in(&mut self, events: &[u64]) {
        if let Some(last) = events.last() {
            self.named_until = self.named_until.max(last + 1);
        }
        let is_new = |event: &&u64| {
            let is_ahead = **event >= self.read && !self.ahead.contains(event);
            is_ahead && self.aside_of(**event).is_none()
        };
        self.unread += events.iter().filter(is_new).count() as u64;
    }

    /// The range that is read now; none when it is the straight path's turn.
    pub(super) fn current(&self) -> Option<&Aside> {
        self.asides.iter().find(|aside| aside.is_next())
    }

    fn current_mut(&mut self) -> Option<&mut Aside> {
        self.asides.iter_mut().find(|aside| aside.is_next())
    }

    /// Where the lane reads on.
    pub(super) fn position(&self) -> u64 {
        self.current().map_or(self.read, |aside| aside.at)
    }

    /// Everything before `to` was looked at, as far as the range goes that is read now.
    pub(super) fn move_to(&mut self, to: u64) {
        match self.current_mut() {
            Some(aside) => aside.at = aside.at.max(to.min(aside.to)),
            None => self.read = self.read.max(to),
        }
        self.skip_asides();
        self.drop_empty_asides();
    }

    /// What was the oldest of the log is gone with its page.
    pub(super) fn pass(&mut self, event: u64) {
        if let Some(aside) = self.aside_of_mut(event) {
            aside.at = aside.at.max(event + 1);
        } else if self.out.is_empty() {
            self.read = self.read.max(event + 1);
        }
        self.drop_empty_asides();
    }

    /// The straight path leads around ranges that lie beside it.
    pub(super) fn skip_asides(&mut self) {
        while let Some(aside) = self.asides.iter().find(|aside| aside.holds(self.read)) {
            self.read = aside.to;
        }
    }

    /// The delivery at the position leaves it.
    pub(super) fn take_at_position(&mut self) {
        match self.current_mut() {
            Some(aside) => {
                aside.at += 1;
                aside.count = aside.count.saturating_sub(1);
            }
            None => {
                self.read += 1;
                self.unread = self.unread.saturating_sub(1);
            }
        }
        self.skip_asides();
    }

    /// Moves on within `page` to the next delivery of this lane, and says which it is.
    pub(super) fn advance(&mut self, page: &Page) -> Option<u64> {
        loop {
            let at = self.position();
            if !page.range().contains(&at) {
                return None;
            }
            let entry = page.get(at);
            let is_ours = entry.is_some_and(|entry| entry.planned(self.id).is_some());
            if is_ours && !self.is_passed(at) {
                return Some(at);
            }
            self.move_to(at + 1);
        }
    }

    /// Whether reading passes over this sequence.
    fn is_passed(&self, at: u64) -> bool {
        self.ahead.contains(&at) || self.out.contains_key(&at)
    }

    /// The delivery at the position goes out.
    pub(super) fn take_out(&mut self, leased: Leased) {
        let out = Out {
            leased: Some(leased),
            ..Out::default()
        };
        let at = self.position();
        self.out.insert(at, out);
        self.take_at_position();
    }

    /// A delivery of the log has a record now.
    pub(super) fn left_log(&mut self, sequence: u64) {
        let was_out = self.out.remove(&sequence).is_some();
        match self.aside_of_mut(sequence) {
            _ if was_out => {}
            Some(aside) => aside.count = aside.count.saturating_sub(1),
            None => self.unread = self.unread.saturating_sub(1),
        }
        if sequence >= self.cursor() {
            self.ahead.insert(sequence);
        }
        self.drop_empty_asides();
    }

    /// Whether a delivery that was planned for this lane waits in the log.
    pub(super) fn waits_in_log(&self, sequence: u64) -> bool {
        let is_unread = match self.aside_of(sequence) {
            Some(aside) => aside.fate.waits() && sequence >= aside.at,
            None => sequence >= self.read && !self.ahead.contains(&sequence),
        };
        is_unread || self.out.contains_key(&sequence)
    }

    /// Nothing of the log before this is needed by the lane.
    pub(super) fn floor(&self) -> u64 {
        let asides = self.asides.iter().map(|aside| aside.from);
        asides.fold(self.cursor(), u64::min)
    }

    /// Whether the record of this delivery is what says that it is settled.
    pub(super) fn needs_record(&self, event: u64) -> bool {
        event >= self.cursor() || self.aside_of(event).is_some()
    }
}
