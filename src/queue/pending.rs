//! What is decided but not yet on disk, in the order in which it was decided. Reads look here
//! first, so nobody sees the difference; a commit takes a prefix, so the disk never sees an
//! effect before its cause.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::queue::key::Key;
use crate::queue::store::Batch;

/// Between two syncs at most so many chunks are removed: see [`WINDOW`].
pub(super) const REMOVALS: usize = 24;
/// Between two syncs at most so many bytes are written. When one sync window fills two of sled's
/// segments, a power cut can lose an earlier one, and recovery then drops all since the last
/// snapshot.
pub(super) const WINDOW: usize = 200_000;

/// What stands in for a value on disk; `None` says that there is none.
pub(super) type Unwritten = Option<Arc<[u8]>>;

/// Writes that belong together.
#[derive(Debug)]
pub(super) struct Group {
    writes: Vec<(Key, Unwritten)>,
    stamp: u64,
    bytes: usize,
    removals: usize,
}

impl Group {
    pub(super) fn add_to(&self, batch: &mut Batch) {
        for (key, value) in &self.writes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.remove(key),
            }
        }
    }
}

/// Groups that wait for a commit.
#[derive(Debug, Default)]
pub(super) struct Pending {
    groups: VecDeque<Group>,
    latest: BTreeMap<Key, (u64, Unwritten)>,
    stamp: u64,
    bytes: usize,
}

impl Pending {
    /// Adds a group; the stamp it gets is reached when it is on disk.
    pub(super) fn push(&mut self, writes: Vec<(Key, Option<Vec<u8>>)>) -> u64 {
        self.stamp += 1;
        let stamp = self.stamp;
        let mut group = Group {
            writes: Vec::with_capacity(writes.len()),
            stamp,
            bytes: 0,
            removals: 0,
        };
        for (key, value) in writes {
            let value: Unwritten = value.map(Into::into);
            group.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            let is_chunk = key.starts_with(b"p") || key.starts_with(b"c");
            group.removals += usize::from(value.is_none() && is_chunk);
            self.latest.insert(key.clone(), (stamp, value.clone()));
            group.writes.push((key, value));
        }
        self.bytes += group.bytes;
        self.groups.push_back(group);
        stamp
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The oldest groups that together stay within `bytes`, at least one.
    pub(super) fn take(&mut self, bytes: usize) -> Taken {
        let mut taken = Taken::default();
        let mut removals = 0;
        while let Some(group) = self.groups.front() {
            let fits = taken.bytes + group.bytes <= bytes && removals + group.removals <= REMOVALS;
            if !fits && !taken.groups.is_empty() {
                break;
            }
            taken.bytes += group.bytes;
            removals += group.removals;
            taken.groups.extend(self.groups.pop_front());
        }
        self.bytes -= taken.bytes;
        taken
    }

    /// The commit failed: they wait again, before all others.
    pub(super) fn give_back(&mut self, taken: Taken) {
        self.bytes += taken.bytes;
        for group in taken.groups.into_iter().rev() {
            self.groups.push_front(group);
        }
    }

    /// The commit is on disk, so reads find it there.
    pub(super) fn forget(&mut self, taken: &Taken) {
        for group in &taken.groups {
            for (key, _) in &group.writes {
                if self
                    .latest
                    .get(key)
                    .is_some_and(|(stamp, _)| *stamp <= group.stamp)
                {
                    self.latest.remove(key);
                }
            }
        }
    }

    /// Gives up what cannot be written; gives it to who asks.
    pub(super) fn give_up(
        &mut self,
        mut can_be_written: impl FnMut(&[u8]) -> bool,
    ) -> Vec<(Key, Unwritten)> {
        let mut given_up = Vec::new();
        for group in &mut self.groups {
            group.writes.retain(|(key, value)| {
                let keeps = can_be_written(key);
                if !keeps {
                    self.latest.remove(key);
                    given_up.push((key.clone(), value.clone()));
                }
                keeps
            });
        }
        given_up
    }

    /// The keys of all that waits, one or many times.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let writes = self.groups.iter().flat_map(|group| &group.writes);
        writes.map(|(key, _)| key)
    }

    /// `None` when the disk has the last word.
    pub(super) fn get(&self, key: &[u8]) -> Option<Unwritten> {
        self.latest.get(key).map(|(_, value)| value.clone())
    }

    pub(super) fn range(
        &self,
        range: Range<Key>,
    ) -> impl DoubleEndedIterator<Item = (&Key, &Unwritten)> {
        let latest = self.latest.range(range);
        latest.map(|(key, (_, value))| (key, value))
    }
}

/// What one commit takes.
#[derive(Debug, Default)]
pub(super) struct Taken {
    groups: Vec<Group>,
    bytes: usize,
}

impl Taken {
    pub(super) fn add_to(&self, batch: &mut Batch) {
        for group in &self.groups {
            group.add_to(batch);
        }
    }

    /// The stamp that is reached with it.
    pub(super) fn stamp(&self) -> Option<u64> {
        self.groups.last().map(|group| group.stamp)
    }
}
