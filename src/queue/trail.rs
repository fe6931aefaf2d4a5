//! What the attempts of one delivery have left so far. Kept small whatever happens: equal
//! consecutive failures are one entry, and there are at most 16 entries.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::delivery::{Attempt, Trace};
use crate::queue::{codes, plain};

/// At most so many entries are kept; older ones are folded together.
const ENTRIES: usize = 16;
/// A verdict in words is cut to so many bytes.
const WORDS: usize = 240;

/// The attempts of a delivery, and what the last one left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trail {
    /// Attempts in this round.
    pub(super) tries: u32,
    /// Of them, those that count for the poison rule.
    pub(super) answered: u32,
    /// Of all rounds, folded.
    pub(super) attempts: Vec<Attempt>,
    pub(super) answer: Vec<u8>,
    pub(super) template: String,
    pub(super) fingerprint: String,
    pub(super) fallback: Option<String>,
    /// The last body as sent; stored beside the record when the delivery is settled.
    pub(super) sent: Option<Bytes>,
}

impl Trail {
    /// Adds an attempt.
    pub(super) fn add(&mut self, id: u64, round: u32, trace: &Trace) {
        self.tries = self.tries.saturating_add(1);
        let counts = |status| matches!(status, 400..=599) && !matches!(status, 408 | 429);
        if trace.status.is_some_and(counts) {
            self.answered = self.answered.saturating_add(1);
        }
        self.note(id, round, trace);
    }

    /// Adds an attempt that counts neither for the wait nor for the poison rule.
    pub(super) fn note(&mut self, id: u64, round: u32, trace: &Trace) {
        self.fold_in(Attempt {
            id,
            count: 1,
            round,
            first: trace.started,
            last: trace.started,
            duration_ms: trace.duration_ms,
            status: trace.status,
            reason: trace.reason,
            verdict: cut(&trace.verdict, WORDS).to_owned(),
        });
        self.answer = trace.answer[..trace.answer.len().min(Trace::ANSWER)].to_vec();
        self.template = cut(&trace.template, 120).to_owned();
        self.fingerprint = cut(&trace.fingerprint, 64).to_owned();
        let fallback = trace.fallback.as_deref();
        self.fallback = fallback.map(|text| cut(text, WORDS).to_owned());
        self.sent = trace.sent.clone();
    }

    /// The same delivery in a new round: its attempts stay visible, its counts begin again.
    pub(super) fn next_round(mut self) -> Trail {
        self.tries = 0;
        self.answered = 0;
        self.sent = None;
        self
    }

    /// Gives up detail until it takes about `excess` bytes less.
    pub(super) fn shrink(&mut self, excess: usize) {
        if !self.answer.is_empty() {
            self.answer
                .truncate(self.answer.len().saturating_sub(excess));
        } else if self.attempts.len() > 1 {
            self.fold_oldest();
        } else {
            self.fallback = None;
            self.template.clear();
            self.attempts.clear();
        }
    }

    fn fold_in(&mut self, attempt: Attempt) {
        match self.attempts.last_mut() {
            Some(last)
                if (last.round, last.status, last.reason, &last.verdict)
                    == (
                        attempt.round,
                        attempt.status,
                        attempt.reason,
                        &attempt.verdict,
                    ) =>
            {
                last.id = attempt.id;
                last.count = last.count.saturating_add(1);
                last.last = attempt.last;
                last.duration_ms = attempt.duration_ms;
            }
            _ => self.attempts.push(attempt),
        }
        if self.attempts.len() > ENTRIES {
            self.fold_oldest();
        }
    }

    fn fold_oldest(&mut self) {
        let oldest = self.attempts.remove(0);
        if let Some(next) = self.attempts.first_mut() {
            next.count = next.count.saturating_add(oldest.count);
            next.first = oldest.first;
        }
    }
}

/// At most `most` bytes of `text`, cut at a character's border.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[derive(Serialize, Deserialize)]
pub(super) struct TrailV1<'a> {
    tries: u32,
    answered: u32,
    #[serde(borrow)]
    attempts: Vec<AttemptV1<'a>>,
    #[serde(serialize_with = "plain::bytes")]
    answer: &'a [u8],
    template: &'a str,
    fingerprint: &'a str,
    #[serde(borrow)]
    fallback: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct AttemptV1<'a> {
    id: u64,
    count: u32,
    first: i64,
    last: i64,
    duration_ms: u32,
    status: Option<u16>,
    reason: u8,
    verdict: &'a str,
}

impl<'a> From<&'a Trail> for TrailV1<'a> {
    fn from(trail: &'a Trail) -> TrailV1<'a> {
        let attempts = trail.attempts.iter().map(|attempt| AttemptV1 {
            id: attempt.id,
            count: attempt.count,
            first: attempt.first.0,
            last: attempt.last.0,
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            reason: codes::of_reason(attempt.reason),
            verdict: &attempt.verdict,
        });
        TrailV1 {
            tries: trail.tries,
            answered: trail.answered,
            attempts: attempts.collect(),
            answer: &trail.answer,
            template: &trail.template,
            fingerprint: &trail.fingerprint,
            fallback: trail.fallback.as_deref(),
        }
    }
}

impl From<TrailV1<'_>> for Trail {
    fn from(stored: TrailV1<'_>) -> Trail {
        let attempts = stored.attempts.into_iter().map(|attempt| Attempt {
            id: attempt.id,
            count: attempt.count,
            round: 1,
            first: Timestamp(attempt.first),
            last: Timestamp(attempt.last),
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            reason: codes::reason(attempt.reason),
            verdict: attempt.verdict.into(),
        });
        Trail {
            tries: stored.tries,
            answered: stored.answered,
            attempts: attempts.collect(),
            answer: stored.answer.into(),
            template: stored.template.into(),
            fingerprint: stored.fingerprint.into(),
            fallback: stored.fallback.map(Into::into),
            sent: None,
        }
    }
}
