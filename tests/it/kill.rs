//! kill -9 at any moment of a running load: nothing acknowledged is lost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, StandIn};

use crate::binary::{Binary, Client, HalfSent, PATIENCE};

const SECRET: &str = "kill-test";
/// Connections that post at once.
const CONNECTIONS: usize = 8;

/// How often the relay is killed; `KILLS` in the environment says otherwise.
fn kills() -> usize {
    std::env::var("KILLS").map_or(20, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_before_a_kill_arrives_after_the_restart() {
    let clock = Clock::system();
    let (first, second, folder) = two_receivers(&clock).await;

    let mut acknowledged = Vec::new();
    for round in 0..kills() {
        let relay = Binary::start(folder.path());
        // The kill comes after 1 to about 500 answers, at another moment of a commit each time.
        let until = 1 + (round * 7919) % 499;
        let load = tokio::task::spawn_blocking(move || load_until_killed(relay, round, until));
        acknowledged.extend(load.await.unwrap());
    }

    let relay = Binary::start(folder.path());
    for standin in [&first, &second] {
        let arrived = all_arrive(standin, &acknowledged);
        assert!(
            clock.timeout(PATIENCE, arrived).await.is_ok(),
            "{}",
            missing(standin, &acknowledged)
        );
    }
    relay.ask_to_stop();
    assert!(relay.wait().success());
    let (first, second) = (repeats(&first), repeats(&second));
    figure!(
        "{} kills, {} acknowledged, 0 lost; {first} and {second} came more than once",
        kills(),
        acknowledged.len(),
    );
}

/// Two receivers, and a folder with a relay.yaml that names them.
async fn two_receivers(clock: &Clock) -> (StandIn, StandIn, tempfile::TempDir) {
    let start = || StandIn::start(FakeGogs::with_secret(SECRET), clock.clone());
    let (first, second) = (start().await.unwrap(), start().await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("relay.yaml"), yaml(&first, &second)).unwrap();
    (first, second, folder)
}

fn yaml(first: &StandIn, second: &StandIn) -> String {
    format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nsources: {{ gogs: {{ secret: {SECRET} }} }}\ndestinations:\n\
         \x20 first: {{ gogs: {{ url: '{}', secret: {SECRET} }} }}\n\
         \x20 second: {{ gogs: {{ url: '{}', secret: {SECRET} }} }}\n",
        first.url(),
        second.url(),
    )
}

/// Posts from all connections at once; kills the relay when `until` answers are there, while the
/// load goes on. What was acknowledged.
fn load_until_killed(mut relay: Binary, round: usize, until: usize) -> Vec<String> {
    let (hooks, answered, ids) = (relay.hooks, AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (answered, ids) = (&answered, &ids);
            scope.spawn(move || post_until_it_dies(hooks, round, connection, answered, ids));
        }
        while answered.load(Ordering::SeqCst) < until {
            std::thread::yield_now();
        }
        relay.kill();
    });
    ids.into_inner().unwrap()
}

fn post_until_it_dies(
    hooks: SocketAddr,
    round: usize,
    connection: usize,
    answered: &AtomicUsize,
    ids: &Mutex<Vec<String>>,
) {
    let Ok(mut client) = Client::connect(hooks) else {
        return;
    };
    for number in 0.. {
        let id = format!("{round}-{connection}-{number}");
        let body = format!(r#"{{"ref":"refs/heads/main","commits":[],"compare_url":"{id}"}}"#);
        let Ok(answer) = client.deliver("gogs", SECRET, &id, &body) else {
            return;
        };
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.lock().unwrap().push(id);
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// How often each id arrived.
fn counts(standin: &StandIn) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for request in standin.received() {
        *counts
            .entry(request.header("x-gogs-delivery").to_owned())
            .or_insert(0) += 1;
    }
    counts
}

async fn all_arrive(standin: &StandIn, ids: &[String]) {
    let mut seen = 0;
    loop {
        let counts = counts(standin);
        if ids.iter().all(|id| counts.contains_key(id)) {
            return;
        }
        seen = standin.wait_for(seen + 1).await.len();
    }
}

fn missing(standin: &StandIn, ids: &[String]) -> String {
    let counts = counts(standin);
    let missing: Vec<&String> = ids.iter().filter(|id| !counts.contains_key(*id)).collect();
    format!(
        "{} of {} acknowledged deliveries never arrived: {:?}…",
        missing.len(),
        ids.len(),
        &missing[..missing.len().min(5)]
    )
}

fn repeats(standin: &StandIn) -> usize {
    counts(standin).values().filter(|&&count| count > 1).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_answers_what_is_in_flight_and_loses_nothing() {
    let clock = Clock::system();
    let (first, second, folder) = two_receivers(&clock).await;
    let relay = Binary::start(folder.path());

    let stopped = tokio::task::spawn_blocking(move || stop_under_load(relay))
        .await
        .unwrap();
    assert!(stopped.status.success(), "{}", stopped.status);
    assert!(
        stopped.took < std::time::Duration::from_secs(10),
        "it took {:?}, the grace is 10 s",
        stopped.took
    );

    let _relay = Binary::start(folder.path());
    for standin in [&first, &second] {
        let arrived = all_arrive(standin, &stopped.acknowledged);
        assert!(
            clock.timeout(PATIENCE, arrived).await.is_ok(),
            "{}",
            missing(standin, &stopped.acknowledged)
        );
    }
    figure!(
        "stopped in {:?}; {} acknowledged, 0 lost",
        stopped.took,
        stopped.acknowledged.len()
    );
}

struct Stopped {
    acknowledged: Vec<String>,
    status: std::process::ExitStatus,
    took: std::time::Duration,
}

/// SIGTERM while connections post, and while some requests are half sent: those are answered.
fn stop_under_load(relay: Binary) -> Stopped {
    let (hooks, answered, ids) = (relay.hooks, AtomicUsize::new(0), Mutex::new(Vec::new()));
    let mut stopped = None;
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (answered, ids) = (&answered, &ids);
            scope.spawn(move || post_until_it_dies(hooks, 0, connection, answered, ids));
        }
        while answered.load(Ordering::SeqCst) < 200 {
            std::thread::yield_now();
        }
        let half_sent: Vec<_> = (0..4)
            .map(|number| HalfSent::start(hooks, SECRET, format!("half-{number}")))
            .collect();
        let clock = Clock::system();
        relay.ask_to_stop();
        // The listener is gone, so the relay knows that it is to stop.
        while Client::connect(hooks).is_ok() {
            std::thread::yield_now();
        }
        for half in half_sent {
            let (id, answer) = half.finish();
            assert_eq!(answer.status, 202, "{answer:?}");
            ids.lock().unwrap().push(id);
        }
        let status = relay.wait();
        stopped = Some((status, clock.elapsed()));
    });
    let (status, took) = stopped.unwrap();
    Stopped {
        acknowledged: ids.into_inner().unwrap(),
        status,
        took,
    }
}
