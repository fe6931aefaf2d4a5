//! The one budget of `limits.bytes` for all bodies under way, and how long a request waits for
//! room. Knows nothing of HTTP.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::{Clock, TimedOut};

/// Gogs gives a delivery 15 s in all, and never sends it again: so long a request waits for room
/// before it is refused.
const PATIENCE: Duration = Duration::from_secs(8);

/// Bytes that bodies may take, all together.
///
/// A part of them, as large as one request can need, is lent as a whole to one request at a time:
/// bodies that arrive together can then never block each other half-way, each holding what the
/// others wait for. The rest is shared freely.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    shared: Arc<Semaphore>,
    whole: Arc<Semaphore>,
}

impl Budget {
    /// A budget of `bytes`, or of `largest` (what one request can need at most) if that is more.
    pub(super) fn new(bytes: usize, largest: usize) -> Budget {
        let shared = bytes.saturating_sub(largest).min(Semaphore::MAX_PERMITS);
        Budget {
            shared: Arc::new(Semaphore::new(shared)),
            whole: Arc::new(Semaphore::new(1)),
        }
    }

    /// A reservation of nothing yet.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation {
            shared: self.shared.clone(),
            whole: self.whole.clone(),
            bytes: 0,
            held: None,
            lent: None,
        }
    }
}

/// A body with its share of the budget, given back with the last that has the body: the sender
/// may be gone long before.
pub(super) fn paid(body: Bytes, share: Reservation) -> Bytes {
    struct Paid {
        body: Bytes,
        _share: Reservation,
    }
    impl AsRef<[u8]> for Paid {
        fn as_ref(&self) -> &[u8] {
            &self.body
        }
    }
    Bytes::from_owner(Paid {
        body,
        _share: share,
    })
}

/// What one request has of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    shared: Arc<Semaphore>,
    whole: Arc<Semaphore>,
    bytes: usize,
    held: Option<OwnedSemaphorePermit>,
    /// The part for one request at a time; who has it never waits again.
    lent: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// How many bytes it covers.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it cover `bytes` in all, waiting for room if it must.
    ///
    /// # Errors
    /// There was no room for as long as `patience` lasts.
    pub(super) async fn grow_to(
        &mut self,
        bytes: usize,
        patience: &mut Patience,
    ) -> Result<(), TimedOut> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && self.lent.is_none() {
            self.take(more, patience).await?;
        }
        self.bytes = self.bytes.max(bytes);
        Ok(())
    }

    async fn take(&mut self, more: usize, patience: &mut Patience) -> Result<(), TimedOut> {
        let more = u32::try_from(more).map_err(|_| TimedOut)?;
        if let Ok(permit) = self.shared.clone().try_acquire_many_owned(more) {
            self.hold(permit);
            return Ok(());
        }
        let shared = self.shared.clone().acquire_many_owned(more);
        let whole = self.whole.clone().acquire_owned();
        let room = async {
            tokio::select! {
                biased;
                permit = shared => (permit.ok(), None),
                permit = whole => (None, permit.ok()),
            }
        };
        let (permit, lent) = patience.wait(room).await?;
        if let Some(permit) = permit {
            self.hold(permit);
        }
        self.lent = lent;
        Ok(())
    }

    fn hold(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
    }
}

/// How much longer one request may wait for room. Runs from its first wait.
#[derive(Debug)]
pub(super) struct Patience {
    clock: Clock,
    until: Option<Duration>,
}

impl Patience {
    pub(super) fn new(clock: Clock) -> Patience {
        Patience { clock, until: None }
    }

    /// The future's output, unless patience ends first.
    async fn wait<F: Future>(&mut self, room: F) -> Result<F::Output, TimedOut> {
        let now = self.clock.elapsed();
        let until = *self.until.get_or_insert(now + PATIENCE);
        self.clock.timeout(until.saturating_sub(now), room).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[tokio::test]
    async fn of_many_that_wait_for_each_other_all_get_through_one_by_one() {
        let budget = Budget::new(100, 40);
        let patience = || Patience::new(Clock::system());
        let mut bodies: Vec<_> = (0..6).map(|_| budget.reservation()).collect();
        for body in &mut bodies {
            body.grow_to(10, &mut patience()).await.unwrap();
        }
        assert_eq!(budget.shared.available_permits(), 0);
        for mut body in bodies {
            body.grow_to(40, &mut patience()).await.unwrap();
            assert_eq!(body.bytes(), 40);
        }
        assert_eq!(budget.shared.available_permits(), 60);
        assert_eq!(budget.whole.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_finds_no_room_for_eight_seconds_in_all_is_refused() {
        let (clock, hand) = Clock::stepped(Timestamp(0));
        let budget = Budget::new(20, 10);
        let mut first = budget.reservation();
        let mut second = budget.reservation();
        let mut patience = Patience::new(clock.clone());
        first.grow_to(10, &mut patience).await.unwrap();
        second.grow_to(1, &mut patience).await.unwrap();
        let mut third = budget.reservation();
        let mut waiting = Box::pin(third.grow_to(1, &mut patience));
        assert!(futures_poll(&mut waiting).is_none());
        hand.advance(Duration::from_millis(7_999));
        assert!(futures_poll(&mut waiting).is_none());
        hand.advance(Duration::from_millis(1));
        assert_eq!(waiting.await, Err(TimedOut));
        drop(second);
        third.grow_to(1, &mut patience).await.unwrap();
    }

    fn futures_poll<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
