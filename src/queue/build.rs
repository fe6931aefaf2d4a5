//! Pages in the making.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::event::EventId;
use crate::queue::chunk::{Kind, Of, Packed};
use crate::queue::engine::Request;
use crate::queue::head::Head;
use crate::queue::key;
use crate::queue::page::{self, Entry, Page};
use crate::queue::store::Batch;
use crate::queue::writer::PAGE;
use crate::queue::{Appended, QueueError};

/// A page is cut where its events take so many bytes.
const RAW: usize = 256 << 10;

/// A page ready to be written, and who waits for it.
pub(super) struct Built {
    pub(super) head: Head,
    pub(super) packed: Packed,
    pub(super) page: Arc<Page>,
    pub(super) chunks_are_written: bool,
    replies: Vec<oneshot::Sender<Result<Appended, QueueError>>>,
}

impl Built {
    pub(super) fn of(&self) -> Of {
        Of {
            kind: Kind::Page,
            sequence: self.head.first,
            lane: 0,
        }
    }

    /// Makes a page of as many requests as it holds; gives back the others.
    pub(super) fn new(first: u64, mut requests: Vec<Request>) -> (Option<Built>, Vec<Request>) {
        let mut head = Head::new(first);
        let mut raw = 0;
        let mut count = 0;
        for request in &requests {
            let size = request.entry.event.body.len() + 200;
            if count > 0 && raw + size > RAW {
                break;
            }
            if !head.add(&request.entry, request.hashes) {
                break;
            }
            raw += size;
            count += 1;
        }
        if count == 0 {
            return (None, requests);
        }
        let mut rest = requests.split_off(count);
        let mut entries: Vec<Entry> = requests
            .iter()
            .map(|request| request.entry.clone())
            .collect();
        let mut packed = page::pack(&entries);
        while packed.len() > PAGE && entries.len() > 1 {
            entries.truncate(entries.len() / 2);
            packed = page::pack(&entries);
        }
        // A large event is not kept, and never held twice.
        if matches!(packed, Packed::Whole { .. }) {
            entries = entries.into_iter().map(Entry::on_its_own).collect();
        }
        if entries.len() < requests.len() {
            let mut back = requests.split_off(entries.len());
            back.append(&mut rest);
            rest = back;
            head = Head::new(first);
            for request in &requests {
                head.add(&request.entry, request.hashes);
            }
        }
        head.chunks = packed.chunks();
        let built = Built {
            head,
            packed,
            page: Arc::new(Page::new(first, entries)),
            chunks_are_written: false,
            replies: requests.into_iter().map(|request| request.reply).collect(),
        };
        (Some(built), rest)
    }

    pub(super) fn add_to(&self, batch: &mut Batch) {
        if !self.chunks_are_written {
            for (n, chunk) in self.packed.split(self.of()) {
                batch.put(&key::page_chunk(self.head.first, n), &chunk);
            }
        }
        batch.put(&key::head(self.head.first), &self.head.encode());
        let next = self.head.range().end;
        batch.put(&key::mark("next"), &next.to_be_bytes());
    }

    pub(super) fn answer(self) {
        for (sequence, reply) in self.head.range().zip(self.replies) {
            // Nobody there to hear it is no fault.
            reply.send(Ok(Appended::New(EventId(sequence)))).ok();
        }
    }

    pub(super) fn refuse(self, error: &QueueError) {
        for reply in self.replies {
            // Nobody there to hear it is no fault.
            reply.send(Err(error.clone())).ok();
        }
    }
}
