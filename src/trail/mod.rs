//! What became of deliveries, as scripts and people read it.

mod view;

pub use view::{Keeps, delivery, delivery_line, event, explained, lane, missing};
