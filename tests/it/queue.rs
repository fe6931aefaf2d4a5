//! The queue through its public surface, on the real sled.
