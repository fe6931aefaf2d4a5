//! What an attempt came to. Says what to do next; `lanes` does it.

use std::time::Duration;

use hyper::StatusCode;

use crate::clock::Timestamp;
use crate::delivery::Reason;
use crate::send::retry_after::{self, Asked};
use crate::send::transport::Answer;

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Delivered,
    /// The template rendered nothing: nothing is to be sent.
    Skip,
    /// Worth trying again, not before this wait when the service named one.
    Retry {
        reason: Reason,
        wait: Option<Duration>,
    },
    /// This message cannot pass in this form: the next step of the ladder. When there is none,
    /// [`Reason::ContentRefused`] buries it, and any other reason leaves it to the poison rule.
    Reshape {
        reason: Reason,
    },
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

impl Verdict {
    /// The reason that history and metrics show.
    pub fn reason(&self) -> Reason {
        match self {
            Verdict::Delivered => Reason::Accepted,
            Verdict::Skip => Reason::EmptyMessage,
            Verdict::Retry { reason, .. }
            | Verdict::Reshape { reason }
            | Verdict::Bury { reason }
            | Verdict::Hold { reason, .. } => *reason,
        }
    }
}

/// How much slower than its own rates a URL, or a whole service, wants it for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowdown {
    /// Nothing to this URL for so long.
    Url(Duration),
    /// Nothing to any URL of this kind for so long.
    Service(Duration),
}

/// An answer, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// For people: `Slack answered 404 no_service: the hook was removed`. Holds nothing of the
    /// answer but names and codes of errors.
    pub words: String,
    pub slowdown: Option<Slowdown>,
}

/// A held endpoint is asked again after this time, unless it said that it is gone for good.
pub const PROBE: Duration = Duration::from_secs(3600);

impl Judgement {
    pub(crate) fn new(verdict: Verdict, words: String) -> Judgement {
        Judgement {
            verdict,
            words,
            slowdown: None,
        }
    }
}

/// Whether an answer with this status counts for the poison rule.
pub fn counts_for_poison(status: u16) -> bool {
    matches!(status, 400..=599) && status != 408 && status != 429
}

/// What a status says by itself, the same for every kind; `None` for a 4xx that each kind reads
/// in its own way.
pub(crate) fn by_status(service: &str, answer: &Answer, now: Timestamp) -> Option<Judgement> {
    let status = answer.status;
    // Every delivery has these words, and formatting takes several times as long.
    let code = StatusCode::from_u16(status).unwrap_or_default();
    let said = [service, " answered ", code.as_str()].concat();
    match status {
        200..=299 => Some(Judgement::new(Verdict::Delivered, said)),
        300..=399 => Some(Judgement::new(
            hold(Reason::Redirect),
            format!("{said}: redirects are never followed; correct the URL"),
        )),
        429 => Some(rate_limited(&said, retry_after::asked(answer, now))),
        408 | 500..=599 => Some(match retry_after::asked(answer, now) {
            Some(Asked::TooLong(wait)) => too_long(&said, wait),
            asked => Judgement::new(
                Verdict::Retry {
                    reason: Reason::ServerError,
                    wait: asked.map(Asked::wait),
                },
                said,
            ),
        }),
        _ => None,
    }
}

/// A hold that is probed.
pub(crate) fn hold(reason: Reason) -> Verdict {
    Verdict::Hold {
        reason,
        probe: Some(PROBE),
    }
}

/// 429, or a text that says so. Without a wait named, the URL rests for the shortest one.
pub(crate) fn rate_limited(said: &str, asked: Option<Asked>) -> Judgement {
    if let Some(Asked::TooLong(wait)) = asked {
        return too_long(said, wait);
    }
    let wait = asked.map(Asked::wait);
    Judgement {
        verdict: Verdict::Retry {
            reason: Reason::RateLimited,
            wait,
        },
        words: match wait {
            Some(wait) => format!("{said}: too fast, wait {} s", wait.as_secs_f64()),
            None => format!("{said}: too fast"),
        },
        slowdown: Some(Slowdown::Url(wait.unwrap_or(retry_after::SHORTEST))),
    }
}

fn too_long(said: &str, wait: Duration) -> Judgement {
    Judgement {
        verdict: Verdict::Hold {
            reason: Reason::LongWait,
            probe: Some(wait.min(retry_after::LONGEST_PROBE)),
        },
        words: format!("{said}: wait {} s, longer than an hour", wait.as_secs()),
        slowdown: Some(Slowdown::Url(retry_after::LONGEST)),
    }
}
