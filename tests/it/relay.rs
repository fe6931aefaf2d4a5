//! A whole relay inside the test, as `serve` runs it, on free ports.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gogs_relay::app::{self, Listeners};
use gogs_relay::clock::Clock;
use gogs_relay::config;
use gogs_relay::plan::Templates;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running relay; a test must [`finish`](TestRelay::finish) it.
pub struct TestRelay {
    pub hooks: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl TestRelay {
    /// Starts one with this configuration, whose data lie in `folder`.
    pub async fn start(folder: &Path, yaml: &str, clock: Clock) -> TestRelay {
        let path = folder.join("relay.yaml");
        std::fs::write(&path, yaml).unwrap();
        let loaded = config::load(&path, &Default::default(), &Templates::names).unwrap();
        let hooks = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = hooks.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let hangup = Arc::default();
        let listeners = Listeners {
            hooks,
            admin,
            hangup,
        };
        let console = Box::new(std::io::sink());
        let relay = app::run(loaded, listeners, clock, shutdown.clone(), console);
        TestRelay {
            hooks: address,
            shutdown,
            running: TaskTracker::new().spawn(relay),
        }
    }

    /// Stops it in an orderly way.
    pub async fn finish(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}
