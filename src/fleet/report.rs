//! What was done about each repository, or would be.

use serde::Serialize;

/// Of a whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Nothing was done; the changes are what would be.
    pub dry_run: bool,
    pub repositories: Vec<Outcome>,
    /// Why the run ended before its time, if it did.
    pub stopped: Option<String>,
}

/// Of one repository. Neither changes nor an error: it was as it should be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    pub repository: String,
    pub changes: Vec<Change>,
    pub error: Option<String>,
}

/// One thing that was done.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub action: Action,
    /// Unknown of a hook that would be made.
    pub hook: Option<u64>,
    pub why: String,
}

/// What was done to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Make,
    Repair,
    /// On the way to its removal.
    SwitchOff,
    Remove,
}

impl Report {
    /// Repositories that were changed, that were as they should be, and where something failed.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Outcome) -> bool| self.repositories.iter().filter(|it| is(it)).count();
        let failed = count(|it| it.error.is_some());
        let fine = count(|it| it.error.is_none() && it.changes.is_empty());
        (self.repositories.len() - fine - failed, fine, failed)
    }
}

impl Outcome {
    pub(super) fn new(repository: &str) -> Outcome {
        Outcome {
            repository: repository.to_owned(),
            ..Outcome::default()
        }
    }

    pub(super) fn did(&mut self, action: Action, hook: Option<u64>, why: impl ToString) {
        let why = why.to_string();
        self.changes.push(Change { action, hook, why });
    }

    /// A hook that was switched off is gone now.
    pub(super) fn removed(&mut self, hook: u64, why: impl ToString) {
        let off = |it: &Change| it.action == Action::SwitchOff && it.hook == Some(hook);
        self.changes.retain(|it| !off(it));
        self.did(Action::Remove, Some(hook), why);
    }
}
