//! An event given on the command line: a payload in a file or on standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::Value;

use crate::clock::Clock;
use crate::config::Config;
use crate::event::Event;

/// The payload, and what its text does not say.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// A payload as Gogs sends it; `-` reads standard input
    #[arg(value_name = "EVENT.json")]
    file: PathBuf,
    /// Which event it is; found out from the payload when left out
    #[arg(long)]
    event: Option<String>,
    /// The source it came through; the first in relay.yaml when left out
    #[arg(long)]
    source: Option<String>,
}

impl Given {
    /// The event, as if it had just arrived.
    pub(super) fn event(&self, config: &Config, clock: &Clock) -> anyhow::Result<Event> {
        let body = read(&self.file)?;
        let name = match &self.event {
            Some(name) => name.clone(),
            None => guess(&body)?.to_owned(),
        };
        let source = match &self.source {
            Some(name) if !config.sources.contains_key(name.as_str()) => {
                bail!("no source {name:?} in relay.yaml")
            }
            Some(name) => name.as_str().into(),
            None => config
                .sources
                .keys()
                .next()
                .cloned()
                .unwrap_or_else(|| "gogs".into()),
        };
        Ok(Event {
            source,
            name: name.into(),
            delivery_id: uuid::Uuid::new_v4().to_string().into(),
            received: clock.now(),
            body,
        })
    }
}

/// The bytes of a file, or of standard input for `-`.
pub(super) fn read(file: &Path) -> anyhow::Result<Bytes> {
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
pub(super) fn guess(body: &[u8]) -> anyhow::Result<&'static str> {
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
