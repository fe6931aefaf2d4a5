//! Heads of pages: what start-up and look-ups need to know of a page without reading it. When
//! the page goes, its head shrinks to a stub that still knows repeats. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::Event;
use crate::queue::chunk::{Damaged, MAX_VALUE};
use crate::queue::key::LaneId;
use crate::queue::page::{Entry, Planned};

const VERSION: u8 = 1;

/// What an event is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hashes {
    /// Of source and delivery id.
    pub(super) id: u64,
    /// Of source, event name and body.
    pub(super) body: u64,
}

impl Hashes {
    pub(super) fn of(event: &Event) -> Hashes {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed;
        let source = hash(event.source.as_bytes(), 0);
        Hashes {
            id: hash(event.delivery_id.as_bytes(), source),
            body: hash(&event.body, hash(event.name.as_bytes(), source)),
        }
    }
}

/// One event, as its head knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) hashes: Hashes,
    pub(super) received: Timestamp,
    /// Which of the head's sets of lanes it goes to; a stub has none.
    set: u16,
}

/// The head of a page, or what is left of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) first: u64,
    pub(super) events: Vec<Known>,
    /// How many chunks the page has; 0 in a stub.
    pub(super) chunks: u32,
    sets: Vec<Vec<u8>>,
}

impl Head {
    /// The head of a page that is being made; its chunks are counted when it is packed.
    pub(super) fn new(first: u64) -> Head {
        Head {
            first,
            events: Vec::new(),
            chunks: 0,
            sets: Vec::new(),
        }
    }

    /// Adds an event, unless the head would grow too large for it.
    pub(super) fn add(&mut self, entry: &Entry, hashes: Hashes) -> bool {
        let sets = self.sets.len();
        let set = self.set_of(entry);
        self.events.push(Known {
            hashes,
            received: entry.event.received,
            set,
        });
        let fits = self.events.len() == 1 || self.size_at_most() <= MAX_VALUE;
        if !fits {
            self.events.pop();
            self.sets.truncate(sets);
        }
        fits
    }

    /// The place of the lanes of an event among the sets, where they are from now on.
    fn set_of(&mut self, entry: &Entry) -> u16 {
        // Most events go the same ways as the last.
        if let Some(last) = self.events.last()
            && is_of(&self.sets[last.set as usize], &entry.plan)
        {
            return last.set;
        }
        let set = bitmap(entry.plan.iter().map(|planned| planned.lane));
        let known = self.sets.iter().position(|have| *have == set);
        let at = known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        at as u16
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.first..self.first + self.events.len() as u64
    }

    /// When the event with this sequence arrived.
    pub(super) fn received(&self, sequence: u64) -> Option<Timestamp> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.events.get(at).map(|event| event.received)
    }

    pub(super) fn is_stub(&self) -> bool {
        self.chunks == 0
    }

    /// Whether the event with this sequence goes to `lane`.
    pub(super) fn goes_to(&self, sequence: u64, lane: LaneId) -> bool {
        let at = sequence.checked_sub(self.first).unwrap_or(u64::MAX);
        let event = usize::try_from(at).ok().and_then(|at| self.events.get(at));
        let set = event.and_then(|event| self.sets.get(event.set as usize));
        set.is_some_and(|set| has(set, lane))
    }

    /// The lanes that any event of the page goes to, each with how many from `from` on.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (u64, LaneId)> {
        self.range()
            .zip(&self.events)
            .flat_map(|(sequence, event)| {
                let set = self.sets.get(event.set as usize);
                let lanes = set.into_iter().flat_map(|set| members(set));
                lanes.map(move |lane| (sequence, lane))
            })
    }

    /// Events that go to the same lanes: their sequences, and those lanes.
    pub(super) fn ways(&self) -> impl Iterator<Item = (Vec<u64>, impl Iterator<Item = LaneId>)> {
        let sets = self.sets.iter().enumerate();
        sets.map(|(at, set)| {
            let events = self.range().zip(&self.events);
            let events = events.filter(|(_, event)| event.set as usize == at);
            (events.map(|(sequence, _)| sequence).collect(), members(set))
        })
    }

    /// Whether any event of the page goes to a lane like this.
    pub(super) fn any_lane(&self, is_one: impl Fn(LaneId) -> bool) -> bool {
        self.sets.iter().any(|set| members(set).any(&is_one))
    }

    /// What stays when the page goes.
    pub(super) fn stub(&self) -> Head {
        Head {
            chunks: 0,
            sets: Vec::new(),
            ..self.clone()
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let base = self.events.first().map_or(0, |event| event.received.0);
        let events = self.events.iter().map(|event| KnownV1 {
            id: event.hashes.id.to_le_bytes(),
            body: event.hashes.body.to_le_bytes(),
            after: event.received.0.saturating_sub(base),
            set: event.set,
        });
        let head = HeadV1 {
            chunks: self.chunks,
            base,
            sets: self.sets.clone(),
            events: events.collect(),
        };
        // Writing plain data to memory cannot fail.
        postcard::to_extend(&head, vec![VERSION]).unwrap_or_default()
    }

    pub(super) fn decode(first: u64, value: &[u8]) -> Result<Head, Damaged> {
        let Some((&VERSION, rest)) = value.split_first() else {
            return Err(Damaged);
        };
        let head: HeadV1 = postcard::from_bytes(rest).map_err(|_| Damaged)?;
        let events = head.events.into_iter().map(|event| Known {
            hashes: Hashes {
                id: u64::from_le_bytes(event.id),
                body: u64::from_le_bytes(event.body),
            },
            received: Timestamp(head.base.saturating_add(event.after)),
            set: event.set,
        });
        Ok(Head {
            first,
            events: events.collect(),
            chunks: head.chunks,
            sets: head.sets,
        })
    }

    /// An upper bound of the encoded size, without encoding.
    fn size_at_most(&self) -> usize {
        let sets: usize = self.sets.iter().map(|set| set.len() + 3).sum();
        20 + sets + self.events.len() * (16 + 3 + 6)
    }
}

fn bitmap(lanes: impl Iterator<Item = LaneId>) -> Vec<u8> {
    let mut set = Vec::new();
    for lane in lanes {
        let at = lane as usize / 8;
        if set.len() <= at {
            set.resize(at + 1, 0);
        }
        set[at] |= 1 << (lane % 8);
    }
    set
}

/// Whether these are the set's lanes; a plan names each lane once.
fn is_of(set: &[u8], plan: &[Planned]) -> bool {
    let lanes: u32 = set.iter().map(|byte| byte.count_ones()).sum();
    lanes as usize == plan.len() && plan.iter().all(|planned| has(set, planned.lane))
}

fn has(set: &[u8], lane: LaneId) -> bool {
    let byte = set.get(lane as usize / 8);
    byte.is_some_and(|byte| byte & (1 << (lane % 8)) != 0)
}

fn members(set: &[u8]) -> impl Iterator<Item = LaneId> {
    let lanes = 0..(set.len() * 8) as u32;
    lanes.filter(move |lane| has(set, *lane))
}

#[derive(Serialize, Deserialize)]
struct HeadV1 {
    chunks: u32,
    base: i64,
    sets: Vec<Vec<u8>>,
    events: Vec<KnownV1>,
}

#[derive(Serialize, Deserialize)]
struct KnownV1 {
    id: [u8; 8],
    body: [u8; 8],
    after: i64,
    set: u16,
}
