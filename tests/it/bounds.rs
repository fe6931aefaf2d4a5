//! Bounds: a log that is full, a file that does not grow with what has passed through it. Small
//! numbers here; `BOUNDS_BACKLOG=100000` measures in earnest.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gogs_relay::clock::{Clock, Timestamp};
use gogs_relay::delivery::{Reason, State};
use gogs_relay::event::{Event, Facts};
use gogs_relay::queue::{
    Again, Appended, Filter, Keep, LaneSpec, LaneStatus, Next, Options, Planned, PlannedDelivery,
    Queue, Redelivery, Repeats, Settlement,
};
use tokio::task::JoinSet;

use crate::binary::PATIENCE;

const DAY: Duration = Duration::from_secs(86_400);
/// Tasks that append at once.
const APPENDING: u64 = 16;
/// So often all events of the log are replaced by others.
const TURNS: u32 = 3;
/// Whatever there is, sled has some segments of 512 KiB in hand.
const IN_HAND: u64 = 20 * (512 << 10);
/// The log may be over its bound by what comes while the oldest go.
const SLACK: u64 = 1000;
const REPEATS: Repeats = Repeats {
    redelivery: Redelivery::Failed,
    same_body: None,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_makes_dead_letters_of_its_oldest_and_redelivery_brings_them_back_in_order() {
    let backlog = number("BOUNDS_BACKLOG", 2000);
    let events = backlog * 3;
    let folder = tempfile::tempdir().unwrap();
    let lanes = [strict("up"), strict("down")];
    let options = Options {
        backlog,
        ..options(folder.path())
    };
    let clock = Clock::system();
    let queue = Queue::open(options.clone(), &lanes, clock.clone()).unwrap();
    let appending = append_all(&queue, &clock, events);
    let delivering = deliver(&queue, &clock, "up", events);
    let most = most_events(&queue, events);
    let (longest, delivered, most) = tokio::join!(appending, delivering, most);
    assert!(delivered.is_sorted(), "the lane that works keeps its order");
    until(&clock, || queue.stats().events <= backlog).await;
    let down = lane(&queue, "down");
    figure!(
        "{events} events over a backlog of {backlog}: {most} at most in the log, {} dead letters, the longest append took {longest:?}",
        down.dead
    );
    assert!(most <= backlog + SLACK, "{most} events in the log");
    assert_eq!(down.dead + down.waiting, events);
    assert!(down.waiting <= backlog && down.dead < events, "{down:?}");
    assert_eq!(
        lane(&queue, "up").dead,
        0,
        "the other lane has lost nothing"
    );

    queue.close().await;
    let queue = Queue::open(options, &lanes, clock.clone()).unwrap();
    let again = lane(&queue, "down");
    assert_eq!((again.dead, again.waiting), (down.dead, down.waiting));
    let dead = dead_letters(&queue, "down").await;
    assert_eq!(dead, (1..=down.dead).collect::<Vec<_>>(), "the oldest");
    let again = queue.redeliver_all(dead_letters_of("down"), Again::default());
    assert_eq!(again.await.unwrap().requeued, down.dead);
    let delivered = deliver(&queue, &clock, "down", events).await;
    assert_eq!(delivered, (1..=events).collect::<Vec<_>>());
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_stays_within_three_times_its_peak_of_live_data() {
    let backlog = number("BOUNDS_BACKLOG", 2000);
    let folder = tempfile::tempdir().unwrap();
    let lanes = [strict("up"), strict("down")];
    let clock = Clock::system();
    let queue = Queue::open(options(folder.path()), &lanes, clock.clone()).unwrap();
    append_all(&queue, &clock, backlog).await;
    let mut sizes = vec![queue.stats().bytes_on_disk];
    for _ in 0..TURNS {
        for name in ["up", "down"] {
            deliver(&queue, &clock, name, backlog).await;
        }
        // What the history still shows keeps its pages; each that is settled lets an older one go.
        let deadline = clock.elapsed() + PATIENCE;
        while queue.stats().events > 200 {
            assert!(clock.elapsed() < deadline, "{:?}", queue.stats());
            append_all(&queue, &clock, APPENDING).await;
            for name in ["up", "down"] {
                deliver(&queue, &clock, name, APPENDING).await;
            }
        }
        append_all(&queue, &clock, backlog).await;
        sizes.push(queue.stats().bytes_on_disk);
    }
    queue.close().await;
    let live = backlog * body(0).len() as u64;
    figure!("{live} bytes of events turned over {TURNS} times: the files take {sizes:?}");
    let largest = sizes.into_iter().max().unwrap();
    assert!(largest <= 3 * live + IN_HAND, "{largest}");
}

/// The most events that were in the log until so many had come.
async fn most_events(queue: &Queue, events: u64) -> u64 {
    let mut most = 0;
    loop {
        let waiting = lane(queue, "down");
        most = most.max(queue.stats().events);
        if waiting.waiting + waiting.dead == events {
            return most;
        }
        tokio::task::yield_now().await;
    }
}

/// Appends so many events to both lanes from several tasks; how long the slowest took.
async fn append_all(queue: &Queue, clock: &Clock, events: u64) -> Duration {
    let mut tasks = JoinSet::new();
    for _ in 0..APPENDING {
        let (queue, clock) = (queue.clone(), clock.clone());
        tasks.spawn(async move {
            let mut longest = Duration::ZERO;
            for _ in 0..events / APPENDING {
                let started = clock.elapsed();
                let appended = queue.append(planned(), REPEATS).await.unwrap();
                assert!(matches!(appended, Appended::New(_)), "{appended:?}");
                longest = longest.max(clock.elapsed() - started);
            }
            longest
        });
    }
    tasks.join_all().await.into_iter().max().unwrap()
}

/// Delivers so many to a lane; which events they were.
async fn deliver(queue: &Queue, clock: &Clock, name: &str, events: u64) -> Vec<u64> {
    let mut delivered = Vec::new();
    while (delivered.len() as u64) < events {
        match queue.next(name).await.unwrap() {
            Next::Lease(lease) => {
                delivered.push(lease.id.event.0);
                queue.settle(*lease, Settlement::Delivered, None);
            }
            _ => drop(clock.timeout(PATIENCE, queue.woken()).await.unwrap()),
        }
    }
    delivered
}

/// The events of a lane's dead letters, oldest first; all for the one reason.
async fn dead_letters(queue: &Queue, name: &str) -> Vec<u64> {
    let filter = dead_letters_of(name);
    let (mut dead, mut cursor) = (Vec::new(), None);
    loop {
        let found = queue.find(filter.clone(), cursor, 1000).await.unwrap();
        for delivery in found.deliveries {
            assert_eq!(delivery.reason, Some(Reason::LaneFull));
            dead.push(delivery.event.0);
        }
        cursor = found.next;
        if cursor.is_none() {
            dead.reverse();
            return dead;
        }
    }
}

fn dead_letters_of(name: &str) -> Filter {
    Filter {
        state: Some(State::Dead),
        destination: Some(name.into()),
        ..Filter::default()
    }
}

/// Looks until it holds.
async fn until(clock: &Clock, holds: impl Fn() -> bool) {
    let deadline = clock.elapsed() + PATIENCE;
    while !holds() {
        assert!(clock.elapsed() < deadline, "it never came to hold");
        tokio::task::yield_now().await;
    }
}

fn lane(queue: &Queue, name: &str) -> LaneStatus {
    let mut lanes = queue.lanes().into_iter();
    lanes
        .find(|lane| lane.destination.as_ref() == name)
        .unwrap()
}

fn strict(name: &str) -> LaneSpec {
    LaneSpec {
        destination: name.into(),
        was: None,
        width: 1,
        loose: false,
        settings: 1,
        longest_wait: Duration::from_secs(600),
    }
}

/// Little is kept of what was delivered, so that what lives is what waits.
fn options(data: &Path) -> Options {
    let keep = |at_most| Keep { keep: DAY, at_most };
    Options {
        data: data.to_owned(),
        history: keep(100),
        dead: keep(1_000_000),
        dedupe: keep(100),
        backlog: 2_000_000,
        free_disk: 0,
    }
}

/// An event of its own, for both lanes.
fn planned() -> Planned {
    let id = uuid::Uuid::new_v4();
    let destination = |name: &str| PlannedDelivery {
        destination: name.into(),
        route: None,
    };
    Planned {
        event: Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: id.to_string().into(),
            received: Timestamp(1_780_000_000_000),
            body: body(id.as_u128()),
        },
        facts: Facts::default(),
        deliveries: ["up", "down"].map(destination).into(),
    }
}

/// 3 KB that hardly compress.
fn body(seed: u128) -> Bytes {
    let mut state = seed as u64 | 1;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b' ' + (state % 90) as u8
    });
    letters.take(3000).collect()
}

fn number(variable: &str, usual: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(usual, |text| text.parse().unwrap())
}
