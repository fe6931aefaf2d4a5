//! The hooks that there are, and the one desk that changes them.

mod registry;

pub use registry::{Change, Draft, Hooks};
