//! Gaps in the log: sequences between its stored marks that no head knows. They come from damage
//! alone, and they are told, kept and shown, never passed over.

use tracing::{error, warn};

use crate::clock::Timestamp;
use crate::queue::chunk::Damaged;
use crate::queue::engine::{Engine, Log, Shared};
use crate::queue::head::Head;
use crate::queue::key;
use crate::queue::missing::Missing;
use crate::queue::store::Fault;

/// A walk along the heads that notices what is not there.
pub(super) struct Gaps {
    expected: u64,
    after: Option<Timestamp>,
    now: Timestamp,
    found: Vec<Missing>,
}

impl Gaps {
    pub(super) fn new(log: Log, now: Timestamp) -> Gaps {
        Gaps {
            expected: log.first,
            after: None,
            now,
            found: Vec::new(),
        }
    }

    /// The next head, or stub; says how many sequences before it are missing.
    pub(super) fn see(&mut self, head: &Head) -> u64 {
        let range = head.range();
        let missing = self.up_to(range.start, head.received(range.start));
        self.expected = self.expected.max(range.end);
        self.after = head.received(range.end.saturating_sub(1));
        missing
    }

    /// All there are, up to the end of the log.
    pub(super) fn finish(mut self, next: u64) -> Vec<Missing> {
        self.up_to(next, None);
        self.found
    }

    fn up_to(&mut self, first: u64, before: Option<Timestamp>) -> u64 {
        if first <= self.expected {
            return 0;
        }
        let missing = Missing {
            first: self.expected,
            last: first - 1,
            after: self.after,
            before,
            found: self.now,
        };
        self.found.push(missing);
        missing.events()
    }
}

impl Engine {
    /// Tells of gaps, the new ones loudly.
    pub(super) fn tell_of_gaps(
        &self,
        shared: &mut Shared,
        gaps: Vec<Missing>,
    ) -> Result<(), Fault> {
        let known = self.known_missing()?;
        for gap in gaps {
            let known = known
                .iter()
                .find(|known| (known.first, known.last) == (gap.first, gap.last));
            match known {
                Some(known) => {
                    warn!(
                        "still missing by damage that was found at {}: {known}",
                        known.found
                    );
                    shared.missing.push(*known);
                }
                None => {
                    error!(
                        "the queue is damaged and has lost {gap}; what was to be delivered of \
                         them is not delivered. Stop the relay soon and run `gogs-relay salvage`: \
                         it may bring them back as long as nothing is written over them"
                    );
                    shared.missing.push(gap);
                }
            }
        }
        Ok(())
    }

    /// What was told before.
    fn known_missing(&self) -> Result<Vec<Missing>, Fault> {
        let stored = self.store.scan(key::all(b"g"), usize::MAX)?;
        let known = stored.iter().map(|(key, value)| {
            let first = key::first_of_missing(key).ok_or(Damaged)?;
            Missing::decode(first, value)
        });
        Ok(known.collect::<Result<_, Damaged>>()?)
    }

    /// Writes what is missing now, in place of what was.
    pub(super) fn write_missing(&self, shared: &mut Shared) -> Result<(), Fault> {
        let known = self.known_missing()?;
        if known == shared.missing {
            return Ok(());
        }
        let gone = known.iter().map(|gap| (key::missing(gap.first), None));
        let gone: Vec<_> = gone.collect();
        let now = shared.missing.iter();
        let now: Vec<_> = now
            .map(|gap| (key::missing(gap.first), Some(gap.encode())))
            .collect();
        let next = shared.log.next.to_be_bytes().to_vec();
        shared.pending.push(gone);
        shared.pending.push(now);
        shared.pending.push(vec![(key::mark("next"), Some(next))]);
        Ok(())
    }
}
