//! How it is stored: as notes of the queue, one a branch and one a missing push, beside the event
//! up to which the log was read. Versioned.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::push::Commit;
use super::watch::{Branch, Gap, Watch};
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::queue::{Note, Notes};

/// What the names of all of them begin with.
pub(super) const PREFIX: &str = "missed/";
const BRANCH: &str = "missed/branch/";
const GAP: &str = "missed/gap/";
const NEXT: &str = "missed/next";
const VERSION: u8 = 1;
/// So many notes are written together: a commit has room for them.
const TOGETHER: usize = 100;

/// What was stored, and the event to go on with. Without that, nothing was; what cannot be read
/// counts as never stored, because it is only about what might be missing.
pub(super) fn read(notes: &Notes) -> (Watch, Option<EventId>) {
    let (mut branches, mut gaps, mut next) = (HashMap::new(), BTreeMap::new(), None);
    for (name, value) in notes {
        if name == NEXT {
            next = value.as_slice().try_into().ok().map(u64::from_be_bytes);
        } else if let Some(key) = name.strip_prefix(BRANCH) {
            let key = u64::from_str_radix(key, 16).ok();
            let branch = decode(value).map(BranchV1::into_branch);
            branches.extend(key.zip(branch));
        } else if let Some(event) = name.strip_prefix(GAP) {
            let gap = decode(value).map(GapV1::into_gap);
            gaps.extend(event.parse().ok().zip(gap));
        }
    }
    match next {
        Some(next) => (Watch::of(branches, gaps), Some(EventId(next))),
        None => (Watch::default(), None),
    }
}

/// What changed since the last call, in parts that are each written at once; the place in the log
/// comes last, so that a state is never older than it.
pub(super) fn write(watch: &mut Watch, next: EventId) -> Vec<Vec<Note>> {
    let mut notes = Vec::new();
    for key in std::mem::take(&mut watch.changed_branches) {
        let branch = watch.branches.get(&key).map(BranchV1::from);
        notes.push(Note {
            name: format!("{BRANCH}{key:016x}"),
            value: branch.map(|branch| encode(&branch)),
        });
    }
    for event in std::mem::take(&mut watch.changed_gaps) {
        let gap = watch.gaps.get(&event).map(GapV1::from);
        notes.push(Note {
            name: format!("{GAP}{event}"),
            value: gap.map(|gap| encode(&gap)),
        });
    }
    notes.push(Note {
        name: NEXT.to_owned(),
        value: Some(next.0.to_be_bytes().to_vec()),
    });
    let mut parts = Vec::new();
    while !notes.is_empty() {
        let rest = notes.split_off(notes.len().min(TOGETHER));
        parts.push(std::mem::replace(&mut notes, rest));
    }
    parts
}

fn encode(stored: &impl Serialize) -> Vec<u8> {
    // Writing plain data to memory cannot fail.
    postcard::to_extend(stored, vec![VERSION]).unwrap_or_default()
}

fn decode<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Option<T> {
    let (&VERSION, rest) = value.split_first()? else {
        return None;
    };
    postcard::from_bytes(rest).ok()
}

#[derive(Serialize, Deserialize)]
struct BranchV1 {
    places: Vec<Commit>,
    updated: Option<i64>,
    event: u64,
}

#[derive(Serialize, Deserialize)]
struct GapV1 {
    source: String,
    repo: String,
    branch: String,
    event: u64,
    noticed: i64,
    url: Option<String>,
    key: u64,
    from: Option<Commit>,
    to: Commit,
    is_reported: bool,
}

impl From<&Branch> for BranchV1 {
    fn from(branch: &Branch) -> BranchV1 {
        BranchV1 {
            places: branch.places.iter().copied().collect(),
            updated: branch.updated.map(|time| time.0),
            event: branch.event,
        }
    }
}

impl BranchV1 {
    fn into_branch(self) -> Branch {
        Branch {
            places: self.places.into(),
            updated: self.updated.map(Timestamp),
            event: self.event,
        }
    }
}

impl From<&Gap> for GapV1 {
    fn from(gap: &Gap) -> GapV1 {
        GapV1 {
            source: gap.source.to_string(),
            repo: gap.repo.clone(),
            branch: gap.branch.clone(),
            event: gap.event.0,
            noticed: gap.noticed.0,
            url: gap.url.clone(),
            key: gap.key,
            from: gap.from,
            to: gap.to,
            is_reported: gap.is_reported,
        }
    }
}

impl GapV1 {
    fn into_gap(self) -> Gap {
        Gap {
            source: self.source.into(),
            repo: self.repo,
            branch: self.branch,
            event: EventId(self.event),
            noticed: Timestamp(self.noticed),
            url: self.url,
            key: self.key,
            from: self.from,
            to: self.to,
            is_reported: self.is_reported,
        }
    }
}
