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
    for (number, base) in segments(&file)? {
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
    let first = breaks.iter().find(|(at, _)| *at < sure);
    Ok(first.map(|(at, base)| {
        let place = base + at % SEGMENT as u64;
        format!("byte {place} of its file, or one shortly after it, is not as it was written")
    }))
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
