//! The composition root: builds every part from the configuration and runs them until told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::destination::Destination;
use crate::event::{Event, EventId};
use crate::ingest::{Ingest, receive};
use crate::plan::{Router, Templates, samples};
use crate::queue::{LaneSpec, Options, Queue};
use crate::send::deliver::{Console, Courier, Errand};
use crate::send::dial::SystemResolver;
use crate::send::lanes::{Lanes, LanesParts, Settings, lane_spec};
use crate::send::pace::BucketKey;
use crate::send::retry;
use crate::send::transport::Transport;
use crate::send::verdict::Verdict;

/// The sockets, bound by whoever starts the relay.
#[derive(Debug)]
pub struct Listeners {
    /// For `listen`.
    pub hooks: TcpListener,
    /// For `admin.listen`.
    pub admin: TcpListener,
}

/// The parts of a running relay that the own API shows and moves. Cheap to clone.
#[derive(Clone)]
pub struct Relay {
    pub config: Arc<Config>,
    pub queue: Queue,
    pub router: Arc<Router>,
    pub templates: Arc<Templates>,
    pub clock: Clock,
    courier: Courier,
}

/// Runs a relay until `shutdown`; then finishes what is under way, within the configured grace.
/// What is not finished by then stays in the queue. `console` is where console destinations print.
///
/// # Errors
/// What keeps the relay from starting: the data folder, above all.
pub async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    shutdown: CancellationToken,
    console: Box<dyn Write + Send>,
) -> anyhow::Result<()> {
    let tracker = TaskTracker::new();
    let shared = admin::Shared::new(config.admin.clone(), shutdown.clone());
    let addresses = (listeners.hooks.local_addr()?, listeners.admin.local_addr()?);
    tracker.spawn(admin::serve(listeners.admin, shared.clone()));

    let config = Arc::new(config);
    let (lanes, relay) =
        build(config.clone(), clock.clone(), Arc::new(Mutex::new(console))).await?;
    let router = relay.router.clone();
    let ingest = Ingest::new(
        config.limits,
        &config.sources,
        router,
        relay.queue.clone(),
        clock.clone(),
    );
    // A little of the grace is kept for the last commit.
    let grace = config.shutdown_grace.mul_f64(0.9);
    tracker.spawn(lanes.run(shutdown.clone(), grace));
    tracker.spawn(receive::receive(
        listeners.hooks,
        Arc::new(ingest),
        tracker.clone(),
        shutdown.clone(),
    ));
    let queue = relay.queue.clone();
    shared.ready(relay);
    introduce(&config, addresses);

    shutdown.cancelled().await;
    info!(
        "stopping: finishing what is under way, for at most {:?}",
        config.shutdown_grace
    );
    stop(&tracker, &queue, &clock, grace).await;
    Ok(())
}

async fn stop(tracker: &TaskTracker, queue: &Queue, clock: &Clock, grace: Duration) {
    tracker.close();
    if clock.timeout(grace, tracker.wait()).await.is_err() {
        warn!("some requests did not end within the grace; what was acknowledged is in the queue");
    }
    queue.close().await;
    info!("stopped");
}

async fn build(
    config: Arc<Config>,
    clock: Clock,
    console: Console,
) -> anyhow::Result<(Lanes, Relay)> {
    let names: Vec<Arc<str>> = config.destinations.keys().cloned().collect();
    let router = Router::new(&config.routes, &names).context("failed to read the routes")?;
    let (templates, problems) = Templates::load(&config.templates);
    for problem in &problems {
        // The ladder passes over a broken template, so the relay can run with it.
        warn!(
            "{}: {}; `gogs-relay check` shows where",
            problem.file, problem.message
        );
    }
    let templates = Arc::new(templates);
    let specs: Vec<LaneSpec> = config.destinations.values().map(lane_spec).collect();
    let (options, opened) = (options(&config), clock.clone());
    let opening = tokio::task::spawn_blocking(move || Queue::open(options, &specs, opened));
    let queue = opening
        .await
        .context("opening the queue panicked")?
        .with_context(|| format!("failed to open the queue in {}", config.data.display()))?;
    let destinations = config.destinations.iter();
    let settings = Settings {
        destinations: destinations
            .map(|(name, destination)| (name.clone(), Arc::new(destination.clone())))
            .collect(),
        templates: templates.clone(),
    };
    let lanes = Lanes::new(LanesParts {
        queue: queue.clone(),
        settings: watch::channel(Arc::new(settings)).1,
        transport: Transport::within(
            config.egress.clone(),
            Arc::new(SystemResolver),
            clock.clone(),
        ),
        console,
        clock: clock.clone(),
        sends: config.limits.sends,
        jitter: retry::dice,
    });
    let courier = lanes.courier().clone();
    Ok((
        lanes,
        Relay {
            config,
            queue,
            router: Arc::new(router),
            templates,
            clock,
            courier,
        },
    ))
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
    /// Sends one sample to a destination now, past the queue but at its pace: whether it was
    /// delivered, and the verdict in words.
    pub async fn send_test(&self, destination: &Destination) -> (bool, String) {
        let event = self.test_event();
        let bucket = BucketKey::of(destination);
        let turn = match self
            .courier
            .turns()
            .wait(bucket.as_ref(), destination.timeout)
            .await
        {
            Ok(turn) => turn,
            Err(wait) => {
                return (
                    false,
                    format!("the pace of its URL allows nothing for another {wait:?}"),
                );
            }
        };
        let errand = Errand {
            event: &event,
            id: EventId(0),
            destination,
            templates: &self.templates,
        };
        let outcome = self.courier.attempt(errand, turn).await;
        (outcome.verdict == Verdict::Delivered, outcome.trace.verdict)
    }

    /// What Gogs' own “Test Delivery” sends.
    fn test_event(&self) -> Event {
        let samples = samples();
        let sample = samples
            .iter()
            .find(|sample| sample.what == "test delivery")
            .unwrap_or(&samples[0]);
        let source = self.config.sources.keys().next();
        Event {
            source: source.cloned().unwrap_or_else(|| "gogs".into()),
            name: sample.event.as_str().into(),
            delivery_id: uuid::Uuid::new_v4().to_string().into(),
            received: self.clock.now(),
            body: sample.body.clone(),
        }
    }
}
