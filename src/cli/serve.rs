//! `serve`: runs the relay until SIGTERM or Ctrl-C.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use tracing_subscriber::EnvFilter;

use super::{Failure, Outcome, check, paint};
use crate::app::{self, Listeners};
use crate::clock::Clock;
use crate::config::Loaded;

pub(super) fn run(path: &Path) -> Outcome {
    if !path.exists() {
        let advice = anyhow!(
            "there is no {}; `gogs-relay init` writes one, `-c` names another",
            path.display()
        );
        return Err(Failure::Usage(Some(advice)));
    }
    log_to_stderr();
    let loaded = check::load_with_warnings(path)?;
    for warning in &loaded.warnings {
        let line = warning.line.map(|line| format!(":{line}"));
        let (file, line) = (&warning.file, line.unwrap_or_default());
        warn!(
            "{file}{line}: {}; `gogs-relay check` shows more",
            warning.message
        );
    }
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let served = runtime.block_on(serve(loaded));
    // A thread that waits for a terminal to take its text would keep the process alive.
    runtime.shutdown_background();
    Ok(served?)
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let hangup = Arc::new(Notify::new());
    let reloads = reload_on_signal(hangup.clone())?;
    let listeners = Listeners {
        hooks: listen(loaded.config.listen, "listen").await?,
        admin: listen(loaded.config.admin.listen, "admin.listen").await?,
        hangup,
    };
    let shutdown = CancellationToken::new();
    let stop = stop_on_signal(shutdown.clone())?;
    let served = app::run(
        loaded,
        listeners,
        Clock::system(),
        shutdown,
        Box::new(std::io::stdout()),
    );
    tokio::select! {
        served = served => served,
        () = stop => Err(anyhow!("stopped by a second signal before everything was put away")),
        never = reloads => match never {},
    }
}

/// Each SIGHUP asks for a reload.
fn reload_on_signal(hangup: Arc<Notify>) -> anyhow::Result<impl Future<Output = Infallible>> {
    let mut signals = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    Ok(async move {
        loop {
            signals.recv().await;
            hangup.notify_one();
        }
    })
}

async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "; is another relay running?",
            ErrorKind::AddrNotAvailable => "; no interface of this machine has the address",
            _ => "",
        };
        anyhow!("failed to listen on {address} (`{key}`): {error}{advice}")
    })
}

/// The first signal asks for an orderly stop; the future ends with the second.
fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for Ctrl-C")?;
    Ok(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            shutdown.cancel();
        }
    })
}

/// `RUST_LOG` says how much; `info` when it is silent. That nobody reads the log any more does no
/// harm: its own errors are not told, because telling them on a closed standard error panics.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(paint::stderr().is_on())
        .log_internal_errors(false)
        .with_target(false)
        .init();
}
