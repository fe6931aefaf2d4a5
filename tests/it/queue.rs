//! The queue through its public surface, on a real database in a folder of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gogs_relay::clock::{Clock, Hand, Timestamp};
use gogs_relay::delivery::{Attempt, DeliveryId, Reason, State, Trace};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::queue::{
    Appended, Delivery, Filter, Keep, LaneSpec, LaneStatus, Lease, Next, Options, Planned,
    PlannedDelivery, Queue, QueueError, Range, Redelivery, Repeats, Resume, Room, Settlement,
};
use tempfile::TempDir;

use crate::files::copy_folder;

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
    drop(world.lease("ci").await);
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
async fn an_event_that_goes_nowhere_is_in_history_after_a_crash_too() {
    let world = World::new(&[strict("ci")]);
    for n in 1..=3 {
        world.append(n, &[]).await;
        let (_image, queue) = world.crash_image(&[strict("ci")]);
        let found = queue.find(Filter::default(), None, 10).await.unwrap();
        let events = found.deliveries.iter().rev();
        let events: Vec<_> = events.map(|found| (found.event.0, found.state)).collect();
        let all: Vec<_> = (1..=n).map(|n| (n, State::Unrouted)).collect();
        assert_eq!(events, all);
        queue.close().await;
    }
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

#[tokio::test]
async fn the_second_of_a_concurrent_pair_waits_for_the_first_and_repeats_it() {
    let world = World::new(&[strict("ci")]);
    let appends = (0..40u64).map(|n| {
        let queue = world.queue.clone();
        async move {
            queue
                .append(planned(n % 4, &["ci"]), REPEATS)
                .await
                .unwrap()
        }
    });
    let mut set = tokio::task::JoinSet::new();
    for append in appends {
        set.spawn(append);
    }
    let answers = set.join_all().await;
    let new = answers
        .iter()
        .filter(|answer| matches!(answer, Appended::New(_)));
    assert_eq!(new.count(), 4);
    assert_eq!(world.lane("ci").waiting, 4);
}

#[tokio::test]
async fn an_equal_body_under_another_id_is_the_same_event_for_a_while() {
    let world = World::new(&[strict("ci")]);
    world.append(1, &["ci"]).await;
    let mut twin = planned(1, &["ci"]);
    twin.event.delivery_id = "other".into();
    twin.event.received = NOON.plus(Duration::from_secs(30));
    let answer = world.queue.append(twin.clone(), REPEATS).await.unwrap();
    let event = EventId(1);
    assert_eq!(
        answer,
        Appended::Repeats {
            event,
            requeued: vec![]
        }
    );
    let off = Repeats {
        same_body: None,
        ..REPEATS
    };
    let answer = world.queue.append(twin.clone(), off).await.unwrap();
    assert_eq!(answer, Appended::New(EventId(2)));
    twin.event.delivery_id = "later".into();
    twin.event.received = NOON.plus(Duration::from_secs(61));
    let answer = world.queue.append(twin.clone(), REPEATS).await.unwrap();
    assert_eq!(answer, Appended::New(EventId(3)));
    twin.event.source = "another".into();
    twin.event.delivery_id = "elsewhere".into();
    let answer = world.queue.append(twin, REPEATS).await.unwrap();
    assert_eq!(answer, Appended::New(EventId(4)));
}

#[tokio::test]
async fn an_id_with_another_body_is_a_new_event() {
    let world = World::new(&[strict("ci")]);
    world.append(1, &["ci"]).await;
    let mut other = planned(2, &["ci"]);
    other.event.delivery_id = "id-1".into();
    let answer = world.queue.append(other, REPEATS).await.unwrap();
    assert_eq!(answer, Appended::New(EventId(2)));
}

#[tokio::test]
async fn what_a_repeated_id_sends_again_follows_the_setting_and_todays_routes() {
    let world = World::new(&[strict("ci"), strict("slack"), strict("new")]);
    world.append(1, &["ci", "slack"]).await;
    world.deliver("ci").await;
    let none = Repeats {
        redelivery: Redelivery::None,
        ..REPEATS
    };
    let answer = world
        .queue
        .append(planned(1, &["new"]), none)
        .await
        .unwrap();
    let event = EventId(1);
    assert_eq!(
        answer,
        Appended::Repeats {
            event,
            requeued: vec![]
        }
    );
    let answer = world
        .queue
        .append(planned(1, &["new"]), REPEATS)
        .await
        .unwrap();
    assert_eq!(
        answer,
        Appended::Repeats {
            event,
            requeued: vec!["new".into()]
        }
    );
    assert_eq!(world.lease("new").await.round, 1);
    let all = Repeats {
        redelivery: Redelivery::All,
        ..REPEATS
    };
    let answer = world.queue.append(planned(1, &["ci"]), all).await.unwrap();
    assert_eq!(
        answer,
        Appended::Repeats {
            event,
            requeued: vec!["ci".into()]
        }
    );
}

#[tokio::test]
async fn a_loose_lane_parks_what_fails_and_goes_on() {
    let lanes = [loose("ci", 3)];
    let mut world = World::new(&lanes);
    for n in 1..=5 {
        world.append(n, &["ci"]).await;
    }
    let first = world.lease("ci").await;
    let second = world.lease("ci").await;
    let third = world.lease("ci").await;
    assert_eq!(third.id.event, EventId(3));
    assert!(world.is_idle("ci").await, "no more than three at once");
    world
        .queue
        .settle(second, Settlement::Delivered, Some(passed()));
    world.queue.settle(first, defer(10), Some(refused()));
    assert_eq!(world.lease("ci").await.id.event, EventId(4));
    world
        .queue
        .settle(third, Settlement::Delivered, Some(passed()));
    world.reopen(&lanes).await;
    assert_eq!(world.deliver("ci").await, EventId(4));
    assert_eq!(world.deliver("ci").await, EventId(5));
    let next = world.queue.next("ci").await.unwrap();
    assert!(matches!(next, Next::NotBefore(_)), "{next:?}");
    assert_eq!(world.state(EventId(1), "ci").await, Some(State::Waiting));
    world.hand.advance(Duration::from_secs(10));
    let lease = world.lease("ci").await;
    assert_eq!((lease.id.event, lease.attempts), (EventId(1), 1));
    assert_eq!(lease.failing_since, Some(NOON));
    world
        .queue
        .settle(lease, Settlement::Delivered, Some(passed()));
    assert_eq!(world.lane("ci").waiting, 0);
}

#[tokio::test]
async fn an_automatic_hold_keeps_everything_and_ends_when_a_probe_passes() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    world.append(1, &["ci"]).await;
    world.append(2, &["ci"]).await;
    let minute = Duration::from_secs(60);
    let gone = Settlement::Hold {
        reason: Reason::EndpointGone,
        words: "no_service".into(),
        probe: Some(minute),
    };
    let lease = world.lease("ci").await;
    world.queue.settle(lease, gone.clone(), Some(refused()));
    assert_eq!(world.state(EventId(2), "ci").await, Some(State::Held));
    assert_eq!(world.lane("ci").held.unwrap().words, "no_service");
    world.reopen(&lanes).await;
    assert!(matches!(
        world.queue.next("ci").await.unwrap(),
        Next::NotBefore(_)
    ));
    world.hand.advance(minute);
    let probe = world.lease("ci").await;
    assert!(probe.is_probe);
    assert_eq!((probe.id.event, probe.attempts), (EventId(1), 1));
    world.queue.settle(probe, defer(1), Some(refused()));
    assert!(matches!(
        world.queue.next("ci").await.unwrap(),
        Next::NotBefore(_)
    ));
    world.hand.advance(minute);
    let probe = world.lease("ci").await;
    assert!(probe.is_probe);
    assert_eq!(
        probe.failing_since,
        Some(NOON.plus(minute * 2)),
        "holds do not count"
    );
    world
        .queue
        .settle(probe, Settlement::Delivered, Some(passed()));
    assert!(world.lane("ci").held.is_none());
    assert_eq!(world.deliver("ci").await, EventId(2));
}

#[tokio::test]
async fn a_changed_setting_ends_an_automatic_hold_and_never_a_manual_one() {
    let mut world = World::new(&[strict("ci"), strict("slack")]);
    world.append(1, &["ci", "slack"]).await;
    let lease = world.lease("ci").await;
    let hold = Settlement::Hold {
        reason: Reason::EndpointRefused,
        words: "forbidden".into(),
        probe: None,
    };
    world.queue.settle(lease, hold, Some(refused()));
    world
        .queue
        .hold("slack", "quiet hours".into())
        .await
        .unwrap();
    let changed = |name| LaneSpec {
        settings: 2,
        ..strict(name)
    };
    world.reopen(&[strict("ci"), strict("slack")]).await;
    assert!(world.is_idle("ci").await);
    assert!(world.is_idle("slack").await);
    world.reopen(&[changed("ci"), changed("slack")]).await;
    assert!(world.is_idle("slack").await);
    assert!(world.lane("slack").held.unwrap().manual);
    let lease = world.lease("ci").await;
    assert_eq!((lease.attempts, lease.failing_since), (1, None));
    world.queue.resume("slack").await.unwrap();
    assert_eq!(world.deliver("slack").await, EventId(1));
}

#[tokio::test]
async fn discard_cancels_what_waits_if_it_is_as_many_as_expected() {
    let world = World::new(&[strict("ci")]);
    for n in 1..=1200 {
        world.append(n, &["ci"]).await;
    }
    world.deliver("ci").await;
    world
        .queue
        .redeliver(EventId(1), &["ci".into()])
        .await
        .unwrap();
    let one = Range::One(EventId(700));
    assert_eq!(world.queue.discard("ci", one, None).await.unwrap(), 1);
    assert_eq!(world.queue.discard("ci", one, None).await.unwrap(), 0);
    assert_eq!(
        world.state(EventId(700), "ci").await,
        Some(State::Cancelled)
    );
    let refused = world.queue.discard("ci", Range::All, Some(5)).await;
    assert!(
        matches!(
            refused,
            Err(QueueError::Changed {
                expected: 5,
                found: 1199
            })
        ),
        "{refused:?}"
    );
    assert_eq!(
        world
            .queue
            .discard("ci", Range::All, Some(1199))
            .await
            .unwrap(),
        1199
    );
    assert_eq!(world.lane("ci").waiting, 0);
    assert!(world.is_idle("ci").await);
    let next = world.append(2000, &["ci"]).await;
    assert_eq!(world.deliver("ci").await, next);
}

#[tokio::test]
async fn a_lane_passes_over_what_was_cancelled_even_after_a_restart() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    for n in 1..=4 {
        world.append(n, &["ci"]).await;
    }
    world
        .queue
        .discard("ci", Range::One(EventId(2)), None)
        .await
        .unwrap();
    assert_eq!(world.deliver("ci").await, EventId(1));
    world
        .queue
        .discard("ci", Range::One(EventId(4)), None)
        .await
        .unwrap();
    world.reopen(&lanes).await;
    assert_eq!(world.lane("ci").waiting, 1);
    assert_eq!(world.deliver("ci").await, EventId(3));
    assert!(world.is_idle("ci").await);
}

#[tokio::test]
async fn a_lane_without_its_destination_keeps_what_waits_until_it_is_taken_over() {
    let mut world = World::new(&[strict("old"), strict("ci")]);
    world.append(1, &["old"]).await;
    world.reopen(&[strict("ci")]).await;
    assert!(world.lane("old").orphaned);
    assert_eq!(world.lane("old").waiting, 1);
    assert!(world.is_idle("old").await);
    let renamed = LaneSpec {
        was: Some("old".into()),
        ..strict("new")
    };
    world.reopen(&[strict("ci"), renamed]).await;
    let lease = world.lease("new").await;
    assert_eq!(lease.id.to_string(), "1:new");
    assert!(world.queue.next("old").await.is_err());
}

async fn past_head(world: &World) -> Option<Box<Lease>> {
    let next = world.queue.next_past_head("ci", &Room::any()).await;
    match next.unwrap() {
        Next::Lease(lease) => Some(lease),
        Next::Nothing => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_delivery_past_a_failing_head_shows_whether_the_head_is_poison() {
    let mut world = World::new(&[strict("ci")]);
    for n in 1..=3 {
        world.append(n, &["ci"]).await;
    }
    assert!(past_head(&world).await.is_none(), "no head yet");
    let head = world.lease("ci").await;
    world.queue.settle(head, defer(60), Some(refused()));
    let probe = past_head(&world).await.unwrap();
    assert_eq!((probe.id.event, probe.past_head), (EventId(2), true));
    assert!(past_head(&world).await.is_none(), "one at a time");
    world
        .queue
        .settle(*probe, Settlement::Release, Some(refused()));
    let probe = past_head(&world).await.unwrap();
    assert_eq!((probe.id.event, probe.attempts), (EventId(2), 0));
    world
        .queue
        .settle(*probe, Settlement::Delivered, Some(passed()));
    world.reopen(&[strict("ci")]).await;
    world.queue.bury_head("ci", EventId(1), Reason::Poison);
    let head = world.delivery(EventId(1), "ci").await.unwrap();
    assert_eq!(
        (head.state, head.reason),
        (State::Dead, Some(Reason::Poison))
    );
    assert_eq!(head.attempts.len(), 1);
    assert_eq!(world.deliver("ci").await, EventId(3));
    assert_eq!((world.lane("ci").dead, world.lane("ci").waiting), (1, 0));
}

#[tokio::test]
async fn a_full_log_buries_its_oldest_and_keeps_them_readable() {
    let lanes = [strict("stuck"), strict("ci")];
    let mut world = World::with(&lanes, |options| options.backlog = 20);
    for n in 1..=60 {
        world.append(n, &["stuck", "ci"]).await;
        world.deliver("ci").await;
    }
    let mut n = 60;
    while world.queue.stats().events > 20 {
        n += 1;
        world.append(n, &["ci"]).await;
    }
    let stuck = world.lane("stuck");
    assert!(stuck.dead >= 30, "{stuck:?}");
    assert_eq!(stuck.dead + stuck.waiting, 60);
    let dead = world.delivery(EventId(1), "stuck").await.unwrap();
    assert_eq!(
        (dead.state, dead.reason),
        (State::Dead, Some(Reason::LaneFull))
    );
    world.reopen(&lanes).await;
    assert_eq!(world.lane("stuck").waiting, stuck.waiting);
    assert_eq!(
        world.queue.event(EventId(1)).await.unwrap().unwrap().body,
        body(1)
    );
    world
        .queue
        .redeliver(EventId(1), &["stuck".into()])
        .await
        .unwrap();
    let lease = world.lease("stuck").await;
    assert_eq!(
        (lease.id.event, lease.event.body.clone()),
        (EventId(1), body(1))
    );
    world
        .queue
        .settle(lease, Settlement::Delivered, Some(passed()));
    assert_eq!(world.deliver("stuck").await, EventId(stuck.dead + 1));
}

#[tokio::test]
async fn what_is_old_goes_and_dead_letters_stay_with_their_events() {
    let lanes = [strict("ci"), strict("idle")];
    let mut world = World::new(&lanes);
    for n in 1..=30 {
        world.append(n, &["ci"]).await;
        let lease = world.lease("ci").await;
        let end = if n == 5 {
            Settlement::Dead(Reason::ContentRefused)
        } else {
            Settlement::Delivered
        };
        world.queue.settle(lease, end, Some(passed()));
    }
    world.hand.advance(DAY * 8);
    let mut n = 100;
    while world.queue.event(EventId(30)).await.unwrap().is_some() {
        n += 1;
        let mut fresh = planned(n, &["ci"]);
        fresh.event.received = world.clock.now();
        world.queue.append(fresh, REPEATS).await.unwrap();
        let lease = world.lease("ci").await;
        world
            .queue
            .settle(lease, Settlement::Delivered, Some(passed()));
        world.hand.advance(Duration::from_secs(11));
        assert!(n < 400, "nothing goes: {:?}", world.queue.stats());
    }
    world.reopen(&lanes).await;
    assert_eq!(world.state(EventId(4), "ci").await, None);
    assert!(world.queue.event(EventId(4)).await.unwrap().is_none());
    assert_eq!(world.state(EventId(5), "ci").await, Some(State::Dead));
    assert_eq!(
        world.queue.event(EventId(5)).await.unwrap().unwrap().body,
        body(5)
    );
    assert_eq!(world.queue.stats().dead, 1);
}

#[tokio::test]
async fn a_repeat_is_known_after_its_page_has_gone() {
    let lanes = [strict("ci")];
    let mut world = World::with(&lanes, |options| {
        options.history.at_most = 5;
        options.dedupe.at_most = 1000;
    });
    let mut n = 0;
    loop {
        n += 1;
        world.append(n, &["ci"]).await;
        world.deliver("ci").await;
        if world.queue.event(EventId(1)).await.unwrap().is_none() {
            break;
        }
        assert!(n < 400, "no page goes: {:?}", world.queue.stats());
    }
    for _ in 0..2 {
        let answer = world
            .queue
            .append(planned(1, &["ci"]), REPEATS)
            .await
            .unwrap();
        let event = EventId(1);
        assert_eq!(
            answer,
            Appended::Repeats {
                event,
                requeued: vec![]
            }
        );
        world.reopen(&lanes).await;
    }
}

#[tokio::test]
async fn large_events_come_back_whole_among_small_ones() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    let noise = |size: usize| {
        let mut state = size as u64;
        let bytes = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            b' ' + ((state >> 33) % 90) as u8
        });
        Bytes::from(bytes.take(size).collect::<Vec<u8>>())
    };
    let sizes = [100, 1 << 20, 50, 300_000, 10 << 20, 70];
    let mut set = tokio::task::JoinSet::new();
    for (n, size) in sizes.into_iter().enumerate() {
        let mut large = planned(n as u64, &["ci"]);
        large.event.body = noise(size);
        let queue = world.queue.clone();
        set.spawn(async move { queue.append(large, REPEATS).await.unwrap() });
    }
    set.join_all().await;
    for reopened in [false, true] {
        if reopened {
            world.reopen(&lanes).await;
        }
        let mut found = Vec::new();
        for id in 1..=6 {
            let event = world.queue.event(EventId(id)).await.unwrap().unwrap();
            assert_eq!(event.body, noise(event.body.len()));
            found.push(event.body.len());
        }
        found.sort_unstable();
        assert_eq!(found, [50, 70, 100, 300_000, 1 << 20, 10 << 20]);
    }
    for id in 1..=6 {
        assert_eq!(world.deliver("ci").await, EventId(id));
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_in_every_image_of_the_files() {
    let lanes = [strict("ci"), loose("slack", 2)];
    let world = World::new(&lanes);
    for n in 1..=120u64 {
        world.append(n, &["ci", "slack"]).await;
        if n % 3 == 0 {
            world.deliver("ci").await;
            let lease = world.lease("slack").await;
            let end = if n % 2 == 0 {
                defer(1000)
            } else {
                Settlement::Delivered
            };
            world.queue.settle(lease, end, Some(refused()));
        }
        if n % 40 == 0 {
            let (_folder, image) = world.crash_image(&lanes);
            for id in 1..=n {
                let event = image.event(EventId(id)).await.unwrap();
                assert_eq!(event.unwrap().body, body(id));
            }
            for lane in image.lanes() {
                let now = world.lane(&lane.destination);
                assert!(lane.waiting >= now.waiting && lane.waiting <= n, "{lane:?}");
            }
            let answer = image.append(planned(1, &["ci"]), REPEATS).await.unwrap();
            assert!(matches!(
                answer,
                Appended::Repeats {
                    event: EventId(1),
                    ..
                }
            ));
            image.close().await;
        }
    }
}

#[tokio::test]
async fn a_torn_tail_costs_nothing_that_was_synced_before_it() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    for n in 1..=50 {
        world.append(n, &["ci"]).await;
    }
    world.queue.close().await;
    let queue = world.folder.path().join("queue");
    let db = std::fs::OpenOptions::new()
        .append(true)
        .open(queue.join("db"))
        .unwrap();
    std::io::Write::write_all(&mut &db, &[0x5a; 700]).unwrap();
    std::fs::write(queue.join("snap.0000000000001234.generating"), b"half").unwrap();
    world.reopen(&lanes).await;
    for n in 1..=50 {
        assert_eq!(world.deliver("ci").await, EventId(n));
    }
    world.append(51, &["ci"]).await;
}

#[tokio::test]
async fn the_relays_own_downtime_does_not_use_up_a_lanes_patience() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    world.append(1, &["ci"]).await;
    let lease = world.lease("ci").await;
    world.queue.settle(lease, defer(1), Some(refused()));
    world.queue.close().await;
    world.hand.jump_wall(DAY.as_millis() as i64 * 5);
    world.reopen(&lanes).await;
    world.hand.advance(Duration::from_secs(1));
    let lease = world.lease("ci").await;
    assert_eq!(lease.failing_since, Some(NOON.plus(DAY * 5)));
}

#[tokio::test]
async fn a_wait_is_not_stretched_by_a_wall_clock_that_went_back() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    world.append(1, &["ci"]).await;
    let lease = world.lease("ci").await;
    world.queue.settle(lease, defer(30), Some(refused()));
    world.queue.close().await;
    world.hand.jump_wall(DAY.as_millis() as i64 * -300);
    world.reopen(&lanes).await;
    world.hand.advance(Duration::from_secs(3600));
    assert_eq!(world.deliver("ci").await, EventId(1));
}

#[tokio::test]
async fn a_range_that_is_resumed_while_the_lane_reads_on_is_not_passed_over() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    for n in 1..=3 {
        world.append(n, &["ci"]).await;
    }
    let newer_than = Resume {
        newer_than: Some(NOON),
        rest: None,
    };
    let left = world.queue.resume_with("ci", newer_than).await.unwrap();
    assert_eq!(left, 3);
    world.append(4, &["ci"]).await;
    // Nothing is in memory any more, so the lane has to read the page of the fourth.
    world.reopen(&lanes).await;
    let queue = world.queue.clone();
    let mut next = std::pin::pin!(queue.next("ci"));
    let early = tokio::select! {
        biased;
        early = &mut next => Some(early),
        () = std::future::ready(()) => None,
    };
    world.queue.resume("ci").await.unwrap();
    // The page may be read at once; then the fourth goes before the range.
    let next = match early {
        Some(early) => early,
        None => next.await,
    };
    let Next::Lease(lease) = next.unwrap() else {
        panic!("nothing to do");
    };
    let mut delivered = vec![lease.id.event];
    world.queue.settle(*lease, Settlement::Delivered, None);
    while delivered.len() < 4 {
        delivered.push(world.deliver("ci").await);
    }
    delivered.sort_unstable();
    assert_eq!(delivered, [1, 2, 3, 4].map(EventId));
}

#[tokio::test]
async fn an_equal_body_from_before_the_wall_clock_went_back_is_another_event() {
    let world = World::new(&[strict("ci")]);
    world.append(1, &["ci"]).await;
    for (number, (back, is_new)) in [(10, false), (3600, true)].into_iter().enumerate() {
        let mut again = planned(1, &["ci"]);
        again.event.delivery_id = format!("other-{number}").into();
        again.event.received = Timestamp(NOON.0 - back * 1000);
        let appended = world.queue.append(again, REPEATS).await.unwrap();
        let was_new = matches!(appended, Appended::New(_));
        assert_eq!(was_new, is_new, "{back} s before: {appended:?}");
    }
}

#[tokio::test]
async fn below_the_free_room_new_events_wait_and_are_refused_while_lanes_go_on() {
    let lanes = [strict("ci")];
    let mut world = World::new(&lanes);
    world.append(1, &["ci"]).await;
    world.options.free_disk = u64::MAX;
    world.reopen(&lanes).await;
    let queue = world.queue.clone();
    let mut append = tokio::task::JoinSet::new();
    append.spawn(async move { queue.append(planned(2, &["ci"]), REPEATS).await });
    let refused = loop {
        if let Some(answer) = append.try_join_next() {
            break answer.unwrap();
        }
        world.hand.advance(Duration::from_millis(500));
        tokio::task::yield_now().await;
    };
    assert!(world.clock.elapsed() >= Duration::from_secs(8));
    assert!(matches!(refused, Err(QueueError::DiskLow)));
    assert_eq!(world.deliver("ci").await, EventId(1));
}

#[tokio::test]
async fn only_one_process_has_a_queue_and_a_closed_one_says_so() {
    let lanes = [strict("ci")];
    let world = World::new(&lanes);
    let second = Queue::open(world.options.clone(), &lanes, world.clock.clone());
    assert!(format!("{:#}", second.unwrap_err()).contains("another process"));
    world.queue.close().await;
    let refused = world.queue.append(planned(1, &["ci"]), REPEATS).await;
    assert!(matches!(refused, Err(QueueError::Closed)));
    assert!(matches!(
        world.queue.next("ci").await,
        Err(QueueError::Closed)
    ));
}

#[tokio::test]
async fn the_attempts_of_a_lane_are_told_newest_first_with_their_rounds_and_across_a_restart() {
    let lanes = [strict("hook"), strict("ci")];
    let mut world = World::new(&lanes);
    for n in 1..=3 {
        world.append(n, &["hook", "ci"]).await;
    }
    assert_eq!(world.queue.last_attempt("hook"), None);
    for _ in 1..=3 {
        world.deliver("hook").await;
        world.deliver("ci").await;
    }
    let again = world.queue.redeliver(EventId(1), &["hook".into()]).await;
    assert_eq!(again.unwrap().len(), 1);
    world.deliver("hook").await;
    world.append(4, &["hook"]).await;
    for _ in 0..2 {
        let lease = world.lease("hook").await;
        world.queue.settle(lease, defer(10), Some(refused()));
        world.hand.advance(Duration::from_secs(10));
    }
    for _ in 0..2 {
        assert_told(&world.queue).await;
        let last = world.queue.last_attempt("hook").unwrap();
        assert_eq!(last.status, Some(503));
        world.reopen(&lanes).await;
    }
}

async fn assert_told(queue: &Queue) {
    let every = |_: &Attempt| true;
    let all = queue.attempts("hook", None, 10, every).await.unwrap();
    let told = all.found.iter().map(|found| {
        let Attempt { round, count, .. } = found.attempt;
        (found.delivery.event.0, round, count, found.is_last)
    });
    let want = [
        (4, 1, 2, true),
        (1, 2, 1, true),
        (3, 1, 1, true),
        (2, 1, 1, true),
        (1, 1, 1, false),
    ];
    assert_eq!(told.collect::<Vec<_>>(), want);
    assert_eq!((all.newer, all.older), (None, None));
    let ids: Vec<u64> = all.found.iter().map(|found| found.attempt.id).collect();
    let middle = queue.attempts("hook", Some(ids[2]), 2, every).await;
    let middle = middle.unwrap();
    let found: Vec<u64> = middle.found.iter().map(|it| it.attempt.id).collect();
    assert_eq!(found, ids[2..4]);
    assert_eq!((middle.newer, middle.older), (Some(ids[0]), Some(ids[4])));
    let failed = |attempt: &Attempt| attempt.status != Some(200);
    let failed = queue.attempts("hook", None, 1, failed).await.unwrap();
    assert_eq!((failed.found[0].attempt.id, failed.older), (ids[0], None));
    // The first of the run goes by the run's id.
    let first = queue.attempt("hook", ids[0] - 1).await.unwrap();
    assert_eq!(first.unwrap().attempt.id, ids[0]);
    let none = queue.attempt("hook", ids[0] + 9).await.unwrap();
    assert!(none.is_none());
}
