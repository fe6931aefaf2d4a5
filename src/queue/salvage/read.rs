//! Reading what the old tree still has: marks, records, and what was cut into chunks.

use anyhow::Context;
use bytes::Bytes;

use crate::queue::chunk::{self, Damaged, Kind, Of};
use crate::queue::key::{self, LaneId};
use crate::queue::page::{self, Page};
use crate::queue::record::Record;
use crate::queue::salvage::rebuild::Rebuild;

impl Rebuild<'_> {
    pub(super) fn mark(&self, name: &str) -> anyhow::Result<Option<u64>> {
        let value = self.tree.get(&key::mark(name))?;
        Ok(value
            .and_then(|value| value.try_into().ok())
            .map(u64::from_be_bytes))
    }

    /// The record of a delivery, if it can be read.
    pub(super) fn record(&self, event: u64, lane: LaneId) -> anyhow::Result<Option<Record>> {
        let value = self.tree.get(&key::record(event, lane))?;
        Ok(value.and_then(|value| Record::decode(&value).ok()))
    }

    /// The page and the number of its chunks, if they are all whole.
    pub(super) fn read_page(&self, first: u64) -> anyhow::Result<Option<(Page, u32)>> {
        let of = Of {
            kind: Kind::Page,
            sequence: first,
            lane: 0,
        };
        let Some(raw) = self.join(of)? else {
            return Ok(None);
        };
        let Ok(page) = page::decode(first, &raw) else {
            return Ok(None);
        };
        let value = self.tree.get(&key::page_chunk(first, 0))?;
        let chunks = chunk::count_from(&value.unwrap_or_default())?;
        Ok(Some((page, chunks)))
    }

    /// What was cut into chunks, if it is whole.
    pub(super) fn join(&self, of: Of) -> anyhow::Result<Option<Bytes>> {
        let joined = chunk::join(of, |n| {
            let key = match of.kind {
                Kind::Page => key::page_chunk(of.sequence, n),
                Kind::Copy | Kind::Sent => key::body_chunk(of.sequence, of.lane, n),
            };
            self.tree.get(&key).map_err(Trouble::Disk)
        });
        match joined {
            Ok(joined) => Ok(joined),
            Err(Trouble::Damaged) => Ok(None),
            Err(Trouble::Disk(error)) => Err(error).context("read the old queue"),
        }
    }
}

enum Trouble {
    Damaged,
    Disk(std::io::Error),
}

impl From<Damaged> for Trouble {
    fn from(_: Damaged) -> Trouble {
        Trouble::Damaged
    }
}
