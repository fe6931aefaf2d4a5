//! Where hooks are made, changed and deleted: durably, one at a time, and in force before it is
//! answered.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::registry::{Change, Hooks};
use super::store;
use crate::clock::Clock;
use crate::hook::Hook;
use crate::queue::{LaneStatus, Queue, QueueError, Range};
use crate::settings::{Settings, Switch};

/// How the words begin why an inactive hook's lane is held.
const INACTIVE: &str = "the hook is inactive";

/// Changes hooks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    switch: Switch,
    pub(super) queue: Queue,
    pub(super) clock: Clock,
    tasks: TaskTracker,
}

impl Desk {
    /// `tasks` is waited for at shutdown: a change that was begun is ended.
    pub fn new(switch: Switch, queue: Queue, clock: Clock, tasks: TaskTracker) -> Desk {
        Desk {
            switch,
            queue,
            clock,
            tasks,
        }
    }

    /// Decides on a change by the hooks as they are, and makes it. It is done even if nobody waits
    /// for it. Gives the hook as it is then; of a deleted one, as it was.
    ///
    /// # Errors
    /// The outer one: the queue did not take it. The inner one is that of `decide`.
    pub async fn change<E: Send + 'static>(
        &self,
        decide: impl FnOnce(&Hooks) -> Result<Change, E> + Send + 'static,
    ) -> Result<Result<Hook, E>, QueueError> {
        let desk = self.clone();
        let changing = self.tasks.spawn(async move { desk.make(decide).await });
        let made = changing.await.map_err(|_| QueueError::Closed)?;
        made.map_err(|error| match error.downcast::<QueueError>() {
            Ok(error) => error,
            Err(error) => {
                warn!("a hook was not changed: {error:#}");
                QueueError::Unavailable
            }
        })
    }

    /// The settings in force.
    pub(super) async fn settings(&self) -> Arc<Settings> {
        self.switch.turn().await.settings()
    }

    async fn make<E>(
        self,
        decide: impl FnOnce(&Hooks) -> Result<Change, E>,
    ) -> anyhow::Result<Result<Hook, E>> {
        let mut turn = self.switch.turn().await;
        let before = turn.settings();
        let change = match decide(&before.hooks) {
            Ok(change) => change,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let is_deletion = matches!(change, Change::Delete(_));
        let templates = before.hook_templates();
        let changed = before.hooks.changed(change, self.clock.now(), templates);
        let (hooks, hook) = changed.context("there is no such hook")?;
        let notes = match is_deletion {
            true => store::delete(hook.id),
            false => store::write(&hooks, &hook),
        };
        self.queue.write_notes(notes).await?;
        turn.put_hook_in_force(before.with_hooks(Arc::new(hooks)), &hook.lane())
            .await?;
        let was_active = before.hooks.by_id(hook.id).is_none_or(|was| was.active);
        if is_deletion {
            self.clear(hook.id).await;
        } else if was_active != hook.active {
            self.hold_or_resume(&hook).await;
        }
        Ok(Ok(hook))
    }

    /// Brings lanes in line with hooks, where a crash came between the two.
    pub async fn tidy_up(&self, deleted: &[u64]) {
        let turn = self.switch.turn().await;
        for id in deleted {
            self.clear(*id).await;
        }
        let lanes = self.queue.lanes();
        let by_name: HashMap<&str, &LaneStatus> = (lanes.iter())
            .map(|lane| (&*lane.destination, lane))
            .collect();
        for hook in turn.settings().hooks.all() {
            let lane = by_name.get(&*hook.lane()).copied();
            if hook.active == lane.is_some_and(is_held_as_inactive) {
                self.hold_or_resume(hook).await;
            }
        }
        for lane in lanes.iter().filter(|lane| has_lost_its_hook(lane, deleted)) {
            warn!(
                "the record of {} is lost by damage; {} deliveries wait in its lane, which \
                 `gogs-relay destinations discard {0}` clears",
                lane.destination, lane.waiting
            );
        }
    }

    /// Cancels what waits for a deleted hook.
    async fn clear(&self, id: u64) {
        let lane = format!("hook:{id}");
        match self.queue.discard(&lane, Range::All, None).await {
            // The queue logs how many.
            Ok(_) | Err(QueueError::NoSuchLane(_)) => {}
            // The next start does it.
            Err(error) => {
                return warn!(%error, "what waits for the deleted hook {id} stays for now");
            }
        }
        if let Err(error) = self.queue.write_notes(store::forget(id)).await {
            warn!(%error, "the deleted hook {id} is still remembered");
        }
    }

    async fn hold_or_resume(&self, hook: &Hook) {
        let lane = hook.lane();
        let done = match hook.active {
            true => self.queue.resume(&lane).await,
            false => {
                let words = match hook.gave_up {
                    Some(_) => format!("{INACTIVE}: for five days it did nothing but fail"),
                    None => INACTIVE.to_owned(),
                };
                self.queue.hold(&lane, words).await
            }
        };
        if let Err(error) = done {
            warn!(%error, "the lane of hook {} is not yet held or resumed as it should be", hook.id);
        }
    }
}

/// Whether something waits for a hook that nobody deleted and that is not there. Of one that was
/// deleted only dead letters can be left.
fn has_lost_its_hook(lane: &LaneStatus, deleted: &[u64]) -> bool {
    let id = Hook::of_lane(&lane.destination);
    lane.orphaned && lane.waiting > 0 && id.is_some_and(|id| !deleted.contains(&id))
}

fn is_held_as_inactive(lane: &LaneStatus) -> bool {
    let held = lane.held.as_ref();
    held.is_some_and(|held| held.manual && held.words.starts_with(INACTIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(destination: &str, waiting: u64, dead: u64) -> LaneStatus {
        LaneStatus {
            destination: destination.into(),
            orphaned: true,
            held: None,
            waiting,
            dead,
            kept_back: None,
            oldest: None,
            next_try: None,
            failing_since: None,
            last_error: None,
        }
    }

    #[test]
    fn dead_letters_of_a_deleted_hook_are_no_damage() {
        assert!(has_lost_its_hook(&lane("hook:7", 1, 0), &[]));
        assert!(!has_lost_its_hook(&lane("hook:7", 0, 3), &[]));
        assert!(!has_lost_its_hook(&lane("hook:7", 1, 0), &[7]));
        assert!(!has_lost_its_hook(&lane("chat", 1, 0), &[]));
    }
}
