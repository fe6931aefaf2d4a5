//! Events that damage has taken: which, and between which times they came. Stored, so that they
//! are told until `dedupe` would have forgotten them. Versioned; old ones are fixtures in
//! `tests/fixtures/stored/`. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::queue::chunk::Damaged;

const VERSION: u8 = 1;

/// A range of events that can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    pub first: u64,
    /// The last of them, inclusive.
    pub last: u64,
    /// When the event before them was received, if that is known.
    pub after: Option<Timestamp>,
    /// When the event after them was received, if there is one.
    pub before: Option<Timestamp>,
    /// When it was noticed.
    pub found: Timestamp,
}

impl Missing {
    /// How many events.
    pub fn events(&self) -> u64 {
        self.last - self.first + 1
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = MissingV1 {
            last: self.last,
            after: self.after.map(|time| time.0),
            before: self.before.map(|time| time.0),
            found: self.found.0,
        };
        // Writing plain data to memory cannot fail.
        postcard::to_extend(&stored, vec![VERSION]).unwrap_or_default()
    }

    pub(super) fn decode(first: u64, value: &[u8]) -> Result<Missing, Damaged> {
        let Some((&VERSION, rest)) = value.split_first() else {
            return Err(Damaged);
        };
        let stored: MissingV1 = postcard::from_bytes(rest).map_err(|_| Damaged)?;
        if stored.last < first {
            return Err(Damaged);
        }
        Ok(Missing {
            first,
            last: stored.last,
            after: stored.after.map(Timestamp),
            before: stored.before.map(Timestamp),
            found: Timestamp(stored.found),
        })
    }
}

/// `29 events, 12 to 40, received between 2026-… and 2026-…`
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.events() {
            1 => write!(f, "1 event, {}", self.first)?,
            events => write!(f, "{events} events, {} to {}", self.first, self.last)?,
        }
        match (self.after, self.before) {
            (Some(after), Some(before)) => write!(f, ", received between {after} and {before}"),
            (Some(after), None) => write!(f, ", received after {after}"),
            (None, Some(before)) => write!(f, ", received before {before}"),
            (None, None) => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MissingV1 {
    last: u64,
    after: Option<i64>,
    before: Option<i64>,
    found: i64,
}
