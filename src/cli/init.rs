//! `init`: a commented relay.yaml with a secret of its own.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

use super::{Failure, Outcome, say};
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Outcome {
    let secret = uuid::Uuid::new_v4().simple().to_string();
    let text = config::SHIPPED.replace(config::SHIPPED_SECRET, &secret);
    write(path, &text, args.force)?;
    say(format!(
        "wrote {} with a new secret for Gogs; next:\n  \
         gogs-relay check    what is still to be filled in\n  \
         gogs-relay          run it",
        path.display()
    ))
}

/// The file holds secrets, so only its owner may read it.
fn write(path: &Path, text: &str, force: bool) -> Outcome {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::Usage(Some(anyhow::anyhow!(
            "{} exists already; `--force` writes over it",
            path.display()
        ))),
        _ => anyhow::Error::new(error)
            .context(format!("failed to write {}", path.display()))
            .into(),
    })?;
    // The mode above is for a new file alone.
    file.set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(text.as_bytes()))
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(())
}
