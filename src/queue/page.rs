//! Pages: the events of one commit as they lie in the log, each with its lanes and the names of
//! its routes, so that a plan can be restored from the page alone. Pure.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::{Event, Facts};
use crate::queue::chunk::{Damaged, Packed};
use crate::queue::key::LaneId;
use crate::queue::large::Large;

const VERSION: u8 = 1;
const PREFIX: usize = 5;
/// A body of so many bytes is compressed as it is cut.
pub(super) const LARGE: usize = 256 << 10;
/// A body of fewer bytes is copied when it leaves its page.
const SHARED: usize = 64 << 10;

/// One destination of an event's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) lane: LaneId,
    pub(super) destination: Arc<str>,
    pub(super) route: Option<Arc<str>>,
}

/// An event with what it needs to become part of a page.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) event: Event,
    pub(super) facts: Arc<Facts>,
    pub(super) plan: Arc<[Planned]>,
}

impl Entry {
    pub(super) fn planned(&self, lane: LaneId) -> Option<&Planned> {
        self.plan.iter().find(|planned| planned.lane == lane)
    }

    /// The event with a body that keeps no page in memory. A page of large bodies is hardly
    /// larger than one of them.
    pub(super) fn event_alone(&self) -> Event {
        let mut event = self.event.clone();
        if event.body.len() < SHARED {
            event.body = Bytes::copy_from_slice(&event.body);
        }
        event
    }
}

/// A page, ready to be read.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) first: u64,
    pub(super) entries: Vec<Entry>,
    /// What it takes in memory, in bytes, roughly.
    pub(super) weight: usize,
}

impl Page {
    pub(super) fn new(first: u64, entries: Vec<Entry>) -> Page {
        let bodies: usize = entries
            .iter()
            .map(|entry| entry.event.body.len() + 300)
            .sum();
        Page {
            first,
            entries,
            weight: bodies,
        }
    }

    /// The sequences in it.
    pub(super) fn range(&self) -> Range<u64> {
        self.first..self.first + self.entries.len() as u64
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Entry> {
        let at = sequence.checked_sub(self.first)?;
        self.entries.get(usize::try_from(at).ok()?)
    }
}

/// Events packed for storing, and the memory that they were packed from.
pub(super) struct Pack {
    pub(super) packed: Packed,
    /// As [`encode`] made it; a large event is not copied.
    raw: Option<Bytes>,
}

/// What is stored of a page; of a large event it holds no copy.
pub(super) fn pack<'a, E>(entries: E) -> Pack
where
    E: IntoIterator<Item = &'a Entry, IntoIter: Clone>,
{
    let entries = entries.into_iter();
    let mut first_two = entries.clone();
    if let (Some(entry), None) = (first_two.next(), first_two.next())
        && entry.event.body.len() >= LARGE
    {
        let table = encode_table(entries, 0).into();
        let packed = Packed::Blocks(Large::new([table, entry.event.body.clone()]));
        return Pack { packed, raw: None };
    }
    let raw = encode(entries);
    Pack {
        packed: Packed::pack(&raw),
        raw: Some(raw.into()),
    }
}

impl Pack {
    /// The page of the events that were packed. Their bodies lie where they were packed from, so
    /// that what they arrived in is free again.
    pub(super) fn page(self, first: u64, mut entries: Vec<Entry>) -> (Packed, Page) {
        if let Some(raw) = self.raw {
            let mut end = raw.len();
            for entry in entries.iter_mut().rev() {
                let start = end - entry.event.body.len();
                entry.event.body = raw.slice(start..end);
                end = start;
            }
        }
        (self.packed, Page::new(first, entries))
    }
}

/// The bytes that are compressed and stored:
/// `version 1 | length of the table 4 | table | bodies, one after the other`.
pub(super) fn encode<'a, E>(entries: E) -> Vec<u8>
where
    E: IntoIterator<Item = &'a Entry, IntoIter: Clone>,
{
    let entries = entries.into_iter();
    let bodies: usize = entries.clone().map(|entry| entry.event.body.len()).sum();
    let mut raw = encode_table(entries.clone(), bodies);
    for entry in entries {
        raw.extend_from_slice(&entry.event.body);
    }
    raw
}

/// All before the bodies, with room for so many bytes of them.
fn encode_table<'a>(entries: impl Iterator<Item = &'a Entry>, bodies: usize) -> Vec<u8> {
    let mut plans: Vec<&Arc<[Planned]>> = Vec::new();
    let events = entries.map(|entry| {
        let plan = plans.iter().position(|plan| *plan == &entry.plan);
        let plan = plan.unwrap_or_else(|| {
            plans.push(&entry.plan);
            plans.len() - 1
        });
        EventV1::new(entry, plan as u32)
    });
    let events: Vec<EventV1<'_>> = events.collect();
    let plans = plans
        .iter()
        .map(|plan| plan.iter().map(PlannedV1::new).collect());
    let table = TableV1 {
        plans: plans.collect(),
        events,
    };
    let mut raw = Vec::with_capacity(PREFIX + bodies + 200 * table.events.len());
    raw.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    // Writing plain data to memory cannot fail.
    let mut raw = postcard::to_extend(&table, raw).unwrap_or_default();
    if raw.len() >= PREFIX {
        let length = (raw.len() - PREFIX) as u32;
        raw[1..PREFIX].copy_from_slice(&length.to_le_bytes());
    }
    raw
}

/// Reads what [`encode`] made.
pub(super) fn decode(first: u64, raw: &Bytes) -> Result<Page, Damaged> {
    let (prefix, rest) = raw.split_at_checked(PREFIX).ok_or(Damaged)?;
    if prefix[0] != VERSION {
        return Err(Damaged);
    }
    let length = u32::from_le_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    let table = rest.get(..length).ok_or(Damaged)?;
    let table: TableV1<'_> = postcard::from_bytes(table).map_err(|_| Damaged)?;
    let plans: Vec<Arc<[Planned]>> = (table.plans.iter())
        .map(|plan| plan.iter().map(PlannedV1::read).collect())
        .collect();
    let mut from = PREFIX + length;
    let mut places = Vec::with_capacity(table.events.len());
    for event in &table.events {
        let to = from.checked_add(event.body as usize).ok_or(Damaged)?;
        raw.get(from..to).ok_or(Damaged)?;
        places.push(from..to);
        from = to;
    }
    let mut names = Names::default();
    let mut entries = Vec::with_capacity(places.len());
    for (place, event) in places.into_iter().zip(&table.events) {
        let plan = plans.get(event.plan as usize).ok_or(Damaged)?.clone();
        entries.push(event.read(plan, raw.slice(place), &mut names));
    }
    Ok(Page::new(first, entries))
}

/// Shares the few names that repeat within a page.
#[derive(Default)]
struct Names(Vec<Arc<str>>);

impl Names {
    fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| known.as_ref() == name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        if self.0.len() < 32 {
            self.0.push(name.clone());
        }
        name
    }
}

#[derive(Serialize, Deserialize)]
struct TableV1<'a> {
    #[serde(borrow)]
    plans: Vec<Vec<PlannedV1<'a>>>,
    #[serde(borrow)]
    events: Vec<EventV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct PlannedV1<'a> {
    lane: u32,
    destination: &'a str,
    route: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct EventV1<'a> {
    source: &'a str,
    name: &'a str,
    delivery_id: &'a str,
    received: i64,
    action: Option<&'a str>,
    repo: Option<&'a str>,
    branch: Option<&'a str>,
    tag: Option<&'a str>,
    sender: Option<&'a str>,
    is_test: bool,
    plan: u32,
    /// Length of the body.
    body: u32,
}

impl<'a> PlannedV1<'a> {
    fn new(planned: &'a Planned) -> PlannedV1<'a> {
        PlannedV1 {
            lane: planned.lane,
            destination: &planned.destination,
            route: planned.route.as_deref(),
        }
    }

    fn read(&self) -> Planned {
        Planned {
            lane: self.lane,
            destination: self.destination.into(),
            route: self.route.map(Into::into),
        }
    }
}

impl<'a> EventV1<'a> {
    fn new(entry: &'a Entry, plan: u32) -> EventV1<'a> {
        let (event, facts) = (&entry.event, &entry.facts);
        EventV1 {
            source: &event.source,
            name: &event.name,
            delivery_id: &event.delivery_id,
            received: event.received.0,
            action: facts.action.as_deref(),
            repo: facts.repo.as_deref(),
            branch: facts.branch.as_deref(),
            tag: facts.tag.as_deref(),
            sender: facts.sender.as_deref(),
            is_test: facts.is_test,
            plan,
            body: event.body.len() as u32,
        }
    }

    fn read(&self, plan: Arc<[Planned]>, body: Bytes, names: &mut Names) -> Entry {
        let event = Event {
            source: names.share(self.source),
            name: names.share(self.name),
            delivery_id: self.delivery_id.into(),
            received: Timestamp(self.received),
            body,
        };
        let facts = Facts {
            action: self.action.map(Into::into),
            repo: self.repo.map(Into::into),
            branch: self.branch.map(Into::into),
            tag: self.tag.map(Into::into),
            sender: self.sender.map(Into::into),
            is_test: self.is_test,
        };
        Entry {
            event,
            facts: Arc::new(facts),
            plan,
        }
    }
}
