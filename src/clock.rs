//! The one place that reads the time. Everything else takes a [`Clock`], so that tests can step it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A moment of the wall clock: milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 in UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `by` later; stays at the last representable one.
    pub fn plus(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(millis(by)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// Reads RFC 3339, with any offset.
    fn from_str(text: &str) -> Result<Timestamp, jiff::Error> {
        Ok(Timestamp(text.parse::<jiff::Timestamp>()?.as_millisecond()))
    }
}

/// The time, as the machine has it or as a test's [`Hand`] says.
///
/// It has two faces. [`now`](Clock::now) is the wall clock, for what people read and what is
/// stored; it may jump. [`elapsed`](Clock::elapsed) is monotonic since the clock was made, for
/// every wait inside the process; it never does.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { started: Instant },
    Stepped(Arc<Stepped>),
}

#[derive(Debug)]
struct Stepped {
    wall_offset: AtomicI64,
    elapsed: watch::Sender<Duration>,
    /// Until when somebody sleeps, and how many.
    sleepers: watch::Sender<BTreeMap<Duration, usize>>,
}

/// The given time ran out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time ran out")]
pub struct TimedOut;

impl Clock {
    /// The machine's own clock.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn system() -> Clock {
        Clock(Kind::System {
            started: Instant::now(),
        })
    }

    /// A clock that stands at `start` until the [`Hand`] moves it.
    pub fn stepped(start: Timestamp) -> (Clock, Hand) {
        let stepped = Arc::new(Stepped {
            wall_offset: AtomicI64::new(start.0),
            elapsed: watch::Sender::new(Duration::ZERO),
            sleepers: watch::Sender::default(),
        });
        (Clock(Kind::Stepped(stepped.clone())), Hand(stepped))
    }

    /// The wall clock's time.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System { .. } => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
                Timestamp(millis(since_epoch.unwrap_or_default()))
            }
            Kind::Stepped(stepped) => Timestamp(
                stepped.wall_offset.load(Ordering::SeqCst) + millis(*stepped.elapsed.borrow()),
            ),
        }
    }

    /// Monotonic time since the clock was made.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Kind::System { started } => started.elapsed(),
            Kind::Stepped(stepped) => *stepped.elapsed.borrow(),
        }
    }

    /// Waits until [`elapsed`](Clock::elapsed) is at least `at`.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn sleep_until(&self, at: Duration) {
        match &self.0 {
            Kind::System { started } => {
                tokio::time::sleep(at.saturating_sub(started.elapsed())).await;
            }
            Kind::Stepped(stepped) => {
                let mut elapsed = stepped.elapsed.subscribe();
                let _asleep = Asleep::until(stepped.clone(), at);
                // The sender lives in `stepped`, so the wait cannot fail.
                let _reached = elapsed.wait_for(|now| *now >= at).await;
            }
        }
    }

    /// Waits for `time`.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn sleep(&self, time: Duration) {
        match &self.0 {
            Kind::System { .. } => tokio::time::sleep(time).await,
            Kind::Stepped(_) => {
                self.sleep_until(self.elapsed().saturating_add(time)).await;
            }
        }
    }

    /// The future's output, or [`TimedOut`] when it takes longer than `limit`.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, TimedOut> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(limit) => Err(TimedOut),
        }
    }
}

/// Moves a stepped [`Clock`].
#[derive(Clone, Debug)]
pub struct Hand(Arc<Stepped>);

impl Hand {
    /// Lets time pass: both faces move on, and whoever waited for it wakes.
    pub fn advance(&self, by: Duration) {
        self.0.elapsed.send_modify(|elapsed| *elapsed += by);
    }

    /// Lets time pass until `at` of [`Clock::elapsed`]; never back.
    pub fn advance_to(&self, at: Duration) {
        self.0
            .elapsed
            .send_modify(|elapsed| *elapsed = at.max(*elapsed));
    }

    /// Waits until somebody sleeps until `at` of [`Clock::elapsed`].
    pub async fn someone_sleeps_until(&self, at: Duration) {
        let mut sleepers = self.0.sleepers.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _found = sleepers.wait_for(|all| all.contains_key(&at)).await;
    }

    /// The moments of [`Clock::elapsed`] that somebody sleeps until, soonest first.
    pub fn sleepers(&self) -> Vec<Duration> {
        self.0.sleepers.borrow().keys().copied().collect()
    }

    /// Moves the wall clock alone by `by_ms` milliseconds, forward or back.
    pub fn jump_wall(&self, by_ms: i64) {
        self.0.wall_offset.fetch_add(by_ms, Ordering::SeqCst);
    }
}

/// A place among the sleepers.
struct Asleep {
    stepped: Arc<Stepped>,
    until: Duration,
}

impl Asleep {
    fn until(stepped: Arc<Stepped>, until: Duration) -> Asleep {
        let add = |all: &mut BTreeMap<_, _>| *all.entry(until).or_default() += 1;
        stepped.sleepers.send_modify(add);
        Asleep { stepped, until }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.stepped.sleepers.send_modify(|all| {
            if let Some(count) = all.get_mut(&self.until) {
                *count -= 1;
                if *count == 0 {
                    all.remove(&self.until);
                }
            }
        });
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
