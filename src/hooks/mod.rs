//! The hooks that there are, how they are stored, the desk that changes them, and the watch over those that
//! fail.

mod desk;
mod health;
mod registry;
mod store;

pub use desk::Desk;
pub use health::watch;
pub use registry::{Change, Draft, Hooks};
pub use store::{Stored, read};
