//! `serve`: runs the relay until SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Failure, Outcome, check};
use crate::app::{self, Listeners};
use crate::clock::Clock;
use crate::config::Config;

pub(super) fn run(path: &Path) -> Outcome {
    if !path.exists() {
        let advice = anyhow!(
            "there is no {}; `gogs-relay init` writes one, `-c` names another",
            path.display()
        );
        return Err(Failure::Usage(Some(advice)));
    }
    log_to_stderr();
    let config = check::load(path)?;
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    runtime.block_on(serve(config))?;
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listeners = Listeners {
        hooks: listen(config.listen, "listen").await?,
        admin: listen(config.admin.listen, "admin.listen").await?,
    };
    let shutdown = CancellationToken::new();
    let stop = stop_on_signal(shutdown.clone())?;
    let served = app::run(
        config,
        listeners,
        Clock::system(),
        shutdown,
        Box::new(std::io::stdout()),
    );
    tokio::select! {
        served = served => served,
        () = stop => Err(anyhow!("stopped by a second signal before everything was put away")),
    }
}

async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("failed to listen on {address} (`{key}`); is another relay running?")
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

/// `RUST_LOG` says how much; `info` when it is silent.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
