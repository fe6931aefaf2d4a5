//! A look at the database's file before it is opened. The database takes the first unreadable
//! message it meets for the end of what was written, drops what follows and writes over it; so
//! damage must be found before that, while everything behind it can still be salvaged.
//!
//! Only what the database would replay is looked at: what was written since its last snapshot.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::queue::salvage::segment::{self, SEGMENT, Segment};
use crate::queue::salvage::tree::read_up_to;

/// So far from the end, in bytes, a crash can have left a hole: more than any two commits write.
const UNSURE: u64 = 2 * SEGMENT as u64;

/// How far the file reaches, in bytes ever written.
pub(super) fn end(folder: &Path) -> io::Result<u64> {
    let file = File::open(folder.join("db"))?;
    let newest = segments(&file)?.last().copied();
    let Some((number, base)) = newest else {
        return Ok(0);
    };
    let mut bytes = vec![0; SEGMENT];
    let length = read_up_to(&file, &mut bytes, base)?;
    Ok(number * SEGMENT as u64 + Segment::read(&bytes[..length]).end() as u64)
}

/// What is damaged, in words, if anything is that the database would drop. After an orderly end
/// the file must reach to `closed`; after a crash its end may be torn.
pub(super) fn look(folder: &Path, closed: Option<u64>) -> io::Result<Option<String>> {
    let file = match File::open(folder.join("db")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let from = snapshot(folder)?;
    let mut bytes = vec![0; SEGMENT];
    let mut breaks = Vec::new();
    let mut end = 0;
    let segments = segments(&file)?;
    for &(number, base) in &segments {
        let begins = number * SEGMENT as u64;
        if begins + (SEGMENT as u64) <= from {
            continue;
        }
        let length = read_up_to(&file, &mut bytes, base)?;
        let read = Segment::read(&bytes[..length]);
        end = begins + read.end() as u64;
        let lost_head = segment::number(&bytes[..length]).is_none().then_some(0);
        let at = lost_head
            .or(read.first_break())
            .map(|at| begins + at as u64);
        breaks.extend(at.filter(|at| *at >= from).map(|at| (at, base)));
    }
    if closed.is_some_and(|closed| end < closed) {
        return Ok(Some("its end is missing".to_owned()));
    }
    let sure = if closed.is_some() {
        end
    } else {
        end.saturating_sub(UNSURE)
    };
    for (at, base) in breaks.into_iter().filter(|(at, _)| *at < sure) {
        let later = segments
            .iter()
            .filter(|(number, _)| *number > at / SEGMENT as u64);
        if !is_let_go(&file, base, later.map(|(_, base)| *base))? {
            let place = base + at % SEGMENT as u64;
            return Ok(Some(format!(
                "byte {place} of its file, or one shortly after it, is not as it was written"
            )));
        }
    }
    Ok(None)
}

/// Whether all that is known of what a segment held was said again in later ones. Then the database
/// has let go of it and begun to write into its place, and a power cut took the new head but not
/// all that came behind it. The database passes over such a segment, too.
fn is_let_go(file: &File, base: u64, later: impl Iterator<Item = u64>) -> io::Result<bool> {
    let mut bytes = vec![0; SEGMENT];
    let length = read_up_to(file, &mut bytes, base)?;
    let Some(mut needed) = Segment::read(&bytes[..length]).nodes(&bytes[..length]) else {
        return Ok(false);
    };
    for base in later {
        let length = read_up_to(file, &mut bytes, base)?;
        for node in Segment::read(&bytes[..length]).whole_nodes() {
            needed.remove(&node);
        }
    }
    Ok(needed.is_empty())
}

/// The segments with something in them, in the order in which they were written.
fn segments(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let count = file.metadata()?.len().div_ceil(SEGMENT as u64);
    let mut found = Vec::new();
    let mut head = [0; 32];
    let mut bytes = Vec::new();
    for base in (0..count).map(|segment| segment * SEGMENT as u64) {
        let length = read_up_to(file, &mut head, base)?;
        let mut number = segment::number(&head[..length]);
        if number.is_none() {
            bytes.resize(SEGMENT, 0);
            let length = read_up_to(file, &mut bytes, base)?;
            number = Segment::read(&bytes[..length]).number;
        }
        found.extend(number.map(|number| (number, base)));
    }
    found.sort_unstable();
    Ok(found)
}

/// What the newest snapshot covers, in bytes ever written; its name says so.
fn snapshot(folder: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let covers = name.to_str().and_then(|name| name.strip_prefix("snap."));
        let covers = covers.and_then(|covers| u64::from_str_radix(covers, 16).ok());
        newest = newest.max(covers.unwrap_or(0));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::queue::store::Store;

    const BLOCK: usize = 4096;
    const KEYS: u64 = 60;

    fn value(n: u64) -> Vec<u8> {
        let words = (0..480).map(|word| {
            let place = [n.to_be_bytes(), u64::to_be_bytes(word)];
            xxhash_rust::xxh3::xxh3_64(place.as_flattened()).to_be_bytes()
        });
        words.flatten().collect()
    }

    /// A copy of the folder as it is, with this database file.
    fn image(of: &Path, file: &[u8]) -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        fs::create_dir(image.path().join("blobs")).unwrap();
        for entry in fs::read_dir(of).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
            }
        }
        fs::write(image.path().join("db"), file).unwrap();
        image
    }

    /// The file without the first block of a segment that was used again between the two, if there
    /// is such a segment, and more of it was written.
    fn cut(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
        let bases = (0..before.len().saturating_sub(BLOCK)).step_by(SEGMENT);
        let mut used_again = bases.filter(|base| {
            let rest = base + BLOCK..(base + SEGMENT).min(before.len());
            let is_new = segment::number(&before[*base..]) < segment::number(&after[*base..]);
            is_new && before[rest.clone()] != after[rest]
        });
        let base = used_again.next()?;
        let mut cut = after.to_owned();
        cut[base..base + BLOCK].copy_from_slice(&before[base..base + BLOCK]);
        Some(cut)
    }

    #[test]
    fn a_segment_whose_new_head_a_power_cut_took_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let file = || fs::read(folder.path().join("db")).unwrap();
        let mut newest = HashMap::new();
        let mut before = file();
        let image = (0..).step_by(3).find_map(|n| {
            let some = (n..n + 3).map(|n| (n % KEYS, n));
            let writes = some
                .clone()
                .map(|(key, n)| (vec![b'k', key as u8], value(n)));
            store.commit_in_order(writes).unwrap();
            let after = file();
            let file = cut(&before, &after);
            before = after;
            if file.is_none() {
                newest.extend(some);
            }
            file.map(|file| image(folder.path(), &file))
        });
        let image = image.unwrap();
        assert_eq!(look(image.path(), None).unwrap(), None);
        let store = Store::open(image.path()).unwrap();
        let last = newest.values().max().unwrap();
        // The commit that was cut was to write the three oldest anew.
        for (key, n) in newest.iter().filter(|(_, n)| **n + KEYS > last + 3) {
            let found = store.get(&[b'k', *key as u8]).unwrap().unwrap();
            assert_eq!(found, value(*n), "{key}");
        }
    }
}
