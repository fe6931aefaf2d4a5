//! The timer of one connection's header sections. hyper asks for a new one at every request, and
//! each that is set makes the runtime wake up to see it; this one stays set and is moved on only
//! when it rings too early, once per `limits.header_timeout`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;

/// For one connection, whose deadlines only ever move on.
#[derive(Clone, Default)]
pub(super) struct HeaderTimer(Arc<Mutex<Option<Alarm>>>);

/// What is set at the runtime.
struct Alarm {
    at: Instant,
    sleep: Pin<Box<dyn Sleep>>,
}

impl Timer for HeaderTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until {
            deadline,
            timer: self.clone(),
        })
    }

    fn now(&self) -> Instant {
        TokioTimer::new().now()
    }
}

/// One header section's deadline.
struct Until {
    deadline: Instant,
    timer: HeaderTimer,
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = alarm.get_or_insert_with(|| Alarm {
            at: self.deadline,
            sleep: TokioTimer::new().sleep_until(self.deadline),
        });
        while alarm.sleep.as_mut().poll(cx).is_ready() {
            if alarm.at >= self.deadline {
                return Poll::Ready(());
            }
            alarm.at = self.deadline;
            TokioTimer::new().reset(&mut alarm.sleep, self.deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn each_deadline_rings_at_its_own_time_though_an_earlier_one_is_still_set() {
        let timer = HeaderTimer::default();
        let started = timer.now();
        for milliseconds in [10, 30] {
            let mut passed = timer.sleep_until(started + Duration::from_millis(milliseconds));
            // The header section comes in time, so hyper drops it.
            poll_fn(|cx| Poll::Ready(passed.as_mut().poll(cx).is_ready())).await;
        }
        let last = started + Duration::from_millis(60);
        timer.sleep_until(last).await;
        assert!(timer.now() >= last);
    }
}
