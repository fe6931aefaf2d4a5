//! What is too large to be held twice: compressed in blocks while it is cut into chunks, and
//! unpacked block by block while it is read. Pure.

use bytes::Bytes;

use crate::buffer::Buffer;
use crate::queue::chunk::{Damaged, MAX_RATIO, ROOM};

/// A block is so many bytes before they are compressed, or fewer.
const BLOCK: usize = 64 << 10;
/// Before each block: its length unpacked, and its length, both of 4 bytes.
const FRAME: usize = 8;

/// Bytes that are compressed each time they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Large {
    parts: [Bytes; 2],
    /// Their length in blocks.
    pub(super) packed: u32,
    pub(super) raw: u32,
}

impl Large {
    /// Compresses all of it once, only to learn how long it becomes.
    pub(super) fn new(parts: [Bytes; 2]) -> Large {
        let packed: usize = blocks(&parts).map(|block| block.len()).sum();
        let raw: usize = parts.iter().map(Bytes::len).sum();
        Large {
            parts,
            packed: packed as u32,
            raw: raw as u32,
        }
    }

    /// Its blocks, one after the other, cut where chunks end.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut blocks = blocks(&self.parts);
        let mut ready = Vec::new();
        let mut at = 0;
        std::iter::from_fn(move || {
            while ready.len() - at < ROOM
                && let Some(block) = blocks.next()
            {
                ready.drain(..at);
                at = 0;
                ready.extend_from_slice(&block);
            }
            let piece = &ready[at..ready.len().min(at + ROOM)];
            at += piece.len();
            (!piece.is_empty()).then(|| piece.to_vec())
        })
    }
}

fn blocks(parts: &[Bytes]) -> impl Iterator<Item = Vec<u8>> {
    let raw = parts.iter().flat_map(|part| part.chunks(BLOCK));
    raw.map(|raw| {
        let packed = lz4_flex::block::compress(raw);
        let lengths = [raw.len() as u32, packed.len() as u32].map(u32::to_le_bytes);
        [lengths.as_flattened(), &packed].concat()
    })
}

/// Blocks being put together again.
pub(super) struct Unpacking {
    raw: Buffer,
    length: usize,
    filled: usize,
    /// What came of the next block.
    ready: Vec<u8>,
}

impl Unpacking {
    /// Of something that takes `packed` bytes in blocks, and `length` unpacked.
    pub(super) fn new(packed: usize, length: usize) -> Result<Unpacking, Damaged> {
        if length > packed.saturating_mul(MAX_RATIO) {
            return Err(Damaged);
        }
        Ok(Unpacking {
            raw: Buffer::new(length).map_err(|_| Damaged)?,
            length,
            filled: 0,
            ready: Vec::new(),
        })
    }

    /// Takes the next piece.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), Damaged> {
        self.ready.extend_from_slice(piece);
        while let Some((frame, rest)) = self.ready.split_at_checked(FRAME) {
            let length = |at: usize| {
                let bytes = [frame[at], frame[at + 1], frame[at + 2], frame[at + 3]];
                u32::from_le_bytes(bytes) as usize
            };
            let (raw, packed) = (length(0), length(4));
            if raw > BLOCK || packed > 2 * BLOCK {
                return Err(Damaged);
            }
            let Some(block) = rest.get(..packed) else {
                break;
            };
            let room = self.raw.bytes_mut().get_mut(self.filled..self.filled + raw);
            let unpacked = lz4_flex::block::decompress_into(block, room.ok_or(Damaged)?);
            if !unpacked.is_ok_and(|length| length == raw) {
                return Err(Damaged);
            }
            self.filled += raw;
            self.ready.drain(..FRAME + packed);
        }
        Ok(())
    }

    /// All of it, once every piece was taken.
    pub(super) fn finish(self) -> Result<Bytes, Damaged> {
        let is_whole = self.filled == self.length && self.ready.is_empty();
        is_whole
            .then(|| self.raw.freeze(self.length))
            .ok_or(Damaged)
    }
}
