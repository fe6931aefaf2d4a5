//! The keys of the one tree. Integers are big-endian, so that range order is event order.
//!
//! | key | value |
//! |---|---|
//! | `m`, name | a mark: format, next sequence, first sequence, attempt ids, alive |
//! | `h`, first | the head of a page, or its stub |
//! | `p`, first, n | a chunk of a page |
//! | `l`, lane | a lane |
//! | `d`, event, lane | the record of a delivery; lane 0: of an event without a route |
//! | `c`, event, lane, n | a chunk of a body as sent; lane 0: of an event's copy outside the log |
//! | `w`, lane, event | a redelivery waits here, untried |
//! | `k`, lane, event | a delivery is parked here |
//! | `g`, first | events from here on are missing |
//! | `n`, name | what another part keeps here |

use std::ops::Range;

pub(super) type Key = Vec<u8>;

/// Lanes count from 1; 0 stands for “no lane”.
pub(super) type LaneId = u32;

pub(super) fn mark(name: &str) -> Key {
    [b"m", name.as_bytes()].concat()
}

pub(super) fn head(first: u64) -> Key {
    [b"h".as_slice(), &first.to_be_bytes()].concat()
}

pub(super) fn page_chunk(first: u64, n: u32) -> Key {
    [b"p".as_slice(), &first.to_be_bytes(), &n.to_be_bytes()].concat()
}

pub(super) fn lane(id: LaneId) -> Key {
    [b"l".as_slice(), &id.to_be_bytes()].concat()
}

pub(super) fn record(event: u64, lane: LaneId) -> Key {
    [b"d".as_slice(), &event.to_be_bytes(), &lane.to_be_bytes()].concat()
}

pub(super) fn body_chunk(event: u64, lane: LaneId, n: u32) -> Key {
    let (event, lane, n) = (event.to_be_bytes(), lane.to_be_bytes(), n.to_be_bytes());
    [b"c".as_slice(), &event, &lane, &n].concat()
}

pub(super) fn redelivery(lane: LaneId, event: u64) -> Key {
    [b"w".as_slice(), &lane.to_be_bytes(), &event.to_be_bytes()].concat()
}

pub(super) fn parked(lane: LaneId, event: u64) -> Key {
    [b"k".as_slice(), &lane.to_be_bytes(), &event.to_be_bytes()].concat()
}

pub(super) fn missing(first: u64) -> Key {
    [b"g".as_slice(), &first.to_be_bytes()].concat()
}

pub(super) fn note(name: &str) -> Key {
    [b"n", name.as_bytes()].concat()
}

/// All keys that begin with `prefix`, which does not end in 0xff.
pub(super) fn all(prefix: &[u8]) -> Range<Key> {
    let mut end = prefix.to_vec();
    for at in (0..end.len()).rev() {
        if end[at] < u8::MAX {
            end[at] += 1;
            end.truncate(at + 1);
            break;
        }
    }
    prefix.to_vec()..end
}

/// The first sequence of a head's key.
pub(super) fn first_of_head(key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(b"h")?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

/// The first sequence of a page chunk's key.
pub(super) fn first_of_chunk(key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(b"p")?;
    Some(u64::from_be_bytes(rest.get(..8)?.try_into().ok()?))
}

/// Event and lane of a record's key.
pub(super) fn of_record(key: &[u8]) -> Option<(u64, LaneId)> {
    let rest: &[u8; 12] = key.strip_prefix(b"d")?.try_into().ok()?;
    let (event, lane) = rest.split_at(8);
    Some((
        u64::from_be_bytes(event.try_into().ok()?),
        u32::from_be_bytes(lane.try_into().ok()?),
    ))
}

/// Event, lane and number of a key made by [`body_chunk`].
pub(super) fn of_body_chunk(key: &[u8]) -> Option<(u64, LaneId, u32)> {
    let rest: &[u8; 16] = key.strip_prefix(b"c")?.try_into().ok()?;
    let (event, rest) = rest.split_at(8);
    let (lane, n) = rest.split_at(4);
    Some((
        u64::from_be_bytes(event.try_into().ok()?),
        u32::from_be_bytes(lane.try_into().ok()?),
        u32::from_be_bytes(n.try_into().ok()?),
    ))
}

/// The first sequence of a key made by [`missing`].
pub(super) fn first_of_missing(key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(b"g")?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

/// The name of a key made by [`note`].
pub(super) fn name_of_note(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(b"n")?).ok()
}

/// The event of a key made by [`redelivery`] or [`parked`].
pub(super) fn event_of_waiting(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(5..13)?.try_into().ok()?))
}
