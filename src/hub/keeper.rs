//! Ends subscriptions: with their leases, when their readers are gone for good, and when what they
//! are about is no longer for everybody.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::known::Privacy;
use super::pending::Pending;
use super::{Hub, subscribed};
use crate::delivery::Reason;
use crate::hook::{Hook, Subscription};
use crate::hooks::{Change, Hooks};
use crate::queue::LaneStatus;

/// How often subscriptions are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Looks after subscriptions until `stop`.
pub(super) async fn keep(hub: &Hub, stop: CancellationToken) {
    loop {
        end_all_that_is_over(hub).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = hub.stirred.notified() => {}
            () = hub.clock.sleep(EVERY) => {}
        }
    }
}

/// The same once, at a start: what happened while there was no hub is looked for.
pub(super) async fn tidy_up(hub: &Hub) {
    let settings = hub.settings();
    let open = |hook: &&Hook| hook.config.subscription.as_ref().is_some_and(|it| it.open);
    let open = subscribed(&settings.hooks).filter(open);
    let of_open = open.map(|hook| &hook.repository);
    hub.repositories.catch_up(of_open).await;
    hub.repositories.tidy_up().await;
    end_all_that_is_over(hub).await;
}

/// Looks at each once.
async fn end_all_that_is_over(hub: &Hub) {
    let settings = hub.settings();
    for hook in subscribed(&settings.hooks) {
        let Some(subscription) = &hook.config.subscription else {
            continue;
        };
        if let Some(why) = over(hub, hook, subscription) {
            end(hub, hook, why).await;
        }
    }
}

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Lease,
    Gone,
    NotOpen,
}

fn over(hub: &Hub, hook: &Hook, subscription: &Subscription) -> Option<Over> {
    if hub.clock.now() >= subscription.until {
        return Some(Over::Lease);
    }
    let settings = hub.settings();
    if subscription.open
        && let Some(of) = &settings.config.hub
    {
        let known = hub.repositories.known_privacy(&hook.repository);
        if known == Some(Privacy::Private) || !of.opens(&hook.repository.name) {
            return Some(Over::NotOpen);
        }
    }
    is_gone(hub, hook).then_some(Over::Gone)
}

/// Whether its reader answered 410 since it subscribed last.
fn is_gone(hub: &Hub, hook: &Hook) -> bool {
    let lane = hook.lane();
    let last = hub.queue.last_attempt(&lane);
    last.is_some_and(|last| last.reason == Reason::EndpointGone)
        && held(hub, &lane).is_some_and(|held| held >= hook.updated)
}

/// Since when a lane is held because its reader is gone.
fn held(hub: &Hub, lane: &str) -> Option<crate::clock::Timestamp> {
    let is_it = |status: &LaneStatus| &*status.destination == lane;
    let status = hub.queue.lanes().into_iter().find(is_it)?;
    let held = status
        .held
        .filter(|held| held.reason == Reason::EndpointGone)?;
    Some(held.since)
}

/// Ends the hold of a lane whose reader subscribed again.
pub(super) async fn resume(hub: &Hub, lane: &Arc<str>) {
    if held(hub, lane).is_some()
        && let Err(error) = hub.queue.resume(lane).await
    {
        warn!(%error, "the lane {lane} is still held");
    }
}

async fn end(hub: &Hub, hook: &Hook, why: Over) {
    if why == Over::NotOpen
        && let Some(denied) = Pending::denied(hook, hub.clock.now())
        && let Err(error) = hub.verifier.take(denied).await
    {
        // Nothing goes to it meanwhile, and it is ended when it is looked at next.
        return warn!(%error, "the reader of hook {} is not yet told of its end", hook.id);
    }
    let (id, until) = (hook.id, hook.config.subscription.clone());
    let decide = move |hooks: &Hooks| {
        // It may have been renewed just now.
        let now = hooks.by_id(id).map(|hook| &hook.config.subscription);
        match now == Some(&until) || (why == Over::NotOpen && now.is_some()) {
            true => Ok(Change::Delete(id)),
            false => Err(()),
        }
    };
    let repository = &hook.repository.name;
    match hub.desk.change(decide).await {
        Ok(Ok(_)) => match why {
            Over::Lease => info!("the subscription of hook {id} to {repository} ran out"),
            Over::Gone => info!("the reader of hook {id} is gone, and so is its subscription"),
            Over::NotOpen => info!("{repository} is no longer for everybody: hook {id} ended"),
        },
        Ok(Err(())) => {}
        Err(error) => warn!(%error, "the subscription of hook {id} is over, and is still there"),
    }
}
