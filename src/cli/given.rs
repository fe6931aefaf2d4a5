//! An event given on the command line: a payload in a file or on standard input, or a sample.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use serde_json::Value;

use super::Failure;
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Event, not_a_name};
use crate::plan::samples;

/// The payload, and what its text does not say.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// A payload as Gogs sends it; `-` reads standard input. A built-in sample when left out
    #[arg(value_name = "EVENT.json")]
    file: Option<PathBuf>,
    /// Which event it is [default: found out from the payload; push for a sample]
    #[arg(long)]
    event: Option<String>,
    /// The source it comes through [default: the first in relay.yaml]
    #[arg(long)]
    pub(super) source: Option<String>,
}

impl Given {
    /// The event, as if it had just arrived.
    pub(super) fn event(&self, config: &Config, clock: &Clock) -> Result<Event, Failure> {
        let (name, body) = self.payload()?;
        let source = config.source(self.source.as_deref()).map_err(wrong)?;
        Ok(Event {
            source: source.0.clone(),
            name: name.into(),
            delivery_id: uuid::Uuid::new_v4().to_string().into(),
            received: clock.now(),
            body,
        })
    }

    /// The event's name, and the payload.
    pub(super) fn payload(&self) -> Result<(String, Bytes), Failure> {
        let Some(file) = &self.file else {
            return sample(self.event.as_deref().unwrap_or("push"));
        };
        let body = read(file)?;
        let name = match &self.event {
            Some(name) => match not_a_name(name) {
                Some(error) => return Err(wrong(error)),
                None => name.clone(),
            },
            None => guess(&body)?.to_owned(),
        };
        Ok((name, body))
    }

    /// Whether the payload is a built-in sample.
    pub(super) fn is_sample(&self) -> bool {
        self.file.is_none()
    }
}

/// The command line asks for something that is not there.
pub(super) fn wrong(words: String) -> Failure {
    Failure::Usage(Some(anyhow!(words)))
}

fn sample(event: &str) -> Result<(String, Bytes), Failure> {
    let all = samples();
    if let Some(sample) = all.iter().find(|sample| sample.event == event) {
        return Ok((event.to_owned(), sample.body.clone()));
    }
    let mut known: Vec<&str> = all.iter().map(|sample| sample.event.as_str()).collect();
    known.dedup();
    let known = known.join(", ");
    Err(wrong(format!(
        "there is no sample of {event:?}; there are {known}"
    )))
}

/// The bytes of a file, or of standard input for `-`.
fn read(file: &Path) -> anyhow::Result<Bytes> {
    if file == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin()
            .read_to_end(&mut body)
            .context("failed to read standard input")?;
        return Ok(body.into());
    }
    Ok(std::fs::read(file)
        .with_context(|| format!("failed to read {}", file.display()))?
        .into())
}

/// Which event a payload is, by the members that only it has.
fn guess(body: &[u8]) -> anyhow::Result<&'static str> {
    let payload: Value = serde_json::from_slice(body).context("the payload is not JSON")?;
    let marks = [
        ("pusher_type", "delete"),
        ("ref_type", "create"),
        ("commits", "push"),
        ("forkee", "fork"),
        ("comment", "issue_comment"),
        ("pull_request", "pull_request"),
        ("issue", "issues"),
        ("release", "release"),
    ];
    let found = marks.iter().find(|(mark, _)| payload.get(mark).is_some());
    let (_, event) =
        found.context("the payload does not show which event it is; say so with --event")?;
    Ok(event)
}
