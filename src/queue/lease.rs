//! Handing out deliveries.

use std::borrow::Cow;
use std::sync::Arc;

use tracing::error;

use crate::queue::engine::{Engine, Shared};
use crate::queue::key::{self, LaneId};
use crate::queue::lane::Leased;
use crate::queue::page::{Entry, Page};
use crate::queue::pick::Pick;
use crate::queue::room::Room;
use crate::queue::store::Fault;
use crate::queue::token::{Place, Taken};
use crate::queue::{Lease, Next, QueueError};

/// With so many bytes waiting for the disk, lanes wait too.
const TOO_MUCH_PENDING: usize = 1 << 20;
const SHORTLY: std::time::Duration = std::time::Duration::from_millis(20);

/// What has to be read before a lane can go on.
enum Step {
    Done(Next),
    /// This event.
    Entry(u64),
    /// The next page with something for the lane, from this sequence on.
    Forward(u64),
}

/// What came of reading on.
enum Forward {
    /// The page is in the cache for as long as this is kept, if it is a large one.
    Here(#[expect(dead_code, reason = "kept, not read")] Arc<Page>),
    /// Room for so many bytes is needed.
    Large(usize),
    /// The lane has moved.
    Again,
}

/// What a look past the head found.
enum PastHead {
    Nothing,
    Lease(Box<Lease>),
    /// The page from here on has to be read first.
    Forward(LaneId, u64),
}

impl Engine {
    pub(super) async fn next(
        self: &Arc<Engine>,
        destination: &str,
        room: &Room,
    ) -> Result<Next, QueueError> {
        let mut read: Option<(u64, Entry)> = None;
        // A large page is in the cache only as long as somebody has it.
        let mut _page = None;
        loop {
            let (lane, step) = self.step(destination, read.as_ref())?;
            match step {
                Step::Done(next) => return Ok(next),
                Step::Entry(event) => {
                    let room = room.clone();
                    let read_within = move |engine: &Engine| engine.entry_within(event, &room);
                    match self.blocking(read_within).await? {
                        Ok(Some(entry)) => read = Some((event, entry)),
                        Ok(None) => self.bury_unreadable(lane, event),
                        Err(Fault::Large(bytes)) => return Ok(Next::Large(bytes)),
                        Err(fault) => self.bury_if_damaged(lane, event, &fault)?,
                    }
                }
                Step::Forward(from) => match self.forward(lane, from, room).await? {
                    Forward::Large(bytes) => return Ok(Next::Large(bytes)),
                    forward => _page = Some(forward),
                },
            }
        }
    }

    pub(super) async fn next_past_head(
        self: &Arc<Engine>,
        destination: &str,
        room: &Room,
    ) -> Result<Next, QueueError> {
        let mut _page = None;
        loop {
            let (lane, from) = match self.look_past_head(destination)? {
                PastHead::Nothing => return Ok(Next::Nothing),
                PastHead::Lease(lease) => return Ok(Next::Lease(lease)),
                PastHead::Forward(lane, from) => (lane, from),
            };
            match self.forward(lane, from, room).await? {
                Forward::Large(bytes) => return Ok(Next::Large(bytes)),
                forward => _page = Some(forward),
            }
        }
    }

    /// One look past the lane's head under the lock.
    fn look_past_head(self: &Arc<Engine>, destination: &str) -> Result<PastHead, QueueError> {
        let mut shared = self.shared();
        let id = shared.lane_id(destination)?;
        let lane = shared.lane(id);
        if !lane.may_look_past_head() {
            return Ok(PastHead::Nothing);
        }
        let pick = match lane.out.keys().nth(1) {
            Some(second) => Pick::Out(*second),
            None if !lane.has_unread() => return Ok(PastHead::Nothing),
            None => Pick::Log,
        };
        let from = if let Pick::Out(event) = pick {
            event
        } else {
            lane.position()
        };
        let page = self.cache().get(from);
        let event = page.as_ref().and_then(|page| match pick {
            Pick::Out(event) => Some(event),
            _ => self.advance(&mut shared, id, page),
        });
        let entry = event
            .zip(page)
            .and_then(|(event, page)| page.get(event).cloned());
        let (Some(event), Some(entry)) = (event, entry) else {
            return Ok(PastHead::Forward(id, from));
        };
        let mut taken = take(&mut shared, id, pick, event);
        taken.leased.past_head = true;
        if let Some(out) = shared.lane(id).out.get_mut(&event) {
            out.leased = Some(taken.leased);
        }
        let lease = self.lease(&mut shared, id, &entry, taken);
        Ok(PastHead::Lease(lease))
    }

    /// One look at the lane under the lock.
    fn step(
        self: &Arc<Engine>,
        destination: &str,
        read: Option<&(u64, Entry)>,
    ) -> Result<(LaneId, Step), QueueError> {
        let mut shared = self.shared();
        if shared.closing {
            return Err(QueueError::Closed);
        }
        let id = shared.lane_id(destination)?;
        let now = self.clock.elapsed();
        if shared.pending.bytes() > TOO_MUCH_PENDING {
            return Ok((id, Step::Done(Next::NotBefore(now + SHORTLY))));
        }
        let pick = shared.lane(id).pick(now);
        let mut page = None;
        let event = match pick {
            Pick::Nothing => return Ok((id, Step::Done(Next::Nothing))),
            Pick::NotBefore(at) => return Ok((id, Step::Done(Next::NotBefore(at)))),
            Pick::Out(event) | Pick::Parked(event) => event,
            Pick::Redelivery => match self.first_redelivery(&mut shared, id)? {
                Some(event) => event,
                None => return Ok((id, Step::Done(Next::NotBefore(now + SHORTLY)))),
            },
            Pick::Log => {
                let from = shared.lane(id).position();
                page = self.cache().get(from);
                let here = page.as_deref();
                match here.and_then(|page| self.advance(&mut shared, id, page)) {
                    Some(event) => event,
                    None if !shared.lane(id).has_unread() => {
                        return Ok((id, Step::Done(Next::NotBefore(now))));
                    }
                    None => return Ok((id, Step::Forward(shared.lane(id).position()))),
                }
            }
        };
        let on_page = page.as_ref().and_then(|page| page.get(event));
        let known = read.filter(|(of, _)| *of == event).map(|(_, entry)| entry);
        let at_hand = match on_page.or(known) {
            Some(entry) => Cow::Borrowed(entry),
            None => match self.entry_at_hand(event) {
                Some(entry) => Cow::Owned(entry),
                None => return Ok((id, Step::Entry(event))),
            },
        };
        let taken = take(&mut shared, id, pick, event);
        let lease = self.lease(&mut shared, id, &at_hand, taken);
        Ok((id, Step::Done(Next::Lease(lease))))
    }

    /// Moves on within `page` to the next delivery of the lane. In a range that was left behind
    /// once, single ones may have been settled long ago.
    fn advance(&self, shared: &mut Shared, id: LaneId, page: &Page) -> Option<u64> {
        loop {
            let event = shared.lane(id).advance(page)?;
            let was_aside = shared.lane(id).current().is_some();
            if !was_aside || self.record(shared, event, id).is_none() {
                return Some(event);
            }
            shared.lane(id).move_to(event + 1);
        }
    }

    /// The redelivery with the smallest event id that is not under way.
    fn first_redelivery(&self, shared: &mut Shared, id: LaneId) -> Result<Option<u64>, QueueError> {
        let lane = shared.lane(id);
        let busy: Vec<u64> = lane.redelivering.keys().copied().collect();
        let range = key::redelivery(id, 0)..key::redelivery(id, u64::MAX);
        let found = self.scan(shared, range, busy.len() + 1);
        let found = found.map_err(|_| QueueError::Unavailable)?;
        let mut events = found
            .iter()
            .filter_map(|(key, _)| key::event_of_waiting(key));
        Ok(events.find(|event| !busy.contains(event)))
    }

    /// Brings the next page with something for the lane to hand.
    async fn forward(
        self: &Arc<Engine>,
        lane: LaneId,
        from: u64,
        room: &Room,
    ) -> Result<Forward, QueueError> {
        let room = room.clone();
        let found = self.blocking(move |engine| {
            let _standing = engine.standing_pages();
            let head = engine.head_with(lane, from)?;
            if let Some(head) = &head {
                let loaded = engine.load(head, &room);
                let events = (from.max(head.first)..head.range().end)
                    .filter(|event| head.goes_to(*event, lane))
                    .collect::<Vec<u64>>();
                return Ok(Some((head.first, events, loaded)));
            }
            Ok(None)
        });
        match found.await? {
            Ok(Some((first, _, Ok(page)))) => {
                let mut shared = self.shared();
                let lane = shared.lane(lane);
                // Meanwhile a range may have been resumed, and is read from now on.
                if lane.position() == from {
                    lane.move_to(first);
                }
                Ok(Forward::Here(page))
            }
            Ok(Some((_, _, Err(Fault::Large(bytes))))) => Ok(Forward::Large(bytes)),
            Ok(Some((_, events, Err(fault)))) => {
                for event in events {
                    self.bury_if_damaged(lane, event, &fault)?;
                }
                Ok(Forward::Again)
            }
            Ok(None) => {
                // The counts said otherwise: what was there is lost to damage.
                let mut shared = self.shared();
                let end = shared.log.next;
                let lane = shared.lane(lane);
                if lane.position() != from {
                    return Ok(Forward::Again);
                }
                if lane.current().is_some() {
                    lane.move_to(end);
                    return Ok(Forward::Again);
                }
                error!(destination.name = %lane.destination, lost = lane.unread,
                    "the log has gaps; deliveries are missing");
                lane.unread = 0;
                lane.read = end;
                Ok(Forward::Again)
            }
            Err(_) => Err(QueueError::Unavailable),
        }
    }

    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Engine>,
        work: impl FnOnce(&Engine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Result<T, Fault>, QueueError> {
        let _reader = self.readers.acquire().await;
        let engine = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&engine)).await;
        done.map_err(|_| QueueError::Unavailable)
    }

    fn bury_if_damaged(&self, lane: LaneId, event: u64, fault: &Fault) -> Result<(), QueueError> {
        if !fault.is_damage() {
            return Err(QueueError::Unavailable);
        }
        self.bury_unreadable(lane, event);
        Ok(())
    }
}

fn take(shared: &mut Shared, id: LaneId, pick: Pick, event: u64) -> Taken {
    shared.serial += 1;
    let serial = shared.serial;
    let lane = shared.lane(id);
    let leased = Leased {
        serial,
        is_probe: lane.held.is_some(),
        past_head: false,
    };
    let place = match pick {
        Pick::Parked(_) => {
            if let Some(parked) = lane.parked.get_mut(&event) {
                parked.leased = Some(leased);
            }
            Place::Parked
        }
        Pick::Redelivery => {
            lane.redelivering.insert(event, leased);
            Place::Redelivery
        }
        Pick::Out(_) => {
            if let Some(out) = lane.out.get_mut(&event) {
                out.leased = Some(leased);
            }
            Place::Log
        }
        _ => {
            lane.take_out(leased);
            Place::Log
        }
    };
    Taken {
        event,
        leased,
        place,
    }
}
