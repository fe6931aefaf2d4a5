//! Chunks: what is too large for one value, compressed and cut. Each chunk says of itself what it
//! belongs to, so that a damaged file can be put together again without its tree. Pure.

use bytes::Bytes;

use crate::queue::key::{self, Key, LaneId};
use crate::queue::large::{Large, Unpacking};

/// No value in the tree is larger, in bytes.
pub(super) const MAX_VALUE: usize = 4000;
const MAGIC: [u8; 4] = *b"GRq\n";
const HEADER: usize = 36;
/// So many compressed bytes fit one chunk.
pub(super) const ROOM: usize = MAX_VALUE - HEADER;
/// lz4 cannot make more of one byte than this.
pub(super) const MAX_RATIO: usize = 255;

/// Stored bytes that are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are damaged")]
pub(super) struct Damaged;

/// What a chunk is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page of the log; the sequence is its first.
    Page,
    /// An event's copy outside the log.
    Copy,
    /// A body as sent.
    Sent,
}

/// What is to be cut into chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// Compressed as a whole.
    Whole { bytes: Vec<u8>, raw: u32 },
    /// Compressed as it is cut.
    Blocks(Large),
}

impl Packed {
    pub(super) fn pack(raw: &[u8]) -> Packed {
        Packed::Whole {
            bytes: lz4_flex::block::compress(raw),
            raw: raw.len() as u32,
        }
    }

    /// Its compressed length, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Packed::Whole { bytes, .. } => bytes.len(),
            Packed::Blocks(large) => large.packed as usize,
        }
    }

    /// How many chunks this makes.
    pub(super) fn chunks(&self) -> u32 {
        count(self.len())
    }

    /// The values to be stored, in order.
    pub(super) fn split(&self, of: Of) -> Box<dyn Iterator<Item = (u32, Vec<u8>)> + '_> {
        let (form, raw) = match self {
            Packed::Whole { raw, .. } => (Form::Whole, *raw),
            Packed::Blocks(large) => (Form::Blocks, large.raw),
        };
        let packed = self.len() as u32;
        let value = move |n: u32, data: &[u8]| {
            let header = Header {
                form,
                of,
                n,
                packed,
                raw,
            };
            (n, header.write(data))
        };
        match self {
            Packed::Whole { bytes, .. } => {
                let pieces = (0..).zip(bytes.chunks(ROOM));
                Box::new(pieces.map(move |(n, data)| value(n, data)))
            }
            Packed::Blocks(large) => {
                let pieces = (0..).zip(large.pieces());
                Box::new(pieces.map(move |(n, data)| value(n, &data)))
            }
        }
    }
}

/// Puts together and unpacks what was cut; `chunk(n)` gives the stored value.
pub(super) fn join<V: AsRef<[u8]>, E: From<Damaged>>(
    of: Of,
    mut chunk: impl FnMut(u32) -> Result<Option<V>, E>,
) -> Result<Option<Bytes>, E> {
    let Some(value) = chunk(0)? else {
        return Ok(None);
    };
    let (first, data) = Header::read(value.as_ref())?;
    first.must_be(of, 0, &first)?;
    let mut pieces = Pieces::new(&first)?;
    pieces.take(data)?;
    for n in 1..count(first.packed as usize) {
        let value = chunk(n)?.ok_or(Damaged)?;
        let (own, data) = Header::read(value.as_ref())?;
        own.must_be(of, n, &first)?;
        pieces.take(data)?;
    }
    Ok(Some(pieces.unpack(&first)?))
}

/// How many bytes a large event takes, by its first chunk; `None` of what is small.
pub(super) fn large(first: &[u8]) -> Result<Option<usize>, Damaged> {
    let (header, _) = Header::read(first)?;
    Ok((header.form == Form::Blocks).then_some(header.raw as usize))
}

/// What is being put together.
enum Pieces {
    Whole(Vec<u8>),
    Blocks(Unpacking),
}

impl Pieces {
    fn new(first: &Header) -> Result<Pieces, Damaged> {
        match first.form {
            Form::Whole => Ok(Pieces::Whole(Vec::new())),
            Form::Blocks => {
                let unpacking = Unpacking::new(first.packed as usize, first.raw as usize);
                unpacking.map(Pieces::Blocks)
            }
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Damaged> {
        match self {
            Pieces::Whole(bytes) => bytes.extend_from_slice(data),
            Pieces::Blocks(unpacking) => unpacking.take(data)?,
        }
        Ok(())
    }

    fn unpack(self, first: &Header) -> Result<Bytes, Damaged> {
        match self {
            Pieces::Whole(bytes) if bytes.len() == first.packed as usize => {
                unpack(&bytes, first.raw as usize).map(Bytes::from)
            }
            Pieces::Whole(_) => Err(Damaged),
            Pieces::Blocks(unpacking) => unpacking.finish(),
        }
    }
}

fn unpack(packed: &[u8], raw: usize) -> Result<Vec<u8>, Damaged> {
    if raw > packed.len().saturating_mul(MAX_RATIO) {
        return Err(Damaged);
    }
    let unpacked = lz4_flex::block::decompress(packed, raw).map_err(|_| Damaged)?;
    (unpacked.len() == raw).then_some(unpacked).ok_or(Damaged)
}

/// How what is in the chunks is compressed; the version of a chunk says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole = 1,
    Blocks = 2,
}

/// What the chunks of one thing have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    pub(super) lane: LaneId,
}

/// How many chunks `packed` bytes take; nothing takes none.
pub(super) fn count(packed: usize) -> u32 {
    packed.div_ceil(ROOM) as u32
}

/// How many chunks the thing has that this is a chunk of.
pub(super) fn count_from(chunk: &[u8]) -> Result<u32, Damaged> {
    let (header, _) = Header::read(chunk)?;
    Ok(count(header.packed as usize))
}

/// Where the next chunk may begin in bytes of any kind.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == MAGIC[0])?;
        if bytes[at..].starts_with(&MAGIC) {
            return Some(at);
        }
        at += 1;
    }
}

/// The key of the whole chunk that these bytes begin with, and its length.
pub(super) fn label(bytes: &[u8]) -> Option<(Key, usize)> {
    let length = HEADER + usize::from(u16::from_le_bytes([*bytes.get(6)?, *bytes.get(7)?]));
    let (header, _) = Header::read(bytes.get(..length)?).ok()?;
    let Of {
        kind,
        sequence,
        lane,
    } = header.of;
    let key = match kind {
        Kind::Page => key::page_chunk(sequence, header.n),
        Kind::Copy | Kind::Sent => key::body_chunk(sequence, lane, header.n),
    };
    Some((key, length))
}

/// `magic 4 | version 1 | kind 1 | length 2 | sequence 8 | lane 4 | n 4 | packed 4 | raw 4 | crc 4`,
/// integers little-endian; the CRC covers all else and the data.
#[derive(Clone, Copy, Debug)]
struct Header {
    form: Form,
    of: Of,
    n: u32,
    packed: u32,
    raw: u32,
}

impl Header {
    fn write(&self, data: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(HEADER + data.len());
        value.extend_from_slice(&MAGIC);
        value.push(self.form as u8);
        value.push(match self.of.kind {
            Kind::Page => 1,
            Kind::Copy => 2,
            Kind::Sent => 3,
        });
        value.extend_from_slice(&(data.len() as u16).to_le_bytes());
        value.extend_from_slice(&self.of.sequence.to_le_bytes());
        value.extend_from_slice(&self.of.lane.to_le_bytes());
        for field in [self.n, self.packed, self.raw] {
            value.extend_from_slice(&field.to_le_bytes());
        }
        let crc = checksum(&value, data);
        value.extend_from_slice(&crc.to_le_bytes());
        value.extend_from_slice(data);
        value
    }

    fn read(value: &[u8]) -> Result<(Header, &[u8]), Damaged> {
        let (head, data) = value.split_at_checked(HEADER).ok_or(Damaged)?;
        let (fields, crc) = head.split_at(HEADER - 4);
        let four = |at: usize| fields[at..at + 4].try_into().map(u32::from_le_bytes);
        let length = u16::from_le_bytes([fields[6], fields[7]]) as usize;
        let good = fields[..4] == MAGIC
            && length == data.len()
            && crc == checksum(fields, data).to_le_bytes();
        if !good {
            return Err(Damaged);
        }
        let form = match fields[4] {
            1 => Form::Whole,
            2 => Form::Blocks,
            _ => return Err(Damaged),
        };
        let kind = match fields[5] {
            1 => Kind::Page,
            2 => Kind::Copy,
            3 => Kind::Sent,
            _ => return Err(Damaged),
        };
        let sequence = fields[8..16].try_into().map_err(|_| Damaged)?;
        let of = Of {
            kind,
            sequence: u64::from_le_bytes(sequence),
            lane: four(16).map_err(|_| Damaged)?,
        };
        let header = Header {
            form,
            of,
            n: four(20).map_err(|_| Damaged)?,
            packed: four(24).map_err(|_| Damaged)?,
            raw: four(28).map_err(|_| Damaged)?,
        };
        Ok((header, data))
    }

    fn must_be(&self, of: Of, n: u32, first: &Header) -> Result<(), Damaged> {
        let same = (self.form, self.packed, self.raw) == (first.form, first.packed, first.raw);
        (same && self.of == of && self.n == n)
            .then_some(())
            .ok_or(Damaged)
    }
}

fn checksum(fields: &[u8], data: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(fields);
    crc.update(data);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OF: Of = Of {
        kind: Kind::Page,
        sequence: 77,
        lane: 0,
    };

    fn joined(chunks: &[Vec<u8>]) -> Result<Option<Bytes>, Damaged> {
        join(OF, |n| Ok(chunks.get(n as usize)))
    }

    fn values(packed: &Packed) -> Vec<Vec<u8>> {
        packed.split(OF).map(|(_, chunk)| chunk).collect()
    }

    fn split(raw: &[u8]) -> Vec<Vec<u8>> {
        values(&Packed::pack(raw))
    }

    fn noise(bytes: u64) -> Vec<u8> {
        let words = (0..bytes.div_ceil(8)).map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()));
        words.flat_map(u64::to_le_bytes).collect()
    }

    proptest! {
        #[test]
        fn what_was_cut_comes_back_whole(
            raw in prop::collection::vec(any::<u8>(), 0..20_000),
            cut in any::<prop::sample::Index>(),
        ) {
            let (one, two) = raw.split_at(cut.index(raw.len() + 1));
            let parts = [one, two].map(Bytes::copy_from_slice);
            for packed in [Packed::pack(&raw), Packed::Blocks(Large::new(parts))] {
                let chunks = values(&packed);
                prop_assert!(chunks.iter().all(|chunk| chunk.len() <= MAX_VALUE));
                prop_assert_eq!(packed.chunks() as usize, chunks.len());
                let whole = joined(&chunks).unwrap().unwrap_or_default();
                prop_assert_eq!(&whole[..], &raw[..]);
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(
            raw in prop::collection::vec(any::<u8>(), 1..9_000),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let mut chunks = split(&raw);
            let which = at.index(chunks.len());
            let byte = at.index(chunks[which].len());
            chunks[which][byte] ^= 1 << bit;
            prop_assert_eq!(joined(&chunks), Err(Damaged));
        }

        #[test]
        fn hostile_bytes_are_refused_and_never_panic(
            value in prop::collection::vec(any::<u8>(), 0..200),
            raw in any::<u32>(),
        ) {
            prop_assert!(joined(std::slice::from_ref(&value)).is_err());
            if let Ok(unpacked) = unpack(&value, raw as usize) {
                prop_assert_eq!(unpacked.len(), raw as usize);
            }
            let mut unpacking = Unpacking::new(value.len(), raw as usize % 60_000);
            if let Ok(unpacking) = &mut unpacking {
                unpacking.take(&value).ok();
            }
        }
    }

    #[test]
    fn blocks_come_back_whole_however_many_they_are() {
        let mut raw = noise(700_000);
        raw.extend(vec![7; 600_000]);
        let raw = Bytes::from(raw);
        let packed = Packed::Blocks(Large::new([raw.slice(..100), raw.slice(100..)]));
        let mut chunks = values(&packed);
        assert_eq!(chunks.len(), packed.chunks() as usize);
        assert_eq!(joined(&chunks), Ok(Some(raw)));
        chunks.swap(3, 4);
        assert_eq!(joined(&chunks), Err(Damaged));
    }

    #[test]
    fn a_missing_chunk_is_damage_and_no_chunk_is_nothing() {
        let chunks = split(&noise(20_000));
        assert!(chunks.len() > 1);
        assert_eq!(joined(&chunks[..chunks.len() - 1]), Err(Damaged));
        assert_eq!(joined(&[]), Ok(None));
    }
}
