//! A lane out of what is stored of it, and back. Does no IO.

use std::time::Duration;

use crate::queue::aside::{Aside, Fate};
use crate::queue::key::{self, Key, LaneId};
use crate::queue::lane::{Hold, Lane, Now, Out, Probe};
use crate::queue::lane_value::{LaneValue, StoredHead};
use crate::queue::trail::Trail;

impl Lane {
    /// The lane as it was stored; what waits is counted by the caller.
    pub(super) fn from_value(id: LaneId, value: LaneValue, now: Now) -> Lane {
        let mut lane = Lane::new(id, value.destination, value.cursor);
        lane.settings = value.settings;
        lane.failing = value.failing;
        lane.idle = value.idle;
        lane.orphaned = value.orphaned;
        lane.asides = value.asides;
        lane.last_error = value.last_error;
        lane.last = value.last;
        lane.dead = value.dead;
        lane.history = value.history;
        lane.written_floor = lane.floor();
        lane.stored_ahead = value.ahead;
        lane.held = value.held.map(|(held, probe)| {
            let wait = probe.map(Duration::from_millis);
            let probe = wait.map(|wait| Probe {
                wait,
                at: now.elapsed + wait,
            });
            Hold { held, probe }
        });
        if let Some(head) = value.head
            && lane.take_back_head(head.event)
        {
            let out = Out {
                not_before: now.elapsed + head.not_before.since(now.wall),
                trail: head.trail,
                leased: None,
            };
            lane.out.insert(head.event, out);
        }
        lane
    }

    /// What is to be written of it now; moves the written cursor.
    pub(super) fn write(&mut self, now: Now) -> (Key, Option<Vec<u8>>) {
        self.drop_empty_asides();
        let cursor = self.cursor();
        self.ahead = self.ahead.split_off(&cursor);
        self.written_floor = self.floor();
        let head = self.out.iter().find(|(_, out)| out.trail.tries > 0);
        let head = head.map(|(event, out)| StoredHead {
            event: *event,
            not_before: now.wall_at(out.not_before),
            trail: Trail {
                sent: None,
                ..out.trail.clone()
            },
        });
        let held = self.held.as_ref().map(|hold| {
            let wait = hold.probe.map(|probe| probe.wait.as_millis() as u64);
            (hold.held.clone(), wait)
        });
        let value = LaneValue {
            destination: self.destination.clone(),
            cursor,
            ahead: self.ahead_of_log(),
            asides: self.asides.iter().map(|aside| self.stored(aside)).collect(),
            settings: self.settings,
            failing: self.failing,
            idle: self.idle,
            orphaned: self.orphaned,
            held,
            last_error: self.last_error.clone(),
            last: self.last,
            head,
            dead: self.dead,
            history: self.history,
        };
        (key::lane(self.id), Some(value.encode()))
    }
}

impl Lane {
    /// Whether the stored head is still what the lane, or a range that goes first, begins with.
    fn take_back_head(&mut self, event: u64) -> bool {
        if self.read == event {
            self.read += 1;
            return true;
        }
        let mut asides = self.asides.iter_mut();
        let resumed = asides.find(|aside| aside.fate == Fate::Resumed && aside.at == event);
        let Some(aside) = resumed else {
            return false;
        };
        aside.at += 1;
        aside.count = aside.count.saturating_sub(1);
        true
    }

    /// So many deliveries from the cursor on have a record and lie in no range of their own.
    fn ahead_of_log(&self) -> u64 {
        let in_log = |event: &&u64| self.aside_of(**event).is_none();
        self.ahead.iter().filter(in_log).count() as u64
    }

    /// A range as it would be found after a crash: what is out waits again.
    fn stored(&self, aside: &Aside) -> Aside {
        let out = self.out.range(aside.from..aside.to);
        let out = out.filter(|_| aside.fate.waits()).count() as u64;
        Aside {
            at: aside.from,
            count: aside.count + out,
            ..aside.clone()
        }
    }
}
