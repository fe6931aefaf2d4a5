//! What happens when: lives of the relay, one after another over the same data, and what goes
//! wrong during each. Drawn from a seed alone.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use super::settings::{NAMES, VARIANTS};

/// A run of the relay.
#[derive(Clone, Debug)]
pub struct Life {
    pub body: Body,
    pub lasts: Duration,
    pub end: End,
    /// When, after the start, and what; in that order.
    pub actions: Vec<(Duration, Action)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The real binary.
    Binary,
    /// Inside the test, with a wall clock so many milliseconds off.
    Inside { wall_off: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`.
    Kill,
    /// SIGTERM, or the like of it.
    Orderly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A destination misbehaves so from now on.
    Fault(&'static str, Fault),
    Hold(&'static str),
    Resume(&'static str),
    /// Another relay.yaml; one of [`VARIANTS`].
    Reload(usize),
    /// The wall clock jumps by so many milliseconds.
    Jump(i64),
    /// So many bytes are left on the disk.
    Disk(u64),
    DiskHasRoom,
    /// Somebody cancels what waits at the head of a lane.
    Cancel(&'static str),
    /// Somebody resumes a lane for what is newer than half a second alone; the rest is kept, dead
    /// or summed up.
    Leave(&'static str, &'static str),
    /// Somebody discards all that waits.
    Discard(&'static str),
    /// Somebody sends all dead letters again.
    Redeliver(&'static str),
}

/// How a destination answers, three times in four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// This status.
    Status(u16),
    /// 429, and a second to wait.
    TooMany,
    /// The connection closes without an answer.
    Closes,
    /// A 200 whose body breaks off.
    Cut,
    /// No answer at all.
    Silent,
    /// The right answer, late, but in time.
    Slow,
    /// The message's form is refused; a plain one passes.
    Picky,
    /// The destination is gone: a hold.
    Gone,
}

const HOUR: i64 = 3_600_000;
/// Below `limits.free_disk` of the relay.yaml used here.
const LOW: u64 = 4 << 20;

const FAULTS: [Fault; 13] = [
    Fault::None,
    Fault::None,
    Fault::Status(500),
    Fault::Status(503),
    Fault::Status(302),
    Fault::Status(408),
    Fault::TooMany,
    Fault::Closes,
    Fault::Cut,
    Fault::Silent,
    Fault::Slow,
    Fault::Picky,
    Fault::Gone,
];

/// Lives that together last about so long.
pub fn draw(dice: &mut Dice, lasts: Duration, has_disk: bool) -> Vec<Life> {
    let mut lives = Vec::new();
    let mut left = lasts;
    while !left.is_zero() {
        let life = life(dice, has_disk);
        left = left.saturating_sub(life.lasts);
        lives.push(life);
    }
    lives
}

fn life(dice: &mut Dice, has_disk: bool) -> Life {
    let body = match dice.below(4) {
        0 => Body::Inside {
            wall_off: *dice.of(&[0, HOUR, -HOUR]),
        },
        _ => Body::Binary,
    };
    let end = match (body, dice.below(3)) {
        (Body::Inside { .. }, _) | (_, 0) => End::Orderly,
        _ => End::Kill,
    };
    let lasts = Duration::from_millis(dice.between(300, 2500));
    let mut actions = Vec::new();
    for _ in 0..dice.between(1, 8) {
        let at = Duration::from_millis(dice.below(lasts.as_millis() as u64));
        actions.push((at, action(dice, body)));
    }
    if has_disk && dice.percent(20) {
        let at = Duration::from_millis(dice.below(300));
        let until = at + Duration::from_millis(dice.between(100, 900));
        actions.push((at, Action::Disk(*dice.of(&[LOW, 0]))));
        actions.push((until, Action::DiskHasRoom));
    }
    actions.sort_by_key(|(at, _)| *at);
    Life {
        body,
        lasts,
        end,
        actions,
    }
}

fn action(dice: &mut Dice, body: Body) -> Action {
    let name = *dice.of(&NAMES);
    match (dice.below(15), body) {
        (0, _) => Action::Hold(name),
        (1..=2, _) => Action::Resume(name),
        (3..=4, _) => Action::Reload(dice.below(VARIANTS as u64) as usize),
        (5, _) => Action::Cancel(name),
        (6, _) => Action::Leave(name, dice.of::<&str>(&["keep", "dead", "summary"])),
        (7, _) if dice.percent(30) => Action::Discard(name),
        (7, _) => Action::Redeliver(name),
        (8..=9, Body::Inside { .. }) => Action::Jump(*dice.of(&[HOUR, -HOUR])),
        _ => Action::Fault(name, *dice.of(&FAULTS)),
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (body, lasts, end) = (self.body, self.lasts, self.end);
        write!(f, "{body:?} for {lasts:?}, then {end:?}:")?;
        for (at, action) in &self.actions {
            write!(f, " {} ms {action:?};", at.as_millis())?;
        }
        Ok(())
    }
}
