//! A lane as it is stored. Versioned; old ones are fixtures in `tests/fixtures/stored/`. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::queue::aside::{Aside, Fate};
use crate::queue::chunk::{Damaged, MAX_VALUE};
use crate::queue::record::{Failing, FailingV1};
use crate::queue::trail::{Trail, TrailV1, cut};
use crate::queue::{Held, LastAttempt, codes, plain};

/// So much of the words about a hold is kept, in bytes.
pub(super) const HELD_WORDS: usize = 400;

/// 2 since lanes say how long they have had no destination, 3 since ranges beside the straight path
/// have a fate, 4 since how the last attempt ended is kept.
const VERSION: u8 = 4;

/// What is kept of a lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LaneValue {
    pub(super) destination: Arc<str>,
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
    /// The newest attempt of all.
    pub(super) last: Option<LastAttempt>,
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
            destination: &self.destination,
            cursor: self.cursor,
            ahead: self.ahead,
            kept_back: Vec::new(),
            settings: self.settings.to_le_bytes(),
            failing: self.failing.map(FailingV1::from),
            idle: self.idle,
            held: self.held.as_ref().map(|(held, probe)| HeldV1 {
                manual: held.manual,
                reason: codes::of_reason(held.reason),
                words: cut(&held.words, HELD_WORDS),
                since: held.since.0,
                probe: *probe,
            }),
            last_error: (self.last_error.as_deref()).map(|error| cut(error, 240)),
            head: self.head.as_ref().map(|head| HeadV1 {
                event: head.event,
                not_before: head.not_before.0,
                trail: TrailV1::from(&head.trail),
            }),
            dead: self.dead,
            history: self.history,
        };
        let orphaned = self.orphaned.map(|since| since.0);
        let lane = LaneV3 {
            asides: self.asides.iter().map(AsideV3::from).collect(),
            lane: LaneV2 { orphaned, lane },
        };
        let last = self.last.map(|last| LastV4 {
            status: last.status,
            reason: codes::of_reason(last.reason),
        });
        let stored = LaneV4 { last, lane };
        plain::write(VERSION, &stored)
    }

    pub(super) fn decode(value: &[u8]) -> Result<LaneValue, Damaged> {
        let (version, rest) = value.split_first().ok_or(Damaged)?;
        let LaneV4 { last, lane } = LaneV4::read(*version, rest)?;
        let LaneV3 { asides, lane } = lane;
        let LaneV2 {
            orphaned,
            lane: stored,
        } = lane;
        Ok(LaneValue {
            orphaned: orphaned.map(Timestamp),
            destination: stored.destination.into(),
            cursor: stored.cursor,
            ahead: stored.ahead,
            asides: asides.into_iter().map(Aside::from).collect(),
            settings: u64::from_le_bytes(stored.settings),
            failing: stored.failing.map(Failing::from),
            idle: stored.idle,
            held: stored.held.map(HeldV1::read),
            last_error: stored.last_error.map(Into::into),
            last: last.map(|last| LastAttempt {
                status: last.status,
                reason: codes::reason(last.reason),
            }),
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

#[derive(Serialize, Deserialize)]
struct LaneV4<'a> {
    last: Option<LastV4>,
    #[serde(borrow)]
    lane: LaneV3<'a>,
}

#[derive(Serialize, Deserialize)]
struct LastV4 {
    status: Option<u16>,
    reason: u8,
}

impl<'a> LaneV4<'a> {
    /// What a lane of any version has become.
    fn read(version: u8, rest: &'a [u8]) -> Result<LaneV4<'a>, Damaged> {
        let lane = match version {
            1 => LaneV3::from(LaneV2 {
                orphaned: None,
                lane: fields(rest)?,
            }),
            2 => LaneV3::from(fields::<LaneV2<'_>>(rest)?),
            3 => fields(rest)?,
            VERSION => return fields(rest),
            _ => return Err(Damaged),
        };
        Ok(LaneV4 { last: None, lane })
    }
}

fn fields<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Damaged> {
    postcard::from_bytes(bytes).map_err(|_| Damaged)
}

#[derive(Serialize, Deserialize)]
struct LaneV3<'a> {
    asides: Vec<AsideV3>,
    #[serde(borrow)]
    lane: LaneV2<'a>,
}

#[derive(Serialize, Deserialize)]
struct LaneV2<'a> {
    orphaned: Option<i64>,
    #[serde(borrow)]
    lane: LaneV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct LaneV1<'a> {
    destination: &'a str,
    cursor: u64,
    ahead: u64,
    /// From, to, and since when; empty in every lane that was ever written.
    kept_back: Vec<(u64, u64, i64)>,
    settings: [u8; 8],
    failing: Option<FailingV1>,
    idle: u64,
    #[serde(borrow)]
    held: Option<HeldV1<'a>>,
    #[serde(borrow)]
    last_error: Option<&'a str>,
    #[serde(borrow)]
    head: Option<HeadV1<'a>>,
    dead: u64,
    history: u64,
}

impl<'a> From<LaneV2<'a>> for LaneV3<'a> {
    fn from(lane: LaneV2<'a>) -> LaneV3<'a> {
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
struct HeldV1<'a> {
    manual: bool,
    reason: u8,
    words: &'a str,
    since: i64,
    probe: Option<u64>,
}

impl HeldV1<'_> {
    fn read(self) -> (Held, Option<u64>) {
        let held = Held {
            manual: self.manual,
            reason: codes::reason(self.reason),
            words: self.words.into(),
            since: Timestamp(self.since),
        };
        (held, self.probe)
    }
}

#[derive(Serialize, Deserialize)]
struct HeadV1<'a> {
    event: u64,
    not_before: i64,
    #[serde(borrow)]
    trail: TrailV1<'a>,
}
