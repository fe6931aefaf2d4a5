//! `gogs import`: the hooks for chat services in Gogs, as a piece of relay.yaml.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Access, choose, remark, transport};
use crate::cli::paint::{self, tame};
use crate::cli::{Failure, Outcome, block_on, check, print};
use crate::clock::Clock;
use crate::fleet::{Fragment, Gogs, RemoteHook, fragment};
use crate::plan::Patterns;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    access: Access,
    /// Write the URLs, which are passwords, into a new file that only its owner can read
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

pub(super) fn run(path: &Path, args: &Args) -> Outcome {
    let egress = check::load_egress(path)?;
    let patterns = args.access.patterns()?;
    let clock = Clock::system();
    let mut gogs = args.access.gogs(&transport(egress, &clock), &clock)?;
    let host = gogs.host().to_owned();
    let read = block_on(read(&mut gogs, args, &patterns));
    paint::progress("");
    let (hooks, unread) = read?;
    let fragment = fragment(&hooks);
    if let Some(file) = &args.secrets {
        keep(file, &fragment.secrets)?;
    }
    print(told(&fragment, &host, args.secrets.as_deref()).as_bytes())?;
    for line in &fragment.left_out {
        remark(&format!("left out: {line}"))?;
    }
    match unread.as_slice() {
        [] => Ok(()),
        unread => Err(anyhow!("these could not be read: {}", tame(&unread.join("; "))).into()),
    }
}

/// All hooks with their repositories, and what could not be read.
async fn read(
    gogs: &mut Gogs,
    args: &Args,
    patterns: &Patterns,
) -> anyhow::Result<(Vec<(String, RemoteHook)>, Vec<String>)> {
    let (chosen, _) = choose(gogs, &args.access, patterns).await?;
    let (mut all, mut unread) = (Vec::new(), Vec::new());
    for repository in chosen.repositories {
        paint::progress(&tame(&repository));
        match gogs.hooks(&repository).await {
            Ok(hooks) => all.extend(hooks.into_iter().map(|hook| (repository.clone(), hook))),
            Err(error) if error.ends_it() => return Err(error.into()),
            Err(error) => unread.push(format!("{repository}: {error}")),
        }
    }
    Ok((all, unread))
}

/// Lines that a shell, systemd and the like can read.
fn keep(file: &Path, secrets: &BTreeMap<String, String>) -> Outcome {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let advice = anyhow!("{} is there already; name another file", file.display());
            return Err(Failure::Usage(Some(advice)));
        }
        Err(error) => {
            let context = format!("failed to write {}", file.display());
            return Err(anyhow::Error::new(error).context(context).into());
        }
    };
    for (name, url) in secrets {
        let url = url.replace('\'', "%27");
        writeln!(opened, "{name}='{url}'").context("failed to write the secrets")?;
    }
    opened.sync_all().context("failed to write the secrets")?;
    Ok(())
}

fn told(fragment: &Fragment, host: &str, secrets: Option<&Path>) -> String {
    if fragment.secrets.is_empty() {
        return format!("# {host} has no hooks for chat services that could be taken over.\n");
    }
    let secrets = match secrets {
        Some(file) => format!("stand in {}", file.display()),
        None => {
            "are for you to set: the hooks' pages in Gogs show them, and --secrets writes them \
                 to a file"
                .to_owned()
        }
    };
    let yaml = &fragment.yaml;
    format!(
        "# The hooks for chat services of {host}, for relay.yaml. Without other routes nothing else \
         goes anywhere.\n# The variables {secrets}.\n# When messages come from here, switch the hooks \
         off in Gogs, or they come twice.\n{yaml}"
    )
}
