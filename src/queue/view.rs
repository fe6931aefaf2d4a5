//! Ranges of keys as everybody sees them: what is pending over what is on disk. What damage has made
//! unreadable is passed over.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::queue::engine::{Engine, Shared};
use crate::queue::key::Key;
use crate::queue::pending::Unwritten;
use crate::queue::store::{Fault, Value};

impl Engine {
    /// At least `limit` entries of the range, if it has so many, in order. For callers that hold
    /// the lock and need a few.
    pub(super) fn scan(
        &self,
        shared: &Shared,
        range: Range<Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let mut look = Look::new(range, limit);
        while look.goes_on() {
            let pending = look.pending(shared);
            look.add(pending, self.store.scan_around(look.rest.clone(), limit)?);
        }
        Ok(look.found)
    }

    /// The same, for callers that do not hold the lock.
    pub(super) fn scan_apart(&self, range: Range<Key>, limit: usize) -> Result<Vec<Entry>, Fault> {
        let mut look = Look::new(range, limit);
        while look.goes_on() {
            // In this order, because what is pending goes to the disk meanwhile.
            let pending = look.pending(&self.shared());
            look.add(pending, self.store.scan_around(look.rest.clone(), limit)?);
        }
        Ok(look.found)
    }

    /// At least `limit` entries of the range, if it has so many, from its end backwards.
    pub(super) fn scan_back(&self, range: Range<Key>, limit: usize) -> Result<Vec<Entry>, Fault> {
        let mut look = Look::new(range, limit);
        look.is_back = true;
        while look.goes_on() {
            let pending = look.pending(&self.shared());
            look.add(
                pending,
                self.store.scan_back_around(look.rest.clone(), limit)?,
            );
        }
        Ok(look.found)
    }
}

type Entry = (Key, Vec<u8>);

/// A look along a range, a part at a time: what is pending of it, and what is on disk.
struct Look {
    rest: Range<Key>,
    limit: usize,
    is_back: bool,
    is_through: bool,
    found: Vec<Entry>,
}

impl Look {
    fn new(range: Range<Key>, limit: usize) -> Look {
        Look {
            rest: range,
            limit: limit.max(1),
            is_back: false,
            is_through: false,
            found: Vec::new(),
        }
    }

    fn goes_on(&self) -> bool {
        !self.is_through && self.found.len() < self.limit
    }

    /// The next of what is pending.
    fn pending(&self, shared: &Shared) -> Vec<(Key, Unwritten)> {
        let pending = shared.pending.range(self.rest.clone());
        let own = |(key, value): (&Key, &Unwritten)| (key.clone(), value.clone());
        match self.is_back {
            true => pending.rev().take(self.limit).map(own).collect(),
            false => pending.take(self.limit).map(own).collect(),
        }
    }

    /// Lays what is pending over what is stored, as far as both are known.
    fn add(&mut self, pending: Vec<(Key, Unwritten)>, stored: Vec<(Value, Value)>) {
        let end_of = |known: Option<Key>, count| known.filter(|_| count >= self.limit);
        let ends = [
            end_of(pending.last().map(|(key, _)| key.clone()), pending.len()),
            end_of(stored.last().map(|(key, _)| key.to_vec()), stored.len()),
        ];
        let ends = ends.into_iter().flatten();
        let end = if self.is_back { ends.max() } else { ends.min() };
        let is_known = |key: &[u8]| match (&end, self.is_back) {
            (None, _) => true,
            (Some(end), true) => key >= end.as_slice(),
            (Some(end), false) => key <= end.as_slice(),
        };
        let stored = stored.iter().filter(|(key, _)| is_known(key));
        let stored = stored.map(|(key, value)| (key.to_vec(), value.to_vec()));
        let mut merged: BTreeMap<Key, Vec<u8>> = stored.collect();
        for (key, value) in pending.into_iter().filter(|(key, _)| is_known(key)) {
            match value {
                Some(value) => merged.insert(key, value.to_vec()),
                None => merged.remove(&key),
            };
        }
        match self.is_back {
            true => self.found.extend(merged.into_iter().rev()),
            false => self.found.extend(merged),
        }
        match end {
            None => self.is_through = true,
            Some(end) if self.is_back => self.rest.end = end,
            Some(end) => self.rest.start = [end.as_slice(), &[0]].concat(),
        }
    }
}
