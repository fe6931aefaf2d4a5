//! The hub: where readers subscribe to the events of repositories. A subscription is a hook.
//!
//! A reader's request becomes a [`Pending`] note; `verify` asks the reader whether it meant
//! it, within the `limits`; who says so has a hook from then on, until the `keeper` ends it with its
//! lease. The `repositories` know what is for everybody.

mod book;
mod keeper;
mod known;
mod limits;
mod pending;
mod question;
mod repositories;
mod subscriptions;
pub mod topic;
mod verifier;
mod verify;

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config;
use crate::event::{Event, Facts};
use crate::hook::{Hook, Repository};
use crate::hooks::{Desk, Hooks};
use crate::queue::{Appended, Planned, Queue, QueueError, Repeats};
use crate::send::dial::Resolve;
use crate::settings::{InForce, Settings};

use known::Privacy;
use limits::Limits;
use repositories::Repositories;
use verifier::Verifier;

pub use pending::{Mode, Pending};
pub use repositories::Arriving;

/// What a hub works with.
pub struct Parts {
    pub queue: Queue,
    pub desk: Desk,
    pub settings: InForce,
    pub resolver: Arc<dyn Resolve>,
    pub clock: Clock,
    /// Waited for at shutdown.
    pub tasks: TaskTracker,
}

/// The hub. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    queue: Queue,
    desk: Desk,
    settings: InForce,
    clock: Clock,
    repositories: Repositories,
    limits: Arc<Limits>,
    verifier: Arc<Verifier>,
    /// The keeper has something to do before its time.
    stirred: Arc<Notify>,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too much for this callback's host, until so many seconds later.
    #[error("too many requests for this callback's host: try again in {0} s")]
    Host(u64),
    #[error("too many requests wait to be verified: try again later")]
    Full,
    #[error("there are as many subscriptions without credentials as there may be")]
    TooMany,
    /// The reader did not confirm it, in words.
    #[error("the callback did not confirm it: {0}")]
    Unconfirmed(String),
    #[error("it cannot be stored now: {0}")]
    Queue(String),
}

impl From<QueueError> for Refused {
    fn from(error: QueueError) -> Refused {
        Refused::Queue(error.to_string())
    }
}

impl Hub {
    /// Takes up what was left when the relay ended.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub fn open(parts: Parts) -> anyhow::Result<Hub> {
        let limits = Arc::new(Limits::default());
        let (queue, clock) = (parts.queue.clone(), parts.clock.clone());
        Ok(Hub {
            queue: queue.clone(),
            desk: parts.desk.clone(),
            settings: parts.settings.clone(),
            repositories: Repositories::new(queue, clock.clone(), limits.clone())?,
            verifier: Arc::new(Verifier::new(parts, limits.clone())?),
            limits,
            clock,
            stirred: Arc::default(),
        })
    }

    /// Ends what ran out while the relay was off. To be called before anything is delivered.
    pub async fn tidy_up(&self) {
        keeper::tidy_up(self).await;
    }

    /// Asks readers and ends subscriptions until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let verifying = verify::run(self.clone(), stop.clone());
        let keeping = keeper::keep(&self, stop);
        tokio::join!(verifying, keeping);
    }

    /// Whether this repository's topics are for everybody now.
    pub async fn is_open(&self, hub: &config::Hub, repository: &Repository) -> bool {
        hub.opens(&repository.name)
            && self.repositories.privacy(repository).await == Privacy::Public
    }

    /// The newest event of a topic for everybody, if the event itself is for everybody as well.
    pub async fn latest(&self, repository: &Repository, event: &str) -> Option<Event> {
        self.repositories.latest(repository, event).await
    }

    /// Whether there is a subscription that a request is about.
    pub fn has(&self, pending: &Pending) -> bool {
        let settings = self.settings.borrow().clone();
        subscriptions::find(&settings.hooks, pending).is_some()
    }

    /// Takes a request: it is durable when this returns, and its reader is asked soon.
    ///
    /// # Errors
    /// Nothing was stored.
    pub async fn take(&self, pending: Pending) -> Result<(), Refused> {
        self.check_room(&pending)?;
        let verifier = self.verifier.clone();
        let taking = async move { verifier.take(pending).await };
        self.finish(taking).await.ok_or_else(broke_off)?
    }

    /// Asks the reader at once, and does what it confirms.
    ///
    /// # Errors
    /// It was not asked, or did not confirm.
    pub async fn take_at_once(&self, pending: Pending) -> Result<(), Refused> {
        self.check_room(&pending)?;
        verify::at_once(self, pending).await
    }

    fn check_room(&self, pending: &Pending) -> Result<(), Refused> {
        if pending.open {
            let now = self.clock.elapsed();
            let asked = self.limits.ask(&pending.host(), now);
            asked.map_err(|until| Refused::Host(seconds(until.saturating_sub(now))))?;
        }
        let settings = self.settings();
        match subscriptions::has_room(&settings.hooks, pending) {
            true => Ok(()),
            false => Err(Refused::TooMany),
        }
    }

    /// To be told of an event before it is stored.
    ///
    /// # Errors
    /// What it says of its repository cannot be stored, so neither should it be.
    pub async fn arriving(
        &self,
        settings: &Settings,
        event: &Event,
        facts: &Facts,
    ) -> Result<Option<Arriving>, QueueError> {
        let hub = settings.config.hub.as_ref();
        self.repositories.arriving(hub, event, facts).await
    }

    /// Stores an event that it was told of, and takes over what it says.
    ///
    /// # Errors
    /// Those of [`Queue::append`].
    pub async fn append(
        &self,
        arriving: Arriving,
        planned: Planned,
        repeats: Repeats,
    ) -> Result<Appended, QueueError> {
        let hub = self.clone();
        // Boxed, because each delivery moves about the room for this.
        let appending = Box::pin(async move {
            let appended = hub.queue.append(planned, repeats).await?;
            if arriving.stored(&appended).await {
                hub.stirred.notify_one();
            }
            Ok(appended)
        });
        let appended = self.finish(appending).await;
        appended.ok_or(QueueError::Unavailable)?
    }

    /// Has something done to its end, even if whoever waits for it goes away; nothing if it
    /// panicked. What is known and what is stored would part ways half-way.
    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.verifier.tasks.spawn(work).await.ok()
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

fn broke_off() -> Refused {
    Refused::Queue("a bug of gogs-relay".to_owned())
}

/// Whole seconds, at least one.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + 1
}

/// All subscriptions.
fn subscribed(hooks: &Hooks) -> impl Iterator<Item = &Hook> {
    hooks
        .all()
        .filter(|hook| hook.config.subscription.is_some())
}
