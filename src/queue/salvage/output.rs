//! The queue that salvage makes: written as carefully as a running one, and under its name only
//! once it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::queue::files;
use crate::queue::key::{self, Key};
use crate::queue::open::FORMAT;
use crate::queue::pending::WINDOW;
use crate::queue::store::{Batch, Store};

/// A new database under way.
pub(super) struct Output {
    store: Store,
    batch: Batch,
    bytes: usize,
    partial: PathBuf,
    folder: PathBuf,
}

impl Output {
    /// Begins a database beside `folder`, which must not exist yet.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Output> {
        if folder.exists() {
            bail!(
                "{} exists already; move it away, or name another with --to",
                folder.display()
            );
        }
        let mut partial = folder.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        if partial.exists() {
            // What an earlier salvage left when it was stopped.
            fs::remove_dir_all(&partial)
                .with_context(|| format!("remove {}", partial.display()))?;
        }
        Ok(Output {
            store: Store::open(&partial)?,
            batch: Batch::new(),
            bytes: 0,
            partial,
            folder: folder.to_owned(),
        })
    }

    pub(super) fn put(&mut self, key: &Key, value: &[u8]) -> anyhow::Result<()> {
        if self.bytes + key.len() + value.len() > WINDOW {
            self.commit()?;
        }
        self.batch.put(key, value);
        self.bytes += key.len() + value.len();
        Ok(())
    }

    /// Everything is there: from now on it is a queue.
    pub(super) fn finish(mut self, first: u64, next: u64) -> anyhow::Result<()> {
        self.put(&key::mark("format"), &[FORMAT])?;
        self.commit()?;
        self.store.bear_witness(first, next);
        self.store.close_for_good();
        files::sync_files(&self.partial).context("sync the new queue")?;
        fs::rename(&self.partial, &self.folder)
            .with_context(|| format!("rename {}", self.partial.display()))?;
        let parent = files::or_here(self.folder.parent().unwrap_or(Path::new("")));
        let synced = File::open(&parent).and_then(|parent| parent.sync_all());
        synced.with_context(|| format!("sync {}", parent.display()))
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::replace(&mut self.batch, Batch::new());
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        self.store
            .commit(batch)
            .context("write to the new queue's database")
    }
}
