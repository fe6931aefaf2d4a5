//! Asks readers whether they meant what was asked for in their names, and does what they confirm.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::known::Privacy;
use super::pending::{Mode, Pending};
use super::question::Said;
use super::subscriptions::{self, Unchanged};
use super::{Hub, Refused, broke_off, seconds};
use crate::clock::Timestamp;
use crate::hooks::Hooks;
use crate::send::caught::caught;

/// After a fault of our own, everything rests so long.
const PAUSE: Duration = Duration::from_secs(5);

/// Asks what waits until `stop`. What is under way then waits for the next start.
pub(super) async fn run(hub: Hub, stop: CancellationToken) {
    let verifier = hub.verifier.clone();
    loop {
        let changed = verifier.changed.notified();
        let place = verifier.places.clone().acquire_owned();
        let Some(Ok(place)) = stop.run_until_cancelled(place).await else {
            return;
        };
        let again = match verifier.next() {
            Ok(pending) => {
                let (hub, stop) = (hub.clone(), stop.clone());
                verifier.tasks.spawn(async move {
                    stop.run_until_cancelled(verify(&hub, &pending)).await;
                    drop(place);
                    hub.verifier.changed.notify_one();
                });
                continue;
            }
            Err(again) => again,
        };
        drop(place);
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
            () = verifier.clock.sleep_until(again) => {}
        }
    }
}

/// Asks one reader, and does what it confirms. A panic costs one question and not the request.
async fn verify(hub: &Hub, pending: &Arc<Pending>) {
    let verifier = &hub.verifier;
    let host = pending.host();
    let judged = caught(judge(hub, pending)).await.unwrap_or_else(|| {
        error!("asking {host} panicked: a bug of gogs-relay");
        Judged::Unanswered
    });
    let is_over = match judged {
        Judged::Over => true,
        Judged::Later(until) => !verifier.put_off(pending, Some(until)),
        Judged::Unanswered => !verifier.put_off(pending, None),
    };
    if is_over && let Err(error) = verifier.forget(pending).await {
        warn!(%error, "a request of {host} to the hub is still remembered");
        verifier.put_off(pending, Some(verifier.clock.elapsed() + PAUSE));
    }
}

/// What becomes of a request.
enum Judged {
    /// Nothing is left to do for it.
    Over,
    /// Its reader is not to be asked before this time of [`Clock::elapsed`](crate::clock::Clock).
    Later(Duration),
    /// Its reader did not say what it wants.
    Unanswered,
}

async fn judge(hub: &Hub, pending: &Arc<Pending>) -> Judged {
    let verifier = &hub.verifier;
    let asked = verifier.clock.now();
    let host = pending.callback.to_string();
    let (mode, topic) = (pending.mode.name(), &pending.topic);
    match ask(hub, pending).await {
        Err(until) => Judged::Later(until),
        Ok(Said::Nothing(words)) => {
            debug!("{host} did not say whether to {mode}: {words}");
            Judged::Unanswered
        }
        Ok(Said::No(words)) => {
            debug!("{host} did not confirm {mode} of {topic}: {words}");
            Judged::Over
        }
        // Another request about the same subscription came meanwhile.
        Ok(Said::Yes) if !verifier.is_current(pending) => Judged::Over,
        Ok(Said::Yes) => match confirm(hub, pending.clone(), asked).await {
            Ok(()) | Err(Refused::TooMany) => Judged::Over,
            Err(error) => {
                warn!("{mode} of {topic} by {host} waits on: {error}");
                Judged::Later(verifier.clock.elapsed() + PAUSE)
            }
        },
    }
}

/// Asks, if that is still to be done. The error is when it may be done at all.
async fn ask(hub: &Hub, pending: &Arc<Pending>) -> Result<Said, Duration> {
    let verifier = &hub.verifier;
    if !is_still_open(hub, pending).await {
        return Ok(Said::No("the topic is no longer for everybody".to_owned()));
    }
    match verifier.count(pending).await {
        Ok(true) => verifier.ask(hub, pending).await,
        Ok(false) => Ok(Said::No("it has been asked often enough".to_owned())),
        Err(error) => {
            warn!(%error, "a question to {} waits", pending.host());
            Err(verifier.clock.elapsed() + PAUSE)
        }
    }
}

/// The same while the reader's request waits for its answer.
pub(super) async fn at_once(hub: &Hub, pending: Pending) -> Result<(), Refused> {
    let verifier = &hub.verifier;
    let now = verifier.clock.elapsed();
    let later = |until: Duration| Refused::Host(seconds(until.saturating_sub(now)));
    let may_ask = verifier.may_ask(&pending, &pending.host(), now);
    may_ask.map_err(later)?;
    let place = verifier.places.try_acquire();
    let _place = place.map_err(|_| Refused::Full)?;
    let asked = verifier.clock.now();
    match verifier.ask(hub, &pending).await.map_err(later)? {
        Said::Yes => {
            let own = hub.clone();
            let confirming = async move {
                let key = pending.key();
                confirm(&own, Arc::new(pending), asked).await?;
                own.verifier.forget_older(key).await;
                Ok(())
            };
            hub.finish(confirming).await.ok_or_else(broke_off)?
        }
        Said::No(words) | Said::Nothing(words) => Err(Refused::Unconfirmed(words)),
    }
}

/// A subscription without credentials is only for what is for everybody still.
async fn is_still_open(hub: &Hub, pending: &Pending) -> bool {
    let settings = hub.settings();
    match (&settings.config.hub, pending.mode) {
        (_, Mode::Unsubscribe | Mode::Denied) => true,
        (Some(of), Mode::Subscribe) => !pending.open || hub.is_open(of, &pending.repository).await,
        (None, Mode::Subscribe) => false,
    }
}

/// Makes, renews or ends the subscription.
async fn confirm(hub: &Hub, pending: Arc<Pending>, asked: Timestamp) -> Result<(), Refused> {
    let (mode, topic) = (pending.mode, pending.topic.clone());
    let decide = move |hooks: &Hooks| subscriptions::confirmed(hooks, &pending, asked);
    let hook = match hub.desk.change(decide).await? {
        Ok(hook) => hook,
        Err(Unchanged::Done) => return Ok(()),
        Err(Unchanged::Full) => return Err(Refused::TooMany),
    };
    match mode {
        Mode::Subscribe => info!("hook {} is subscribed to {topic}", hook.id),
        Mode::Unsubscribe | Mode::Denied => info!("hook {} is unsubscribed from {topic}", hook.id),
    }
    // What held its lane is over: its reader has just answered.
    if mode == Mode::Subscribe {
        super::keeper::resume(hub, &hook.lane()).await;
    }
    // It may have turned private since the reader was asked.
    if hub.repositories.privacy(&hook.repository).await == Privacy::Private {
        hub.stirred.notify_one();
    }
    Ok(())
}
