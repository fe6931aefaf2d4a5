//! Pages in the making.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::event::EventId;
use crate::queue::chunk::{Kind, Of, Packed};
use crate::queue::engine::Request;
use crate::queue::head::Head;
use crate::queue::key::{self, Key};
use crate::queue::page::{self, Pack, Page};
use crate::queue::writer::PAGE;
use crate::queue::{Appended, QueueError};

/// A page is cut where its events take so many bytes.
pub(super) const RAW: usize = 256 << 10;

/// A page ready to be written, and who waits for it.
pub(super) struct Built {
    pub(super) head: Head,
    pub(super) packed: Packed,
    pub(super) page: Arc<Page>,
    pub(super) chunks_are_written: bool,
    replies: Vec<oneshot::Sender<Result<Appended, QueueError>>>,
}

impl Built {
    fn of(&self) -> Of {
        Of {
            kind: Kind::Page,
            sequence: self.head.first,
            lane: 0,
        }
    }

    /// Makes a page of as many requests as it holds; gives back the others.
    pub(super) fn new(first: u64, mut requests: Vec<Request>) -> (Option<Built>, Vec<Request>) {
        let mut head = head(first, &requests);
        if head.events.is_empty() {
            return (None, requests);
        }
        let mut pack = pack(&requests[..head.events.len()]);
        while pack.packed.len() > PAGE && head.events.len() > 1 {
            let half = &requests[..head.events.len() / 2];
            head = self::head(first, half);
            pack = self::pack(half);
        }
        let rest = requests.split_off(head.events.len());
        let requests = requests.into_iter();
        let (entries, replies) = requests
            .map(|request| (request.entry, request.reply))
            .unzip();
        let (packed, page) = pack.page(first, entries);
        head.chunks = packed.chunks();
        let built = Built {
            head,
            packed,
            page: Arc::new(page),
            chunks_are_written: false,
            replies,
        };
        (Some(built), rest)
    }

    /// What is written of it. The page is there as soon as its head is, so that comes after the
    /// chunks; the mark may lag behind the heads, but not be ahead of them.
    pub(super) fn writes(&self) -> impl Iterator<Item = (Key, Vec<u8>)> {
        let first = self.head.first;
        let chunks = (!self.chunks_are_written).then(|| self.chunks());
        let head = (key::head(first), self.head.encode());
        let next = self.head.range().end.to_be_bytes().to_vec();
        let ends = [head, (key::mark("next"), next)];
        chunks.into_iter().flatten().chain(ends)
    }

    /// Its chunks alone.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (Key, Vec<u8>)> {
        let first = self.head.first;
        let chunks = self.packed.split(self.of());
        chunks.map(move |(n, chunk)| (key::page_chunk(first, n), chunk))
    }

    /// Tells everybody that waits that it is on disk; its head is left.
    pub(super) fn answer(self) -> Head {
        for (sequence, reply) in self.head.range().zip(self.replies) {
            // Nobody there to hear it is no fault.
            reply.send(Ok(Appended::New(EventId(sequence)))).ok();
        }
        self.head
    }

    pub(super) fn refuse(self, error: &QueueError) {
        for reply in self.replies {
            // Nobody there to hear it is no fault.
            reply.send(Err(error.clone())).ok();
        }
    }
}

/// The head of a page of as many of these as it may hold.
fn head(first: u64, requests: &[Request]) -> Head {
    let mut head = Head::new(first);
    let mut raw = 0;
    for request in requests {
        raw += request.entry.event.body.len() + 200;
        let is_full = raw > RAW && !head.events.is_empty();
        if is_full || !head.add(&request.entry, request.hashes) {
            break;
        }
    }
    head
}

fn pack(requests: &[Request]) -> Pack {
    page::pack(requests.iter().map(|request| &request.entry))
}
