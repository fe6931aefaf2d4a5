//! A small file system of its own for a test that fills a disk.
//!
//! It is mounted in a mount namespace that only a waiting `unshare` has, and reached from outside
//! through that process's `/proc/<pid>/root`; so no test needs rights on the machine, and nothing
//! is left behind whatever ends the test.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A mounted tmpfs, gone when dropped.
pub struct Tmpfs {
    keeper: Child,
    root: PathBuf,
    /// Where it is mounted, for the keeper.
    _point: tempfile::TempDir,
}

impl Tmpfs {
    /// Mounts one of so many bytes; where that is not allowed, says so loudly and gives `None`.
    pub fn mount(size: u64, test: &str) -> Option<Tmpfs> {
        match Tmpfs::try_mount(size) {
            Ok(tmpfs) => Some(tmpfs),
            Err(why) => {
                figure!("SKIPPED {test}: no private tmpfs can be mounted here: {why}");
                None
            }
        }
    }

    fn try_mount(size: u64) -> Result<Tmpfs, String> {
        let point = tempfile::tempdir().unwrap();
        let script = r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && echo mounted && exec cat"#;
        let mut keeper = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .arg(size.to_string())
            .arg(point.path())
            // `cat` ends with the pipe, that is, with the test.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let mut said = BufReader::new(keeper.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        if line != "mounted\n" {
            let mut why = String::new();
            let mut stderr = keeper.stderr.take().unwrap();
            stderr.read_to_string(&mut why).unwrap();
            keeper.wait().unwrap();
            return Err(why.trim().to_owned());
        }
        let inside = point.path().strip_prefix("/").unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", keeper.id())).join(inside);
        Ok(Tmpfs {
            keeper,
            root,
            _point: point,
        })
    }

    /// Its root, for every process of the same user.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.root).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Takes room away, until `left` bytes are free.
    pub fn fill(&self, left: u64) {
        let ballast = self.root.join("ballast");
        let file = File::options().create(true).append(true).open(ballast);
        let file = file.unwrap();
        // Somebody else may be writing, and only whole blocks are given.
        while let Some(more) = self.free().checked_sub(left).filter(|more| *more >= 4096) {
            let from = file.metadata().unwrap().len();
            let none = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, none, from, more) {
                Ok(()) => {}
                Err(rustix::io::Errno::NOSPC) => continue,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn is_filled(&self) -> bool {
        self.root.join("ballast").exists()
    }

    /// Gives the room back.
    pub fn clear(&self) {
        std::fs::remove_file(self.root.join("ballast")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ended = self.keeper.kill();
        let _ended = self.keeper.wait();
    }
}
