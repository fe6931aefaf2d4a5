//! Answers to be given, good and bad ones.

use std::time::Duration;

use bytes::Bytes;

/// An answer.
#[derive(Clone, Debug)]
pub struct Script {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Given so long after the request, by the stand-in's clock.
    pub after: Duration,
    pub ending: Ending,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Whole,
    /// Half of the body, then the connection closes.
    Cut,
    /// Half of the body, then nothing more.
    Stalls,
    /// No answer at all, and the connection stays open.
    Never,
    /// No answer: the connection closes.
    Closes,
}

impl Script {
    /// An empty answer with this status.
    pub fn status(status: u16) -> Script {
        Script {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            after: Duration::ZERO,
            ending: Ending::Whole,
        }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Script {
        Script::status(status)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Script {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Script {
        self.body = body.into();
        self
    }

    pub fn after(mut self, delay: Duration) -> Script {
        self.after = delay;
        self
    }

    pub fn ending(mut self, ending: Ending) -> Script {
        self.ending = ending;
        self
    }

    /// The wait that a 429 names in whole or broken seconds.
    pub(crate) fn asks_to_wait(&self) -> Option<Duration> {
        if self.status != 429 {
            return None;
        }
        let named = |(name, _): &&(&str, String)| name.eq_ignore_ascii_case("retry-after");
        let (_, value) = self.headers.iter().find(named)?;
        Duration::try_from_secs_f64(value.parse().ok()?).ok()
    }
}
