//! What became of deliveries, as scripts and people read it.

mod summary;
mod view;

pub use summary::summary;
pub use view::{delivery, delivery_line, event, explained, lane};
