//! Reading along the log, for who follows it beside the journey: page by page, in order.

use std::sync::Arc;

use crate::event::{Event, EventId};
use crate::queue::QueueError;
use crate::queue::engine::Engine;
use crate::queue::store::Fault;

/// Consecutive events of the log.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Oldest first.
    pub events: Vec<(EventId, Event)>,
    /// Where to go on; where it began, when the log ends there.
    pub next: EventId,
    /// False when something between its beginning and `next` can no longer be read.
    pub is_whole: bool,
}

impl Engine {
    pub(super) async fn stretch(self: &Arc<Engine>, from: EventId) -> Result<Stretch, QueueError> {
        let read = self.blocking(move |engine| engine.read_stretch(from.0));
        read.await?.map_err(|_| QueueError::Unavailable)
    }

    fn read_stretch(&self, from: u64) -> Result<Stretch, Fault> {
        let end = self.shared().log.next;
        if from >= end {
            return Ok(Stretch {
                events: Vec::new(),
                next: EventId(from),
                is_whole: true,
            });
        }
        let page = match self.page(from) {
            Err(fault) if fault.is_damage() => None,
            page => page?,
        };
        let Some(page) = page else {
            return Ok(Stretch {
                events: Vec::new(),
                next: EventId(self.next_page(from)?.unwrap_or(end)),
                is_whole: false,
            });
        };
        let entries = page.range().zip(&page.entries);
        let events = entries.filter(|(sequence, _)| *sequence >= from);
        let events = events.map(|(sequence, entry)| (EventId(sequence), entry.event.clone()));
        Ok(Stretch {
            events: events.collect(),
            next: EventId(page.range().end),
            is_whole: true,
        })
    }

    /// Where the first page begins behind this sequence, which has none that can be read.
    fn next_page(&self, from: u64) -> Result<Option<u64>, Fault> {
        let from = self.shared().log.pages_from.max(from + 1);
        let next = self.some_heads(from, 1)?.pop();
        Ok(next.map(|head| head.first))
    }
}
