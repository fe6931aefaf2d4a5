//! The lock on a queue's folder: one process at a time, known by name to whoever comes second.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

/// Whoever is just ending, or a child that was just forked, may hold the lock for a moment more.
const TRIES: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(2);
/// So much of a command line is kept, in bytes.
const COMMAND: usize = 300;

/// Takes the lock until the file is dropped, and leaves this process' name in it.
pub(super) fn take(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("lock");
    // Not truncated: until the lock is ours, it holds the name of whoever has it.
    let mut options = OpenOptions::new();
    let mut lock = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("open the lock file {}", path.display()))?;
    wait_for(&lock, folder)?;
    let named = lock
        .set_len(0)
        .and_then(|()| lock.write_all(this_process().as_bytes()));
    if let Err(error) = named {
        // The lock holds all the same, on a full disk say; only its message is poorer.
        tracing::debug!(%error, "the lock file does not name this process");
    }
    Ok(lock)
}

/// Takes the lock of a folder in which nothing is to be written; nothing where there is none.
pub(super) fn take_for_reading(folder: &Path) -> anyhow::Result<Option<File>> {
    let Ok(lock) = File::open(folder.join("lock")) else {
        return Ok(None);
    };
    wait_for(&lock, folder)?;
    Ok(Some(lock))
}

fn wait_for(lock: &File, folder: &Path) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(BETWEEN),
            Err(TryLockError::Error(error)) => return Err(error).context("lock the queue"),
        }
    }
    let holder = fs::read_to_string(folder.join("lock")).unwrap_or_default();
    let (folder, holder) = (folder.display(), holder.trim());
    if holder.is_empty() {
        bail!("another process uses the queue in {folder}")
    }
    bail!("another process uses the queue in {folder}: {holder}")
}

/// `process 4711: gogs-relay serve -c relay.yaml`
fn this_process() -> String {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let mut command = arguments.collect::<Vec<_>>().join(" ");
    command.truncate(command.floor_char_boundary(COMMAND));
    format!("process {}: {command}\n", std::process::id())
}
