//! Looking through deliveries, newest first: those that still wait in the log, merged with the
//! records of those that left it.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::DeliveryId;
use crate::event::{Event, EventId};
use crate::queue::engine::Engine;
use crate::queue::key::LaneId;
use crate::queue::search::Search;
use crate::queue::store::Fault;
use crate::queue::{Delivery, Filter, Found, QueueError};

/// So long one call looks.
const BUDGET: Duration = Duration::from_millis(20);
/// Events lie in the order in which they were received, but for so much.
const SLACK: Duration = Duration::from_secs(3600);

impl Engine {
    pub(super) async fn find(
        self: &Arc<Engine>,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<Found, QueueError> {
        let before = match cursor.as_deref().map(str::parse::<Cursor>) {
            None => Cursor::END,
            Some(Ok(cursor)) => cursor,
            Some(Err(())) => return Err(QueueError::Refused("no such cursor".into())),
        };
        if let Some(destination) = &filter.destination
            && self.shared().lane_id(destination).is_err()
        {
            return Ok(Found {
                deliveries: Vec::new(),
                next: None,
            });
        }
        let found = self.blocking(move |engine| engine.look(&filter, before, limit.max(1)));
        found.await?.map_err(|_| QueueError::Unavailable)
    }

    pub(super) async fn delivery(
        self: &Arc<Engine>,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, QueueError> {
        let Ok(lane) = self.shared().lane_id(&id.destination) else {
            return Ok(None);
        };
        let event = id.event.0;
        let found = self.blocking(move |engine| engine.delivery_of(event, lane));
        found.await?.map_err(|_| QueueError::Unavailable)
    }

    /// One delivery, whatever its state. Reads from disk.
    pub(super) fn delivery_of(&self, event: u64, lane: LaneId) -> Result<Option<Delivery>, Fault> {
        let mut shared = self.shared();
        self.settle_if_its_range_is(&mut shared, lane, event);
        if let Some(record) = self.record(&shared, event, lane) {
            return Ok(Some(shared.of_record(event, lane, record, self.now())));
        }
        drop(shared);
        let entry = self.entry(event)?;
        let (mut shared, now) = (self.shared(), self.now());
        let in_log = entry.and_then(|entry| shared.of_log(event, lane, &entry, now));
        Ok(in_log.or_else(|| {
            // It may have left the log while the event was read.
            let record = self.record(&shared, event, lane)?;
            Some(shared.of_record(event, lane, record, now))
        }))
    }

    pub(super) async fn sent(
        self: &Arc<Engine>,
        id: &DeliveryId,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let Ok(lane) = self.shared().lane_id(&id.destination) else {
            return Ok(None);
        };
        let event = id.event.0;
        let body = self
            .blocking(move |engine| engine.sent_body(event, lane))
            .await?;
        body.map_err(|_| QueueError::Unavailable)
    }

    pub(super) async fn event(
        self: &Arc<Engine>,
        id: EventId,
    ) -> Result<Option<Event>, QueueError> {
        let entry = self.blocking(move |engine| engine.entry(id.0)).await?;
        let entry = entry.map_err(|_| QueueError::Unavailable)?;
        Ok(entry.map(|entry| entry.event))
    }

    /// Walks back from `before`, event by event.
    fn look(&self, filter: &Filter, before: Cursor, limit: usize) -> Result<Found, Fault> {
        let until = self.clock.elapsed() + BUDGET;
        let mut found = Found {
            deliveries: Vec::new(),
            next: None,
        };
        let mut search = Search::new(self, filter, before.event);
        while let Some((event, mut deliveries)) = search.step()? {
            let newest = deliveries
                .iter()
                .map(|(_, delivery)| delivery.received)
                .max();
            if newest
                .zip(filter.since)
                .is_some_and(|(newest, since)| newest.plus(SLACK) < since)
            {
                return Ok(found);
            }
            deliveries.retain(|(lane, delivery)| {
                Cursor { event, lane: *lane } < before && filter.takes(delivery)
            });
            for (lane, delivery) in deliveries {
                found.deliveries.push(delivery);
                if found.deliveries.len() == limit {
                    found.next = Some(Cursor { event, lane }.to_string());
                    return Ok(found);
                }
            }
            if self.clock.elapsed() >= until {
                found.next = Some(Cursor { event, lane: 0 }.to_string());
                return Ok(found);
            }
        }
        Ok(found)
    }
}

/// Where a listing goes on: below this delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    event: u64,
    lane: LaneId,
}

impl Cursor {
    const END: Cursor = Cursor {
        event: u64::MAX,
        lane: LaneId::MAX,
    };
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.event, self.lane)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Cursor, ()> {
        let (event, lane) = text.split_once('.').ok_or(())?;
        Ok(Cursor {
            event: event.parse().map_err(drop)?,
            lane: lane.parse().map_err(drop)?,
        })
    }
}
