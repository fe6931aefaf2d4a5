//! The numbers: `cargo bench --bench relay` prints them as one table. Servers run in processes of
//! their own, in turn, over several rounds; what counts is the ratio to the bare server.
//! `BENCH_ONLY=render` prints the rows about rendering alone, within seconds.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::expect_used)]

mod bare;
mod down;
mod drain;
mod lines;
mod load;
mod raw;
mod relayed;
mod render;
mod sink;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Connections that post at once.
const CONNECTIONS: usize = 64;

fn main() {
    let folder = std::env::var("BENCH_FOLDER").unwrap_or_default();
    match std::env::var("BENCH_SERVER").as_deref() {
        Ok("bare") => runtime()
            .block_on(bare::serve(say))
            .expect("the server runs"),
        Ok("raw") => runtime()
            .block_on(raw::serve(&Path::new(&folder).join("raw"), say))
            .expect("the server runs"),
        Ok("sink") => runtime()
            .block_on(sink::serve(number("BENCH_EXPECTED", 0), say))
            .expect("the sink runs"),
        _ => measure(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

fn say(address: SocketAddr) {
    println!("ready http://{address}/");
}

fn measure() {
    match std::env::var("BENCH_ONLY").as_deref() {
        Ok("render") => return render::measure(),
        Ok("drain") => return drain(),
        Ok("down") => return down(),
        _ => {}
    }
    let rounds = number("BENCH_ROUNDS", 5);
    let requests = number("BENCH_REQUESTS", 20_000);
    println!("{}", machine());
    println!(
        "{rounds} rounds of {requests} signed 3 KB pushes over {CONNECTIONS} connections, servers in turn\n"
    );
    let names = [
        "bare hyper server",
        "raw file: append and sync",
        "the relay, two destinations",
    ];
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..rounds {
        // Each round starts with another server, so that none is always first.
        for turn in 0..3 {
            let which = (round + turn) % 3;
            rates[which].push(rate(which, requests));
        }
    }
    println!(
        "{:<34} {:>12} {:>17} {:>9} {:>9}",
        "acknowledged a second", "median", "spread", "of bare", "of raw"
    );
    let (bare, raw) = (median(&rates[0]), median(&rates[1]));
    for (name, rates) in names.iter().zip(&rates) {
        let (low, high) = rates
            .iter()
            .fold((f64::MAX, 0.0_f64), |(low, high), &rate| {
                (low.min(rate), high.max(rate))
            });
        let rate = median(rates);
        println!(
            "{name:<34} {rate:>12.0} {:>17} {:>9.2} {:>9.2}",
            format!("{low:.0}–{high:.0}"),
            rate / bare,
            rate / raw
        );
    }
    println!();
    render::measure();
}

fn drain() {
    for _ in 0..number("BENCH_ROUNDS", 5) {
        let bare = rate(0, number("BENCH_REQUESTS", 20_000));
        let drained = drain::measure(number("BENCH_EVENTS", 20_000));
        println!(
            "drained {:.0} deliveries a second, {:.2} of bare ({bare:.0}); {:.1} µs of processor time each",
            drained.rate,
            drained.rate / bare,
            drained.processor
        );
    }
}

fn down() {
    let costs = down::measure(number("BENCH_EVENTS", 10_000), number("BENCH_ROUNDS", 5));
    println!(
        "processor time a delivery: {:.1} µs without, {:.1} µs with a destination that is down: {:.2}",
        costs.without,
        costs.with,
        costs.with / costs.without
    );
}

fn rate(which: usize, requests: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = start(which, folder.path());
    let pushes = load::requests(requests, "/hooks/gogs");
    let (accepted, took) = load::run(server.address, CONNECTIONS, pushes);
    server.child.kill().expect("the server runs");
    server.child.wait().expect("the server ends");
    assert_eq!(accepted, requests, "some were not accepted");
    accepted as f64 / took.as_secs_f64()
}

struct Server {
    child: Child,
    address: SocketAddr,
}

fn start(which: usize, folder: &Path) -> Server {
    let mut command = if which == 2 {
        let config = folder.join("relay.yaml");
        std::fs::write(&config, RELAY).expect("the folder is writable");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
        command
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    } else {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .env("BENCH_SERVER", ["bare", "raw"][which])
            .env("BENCH_FOLDER", folder);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    };
    let mut child = command.spawn().expect("the server starts");
    let address = match (child.stdout.take(), child.stderr.take()) {
        (Some(out), _) => first_address(out),
        (None, Some(err)) => first_address(err),
        (None, None) => unreachable!("one of them is piped"),
    };
    Server { child, address }
}

/// The address in the line that says “ready”; the rest is read and thrown away.
fn first_address(output: impl std::io::Read + Send + 'static) -> SocketAddr {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let line = lines
        .find(|line| line.contains("ready"))
        .expect("the server says where it listens");
    std::thread::spawn(move || lines.for_each(drop));
    let rest = &line[line.find("http://").expect("an address") + 7..];
    rest[..rest.find('/').expect("a path")]
        .parse()
        .expect("an address")
}

/// Both destinations refuse connections, so that acknowledging is all that is measured.
const RELAY: &str = r"
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
sources: { gogs: { secret: bench-secret } }
destinations:
  first: { gogs: { url: http://127.0.0.1:9/ } }
  second: { gogs: { url: http://127.0.0.1:9/ } }
";

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_matches(['\t', ':', ' ']);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}
