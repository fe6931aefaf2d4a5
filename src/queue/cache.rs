//! The pages read last, shared by all lanes, so that many lanes reading along cost one read.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::queue::page::Page;

/// In bytes, roughly.
const ROOM: usize = 16 << 20;

/// Decoded pages by first sequence; the one unused longest goes first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pages: BTreeMap<u64, (u64, Arc<Page>)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
    weight: usize,
}

impl Cache {
    /// The page that holds this sequence, if it is here.
    pub(super) fn get(&mut self, sequence: u64) -> Option<Arc<Page>> {
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

    /// The page put last stays, however large it is: somebody is about to read it.
    pub(super) fn put(&mut self, page: Arc<Page>) {
        self.remove(page.first);
        self.uses += 1;
        self.weight += page.weight;
        self.by_use.insert(self.uses, page.first);
        self.pages.insert(page.first, (self.uses, page));
        while self.weight > ROOM && self.pages.len() > 1 {
            let Some((_, oldest)) = self.by_use.first_key_value() else {
                break;
            };
            self.remove(*oldest);
        }
    }

    pub(super) fn remove(&mut self, first: u64) {
        if let Some((used, page)) = self.pages.remove(&first) {
            self.by_use.remove(&used);
            self.weight -= page.weight;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Cache::default();
    }
}
