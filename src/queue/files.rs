//! The files of the database: what to repair before it is opened, and what to sync after.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Makes the folder, for the owner alone. A new folder's name is on stable storage when this
/// returns, and so are the names of new folders above it.
pub(super) fn make_private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let new = folder.ancestors().take_while(|above| !above.exists());
    let holders: Vec<PathBuf> = new.filter_map(Path::parent).map(or_here).collect();
    let private = fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .and_then(|()| {
            holders
                .iter()
                .try_for_each(|holder| File::open(holder)?.sync_all())
        });
    private.with_context(|| format!("make the folder {}", folder.display()))
}

/// The parent of a bare name is the empty path, which means the current folder.
pub(super) fn or_here(path: &Path) -> PathBuf {
    match path.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => path.to_owned(),
    }
}

/// Removes what sled trips over after a crash during start.
pub(super) fn repair_before_open(folder: &Path) -> anyhow::Result<()> {
    for path in files(folder)? {
        let name = name_of(&path);
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    let is_new = fs::metadata(folder.join("db")).map_or(true, |db| db.len() == 0);
    let conf = folder.join("conf");
    if is_new && conf.exists() {
        fs::remove_file(&conf).with_context(|| format!("remove {}", conf.display()))?;
    }
    Ok(())
}

pub(super) fn set_snapshots_aside(folder: &Path) -> anyhow::Result<bool> {
    let mut any = false;
    for path in files(folder)? {
        let name = name_of(&path);
        if name.starts_with("snap.") {
            let aside = folder.join(format!("aside-{name}"));
            fs::rename(&path, aside).with_context(|| format!("move {}", path.display()))?;
            any = true;
        }
    }
    Ok(any)
}

/// Only what is synced here is there after a power cut, the names of the files included.
pub(super) fn sync_files(folder: &Path) -> io::Result<()> {
    for path in fs::read_dir(folder)? {
        let path = path?.path();
        let name = name_of(&path);
        if name == "db" || name == "conf" || name.starts_with("snap.") {
            File::open(&path)?.sync_all()?;
        }
    }
    let blobs = folder.join("blobs");
    let parent = folder.parent().map(Path::to_owned);
    for folder in [Some(blobs), Some(folder.to_owned()), parent]
        .into_iter()
        .flatten()
    {
        if folder.is_dir() {
            File::open(folder)?.sync_all()?;
        }
    }
    Ok(())
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths
        .collect::<io::Result<_>>()
        .context("read the queue's folder")
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
