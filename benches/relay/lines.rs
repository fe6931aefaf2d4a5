//! What a process writes, line by line, read on a thread so that it is never blocked.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

/// Nothing that is benched takes longer.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Lines(mpsc::Receiver<String>);

impl Lines {
    pub(crate) fn of(output: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The lines are read all the same when nobody wants them any more.
                let _unwanted = sender.send(line);
            }
        });
        Lines(lines)
    }

    /// The next line that holds `words`; what comes before it is dropped.
    pub(crate) fn with(&self, words: &str) -> String {
        loop {
            let line = self.0.recv_timeout(PATIENCE).expect("the line comes");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// The address behind `words` in the next line that holds them.
    pub(crate) fn address(&self, words: &str) -> SocketAddr {
        address_in(&self.with(words), words)
    }
}

/// The address behind `words`, up to the next slash.
pub(crate) fn address_in(line: &str, words: &str) -> SocketAddr {
    let (_, rest) = line.split_once(words).expect("the words");
    let (address, _) = rest.split_once('/').expect("a path");
    address.parse().expect("an address")
}
