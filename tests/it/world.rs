//! A small world for lanes: a real queue on disk, stand-ins on loopback, and a clock that only
//! the test moves. A step of the clock follows a state that was seen, never a sleep.

mod settings;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gogs_relay::clock::{Clock, Hand, Timestamp};
use gogs_relay::delivery::{DeliveryId, Reason, State};
use gogs_relay::destination::{
    ContentType, Destination, Discord, Gogs, Kind, Order, Reach, RetryPolicy, SecretUrl, Slack,
};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::hooks::{self, Desk};
use gogs_relay::hub::{self, Hub};
use gogs_relay::queue::{
    Appended, Configured, Delivery, LaneStatus, Options, Planned, PlannedDelivery, Queue,
    Redelivery, Repeats,
};
use gogs_relay::send::dial::Resolve;
use gogs_relay::send::lanes::{Lanes, LanesParts};
use gogs_relay::send::transport::Transport;
use gogs_relay::settings::{InForce, Opened, Switch};
use gogs_relay::standin::StandIn;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use settings::{KEEP, settings, with};

pub(crate) use settings::config;

pub(crate) const SECRET: &str = "receiver-s3cret";
pub(crate) const START: &str = "2026-11-21T08:00:00Z";

/// Seconds since the clock was made.
pub(crate) fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) fn gogs(name: &str, standin: &StandIn) -> Destination {
    let kind = Kind::Gogs(Gogs {
        url: SecretUrl::parse(&standin.url()).unwrap(),
        secret: Some(SECRET.to_owned().into()),
        content_type: ContentType::Json,
    });
    destination(name, kind)
}

pub(crate) fn slack(name: &str, standin: &StandIn) -> Destination {
    let kind = Kind::Slack(Slack {
        url: SecretUrl::parse(&standin.url()).unwrap(),
        channel: None,
        username: None,
        icon_url: None,
        color: None,
    });
    destination(name, kind)
}

pub(crate) fn discord(name: &str, standin: &StandIn) -> Destination {
    let kind = Kind::Discord(Discord {
        url: SecretUrl::parse(&standin.url()).unwrap(),
        username: None,
        avatar_url: None,
        color: None,
        thread_id: None,
    });
    destination(name, kind)
}

pub(crate) fn destination(name: &str, kind: Kind) -> Destination {
    Destination {
        name: name.into(),
        was: None,
        kind,
        reach: Reach::Configured,
        templates: "default".into(),
        order: Order::Strict,
        pace: None,
        timeout: s(15.0),
        retry: RetryPolicy {
            first: s(1.0),
            factor: 2.0,
            max: s(600.0),
            jitter: 0.2,
            give_up_after: s(3.0 * 86_400.0),
        },
    }
}

/// How a world is made.
pub(crate) struct Plan {
    pub(crate) sends: usize,
    pub(crate) jitter: fn() -> f64,
    /// More lines of its configuration.
    pub(crate) yaml: &'static str,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            sends: 256,
            jitter: || 0.0,
            yaml: "",
        }
    }
}

/// A running queue and its lanes.
pub(crate) struct World {
    pub(crate) queue: Queue,
    pub(crate) clock: Clock,
    pub(crate) hand: Hand,
    pub(crate) hooks: Desk,
    /// Ids of hooks that were being deleted when it was opened.
    pub(crate) deleted: Vec<u64>,
    pub(crate) settings: InForce,
    switch: Switch,
    data: Arc<tempfile::TempDir>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    pub(crate) fn clock() -> (Clock, Hand) {
        Clock::stepped(START.parse().unwrap())
    }

    pub(crate) fn start(time: &(Clock, Hand), destinations: Vec<Destination>) -> World {
        World::start_as(time, destinations, Plan::default())
    }

    pub(crate) fn start_as(
        time: &(Clock, Hand),
        destinations: Vec<Destination>,
        plan: Plan,
    ) -> World {
        let data = Arc::new(tempfile::tempdir().unwrap());
        World::start_in(data, time, destinations, plan)
    }

    /// On data that are there already.
    pub(crate) fn start_in(
        data: Arc<tempfile::TempDir>,
        (clock, hand): &(Clock, Hand),
        destinations: Vec<Destination>,
        plan: Plan,
    ) -> World {
        let options = Options {
            data: data.path().to_owned(),
            history: KEEP,
            dead: KEEP,
            dedupe: KEEP,
            backlog: 1_000_000,
            free_disk: 0,
        };
        let opened = settings(destinations, plan.yaml).open_queue(options, clock.clone());
        let Opened {
            settings,
            queue,
            deleted,
        } = opened.unwrap();
        let (in_force, settings) = watch::channel(settings);
        let lanes = Lanes::new(LanesParts {
            queue: queue.clone(),
            settings: settings.clone(),
            transport: Transport::new(clock.clone()),
            console: Arc::new(Mutex::new(std::io::sink())),
            clock: clock.clone(),
            sends: plan.sends,
            bytes: 16 << 20,
            jitter: plan.jitter,
        });
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(lanes.run(shutdown.clone(), s(10.0)));
        let switch = Switch::new(in_force, queue.clone());
        World {
            hooks: Desk::new(switch.clone(), queue.clone(), clock.clone(), tasks.clone()),
            deleted,
            queue,
            clock: clock.clone(),
            hand: hand.clone(),
            settings,
            switch,
            data,
            shutdown,
            tasks,
        }
    }

    /// Has hooks made inactive that only fail, as a running relay does.
    pub(crate) fn watch_hooks(&self) {
        let watch = hooks::watch(self.hooks.clone(), self.shutdown.clone());
        self.tasks.spawn(watch);
    }

    /// A hub over it that looks names up so, as a running relay has one.
    pub(crate) async fn hub(&self, resolver: Arc<dyn Resolve>) -> Hub {
        let hub = Hub::open(hub::Parts {
            queue: self.queue.clone(),
            desk: self.hooks.clone(),
            settings: self.settings.clone(),
            resolver,
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
        });
        let hub = hub.unwrap();
        hub.tidy_up().await;
        self.tasks.spawn(hub.clone().run(self.shutdown.clone()));
        hub
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Appends an event of its own for these destinations.
    pub(crate) async fn append(&self, name: &str, body: &str, to: &[&str]) -> EventId {
        let event = Event {
            source: "gogs".into(),
            name: name.into(),
            delivery_id: uuid::Uuid::new_v4().to_string().into(),
            received: self.clock.now(),
            body: body.to_owned().into(),
        };
        let deliveries = to.iter().map(|destination| PlannedDelivery {
            destination: (*destination).into(),
            route: None,
        });
        let planned = Planned {
            event,
            facts: Facts::default(),
            deliveries: deliveries.collect(),
        };
        match self.queue.append(planned, NO_REPEATS).await.unwrap() {
            Appended::New(id) => id,
            repeats => panic!("{repeats:?}"),
        }
    }

    /// Appends small pushes, told apart by their number.
    pub(crate) async fn push(&self, numbers: std::ops::Range<u32>, to: &[&str]) -> Vec<EventId> {
        let mut ids = Vec::new();
        for number in numbers {
            ids.push(self.append("push", &body(number), to).await);
        }
        ids
    }

    pub(crate) fn lane(&self, name: &str) -> LaneStatus {
        let mut lanes = self.queue.lanes().into_iter();
        lanes.find(|lane| &*lane.destination == name).unwrap()
    }

    pub(crate) async fn delivery(&self, event: EventId, name: &str) -> Option<Delivery> {
        let id = DeliveryId {
            event,
            destination: name.into(),
        };
        self.queue.delivery(&id).await.unwrap()
    }

    /// Waits until the delivery is in this state.
    pub(crate) async fn settled(&self, event: EventId, name: &str, state: State) -> Delivery {
        loop {
            match self.delivery(event, name).await {
                Some(delivery) if delivery.state == state => return delivery,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    /// Waits until the lane looks so.
    pub(crate) async fn lane_is(&self, name: &str, looks: impl Fn(&LaneStatus) -> bool) {
        while !looks(&self.lane(name)) {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the lane waits to try again `wait` from now, then lets that time pass.
    pub(crate) async fn step_to_next_try(&self, name: &str, wait: Duration) {
        let next = self.clock.now().plus(wait);
        self.lane_is(name, |lane| lane.next_try == Some(next)).await;
        self.hand.advance(wait);
    }

    /// Waits until the lane is held for this reason.
    pub(crate) async fn held(&self, name: &str, reason: Reason) {
        let is_so = |lane: &LaneStatus| {
            let held = lane.held.as_ref();
            held.is_some_and(|held| held.reason == reason)
        };
        self.lane_is(name, is_so).await;
    }

    /// Waits until so many deliveries wait in all lanes together.
    pub(crate) async fn waiting(&self, count: usize) {
        let all = || self.queue.lanes().into_iter();
        let sum = || all().map(|lane| lane.waiting).sum::<u64>();
        while sum() != count as u64 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn idle(&self, name: &str) {
        self.lane_is(name, |lane| lane.waiting == 0).await;
    }

    /// Puts other destinations in force, as a reload does.
    pub(crate) async fn correct(&self, destinations: Vec<Destination>) -> Configured {
        let mut turn = self.switch.turn().await;
        let before = turn.settings();
        let next = with(&before.config, destinations, before.templates.clone());
        let next = next.with_hooks(before.hooks.clone());
        turn.put_in_force(next).await.unwrap()
    }

    /// Asks the lanes to stop, and waits until they have.
    pub(crate) async fn stop_lanes(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Asks the lanes to stop.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
    }

    /// Stops and starts again on the same data, `later` by the wall clock.
    pub(crate) async fn restart(self, later: Duration, destinations: Vec<Destination>) -> World {
        self.stop_lanes().await;
        self.queue.close().await;
        let now = self.clock.now().plus(later);
        let time = Clock::stepped(now);
        World::start_in(self.data.clone(), &time, destinations, Plan::default())
    }

    /// Every test ends so: nothing is left running.
    pub(crate) async fn finish(self) {
        self.stop_lanes().await;
        self.queue.close().await;
    }
}

/// Each event is one of its own.
pub(crate) const NO_REPEATS: Repeats = Repeats {
    redelivery: Redelivery::None,
    same_body: None,
};

pub(crate) fn body(number: u32) -> String {
    format!("{{\n  \"ref\": \"refs/heads/main\",\n  \"before\": \"{number}\"\n}}")
}

pub(crate) fn time_of(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A test that does not end is a failure.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let ended = Clock::system().timeout(s(60.0), future).await;
    ended.expect("the test did not end within a minute")
}
