//! Memory, and the time from the start of the process to its first 202: empty, with a million
//! events waiting, and under a hundred large bodies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Instant;

use crate::process::{memory, peak_memory};
use crate::relayed::{Relay, refusing};
use crate::table::Row;
use crate::{Effort, load};

/// So many requests are made at a time when a queue is filled.
const BATCH: usize = 20_000;
/// Connections that send a large body each.
const LARGE_BODIES: usize = 100;
const MIB: usize = 1 << 20;

pub(crate) fn empty(effort: Effort) -> Vec<Row> {
    let (mut idle, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let (relay, took) = first_answer(folder.path());
        starts.push(took);
        idle.push(memory(&relay.process));
    }
    vec![
        Row::new("start to first 202: empty, ms", starts, 0).at_most(100.0),
        Row::new("memory: idle, MB", idle, 1).at_most(20.0),
    ]
}

pub(crate) fn waiting(effort: Effort) -> Vec<Row> {
    let waiting = format!("{} events waiting", effort.waiting);
    started_with(&waiting, effort.waiting, effort.fillers, effort.rounds)
}

/// Over one connection every event is a commit, and a page, of its own.
pub(crate) fn alone(effort: Effort) -> Vec<Row> {
    let waiting = format!("{} events waiting that came one by one", effort.alone);
    started_with(&waiting, effort.alone, 1, effort.rounds)
}

fn started_with(waiting: &str, events: usize, connections: usize, rounds: usize) -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a folder");
    let filled = fill(folder.path(), events, connections);
    let (after_kill, replayed) = first_answer(folder.path());
    let replaying = peak_memory(&after_kill.process);
    drop(after_kill);
    let (mut starts, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (relay, took) = first_answer(folder.path());
        starts.push(took);
        peaks.push(peak_memory(&relay.process));
    }
    vec![
        Row::new(format!("start to first 202: {waiting}, ms"), starts, 0).at_most(1000.0),
        Row::new(
            "… the first after they came and a kill -9, ms",
            vec![replayed],
            0,
        )
        .at_most(1000.0),
        Row::new(format!("memory: {waiting}, MB"), peaks, 1).at_most(100.0),
        Row::new(
            "… the first after they came and a kill -9, MB",
            vec![replaying],
            1,
        )
        .at_most(100.0),
        Row::new("… when they had come, MB", vec![filled], 1).at_most(100.0),
    ]
}

pub(crate) fn large(effort: Effort) -> Vec<Row> {
    let measured = (0..effort.rounds).map(|_| {
        let folder = tempfile::tempdir().expect("a folder");
        let relay = Relay::start(folder.path(), &refusing(2));
        post_large_bodies(relay.hooks);
        peak_memory(&relay.process)
    });
    let what = "memory: 100 connections sending 10 MiB bodies, MB";
    // `limits.bytes` and 40 MB.
    let bound = ((64 * MIB) as f64 / 1e6 + 40.0).floor();
    vec![Row::new(what, measured.collect(), 1).at_most(bound)]
}

/// Starts a relay and posts one push; how long that took from the start, in milliseconds.
fn first_answer(folder: &Path) -> (Relay, f64) {
    let push = load::requests(1);
    let started = Instant::now();
    let relay = Relay::start(folder, &refusing(2));
    load::run(relay.hooks, 1, push);
    (relay, started.elapsed().as_secs_f64() * 1e3)
}

/// Fills a queue with what is to wait for two destinations; the highest memory meanwhile, in MB.
fn fill(folder: &Path, events: usize, connections: usize) -> f64 {
    let relay = Relay::start(folder, &refusing(2));
    let mut left = events;
    while left > 0 {
        let some = left.min(BATCH);
        load::run(relay.hooks, connections, load::requests(some));
        left -= some;
    }
    peak_memory(&relay.process)
}

/// Posts them all at once. Those that find no room within 8 s are refused, and may find the
/// connection closed before they have read why.
fn post_large_bodies(address: SocketAddr) {
    let filling = &"x".repeat(10 * MIB - 4096);
    let stored = std::thread::scope(|scope| {
        let post = |number| {
            let body = load::push(include_str!("push.json"), number);
            let body = body.replacen('{', &format!("{{\"filling\":\"{filling}\","), 1);
            let mut stream = TcpStream::connect(address).expect("the server listens");
            let mut status = [0; 12];
            let answered = stream
                .write_all(&load::request(&body))
                .and_then(|()| stream.read_exact(&mut status));
            answered.is_ok() && status == *b"HTTP/1.1 202"
        };
        let clients: Vec<_> = (0..LARGE_BODIES)
            .map(|number| scope.spawn(move || post(number)))
            .collect();
        let answers = clients.into_iter().map(|client| client.join());
        answers.filter(|stored| matches!(stored, Ok(true))).count()
    });
    assert!(stored > 0, "none was stored");
}
