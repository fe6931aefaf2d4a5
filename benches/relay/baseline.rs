//! The servers that the relay is measured against, each in a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::lines::Lines;

pub(crate) struct Baseline {
    pub(crate) process: Child,
    _lines: Lines,
    pub(crate) address: SocketAddr,
}

impl Baseline {
    /// The one of this name; `main` knows which there are.
    pub(crate) fn start(name: &str, folder: &Path) -> Baseline {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .env("BENCH_SERVER", name)
            .env("BENCH_FOLDER", folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let lines = Lines::of(process.stdout.take().expect("it is piped"));
        let address = lines.address("ready http://");
        Baseline {
            process,
            _lines: lines,
            address,
        }
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
