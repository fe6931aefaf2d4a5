//! How hooks are stored: as notes of the queue, each under its id, beside the id that is given
//! next. A hook that is being deleted leaves an empty note until its lane is cleared.

use anyhow::Context;

use super::registry::Hooks;
use crate::hook::Hook;
use crate::queue::{Note, Notes};

const NEXT: &str = "hooks-next";
const EACH: &str = "hook/";

/// What was stored.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    pub hooks: Vec<Hook>,
    /// The id that is given next.
    pub next: u64,
    /// Ids of deleted hooks whose lanes may still hold something.
    pub deleted: Vec<u64>,
}

/// Finds the hooks among the queue's notes.
///
/// # Errors
/// In words, when one is not as this version stores it.
pub fn read(notes: &Notes) -> anyhow::Result<Stored> {
    let mut stored = Stored::default();
    for (name, value) in notes {
        if name == NEXT {
            let next = value.as_slice().try_into().map(u64::from_be_bytes);
            stored.next = next.context("the id of the next hook is unreadable")?;
        } else if let Some(id) = name.strip_prefix(EACH) {
            match value.is_empty() {
                true => stored.deleted.extend(id.parse::<u64>()),
                false => {
                    let hook = Hook::decode(value);
                    let hook = hook.with_context(|| format!("the stored hook {id}"))?;
                    stored.hooks.push(hook);
                }
            }
        }
    }
    Ok(stored)
}

/// What makes `hook` durable, as one of `hooks`.
pub(super) fn write(hooks: &Hooks, hook: &Hook) -> Vec<Note> {
    vec![
        note(hook.id, Some(hook.encode())),
        Note {
            name: NEXT.to_owned(),
            value: Some(hooks.next().to_be_bytes().to_vec()),
        },
    ]
}

/// What makes it durable that a hook is deleted.
pub(super) fn delete(id: u64) -> Vec<Note> {
    vec![note(id, Some(Vec::new()))]
}

/// What forgets a deleted hook.
pub(super) fn forget(id: u64) -> Vec<Note> {
    vec![note(id, None)]
}

fn note(id: u64, value: Option<Vec<u8>>) -> Note {
    Note {
        name: format!("{EACH}{id}"),
        value,
    }
}
