//! Ranges of keys as everybody sees them: what is pending over what is on disk.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::queue::engine::{Engine, Shared};
use crate::queue::key::Key;
use crate::queue::pending::Unwritten;
use crate::queue::store::Fault;

impl Engine {
    /// At least `limit` entries of the range, if it has so many, in order. For callers that hold
    /// the lock and need a few.
    pub(super) fn scan(
        &self,
        shared: &Shared,
        range: Range<Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, Fault> {
        self.scan_over(pending(shared, range.clone()), range, limit)
    }

    /// The same, for callers that do not hold the lock.
    pub(super) fn scan_apart(
        &self,
        range: Range<Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, Fault> {
        let pending = pending(&self.shared(), range.clone());
        self.scan_over(pending, range, limit)
    }

    fn scan_over(
        &self,
        pending: Vec<(Key, Unwritten)>,
        range: Range<Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, Fault> {
        let removed = pending.iter().filter(|(_, value)| value.is_none()).count();
        // What is removed but still on disk must not use the limit up.
        let limit = limit + removed;
        let stored = self.store.scan(range, limit)?;
        let is_whole = stored.len() < limit;
        let stored = stored
            .iter()
            .map(|(key, value)| (key.to_vec(), value.to_vec()));
        let stored: BTreeMap<Key, Vec<u8>> = stored.collect();
        let last = stored.last_key_value().map(|(key, _)| key.clone());
        let beyond = |key: &Key| !is_whole && last.as_ref().is_some_and(|last| key > last);
        Ok(merge(stored, pending, beyond))
    }

    /// At least `limit` entries of the range, if it has so many, from its end backwards.
    pub(super) fn scan_back(
        &self,
        range: Range<Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, Fault> {
        let pending: Vec<(Key, Unwritten)> = pending(&self.shared(), range.clone());
        let removed = pending.iter().filter(|(_, value)| value.is_none()).count();
        let limit = limit + removed;
        let stored = self.store.scan_back(range, limit)?;
        let is_whole = stored.len() < limit;
        let stored = stored
            .iter()
            .map(|(key, value)| (key.to_vec(), value.to_vec()));
        let stored: BTreeMap<Key, Vec<u8>> = stored.collect();
        let last = stored.first_key_value().map(|(key, _)| key.clone());
        let beyond = |key: &Key| !is_whole && last.as_ref().is_some_and(|last| key < last);
        let mut merged = merge(stored, pending, beyond);
        merged.reverse();
        Ok(merged)
    }
}

fn pending(shared: &Shared, range: Range<Key>) -> Vec<(Key, Unwritten)> {
    let pending = shared.pending.range(range);
    pending
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn merge(
    mut stored: BTreeMap<Key, Vec<u8>>,
    pending: Vec<(Key, Unwritten)>,
    beyond: impl Fn(&Key) -> bool,
) -> Vec<(Key, Vec<u8>)> {
    for (key, value) in pending.into_iter().filter(|(key, _)| !beyond(key)) {
        match value {
            Some(value) => stored.insert(key, value.to_vec()),
            None => stored.remove(&key),
        };
    }
    stored.into_iter().collect()
}
