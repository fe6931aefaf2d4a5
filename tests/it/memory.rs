//! How much memory the real binary takes while a hundred connections send 10 MiB each.

use std::thread;
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, Script, StandIn};

use crate::binary::{Binary, Client, PATIENCE, unsigned_push};

const MIB: usize = 1 << 20;
const CLIENTS: usize = 100;
/// `limits.bytes` and 40 MB.
const BOUND: u64 = (64 * MIB + 40_000_000) as u64;
/// So many events of 5 MiB find room in a quarter of `limits.bytes`.
const AT_ONCE: usize = 3;
const SECRET: &str = "memory-test";

#[test]
fn a_hundred_unsigned_bodies_of_ten_mib_at_once_stay_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "listen: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\n\
                sources: { gogs: { secret: memory-test } }\ndestinations: { screen: { console: {} } }\n";
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let relay = Binary::start(folder.path());
    let (idle, hooks) = (relay.peak_memory(), relay.hooks);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(move || unsigned_push(hooks, 10 * MIB)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let refused = statuses.iter().filter(|&&status| status == 401).count();
    let late = statuses.iter().filter(|&&status| status == 503).count();
    let peak = relay.peak_memory();
    figure!(
        "idle {idle} bytes; {CLIENTS} unsigned bodies of 10 MiB: peak {peak} bytes, {refused} refused, {late} found no room"
    );
    assert_eq!(refused + late, CLIENTS, "{statuses:?}");
    assert!(refused > 0);
    assert!(peak <= BOUND, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_events_of_ten_mib_at_once_those_that_are_acknowledged_arrive_whole() {
    let clock = Clock::system();
    let first = StandIn::start(FakeGogs::with_secret(SECRET), clock.clone());
    let second = StandIn::start(FakeGogs::with_secret(SECRET), clock.clone());
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\n\
         sources: {{ gogs: {{ secret: {SECRET}, same_body: off }} }}\n\
         destinations:\n  first: {{ gogs: {{ url: '{}', secret: {SECRET} }} }}\n\
         \x20 second: {{ gogs: {{ url: '{}', secret: {SECRET} }} }}\n",
        first.url(),
        second.url(),
    );
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let relay = Binary::start(folder.path());
    let (idle, hooks) = (relay.peak_memory(), relay.hooks);
    let posted = tokio::task::spawn_blocking(move || post_large_events(hooks));
    let (stored, late) = posted.await.unwrap();
    for standin in [&first, &second] {
        let arrived = clock.timeout(PATIENCE, standin.wait_for(stored)).await;
        assert_eq!(arrived.expect("all arrive").len(), stored);
        assert_eq!(
            standin.violations(),
            Vec::<String>::new(),
            "whole and signed"
        );
    }
    let peak = relay.peak_memory();
    figure!(
        "idle {idle} bytes; {CLIENTS} events of 10 MiB: peak {peak} bytes, {stored} stored and delivered twice, {late} found no room"
    );
    assert_eq!(stored + late, CLIENTS);
    assert!(stored > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_are_sent_a_few_at_a_time_however_many_receivers_take_them_slowly() {
    const LANES: usize = 9;
    let takes = Duration::from_millis(200);
    let clock = Clock::system();
    let slow = StandIn::start(FakeGogs::with_secret(SECRET), clock.clone());
    let slow = slow.await.unwrap();
    slow.rule(move |_| Some(Script::status(200).after(takes)));
    let folder = tempfile::tempdir().unwrap();
    let lanes = 0..LANES;
    let destinations = lanes.clone().map(|lane| {
        format!(
            "  slow-{lane}: {{ gogs: {{ url: '{}', secret: {SECRET} }} }}\n",
            slow.url()
        )
    });
    let routes = lanes.map(|lane| format!("  - {{ branches: [b{lane}], to: [slow-{lane}] }}\n"));
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\n\
         sources: {{ gogs: {{ secret: {SECRET} }} }}\ndestinations:\n{}routes:\n{}",
        destinations.collect::<String>(),
        routes.collect::<String>(),
    );
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let relay = Binary::start(folder.path());
    let mut client = Client::connect(relay.hooks).unwrap();
    let body = incompressible(5 * MIB);
    for lane in 0..LANES {
        let body = body.replacen("main", &format!("b{lane}"), 1);
        let answer = client.deliver("gogs", SECRET, &format!("for-{lane}"), &body);
        assert_eq!(answer.unwrap().status, 202);
    }
    let arrived = clock.timeout(PATIENCE, slow.wait_for(LANES)).await;
    let times: Vec<Duration> = (arrived.expect("all arrive").iter())
        .map(|request| request.at)
        .collect();
    // Of any four, the last begins when the first has been answered.
    let mut fours = times.windows(AT_ONCE + 1);
    assert!(
        fours.all(|four| four[AT_ONCE] - four[0] >= takes),
        "{times:?}"
    );
    assert_eq!(slow.violations(), Vec::<String>::new());
}

/// Posts them all at once; how many were stored, and how many found no room.
fn post_large_events(hooks: std::net::SocketAddr) -> (usize, usize) {
    let body = &incompressible(10 * MIB);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let post = |number: usize| {
            let mut client = Client::connect(hooks).unwrap();
            let answer = client.deliver("gogs", SECRET, &format!("large-{number}"), body);
            answer.unwrap().status
        };
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || post(number)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let count = |wanted| statuses.iter().filter(|&&status| status == wanted).count();
    (count(202), count(503))
}

/// A payload of this size that hardly compresses.
fn incompressible(size: usize) -> String {
    let mut json = String::from(r#"{"ref":"refs/heads/main","text":""#);
    let mut state = 1_u64;
    while json.len() < size - 2 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        json.push(char::from(b'A' + u8::try_from((state >> 33) % 25).unwrap()));
    }
    json.push_str("\"}");
    json
}
