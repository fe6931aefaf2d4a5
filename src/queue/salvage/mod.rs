//! Salvage: a new queue from what can still be read of a damaged one. The old one is only read,
//! byte by byte and without the database, so that no damage stops it and nothing in it changes.
//!
//! - `segment` and `tree` read: which key had which value last.
//! - `rebuild`, `lanes` and `records` decide what that means, and `coverage` what is missing.
//! - `output` writes the new queue.

mod coverage;
mod lanes;
mod output;
mod read;
mod rebuild;
mod records;
pub(super) mod segment;
pub(super) mod tree;

use std::path::Path;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::queue::{Missing, lock, witness};
use output::Output;
use rebuild::Rebuild;
use tree::Tree;

/// What came back, and what did not.
#[derive(Clone, Debug, Default)]
pub struct Salvaged {
    pub events: Tally,
    /// Deliveries that wait, those that were tried included.
    pub waiting: Tally,
    pub dead: Tally,
    /// Deliveries that were settled otherwise.
    pub history: Tally,
    /// Events that are in no lane's way any more, and nowhere else.
    pub missing: Vec<Missing>,
    /// By name.
    pub lanes: Vec<SalvagedLane>,
    /// Places in the file that cannot be read.
    pub holes: u64,
}

/// How many of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub back: u64,
    /// As far as it is known of them.
    pub lost: u64,
}

/// One destination's lane in the new queue.
#[derive(Clone, Debug)]
pub struct SalvagedLane {
    pub destination: Arc<str>,
    pub waiting: u64,
    /// Deliveries that waited or may have waited, and whose event is lost: dead letters now.
    pub lost: u64,
    /// It is not known how far it had come: all that is not known as settled waits, and the lane
    /// is held.
    pub is_unknown: bool,
}

/// What salvage is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes of the old file.
    Reading,
    /// Events.
    Writing,
}

/// Makes a queue in `to` from what can be read of the one in `from`, which stays as it is.
/// `progress` hears how far a step is, and how far it has to go.
///
/// # Errors
/// In words: a process uses the old queue, there is none, or the disk does not take the new one.
pub fn salvage(
    from: &Path,
    to: &Path,
    now: Timestamp,
    progress: &mut dyn FnMut(Step, u64, u64),
) -> anyhow::Result<Salvaged> {
    let _lock = lock::take_for_reading(from)?;
    let tree = Tree::read(from, &mut |done, of| progress(Step::Reading, done, of))?;
    let out = Output::new(to)?;
    let witnessed = witness::read(from);
    let mut rebuild = Rebuild::new(&tree, out, now, witnessed)?;
    rebuild.pages(&mut |done, of| progress(Step::Writing, done, of))?;
    rebuild.lost_pages()?;
    rebuild.records()?;
    rebuild.copies_without_record()?;
    rebuild.notes()?;
    rebuild.finish()
}
