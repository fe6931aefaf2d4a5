//! Parts of the database that cannot be read. Damage takes a node of its tree, and with it all keys
//! between two: such a range is found once, told once, and from then on passed over by readers and
//! written to by nobody. Opening the database again would find it as it is.

use std::fmt;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use tracing::error;

use crate::queue::key::Key;
use crate::queue::open;
use crate::queue::store::{Entries, Fault, Store};

/// Bytes of a key behind its first that its place is told by.
const PRECISION: usize = 16;
/// So often a scan is begun again where damage was in its way that is not found there.
const VAIN: u32 = 3;
/// What is to be done about it, and why soon.
const ADVICE: &str = "stop the relay soon and run `gogs-relay salvage`";

/// A range of keys of one kind, none of which can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wound {
    keys: Range<Key>,
}

/// All that are known, in order.
#[derive(Debug, Default)]
pub(super) struct Wounds(RwLock<Vec<Wound>>);

impl Wounds {
    pub(super) fn all(&self) -> Vec<Wound> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As if damage had been found there.
    #[cfg(test)]
    pub(super) fn suffer(&self, keys: Range<Key>) {
        self.add(&Wound { keys });
    }

    fn are_none(&self) -> bool {
        let wounds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        wounds.is_empty()
    }

    /// The first that the range reaches into, or the last.
    fn within(&self, range: &Range<Key>, is_back: bool) -> Option<Wound> {
        let wounds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut within = (wounds.iter())
            .filter(|wound| wound.keys.start < range.end && range.start < wound.keys.end);
        match is_back {
            true => within.next_back().cloned(),
            false => within.next().cloned(),
        }
    }

    fn at(&self, key: &[u8]) -> Option<Wound> {
        self.within(&(key.to_vec()..[key, &[0]].concat()), false)
    }

    /// Tells of it, if it is new.
    fn add(&self, wound: &Wound) {
        let mut wounds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if wounds.contains(wound) {
            return;
        }
        error!("the queue is damaged: {wound} cannot be read; {ADVICE}");
        wounds.push(wound.clone());
        wounds.sort_by(|one, other| one.keys.start.cmp(&other.keys.start));
    }
}

impl Store {
    /// What of it cannot be read, as far as anybody tried.
    pub(super) fn wounds(&self) -> Vec<Wound> {
        self.wounds.all()
    }

    pub(super) fn is_wounded(&self) -> bool {
        !self.wounds.are_none()
    }

    /// Whether a part of the range is known to be unreadable.
    pub(super) fn is_wounded_in(&self, range: &Range<Key>) -> bool {
        self.wounds.within(range, false).is_some()
    }

    /// Whether the key is known to be where nothing can be read, nor be written.
    pub(super) fn is_wounded_at(&self, key: &[u8]) -> bool {
        self.wounds.at(key).is_some()
    }

    /// As [`scan`](Store::scan), but what cannot be read is passed over.
    pub(super) fn scan_around(&self, range: Range<Key>, limit: usize) -> Result<Entries, Fault> {
        self.pass_over(range, limit, false)
    }

    /// As [`scan_back`](Store::scan_back), but what cannot be read is passed over.
    pub(super) fn scan_back_around(
        &self,
        range: Range<Key>,
        limit: usize,
    ) -> Result<Entries, Fault> {
        self.pass_over(range, limit, true)
    }

    fn pass_over(
        &self,
        mut rest: Range<Key>,
        limit: usize,
        is_back: bool,
    ) -> Result<Entries, Fault> {
        let mut found = Entries::new();
        let mut vain = 0;
        while rest.start < rest.end && found.len() < limit {
            let wound = self.wounds.within(&rest, is_back).map(|wound| wound.keys);
            let sound = match &wound {
                None => rest.clone(),
                Some(wound) if is_back => {
                    wound.end.clone().max(rest.start.clone())..rest.end.clone()
                }
                Some(wound) => rest.start.clone()..below(&wound.start).min(rest.end.clone()),
            };
            let (some, fault) = self.scan_as_far(sound.clone(), limit - found.len(), is_back);
            let last = some.last().map(|(key, _)| key.to_vec());
            found.extend(some);
            rest = match (is_back, fault, wound) {
                (_, None, None) => break,
                (false, None, Some(wound)) => wound.end..rest.end,
                (true, None, Some(wound)) => rest.start..below(&wound.start),
                (_, Some(fault), _) => {
                    let unread = match (last, is_back) {
                        (None, _) => sound,
                        (Some(last), true) => sound.start..last,
                        (Some(last), false) => [last.as_slice(), &[0]].concat()..sound.end,
                    };
                    let wound = match self.wound_in(&unread, is_back, fault) {
                        Ok(wound) => wound.keys,
                        // What came in the way lies elsewhere, and is there only once.
                        Err(fault) if fault.is_damage() && vain < VAIN => {
                            vain += 1;
                            rest = match is_back {
                                true => rest.start..unread.end,
                                false => unread.start..rest.end,
                            };
                            continue;
                        }
                        Err(fault) => return Err(fault),
                    };
                    // Nothing lies between it and where the scan came to a halt.
                    match is_back {
                        true => rest.start..below(&wound.start).min(unread.end),
                        false => wound.end.max(unread.start)..rest.end,
                    }
                }
            };
        }
        Ok(found)
    }

    /// What brought a scan of `unread` to a halt before it had found anything.
    fn wound_in(&self, unread: &Range<Key>, is_back: bool, fault: Fault) -> Result<Wound, Fault> {
        if !fault.is_damage() {
            return Err(fault);
        }
        let kind = unread.start.first().copied().unwrap_or_default();
        let from = place(&unread.start);
        let to = match unread.end.first() == Some(&kind) {
            true => place(&unread.end),
            false => u128::MAX,
        };
        let is_sound = |at: u128| {
            let part = match is_back {
                true => key(kind, at)..unread.end.clone(),
                false => unread.start.clone()..key(kind, at),
            };
            sound(self.scan_as_far(part, 1, is_back).1)
        };
        let edge = match is_back {
            true => border(to, from, is_sound)?,
            false => border(from, to, is_sound)?,
        };
        for at in [edge, edge.saturating_sub(1), edge.saturating_add(1)] {
            if let Some(wound) = self.examine(&key(kind, at))? {
                return Ok(wound);
            }
        }
        Err(fault)
    }

    /// Looks whether events can be written from here on.
    pub(super) fn examine_ends(&self, next: u64) -> Result<(), Fault> {
        let mut ends = open::ends(next).into_iter();
        ends.try_for_each(|end| self.examine(&end).map(drop))
    }

    /// Finds out how far the damage at this key reaches, if there is any, and tells of it.
    pub(super) fn examine(&self, bad: &[u8]) -> Result<Option<Wound>, Fault> {
        let Some(kind) = bad.first().copied() else {
            return Ok(None);
        };
        if let Some(known) = self.wounds.at(bad) {
            return Ok(Some(known));
        }
        let is_sound = |at: u128| sound(self.get(&key(kind, at)).err());
        let bad = place(bad);
        if is_sound(bad)? {
            return Ok(None);
        }
        let (mut low, mut high) = (bad, bad);
        let mut step = 1;
        while low > 0 && !is_sound(low)? {
            low = bad.saturating_sub(step);
            step = step.saturating_mul(2);
        }
        step = 1;
        while high < u128::MAX && !is_sound(high)? {
            high = bad.saturating_add(step);
            step = step.saturating_mul(2);
        }
        let start = match is_sound(low)? {
            true => border(low, bad, is_sound)?,
            false => 0,
        };
        let end = match is_sound(high)? {
            true => key(kind, border(high, bad, is_sound)?.saturating_add(1)),
            false => vec![kind + 1],
        };
        let keys = key(kind, start)..end;
        let wound = Wound { keys };
        self.wounds.add(&wound);
        Ok(Some(wound))
    }
}

/// Whether something could be read; other faults than damage are not about this place.
fn sound(fault: Option<Fault>) -> Result<bool, Fault> {
    match fault {
        None => Ok(true),
        Some(fault) if fault.is_damage() => Ok(false),
        Some(fault) => Err(fault),
    }
}

/// The place nearest to `good` that is not, on the way to `bad`.
fn border(
    mut good: u128,
    mut bad: u128,
    is_good: impl Fn(u128) -> Result<bool, Fault>,
) -> Result<u128, Fault> {
    while good.abs_diff(bad) > 1 {
        let middle = good.min(bad) + good.abs_diff(bad) / 2;
        match is_good(middle)? {
            true => good = middle,
            false => bad = middle,
        }
    }
    Ok(bad)
}

/// Where a key lies among those of its kind.
fn place(key: &[u8]) -> u128 {
    let mut bytes = [0; PRECISION];
    let told = key.get(1..).unwrap_or_default();
    let told = &told[..told.len().min(PRECISION)];
    bytes[..told.len()].copy_from_slice(told);
    u128::from_be_bytes(bytes)
}

/// The end of a range of all keys before this one. The key itself would not do: the database looks
/// for the end of a range where such a key would be.
fn below(start: &[u8]) -> Key {
    let kind = start.first().copied().unwrap_or_default();
    match place(start).checked_sub(1) {
        Some(last) => [&[kind], last.to_be_bytes().as_slice(), &[0]].concat(),
        None => vec![kind],
    }
}

/// The first key that lies there.
fn key(kind: u8, place: u128) -> Key {
    let mut key = [&[kind], place.to_be_bytes().as_slice()].concat();
    while key.len() > 1 && key.last() == Some(&0) {
        key.pop();
    }
    key
}

impl fmt::Display for Wound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |key: &[u8]| (place(key) >> 64) as u64;
        let first = number(&self.keys.start).max(1);
        let last = match self.keys.end.len() {
            1 => "the end".to_owned(),
            _ => number(&self.keys.end).to_string(),
        };
        match self.keys.start.first() {
            Some(b'd') => write!(f, "what became of deliveries of events {first} to {last}"),
            Some(b'p') => write!(f, "a part of events {first} to {last}"),
            Some(b'h') => write!(f, "the list of events {first} to {last}"),
            Some(b'c') => write!(f, "what was kept of bodies of events {first} to {last}"),
            Some(b'w' | b'k') => f.write_str("what waits to be sent again"),
            Some(b'l') => f.write_str("the places of some destinations"),
            _ => f.write_str("a part of its own state"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::queue::key as keys;
    use crate::queue::store::Batch;

    const EVENTS: u64 = 2000;
    const RECORD: [u8; 200] = [7; 200];

    /// A record of every third event, and enough behind them that a snapshot covers them.
    fn sound_store() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for some in (0..EVENTS).step_by(200) {
            let mut batch = Batch::new();
            for event in some..some + 200 {
                batch.put(&keys::record(event * 3, 2), &RECORD);
            }
            store.commit(batch).unwrap();
        }
        for event in 0..20 {
            let mut batch = Batch::new();
            for n in 0..20 {
                batch.put(&keys::page_chunk(event, n), &[n as u8; 3000]);
            }
            store.commit(batch).unwrap();
        }
        store.close_for_good();
        // A snapshot is made on opening.
        Store::open(folder.path()).unwrap().close_for_good();
        folder
    }

    /// The same with one bit turned over, if it can be opened.
    fn damaged(sound: &Path, at: usize) -> Option<(TempDir, Store)> {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(sound).unwrap().flatten() {
            if entry.metadata().unwrap().is_file() {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        let path = folder.path().join("db");
        let mut file = fs::read(&path).unwrap();
        file[at] ^= 1;
        fs::write(path, file).unwrap();
        let store = Store::open(folder.path()).ok()?;
        Some((folder, store))
    }

    /// Some bytes of the file that records lie at, or lay.
    fn places(sound: &Path) -> Vec<usize> {
        let file = fs::read(sound.join("db")).unwrap();
        let records = (0..file.len() - RECORD.len())
            .step_by(50)
            .filter(|at| file[*at..].starts_with(&RECORD[..100]));
        let records: Vec<usize> = records.collect();
        records
            .iter()
            .step_by(records.len() / 12)
            .copied()
            .collect()
    }

    fn events(found: &Entries) -> impl Iterator<Item = u64> {
        let events = found.iter().map(|(key, _)| keys::of_record(key));
        events.map(|key| key.unwrap().0)
    }

    /// All records that scans of so many at once come upon, in both directions.
    fn scanned(store: &Store, limit: usize) -> [Vec<u64>; 2] {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let mut range = keys::all(b"d");
        loop {
            let some = store.scan_around(range.clone(), limit).unwrap();
            there.extend(events(&some));
            match some.last().filter(|_| some.len() == limit) {
                Some((last, _)) => range.start = [last.as_ref(), &[0]].concat(),
                None => break,
            }
        }
        range = keys::all(b"d");
        loop {
            let some = store.scan_back_around(range.clone(), limit).unwrap();
            back.extend(events(&some));
            match some.last().filter(|_| some.len() == limit) {
                Some((last, _)) => range.end = last.to_vec(),
                None => break,
            }
        }
        back.reverse();
        [there, back]
    }

    #[test]
    fn scans_find_all_that_can_be_read_wherever_the_damage_is() {
        let sound = sound_store();
        let mut hit = 0;
        for at in places(sound.path()) {
            let Some((_folder, store)) = damaged(sound.path(), at) else {
                continue;
            };
            let all = (0..EVENTS).map(|event| event * 3);
            let readable: Vec<u64> = all
                .filter(|event| store.get(&keys::record(*event, 2)).is_ok())
                .collect();
            for limit in [7, usize::MAX] {
                let [there, back] = scanned(&store, limit);
                assert!(
                    there == readable && back == readable,
                    "byte {at}, {limit} at once"
                );
            }
            let lost = EVENTS as usize - readable.len();
            let wounds = store.wounds();
            assert_eq!(wounds.len(), usize::from(lost > 0), "{wounds:?}");
            for event in (0..EVENTS).map(|event| event * 3) {
                let known = store.is_wounded_at(&keys::record(event, 2));
                assert_eq!(known, readable.binary_search(&event).is_err(), "{event}");
            }
            hit += wounds.len();
        }
        assert!(hit > 0, "no flip took anything");
    }

    #[test]
    fn damage_stops_no_write_that_leads_elsewhere() {
        let sound = sound_store();
        let mut hit = 0;
        for at in places(sound.path()) {
            let Some((_folder, store)) = damaged(sound.path(), at) else {
                continue;
            };
            scanned(&store, usize::MAX);
            // Segments with little left in them are emptied on the way.
            let chunks = (0..20).flat_map(|event| (0..20).map(move |n| keys::page_chunk(event, n)));
            let mut new = 0;
            for key in chunks.filter(|key| store.get(key).is_ok()) {
                let mut batch = Batch::new();
                batch.remove(&key);
                for _ in 0..8 {
                    new += 1;
                    batch.put(&keys::note(&format!("{new:05}")), &[1; 500]);
                }
                store.commit(batch).unwrap();
            }
            hit += store.wounds().len();
        }
        assert!(hit > 0, "no flip took anything");
    }
}
