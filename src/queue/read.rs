//! Reading events back: from the pages of the log, or from the copy that was made when a page
//! went before all its deliveries had.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::queue::chunk::{self, Damaged, Kind, Of};
use crate::queue::engine::Engine;
use crate::queue::head::Head;
use crate::queue::key::{self, LaneId};
use crate::queue::page::{self, Entry, Page};
use crate::queue::room::{Room, Roomy, Shared};
use crate::queue::store::{Fault, Store};

/// So many heads are looked at per step of a scan.
const STEP: usize = 256;
/// What lies in no more chunks is never large, however well it is compressed.
const FEW: u32 = 1;

impl Engine {
    /// The event, if the page that holds it was read lately.
    pub(super) fn entry_at_hand(&self, sequence: u64) -> Option<Entry> {
        let page = self.cache().get(sequence)?;
        page.get(sequence).cloned()
    }

    /// The event, wherever it is and however large. Reads from disk.
    pub(super) fn entry(&self, sequence: u64) -> Result<Option<Entry>, Fault> {
        self.entry_within(sequence, &Room::any())
    }

    /// The same if there is room for it.
    pub(super) fn entry_within(&self, sequence: u64, room: &Room) -> Result<Option<Entry>, Fault> {
        if let Some(entry) = self.entry_at_hand(sequence) {
            return Ok(Some(entry));
        }
        if let Some(page) = self.page_within(sequence, room)? {
            return Ok(page.get(sequence).cloned());
        }
        let of = Of {
            kind: Kind::Copy,
            sequence,
            lane: 0,
        };
        let Some(raw) = read_chunks(&self.store, of, room)? else {
            return Ok(None);
        };
        let copy = page::decode(sequence, &raw)?;
        let entry = copy.entries.into_iter().next();
        Ok(entry.map(|mut entry| {
            let body = std::mem::take(&mut entry.event.body);
            entry.event.body = Bytes::from_owner(Shared(Roomy::new(body, room.clone())));
            entry
        }))
    }

    /// The page of the log that holds this sequence, however large. Reads from disk.
    pub(super) fn page(&self, sequence: u64) -> Result<Option<Arc<Page>>, Fault> {
        self.page_within(sequence, &Room::any())
    }

    fn page_within(&self, sequence: u64, room: &Room) -> Result<Option<Arc<Page>>, Fault> {
        if let Some(page) = self.cache().get(sequence) {
            return Ok(Some(page));
        }
        let _standing = self.standing_pages();
        let Some(head) = self.head_of(sequence)?.filter(|head| !head.is_stub()) else {
            return Ok(None);
        };
        match self.load(&head, room) {
            // It was removed while it was read.
            Err(fault) if fault.is_damage() && self.is_removed(head.first) => Ok(None),
            page => page.map(Some),
        }
    }

    fn is_removed(&self, first: u64) -> bool {
        first < self.shared().log.pages_from
    }

    /// The head under which this sequence lies.
    pub(super) fn head_of(&self, sequence: u64) -> Result<Option<Head>, Fault> {
        let range = key::head(0)..key::head(sequence.saturating_add(1));
        let Some((key, value)) = self.store.scan_back(range, 1)?.pop() else {
            return Ok(None);
        };
        let head = Head::decode(key::first_of_head(&key).ok_or(Damaged)?, &value)?;
        Ok(head.range().contains(&sequence).then_some(head))
    }

    /// Reads the page of a head that is no stub, if there is room for it. Others than the writer
    /// read the head under the same [`standing_pages`](Engine::standing_pages).
    pub(super) fn load(&self, head: &Head, room: &Room) -> Result<Arc<Page>, Fault> {
        // Lanes that come to a large event together read it once.
        let may_be_large = head.events.len() == 1 && head.chunks > FEW;
        let turn = may_be_large.then(|| self.large_reads.lock());
        let turn = turn.map(|turn| turn.unwrap_or_else(PoisonError::into_inner));
        if turn.is_some()
            && let Some(page) = self.cache().get(head.first)
        {
            return Ok(page);
        }
        let of = Of {
            kind: Kind::Page,
            sequence: head.first,
            lane: 0,
        };
        let raw = read_chunks(&self.store, of, room)?.ok_or(Damaged)?;
        let page = Arc::new(page::decode(head.first, &raw)?);
        if page.range() != head.range() {
            return Err(Damaged.into());
        }
        let page = self.cache().put(page, room.clone());
        if self.is_removed(head.first) {
            self.cache().remove(head.first);
        }
        Ok(page)
    }

    /// The first head at or after `from` with an event for `lane` at or after it.
    pub(super) fn head_with(&self, lane: LaneId, from: u64) -> Result<Option<Head>, Fault> {
        let _standing = self.standing_pages();
        if let Some(head) = self.head_of(from)?
            && (from..head.range().end).any(|sequence| head.goes_to(sequence, lane))
        {
            return Ok(Some(head));
        }
        let mut range = key::head(from)..key::all(b"h").end;
        loop {
            let heads = self.store.scan_around(range.clone(), STEP)?;
            let Some((last, _)) = heads.last() else {
                return Ok(None);
            };
            range.start = [last.as_ref(), &[0]].concat();
            for (key, value) in &heads {
                let head = Head::decode(key::first_of_head(key).ok_or(Damaged)?, value)?;
                if head.lanes().any(|(_, of)| of == lane) {
                    return Ok(Some(head));
                }
            }
        }
    }

    /// A body as it was sent.
    pub(super) fn sent_body(&self, event: u64, lane: LaneId) -> Result<Option<Vec<u8>>, Fault> {
        let of = Of {
            kind: Kind::Sent,
            sequence: event,
            lane,
        };
        let pending = |n| self.shared().pending.get(&key::body_chunk(event, lane, n));
        let body = chunk::join(of, |n| match pending(n) {
            Some(value) => Ok(value.map(|value| value.to_vec())),
            None => {
                let stored = self.store.get(&key::body_chunk(event, lane, n));
                stored.map(|value| value.map(|value| value.to_vec()))
            }
        });
        body.map(|body: Option<Bytes>| body.map(Into::into))
    }
}

fn read_chunks(store: &Store, of: Of, room: &Room) -> Result<Option<Bytes>, Fault> {
    chunk::join(of, |n| {
        let key = match of.kind {
            Kind::Page => key::page_chunk(of.sequence, n),
            Kind::Copy | Kind::Sent => key::body_chunk(of.sequence, of.lane, n),
        };
        let value = store.get(&key);
        if value.as_ref().is_err_and(Fault::is_damage) {
            store.examine(&key)?;
        }
        let value = value?;
        if n == 0
            && let Some(first) = &value
            && let Some(bytes) = chunk::large(first)?
            && !room.holds(bytes)
        {
            return Err(Fault::Large(bytes));
        }
        Ok(value)
    })
}
