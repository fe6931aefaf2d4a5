//! Chunks: what is too large for one value, compressed and cut. Each chunk says of itself what it
//! belongs to, so that a damaged file can be put together again without its tree. Pure.

use crate::queue::key::LaneId;

/// No value in the tree is larger, in bytes.
pub(super) const MAX_VALUE: usize = 4000;
const MAGIC: [u8; 4] = *b"GRq\n";
const VERSION: u8 = 1;
const HEADER: usize = 36;
/// So many compressed bytes fit one chunk.
pub(super) const ROOM: usize = MAX_VALUE - HEADER;
/// lz4 cannot make more of one byte than this.
const MAX_RATIO: usize = 255;

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

/// Compressed bytes, and how many they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) raw: u32,
}

impl Packed {
    pub(super) fn pack(raw: &[u8]) -> Packed {
        Packed {
            bytes: lz4_flex::block::compress(raw),
            raw: raw.len() as u32,
        }
    }

    pub(super) fn unpack(&self) -> Result<Vec<u8>, Damaged> {
        let raw = self.raw as usize;
        if raw > self.bytes.len().saturating_mul(MAX_RATIO) {
            return Err(Damaged);
        }
        let unpacked = lz4_flex::block::decompress(&self.bytes, raw).map_err(|_| Damaged)?;
        (unpacked.len() == raw).then_some(unpacked).ok_or(Damaged)
    }

    /// How many chunks this makes.
    pub(super) fn chunks(&self) -> u32 {
        count(self.bytes.len())
    }

    /// The values to be stored, in order.
    pub(super) fn split(&self, of: Of) -> impl Iterator<Item = (u32, Vec<u8>)> {
        (0..).zip(self.bytes.chunks(ROOM)).map(move |(n, data)| {
            let header = Header {
                of,
                n,
                packed: self.bytes.len() as u32,
                raw: self.raw,
            };
            (n, header.write(data))
        })
    }

    /// Puts together what `split` made; `chunk(n)` gives the stored value.
    pub(super) fn join<E: From<Damaged>>(
        of: Of,
        mut chunk: impl FnMut(u32) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Packed>, E> {
        let Some(first) = chunk(0)? else {
            return Ok(None);
        };
        let (header, data) = Header::read(&first)?;
        let total = header.packed as usize;
        let mut bytes = data.to_vec();
        for n in 0..count(total) {
            if n == 0 {
                header.must_be(of, 0, &header)?;
                continue;
            }
            let value = chunk(n)?.ok_or(Damaged)?;
            let (own, data) = Header::read(&value)?;
            own.must_be(of, n, &header)?;
            bytes.extend_from_slice(data);
        }
        if bytes.len() != total {
            return Err(Damaged.into());
        }
        Ok(Some(Packed {
            bytes,
            raw: header.raw,
        }))
    }
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

/// `magic 4 | version 1 | kind 1 | length 2 | sequence 8 | lane 4 | n 4 | packed 4 | raw 4 | crc 4`,
/// integers little-endian; the CRC covers all else and the data.
#[derive(Clone, Copy, Debug)]
struct Header {
    of: Of,
    n: u32,
    packed: u32,
    raw: u32,
}

impl Header {
    fn write(&self, data: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(HEADER + data.len());
        value.extend_from_slice(&MAGIC);
        value.push(VERSION);
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
            && fields[4] == VERSION
            && length == data.len()
            && crc == checksum(fields, data).to_le_bytes();
        if !good {
            return Err(Damaged);
        }
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
            of,
            n: four(20).map_err(|_| Damaged)?,
            packed: four(24).map_err(|_| Damaged)?,
            raw: four(28).map_err(|_| Damaged)?,
        };
        Ok((header, data))
    }

    fn must_be(&self, of: Of, n: u32, first: &Header) -> Result<(), Damaged> {
        let same =
            self.of == of && self.n == n && self.packed == first.packed && self.raw == first.raw;
        same.then_some(()).ok_or(Damaged)
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

    fn join(chunks: &[Vec<u8>]) -> Result<Option<Packed>, Damaged> {
        Packed::join(OF, |n| Ok(chunks.get(n as usize).cloned()))
    }

    fn split(raw: &[u8]) -> Vec<Vec<u8>> {
        Packed::pack(raw)
            .split(OF)
            .map(|(_, chunk)| chunk)
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_cut_comes_back_whole(raw in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let chunks = split(&raw);
            prop_assert!(chunks.iter().all(|chunk| chunk.len() <= MAX_VALUE));
            let joined = join(&chunks).unwrap().unwrap();
            prop_assert_eq!(joined.chunks() as usize, chunks.len());
            prop_assert_eq!(joined.unpack().unwrap(), raw);
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
            prop_assert_eq!(join(&chunks), Err(Damaged));
        }

        #[test]
        fn hostile_bytes_are_refused_and_never_panic(
            value in prop::collection::vec(any::<u8>(), 0..200),
            raw in any::<u32>(),
        ) {
            prop_assert!(join(std::slice::from_ref(&value)).is_err());
            let packed = Packed { bytes: value, raw };
            if let Ok(unpacked) = packed.unpack() {
                prop_assert_eq!(unpacked.len(), raw as usize);
            }
        }
    }

    #[test]
    fn a_missing_chunk_is_damage_and_no_chunk_is_nothing() {
        let noise: Vec<u8> = (0..2_500u64)
            .flat_map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()).to_le_bytes())
            .collect();
        let chunks = split(&noise);
        assert!(chunks.len() > 1);
        assert_eq!(join(&chunks[..chunks.len() - 1]), Err(Damaged));
        assert_eq!(join(&[]), Ok(None));
    }
}
