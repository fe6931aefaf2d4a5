//! What an attempt came to. Says what to do next; `lanes` does it.

use std::time::Duration;

use crate::delivery::Reason;

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Delivered,
    /// Worth trying again, not before this wait when the service named one.
    Retry {
        reason: Reason,
        wait: Option<Duration>,
    },
    /// This message can never pass in this form: the next step of the ladder, if there is one.
    Reshape,
    /// This message can never pass: dead letter, the lane goes on.
    Bury {
        reason: Reason,
    },
    /// The destination is gone or refuses us: the lane stops and keeps everything. After `probe`
    /// its head is tried once.
    Hold {
        reason: Reason,
        probe: Option<Duration>,
    },
}
