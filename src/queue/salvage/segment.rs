//! The database's file as it lies on the disk: segments of 512 KiB, and in each one messages with
//! checksums of their own. Reads what sled 0.34 writes without asking sled, so that damage in one
//! place hides nothing in another, and nothing is ever written. Pure.

use std::collections::HashSet;
use std::ops::Range;

/// Bytes of a segment; the last one may be shorter.
pub(in crate::queue) const SEGMENT: usize = 512 << 10;
const HEADER: usize = 20;
/// No message begins so near the end of a segment.
const RED_ZONE: usize = 32;
/// No message is shorter.
const LEAST: usize = 8;

/// What a message does to the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All of a node of the tree.
    Node,
    /// One change to a node.
    Link,
    /// Nothing that concerns what is stored.
    Other,
    /// The rest of the segment is empty.
    Cap,
}

/// A message whose checksum is right.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The node it is about.
    pub(super) node: u64,
    /// It says all of its node: nothing that was said of it before is needed.
    is_whole: bool,
    /// Where it begins in its segment.
    pub(super) at: usize,
    pub(super) body: Range<usize>,
    /// Its segment's place in the order of writing.
    number: u64,
}

/// What is readable of a segment, in the order in which it was written.
#[derive(Debug)]
pub(in crate::queue) struct Segment {
    /// Its place in the order of writing; `None` when nothing in it says so.
    pub(in crate::queue) number: Option<u64>,
    pub(super) messages: Vec<Message>,
    /// What no readable message covers, up to the next one or to the end.
    pub(super) holes: Vec<Range<usize>>,
}

/// The place of the segment in the order of writing, as its head has it.
pub(in crate::queue) fn number(bytes: &[u8]) -> Option<u64> {
    let head: &[u8; HEADER] = bytes.first_chunk()?;
    let (crc, rest) = head.split_at(4);
    let crc = u32::from_le_bytes(crc.try_into().ok()?);
    let begins = u64::from_le_bytes(rest[..8].try_into().ok()?) ^ (u64::MAX >> 1);
    let good = crc32fast::hash(rest) == !crc && begins.is_multiple_of(SEGMENT as u64);
    good.then_some(begins / SEGMENT as u64)
}

impl Segment {
    /// Reads the messages of a segment, and goes on behind damage.
    pub(in crate::queue) fn read(bytes: &[u8]) -> Segment {
        let mut segment = Segment {
            number: number(bytes),
            messages: Vec::new(),
            holes: Vec::new(),
        };
        let mut at = HEADER;
        let mut hole = None;
        let last = bytes.len().saturating_sub(LEAST).min(SEGMENT - RED_ZONE);
        while at <= last {
            let message = Message::read(bytes, at);
            let ours = |message: &Message| segment.number.is_none_or(|own| own == message.number);
            match message.filter(ours) {
                Some(message) => {
                    segment.holes.extend(hole.take().map(|from| from..at));
                    segment.number = Some(message.number);
                    at = message.body.end;
                    let is_last = message.kind == Kind::Cap;
                    segment.messages.push(message);
                    if is_last {
                        return segment;
                    }
                }
                None => {
                    hole.get_or_insert(at);
                    at += 1;
                }
            }
        }
        segment.holes.extend(hole.map(|from| from..bytes.len()));
        segment
    }

    /// Where the last readable message ends.
    pub(in crate::queue) fn end(&self) -> usize {
        self.messages.last().map_or(HEADER, |last| last.body.end)
    }

    /// The nodes that it says something of, as far as can be read; nothing where not even the
    /// message says its node that the first hole begins with.
    pub(in crate::queue) fn nodes(&self, bytes: &[u8]) -> Option<HashSet<u64>> {
        let mut broken = None;
        if let Some(hole) = self.holes.first() {
            let (message, _) = Message::claimed(bytes, hole.start)?;
            if self.number != Some(message.number) {
                return None;
            }
            broken = Some(message);
        }
        let messages = self.messages.iter().chain(&broken);
        let nodes = messages.filter(|message| message.is_whole || message.kind == Kind::Link);
        Some(nodes.map(|message| message.node).collect())
    }

    /// The nodes that it says all of.
    pub(in crate::queue) fn whole_nodes(&self) -> impl Iterator<Item = u64> {
        let whole = self.messages.iter().filter(|message| message.is_whole);
        whole.map(|message| message.node)
    }

    /// Where a message cannot be read although later ones of the same segment can.
    pub(in crate::queue) fn first_break(&self) -> Option<usize> {
        let last = self.messages.last()?.at;
        let hole = self.holes.first()?;
        (hole.start < last).then_some(hole.start)
    }
}

impl Message {
    fn read(bytes: &[u8], at: usize) -> Option<Message> {
        let (message, crc) = Message::claimed(bytes, at)?;
        let (fields, body) = (at + 4..message.body.start, message.body.clone());
        let mut sum = crc32fast::Hasher::new();
        sum.update(&bytes[body]);
        sum.update(&bytes[fields]);
        (!sum.finalize() == crc).then_some(message)
    }

    /// What the bytes there say, and the checksum that it should have:
    /// `crc 4 | kind 1 | length | segment | node | body`, the three numbers of variable length.
    fn claimed(bytes: &[u8], at: usize) -> Option<(Message, u32)> {
        let rest = bytes.get(at..)?;
        let (crc, fields) = rest.split_at_checked(4)?;
        let code = *fields.first()?;
        let kind = match code {
            2 => Kind::Cap,
            8 => Kind::Node,
            10 => Kind::Link,
            1 | 3..=7 | 9 | 11 => Kind::Other,
            _ => return None,
        };
        let mut left = Reader(&fields[1..]);
        let length = usize::try_from(left.number()?).ok()?;
        let (number, node) = (left.number()?, left.number()?);
        left.take(length)?;
        let from = bytes.len() - left.0.len() - length;
        let message = Message {
            kind,
            node,
            is_whole: matches!(code, 4..=9),
            at,
            body: from..from + length,
            number,
        };
        Some((message, u32::from_le_bytes(crc.try_into().ok()?)))
    }
}

/// Reads sled's numbers and byte strings.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        match first {
            0..=240 => Some(u64::from(first)),
            241..=248 => Some(240 + 256 * u64::from(first - 241) + u64::from(self.byte()?)),
            249 => Some(2288 + 256 * u64::from(self.byte()?) + u64::from(self.byte()?)),
            _ => {
                let bytes = self.take(usize::from(first) - 247)?;
                let mut number = [0; 8];
                number[..bytes.len()].copy_from_slice(bytes);
                Some(u64::from_le_bytes(number))
            }
        }
    }

    /// A length, and so many bytes.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
