//! Hooks whose receivers have been gone for days are made inactive, so that nothing more piles up
//! for them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::desk::Desk;
use super::registry::Change;
use crate::clock::Timestamp;
use crate::hook::{Hook, HookKind};
use crate::queue::LaneStatus;

/// Whoever takes nothing for so long is not coming back by itself.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400);

/// How often hooks are looked at.
const EVERY: Duration = Duration::from_secs(600);

/// Makes hooks inactive that have done nothing but fail for five days, until `stop`. Neither the
/// time that the relay was off nor a hold by hand counts.
pub async fn watch(desk: Desk, stop: CancellationToken) {
    let started = desk.clock.now();
    while let Some(()) = stop.run_until_cancelled(desk.clock.sleep(EVERY)).await {
        let settings = desk.settings().await;
        for lane in desk.queue.lanes() {
            let hook = Hook::of_lane(&lane.destination);
            let hook = hook.and_then(|id| settings.hooks.by_id(id));
            // A subscription lasts as long as its lease.
            let is_watched = |hook: &&Hook| hook.active && hook.kind != HookKind::WebSub;
            let Some(hook) = hook.filter(is_watched) else {
                continue;
            };
            // Whoever changed it last wants it tried for as long.
            let since = fails_since(&lane, started).map(|since| since.max(hook.updated));
            if since.is_some_and(|since| desk.clock.now().since(since) >= PATIENCE) {
                give_up(&desk, hook.id, &lane).await;
            }
        }
    }
}

fn fails_since(lane: &LaneStatus, started: Timestamp) -> Option<Timestamp> {
    let held = lane.held.as_ref();
    match held {
        // A probe may pass as soon as the relay runs again.
        Some(held) => (!held.manual).then_some(held.since.max(started)),
        None => lane.failing_since,
    }
}

async fn give_up(desk: &Desk, id: u64, lane: &LaneStatus) {
    let now = desk.clock.now();
    let given_up = desk.change(move |hooks| {
        let hook = hooks.by_id(id).cloned();
        let hook = hook.map(|hook| Hook {
            active: false,
            gave_up: Some(now),
            ..hook
        });
        // Somebody may have deleted it meanwhile.
        hook.map(Change::Replace).ok_or(())
    });
    match given_up.await {
        Ok(Ok(hook)) => warn!(
            "hook {id} of {} is inactive now: it did nothing but fail for five days, last with: {}",
            hook.repository.name,
            lane.last_error.as_deref().unwrap_or("no answer")
        ),
        Ok(Err(())) => {}
        Err(error) => warn!(%error, "hook {id} fails, and cannot be made inactive"),
    }
}
