//! What became of deliveries, as scripts and people read it.

mod hook;
mod newest;
mod view;

pub use hook::hook;
pub use newest::newest;
pub use view::{Keeps, delivery, delivery_line, event, explained, lane, missing};
