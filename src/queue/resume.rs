//! Ending a hold: for everything, or for what is newer than a time, with the rest kept back,
//! buried or summed up. The rest is one range of the log, whatever its size, and is decided with
//! one write.

use std::ops::Range;
use std::sync::Arc;

use tracing::info;

use crate::clock::Timestamp;
use crate::delivery::Reason;
use crate::queue::aside::{ASIDES, Aside, Fate};
use crate::queue::engine::Engine;
use crate::queue::key::{self, LaneId};
use crate::queue::lane::Lane;
use crate::queue::store::Fault;
use crate::queue::{QueueError, Rest, Resume};

/// So many records are looked at in a step.
const STEP: usize = 1024;

impl Engine {
    pub(super) async fn resume(
        self: &Arc<Engine>,
        destination: &str,
        how: Resume,
    ) -> Result<u64, QueueError> {
        let _turn = self.operating.lock().await;
        let id = self.shared().lane_id(destination)?;
        let (left, stamp) = match how.newer_than {
            None => self.go_on(id, |lane, now| lane.resume_asides(how.rest, now)),
            Some(than) => {
                let _pause = Pause::begin(self, id);
                let before = self.blocking(move |engine| engine.first_after(id, than));
                let before = before.await?.map_err(|_| QueueError::Unavailable)?;
                let rest = how.rest.unwrap_or(Rest::Keep);
                let tried = match rest {
                    Rest::Dead => self.bury_tried(id, before).await?,
                    Rest::Keep | Rest::Summary => 0,
                };
                let (left, stamp) = self.leave_behind(id, before, rest).await?;
                (left + tried, stamp)
            }
        };
        info!(
            destination.name = destination,
            left_behind = left,
            "{destination} is resumed; {left} deliveries stay behind"
        );
        self.durable(stamp).await?;
        Ok(left)
    }

    /// The first event of the log received after this moment, among what the lane still needs.
    fn first_after(&self, id: LaneId, than: Timestamp) -> Result<u64, Fault> {
        let (floor, end) = {
            let mut shared = self.shared();
            let end = shared.log.next;
            (shared.lane(id).floor(), end)
        };
        let mut first = end;
        self.heads_while(floor, |head| {
            let mut events = floor.max(head.first)..head.range().end.min(end);
            let found = events.find(|event| head.received(*event) > Some(than));
            first = found.unwrap_or(first);
            found.is_none()
        })?;
        Ok(first)
    }

    /// Buries what failed before and waits to be tried again, with its attempts.
    async fn bury_tried(self: &Arc<Engine>, id: LaneId, before: u64) -> Result<u64, QueueError> {
        let tried: Vec<u64> = {
            let mut shared = self.shared();
            let out = shared.lane(id).out.range(..before);
            let tried = out.filter(|(_, out)| out.is_retried());
            tried.map(|(event, _)| *event).collect()
        };
        let mut buried = 0;
        for event in tried {
            let entry = self.blocking(move |engine| engine.entry(event)).await?;
            if let Ok(Some(entry)) = entry {
                self.bury_out(id, event, Reason::LeftBehind, &entry);
                buried += 1;
            }
        }
        Ok(buried)
    }

    /// Decides on everything in the log before `before`; says how many deliveries that were, and
    /// the stamp of what is written.
    async fn leave_behind(
        self: &Arc<Engine>,
        id: LaneId,
        before: u64,
        rest: Rest,
    ) -> Result<(u64, u64), QueueError> {
        self.shared().lane(id).put_back(before);
        loop {
            let ranges = self.shared().lane(id).undecided(before);
            let wanted = ranges.clone();
            let counts = self.blocking(move |engine| engine.count_in(id, wanted));
            let counts = counts.await?.map_err(|_| QueueError::Unavailable)?;
            let counted: Vec<(Range<u64>, u64)> = ranges.iter().cloned().zip(counts).collect();
            {
                let mut shared = self.shared();
                let lane = shared.lane(id);
                if lane.asides.len() + ranges.len() >= ASIDES {
                    let words = "too many ranges are kept back; resume or discard those first";
                    return Err(QueueError::Refused(words.into()));
                }
                // A full log may have taken some meanwhile.
                if lane.undecided(before) != ranges {
                    continue;
                }
            }
            return Ok(self.go_on(id, |lane, now| {
                lane.leave_behind(before, counted, rest, now)
            }));
        }
    }

    /// Ends any hold, and lets `decide` say how many deliveries stay behind; their number, and
    /// the stamp of what is written.
    fn go_on(&self, id: LaneId, decide: impl FnOnce(&mut Lane, Timestamp) -> u64) -> (u64, u64) {
        let now = self.now();
        let mut shared = self.shared();
        let lane = shared.lane(id);
        let left = decide(lane, now.wall);
        lane.end_hold(now);
        let write = lane.write(now);
        self.wake(&mut shared, id);
        (left, self.push(&mut shared, vec![write]))
    }

    /// How many deliveries wait for the lane in each range of the log. Reads heads, and the
    /// records of ranges that were left behind before.
    fn count_in(&self, id: LaneId, ranges: Vec<Range<u64>>) -> Result<Vec<u64>, Fault> {
        let mut counts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut events = 0;
            self.heads_while(range.start, |head| {
                let mut within = range.start.max(head.first)..range.end.min(head.range().end);
                events += (&mut within)
                    .filter(|event| head.goes_to(*event, id))
                    .count() as u64;
                head.range().end < range.end
            })?;
            counts.push(events.saturating_sub(self.gone_in(id, range)?));
        }
        Ok(counts)
    }

    /// How many of the lane's deliveries in the range do not wait there any more.
    fn gone_in(&self, id: LaneId, range: Range<u64>) -> Result<u64, Fault> {
        let (out, ahead, was_aside) = {
            let mut shared = self.shared();
            let lane = shared.lane(id);
            let out = lane.out.range(range.clone()).count();
            let ahead = lane.ahead.range(range.clone()).count();
            (out, ahead, lane.aside_of(range.start).is_some())
        };
        if !was_aside {
            return Ok((out + ahead) as u64);
        }
        let mut gone = out as u64;
        let mut keys = key::record(range.start, 0)..key::record(range.end, 0);
        loop {
            let some = self.scan_apart(keys.clone(), STEP)?;
            let ours = some.iter().filter_map(|(key, _)| key::of_record(key));
            gone += ours.filter(|(_, lane)| *lane == id).count() as u64;
            match some.last() {
                Some((last, _)) => keys.start = [last.as_slice(), &[0]].concat(),
                None => return Ok(gone),
            }
        }
    }
}

impl Lane {
    /// What failed before `before`, and is not under way, is unread again.
    fn put_back(&mut self, before: u64) {
        let out = self.out.range(..before);
        let idle = out.filter(|(_, out)| out.leased.is_none());
        for event in idle.map(|(event, _)| *event).collect::<Vec<u64>>() {
            self.out.remove(&event);
            match self.aside_of_mut(event) {
                Some(aside) => {
                    aside.at = aside.at.min(event);
                    aside.count += 1;
                }
                None => {
                    self.read = self.read.min(event);
                    self.unread += 1;
                }
            }
        }
    }

    /// The ranges before `before` that no decision covers as a whole: the first part of one that
    /// it cuts through, and what lies between those that there are.
    fn undecided(&self, before: u64) -> Vec<Range<u64>> {
        let open = self.asides.iter().filter(|aside| aside.fate.is_open());
        let cut = open.filter(|aside| aside.at < before && before < aside.to);
        let mut ranges: Vec<Range<u64>> = cut.map(|aside| aside.at..before).collect();
        let mut asides: Vec<&Aside> = self.asides.iter().collect();
        asides.sort_by_key(|aside| aside.from);
        // What is under way shares the fate of the rest, should it fail.
        let mut out = self.out.range(..before).map(|(event, _)| *event);
        let out = out.find(|event| self.aside_of(*event).is_none());
        let mut from = out.map_or(self.read, |out| self.read.min(out));
        for aside in asides {
            if from < aside.from.min(before) {
                ranges.push(from..aside.from.min(before));
            }
            from = from.max(aside.to);
        }
        if from < before {
            ranges.push(from..before);
        }
        ranges
    }

    /// Leaves behind what waits before `before`, and lets the rest go on; says how much that is.
    fn leave_behind(
        &mut self,
        before: u64,
        counted: Vec<(Range<u64>, u64)>,
        rest: Rest,
        now: Timestamp,
    ) -> u64 {
        let mut left = self.parked_before(before);
        let mut asides = Vec::with_capacity(self.asides.len() + counted.len());
        for mut aside in std::mem::take(&mut self.asides) {
            let cut = counted.iter().find(|(range, _)| aside.holds(range.start));
            if !aside.fate.is_open() {
                asides.push(aside);
                continue;
            }
            if let Some((_, count)) = cut {
                let (front, back) = aside.cut(before, *count);
                asides.push(front.left_to(rest, now));
                aside = back;
                left += count;
            } else if aside.at < before {
                left += aside.count;
                asides.push(aside.left_to(rest, now));
                continue;
            }
            aside.fate = Fate::Resumed;
            asides.push(aside);
        }
        let is_straight = |start: u64| asides.iter().all(|aside| !aside.holds(start));
        let straight = counted
            .into_iter()
            .filter(|(range, _)| is_straight(range.start));
        for (range, count) in straight.collect::<Vec<_>>() {
            let mut aside = Aside::new(range.start, range.end, Fate::KeptBack, now);
            aside.count = count;
            asides.push(aside.left_to(rest, now));
            self.unread = self.unread.saturating_sub(count);
            left += count;
        }
        if self.parked_before(before) > 0 {
            // Parked deliveries share the fate of a range that ends behind them.
            let end = Aside::new(before, before, Fate::KeptBack, now);
            asides.push(end.left_to(rest, now));
        }
        self.read = self.read.max(before);
        self.asides = asides;
        left
    }

    /// What was kept back goes first now, or is left to another fate; says how much stays behind.
    fn resume_asides(&mut self, rest: Option<Rest>, now: Timestamp) -> u64 {
        let parked = self.kept_back().map_or(0, |(count, _)| count);
        let mut left = 0;
        for aside in &mut self.asides {
            match (aside.fate, rest) {
                (Fate::KeptBack, None) => aside.fate = Fate::Resumed,
                (Fate::KeptBack, Some(rest)) => {
                    left = parked;
                    *aside = aside.clone().left_to(rest, now);
                }
                _ => {}
            }
        }
        left
    }

    fn parked_before(&self, before: u64) -> u64 {
        let parked = self.parked.range(..before);
        parked.filter(|(_, parked)| parked.round == 1).count() as u64
    }
}

impl Rest {
    fn fate(self) -> Fate {
        match self {
            Rest::Keep => Fate::KeptBack,
            Rest::Dead => Fate::Dead,
            Rest::Summary => Fate::Counted,
        }
    }
}

impl Aside {
    /// The part before `before`, in which so many wait, and the part from there on.
    fn cut(self, before: u64, count: u64) -> (Aside, Aside) {
        let front = Aside {
            to: before,
            count: count.min(self.count),
            ..self.clone()
        };
        let back = Aside {
            from: before,
            at: before,
            count: self.count - front.count,
            ..self
        };
        (front, back)
    }

    /// What is kept back once more keeps its time.
    fn left_to(self, rest: Rest, now: Timestamp) -> Aside {
        let is_same = self.fate == rest.fate();
        Aside {
            fate: rest.fate(),
            since: if is_same { self.since } else { now },
            ..self
        }
    }
}

/// A lane stands still while its fate is worked out.
struct Pause {
    engine: Arc<Engine>,
    lane: LaneId,
}

impl Pause {
    fn begin(engine: &Arc<Engine>, lane: LaneId) -> Pause {
        engine.shared().lane(lane).paused = true;
        Pause {
            engine: engine.clone(),
            lane,
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut shared = self.engine.shared();
        shared.lane(self.lane).paused = false;
        self.engine.wake(&mut shared, self.lane);
    }
}
