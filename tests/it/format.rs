//! A data folder as each released format wrote it, in `tests/fixtures/data/`: every later version
//! opens it and finds everything.
//!
//! A new one is written by running this test with `WRITE_FIXTURES` set, once [`VERSION`] names a
//! folder that is not there; the old ones stay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use gogs_relay::clock::{Clock, Hand, Timestamp};
use gogs_relay::delivery::{DeliveryId, Reason, State, Trace};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::queue::{
    Appended, Delivery, Filter, Keep, LaneSpec, Lease, Next, Options, Planned, PlannedDelivery,
    Queue, Redelivery, Repeats, Settlement,
};

use crate::files::copy_folder;

/// The newest format.
const VERSION: &str = "1";
const NOON: Timestamp = Timestamp(1_780_000_000_000);
const REPEATS: Repeats = Repeats {
    redelivery: Redelivery::Failed,
    same_body: None,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data")
}

fn open(data: &Path) -> (Queue, Hand) {
    let keep = Keep {
        keep: Duration::from_secs(90 * 86_400),
        at_most: 1000,
    };
    let options = Options {
        data: data.to_owned(),
        history: keep,
        dead: keep,
        dedupe: keep,
        backlog: 1000,
        free_disk: 0,
    };
    let lane = |name: &str, loose: bool| LaneSpec {
        destination: name.into(),
        was: None,
        width: 1,
        loose,
        settings: 1,
        longest_wait: Duration::from_secs(600),
    };
    let lanes = [
        lane("strict", false),
        lane("loose", true),
        lane("held", false),
    ];
    let (clock, hand) = Clock::stepped(NOON);
    (Queue::open(options, &lanes, clock).unwrap(), hand)
}

fn body(n: u64) -> Bytes {
    // One is so large that it lies in many chunks.
    let filling = "lorem ipsum ".repeat(if n == 6 { 40_000 } else { 3 });
    Bytes::from(format!("{{\"number\":{n},\"text\":\"{filling}\"}}"))
}

async fn append(queue: &Queue, n: u64, to: &[&str]) {
    let deliveries = to.iter().map(|name| PlannedDelivery {
        destination: (*name).into(),
        route: Some("all".into()),
    });
    let planned = Planned {
        event: Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: format!("id-{n}").into(),
            received: NOON,
            body: body(n),
        },
        facts: Facts {
            repo: Some("orbit/lander".into()),
            ..Facts::default()
        },
        deliveries: deliveries.collect(),
    };
    let appended = queue.append(planned, REPEATS).await.unwrap();
    assert_eq!(appended, Appended::New(EventId(n)));
}

async fn lease(queue: &Queue, lane: &str) -> Lease {
    match queue.next(lane).await.unwrap() {
        Next::Lease(lease) => *lease,
        other => panic!("{lane}: {other:?}"),
    }
}

fn trace(status: u16, reason: Reason, verdict: &str) -> Option<Trace> {
    Some(Trace {
        started: NOON,
        duration_ms: 12,
        status: Some(status),
        reason,
        verdict: verdict.into(),
        answer: Bytes::from_static(b"answer"),
        template: "default/slack/push".into(),
        fingerprint: "abc123".into(),
        fallback: None,
        sent: Some(Bytes::from_static(b"{\"text\":\"hello\"}")),
    })
}

/// Makes a queue with one of everything.
async fn write(data: &Path) {
    let (queue, _hand) = open(data);
    append(&queue, 1, &["strict", "loose", "held"]).await;
    append(&queue, 2, &["strict", "loose"]).await;
    append(&queue, 3, &["strict"]).await;
    append(&queue, 4, &["strict"]).await;
    append(&queue, 5, &[]).await;
    append(&queue, 6, &["strict"]).await;
    let passed = trace(200, Reason::Accepted, "accepted");
    let failed = trace(503, Reason::ServerError, "the server said 503");
    let first = lease(&queue, "strict").await;
    queue.settle(first, Settlement::Delivered, passed);
    let second = lease(&queue, "strict").await;
    queue.settle(second, Settlement::Dead(Reason::GaveUp), failed.clone());
    let wait = Duration::from_secs(60);
    let third = lease(&queue, "strict").await;
    queue.settle(third, Settlement::Defer { wait }, failed.clone());
    let parked = lease(&queue, "loose").await;
    queue.settle(parked, Settlement::Defer { wait }, failed);
    queue.close().await;
    // Opened again, its database has a snapshot.
    let (queue, _hand) = open(data);
    queue.hold("held", "being painted".into()).await.unwrap();
    let again = queue.redeliver(EventId(1), &["strict".into()]).await;
    assert_eq!(again.unwrap().len(), 1);
    queue.close().await;
}

async fn delivery(queue: &Queue, id: &str) -> Delivery {
    let id: DeliveryId = id.parse().unwrap();
    queue.delivery(&id).await.unwrap().unwrap()
}

/// Looks at everything that [`write`] made, and delivers what waits.
async fn holds_everything(queue: &Queue, hand: &Hand) {
    assert_eq!(queue.missing(), []);
    let dead = delivery(queue, "2:strict").await;
    assert_eq!(
        (dead.state, dead.reason),
        (State::Dead, Some(Reason::GaveUp))
    );
    assert_eq!(dead.attempts[0].verdict, "the server said 503");
    let parked = delivery(queue, "1:loose").await;
    assert_eq!((parked.state, parked.attempts.len()), (State::Waiting, 1));
    let unrouted = Filter {
        state: Some(State::Unrouted),
        ..Filter::default()
    };
    let found = queue.find(unrouted, None, 10).await.unwrap();
    assert_eq!(found.deliveries[0].event, EventId(5));
    let lanes = queue.lanes();
    let held = lanes.iter().find(|lane| &*lane.destination == "held");
    let held = held.unwrap().held.as_ref().unwrap();
    assert_eq!((held.manual, held.words.as_str()), (true, "being painted"));
    hand.advance(Duration::from_secs(60));
    // The head is retried before the redelivery goes, and that before the next of the log.
    for (n, round, attempts) in [(3, 1, 1), (1, 2, 0), (4, 1, 0), (6, 1, 0)] {
        let lease = lease(queue, "strict").await;
        let found = (lease.id.event.0, lease.round, lease.attempts);
        assert_eq!(found, (n, round, attempts));
        assert_eq!(lease.event.body, body(n));
        queue.settle(lease, Settlement::Delivered, None);
    }
    let mut loose = Vec::new();
    while let Next::Lease(lease) = queue.next("loose").await.unwrap() {
        loose.push(lease.id.event.0);
        queue.settle(*lease, Settlement::Delivered, None);
    }
    loose.sort_unstable();
    assert_eq!(loose, [1, 2]);
    queue.resume("held").await.unwrap();
    assert_eq!(lease(queue, "held").await.event.body, body(1));
    let delivered = delivery(queue, "1:strict").await;
    assert_eq!((delivered.state, delivered.round), (State::Delivered, 2));
    let sent = queue.sent(&"1:strict".parse().unwrap()).await.unwrap();
    assert_eq!(sent.as_deref(), Some(&b"{\"text\":\"hello\"}"[..]));
}

#[tokio::test]
async fn a_data_folder_of_every_format_opens_and_holds_everything() {
    if std::env::var_os("WRITE_FIXTURES").is_some() && !fixtures().join(VERSION).exists() {
        let data = tempfile::tempdir().unwrap();
        write(data.path()).await;
        for unused in ["reserve", "queue/lock"] {
            std::fs::remove_file(data.path().join(unused)).unwrap();
        }
        copy_folder(data.path(), &fixtures().join(VERSION));
    }
    let versions = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let versions: Vec<PathBuf> = versions.filter(|path| path.is_dir()).collect();
    assert!(versions.iter().any(|path| path.ends_with(VERSION)));
    for version in versions {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&version, copy.path());
        let (queue, hand) = open(copy.path());
        holds_everything(&queue, &hand).await;
        queue.close().await;
    }
}

#[tokio::test]
async fn todays_queue_holds_everything_too() {
    let data = tempfile::tempdir().unwrap();
    write(data.path()).await;
    let (queue, hand) = open(data.path());
    holds_everything(&queue, &hand).await;
    queue.close().await;
}

#[tokio::test]
async fn salvage_of_a_sound_folder_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    copy_folder(&fixtures().join(VERSION), data.path());
    let old = data.path().join("queue");
    let new = data.path().join("queue.salvaged");
    let salvaged = gogs_relay::queue::salvage(&old, &new, NOON, &mut |_, _, _| {}).unwrap();
    assert_eq!((salvaged.missing.len(), salvaged.holes), (0, 0));
    let back = [
        salvaged.events,
        salvaged.waiting,
        salvaged.dead,
        salvaged.history,
    ];
    assert_eq!(
        back.map(|tally| (tally.back, tally.lost)),
        [(6, 0), (7, 0), (1, 0), (1, 0)]
    );
    std::fs::remove_dir_all(&old).unwrap();
    std::fs::rename(&new, &old).unwrap();
    let (queue, hand) = open(data.path());
    holds_everything(&queue, &hand).await;
    queue.close().await;
}
