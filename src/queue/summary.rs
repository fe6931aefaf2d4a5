//! Makes one message of what a resumed lane leaves behind. The range stands still while it is
//! counted, between commits; then the message is appended like any event, and goes first when the
//! range is skipped, which is one write. After a crash the counting begins anew, and finds the
//! message by its id if it was appended already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tracing::warn;

use crate::clock::Timestamp;
use crate::event::{Event, Facts};
use crate::queue::aside::{Aside, Fate};
use crate::queue::engine::{Engine, Request};
use crate::queue::head::Hashes;
use crate::queue::key::LaneId;
use crate::queue::page::{Entry, Planned};
use crate::queue::record::About;
use crate::queue::room::Room;
use crate::queue::store::Fault;
use crate::queue::{Appended, QueueError, Redelivery, Repeats};

/// The name of the event that sums others up.
const SUMMARY: &str = "summary";
/// What it comes through.
const SOURCE: &str = "gogs-relay";
/// At most so many repositories are counted one by one.
const REPOSITORIES: usize = 1000;
/// So many are named.
const NAMED: usize = 10;
/// It waits so long for the disk, and is then appended anew.
const PATIENCE: Duration = Duration::from_secs(60);
/// At most so many pages are counted in a step.
const PAGES: usize = 4;

/// Summaries under way; one at a time.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    tally: Option<Tally>,
    reply: Option<(LaneId, oneshot::Receiver<Result<Appended, QueueError>>)>,
}

/// What was counted so far of a lane.
#[derive(Debug)]
struct Tally {
    lane: LaneId,
    /// The ranges that are counted, and where in the first of them to go on.
    ranges: Vec<(u64, u64)>,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    events: BTreeMap<Arc<str>, u64>,
    repositories: BTreeMap<String, u64>,
    unlisted: u64,
}

impl Summaries {
    /// One step; says whether there is more to do at once.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<bool, Fault> {
        if let Some((lane, reply)) = &mut self.reply {
            let lane = *lane;
            match reply.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return Ok(false),
                Ok(Ok(Appended::New(event) | Appended::Repeats { event, .. })) => {
                    engine.send_first(lane, event.0);
                }
                Ok(Err(error)) => warn!(%error, "a summary cannot be stored yet"),
                Err(oneshot::error::TryRecvError::Closed) => {}
            }
            self.reply = None;
        }
        let Some(lane) = engine.counted_lane() else {
            self.tally = None;
            return Ok(false);
        };
        let tally = match self.tally.take().filter(|tally| tally.lane == lane) {
            Some(tally) => tally,
            None => engine.begin_tally(lane),
        };
        match tally.go_on(engine)? {
            Counted::More(tally) => self.tally = Some(tally),
            Counted::All(seen) => self.reply = Some((lane, engine.append_summary(lane, &seen))),
        }
        Ok(true)
    }
}

enum Counted {
    More(Tally),
    All(Seen),
}

impl Tally {
    fn go_on(mut self, engine: &Engine) -> Result<Counted, Fault> {
        for _ in 0..PAGES {
            let Some((from, to)) = self.ranges.first_mut() else {
                return Ok(Counted::All(self.seen));
            };
            let head = engine.head_with(self.lane, *from)?;
            let Some(head) = head.filter(|head| from < to && head.first < *to) else {
                self.ranges.remove(0);
                continue;
            };
            let end = head.range().end.min(*to);
            let page = match engine.load(&head, &Room::any()) {
                Ok(page) => Some(page),
                Err(fault) if fault.is_damage() => None,
                Err(fault) => return Err(fault),
            };
            for event in head.first.max(*from)..end {
                let is_left = head.goes_to(event, self.lane)
                    && engine.record(&engine.shared(), event, self.lane).is_none();
                if is_left {
                    let entry = page.as_ref().and_then(|page| page.get(event));
                    self.seen
                        .add(&entry.map_or_else(About::unknown, About::new));
                }
            }
            *from = end;
        }
        Ok(Counted::More(self))
    }
}

impl Seen {
    fn add(&mut self, about: &About) {
        self.count += 1;
        let received = about.received;
        self.first = Some(self.first.map_or(received, |first| first.min(received)));
        self.last = Some(self.last.map_or(received, |last| last.max(received)));
        *self.events.entry(about.name.clone()).or_default() += 1;
        let Some(repo) = &about.repo else {
            return;
        };
        if let Some(count) = self.repositories.get_mut(repo) {
            *count += 1;
        } else if self.repositories.len() < REPOSITORIES {
            self.repositories.insert(repo.clone(), 1);
        } else {
            self.unlisted += 1;
        }
    }

    /// The payload that templates see.
    fn payload(&self, destination: &str) -> Value {
        let mut events: Vec<_> = self.events.iter().collect();
        events.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut repositories: Vec<_> = self.repositories.iter().collect();
        repositories.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let unnamed = repositories.iter().skip(NAMED).map(|(_, count)| **count);
        let unlisted = self.unlisted + unnamed.sum::<u64>();
        let events = events.iter().take(NAMED);
        let repositories = repositories.iter().take(NAMED);
        let events =
            events.map(|(name, count)| json!({ "name": name.replace('_', " "), "count": count }));
        let repositories =
            repositories.map(|(name, count)| json!({ "full_name": name, "count": count }));
        json!({
            "destination": destination,
            "count": self.count,
            "first": self.first.map(|time| time.to_string()),
            "last": self.last.map(|time| time.to_string()),
            "events": events.collect::<Vec<Value>>(),
            "repositories": repositories.collect::<Vec<Value>>(),
            "unlisted": unlisted,
        })
    }
}

impl Engine {
    fn counted_lane(&self) -> Option<LaneId> {
        let shared = self.shared();
        let mut lanes = shared.lanes.iter();
        let lane = lanes.find(|lane| lane.asides.iter().any(Aside::is_counted));
        lane.map(|lane| lane.id)
    }

    /// Parked deliveries are few, so they are counted at once.
    fn begin_tally(&self, id: LaneId) -> Tally {
        let mut shared = self.shared();
        let lane = shared.lane(id);
        let counted = lane.asides.iter().filter(|aside| aside.is_counted());
        let ranges: Vec<(u64, u64)> = counted.map(|aside| (aside.at, aside.to)).collect();
        let to = ranges.iter().map(|(_, to)| *to).max().unwrap_or(0);
        let parked = lane.parked.range(..to);
        let parked = parked.filter(|(_, parked)| parked.round == 1);
        let parked: Vec<u64> = parked.map(|(event, _)| *event).collect();
        let mut seen = Seen::default();
        for event in parked {
            if let Some(record) = self.record(&shared, event, id) {
                seen.add(&record.about);
            }
        }
        Tally {
            lane: id,
            ranges,
            seen,
        }
    }

    /// Appends the message as an event for this lane alone.
    fn append_summary(
        &self,
        id: LaneId,
        seen: &Seen,
    ) -> oneshot::Receiver<Result<Appended, QueueError>> {
        let now = self.clock.now();
        let (reply, answer) = oneshot::channel();
        let mut shared = self.shared();
        let lane = shared.lane(id);
        let destination = lane.destination.clone();
        let counted = lane.asides.iter().filter(|aside| aside.is_counted());
        let (from, since) = counted
            .map(|aside| (aside.from, aside.since))
            .min()
            .unwrap_or((0, now));
        let event = Event {
            source: SOURCE.into(),
            name: SUMMARY.into(),
            // The same after a crash, so that the message is appended once.
            delivery_id: format!("summary-{id}-{from}-{}", since.0).into(),
            received: now,
            body: Bytes::from(seen.payload(&destination).to_string()),
        };
        let facts = Facts {
            action: Some(format!("of {} events", seen.count)),
            ..Facts::default()
        };
        let plan = [Planned {
            lane: id,
            destination,
            route: None,
        }];
        let hashes = Hashes::of(&event);
        let entry = Entry {
            event,
            facts: Arc::new(facts),
            plan: Arc::new(plan),
        };
        shared.appends.push_back(Request {
            entry,
            hashes,
            repeats: Repeats {
                redelivery: Redelivery::None,
                same_body: None,
            },
            until: self.clock.elapsed() + PATIENCE,
            reply,
        });
        answer
    }

    /// The message is stored: what it sums up is skipped, and it goes before everything else.
    fn send_first(&self, id: LaneId, summary: u64) {
        let now = self.now();
        let mut shared = self.shared();
        let lane = shared.lane(id);
        for aside in lane.asides.iter_mut().filter(|aside| aside.is_counted()) {
            aside.fate = Fate::Summarised;
        }
        if lane.waits_in_log(summary) && lane.aside_of(summary).is_none() {
            let mut first = Aside::new(summary, summary + 1, Fate::Resumed, now.wall);
            first.count = 1;
            lane.asides.insert(0, first);
            lane.unread = lane.unread.saturating_sub(1);
            lane.skip_asides();
        }
        let write = lane.write(now);
        shared.settling = true;
        self.wake(&mut shared, id);
        self.push(&mut shared, vec![write]);
    }
}
