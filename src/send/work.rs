//! A lane's worker: takes deliveries one by one, attempts them, and settles them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::delivery::{DeliveryId, Reason};
use crate::destination::Destination;
use crate::queue::{Lease, Next, Queue, QueueError, Room, Settlement};
use crate::send::deliver::{Courier, Errand, Outcome};
use crate::send::pace::BucketKey;
use crate::send::retry;
use crate::send::rooms::Rooms;
use crate::send::turn::{InLine, Turn};
use crate::send::verdict::{self, Verdict};
use crate::settings::{InForce, Settings};

/// When a lane without a worker is to be looked at again.
pub(crate) enum Rest {
    /// When the queue names it.
    Idle,
    /// At this time of [`Clock::elapsed`], or when the queue names it.
    Until(Duration),
}

/// What all workers share.
pub(crate) struct Worker {
    pub(crate) queue: Queue,
    pub(crate) settings: InForce,
    pub(crate) courier: Courier,
    pub(crate) rooms: Rooms,
    pub(crate) clock: Clock,
    pub(crate) jitter: fn() -> f64,
    /// The failure that was last logged, by lane.
    pub(crate) told: Mutex<HashMap<Arc<str>, Reason>>,
    /// Nothing new is taken any more.
    pub(crate) stop: CancellationToken,
}

/// Where a lane delivers to by one set of settings, and what follows from that for every delivery.
struct Aim<'a> {
    settings: &'a Arc<Settings>,
    destination: &'a Destination,
    bucket: Option<BucketKey>,
    fingerprint: u64,
}

impl<'a> Aim<'a> {
    fn of(settings: &'a Arc<Settings>, lane: &str) -> Option<Aim<'a>> {
        let destination = settings.of_lane(lane)?;
        Some(Aim {
            settings,
            destination,
            bucket: BucketKey::of(destination),
            fingerprint: destination.settings(),
        })
    }
}

impl Worker {
    /// After an error of the queue, or a bug, a lane rests so long.
    pub(crate) const PAUSE: Duration = Duration::from_secs(1);

    /// A look past the head waits so long for its turn, or is left for the next failure.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Delivers until there is nothing to send now, or no more may be taken. `line` is its place
    /// in the line for its first turn.
    pub(crate) async fn work(self: Arc<Self>, name: Arc<str>, line: InLine) -> Rest {
        let mut line = Some(line);
        loop {
            let settings = self.settings.borrow().clone();
            let Some(aim) = Aim::of(&settings, &name) else {
                return Rest::Idle;
            };
            if let Some(rest) = self.work_by(&aim, &name, &mut line).await {
                return rest;
            }
        }
    }

    /// The same, but ends with nothing when the settings were replaced.
    async fn work_by(
        &self,
        aim: &Aim<'_>,
        name: &Arc<str>,
        line: &mut Option<InLine>,
    ) -> Option<Rest> {
        let turns = self.courier.turns();
        let mut room = Room::none();
        loop {
            let line = line.take().unwrap_or_else(|| turns.line_up());
            let turn = match self.turn(line, aim).await {
                None => return Some(Rest::Idle),
                Some(Err(again)) => return Some(Rest::Until(again)),
                Some(Ok(turn)) => turn,
            };
            if !Arc::ptr_eq(aim.settings, &self.settings.borrow()) {
                turns.give_back(aim.bucket.as_ref(), turn);
                return None;
            }
            let next = self.queue.next_within(name, &room).await;
            room = Room::none();
            let rest = match next {
                // The lane was renamed. Given back, it goes to a worker that knows the name.
                Ok(Next::Lease(lease)) if lease.id.destination != *name => Rest::Idle,
                Ok(Next::Lease(lease)) => {
                    self.deliver(*lease, aim, turn).await;
                    continue;
                }
                Ok(Next::Large(bytes)) => {
                    // Whoever waits for room keeps nobody from a turn.
                    turns.give_back(aim.bucket.as_ref(), turn);
                    match self.room(bytes).await {
                        Some(made) => room = made,
                        None => return Some(Rest::Idle),
                    }
                    continue;
                }
                Ok(Next::NotBefore(due)) => Rest::Until(due),
                Ok(Next::Nothing) | Err(QueueError::Closed | QueueError::NoSuchLane(_)) => {
                    Rest::Idle
                }
                Err(_) => Rest::Until(self.clock.elapsed() + Worker::PAUSE),
            };
            turns.give_back(aim.bucket.as_ref(), turn);
            return Some(rest);
        }
    }

    /// Its turn, or when to ask again, unless the relay stops before.
    async fn turn(&self, line: InLine, aim: &Aim<'_>) -> Option<Result<Turn, Duration>> {
        let is_first = line.is_first();
        let taking = self.courier.turns().take_after(line, aim.bucket.as_ref());
        match is_first {
            true if self.stop.is_cancelled() => None,
            true => Some(taking.await),
            false => self.stop.run_until_cancelled(taking).await,
        }
    }

    /// Room for a large event, unless the relay stops before there is some.
    async fn room(&self, bytes: usize) -> Option<Room> {
        let waiting = self.rooms.room(bytes);
        self.stop.run_until_cancelled(waiting).await
    }

    /// Forgets what was logged of destinations that are gone.
    pub(crate) fn forget(&self, gone: &[Arc<str>]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for name in gone {
            told.remove(name);
        }
    }

    /// One attempt, and what follows from it.
    async fn deliver(&self, mut lease: Lease, aim: &Aim<'_>, turn: Turn) {
        lease.attempted_with(aim.fingerprint);
        let outcome = self.attempt(&lease, aim, turn).await;
        let settlement = self.settlement(&lease, aim.destination, &outcome);
        self.tell(&lease, &outcome, &settlement);
        let counts = outcome.trace.status.is_some_and(verdict::counts_for_poison);
        let deferred = matches!(settlement, Settlement::Defer { .. });
        let look = deferred && retry::look_past_head(&lease, counts);
        let head = look.then(|| lease.id.clone());
        self.queue.settle(lease, settlement, Some(outcome.trace));
        if let Some(head) = head {
            self.look_past_head(&head, aim).await;
        }
    }

    async fn attempt(&self, lease: &Lease, aim: &Aim<'_>, turn: Turn) -> Outcome {
        let errand = Errand {
            event: &lease.event,
            id: lease.id.event,
            destination: aim.destination,
            templates: &aim.settings.templates,
            hub: aim.settings.voice(),
        };
        let outcome = self.courier.attempt(errand, turn).await;
        tracing::debug!(
            delivery.id = %lease.id,
            attempt.number = lease.attempts.saturating_add(1),
            duration_ms = outcome.trace.duration_ms,
            "attempt of {}: {}",
            lease.id,
            outcome.trace.verdict
        );
        outcome
    }

    fn settlement(
        &self,
        lease: &Lease,
        destination: &Destination,
        outcome: &Outcome,
    ) -> Settlement {
        let policy = &destination.retry;
        match outcome.verdict {
            Verdict::Delivered => Settlement::Delivered,
            Verdict::Skip => Settlement::Skipped(Reason::EmptyMessage),
            Verdict::Bury { reason } | Verdict::Reshape { reason } => Settlement::Dead(reason),
            Verdict::Hold { reason, probe } => Settlement::Hold {
                reason,
                words: outcome.trace.verdict.clone(),
                probe,
            },
            Verdict::Retry { wait, .. } => {
                let (received, since) = (lease.event.received, lease.failing_since);
                let took = Duration::from_millis(outcome.trace.duration_ms.into());
                // The wall clock may have jumped meanwhile; the queue makes up for it.
                let now = outcome.trace.started.plus(took);
                // A probe that fails only shows that the hold is right: it goes on.
                let gave_up = retry::gave_up(policy, received, since, now);
                if gave_up && !lease.is_probe {
                    return Settlement::Dead(Reason::GaveUp);
                }
                let failures = lease.attempts.saturating_add(1);
                let interval = retry::wait(policy, failures, (self.jitter)());
                Settlement::Defer {
                    wait: interval.max(wait.unwrap_or_default()),
                }
            }
        }
    }

    /// Tries the delivery behind a head that never passes. If it passes, the head is poison; if
    /// not, the destination is a wall, and the lane waits.
    async fn look_past_head(&self, head: &DeliveryId, aim: &Aim<'_>) {
        let (lane, bucket) = (&head.destination, &aim.bucket);
        let mut room = Room::none();
        loop {
            let turns = self.courier.turns();
            let waited = turns.wait(bucket.as_ref(), Worker::PATIENCE);
            let Some(Ok(turn)) = self.stop.run_until_cancelled(waited).await else {
                return;
            };
            let lease = match self.queue.next_past_head(lane, &room).await {
                Ok(Next::Lease(lease)) => lease,
                Ok(Next::Large(bytes)) => {
                    turns.give_back(bucket.as_ref(), turn);
                    match self.room(bytes).await {
                        Some(made) => room = made,
                        None => return,
                    }
                    continue;
                }
                _ => return turns.give_back(bucket.as_ref(), turn),
            };
            room = Room::none();
            let outcome = self.attempt(&lease, aim, turn).await;
            match outcome.verdict {
                Verdict::Delivered => {
                    let trace = Some(outcome.trace);
                    self.queue.settle(*lease, Settlement::Delivered, trace);
                    self.queue.bury_head(lane, head.event, Reason::Poison);
                    tracing::warn!(
                        destination.name = %lane,
                        "delivery {head} is set aside: it never passed, but the next one did"
                    );
                    return;
                }
                // Nothing was sent, so nothing is known: the one after it may tell.
                Verdict::Skip => {
                    let skipped = Settlement::Skipped(Reason::EmptyMessage);
                    self.queue.settle(*lease, skipped, Some(outcome.trace));
                }
                _ => {
                    let trace = Some(outcome.trace);
                    return self.queue.settle(*lease, Settlement::Release, trace);
                }
            }
        }
    }

    /// Logs a failure when its reason differs from the last, and the end of failing.
    fn tell(&self, lease: &Lease, outcome: &Outcome, settlement: &Settlement) {
        let name = &lease.id.destination;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = match settlement {
            Settlement::Delivered | Settlement::Skipped(_) => {
                if told.remove(name).is_some() {
                    tracing::info!(destination.name = %name, "{name} takes deliveries again");
                }
                return;
            }
            Settlement::Dead(reason) => *reason,
            _ => outcome.trace.reason,
        };
        if told.insert(name.clone(), reason) == Some(reason) {
            return;
        }
        let next = match settlement {
            Settlement::Defer { wait } => format!("next try in {} s", wait.as_secs_f64().ceil()),
            Settlement::Hold { probe, .. } => {
                let until = match probe {
                    Some(wait) => format!("is tried once in {} min", wait.as_secs().div_ceil(60)),
                    None => "waits for a person".to_owned(),
                };
                format!("the destination is held, keeps everything and {until}")
            }
            _ => "it is set aside as a dead letter".to_owned(),
        };
        tracing::warn!(
            delivery.id = %lease.id,
            destination.name = %name,
            reason = reason.label(),
            "delivery {} failed ({}); {next}",
            lease.id,
            outcome.trace.verdict
        );
    }
}
