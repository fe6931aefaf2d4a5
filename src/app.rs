//! The composition root: builds every part from the configuration and runs them until told to stop.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::plan::{Router, Templates};
use crate::queue::{LaneSpec, Options, Queue};

/// The sockets, bound by whoever starts the relay.
#[derive(Debug)]
pub struct Listeners {
    /// For `listen`.
    pub hooks: TcpListener,
    /// For `admin.listen`.
    pub admin: TcpListener,
}

/// The parts of a running relay that the own API shows and moves. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    pub config: Arc<Config>,
    pub queue: Queue,
    pub router: Arc<Router>,
    pub templates: Arc<Templates>,
    pub clock: Clock,
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
    tracker.spawn(admin::serve(listeners.admin, shared.clone()));
    todo!()
}
