//! Puts settings in force, one change at a time.

use std::sync::{Arc, Weak};

use anyhow::Context;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::Settings;
use crate::queue::{self, LaneSpec, Queue};
use crate::send::lanes::lane_spec;

/// Where settings are replaced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Mutex<State>>);

/// The right to replace them: while it lasts, nobody else does.
#[derive(Debug)]
pub struct Turn(OwnedMutexGuard<State>);

#[derive(Debug)]
struct State {
    in_force: watch::Sender<Arc<Settings>>,
    queue: Queue,
    /// Settings that somebody may still go by.
    replaced: Vec<Weak<Settings>>,
}

impl Switch {
    pub fn new(in_force: watch::Sender<Arc<Settings>>, queue: Queue) -> Switch {
        Switch(Arc::new(Mutex::new(State {
            in_force,
            queue,
            replaced: Vec::new(),
        })))
    }

    /// Waits for those who asked before.
    pub async fn turn(&self) -> Turn {
        Turn(self.0.clone().lock_owned().await)
    }
}

impl Turn {
    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.0.in_force.borrow().clone()
    }

    /// Replaces them. The lanes that it needs are durable before anybody goes by it.
    ///
    /// # Errors
    /// The queue closes; then nothing was replaced.
    pub async fn put_in_force(&mut self, next: Settings) -> anyhow::Result<queue::Configured> {
        let queue = self.queue();
        let lanes: Vec<LaneSpec> = next.destinations().map(lane_spec).collect();
        let changes = queue::Changes {
            lanes: &lanes,
            history: next.config.history,
            dead: next.config.dead,
        };
        let configured = queue.configure(changes, || self.replace(next));
        configured.await.context("the queue did not take it")
    }

    /// The same where nothing is different but the hook whose lane this is, so that a change costs
    /// no more when there are many.
    ///
    /// # Errors
    /// The queue closes; then nothing was replaced.
    pub async fn put_hook_in_force(&mut self, next: Settings, lane: &str) -> anyhow::Result<()> {
        let queue = self.queue();
        let spec = next.hooks.of_lane(lane).map(lane_spec);
        let adopt = || self.replace(next);
        let configured = match spec {
            Some(spec) => queue.run_lane(&spec, adopt).await,
            None => queue.orphan_lane(lane, adopt).await,
        };
        configured.context("the queue did not take it")
    }

    fn queue(&mut self) -> Queue {
        let State {
            queue, replaced, ..
        } = &mut *self.0;
        replaced.retain(|old| old.strong_count() > 0);
        if replaced.is_empty() {
            queue.forget_former_names();
        }
        queue.clone()
    }

    fn replace(&mut self, next: Settings) {
        let before = self.0.in_force.send_replace(Arc::new(next));
        self.0.replaced.push(Arc::downgrade(&before));
    }
}
