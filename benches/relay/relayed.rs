//! The relay in a process of its own: where it listens, what it has left to do, what it has used.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lines::{Lines, address_in};

pub(crate) struct Relay {
    pub(crate) process: Child,
    _lines: Lines,
    pub(crate) hooks: SocketAddr,
    own_api: SocketAddr,
}

impl Relay {
    /// One with this relay.yaml, in `folder`.
    pub(crate) fn start(folder: &Path, yaml: &str) -> Relay {
        let config = folder.join("relay.yaml");
        std::fs::write(&config, yaml).expect("the folder is writable");
        let mut process = Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the relay starts");
        let lines = Lines::of(process.stderr.take().expect("it is piped"));
        let ready = lines.with("ready: ");
        Relay {
            process,
            _lines: lines,
            hooks: address_in(&ready, "hooks at http://"),
            own_api: address_in(&ready, "own API at http://"),
        }
    }

    /// Waits until nothing waits in these lanes any more.
    pub(crate) fn drained(&self, destinations: &[&str]) {
        while !destinations.iter().all(|name| self.waiting(name) == 0) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn waiting(&self, destination: &str) -> u64 {
        let mut stream = TcpStream::connect(self.own_api).expect("it listens");
        let request = format!(
            "GET /v1/destinations HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.own_api
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let all: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let lanes = all["destinations"].as_array().expect("a list");
        let lane = lanes.iter().find(|lane| lane["name"] == destination);
        let lane = lane.expect("the lane is there");
        assert_eq!(lane["dead"], 0, "{lane}");
        lane["waiting"].as_u64().expect("a number")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // What it has acknowledged is on disk, so it may be killed.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// A relay.yaml with so many destinations that refuse connections and are seldom tried again, so
/// that acknowledging is all that is measured.
pub(crate) fn refusing(destinations: usize) -> String {
    let mut yaml = String::from(
        "listen: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\n\
         sources: { gogs: { secret: bench-secret } }\ndestinations:\n",
    );
    for number in 0..destinations {
        yaml += &format!(
            "  to-{number}: {{ gogs: {{ url: 'http://127.0.0.1:9/' }}, retry: {{ first: 10m }} }}\n"
        );
    }
    yaml
}
