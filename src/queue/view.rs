//! Ranges of keys as everybody sees them: what is pending over what is on disk.

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
        let stored = self.readable(range, limit, Way::Up)?;
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
        let stored = self.readable(range, limit, Way::Down)?;
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

/// The order in which a range is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Engine {
    /// Entries that can be read: damage to some must not hide the others.
    fn readable(
        &self,
        range: Range<Key>,
        limit: usize,
        way: Way,
    ) -> Result<Vec<(Value, Value)>, Fault> {
        match self.read(range.clone(), limit, way) {
            Err(Fault::Damaged(_)) => {}
            read => return read,
        }
        let mut left = range;
        let mut found = Vec::new();
        while found.len() < limit && !left.is_empty() {
            match self.read(left.clone(), 1, way) {
                Ok(one) => {
                    let Some((key, _)) = one.first() else {
                        break;
                    };
                    match way {
                        Way::Up => left.start = [key.as_ref(), &[0]].concat(),
                        Way::Down => left.end = key.to_vec(),
                    }
                    found.extend(one);
                }
                Err(Fault::Damaged(_)) => {
                    let Some(rest) = self.past_damage(&left, way)? else {
                        break;
                    };
                    left = rest;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    fn read(
        &self,
        range: Range<Key>,
        limit: usize,
        way: Way,
    ) -> Result<Vec<(Value, Value)>, Fault> {
        match way {
            Way::Up => self.store.scan(range, limit),
            Way::Down => self.store.scan_back(range, limit),
        }
    }

    /// What is left of a range whose begin cannot be read: from the nearest event on that can.
    fn past_damage(&self, range: &Range<Key>, way: Way) -> Result<Option<Range<Key>>, Fault> {
        let edge = match way {
            Way::Up => &range.start,
            Way::Down => &range.end,
        };
        let mut number = [0; 8];
        let known = edge.get(1..9.min(edge.len())).unwrap_or_default();
        number[..known.len()].copy_from_slice(known);
        let number = u64::from_be_bytes(number);
        let rest = |by: u64| {
            let (at, mut rest) = match way {
                Way::Up => (number.checked_add(by)?, range.clone()),
                Way::Down => (number.checked_sub(by)?, range.clone()),
            };
            let key = [&edge[..1], &at.to_be_bytes()[..]].concat();
            match way {
                Way::Up => rest.start = key,
                Way::Down => rest.end = key,
            }
            (!rest.is_empty()).then_some(rest)
        };
        let is_damaged = |rest: Range<Key>| match self.read(rest, 1, way) {
            Err(Fault::Damaged(_)) => Ok(true),
            read => read.map(|_| false),
        };
        let (mut damaged, mut good) = (0, 1);
        while let Some(further) = rest(good)
            && is_damaged(further)?
        {
            damaged = good;
            good *= 2;
        }
        while good - damaged > 1 {
            let middle = damaged + (good - damaged) / 2;
            match rest(middle) {
                Some(further) if is_damaged(further.clone())? => damaged = middle,
                _ => good = middle,
            }
        }
        Ok(rest(good))
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
