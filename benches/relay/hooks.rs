//! A thousand hooks on one repository: what making one takes, what they cost in memory, and the
//! acknowledged rate of events that go to all of them, against none.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::process::memory;
use crate::relayed::{Relay, refusing};
use crate::table::{Row, ratios};
use crate::{CONNECTIONS, Effort, load};

const HOOKS: usize = 1000;
/// Each event is planned for a thousand hooks, and each of their lanes tries it.
const SHARE: usize = 10;

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let (mut none, mut thousand) = (Vec::new(), Vec::new());
    let (mut made, mut cost) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let relay = Relay::start(folder.path(), &yaml());
        let requests = effort.requests / SHARE;
        none.push(rate(&relay, requests));
        let before = memory(&relay.process);
        made.extend(make(relay.hooks));
        cost.push(memory(&relay.process) - before);
        thousand.push(rate(&relay, requests));
    }
    let against_none = ratios(&thousand, &none);
    vec![
        Row::new("hooks: making one of a thousand, ms", made, 1).at_most(10.0),
        Row::new("hooks: memory of a thousand, MB", cost, 1),
        Row::new("acknowledged a second: a thousand hooks", thousand, 0),
        Row::new("… against no hooks", against_none, 2),
    ]
}

fn rate(relay: &Relay, requests: usize) -> f64 {
    let took = load::run(relay.hooks, CONNECTIONS, load::requests(requests));
    requests as f64 / took.as_secs_f64()
}

/// One destination that refuses connections, and Gogs' API for hooks that may do so too.
fn yaml() -> String {
    refusing(1)
        + "egress: { allow: [127.0.0.0/8] }\n\
           api: { tokens: [{ name: bench, token: bench-t0ken-0123, repos: ['*/*'] }] }\n"
}

/// How long the making of each took, in milliseconds.
fn make(address: SocketAddr) -> Vec<f64> {
    let stream = TcpStream::connect(address).expect("the relay listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut stream = BufReader::new(stream);
    let made = (0..HOOKS).map(|number| {
        let body = format!(
            r#"{{"type":"gogs","config":{{"url":"http://127.0.0.1:9/{number}","content_type":"json"}},"active":true}}"#
        );
        let request = format!(
            "POST /api/v1/repos/orbit/lander/hooks HTTP/1.1\r\nHost: relay\r\n\
             Authorization: token bench-t0ken-0123\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let started = Instant::now();
        let socket = stream.get_mut();
        socket.write_all(request.as_bytes()).expect("it reads");
        read_answer(&mut stream);
        started.elapsed().as_secs_f64() * 1e3
    });
    made.collect()
}

/// Reads an answer, which must be 201.
fn read_answer(stream: &mut BufReader<TcpStream>) {
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).expect("it answers");
    assert!(line.starts_with("HTTP/1.1 201"), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("it answers");
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("it answers");
}
