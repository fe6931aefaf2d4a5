//! The numbers: `cargo bench --bench relay` prints them as one table. Servers run in processes of
//! their own, in turn, over several rounds; what counts are the ratios within a run.
//!
//! `BENCH_ONLY=render` measures one of the groups named below alone; `BENCH_ROUNDS`,
//! `BENCH_REQUESTS`, `BENCH_WAITING`, `BENCH_ALONE` and `BENCH_FILLERS` say how much is measured.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::expect_used)]

mod acknowledge;
mod bare;
mod baseline;
mod bounds;
mod down;
mod drain;
mod hooks;
mod lines;
mod load;
mod machine;
mod process;
mod raw;
mod relayed;
mod render;
mod series;
mod sink;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::table::Row;

/// Connections that post at once.
const CONNECTIONS: usize = 64;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// Requests of one server in one round.
    requests: usize,
    /// Events that wait while memory and start are measured.
    waiting: usize,
    /// Connections over which they come.
    fillers: usize,
    /// Events that wait while the same is measured, and that came one by one.
    alone: usize,
}

impl Effort {
    /// Which of so many servers has its turn: each once a round, and each round begins with
    /// another one.
    fn in_turn(self, servers: usize) -> impl Iterator<Item = usize> {
        let turns =
            (0..self.rounds).flat_map(move |round| (0..servers).map(move |turn| round + turn));
        turns.map(move |turn| turn % servers)
    }
}

type Group = (&'static str, fn(Effort) -> Vec<Row>);

const GROUPS: [Group; 11] = [
    ("acknowledge", acknowledge::measure),
    ("drain", drain::measure),
    ("down", down::measure),
    ("render", render::measure),
    ("empty", bounds::empty),
    ("large", bounds::large),
    ("waiting", bounds::waiting),
    ("alone", bounds::alone),
    ("destinations", series::destinations),
    ("connections", series::connections),
    ("hooks", hooks::measure),
];

fn main() {
    match std::env::var("BENCH_SERVER").as_deref() {
        Ok("bare") => runtime()
            .block_on(bare::serve(say))
            .expect("the server runs"),
        Ok("raw") => runtime()
            .block_on(raw::serve(&folder(), say))
            .expect("the server runs"),
        Ok("sink") => runtime()
            .block_on(sink::serve(number("BENCH_EXPECTED", 0), say))
            .expect("the server runs"),
        _ => measure(),
    }
}

fn folder() -> PathBuf {
    std::env::var_os("BENCH_FOLDER").expect("told where").into()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

fn say(address: SocketAddr) {
    println!("ready http://{address}/");
}

fn measure() {
    let effort = Effort {
        rounds: number("BENCH_ROUNDS", 5),
        requests: number("BENCH_REQUESTS", 20_000),
        waiting: number("BENCH_WAITING", 1_000_000),
        fillers: number("BENCH_FILLERS", CONNECTIONS),
        alone: number("BENCH_ALONE", 200_000),
    };
    println!("{}.", machine::facts());
    println!(
        "{} rounds, servers in turn; {} signed 3 KB pushes over {CONNECTIONS} connections each.\n",
        effort.rounds, effort.requests
    );
    println!("{}", table::HEAD);
    let only = std::env::var("BENCH_ONLY").ok();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    for (_, measure) in GROUPS.iter().filter(|(name, _)| wanted(name)) {
        for row in measure(effort) {
            println!("{row}");
        }
    }
}

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}
