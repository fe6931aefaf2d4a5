//! Pushes that never reached us. Each push names the commit before it; where that is not one that
//! an earlier push of the branch led to, one is missing.
//!
//! Judged beside the journey, by whoever reads along the log. What cannot be known is not said: a
//! push that comes late, comes again or belongs to a branch that was never seen raises no alarm.

mod follow;
mod push;
mod stored;
mod watch;

pub use follow::Missed;
pub use watch::{Gap, WAIT};
