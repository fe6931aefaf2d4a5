//! What waits to be asked, durably, and who may be asked now: one question at a time to each host,
//! each within the limits, some of them again when there was no answer.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::limits::Limits;
use super::pending::{self, Key, Mode, Pending};
use super::question::{self, Said};
use super::{Hub, Parts, Refused};
use crate::clock::Clock;
use crate::queue::{Queue, QueueError};
use crate::send::dial::{LookUp, Resolve};
use crate::send::transport::Transport;

/// Requests without credentials that wait at once: for one host and port, and in all.
const OF_HOST: usize = 50;
const OPEN: usize = 1000;
/// All requests that wait at once.
const ALL: usize = 2000;
/// Questions under way at once, and those of requests without credentials among them.
const AT_ONCE: usize = 64;
const OPEN_AT_ONCE: usize = 48;
/// The waits before a reader that did not answer is asked again.
const AGAIN: [Duration; 2] = [Duration::from_secs(15), Duration::from_secs(120)];

/// What waits to be asked.
pub(super) struct Verifier {
    queue: Queue,
    pub(super) clock: Clock,
    pub(super) tasks: TaskTracker,
    limits: Arc<Limits>,
    /// For requests without credentials: counts what addresses it leads to.
    counted: Transport,
    plain: Transport,
    waiting: Mutex<HashMap<Key, Waiting>>,
    /// One note is written after the other, so that the last is the one that waits.
    writing: tokio::sync::Mutex<()>,
    pub(super) places: Arc<Semaphore>,
    pub(super) changed: Notify,
}

struct Waiting {
    pending: Arc<Pending>,
    /// On [`Clock::elapsed`].
    due: Duration,
    /// Questions without an answer, and those that a crash may have cut off.
    failures: usize,
    is_asked: bool,
}

impl Verifier {
    /// # Errors
    /// What is stored cannot be read.
    pub(super) fn new(parts: Parts, limits: Arc<Limits>) -> anyhow::Result<Verifier> {
        let stored = pending::read(&parts.queue.read_notes(pending::EACH)?)?;
        let waiting = stored
            .into_iter()
            .map(|(it, asked)| (it.key(), Waiting::new(it, asked)));
        let egress = parts.settings.borrow().config.egress.clone();
        let counting = Arc::new(Counting {
            resolver: parts.resolver.clone(),
            limits: limits.clone(),
            clock: parts.clock.clone(),
        });
        let clock = parts.clock;
        Ok(Verifier {
            counted: Transport::within(egress.clone(), counting, clock.clone()),
            plain: Transport::within(egress, parts.resolver, clock.clone()),
            queue: parts.queue,
            clock,
            tasks: parts.tasks,
            limits,
            waiting: Mutex::new(waiting.collect()),
            writing: tokio::sync::Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            changed: Notify::new(),
        })
    }

    /// Has a request wait, durably, in place of one about the same subscription.
    pub(super) async fn take(&self, pending: Pending) -> Result<(), Refused> {
        let _turn = self.writing.lock().await;
        self.check_room(&pending)?;
        if self.is_told_already(&pending) {
            return Ok(());
        }
        self.queue.write_notes(vec![pending.note(0)]).await?;
        let key = pending.key();
        self.waiting().insert(key, Waiting::new(pending, 0));
        self.changed.notify_one();
        Ok(())
    }

    /// Whether it is the end of a subscription of which its reader is being told.
    fn is_told_already(&self, pending: &Pending) -> bool {
        let waiting = self.waiting();
        let before = waiting.get(&pending.key()).map(|it| it.pending.mode);
        pending.mode == Mode::Denied && before == Some(Mode::Denied)
    }

    /// Counts a question before it is asked, durably, so that no reader is asked more often
    /// because the relay crashes; says whether it may be.
    pub(super) async fn count(&self, pending: &Arc<Pending>) -> Result<bool, QueueError> {
        let _turn = self.writing.lock().await;
        let failures = match self.waiting().get(&pending.key()) {
            Some(it) if Arc::ptr_eq(&it.pending, pending) => it.failures,
            // Another request about the same subscription came meanwhile.
            _ => return Ok(false),
        };
        if failures > AGAIN.len() {
            return Ok(false);
        }
        let note = pending.note(failures + 1);
        self.queue.write_notes(vec![note]).await.map(|()| true)
    }

    fn check_room(&self, pending: &Pending) -> Result<(), Refused> {
        let waiting = self.waiting();
        if waiting.contains_key(&pending.key()) || pending.mode == Mode::Denied {
            return Ok(());
        }
        let open = || waiting.values().filter(|it| it.pending.open);
        let host = pending.host();
        if waiting.len() >= ALL || (pending.open && open().count() >= OPEN) {
            return Err(Refused::Full);
        }
        if pending.open && open().filter(|it| it.pending.host() == host).count() >= OF_HOST {
            return Err(Refused::Host(60));
        }
        Ok(())
    }

    /// Forgets a request, unless another has taken its place.
    pub(super) async fn forget(&self, pending: &Arc<Pending>) -> Result<(), QueueError> {
        let _turn = self.writing.lock().await;
        let key = pending.key();
        if !self.is_current(pending) {
            return Ok(());
        }
        self.queue.write_notes(vec![pending::forget(key)]).await?;
        self.waiting().remove(&key);
        Ok(())
    }

    /// Forgets what was asked for before, about a subscription that has just been settled.
    pub(super) async fn forget_older(&self, key: Key) {
        let older = self.waiting().get(&key).map(|it| it.pending.clone());
        if let Some(older) = older
            && let Err(error) = self.forget(&older).await
        {
            warn!(%error, "an older request to the hub is still remembered");
        }
    }

    pub(super) fn is_current(&self, pending: &Arc<Pending>) -> bool {
        let waiting = self.waiting();
        let now = waiting.get(&pending.key());
        now.is_some_and(|it| Arc::ptr_eq(&it.pending, pending))
    }

    /// What may be asked now, or when to look again.
    pub(super) fn next(&self) -> Result<Arc<Pending>, Duration> {
        let now = self.clock.elapsed();
        let mut waiting = self.waiting();
        let asked = || waiting.values().filter(|it| it.is_asked);
        let open_asked = asked().filter(|it| it.pending.open).count();
        let mut busy: HashSet<String> = asked().map(|it| it.pending.host()).collect();
        let mut due: Vec<&mut Waiting> = waiting
            .values_mut()
            .filter(|it| !it.is_asked && it.due <= now)
            .collect();
        due.sort_by_key(|it| (it.due, it.pending.since));
        for it in due {
            let host = it.pending.host();
            // Several questions to one host wait for each other.
            let is_full = it.pending.open && open_asked >= OPEN_AT_ONCE;
            if is_full || !busy.insert(host.clone()) {
                continue;
            }
            match self.may_ask(&it.pending, &host, now) {
                Ok(()) => {
                    it.is_asked = true;
                    return Ok(it.pending.clone());
                }
                Err(again) => it.due = again,
            }
        }
        let rest = waiting.values().filter(|it| !it.is_asked && it.due > now);
        Err(rest.map(|it| it.due).min().unwrap_or(Duration::MAX))
    }

    pub(super) fn may_ask(
        &self,
        pending: &Pending,
        host: &str,
        now: Duration,
    ) -> Result<(), Duration> {
        if !pending.open {
            return Ok(());
        }
        self.limits.verify(host, now)?;
        // A host that is an address is never looked up.
        let address: Option<IpAddr> = match pending.callback.expose().host() {
            Some(url::Host::Ipv4(address)) => Some(address.into()),
            Some(url::Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        match address {
            Some(address) => self.limits.dial(host, &mut vec![address], now),
            None => Ok(()),
        }
    }

    /// Asks once. The error is when it may be asked at all.
    pub(super) async fn ask(&self, hub: &Hub, pending: &Pending) -> Result<Said, Duration> {
        let transport = match pending.open {
            true => &self.counted,
            false => &self.plain,
        };
        transport.obey(&hub.settings().config.egress);
        let said = question::ask(transport, pending).await;
        let host = pending.callback.expose().host_str().unwrap_or_default();
        match (&said, self.limits.rest(host)) {
            (Said::Nothing(_), Some(until)) => Err(until),
            _ => Ok(said),
        }
    }

    /// Has it wait on, or says that it has been asked often enough.
    pub(super) fn put_off(&self, pending: &Arc<Pending>, until: Option<Duration>) -> bool {
        let mut waiting = self.waiting();
        let Some(it) = waiting.get_mut(&pending.key()) else {
            return false;
        };
        if !Arc::ptr_eq(&it.pending, pending) {
            return true;
        }
        it.is_asked = false;
        match (until, AGAIN.get(it.failures)) {
            (Some(until), _) => it.due = until,
            (None, Some(wait)) => {
                it.failures += 1;
                it.due = self.clock.elapsed() + *wait;
            }
            (None, None) => return false,
        }
        true
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn new(pending: Pending, failures: usize) -> Waiting {
        Waiting {
            pending: Arc::new(pending),
            due: Duration::ZERO,
            failures,
            is_asked: false,
        }
    }
}

/// Looks names up, and counts the addresses that they lead to.
struct Counting {
    resolver: Arc<dyn Resolve>,
    limits: Arc<Limits>,
    clock: Clock,
}

impl Resolve for Counting {
    fn look_up(&self, host: String) -> LookUp {
        let (limits, now) = (self.limits.clone(), self.clock.elapsed());
        let looking_up = self.resolver.look_up(host.clone());
        Box::pin(async move {
            let mut found = looking_up.await?;
            match limits.dial(&host, &mut found, now) {
                Ok(()) => Ok(found),
                Err(_) => Err(std::io::Error::other(
                    "the address has been dialled too often",
                )),
            }
        })
    }
}
