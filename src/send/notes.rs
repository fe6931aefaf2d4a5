//! What an attempt leaves behind, noted on the way.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::delivery::Trace;
use crate::plan::Message;
use crate::send::verdict::{Judgement, Verdict};

/// How an attempt ended: never in [`Verdict::Reshape`].
pub struct Outcome {
    pub verdict: Verdict,
    pub trace: Trace,
}

/// What becomes the attempt's [`Trace`], filled on the way so that a panic loses none of it.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) status: Option<u16>,
    pub(crate) answer: Bytes,
    pub(crate) template: String,
    pub(crate) fingerprint: String,
    pub(crate) fallback: Vec<String>,
    pub(crate) sent: Option<Bytes>,
}

impl Notes {
    pub(crate) fn rendered(&mut self, message: &Message) {
        self.template.clone_from(&message.template);
        self.fingerprint.clone_from(&message.fingerprint);
        if let Some(why) = &message.fallback {
            self.say(why.clone());
        }
    }

    pub(crate) fn answered(&mut self, status: Option<u16>, answer: Bytes) {
        self.status = status;
        self.answer = answer;
    }

    pub(crate) fn say(&mut self, what: String) {
        if !self.fallback.contains(&what) {
            self.fallback.push(what);
        }
    }

    pub(crate) fn outcome(
        self,
        judgement: Judgement,
        started: Timestamp,
        duration: Duration,
    ) -> Outcome {
        let trace = Trace {
            started,
            duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
            status: self.status,
            reason: judgement.verdict.reason(),
            verdict: judgement.words,
            answer: self.answer.slice(..self.answer.len().min(Trace::ANSWER)),
            template: self.template,
            fingerprint: self.fingerprint,
            fallback: (!self.fallback.is_empty()).then(|| self.fallback.join("; ")),
            sent: self.sent,
        };
        Outcome {
            verdict: judgement.verdict,
            trace,
        }
    }
}
