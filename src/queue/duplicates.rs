//! Which events we had: two hashes an event in sequence order, and two tables into them. About 30
//! bytes an event, bounded by `dedupe`. A hit is a hint, to be confirmed by the page. Pure.

use std::collections::VecDeque;

use crate::queue::head::Hashes;

/// A window of consecutive sequences, known by their hashes.
#[derive(Debug)]
pub(super) struct Duplicates {
    first: u64,
    known: VecDeque<Hashes>,
    at_most: usize,
    /// The tables are there.
    is_indexed: bool,
    by_id: Table,
    by_body: Table,
}

impl Duplicates {
    pub(super) fn new(at_most: u64) -> Duplicates {
        Duplicates {
            first: 0,
            known: VecDeque::new(),
            at_most: usize::try_from(at_most).unwrap_or(usize::MAX).max(1),
            is_indexed: true,
            by_id: Table::new(|hashes| hashes.id),
            by_body: Table::new(|hashes| hashes.body),
        }
    }

    /// The same with room for so many, which are not found before [`index`](Duplicates::index).
    pub(super) fn loading(at_most: u64, events: u64) -> Duplicates {
        let mut loading = Duplicates::new(at_most);
        let events = usize::try_from(events).unwrap_or(usize::MAX);
        loading.known.reserve(events.min(loading.at_most));
        loading.is_indexed = false;
        loading
    }

    /// Makes the tables of all that is known, side by side: what takes the time is that memory is
    /// touched at random.
    pub(super) fn index(&mut self) {
        let mut by_id = Table::new(self.by_id.key);
        let mut by_body = Table::new(self.by_body.key);
        std::thread::scope(|scope| {
            scope.spawn(|| by_id.fill(self));
            by_body.fill(self);
        });
        (self.by_id, self.by_body) = (by_id, by_body);
        self.is_indexed = true;
    }

    /// The latest event with this hash of source and id.
    pub(super) fn by_id(&self, hashes: Hashes) -> Option<u64> {
        self.by_id.find(hashes, self)
    }

    /// The latest event with this hash of source, name and body.
    pub(super) fn by_body(&self, hashes: Hashes) -> Option<u64> {
        self.by_body.find(hashes, self)
    }

    /// Adds an event that is newer than all others. A gap before it makes the others forgotten:
    /// gaps come from damage alone.
    pub(super) fn push(&mut self, sequence: u64, hashes: Hashes) {
        if sequence != self.first + self.known.len() as u64 {
            let is_indexed = self.is_indexed;
            *self = Duplicates::new(self.at_most as u64);
            (self.first, self.is_indexed) = (sequence, is_indexed);
        }
        if self.known.len() == self.at_most {
            self.forget_before(self.first + 1);
        }
        self.known.push_back(hashes);
        for &which in self.tables() {
            let mut table = std::mem::replace(self.table(which), Table::new(|_| 0));
            table.insert(sequence, hashes, self);
            *self.table(which) = table;
        }
    }

    /// Passes over events that damage has taken. Nothing is known of them, so nothing repeats
    /// them; what came before them stays known.
    pub(super) fn skip_to(&mut self, sequence: u64) {
        let from = self.first + self.known.len() as u64;
        if sequence.saturating_sub(from) < self.at_most as u64 && !self.known.is_empty() {
            for missing in from..sequence {
                let hash =
                    |seed| xxhash_rust::xxh3::xxh3_64_with_seed(&missing.to_be_bytes(), seed);
                let (id, body) = (hash(1), hash(2));
                self.push(missing, Hashes { id, body });
            }
        }
    }

    pub(super) fn forget_before(&mut self, sequence: u64) {
        while self.first < sequence {
            let Some(hashes) = self.known.front().copied() else {
                break;
            };
            for &which in self.tables() {
                let mut table = std::mem::replace(self.table(which), Table::new(|_| 0));
                table.remove(self.first, hashes, self);
                *self.table(which) = table;
            }
            self.known.pop_front();
            self.first += 1;
        }
    }

    fn tables(&self) -> &'static [Which] {
        match self.is_indexed {
            true => &[Which::Id, Which::Body],
            false => &[],
        }
    }

    fn table(&mut self, which: Which) -> &mut Table {
        match which {
            Which::Id => &mut self.by_id,
            Which::Body => &mut self.by_body,
        }
    }

    /// The full sequence behind its low half.
    fn sequence(&self, low: u32) -> u64 {
        self.first + u64::from(low.wrapping_sub(self.first as u32))
    }

    fn hashes(&self, low: u32) -> Option<Hashes> {
        let at = low.wrapping_sub(self.first as u32);
        self.known.get(at as usize).copied()
    }
}

#[derive(Clone, Copy)]
enum Which {
    Id,
    Body,
}

const FREE: u32 = u32::MAX;

/// Open addressing with the low halves of sequences alone; the hashes are in the window.
#[derive(Debug)]
struct Table {
    slots: Vec<u32>,
    used: usize,
    key: fn(Hashes) -> u64,
}

impl Table {
    fn new(key: fn(Hashes) -> u64) -> Table {
        Table {
            slots: Vec::new(),
            used: 0,
            key,
        }
    }

    /// Takes in all of the window.
    fn fill(&mut self, window: &Duplicates) {
        let events = window.known.len();
        self.slots = vec![FREE; (events + events / 2).next_power_of_two()];
        for (sequence, hashes) in (window.first..).zip(&window.known) {
            self.insert(sequence, *hashes, window);
        }
    }

    fn find(&self, hashes: Hashes, window: &Duplicates) -> Option<u64> {
        let at = self.place(hashes, window)?;
        (self.slots[at] != FREE).then(|| window.sequence(self.slots[at]))
    }

    fn insert(&mut self, sequence: u64, hashes: Hashes, window: &Duplicates) {
        let low = sequence as u32;
        if low == FREE {
            return;
        }
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow(window);
        }
        if let Some(at) = self.place(hashes, window) {
            self.used += usize::from(self.slots[at] == FREE);
            self.slots[at] = low;
        }
    }

    fn remove(&mut self, sequence: u64, hashes: Hashes, window: &Duplicates) {
        let Some(mut hole) = self.place(hashes, window) else {
            return;
        };
        if self.slots[hole] == FREE || self.slots[hole] != sequence as u32 {
            return;
        }
        // What was pushed on by the removed one moves back into the hole.
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some(other) = window
                .hashes(self.slots[at])
                .filter(|_| self.slots[at] != FREE)
            else {
                break;
            };
            let home = (self.key)(other) as usize & mask;
            let stays = (at.wrapping_sub(home) & mask) < (at.wrapping_sub(hole) & mask);
            if !stays {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
        }
        self.slots[hole] = FREE;
        self.used -= 1;
    }

    /// Where these hashes are, or the free slot where they would be.
    fn place(&self, hashes: Hashes, window: &Duplicates) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let key = (self.key)(hashes);
        let mut at = key as usize & mask;
        loop {
            let low = self.slots[at];
            if low == FREE
                || window
                    .hashes(low)
                    .is_some_and(|have| (self.key)(have) == key)
            {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self, window: &Duplicates) {
        let size = (self.slots.len() * 2).max(16);
        let old = std::mem::replace(&mut self.slots, vec![FREE; size]);
        for low in old.into_iter().filter(|low| *low != FREE) {
            let place = window
                .hashes(low)
                .and_then(|hashes| self.place(hashes, window));
            if let Some(at) = place {
                self.slots[at] = low;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn knows_what_a_plain_map_of_the_window_knows(
            ids in prop::collection::vec((0..60u64, 0..60u64), 1..300),
            at_most in 1..80u64,
            indexed_after in 0..300usize,
            start in prop_oneof![Just(1u64), Just(u64::from(u32::MAX) - 50)],
        ) {
            // Few distinct low bits, so that slots collide.
            let spread = |n: u64| (n % 7) | (n << 40);
            let all: Vec<Hashes> = ids.iter()
                .map(|(id, body)| Hashes { id: spread(*id), body: spread(*body) })
                .collect();
            let mut index = Duplicates::loading(at_most, 20);
            for (at, hashes) in all.iter().enumerate() {
                index.push(start + at as u64, *hashes);
                if at < indexed_after % all.len() {
                    continue;
                }
                if !index.is_indexed {
                    index.index();
                }
                let from = (at + 1).saturating_sub(at_most as usize);
                let mut model = HashMap::new();
                for (place, known) in all.iter().enumerate().take(at + 1).skip(from) {
                    if (start + place as u64) as u32 != FREE {
                        model.insert(known.id, start + place as u64);
                    }
                }
                for known in &all {
                    prop_assert_eq!(index.by_id(*known), model.get(&known.id).copied());
                }
            }
        }
    }
}
