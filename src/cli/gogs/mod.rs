//! `gogs`: looks after the hooks in Gogs itself, over its REST API.

mod import;
mod sync;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use secrecy::SecretString;

use super::paint::{self, tame};
use super::{Failure, Outcome};
use crate::clock::Clock;
use crate::config::rate_in_words;
use crate::destination::Window;
use crate::fleet::{Chosen, Gogs, Wish};
use crate::plan::Patterns;
use crate::send::dial::SystemResolver;
use crate::send::egress::Egress;
use crate::send::transport::Transport;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Give every repository the relay's hook: make, repair and replace it where needed
    Sync(sync::Args),
    /// Print the hooks for Slack, Discord and DingTalk as a piece of relay.yaml
    Import(import::Args),
}

/// The variable that a token is taken from when none is given.
const TOKEN: &str = "GOGS_TOKEN";

/// Which Gogs, who asks, and for which repositories.
#[derive(Debug, clap::Args)]
struct Access {
    /// Gogs' address, as in a browser
    #[arg(long)]
    url: String,
    /// An access token of whoever administers the repositories; better in a file or in the
    /// environment, where other users of this machine do not see it [default: the variable `GOGS_TOKEN`]
    #[arg(long, conflicts_with = "token_file")]
    token: Option<SecretString>,
    /// The file that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Only repositories that fit: orbit/lander, "orbit/*", "!orbit/old" [default: all that the
    /// token's user administers]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    repos: Vec<String>,
    /// Public repositories of others too; with the token of a site administrator
    #[arg(long)]
    everywhere: bool,
    /// At most so many requests to Gogs
    #[arg(long, value_name = "N/TIME", default_value = "10/s", value_parser = rate)]
    rate: Window,
}

pub(super) fn run(config: &Path, command: Command) -> Outcome {
    match command {
        Command::Sync(args) => sync::run(config, &args),
        Command::Import(args) => import::run(config, &args),
    }
}

fn rate(text: &str) -> Result<Window, String> {
    rate_in_words(text).ok_or_else(|| "write a rate such as 10/s or 100/1m".to_owned())
}

impl Access {
    fn patterns(&self) -> Result<Patterns, Failure> {
        let patterns = Patterns::new(&self.repos).context("--repos cannot be used");
        patterns.map_err(|error| Failure::Usage(Some(error)))
    }

    fn gogs(&self, transport: &Transport, clock: &Clock) -> Result<Gogs, Failure> {
        let parts = (transport.clone(), clock.clone());
        let gogs = Gogs::new(&self.url, self.token()?, self.rate, parts);
        gogs.map_err(|error| Failure::Usage(Some(error.into())))
    }

    fn token(&self) -> Result<SecretString, Failure> {
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => return Ok(token.clone()),
            (None, Some(file)) => std::fs::read_to_string(file)
                .with_context(|| format!("failed to read {}", file.display()))?,
            (None, None) => std::env::var(TOKEN).unwrap_or_default(),
        };
        match token.trim() {
            "" => Err(Failure::Usage(Some(anyhow!(
                "there is no token; put one into ${TOKEN}, or give --token-file"
            )))),
            token => Ok(SecretString::from(token)),
        }
    }
}

/// Finds the repositories, and who asks for them.
async fn choose(
    gogs: &mut Gogs,
    access: &Access,
    fit: &Patterns,
) -> anyhow::Result<(Chosen, String)> {
    paint::progress(&format!("asking {}", gogs.host()));
    let user = gogs.user().await?;
    let wish = Wish {
        patterns: &access.repos,
        fit,
        everywhere: access.everywhere,
    };
    let chosen = gogs.choose(wish).await?;
    if chosen.repositories.is_empty() {
        bail!(
            "{} administers no repository that was asked for",
            tame(&user)
        );
    }
    Ok((chosen, user))
}

fn transport(egress: Egress, clock: &Clock) -> Transport {
    Transport::within(egress, Arc::new(SystemResolver), clock.clone())
}

fn repositories(count: usize) -> String {
    match count {
        1 => "1 repository".to_owned(),
        _ => format!("{count} repositories"),
    }
}

/// Says something beside what the command prints.
fn remark(words: &str) -> Outcome {
    let mut out = std::io::stderr().lock();
    writeln!(out, "{}", tame(words)).context("failed to print")?;
    Ok(())
}
