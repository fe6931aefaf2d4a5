//! The queue through its public surface, on a real database in a folder of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gogs_relay::clock::{Clock, Hand, Timestamp};
use gogs_relay::delivery::{DeliveryId, Reason, State, Trace};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::queue::{
    Appended, Delivery, Filter, Keep, LaneSpec, LaneStatus, Lease, Next, Options, Planned,
    PlannedDelivery, Queue, QueueError, Range, Redelivery, Repeats, Settlement,
};
use tempfile::TempDir;

const NOON: Timestamp = Timestamp(1_780_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const REPEATS: Repeats = Repeats {
    redelivery: Redelivery::Failed,
    same_body: Some(Duration::from_secs(30)),
};

/// A queue in a folder that goes with it, with a clock that is stepped by hand.
struct World {
    folder: TempDir,
    options: Options,
    clock: Clock,
    hand: Hand,
    queue: Queue,
}

impl World {
    fn new(lanes: &[LaneSpec]) -> World {
        World::with(lanes, |_| {})
    }

    fn with(lanes: &[LaneSpec], change: impl FnOnce(&mut Options)) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        change(&mut options);
        let (clock, hand) = Clock::stepped(NOON);
        let queue = Queue::open(options.clone(), lanes, clock.clone()).unwrap();
        World {
            folder,
            options,
            clock,
            hand,
            queue,
        }
    }

    /// Closes the queue and opens it again, with these lanes.
    async fn reopen(&mut self, lanes: &[LaneSpec]) {
        self.queue.close().await;
        self.queue = Queue::open(self.options.clone(), lanes, self.clock.clone()).unwrap();
    }

    /// Opens what a crash at this moment would leave: the files as they are on disk now.
    fn crash_image(&self, lanes: &[LaneSpec]) -> (TempDir, Queue) {
        let image = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), image.path());
        let options = Options {
            data: image.path().to_owned(),
            ..self.options.clone()
        };
        let queue = Queue::open(options, lanes, self.clock.clone()).unwrap();
        (image, queue)
    }

    async fn append(&self, n: u64, to: &[&str]) -> EventId {
        match self.queue.append(planned(n, to), REPEATS).await.unwrap() {
            Appended::New(id) => id,
            repeats => panic!("{repeats:?}"),
        }
    }

    async fn lease(&self, lane: &str) -> Lease {
        match self.queue.next(lane).await.unwrap() {
            Next::Lease(lease) => *lease,
            other => panic!("no lease but {other:?}"),
        }
    }

    async fn deliver(&self, lane: &str) -> EventId {
        let lease = self.lease(lane).await;
        let event = lease.id.event;
        self.queue
            .settle(lease, Settlement::Delivered, Some(passed()));
        event
    }

    async fn is_idle(&self, lane: &str) -> bool {
        matches!(self.queue.next(lane).await.unwrap(), Next::Nothing)
    }

    fn lane(&self, name: &str) -> LaneStatus {
        let mut lanes = self.queue.lanes().into_iter();
        lanes
            .find(|lane| lane.destination.as_ref() == name)
            .unwrap()
    }

    async fn delivery(&self, event: EventId, lane: &str) -> Option<Delivery> {
        let id = DeliveryId {
            event,
            destination: lane.into(),
        };
        self.queue.delivery(&id).await.unwrap()
    }

    async fn state(&self, event: EventId, lane: &str) -> Option<State> {
        self.delivery(event, lane)
            .await
            .map(|delivery| delivery.state)
    }
}

fn options(data: &Path) -> Options {
    let keep = |days, at_most| Keep {
        keep: DAY * days,
        at_most,
    };
    Options {
        data: data.to_owned(),
        history: keep(7, 100_000),
        dead: keep(90, 1_000_000),
        dedupe: keep(7, 1_000_000),
        backlog: 2_000_000,
        free_disk: 0,
    }
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

fn loose(name: &str, width: usize) -> LaneSpec {
    LaneSpec {
        width,
        loose: true,
        ..strict(name)
    }
}

fn planned(n: u64, to: &[&str]) -> Planned {
    let facts = Facts {
        repo: Some("orbit/lander".into()),
        branch: Some("main".into()),
        sender: Some("alice".into()),
        ..Facts::default()
    };
    let deliveries = to.iter().map(|name| PlannedDelivery {
        destination: (*name).into(),
        route: Some("all".into()),
    });
    Planned {
        event: Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: format!("id-{n}").into(),
            received: NOON,
            body: body(n),
        },
        facts,
        deliveries: deliveries.collect(),
    }
}

fn body(n: u64) -> Bytes {
    Bytes::from(format!("{{\"number\":{n}}}"))
}

fn passed() -> Trace {
    trace(Some(200), Reason::Accepted, "accepted")
}

fn refused() -> Trace {
    trace(Some(503), Reason::ServerError, "the server said 503")
}

fn trace(status: Option<u16>, reason: Reason, verdict: &str) -> Trace {
    Trace {
        started: NOON,
        duration_ms: 12,
        status,
        reason,
        verdict: verdict.into(),
        answer: Bytes::from_static(b"answer"),
        template: "default/slack/push".into(),
        fingerprint: "abc123".into(),
        fallback: None,
        sent: Some(Bytes::from_static(b"{\"text\":\"hello\"}")),
    }
}

fn defer(seconds: u64) -> Settlement {
    Settlement::Defer {
        wait: Duration::from_secs(seconds),
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn an_event_comes_back_as_it_was_appended() {
    let mut world = World::new(&[strict("slack"), strict("ci")]);
    let id = world.append(7, &["slack", "ci"]).await;
    assert_eq!(id, EventId(1));
    world.reopen(&[strict("slack"), strict("ci")]).await;
    let lease = world.lease("ci").await;
    assert_eq!(lease.id.to_string(), "1:ci");
    assert_eq!(lease.event, planned(7, &[]).event);
    assert_eq!(lease.route.as_deref(), Some("all"));
    assert_eq!((lease.round, lease.attempts), (1, 0));
    assert_eq!(world.queue.event(id).await.unwrap().unwrap().body, body(7));
}

#[tokio::test]
async fn a_strict_lane_hands_out_in_order_and_one_at_a_time() {
    let mut world = World::new(&[strict("slack")]);
    for n in 1..=300 {
        world.append(n, &["slack"]).await;
    }
    for n in 1..=150 {
        let lease = world.lease("slack").await;
        assert_eq!(lease.id.event, EventId(n));
        assert!(world.is_idle("slack").await);
        world
            .queue
            .settle(lease, Settlement::Delivered, Some(passed()));
    }
    assert_eq!(world.lane("slack").waiting, 150);
    world.reopen(&[strict("slack")]).await;
    for n in 151..=300 {
        assert_eq!(world.deliver("slack").await, EventId(n));
    }
    assert!(world.is_idle("slack").await);
    assert_eq!(
        world.state(EventId(3), "slack").await,
        Some(State::Delivered)
    );
    assert_eq!(world.queue.stats().records, 300);
}

#[tokio::test]
async fn a_failed_head_waits_its_time_with_its_attempts_and_the_lane_with_it() {
    let mut world = World::new(&[strict("slack")]);
    world.append(1, &["slack"]).await;
    world.append(2, &["slack"]).await;
    let lease = world.lease("slack").await;
    world.queue.settle(lease, defer(10), Some(refused()));
    assert!(
        matches!(world.queue.next("slack").await.unwrap(), Next::NotBefore(at) if at == Duration::from_secs(10))
    );
    world.reopen(&[strict("slack")]).await;
    assert!(matches!(
        world.queue.next("slack").await.unwrap(),
        Next::NotBefore(_)
    ));
    world.hand.advance(Duration::from_secs(10));
    let lease = world.lease("slack").await;
    assert_eq!(
        (lease.id.event, lease.attempts, lease.answered),
        (EventId(1), 1, 1)
    );
    assert_eq!(lease.failing_since, Some(NOON));
    world
        .queue
        .settle(lease, Settlement::Delivered, Some(passed()));
    assert_eq!(world.deliver("slack").await, EventId(2));
    let delivery = world.delivery(EventId(1), "slack").await.unwrap();
    let verdicts: Vec<&str> = delivery
        .attempts
        .iter()
        .map(|a| a.verdict.as_str())
        .collect();
    assert_eq!(verdicts, ["the server said 503", "accepted"]);
    assert_eq!(delivery.template, "default/slack/push");
    let id = DeliveryId {
        event: EventId(1),
        destination: "slack".into(),
    };
    assert_eq!(
        world.queue.sent(&id).await.unwrap().unwrap(),
        b"{\"text\":\"hello\"}"
    );
}

#[tokio::test]
async fn a_dropped_lease_is_given_back_untried() {
    let world = World::new(&[strict("slack")]);
    world.append(1, &["slack"]).await;
    drop(world.lease("slack").await);
    let lease = world.lease("slack").await;
    assert_eq!((lease.id.event, lease.attempts), (EventId(1), 0));
}

#[tokio::test]
async fn lanes_that_got_something_are_named_once() {
    let world = World::new(&[strict("slack"), strict("ci")]);
    world.append(1, &["ci"]).await;
    assert_eq!(world.queue.woken().await, vec![Arc::from("ci")]);
    let lease = world.lease("ci").await;
    world.queue.settle(lease, Settlement::Delivered, None);
    assert_eq!(world.queue.woken().await, vec![Arc::from("ci")]);
}

#[tokio::test]
async fn a_redelivery_is_a_new_round_before_the_next_of_the_log() {
    let mut world = World::new(&[strict("slack")]);
    for n in 1..=3 {
        world.append(n, &["slack"]).await;
    }
    world.deliver("slack").await;
    let again = world
        .queue
        .redeliver(EventId(1), &["slack".into()])
        .await
        .unwrap();
    assert_eq!(again, vec![Arc::from("slack")]);
    let none = world
        .queue
        .redeliver(EventId(1), &["slack".into()])
        .await
        .unwrap();
    assert!(none.is_empty(), "one that waits is never doubled");
    let none = world
        .queue
        .redeliver(EventId(3), &["slack".into()])
        .await
        .unwrap();
    assert!(none.is_empty(), "nor one that waits in the log");
    world.reopen(&[strict("slack")]).await;
    let lease = world.lease("slack").await;
    assert_eq!((lease.id.event, lease.round), (EventId(1), 2));
    world
        .queue
        .settle(lease, Settlement::Delivered, Some(passed()));
    assert_eq!(world.deliver("slack").await, EventId(2));
    assert_eq!(world.deliver("slack").await, EventId(3));
    assert!(world.is_idle("slack").await);
    let delivery = world.delivery(EventId(1), "slack").await.unwrap();
    assert_eq!((delivery.round, delivery.state), (2, State::Delivered));
}

#[tokio::test]
async fn a_repeated_id_sends_again_what_was_not_delivered() {
    let mut world = World::new(&[strict("slack"), strict("ci")]);
    world.append(1, &["slack", "ci"]).await;
    world.deliver("slack").await;
    let lease = world.lease("ci").await;
    world
        .queue
        .settle(lease, Settlement::Dead(Reason::GaveUp), Some(refused()));
    world.reopen(&[strict("slack"), strict("ci")]).await;
    let again = world
        .queue
        .append(planned(1, &["slack", "ci"]), REPEATS)
        .await
        .unwrap();
    let event = EventId(1);
    let requeued = vec![Arc::from("ci")];
    assert_eq!(again, Appended::Repeats { event, requeued });
    let again = world
        .queue
        .append(planned(1, &["slack", "ci"]), REPEATS)
        .await
        .unwrap();
    assert_eq!(
        again,
        Appended::Repeats {
            event,
            requeued: vec![]
        }
    );
    assert_eq!(world.lease("ci").await.round, 2);
    assert_eq!(world.lane("ci").dead, 0);
}

#[tokio::test]
async fn a_find_lists_newest_first_with_cursor_and_filters() {
    let world = World::new(&[strict("slack"), strict("ci")]);
    for n in 1..=10 {
        world.append(n, &["slack", "ci"]).await;
    }
    world.append(11, &[]).await;
    for _ in 0..4 {
        world.deliver("ci").await;
    }
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let found = world
            .queue
            .find(Filter::default(), cursor, 3)
            .await
            .unwrap();
        all.extend(found.deliveries);
        cursor = found.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 21);
    assert_eq!((all[0].event, all[0].state), (EventId(11), State::Unrouted));
    assert!(all.windows(2).all(|pair| pair[0].event >= pair[1].event));
    let filter = Filter {
        state: Some(State::Delivered),
        ..Filter::default()
    };
    let found = world.queue.find(filter, None, 100).await.unwrap();
    let events: Vec<u64> = found.deliveries.iter().map(|found| found.event.0).collect();
    assert_eq!(events, [4, 3, 2, 1]);
    let filter = Filter {
        destination: Some("slack".into()),
        text: Some("ORBIT/lander".into()),
        ..Filter::default()
    };
    let found = world.queue.find(filter, None, 100).await.unwrap();
    assert_eq!(found.deliveries.len(), 10);
}
