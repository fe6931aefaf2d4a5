//! Brings the hooks of many repositories to where they should be.
//!
//! The order is such that no event is lost, wherever it ends: the right hook is there and active
//! before another one is switched off; what is switched off stays until Gogs has delivered what
//! it had queued for it, since deleting a hook deletes its queue. For as long as both are active,
//! a moment, an event comes by both, with the same body, and is one event by the source's
//! `same_body`.

use std::ops::ControlFlow;
use std::time::Duration;

use secrecy::SecretString;

use super::error::GogsError;
use super::gogs::Gogs;
use super::plan::{Fault, Keep, Plan, Retire, Wanted, plan};
use super::report::{Action, Outcome, Report};
use super::{RemoteHook, Unaccepted};
use crate::clock::Clock;

/// What is to be done, and how.
pub struct Sync<'a> {
    pub gogs: &'a mut Gogs,
    pub wanted: &'a Wanted,
    /// That of new hooks.
    pub secret: Option<&'a SecretString>,
    /// How long a hook stays after it was switched off.
    pub settle: Duration,
    /// Whether the source takes equal bodies within some time for one event.
    pub folds: bool,
    pub clock: Clock,
}

/// A repository, and what is to be done there.
struct Task {
    outcome: usize,
    repository: String,
    plan: Plan,
}

impl Sync<'_> {
    /// Looks at every repository, and changes nothing. `tell` is told what is being looked at.
    pub async fn look(&mut self, repositories: &[String], tell: impl FnMut(&str)) -> Report {
        let (mut report, tasks) = self.plan_all(repositories, tell).await;
        report.dry_run = true;
        for task in tasks {
            foretell(&task.plan, &mut report.repositories[task.outcome]);
        }
        report
    }

    /// Looks at every repository and then does what is to be done. `ready` is asked once before
    /// the first change.
    ///
    /// # Errors
    /// What `ready` says; nothing was done then.
    pub async fn run(
        &mut self,
        repositories: &[String],
        ready: impl AsyncFnOnce() -> Result<(), Unaccepted>,
        mut tell: impl FnMut(&str),
    ) -> Result<Report, Unaccepted> {
        let (mut report, tasks) = self.plan_all(repositories, &mut tell).await;
        if report.stopped.is_some() {
            return Ok(report);
        }
        if !tasks.is_empty() {
            ready().await?;
        }
        let mut retiring = Vec::new();
        for task in tasks {
            tell(&task.repository);
            let outcome = &mut report.repositories[task.outcome];
            match self.establish(&task, outcome).await {
                Ok(()) if task.plan.retire.is_empty() => {}
                Ok(()) => retiring.push(task),
                Err(trouble) if fail(&mut report, task.outcome, &trouble).is_break() => {
                    return Ok(report);
                }
                Err(_) => {}
            }
        }
        if !retiring.is_empty() {
            tell("waiting until Gogs has sent what it has queued for the hooks that go");
            self.clock.sleep(self.settle).await;
        }
        for task in retiring {
            tell(&task.repository);
            let outcome = &mut report.repositories[task.outcome];
            if let Err(trouble) = self.clear(&task, outcome).await
                && fail(&mut report, task.outcome, &trouble).is_break()
            {
                break;
            }
        }
        Ok(report)
    }

    /// One outcome a repository, and the tasks there are.
    async fn plan_all(
        &mut self,
        repositories: &[String],
        mut tell: impl FnMut(&str),
    ) -> (Report, Vec<Task>) {
        let (mut report, mut tasks) = (Report::default(), Vec::new());
        for repository in repositories {
            tell(repository);
            let outcome = report.repositories.len();
            report.repositories.push(Outcome::new(repository));
            let hooks = match self.gogs.hooks(repository).await.map_err(Trouble::from) {
                Ok(hooks) => hooks,
                Err(trouble) if fail(&mut report, outcome, &trouble).is_break() => break,
                Err(_) => continue,
            };
            let plan = plan(&hooks, self.wanted);
            if !plan.is_done() {
                tasks.push(Task {
                    outcome,
                    repository: repository.clone(),
                    plan,
                });
            }
        }
        (report, tasks)
    }

    /// Makes or repairs the one hook; then switches off the others.
    async fn establish(&mut self, task: &Task, outcome: &mut Outcome) -> Result<(), Trouble> {
        let (repository, plan) = (task.repository.as_str(), &task.plan);
        let (url, events) = (self.wanted.address.url(), &self.wanted.events);
        if !self.folds && plan.doubles() {
            return Err(Trouble::NotFolded);
        }
        match &plan.keep {
            Keep::AsItIs => {}
            Keep::Make(_) => {
                let made = self.gogs.make(repository, url, self.secret, events).await?;
                outcome.did(Action::Make, Some(made.id), &plan.keep);
                self.verify(&made)?;
            }
            Keep::Repair { id, .. } => {
                let hook = (repository, *id);
                let repaired = self.gogs.repair(hook, url, events).await?;
                outcome.did(Action::Repair, Some(*id), &plan.keep);
                self.verify(&repaired)?;
            }
        }
        for old in plan.retire.iter().filter(|old| old.active) {
            self.switch_off(repository, old, outcome).await?;
        }
        Ok(())
    }

    /// Removes the hooks that have been switched off, if all is still as it was left.
    async fn clear(&mut self, task: &Task, outcome: &mut Outcome) -> Result<(), Trouble> {
        let repository = task.repository.as_str();
        let hooks = self.gogs.hooks(repository).await?;
        let now = plan(&hooks, self.wanted);
        if now.keep != Keep::AsItIs {
            return Err(Trouble::Meddled);
        }
        for old in &task.plan.retire {
            let Some(still) = now.retire.iter().find(|it| it.id == old.id) else {
                continue;
            };
            if still.active {
                return Err(Trouble::Meddled);
            }
            self.gogs.remove((repository, old.id)).await?;
            outcome.removed(old.id, it(&old.fault));
        }
        Ok(())
    }

    async fn switch_off(
        &mut self,
        repository: &str,
        old: &Retire,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        let hook = (repository, old.id);
        let hook = self.gogs.switch_off(hook, &old.events).await?;
        if hook.active {
            return Err(GogsError::NotTaken("the switch of a hook").into());
        }
        outcome.did(Action::SwitchOff, Some(old.id), it(&old.fault));
        Ok(())
    }

    /// Gogs drops what it does not know without a word.
    fn verify(&self, hook: &RemoteHook) -> Result<(), Trouble> {
        let now = plan(std::slice::from_ref(hook), self.wanted);
        match now.keep {
            Keep::AsItIs => Ok(()),
            _ => Err(GogsError::NotTaken("these events").into()),
        }
    }
}

/// Why a repository is not as it should be.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Gogs(#[from] GogsError),
    #[error(
        "while its hook is replaced an event comes by both, and `same_body` of the source is off; \
         set it, reload, and run this again"
    )]
    NotFolded,
    #[error("somebody else changed its hooks meanwhile; run this again")]
    Meddled,
}

impl Trouble {
    /// Whether all further requests would fail too.
    fn ends_it(&self) -> bool {
        matches!(self, Trouble::Gogs(error) if error.ends_it())
    }
}

/// Notes a failure. Says whether to go on with other repositories.
fn fail(report: &mut Report, outcome: usize, trouble: &Trouble) -> ControlFlow<()> {
    report.repositories[outcome].error = Some(trouble.to_string());
    if trouble.ends_it() {
        report.stopped = Some(trouble.to_string());
        return ControlFlow::Break(());
    }
    ControlFlow::Continue(())
}

/// Notes what a plan would do.
fn foretell(plan: &Plan, outcome: &mut Outcome) {
    match &plan.keep {
        Keep::AsItIs => {}
        Keep::Make(_) => outcome.did(Action::Make, None, &plan.keep),
        Keep::Repair { id, .. } => outcome.did(Action::Repair, Some(*id), &plan.keep),
    }
    for old in &plan.retire {
        outcome.did(Action::Remove, Some(old.id), it(&old.fault));
    }
}

fn it(fault: &Fault) -> String {
    format!("it {fault}")
}
