//! What of the log lies beside a lane's straight path: ranges that were kept back, that go before
//! everything else, or that were settled as a whole and get their records little by little.
//! Decides, and does no IO.

use crate::clock::Timestamp;
use crate::delivery::{Reason, State};
use crate::queue::Range;
use crate::queue::lane::{Lane, Parked};

/// A lane has at most so many ranges: they must fit beside the rest of it.
pub(super) const ASIDES: usize = 32;

/// A range of the log. What of it goes to the lane and has no record is meant, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aside {
    /// Before it, everything of this range is through.
    pub(super) from: u64,
    /// Where to read on.
    pub(super) at: u64,
    /// The first sequence behind the range.
    pub(super) to: u64,
    /// Deliveries that wait, or still get their records, at or after `at`.
    pub(super) count: u64,
    pub(super) fate: Fate,
    /// When it was decided.
    pub(super) since: Timestamp,
}

/// What is to become of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Waits until a person decides.
    KeptBack,
    /// Goes before the straight path; of several, the first in the list.
    Resumed,
    /// Is being counted for a summary; nothing of the lane's log goes out meanwhile.
    Counted,
    /// Is settled; its records are still to be written.
    Dead,
    Cancelled,
    Summarised,
}

impl Fate {
    /// Whether its deliveries may still be sent.
    pub(super) fn waits(self) -> bool {
        self.settled().is_none()
    }

    /// Whether a person may still decide otherwise.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Fate::KeptBack | Fate::Resumed)
    }

    /// State and reason of its deliveries, once they are settled.
    pub(super) fn settled(self) -> Option<(State, Reason)> {
        match self {
            Fate::KeptBack | Fate::Resumed | Fate::Counted => None,
            Fate::Dead => Some((State::Dead, Reason::LeftBehind)),
            Fate::Cancelled => Some((State::Cancelled, Reason::Manual)),
            Fate::Summarised => Some((State::Skipped, Reason::Summarised)),
        }
    }
}

impl Aside {
    pub(super) fn new(from: u64, to: u64, fate: Fate, since: Timestamp) -> Aside {
        Aside {
            from,
            at: from,
            to,
            count: 0,
            fate,
            since,
        }
    }

    pub(super) fn holds(&self, event: u64) -> bool {
        (self.from..self.to).contains(&event)
    }

    pub(super) fn is_next(&self) -> bool {
        self.fate == Fate::Resumed && self.at < self.to
    }

    /// Whether it stands still, with the parked deliveries before its end.
    fn stops_parked(&self) -> bool {
        self.fate != Fate::Resumed
    }
}

impl Lane {
    /// The range that this sequence lies in.
    pub(super) fn aside_of(&self, event: u64) -> Option<&Aside> {
        self.asides.iter().find(|aside| aside.holds(event))
    }

    pub(super) fn aside_of_mut(&mut self, event: u64) -> Option<&mut Aside> {
        self.asides.iter_mut().find(|aside| aside.holds(event))
    }

    /// Whether this sequence lies in a range of which nothing is sent now.
    pub(super) fn stands_aside(&self, event: u64) -> bool {
        let aside = self.aside_of(event);
        aside.is_some_and(|aside| aside.fate != Fate::Resumed)
    }

    /// A delivery of the log that is not under way any more shares the fate of its range, if that
    /// stands still; says whether.
    pub(super) fn goes_back_aside(&mut self, event: u64) -> bool {
        if !self.stands_aside(event) || self.out.remove(&event).is_none() {
            return false;
        }
        if let Some(aside) = self.aside_of_mut(event) {
            aside.at = aside.at.min(event);
            aside.count += 1;
        }
        true
    }

    /// Whether the log may have something to hand out.
    pub(super) fn has_unread(&self) -> bool {
        let is_counted = self.asides.iter().any(|aside| aside.fate == Fate::Counted);
        !is_counted && (self.unread > 0 || self.current().is_some())
    }

    /// Whether a parked delivery stands still because what is around it was left behind. What
    /// a person sent again does not.
    pub(super) fn stops(&self, event: u64, parked: &Parked) -> bool {
        parked.round == 1 && self.stopped_at(event).is_some()
    }

    /// The range that a parked delivery shares its fate with.
    pub(super) fn stopped_at(&self, event: u64) -> Option<&Aside> {
        let mut asides = self.asides.iter();
        asides.find(|aside| aside.stops_parked() && event < aside.to)
    }

    /// Whether the writer has something to do for one of its ranges.
    pub(super) fn is_settling(&self) -> bool {
        let mut asides = self.asides.iter();
        asides.any(|aside| aside.fate == Fate::Counted || !aside.fate.waits())
    }

    /// Deliveries in ranges that may still be sent.
    pub(super) fn waiting_aside(&self) -> u64 {
        let waiting = self.asides.iter().filter(|aside| aside.fate.waits());
        waiting.map(|aside| aside.count).sum()
    }

    /// Cancels what waits in the log before `end`, or what of it is kept back, but for what is
    /// out; says how many.
    pub(super) fn cancel_log(&mut self, range: Range, end: u64, now: Timestamp) -> u64 {
        let mut cancelled = match range {
            Range::All => self.waiting_aside(),
            _ => self.undecided_aside(),
        };
        for aside in self.asides.iter_mut().filter(|aside| aside.fate.waits()) {
            if range == Range::All || aside.fate == Fate::KeptBack {
                aside.fate = Fate::Cancelled;
                aside.since = now;
            }
        }
        if range == Range::All && self.read < end && self.unread > 0 {
            let mut aside = Aside::new(self.read, end, Fate::Cancelled, now);
            aside.count = std::mem::take(&mut self.unread);
            cancelled += aside.count;
            self.asides.push(aside);
            self.read = end;
        }
        self.drop_empty_asides();
        cancelled
    }

    /// Deliveries that are kept back until a person decides, and the parked ones that share their
    /// fate. Those that are being summed up are decided.
    pub(super) fn undecided_aside(&self) -> u64 {
        let is_kept = |aside: &&Aside| aside.fate == Fate::KeptBack;
        let in_log = self.asides.iter().filter(is_kept).map(|kept| kept.count);
        let parked = self.parked.iter().filter(|(event, parked)| {
            parked.round == 1 && self.stopped_at(**event).as_ref().is_some_and(is_kept)
        });
        in_log.sum::<u64>() + parked.count() as u64
    }

    /// How many are kept back, those that are being summed up among them, and since when.
    pub(super) fn kept_back(&self) -> Option<(u64, Timestamp)> {
        let is_kept = |aside: &&Aside| matches!(aside.fate, Fate::KeptBack | Fate::Counted);
        let kept = || self.asides.iter().filter(is_kept);
        let since = kept().map(|kept| kept.since).min()?;
        let to = kept().map(|kept| kept.to).max()?;
        let parked = self
            .parked
            .range(..to)
            .filter(|(_, parked)| parked.round == 1);
        let count = kept().map(|kept| kept.count).sum::<u64>() + parked.count() as u64;
        Some((count, since))
    }

    /// Deliveries that are settled as a whole, and whose records are still to be written.
    pub(super) fn settled_aside(&self, state: State) -> u64 {
        let settled = self.asides.iter().filter(|aside| {
            let fate = aside.fate.settled();
            fate.is_some_and(|(fate, _)| fate == state)
        });
        settled.map(|aside| aside.count).sum()
    }

    /// Forgets ranges with nothing left in them.
    pub(super) fn drop_empty_asides(&mut self) {
        if self.asides.is_empty() {
            return;
        }
        let asides = std::mem::take(&mut self.asides);
        let left = asides.into_iter().filter_map(|mut aside| {
            let out = self.out.range(aside.from..aside.to).next();
            let first = out.map_or(aside.at, |(event, _)| aside.at.min(*event));
            aside.from = aside.from.max(first);
            let is_through = match aside.fate {
                Fate::Resumed => aside.at >= aside.to,
                Fate::KeptBack => aside.count == 0 && !self.has_parked(&aside),
                Fate::Counted => false,
                Fate::Dead | Fate::Cancelled | Fate::Summarised => {
                    aside.at >= aside.to && !self.has_parked(&aside)
                }
            };
            (!is_through || out.is_some()).then_some(aside)
        });
        self.asides = left.collect();
    }

    fn has_parked(&self, aside: &Aside) -> bool {
        let mut parked = self.parked.range(..aside.to);
        parked.any(|(_, parked)| parked.round == 1)
    }
}
