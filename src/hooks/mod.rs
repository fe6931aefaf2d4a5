//! The hooks that there are, how they are stored, and the desk that changes them.

mod desk;
mod registry;
mod store;

pub use desk::Desk;
pub use registry::{Change, Draft, Hooks};
pub use store::{Stored, read};
