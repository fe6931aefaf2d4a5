//! The servers beside the relay, each in a process of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::lines::Lines;

pub(crate) struct Baseline {
    pub(crate) process: Child,
    pub(crate) lines: Lines,
    pub(crate) address: SocketAddr,
}

impl Baseline {
    /// The one of this name, with these variables; `main` knows which there are.
    pub(crate) fn start(name: &str, variables: &[(&str, String)]) -> Baseline {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .env("BENCH_SERVER", name)
            .envs(variables.iter().cloned())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let lines = Lines::of(process.stdout.take().expect("it is piped"));
        let address = lines.address("ready http://");
        Baseline {
            process,
            lines,
            address,
        }
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
