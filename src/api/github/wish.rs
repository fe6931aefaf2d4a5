//! What a body wishes for a hook: checked, and applied. Pure.

use super::config::ConfigWish;
use super::fault::Fault;
use super::members::{Members, boolean, list, text};
use crate::hook::{Hook, HookConfig, HookKind, Repository};
use crate::hooks::{Draft, Hooks};
use crate::send::egress::Egress;

/// The hook to be made.
///
/// # Errors
/// What GitHub would refuse, or a URL that can never be delivered to.
pub(super) fn draft(
    repository: Repository,
    body: &Members,
    egress: &Egress,
) -> Result<Draft, Fault> {
    check_name(body)?;
    let config = ConfigWish::of(body, egress)?.unwrap_or_default();
    let events = list(body, "events")?.filter(|events| !events.is_empty());
    Ok(Draft {
        repository,
        kind: HookKind::GitHub,
        config: config.fresh()?,
        events: events.unwrap_or_else(|| vec!["push".to_owned()]),
        active: boolean(body, "active")?.unwrap_or(true),
    })
}

/// What an update changes. What it does not name stays.
#[derive(Debug)]
pub(super) struct Update {
    config: Option<ConfigWish>,
    events: Option<Vec<String>>,
    add: Vec<String>,
    remove: Vec<String>,
    active: Option<bool>,
}

impl Update {
    /// # Errors
    /// What GitHub would refuse, or a URL that can never be delivered to.
    pub(super) fn of(body: &Members, egress: &Egress) -> Result<Update, Fault> {
        check_name(body)?;
        Ok(Update {
            config: ConfigWish::of(body, egress)?,
            events: list(body, "events")?,
            add: list(body, "add_events")?.unwrap_or_default(),
            remove: list(body, "remove_events")?.unwrap_or_default(),
            active: boolean(body, "active")?,
        })
    }

    /// # Errors
    /// The hook's kind cannot have it.
    pub(super) fn apply(self, hook: &Hook) -> Result<Hook, Fault> {
        let mut next = hook.clone();
        if let Some(config) = self.config {
            next.config = config.instead_of(hook)?;
        }
        next.events = self.events.unwrap_or(next.events);
        next.events.retain(|event| !self.remove.contains(event));
        for event in self.add {
            if !next.events.contains(&event) {
                next.events.push(event);
            }
        }
        next.active = self.active.unwrap_or(next.active);
        Ok(next)
    }
}

/// Whether another hook of the repository has the same configuration and an event of these.
///
/// # Errors
/// In GitHub's words, if so.
pub(super) fn check_unique(
    hooks: &Hooks,
    repository: &Repository,
    (id, config, events): (Option<u64>, &HookConfig, &[String]),
) -> Result<(), Fault> {
    let is_all = |events: &[String]| events.iter().any(|event| event == "*");
    let overlap = |other: &[String]| {
        is_all(other) || is_all(events) || other.iter().any(|event| events.contains(event))
    };
    let mut others = hooks
        .of(&repository.source, &repository.name)
        .filter(|other| {
            other.kind == HookKind::GitHub && Some(other.id) != id && other.config == *config
        });
    match others.any(|other| overlap(&other.events)) {
        true => Err(Fault::custom("Hook already exists on this repository")),
        false => Ok(()),
    }
}

/// Of a subscription its reader alone decides where it goes and what it gets.
///
/// # Errors
/// When an update says otherwise.
pub(super) fn check_subscription(hook: &Hook, next: &Hook) -> Result<(), Fault> {
    let is_same = hook.config == next.config && hook.events == next.events;
    match hook.kind == HookKind::WebSub && !is_same {
        true => Err(Fault::custom(
            "This is a WebSub subscription, which its subscriber alone can change",
        )),
        false => Ok(()),
    }
}

/// Webhooks are the only hooks that there still are.
fn check_name(body: &Members) -> Result<(), Fault> {
    match text(body, "name")? {
        None | Some("web") => Ok(()),
        Some(_) => Err(Fault::invalid("name")),
    }
}
