//! What became of deliveries, as scripts and people read it.

mod hook;
mod missed;
mod newest;
mod view;

pub use hook::hook;
pub use missed::{Gap, Missed, WAIT};
pub use newest::newest;
pub use view::{Keeps, delivery, delivery_line, event, explained, lane, missed, missing};
