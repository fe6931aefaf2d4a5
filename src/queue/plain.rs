//! Plain data as it is stored: a version, and after it the fields in their order. Pure.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, Serializer};

/// What most values come to, in bytes, so that writing one seldom has to move it.
const USUAL: usize = 320;

/// The bytes of a stored value.
pub(super) fn write(version: u8, stored: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(version);
    // Writing plain data to memory cannot fail.
    postcard::serialize_with_flavor(stored, Growing(bytes)).unwrap_or_default()
}

/// Serialises bytes as they lie there; one by one they would come to the same, but slower.
pub(super) fn bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Takes texts as a whole, where postcard's own way to add to bytes that are there takes them byte
/// by byte.
struct Growing(Vec<u8>);

impl Flavor for Growing {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}
