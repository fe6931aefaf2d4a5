//! All hooks as they are at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::destination::Destination;
use crate::hook::{Hook, HookConfig, HookKind, Repository};

/// All hooks, active or not. Never changed: a change makes another.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    by_id: BTreeMap<u64, Arc<Entry>>,
    /// Ids in ascending order.
    by_repository: HashMap<(Arc<str>, String), Vec<u64>>,
    /// The id of the next hook.
    next: u64,
}

#[derive(Debug)]
struct Entry {
    hook: Hook,
    destination: Destination,
}

/// A hook that is to be made.
#[derive(Clone, Debug)]
pub struct Draft {
    pub repository: Repository,
    pub kind: HookKind,
    pub config: HookConfig,
    pub events: Vec<String>,
    pub active: bool,
}

/// What is to become of the hooks.
#[derive(Clone, Debug)]
pub enum Change {
    Create(Draft),
    /// The hook of the same id becomes this one; its times are those of the change.
    Replace(Hook),
    Delete(u64),
}

impl Hooks {
    /// Those that were stored. `next` is the id that was to be given next.
    pub fn new(hooks: Vec<Hook>, next: u64, templates: &str) -> Hooks {
        let mut all = Hooks {
            next: next.max(1),
            ..Hooks::default()
        };
        for hook in hooks {
            all.insert(hook, templates);
        }
        all
    }

    /// The id of the next hook.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The hook of this id, if it is one of this repository's.
    pub fn get(&self, repository: &Repository, id: u64) -> Option<&Hook> {
        self.by_id(id).filter(|hook| hook.repository == *repository)
    }

    /// The hook of this id.
    pub fn by_id(&self, id: u64) -> Option<&Hook> {
        self.by_id.get(&id).map(|entry| &entry.hook)
    }

    /// The hooks of a repository, by its source and its name (`owner/name`), oldest first.
    pub fn of(&self, source: &str, name: &str) -> impl Iterator<Item = &Hook> + use<'_> {
        let key = || (Arc::from(source), name.to_lowercase());
        let ids = (!self.by_repository.is_empty()).then(key);
        let ids = ids.and_then(|key| self.by_repository.get(&key));
        let ids = ids.map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| self.by_id(*id))
    }

    /// All hooks, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Hook> {
        self.by_id.values().map(|entry| &entry.hook)
    }

    /// Where the lane of this name delivers to, if it is a hook's.
    pub fn of_lane(&self, name: &str) -> Option<&Destination> {
        let entry = self.by_id.get(&Hook::of_lane(name)?)?;
        Some(&entry.destination)
    }

    /// Where their lanes deliver to.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.by_id.values().map(|entry| &entry.destination)
    }

    /// The same hooks with messages of another set of templates.
    pub fn with_templates(&self, templates: &str) -> Hooks {
        Hooks::new(self.all().cloned().collect(), self.next, templates)
    }

    /// The hooks after a change at `now`, and the hook in question as it is then, or as it was
    /// when it is deleted. `None` when there is no hook of the id.
    pub fn changed(
        &self,
        change: Change,
        now: Timestamp,
        templates: &str,
    ) -> Option<(Hooks, Hook)> {
        let mut next = self.clone();
        let hook = match change {
            Change::Create(draft) => {
                next.next += 1;
                draft.hook(self.next, now)
            }
            Change::Replace(hook) => {
                let before = next.remove(hook.id)?;
                Hook {
                    created: before.created,
                    updated: now,
                    gave_up: hook.gave_up.filter(|_| !hook.active),
                    ..hook
                }
            }
            Change::Delete(id) => {
                let hook = next.remove(id)?;
                return Some((next, hook));
            }
        };
        next.insert(hook.clone(), templates);
        Some((next, hook))
    }

    fn insert(&mut self, hook: Hook, templates: &str) {
        self.next = self.next.max(hook.id + 1);
        let ids = self.by_repository.entry(hook.repository.key()).or_default();
        if let Err(place) = ids.binary_search(&hook.id) {
            ids.insert(place, hook.id);
        }
        let entry = Entry {
            destination: hook.destination(templates),
            hook,
        };
        self.by_id.insert(entry.hook.id, Arc::new(entry));
    }

    fn remove(&mut self, id: u64) -> Option<Hook> {
        let entry = self.by_id.remove(&id)?;
        let key = entry.hook.repository.key();
        if let Some(ids) = self.by_repository.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_repository.remove(&key);
            }
        }
        Some(entry.hook.clone())
    }
}

impl Draft {
    fn hook(self, id: u64, now: Timestamp) -> Hook {
        Hook {
            id,
            repository: self.repository,
            kind: self.kind,
            config: self.config,
            events: self.events,
            active: self.active,
            gave_up: None,
            created: now,
            updated: now,
        }
    }
}
