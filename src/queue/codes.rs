//! The numbers that stand for states, reasons and fates on disk. A number is never given twice.

use crate::delivery::{Reason, State};
use crate::queue::aside::Fate;

pub(super) fn of_reason(reason: Reason) -> u8 {
    match reason {
        Reason::Accepted => 1,
        Reason::EmptyMessage => 2,
        Reason::Summarised => 3,
        Reason::Timeout => 4,
        Reason::Refused => 5,
        Reason::Reset => 6,
        Reason::Dns => 7,
        Reason::Tls => 8,
        Reason::RateLimited => 9,
        Reason::ServerError => 10,
        Reason::ClientError => 11,
        Reason::Redirect => 12,
        Reason::ContentRefused => 13,
        Reason::EndpointRefused => 14,
        Reason::EndpointGone => 15,
        Reason::LongWait => 16,
        Reason::RenderFailed => 17,
        Reason::Poison => 18,
        Reason::GaveUp => 19,
        Reason::LaneFull => 20,
        Reason::Panic => 21,
        Reason::Manual => 22,
        Reason::Damaged => 23,
        Reason::LeftBehind => 24,
        Reason::Forbidden => 25,
    }
}

/// An unknown number is from a newer version that went wrong in a way we cannot name.
pub(super) fn reason(code: u8) -> Reason {
    match code {
        1 => Reason::Accepted,
        2 => Reason::EmptyMessage,
        3 => Reason::Summarised,
        4 => Reason::Timeout,
        5 => Reason::Refused,
        6 => Reason::Reset,
        7 => Reason::Dns,
        8 => Reason::Tls,
        9 => Reason::RateLimited,
        10 => Reason::ServerError,
        11 => Reason::ClientError,
        12 => Reason::Redirect,
        13 => Reason::ContentRefused,
        14 => Reason::EndpointRefused,
        15 => Reason::EndpointGone,
        16 => Reason::LongWait,
        17 => Reason::RenderFailed,
        18 => Reason::Poison,
        19 => Reason::GaveUp,
        20 => Reason::LaneFull,
        22 => Reason::Manual,
        23 => Reason::Damaged,
        24 => Reason::LeftBehind,
        25 => Reason::Forbidden,
        _ => Reason::Panic,
    }
}

/// `Sending` and `Held` are `Waiting` on disk: both follow from the lane.
pub(super) fn of_state(state: State) -> u8 {
    match state {
        State::Waiting | State::Sending | State::Held => 1,
        State::Delivered => 2,
        State::Skipped => 3,
        State::Dead => 4,
        State::Cancelled => 5,
        State::Unrouted => 6,
    }
}

pub(super) fn state(code: u8) -> Option<State> {
    Some(match code {
        1 => State::Waiting,
        2 => State::Delivered,
        3 => State::Skipped,
        4 => State::Dead,
        5 => State::Cancelled,
        6 => State::Unrouted,
        _ => return None,
    })
}

pub(super) fn of_fate(fate: Fate) -> u8 {
    match fate {
        Fate::KeptBack => 1,
        Fate::Resumed => 2,
        Fate::Counted => 3,
        Fate::Dead => 4,
        Fate::Cancelled => 5,
        Fate::Summarised => 6,
    }
}

/// Of an unknown one nothing is lost while it is kept back.
pub(super) fn fate(code: u8) -> Fate {
    match code {
        2 => Fate::Resumed,
        3 => Fate::Counted,
        4 => Fate::Dead,
        5 => Fate::Cancelled,
        6 => Fate::Summarised,
        _ => Fate::KeptBack,
    }
}
