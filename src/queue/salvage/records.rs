//! Which records come back: history, dead letters, and what waits beside the log, each with the
//! copy of its event and the body as sent where those are whole; and the notes of other parts.

use std::collections::BTreeSet;

use anyhow::Context;

use crate::clock::Timestamp;
use crate::delivery::{Reason, State};
use crate::queue::chunk::{self, Kind, Of};
use crate::queue::key::{self, LaneId};
use crate::queue::open::copy_of;
use crate::queue::page;
use crate::queue::record::{About, ParkedNote, Record};
use crate::queue::salvage::rebuild::Rebuild;

impl Rebuild<'_> {
    /// Writes every record that can be read, with what belongs to it.
    pub(super) fn records(&mut self) -> anyhow::Result<()> {
        let tree = self.tree;
        let mut copied = None;
        for (key, found) in tree.range(key::all(b"d")) {
            let (event, lane) = key::of_record(key).context("a record's key")?;
            let Ok(record) = Record::decode(&tree.value(found)?) else {
                continue;
            };
            let needs_event = matches!(record.state, State::Waiting | State::Dead);
            if needs_event && copied != Some(event) && !self.is_in_a_page(event) {
                copied = Some(event);
                self.copy(copy_of(event))?;
            }
            self.write_record(event, lane, record)?;
        }
        Ok(())
    }

    /// Writes the notes of other parts as they are.
    pub(super) fn notes(&mut self) -> anyhow::Result<()> {
        for (key, found) in self.tree.range(key::all(b"n")) {
            self.out.put(key, &self.tree.value(found)?)?;
        }
        Ok(())
    }

    fn write_record(&mut self, event: u64, lane: LaneId, mut record: Record) -> anyhow::Result<()> {
        self.next = self.next.max(event + 1);
        let newest = record.trail.attempts.iter().map(|attempt| attempt.id).max();
        self.newest_attempt = self.newest_attempt.max(newest.unwrap_or(0));
        if record.sent > 0 {
            let of = Of {
                kind: Kind::Sent,
                sequence: event,
                lane,
            };
            record.sent = self.copy(of)?;
        }
        if record.state == State::Waiting {
            self.wait_beside(event, lane, &record)?;
        }
        self.count(event, lane, record.state);
        self.out.put(&key::record(event, lane), &record.encode())
    }

    /// A record that waits says how by a key of its own.
    fn wait_beside(&mut self, event: u64, lane: LaneId, record: &Record) -> anyhow::Result<()> {
        let key = key::parked(lane, event);
        let note = self.tree.get(&key)?;
        let note = note.filter(|note| ParkedNote::decode(note).is_ok());
        let was_tried = record.trail.tries > 0;
        let from_record = was_tried.then(|| {
            let note = ParkedNote {
                tries: record.trail.tries,
                answered: record.trail.answered,
                round: record.round,
                not_before: record.not_before.unwrap_or(self.now),
                failing: record.failing,
            };
            note.encode()
        });
        match note.or(from_record) {
            Some(note) => self.out.put(&key, &note),
            None => self.out.put(&key::redelivery(lane, event), &[]),
        }
    }

    fn count(&mut self, event: u64, lane: LaneId, state: State) {
        let lane = self.lanes.entry(lane).or_default();
        match state {
            State::Waiting | State::Sending | State::Held => lane.beside += 1,
            State::Dead => lane.dead += 1,
            _ => lane.history += 1,
        }
        if lane.is_ahead(event) {
            lane.ahead += 1;
        }
    }

    /// A delivery whose event is lost.
    pub(super) fn bury(
        &mut self,
        event: u64,
        lane: LaneId,
        received: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        let about = About {
            received: received.unwrap_or_default(),
            ..About::unknown()
        };
        let record = Record {
            state: State::Dead,
            reason: Some(Reason::Damaged),
            settled: Some(self.now),
            ..Record::waiting(about, None, 1)
        };
        self.count(event, lane, State::Dead);
        self.lanes.entry(lane).or_default().lost += 1;
        self.out.put(&key::record(event, lane), &record.encode())
    }

    /// Writes the chunks of something beside the log if they are whole; says how many.
    fn copy(&mut self, of: Of) -> anyhow::Result<u32> {
        if self.join(of)?.is_none() {
            return Ok(0);
        }
        let chunk_key = |n| key::body_chunk(of.sequence, of.lane, n);
        let first = self.tree.get(&chunk_key(0))?.unwrap_or_default();
        let chunks = chunk::count_from(&first)?;
        for n in 0..chunks {
            let chunk = self.tree.get(&chunk_key(n))?.context("a chunk")?;
            self.out.put(&chunk_key(n), &chunk)?;
        }
        Ok(chunks)
    }

    /// An event is copied for a delivery that waits or is a dead letter. Where its record is
    /// lost, nobody knows which: it comes back as a dead letter, which a person can send again.
    pub(super) fn copies_without_record(&mut self) -> anyhow::Result<()> {
        let tree = self.tree;
        let copies = tree.range(key::all(b"c")).filter_map(|(key, found)| {
            let (event, lane, n) = key::of_body_chunk(key)?;
            let is_there = !found.is_removed && !found.is_stray;
            (is_there && lane == 0 && n == 0).then_some(event)
        });
        for event in copies.collect::<BTreeSet<u64>>() {
            let needed = tree.range(key::record(event, 0)..key::record(event + 1, 0));
            if self.is_in_a_page(event) || needed.count() > 0 {
                continue;
            }
            let Some(raw) = self.join(copy_of(event))? else {
                continue;
            };
            let Some(entry) = page::decode(event, &raw)
                .ok()
                .and_then(|page| page.entries.into_iter().next())
            else {
                continue;
            };
            self.copy(copy_of(event))?;
            for planned in entry.plan.iter() {
                let record = Record {
                    state: State::Dead,
                    reason: Some(Reason::Damaged),
                    settled: Some(self.now),
                    ..Record::waiting(About::new(&entry), planned.route.clone(), 1)
                };
                self.count(event, planned.lane, State::Dead);
                self.out
                    .put(&key::record(event, planned.lane), &record.encode())?;
            }
        }
        Ok(())
    }
}
