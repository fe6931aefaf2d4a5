//! Reads along the log, tells of pushes that are missing, and stores how far it is. Behind on its
//! own time: nothing waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::watch::{Gap, News, Watch};
use super::{push, stored};
use crate::clock::Clock;
use crate::event::EventId;
use crate::queue::{Queue, QueueError, Stretch};

/// So often the end of the log is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// So often it is stored how far it is.
const STORE_EVERY: Duration = Duration::from_secs(10);
/// An event takes at least so long, so that reading leaves the processor to the journey.
const PACE: Duration = Duration::from_millis(2);
/// So many new events since the last look are a flood, and are read when it is over.
const FLOOD: u64 = 200;
/// Who is so many events behind goes on at the end of the log.
const FAR_BEHIND: u64 = 200_000;
/// So long the last storing may take.
const LAST: Duration = Duration::from_secs(2);

/// The pushes that never reached us. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Missed(Arc<Mutex<Watch>>);

impl Missed {
    /// All that were reported and did not come since, oldest first.
    pub fn all(&self) -> Vec<Gap> {
        self.watch().missed().cloned().collect()
    }

    /// The one that this event told of, if it was reported and did not come since.
    pub fn told_by(&self, event: EventId) -> Option<Gap> {
        self.watch().told_by(event.0).cloned()
    }

    /// How many were reported since the start, by source.
    pub fn counts(&self) -> Vec<(Arc<str>, u64)> {
        let watch = self.watch();
        let counts = watch.counts().iter();
        counts
            .map(|(source, count)| (source.clone(), *count))
            .collect()
    }

    /// Reads along the log of `queue` until `stop`, from where the last run stopped; the first run
    /// begins at its end.
    pub async fn follow(self, queue: Queue, clock: Clock, stop: CancellationToken) {
        let (watch, next) = match queue.read_notes(stored::PREFIX) {
            Ok(notes) => stored::read(&notes),
            Err(error) => {
                warn!(%error, "what is known of branches cannot be read; it is learned anew");
                (Watch::default(), None)
            }
        };
        *self.watch() = watch;
        let mut follower = Follower {
            at: next.unwrap_or(queue.next_event()),
            end: queue.next_event(),
            // The first run has its place stored at once.
            stored: next.unwrap_or(EventId(0)),
            stored_at: clock.elapsed(),
            missed: self,
            queue,
            clock,
        };
        while let Some(wait) = stop.run_until_cancelled(follower.step()).await {
            let clock = follower.clock.clone();
            if stop.run_until_cancelled(clock.sleep(wait)).await.is_none() {
                break;
            }
        }
        let clock = follower.clock.clone();
        if clock.timeout(LAST, follower.store()).await.is_err() {
            warn!("it could not be stored how far the log was read for missed pushes");
        }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Follower {
    missed: Missed,
    queue: Queue,
    clock: Clock,
    /// The next event to be read.
    at: EventId,
    /// Where the log ended at the last look.
    end: EventId,
    stored: EventId,
    stored_at: Duration,
}

impl Follower {
    /// Reads on a little; says how long to wait then.
    async fn step(&mut self) -> Duration {
        let end = self.queue.next_event();
        if end.0.saturating_sub(self.at.0) > FAR_BEHIND {
            self.missed.watch().lose_track();
            self.at = end;
        }
        let came = end
            .0
            .saturating_sub(std::mem::replace(&mut self.end, end).0);
        let wait = match came {
            0..FLOOD => self.read_on().await,
            FLOOD.. => EVERY,
        };
        self.tell();
        if self.clock.elapsed().saturating_sub(self.stored_at) >= STORE_EVERY {
            self.store().await;
        }
        wait
    }

    async fn read_on(&mut self) -> Duration {
        match self.queue.stretch(self.at).await {
            Ok(stretch) if stretch.next > self.at => self.take_in(&stretch),
            // The database opens again, or the log ends here.
            Ok(_) | Err(_) => EVERY,
        }
    }

    fn take_in(&mut self, stretch: &Stretch) -> Duration {
        let mut watch = self.missed.watch();
        if !stretch.is_whole {
            watch.lose_track();
        }
        let now = self.clock.now();
        for (id, event) in &stretch.events {
            match push::read(event) {
                Ok(Some(happened)) => watch.see(id.0, &happened, now),
                Ok(None) => {}
                // Where its branch stands now is not known, nor which that is.
                Err(_) => watch.lose_track(),
            }
        }
        self.at = stretch.next;
        PACE * u32::try_from(stretch.events.len()).unwrap_or(u32::MAX)
    }

    fn tell(&self) {
        let news = self.missed.watch().news(self.clock.now());
        for news in news {
            match news {
                News::Missed(gap) => warn!(
                    source.name = %gap.source, event.id = %gap.event, "{}", gap.words()
                ),
                News::Came(gap) => info!(
                    source.name = %gap.source,
                    "the push to {} {} that was missed has come: {}",
                    gap.repo, gap.branch, gap.link()
                ),
            }
        }
    }

    async fn store(&mut self) {
        self.stored_at = self.clock.elapsed();
        let parts = {
            let mut watch = self.missed.watch();
            if self.stored == self.at && watch.changed_gaps.is_empty() {
                return;
            }
            stored::write(&mut watch, self.at)
        };
        for part in parts {
            match self.queue.write_notes(part).await {
                Ok(()) => {}
                Err(QueueError::Closed) => return,
                Err(error) => warn!(%error, "what is known of branches is not stored"),
            }
        }
        self.stored = self.at;
    }
}
