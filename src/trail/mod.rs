//! What became of deliveries, as scripts and people read it.

mod view;

pub use view::{delivery, delivery_line, event, explained, lane, missing};
