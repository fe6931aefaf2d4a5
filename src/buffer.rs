//! Memory for one body under way, or one read back. A large one gets pages of its own from the system: they cost nothing
//! before they are written to and are given back whole, where the allocator would keep and
//! scatter them until the budget of `limits.bytes` means nothing.

use std::io;

use bytes::Bytes;
use memmap2::MmapMut;

/// From this size on a buffer has pages of its own, in bytes.
const LARGE: usize = 64 * 1024;

/// A buffer of a fixed size, all zero at first.
#[derive(Debug)]
pub(crate) enum Buffer {
    Small(Vec<u8>),
    Large(MmapMut),
}

impl Buffer {
    /// How many bytes of memory a buffer of `size` takes once `filled` of them are written.
    pub(crate) fn cost(size: usize, filled: usize) -> usize {
        if size < LARGE { size } else { filled }
    }

    /// # Errors
    /// The system has no address space left.
    pub(crate) fn new(size: usize) -> io::Result<Buffer> {
        if size < LARGE {
            return Ok(Buffer::Small(vec![0; size]));
        }
        let pages = MmapMut::map_anon(size)?;
        // In pages of 2 MiB every body would take that much with its first byte.
        #[cfg(target_os = "linux")]
        if let Err(error) = pages.advise(memmap2::Advice::NoHugePage) {
            tracing::trace!("kernel without huge pages: {error}");
        }
        Ok(Buffer::Large(pages))
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Buffer::Small(bytes) => bytes,
            Buffer::Large(pages) => pages,
        }
    }

    /// The first `length` bytes.
    pub(crate) fn freeze(self, length: usize) -> Bytes {
        let all = match self {
            Buffer::Small(bytes) => Bytes::from(bytes),
            Buffer::Large(pages) => Bytes::from_owner(pages),
        };
        all.slice(..length)
    }
}
