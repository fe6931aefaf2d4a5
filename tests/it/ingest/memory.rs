//! How much memory a hundred large bodies at once take. Measured in a process of its own: this
//! test binary, run again for one test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use gogs_relay::queue::{Next, Queue, Settlement};
use xxhash_rust::xxh3::xxh3_64;

use super::wire::{Client, DESTINATIONS, Hooks, Post, limits};

const MIB: usize = 1 << 20;
const CLIENTS: usize = 100;

/// Set for the process that is measured: the hash of the body that it will get.
const MEASURED: &str = "GOGS_RELAY_TEST_MEASURED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_bodies_of_ten_mib_at_once_stay_within_the_budget() {
    let body = json_of(10 * MIB);
    measure("refused", &body, Post::json("gogs", body.clone()), 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "holds with MALLOC_ARENA_MAX=1 only: the arenas of glibc scatter what sled and hyper hold"]
async fn a_hundred_events_of_ten_mib_at_once_are_stored_within_the_budget_and_all_arrive() {
    let body = json_of(10 * MIB);
    let signed = Post::json("gogs", body.clone()).signed(&body);
    measure("stored", &body, signed.event("push"), 202).await;
}

/// A payload of this size that does not compress well.
fn json_of(size: usize) -> Vec<u8> {
    let mut json = br#"{"ref":"refs/heads/main","text":""#.to_vec();
    let mut state = 1_u64;
    json.resize_with(size - 2, || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        b'A' + u8::try_from((state >> 33) % 25).unwrap()
    });
    json.extend(b"\"}");
    json
}

/// Sends it a hundred times at once and expects this status, or 503 for want of room and when to
/// come again; and that what is acknowledged reaches both its destinations whole.
async fn measure(what: &str, body: &[u8], post: Post, expected: u16) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ingest::memory::the_process_that_is_measured"])
        .args(["--ignored", "--nocapture"])
        .env(MEASURED, xxh3_64(body).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let address = read_after(&mut output, "listening on ").parse().unwrap();

    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let (head, body) = post
            .clone()
            .header("X-Gogs-Delivery", &number.to_string())
            .parts();
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            client.write(&head).await;
            client.write(&body).await;
            let answer = client.answer().await.expect("an answer");
            assert!(answer.status != 503 || answer.headers.contains_key("retry-after"));
            answer.status
        });
    }
    let statuses = clients.join_all().await;

    drop(child.stdin.take());
    let handed_out: usize = read_after(&mut output, "handed out ").parse().unwrap();
    let peak_kib: usize = read_after(&mut output, "peak ").parse().unwrap();
    assert!(child.wait().unwrap().success());
    let read = statuses
        .iter()
        .filter(|&&status| status == expected)
        .count();
    let late = statuses.iter().filter(|&&status| status == 503).count();
    println!(
        "{CLIENTS} bodies of 10 MiB at once: peak {peak_kib} KiB, {read} {what}, {late} found no room"
    );
    assert_eq!(read + late, CLIENTS, "{statuses:?}");
    assert!(read > 0);
    let stored = if expected == 202 { read } else { 0 };
    assert_eq!(handed_out, stored * DESTINATIONS.len());
    assert!(
        peak_kib * 1024 <= limits().bytes + 40_000_000,
        "{peak_kib} KiB"
    );
}

#[test]
#[ignore = "serves the test above in a process of its own"]
fn the_process_that_is_measured() {
    let hash = std::env::var(MEASURED).expect("only for the tests above");
    let hash: u64 = hash.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let hooks = runtime.block_on(Hooks::start());
    println!("\nlistening on {}", hooks.address);
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let handed_out = runtime.block_on(hand_out(&hooks.queue, hash));
    println!("\nhanded out {handed_out}");
    runtime.block_on(hooks.finish());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!("\npeak {}", peak.unwrap().trim().trim_end_matches(" kB"));
}

/// Delivers all that waits to its destinations; how many were whole.
async fn hand_out(queue: &Queue, hash: u64) -> usize {
    let mut whole = 0;
    for destination in DESTINATIONS {
        while let Next::Lease(lease) = queue.next(destination).await.unwrap() {
            whole += usize::from(xxh3_64(&lease.event.body) == hash);
            queue.settle(*lease, Settlement::Delivered, None);
        }
    }
    whole
}

/// The rest of the first line that begins so.
fn read_after(output: &mut impl BufRead, start: &str) -> String {
    let line = output
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with(start));
    line.expect("the process says so")[start.len()..].to_owned()
}
