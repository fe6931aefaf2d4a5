//! The pages read last, shared by all lanes, so that many lanes reading along cost one read.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::queue::page::{self, Entry, Page};
use crate::queue::room::{Room, Roomy, Shared};

/// In bytes, roughly.
const ROOM: usize = 8 << 20;

/// Decoded pages by first sequence; the one unused longest goes first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pages: BTreeMap<u64, (u64, Arc<Page>)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
    weight: usize,
    lent: BTreeMap<u64, Lent>,
}

impl Cache {
    /// The page that holds this sequence, if it is here.
    pub(super) fn get(&mut self, sequence: u64) -> Option<Arc<Page>> {
        if let Some(lent) = self.lent.get(&sequence) {
            return lent.page(sequence);
        }
        let (first, (used, page)) = self.pages.range_mut(..=sequence).next_back()?;
        if !page.range().contains(&sequence) {
            return None;
        }
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, *first);
        Some(page.clone())
    }

    /// Gives the page back, in the form in which it is shared. A large event is not kept, or a few
    /// would push out all others: it is here, with the room that it takes, as long as somebody
    /// has it.
    pub(super) fn put(&mut self, page: Arc<Page>, room: Room) -> Arc<Page> {
        self.remove(page.first);
        if let [entry] = &page.entries[..]
            && entry.event.body.len() >= page::LARGE
        {
            return self.lend(page.first, entry, room);
        }
        self.uses += 1;
        self.weight += page.weight;
        self.by_use.insert(self.uses, page.first);
        self.pages.insert(page.first, (self.uses, page.clone()));
        while self.weight > ROOM {
            let Some((_, oldest)) = self.by_use.first_key_value() else {
                break;
            };
            self.remove(*oldest);
        }
        page
    }

    pub(super) fn remove(&mut self, first: u64) {
        self.lent.remove(&first);
        if let Some((used, page)) = self.pages.remove(&first) {
            self.by_use.remove(&used);
            self.weight -= page.weight;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Cache::default();
    }

    fn lend(&mut self, first: u64, entry: &Entry, room: Room) -> Arc<Page> {
        self.lent.retain(|_, lent| lent.body.strong_count() > 0);
        let mut entry = entry.clone();
        let body = std::mem::take(&mut entry.event.body);
        let body = Roomy::new(body, room);
        let lent = Lent {
            entry,
            body: Arc::downgrade(&body),
        };
        let page = lent.page_with(first, body);
        self.lent.insert(first, lent);
        page
    }
}

/// A large event that others have.
#[derive(Debug)]
struct Lent {
    /// Without its body.
    entry: Entry,
    body: Weak<Roomy>,
}

impl Lent {
    fn page(&self, first: u64) -> Option<Arc<Page>> {
        Some(self.page_with(first, self.body.upgrade()?))
    }

    fn page_with(&self, first: u64, body: Arc<Roomy>) -> Arc<Page> {
        let mut entry = self.entry.clone();
        entry.event.body = Bytes::from_owner(Shared(body));
        Arc::new(Page::new(first, vec![entry]))
    }
}
