//! The right to send one request: a place among `limits.sends` and a turn at the URL's pace.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::send::pace::{BucketKey, Pacer};

/// Hands out turns. Places are given in the order of asking, so that every active lane moves on.
#[derive(Clone)]
pub struct Turns {
    places: Arc<Semaphore>,
    pacer: Arc<Pacer>,
    clock: Clock,
}

/// A place in the line for a turn.
pub struct InLine(Standing);

enum Standing {
    First(OwnedSemaphorePermit),
    Behind(Pin<Box<dyn Future<Output = Place> + Send>>),
}

/// Nothing, if places were no longer given.
type Place = Option<OwnedSemaphorePermit>;

impl InLine {
    /// Whether nobody stands before it, so that its turn is taken without waiting.
    pub(crate) fn is_first(&self) -> bool {
        matches!(self.0, Standing::First(_))
    }
}

/// Held while one request is under way.
pub struct Turn {
    _place: Place,
    taken: Duration,
}

impl Turns {
    /// `sends` requests may be under way at once.
    pub fn new(sends: usize, pacer: Arc<Pacer>, clock: Clock) -> Turns {
        let sends = sends.clamp(1, Semaphore::MAX_PERMITS);
        Turns {
            places: Arc::new(Semaphore::new(sends)),
            pacer,
            clock,
        }
    }

    pub fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    /// Takes a place in the line at once: whoever lines up later has its turn later.
    pub fn line_up(&self) -> InLine {
        // It gives none while somebody waits for one.
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return InLine(Standing::First(place));
        }
        // Without a budget, or of many that line up together some would not be in it yet.
        let waiting = tokio::task::unconstrained(self.places.clone().acquire_owned());
        let mut waiting = Box::pin(waiting);
        let first = waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        InLine(match first {
            Poll::Ready(Ok(place)) => Standing::First(place),
            Poll::Ready(Err(_)) => Standing::Behind(Box::pin(ready(None))),
            Poll::Pending => Standing::Behind(Box::pin(async { waiting.await.ok() })),
        })
    }

    /// Waits for a place, never for the pace.
    ///
    /// # Errors
    /// When to ask again, on [`Clock::elapsed`].
    pub async fn take(&self, bucket: Option<&BucketKey>) -> Result<Turn, Duration> {
        self.take_after(self.line_up(), bucket).await
    }

    /// The same for one that is in the line already.
    ///
    /// # Errors
    /// When to ask again, on [`Clock::elapsed`].
    pub async fn take_after(
        &self,
        line: InLine,
        bucket: Option<&BucketKey>,
    ) -> Result<Turn, Duration> {
        let place = match line.0 {
            Standing::First(place) => Some(place),
            Standing::Behind(waiting) => waiting.await,
        };
        let taken = self.clock.elapsed();
        if let Some(bucket) = bucket {
            self.pacer.take(bucket, taken)?;
        }
        Ok(Turn {
            _place: place,
            taken,
        })
    }

    /// Waits for the pace as well, without holding a place meanwhile.
    ///
    /// # Errors
    /// How long it would take, when that is more than `at_most`.
    pub async fn wait(
        &self,
        bucket: Option<&BucketKey>,
        at_most: Duration,
    ) -> Result<Turn, Duration> {
        let latest = self.clock.elapsed().saturating_add(at_most);
        loop {
            match self.take(bucket).await {
                Ok(turn) => return Ok(turn),
                Err(again) if again > latest => {
                    return Err(again.saturating_sub(self.clock.elapsed()));
                }
                Err(again) => self.clock.sleep_until(again).await,
            }
        }
    }

    /// Takes back a turn in which nothing was sent.
    pub fn give_back(&self, bucket: Option<&BucketKey>, turn: Turn) {
        if let Some(bucket) = bucket {
            self.pacer.give_back(bucket, turn.taken);
        }
    }
}
