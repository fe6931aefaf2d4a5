//! Reads relay.yaml and the templates again while the relay runs, and puts what changed in force:
//! all of it or, where there is a mistake, nothing.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{self, Changes, Origin, Problem, Severity};
use crate::ingest::Gates;
use crate::plan::Templates;
use crate::settings::{Settings, Switch};

/// So many who ask for a reload may wait for their turn.
const WAITING: usize = 16;

/// Asks for reloads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Reply>);

/// What a [`Reloader`] works off, one by one.
pub type Requests = mpsc::Receiver<Reply>;

/// Where the outcome of a reload is told.
pub type Reply = oneshot::Sender<Result<Report, Refused>>;

/// Both ends of the line between those who ask for reloads and the [`Reloader`].
pub fn requests() -> (Reload, Requests) {
    let (ask, requests) = mpsc::channel(WAITING);
    (Reload(ask), requests)
}

impl Reload {
    /// Reloads, after those who asked before. It is done even if nobody waits for the answer.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn now(&self) -> Result<Report, Refused> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Refused::Failed(Arc::new(anyhow!("the relay is stopping")));
        self.0.send(reply).await.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// What a reload put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `destinations.team-slack`, `routes`, `templates/mine/slack/push.hbs`: also what is new or
    /// gone. Empty when everything is as it was.
    pub changed: Vec<String>,
    /// Keys whose new values count from the next start on: `limits.sends`.
    pub needs_restart: Vec<String>,
    /// Destinations that are gone, each with how many deliveries wait in its lane.
    pub orphaned: Vec<Orphaned>,
    /// Lanes that a destination took over by `was`.
    pub taken_over: Vec<TakenOver>,
    /// What `check` would say of the file, which is no mistake.
    pub warnings: Vec<Problem>,
}

/// A destination that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphaned {
    pub destination: Arc<str>,
    pub waiting: u64,
}

/// A lane that changed its destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TakenOver {
    pub was: Arc<str>,
    pub destination: Arc<str>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Mistakes(Mistakes),
    #[error("{0:#}")]
    Failed(Arc<anyhow::Error>),
}

/// Everything that is wrong, and the warnings among it.
#[derive(Clone, Debug)]
pub struct Mistakes(pub Vec<Problem>);

impl Mistakes {
    /// As `check` draws them, without colour.
    pub fn drawn(&self) -> String {
        let mut drawn = Vec::new();
        // Writing to memory cannot fail.
        config::draw(&mut drawn, &self.0, false).ok();
        String::from_utf8_lossy(&drawn).into_owned()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mistakes = self.0.iter().filter(|it| it.severity == Severity::Error);
        match mistakes.count() {
            1 => f.write_str("nothing was changed, because of 1 mistake"),
            count => write!(f, "nothing was changed, because of {count} mistakes"),
        }
    }
}

/// Reloads one after the other, and tells the log what came of each.
#[derive(Debug)]
pub struct Reloader {
    origin: Origin,
    switch: Switch,
}

impl Reloader {
    /// Replaces the settings in force by what `origin` says.
    pub fn new(origin: Origin, switch: Switch) -> Reloader {
        Reloader { origin, switch }
    }

    /// Reloads when `requests` or `hangup` ask for it, until `shutdown`.
    pub async fn run(
        self,
        mut requests: Requests,
        hangup: Arc<Notify>,
        shutdown: CancellationToken,
    ) {
        loop {
            let reply = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                Some(reply) = requests.recv() => Some(reply),
                () = hangup.notified() => None,
            };
            let Some(outcome) = shutdown.run_until_cancelled(self.reload()).await else {
                return;
            };
            self.tell(&outcome);
            if let Some(reply) = reply {
                // Nobody there to hear it is no fault.
                reply.send(outcome).ok();
            }
        }
    }

    async fn reload(&self) -> Result<Report, Refused> {
        let mut turn = self.switch.turn().await;
        let (origin, running) = (self.origin.clone(), turn.settings());
        let reading = tokio::task::spawn_blocking(move || read(&origin, &running));
        let read = reading.await.context("reading relay.yaml panicked");
        let (next, mut report) = read.map_err(failed)??;
        if report.changed.is_empty() {
            return Ok(report);
        }
        let configured = turn.put_in_force(next).await.map_err(failed)?;
        let orphaned = configured.orphaned.into_iter();
        report.orphaned = orphaned
            .map(|orphan| Orphaned {
                destination: orphan.destination,
                waiting: orphan.waiting,
            })
            .collect();
        let taken_over = configured.taken_over.into_iter();
        report.taken_over = taken_over
            .map(|(was, destination)| TakenOver { was, destination })
            .collect();
        Ok(report)
    }

    fn tell(&self, outcome: &Result<Report, Refused>) {
        let path = self.origin.path.display();
        match outcome {
            Ok(report) => info!("reloaded {path}: {report}"),
            Err(Refused::Mistakes(mistakes)) => {
                warn!("did not reload {path}: {mistakes}\n{}", mistakes.drawn());
            }
            Err(Refused::Failed(error)) => warn!("failed to reload {path}: {error:#}"),
        }
    }
}

impl fmt::Display for Report {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.changed.is_empty() {
            true => f.write_str("nothing has changed")?,
            false => write!(f, "changed {}", self.changed.join(", "))?,
        }
        if !self.needs_restart.is_empty() {
            write!(f, "; needs a restart: {}", self.needs_restart.join(", "))?;
        }
        for TakenOver { was, destination } in &self.taken_over {
            write!(f, "; {destination} goes on where {was} was")?;
        }
        for Orphaned {
            destination,
            waiting,
        } in &self.orphaned
        {
            write!(f, "; {destination} is gone, {waiting} wait in its lane")?;
        }
        Ok(())
    }
}

fn failed(error: anyhow::Error) -> Refused {
    Refused::Failed(Arc::new(error))
}

/// What the files say now, as settings to follow `running`, and what is different in it.
fn read(origin: &Origin, running: &Settings) -> Result<(Settings, Report), Refused> {
    let loaded = config::load(&origin.path, &origin.environment, &Templates::names);
    let loaded = loaded.map_err(|problems| Refused::Mistakes(Mistakes(problems)))?;
    let (config, mut problems) = (loaded.config, loaded.warnings);
    let (templates, broken) = Templates::load(&config.templates);
    problems.extend(broken);
    problems.extend(templates.check());
    problems.extend(config.exposed_by(&running.config));
    if problems.iter().any(|it| it.severity == Severity::Error) {
        return Err(Refused::Mistakes(Mistakes(problems)));
    }
    let (config, changes) = config.taken_over_by(&running.config);
    let Changes {
        mut changed,
        needs_restart,
    } = changes;
    let files = templates.changed_since(&running.templates);
    let templates = match files.is_empty() {
        true => running.templates.clone(),
        false => Arc::new(templates),
    };
    changed.extend(files.iter().map(|file| format!("templates/{file}")));
    let mut next = Settings::new(config, templates).map_err(|error| failed(error.into()))?;
    let gates = Gates::new(&next.config.sources);
    next.gates = Arc::new(gates.succeed(&running.gates));
    let hooks = match next.hook_templates() {
        same if same == running.hook_templates() => running.hooks.clone(),
        other => Arc::new(running.hooks.with_templates(other)),
    };
    let next = next.with_hooks(hooks);
    let report = Report {
        changed,
        needs_restart,
        warnings: problems,
        ..Report::default()
    };
    Ok((next, report))
}
