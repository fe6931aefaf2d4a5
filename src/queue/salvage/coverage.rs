//! What the new log knows, be it by a page or by a stub, and so what it lacks. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::clock::Timestamp;
use crate::queue::Missing;
use crate::queue::head::Head;

/// By first sequence.
#[derive(Debug, Default)]
pub(super) struct Coverage(BTreeMap<u64, Known>);

#[derive(Debug)]
struct Known {
    end: u64,
    first_received: Timestamp,
    last_received: Timestamp,
}

impl Known {
    fn of(head: &Head) -> Known {
        let range = head.range();
        let received = |sequence| head.received(sequence).unwrap_or_default();
        Known {
            first_received: received(range.start),
            last_received: received(range.end.saturating_sub(1)),
            end: range.end,
        }
    }
}

impl Coverage {
    pub(super) fn add(&mut self, head: &Head) {
        self.0.insert(head.first, Known::of(head));
    }

    /// Where the page or stub ends that begins here.
    pub(super) fn end_of(&self, first: u64) -> u64 {
        self.0.get(&first).map_or(first, |known| known.end)
    }

    pub(super) fn holds(&self, event: u64) -> bool {
        let before = self.0.range(..=event).next_back();
        before.is_some_and(|(_, known)| event < known.end)
    }

    /// What of the log is in no page and no stub.
    pub(super) fn missing(&self, log: Range<u64>, found: Timestamp) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut from = log.start;
        let mut after = None;
        let mut gap = |from: u64, to: u64, after, before| {
            if from < to {
                missing.push(Missing {
                    first: from,
                    last: to - 1,
                    after,
                    before,
                    found,
                });
            }
        };
        for (first, known) in &self.0 {
            gap(from, *first, after, Some(known.first_received));
            from = from.max(known.end);
            after = Some(known.last_received);
        }
        gap(from, log.end, after, None);
        missing
    }
}
