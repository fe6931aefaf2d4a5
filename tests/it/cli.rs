//! The commands, run as the real binary.
