//! A queue in a folder of its own with a clock that is stepped by hand, for whoever operates it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gogs_relay::clock::{Clock, Hand, Timestamp};
use gogs_relay::delivery::{DeliveryId, Reason, State, Trace};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::queue::{
    Appended, Delivery, Filter, Keep, LaneSpec, LaneStatus, Lease, Next, Options, Planned,
    PlannedDelivery, Queue, QueueError, Redelivery, Repeats, Settlement,
};
use tempfile::TempDir;

use crate::files::copy_folder;

pub(super) const NOON: Timestamp = Timestamp(1_780_000_000_000);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
const REPEATS: Repeats = Repeats {
    redelivery: Redelivery::Failed,
    same_body: None,
};

pub(super) struct Desk {
    folder: TempDir,
    options: Options,
    lanes: Vec<LaneSpec>,
    pub(super) clock: Clock,
    pub(super) hand: Hand,
    pub(super) queue: Queue,
    next: u64,
}

impl Desk {
    pub(super) fn new(lanes: &[LaneSpec]) -> Desk {
        Desk::with(lanes, |_| {})
    }

    pub(super) fn with(lanes: &[LaneSpec], change: impl FnOnce(&mut Options)) -> Desk {
        let (clock, hand) = Clock::stepped(NOON);
        Desk::with_clock(lanes, (clock, hand), change)
    }

    /// With the machine's own clock, for what is measured.
    pub(super) fn in_real_time(lanes: &[LaneSpec]) -> Desk {
        let (_, hand) = Clock::stepped(NOON);
        Desk::with_clock(lanes, (Clock::system(), hand), |_| {})
    }

    fn with_clock(
        lanes: &[LaneSpec],
        (clock, hand): (Clock, Hand),
        change: impl FnOnce(&mut Options),
    ) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        change(&mut options);
        let queue = Queue::open(options.clone(), lanes, clock.clone()).unwrap();
        Desk {
            folder,
            options,
            lanes: lanes.to_vec(),
            clock,
            hand,
            queue,
            next: 1,
        }
    }

    /// Closes the queue and opens it again.
    pub(super) async fn reopen(&mut self) {
        self.queue.close().await;
        self.queue = Queue::open(self.options.clone(), &self.lanes, self.clock.clone()).unwrap();
    }

    /// Goes on with what a crash at this moment would leave: the files as they are on disk now.
    pub(super) async fn crash(&mut self) {
        let image = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), image.path());
        self.queue.close().await;
        self.options.data = image.path().to_owned();
        self.queue = Queue::open(self.options.clone(), &self.lanes, self.clock.clone()).unwrap();
        self.folder = image;
    }

    /// An event for these lanes, received now; they count from 1.
    pub(super) async fn append(&mut self, to: &[&str]) -> EventId {
        let event = planned(self.next, self.clock.now(), to);
        self.next += 1;
        match self.queue.append(event, REPEATS).await.unwrap() {
            Appended::New(id) => id,
            repeats => panic!("{repeats:?}"),
        }
    }

    /// Many at once, so that they share commits.
    pub(super) async fn append_many(&mut self, count: u64, to: &'static [&'static str]) {
        let mut appending = tokio::task::JoinSet::new();
        for _ in 0..count {
            let event = planned(self.next, self.clock.now(), to);
            self.next += 1;
            let queue = self.queue.clone();
            appending.spawn(async move { queue.append(event, REPEATS).await.unwrap() });
            if appending.len() == 256 {
                appending.join_next().await.unwrap().unwrap();
            }
        }
        while let Some(appended) = appending.join_next().await {
            assert!(matches!(appended.unwrap(), Appended::New(_)));
        }
    }

    pub(super) async fn lease(&self, lane: &str) -> Lease {
        match self.queue.next(lane).await.unwrap() {
            Next::Lease(lease) => *lease,
            other => panic!("no lease but {other:?}"),
        }
    }

    /// Delivers all that goes out now; the events.
    pub(super) async fn deliver_all(&self, lane: &str) -> Vec<u64> {
        let mut delivered = Vec::new();
        loop {
            match self.queue.next(lane).await.unwrap() {
                Next::Lease(lease) => {
                    delivered.push(lease.id.event.0);
                    let passed = Some(trace(Some(200), Reason::Accepted));
                    self.queue.settle(*lease, Settlement::Delivered, passed);
                }
                Next::NotBefore(at) if at <= self.clock.elapsed() => {}
                _ => return delivered,
            }
        }
    }

    /// One attempt that ends so.
    pub(super) async fn attempt(&self, lane: &str, settlement: Settlement) -> EventId {
        let lease = self.lease(lane).await;
        let event = lease.id.event;
        let failed = Some(trace(Some(503), Reason::ServerError));
        self.queue.settle(lease, settlement, failed);
        event
    }

    /// Sends one again; whether it did not wait already.
    pub(super) async fn again(&self, event: u64, lane: &str) -> Result<bool, QueueError> {
        let lanes: [Arc<str>; 1] = [lane.into()];
        let again = self.queue.redeliver(EventId(event), &lanes).await?;
        Ok(!again.is_empty())
    }

    pub(super) fn lane(&self, name: &str) -> LaneStatus {
        let mut lanes = self.queue.lanes().into_iter();
        lanes.find(|lane| &*lane.destination == name).unwrap()
    }

    pub(super) async fn delivery(&self, event: u64, lane: &str) -> Option<Delivery> {
        let id = DeliveryId {
            event: EventId(event),
            destination: lane.into(),
        };
        self.queue.delivery(&id).await.unwrap()
    }

    pub(super) async fn state(&self, event: u64, lane: &str) -> Option<State> {
        let delivery = self.delivery(event, lane).await;
        delivery.map(|delivery| delivery.state)
    }

    /// The states of these events, which must all be the same.
    pub(super) async fn are(
        &self,
        events: std::ops::RangeInclusive<u64>,
        lane: &str,
        state: State,
    ) {
        for event in events {
            assert_eq!(self.state(event, lane).await, Some(state), "{event}:{lane}");
        }
    }

    /// All that a filter finds, newest first, however many calls it takes.
    pub(super) async fn find(&self, filter: Filter) -> Vec<Delivery> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let found = self.queue.find(filter.clone(), cursor, 500).await.unwrap();
            all.extend(found.deliveries);
            match found.next {
                Some(next) => cursor = Some(next),
                None => return all,
            }
        }
    }

    pub(super) async fn find_state(&self, state: State, lane: &str) -> Vec<u64> {
        let filter = Filter {
            state: Some(state),
            destination: Some(lane.into()),
            ..Filter::default()
        };
        let found = self.find(filter).await;
        found.iter().map(|delivery| delivery.event.0).collect()
    }
}

fn options(data: &Path) -> Options {
    let keep = |days, at_most| Keep {
        keep: DAY * days,
        at_most,
    };
    Options {
        data: data.to_owned(),
        history: keep(7, 1_000_000),
        dead: keep(90, 1_000_000),
        dedupe: keep(7, 1_000_000),
        backlog: 2_000_000,
        free_disk: 0,
    }
}

pub(super) fn strict(name: &str) -> LaneSpec {
    LaneSpec {
        destination: name.into(),
        was: None,
        width: 1,
        loose: false,
        settings: 1,
        longest_wait: Duration::from_secs(600),
    }
}

pub(super) fn loose(name: &str, width: usize) -> LaneSpec {
    LaneSpec {
        width,
        loose: true,
        ..strict(name)
    }
}

pub(super) fn defer(seconds: u64) -> Settlement {
    Settlement::Defer {
        wait: Duration::from_secs(seconds),
    }
}

/// Every third is in another repository, every fifth is no push.
fn planned(n: u64, received: Timestamp, to: &[&str]) -> Planned {
    let repo = if n.is_multiple_of(3) {
        "orbit/rover"
    } else {
        "orbit/lander"
    };
    let name = if n.is_multiple_of(5) {
        "issues"
    } else {
        "push"
    };
    let facts = Facts {
        repo: Some(repo.into()),
        sender: Some(format!("user-{n}")),
        ..Facts::default()
    };
    let deliveries = to.iter().map(|name| PlannedDelivery {
        destination: (*name).into(),
        route: Some("all".into()),
    });
    Planned {
        event: Event {
            source: "gogs".into(),
            name: name.into(),
            delivery_id: format!("id-{n}").into(),
            received,
            body: Bytes::from(format!("{{\"number\":{n}}}")),
        },
        facts,
        deliveries: deliveries.collect(),
    }
}

fn trace(status: Option<u16>, reason: Reason) -> Trace {
    Trace {
        started: NOON,
        duration_ms: 12,
        status,
        reason,
        verdict: format!("the server said {status:?}"),
        answer: Bytes::from_static(b"answer"),
        template: "default/slack/push".into(),
        fingerprint: "abc123".into(),
        fallback: None,
        sent: None,
    }
}
