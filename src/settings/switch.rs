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
        let State {
            in_force,
            queue,
            replaced,
        } = &mut *self.0;
        replaced.retain(|old| old.strong_count() > 0);
        if replaced.is_empty() {
            queue.forget_former_names();
        }
        let lanes: Vec<LaneSpec> = next.destinations().map(lane_spec).collect();
        let changes = queue::Changes {
            lanes: &lanes,
            history: next.config.history,
            dead: next.config.dead,
        };
        let configured = queue.configure(changes, || {
            let before = in_force.send_replace(Arc::new(next));
            replaced.push(Arc::downgrade(&before));
        });
        configured.await.context("the queue did not take it")
    }
}
