//! A lane as it is stored. Versioned; old ones are fixtures in `tests/fixtures/stored/`. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::queue::Held;
use crate::queue::aside::{Aside, Fate};
use crate::queue::chunk::{Damaged, MAX_VALUE};
use crate::queue::codes;
use crate::queue::key::{self, Key, LaneId};
use crate::queue::lane::{Hold, Lane, Now, Out, Probe};
use crate::queue::record::{Failing, FailingV1};
use crate::queue::trail::{Trail, TrailV1, cut};

/// So much of the words about a hold is kept, in bytes.
pub(super) const HELD_WORDS: usize = 400;

/// 2 since lanes say how long they have had no destination, 3 since ranges beside the straight path
/// have a fate.
const VERSION: u8 = 3;

/// What is kept of a lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LaneValue {
    pub(super) destination: String,
    /// The oldest unsettled sequence of the log.
    pub(super) cursor: u64,
    /// So many deliveries from the cursor on have a record already.
    pub(super) ahead: u64,
    /// Ranges of the log beside the straight path.
    pub(super) asides: Vec<Aside>,
    pub(super) settings: u64,
    pub(super) failing: Option<Failing>,
    /// How long the lane has stood still by holds, without a destination and by downtime, in
    /// milliseconds.
    pub(super) idle: u64,
    pub(super) orphaned: Option<Timestamp>,
    /// With the wait before a probe, if it is probed, in milliseconds.
    pub(super) held: Option<(Held, Option<u64>)>,
    pub(super) last_error: Option<String>,
    pub(super) head: Option<StoredHead>,
    /// Dead letters and other settled deliveries that are kept.
    pub(super) dead: u64,
    pub(super) history: u64,
}

/// The lane's oldest delivery after it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredHead {
    pub(super) event: u64,
    pub(super) not_before: Timestamp,
    pub(super) trail: Trail,
}

impl LaneValue {
    /// At most [`MAX_VALUE`] bytes; what does not fit loses detail.
    pub(super) fn encode(mut self) -> Vec<u8> {
        let mut value = self.write();
        for _ in 0..100 {
            if value.len() <= MAX_VALUE {
                break;
            }
            match &mut self.head {
                Some(head) => head.trail.shrink(value.len() - MAX_VALUE),
                None => break,
            }
            value = self.write();
        }
        value
    }

    fn write(&self) -> Vec<u8> {
        let lane = LaneV1 {
            destination: self.destination.clone(),
            cursor: self.cursor,
            ahead: self.ahead,
            kept_back: Vec::new(),
            settings: self.settings.to_le_bytes(),
            failing: self.failing.map(FailingV1::from),
            idle: self.idle,
            held: self.held.as_ref().map(|(held, probe)| HeldV1 {
                manual: held.manual,
                reason: codes::of_reason(held.reason),
                words: cut(&held.words, HELD_WORDS).to_owned(),
                since: held.since.0,
                probe: *probe,
            }),
            last_error: (self.last_error.as_deref()).map(|error| cut(error, 240).to_owned()),
            head: self.head.as_ref().map(|head| HeadV1 {
                event: head.event,
                not_before: head.not_before.0,
                trail: TrailV1::from(&head.trail),
            }),
            dead: self.dead,
            history: self.history,
        };
        let orphaned = self.orphaned.map(|since| since.0);
        let stored = LaneV3 {
            asides: self.asides.iter().map(AsideV3::from).collect(),
            lane: LaneV2 { orphaned, lane },
        };
        // Writing plain data to memory cannot fail.
        postcard::to_extend(&stored, vec![VERSION]).unwrap_or_default()
    }

    pub(super) fn decode(value: &[u8]) -> Result<LaneValue, Damaged> {
        let (version, rest) = value.split_first().ok_or(Damaged)?;
        let LaneV3 { asides, lane } = match *version {
            1 => LaneV3::from(LaneV2 {
                orphaned: None,
                lane: postcard::from_bytes(rest).map_err(|_| Damaged)?,
            }),
            2 => LaneV3::from(postcard::from_bytes::<LaneV2>(rest).map_err(|_| Damaged)?),
            VERSION => postcard::from_bytes(rest).map_err(|_| Damaged)?,
            _ => return Err(Damaged),
        };
        let LaneV2 {
            orphaned,
            lane: stored,
        } = lane;
        Ok(LaneValue {
            orphaned: orphaned.map(Timestamp),
            destination: stored.destination,
            cursor: stored.cursor,
            ahead: stored.ahead,
            asides: asides.into_iter().map(Aside::from).collect(),
            settings: u64::from_le_bytes(stored.settings),
            failing: stored.failing.map(Failing::from),
            idle: stored.idle,
            held: stored.held.map(HeldV1::read),
            last_error: stored.last_error,
            head: stored.head.map(|head| StoredHead {
                event: head.event,
                not_before: Timestamp(head.not_before),
                trail: head.trail.into(),
            }),
            dead: stored.dead,
            history: stored.history,
        })
    }
}

impl Lane {
    /// The lane as it was stored; what waits is counted by the caller.
    pub(super) fn from_value(id: LaneId, value: LaneValue, now: Now) -> Lane {
        let mut lane = Lane::new(id, value.destination.into(), value.cursor);
        lane.settings = value.settings;
        lane.failing = value.failing;
        lane.idle = value.idle;
        lane.orphaned = value.orphaned;
        lane.asides = value.asides;
        lane.last_error = value.last_error;
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
            destination: self.destination.to_string(),
            cursor,
            ahead: self.ahead_of_log(),
            asides: self.asides.iter().map(|aside| self.stored(aside)).collect(),
            settings: self.settings,
            failing: self.failing,
            idle: self.idle,
            orphaned: self.orphaned,
            held,
            last_error: self.last_error.clone(),
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

#[derive(Serialize, Deserialize)]
struct LaneV3 {
    asides: Vec<AsideV3>,
    lane: LaneV2,
}

#[derive(Serialize, Deserialize)]
struct LaneV2 {
    orphaned: Option<i64>,
    lane: LaneV1,
}

#[derive(Serialize, Deserialize)]
struct LaneV1 {
    destination: String,
    cursor: u64,
    ahead: u64,
    /// From, to, and since when; empty in every lane that was ever written.
    kept_back: Vec<(u64, u64, i64)>,
    settings: [u8; 8],
    failing: Option<FailingV1>,
    idle: u64,
    held: Option<HeldV1>,
    last_error: Option<String>,
    head: Option<HeadV1>,
    dead: u64,
    history: u64,
}

impl From<LaneV2> for LaneV3 {
    fn from(lane: LaneV2) -> LaneV3 {
        let kept_back = lane.lane.kept_back.iter().map(|(from, to, since)| AsideV3 {
            from: *from,
            to: *to,
            count: to.saturating_sub(*from),
            fate: codes::of_fate(Fate::KeptBack),
            since: *since,
        });
        LaneV3 {
            asides: kept_back.collect(),
            lane,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct AsideV3 {
    from: u64,
    to: u64,
    count: u64,
    fate: u8,
    since: i64,
}

impl From<&Aside> for AsideV3 {
    fn from(aside: &Aside) -> AsideV3 {
        AsideV3 {
            from: aside.from,
            to: aside.to,
            count: aside.count,
            fate: codes::of_fate(aside.fate),
            since: aside.since.0,
        }
    }
}

impl From<AsideV3> for Aside {
    fn from(stored: AsideV3) -> Aside {
        let fate = codes::fate(stored.fate);
        Aside {
            count: stored.count,
            ..Aside::new(stored.from, stored.to, fate, Timestamp(stored.since))
        }
    }
}

#[derive(Serialize, Deserialize)]
struct HeldV1 {
    manual: bool,
    reason: u8,
    words: String,
    since: i64,
    probe: Option<u64>,
}

impl HeldV1 {
    fn read(self) -> (Held, Option<u64>) {
        let held = Held {
            manual: self.manual,
            reason: codes::reason(self.reason),
            words: self.words,
            since: Timestamp(self.since),
        };
        (held, self.probe)
    }
}

#[derive(Serialize, Deserialize)]
struct HeadV1 {
    event: u64,
    not_before: i64,
    trail: TrailV1,
}
