//! What becomes of hooks when a reader has confirmed what it asked for. Pure.

use super::pending::{self, Mode, Pending};
use super::subscribed;
use crate::clock::Timestamp;
use crate::hook::Hook;
use crate::hooks::{Change, Hooks};

/// Subscriptions that took no credentials: to one host and port, and in all.
const OF_HOST: usize = 200;
const OF_ALL: usize = 10_000;

/// Why nothing is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unchanged {
    /// It is so already.
    Done,
    /// There are too many.
    Full,
}

/// The subscription that a request is about.
pub(super) fn find<'h>(hooks: &'h Hooks, pending: &Pending) -> Option<&'h Hook> {
    let repository = &pending.repository;
    let mut all = hooks.of(&repository.source, &repository.name);
    all.find(|hook| pending.is_about(hook))
}

/// What a request changes that was confirmed by the answer to a question of `asked`.
pub(super) fn confirmed(
    hooks: &Hooks,
    pending: &Pending,
    asked: Timestamp,
) -> Result<Change, Unchanged> {
    let before = find(hooks, pending);
    match (pending.mode, before) {
        (Mode::Subscribe, Some(before)) => {
            let draft = pending.draft(asked);
            Ok(Change::Replace(Hook {
                config: draft.config,
                active: true,
                ..before.clone()
            }))
        }
        (Mode::Subscribe, None) if has_room(hooks, pending) => {
            Ok(Change::Create(pending.draft(asked)))
        }
        (Mode::Subscribe, None) => Err(Unchanged::Full),
        (Mode::Unsubscribe, Some(before)) => Ok(Change::Delete(before.id)),
        (Mode::Unsubscribe, None) | (Mode::Denied, _) => Err(Unchanged::Done),
    }
}

/// Whether it would not be one too many.
pub(super) fn has_room(hooks: &Hooks, pending: &Pending) -> bool {
    if !pending.open || pending.mode != Mode::Subscribe || find(hooks, pending).is_some() {
        return true;
    }
    let host = pending.host();
    let (mut all, mut of_host) = (0, 0);
    for hook in subscribed(hooks) {
        if hook.config.subscription.as_ref().is_some_and(|it| it.open) {
            all += 1;
            of_host += usize::from(pending::host(&hook.config.url) == host);
        }
    }
    all < OF_ALL && of_host < OF_HOST
}
