//! The composition root: builds every part from the configuration and runs them until told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin;
use crate::api;
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::event::{Event, EventId};
use crate::hooks::{self, Desk};
use crate::hub::{self, Hub};
use crate::ingest::{Ingest, receive};
use crate::plan::{Templates, samples};
use crate::queue::{Options, Queue};
use crate::reload::{self, Reload, Reloader};
use crate::send::deliver::{Courier, Errand};
use crate::send::dial::SystemResolver;
use crate::send::lanes::{Lanes, LanesParts};
use crate::send::pace::BucketKey;
use crate::send::retry;
use crate::send::transport::Transport;
use crate::send::verdict::Verdict;
use crate::settings::{InForce, Opened, Settings, Switch};
use crate::trail::Missed;

/// What the relay listens to, set up by whoever starts it.
#[derive(Debug)]
pub struct Listeners {
    /// For `listen`.
    pub hooks: TcpListener,
    /// For `admin.listen`.
    pub admin: TcpListener,
    /// Asks for a reload, as SIGHUP does.
    pub hangup: Arc<Notify>,
}

/// The parts of a running relay that the own API shows and moves. Cheap to clone.
#[derive(Clone)]
pub struct Relay {
    pub queue: Queue,
    pub reload: Reload,
    pub clock: Clock,
    pub hooks: Desk,
    pub missed: Missed,
    settings: InForce,
    courier: Courier,
}

/// Runs a relay until `shutdown`; then finishes what is under way, within the configured grace.
/// What is not finished by then stays in the queue. `console` is where console destinations print.
///
/// # Errors
/// What keeps the relay from starting: the data folder, above all.
pub async fn run(
    loaded: Loaded,
    listeners: Listeners,
    clock: Clock,
    shutdown: CancellationToken,
    console: Box<dyn Write + Send>,
) -> anyhow::Result<()> {
    let Loaded { config, origin, .. } = loaded;
    let tracker = TaskTracker::new();
    let addresses = (listeners.hooks.local_addr()?, listeners.admin.local_addr()?);
    let own_api = serve_own_api(listeners.admin, &config, &clock, &tracker, &shutdown);

    let opened = open(first_settings(config)?, clock.clone()).await?;
    let (settings, queue) = (opened.settings, opened.queue);
    let (replace, in_force) = watch::channel(settings.clone());
    let switch = Switch::new(replace, queue.clone());
    let lanes = build(&queue, in_force.clone(), clock.clone(), console);
    let config = &settings.config;
    // A little of the grace is kept for the last commit.
    let grace = config.shutdown_grace.mul_f64(0.9);
    let (reload, requests) = reload::requests();
    let relay = Relay {
        hooks: Desk::new(
            switch.clone(),
            queue.clone(),
            clock.clone(),
            tracker.clone(),
        ),
        settings: in_force,
        missed: Missed::default(),
        queue: queue.clone(),
        reload,
        clock: clock.clone(),
        courier: lanes.courier().clone(),
    };
    relay.hooks.tidy_up(&opened.deleted).await;
    let hub = open_hub(&relay, &tracker).await?;
    run_lanes(lanes, &tracker, shutdown.clone(), grace)?;
    tracker.spawn(hub.clone().run(shutdown.clone()));
    tracker.spawn(hooks::watch(relay.hooks.clone(), shutdown.clone()));
    let follows = relay.missed.clone();
    tracker.spawn(follows.follow(queue.clone(), clock.clone(), shutdown.clone()));
    tracker.spawn(receive::receive(
        listeners.hooks,
        Arc::new(front(&relay, hub)),
        tracker.clone(),
        shutdown.clone(),
    ));
    let reloader = Reloader::new(origin, switch);
    tracker.spawn(reloader.run(requests, listeners.hangup, shutdown.clone()));
    own_api.ready(relay);
    introduce(config, addresses);

    shutdown.cancelled().await;
    stop(&tracker, &queue, &clock, grace).await;
    Ok(())
}

/// The hub, with what ran out while the relay was off already ended.
async fn open_hub(relay: &Relay, tasks: &TaskTracker) -> anyhow::Result<Hub> {
    let hub = Hub::open(hub::Parts {
        queue: relay.queue.clone(),
        desk: relay.hooks.clone(),
        settings: relay.settings.clone(),
        resolver: Arc::new(SystemResolver),
        clock: relay.clock.clone(),
        tasks: tasks.clone(),
    })?;
    hub.tidy_up().await;
    Ok(hub)
}

/// Answers what comes to `listen`.
fn front(relay: &Relay, hub: Hub) -> api::Front {
    let (settings, queue) = (relay.settings.clone(), relay.queue.clone());
    let limits = settings.borrow().config.limits;
    let ingest = Ingest::new(limits, settings.clone(), queue.clone(), relay.clock.clone());
    let ingest = ingest.telling(hub.clone());
    let means = api::Means {
        hub,
        queue,
        desk: relay.hooks.clone(),
        clock: relay.clock.clone(),
    };
    api::Front::new(ingest, settings, means)
}

/// Answers probes from now on, and everything else once it is told that the relay is ready.
fn serve_own_api(
    listener: TcpListener,
    config: &Config,
    clock: &Clock,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> admin::Shared {
    let shared = admin::Shared::new(config.admin.clone(), stop.clone());
    let service = admin::Service {
        limits: config.limits,
        clock: clock.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    tasks.spawn(admin::serve(listener, shared.clone(), service));
    shared
}

/// Runs the lanes on a thread of their own. Each attempt is a few short steps between waits for the
/// network: handing them from thread to thread would cost more than they do.
fn run_lanes(
    lanes: Lanes,
    tracker: &TaskTracker,
    shutdown: CancellationToken,
    grace: Duration,
) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the lanes' runtime")?;
    let running = tracker.token();
    let run = move || {
        runtime.block_on(lanes.run(shutdown, grace));
        // A console that takes no text would keep the thread.
        runtime.shutdown_background();
        drop(running);
    };
    let thread = thread::Builder::new().name("lanes".into()).spawn(run);
    thread.context("failed to start the lanes' thread")?;
    Ok(())
}

async fn stop(tracker: &TaskTracker, queue: &Queue, clock: &Clock, grace: Duration) {
    info!("stopping: finishing what is under way, for at most {grace:?}");
    tracker.close();
    if clock.timeout(grace, tracker.wait()).await.is_err() {
        warn!("some requests did not end within the grace; what was acknowledged is in the queue");
    }
    queue.close().await;
    info!("stopped");
}

fn first_settings(config: Config) -> anyhow::Result<Settings> {
    let (templates, problems) = Templates::load(&config.templates);
    for problem in &problems {
        // The ladder passes over a broken template, so the relay can run with it.
        warn!(
            "{}: {}; `gogs-relay check` shows where",
            problem.file, problem.message
        );
    }
    Settings::new(config, Arc::new(templates)).context("failed to read the routes")
}

async fn open(settings: Settings, clock: Clock) -> anyhow::Result<Opened> {
    let data = settings.config.data.clone();
    let options = options(&settings.config);
    let opening = tokio::task::spawn_blocking(move || settings.open_queue(options, clock));
    let opened = opening.await.context("opening the queue panicked")?;
    opened.with_context(|| format!("failed to open the queue in {}", data.display()))
}

/// The lanes that will run over the queue.
fn build(queue: &Queue, settings: InForce, clock: Clock, console: Box<dyn Write + Send>) -> Lanes {
    let now = settings.borrow().clone();
    let egress = now.config.egress.clone();
    Lanes::new(LanesParts {
        queue: queue.clone(),
        settings,
        transport: Transport::within(egress, Arc::new(SystemResolver), clock.clone()),
        console: Arc::new(Mutex::new(console)),
        clock,
        sends: now.config.limits.sends,
        bytes: now.config.limits.bytes_out(),
        jitter: retry::dice,
    })
}

fn options(config: &Config) -> Options {
    Options {
        data: config.data.clone(),
        history: config.history,
        dead: config.dead,
        dedupe: config.dedupe,
        backlog: config.limits.backlog,
        free_disk: config.limits.free_disk,
    }
}

/// Says where to post, what is looked after, and that the first 202 is possible.
fn introduce(config: &Config, (hooks, own_api): (SocketAddr, SocketAddr)) {
    for source in config.sources.keys() {
        match config.listen.port() {
            0 => info!("payload URL for Gogs: http://{hooks}/hooks/{source}"),
            _ => {
                let base = config.public_url.as_str().trim_end_matches('/');
                info!("payload URL for Gogs: {base}/hooks/{source}");
            }
        }
    }
    info!("destinations: {}", names(config.destinations.keys()));
    info!("ready: hooks at http://{hooks}/hooks/…, own API at http://{own_api}/");
}

fn names<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> String {
    names.map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

impl Relay {
    /// What the relay goes by now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// Sends one sample to a destination now, past the queue but at its pace: whether it was
    /// delivered, and the verdict in words. `None` when there is no such destination.
    pub async fn send_test(&self, destination: &str) -> Option<(bool, String)> {
        let settings = self.settings();
        let destination = settings.of_lane(destination)?;
        let event = self.test_event(&settings.config);
        let bucket = BucketKey::of(destination);
        let turns = self.courier.turns();
        let turn = match turns.wait(bucket.as_ref(), destination.timeout).await {
            Ok(turn) => turn,
            Err(wait) => {
                let words = format!("the pace of its URL allows nothing for another {wait:?}");
                return Some((false, words));
            }
        };
        let errand = Errand {
            event: &event,
            id: EventId(0),
            destination,
            templates: &settings.templates,
            hub: settings.voice(),
        };
        let outcome = self.courier.attempt(errand, turn).await;
        let delivered = outcome.verdict == Verdict::Delivered;
        Some((delivered, outcome.trace.verdict))
    }

    /// What Gogs' own “Test Delivery” sends.
    fn test_event(&self, config: &Config) -> Event {
        let samples = samples();
        let sample = samples
            .iter()
            .find(|sample| sample.what == "test delivery")
            .unwrap_or(&samples[0]);
        let source = config.sources.keys().next();
        Event {
            source: source.cloned().unwrap_or_else(|| "gogs".into()),
            name: sample.event.as_str().into(),
            delivery_id: uuid::Uuid::new_v4().to_string().into(),
            received: self.clock.now(),
            body: sample.body.clone(),
        }
    }
}
