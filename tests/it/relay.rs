//! A whole relay inside the test, as `serve` runs it, on free ports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gogs_relay::app::{self, Listeners};
use gogs_relay::clock::Clock;
use gogs_relay::config;
use gogs_relay::plan::Templates;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::binary;

/// A running relay; a test must [`finish`](TestRelay::finish) it.
pub struct TestRelay {
    pub hooks: SocketAddr,
    pub admin: SocketAddr,
    path: PathBuf,
    hangup: Arc<Notify>,
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
        let own_api = admin.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let hangup = Arc::new(Notify::new());
        let listeners = Listeners {
            hooks,
            admin,
            hangup: hangup.clone(),
        };
        let console = Box::new(std::io::sink());
        let relay = app::run(loaded, listeners, clock, shutdown.clone(), console);
        TestRelay {
            hooks: address,
            admin: own_api,
            path,
            hangup,
            shutdown,
            running: TaskTracker::new().spawn(relay),
        }
    }

    /// Writes another relay.yaml, and nothing more.
    pub fn rewrite(&self, yaml: &str) {
        std::fs::write(&self.path, yaml).unwrap();
    }

    /// Writes another relay.yaml and has it reloaded; what the own API answers.
    pub async fn reload(&self, yaml: &str) -> (u16, Value) {
        self.rewrite(yaml);
        self.api("POST /v1/reload", "").await
    }

    /// Asks for a reload as SIGHUP does.
    pub fn hang_up(&self) {
        self.hangup.notify_one();
    }

    /// Asks the own API, for example `GET /v1/destinations`.
    pub async fn api(&self, request: &str, body: &str) -> (u16, Value) {
        let (admin, request, body) = (self.admin, request.to_owned(), body.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let (method, path) = request.split_once(' ').unwrap();
            binary::api(admin, method, path, &body).unwrap()
        });
        asked.await.unwrap()
    }

    /// Posts a push that is signed with `secret` to the source `gogs`.
    pub async fn post(&self, secret: &str, id: &str) -> binary::Answer {
        let (hooks, secret, id) = (self.hooks, secret.to_owned(), id.to_owned());
        let posted = tokio::task::spawn_blocking(move || {
            let body = binary::push(&id);
            let mut client = binary::Client::connect(hooks).unwrap();
            client.deliver("gogs", &secret, &id, &body).unwrap()
        });
        posted.await.unwrap()
    }

    /// Stops it in an orderly way.
    pub async fn finish(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}
