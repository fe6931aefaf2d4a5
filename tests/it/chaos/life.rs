//! A running relay: the real binary, or one inside the test whose wall clock can jump.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gogs_relay::app::{self, Listeners};
use gogs_relay::clock::{Clock, Hand};
use gogs_relay::config;
use gogs_relay::plan::Templates;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::schedule::{Body, End};
use crate::binary::Binary;

/// How often the clock of a relay inside the test moves on.
const TICK: Duration = Duration::from_millis(1);

pub enum Life {
    Binary(Binary),
    Inside(Inside),
}

impl Life {
    /// Starts one with the relay.yaml of `folder`.
    pub fn start(folder: &Path, body: Body) -> Life {
        match body {
            Body::Binary => Life::Binary(Binary::start(folder)),
            Body::Inside { wall_off } => Life::Inside(Inside::start(folder, wall_off)),
        }
    }

    pub fn hooks(&self) -> SocketAddr {
        match self {
            Life::Binary(binary) => binary.hooks,
            Life::Inside(inside) => inside.hooks,
        }
    }

    pub fn admin(&self) -> SocketAddr {
        match self {
            Life::Binary(binary) => binary.admin,
            Life::Inside(inside) => inside.admin,
        }
    }

    pub fn jump(&self, by: i64) {
        if let Life::Inside(inside) = self {
            inside.hand.jump_wall(by);
        }
    }

    /// Ends it; what it logged, and what was wrong with how it ended.
    pub fn end(self, end: End) -> (String, Option<String>) {
        match (self, end) {
            (Life::Binary(mut binary), End::Kill) => {
                binary.kill();
                (binary.log(), None)
            }
            (Life::Binary(binary), End::Orderly) => {
                binary.ask_to_stop();
                let (log, clock) = (binary.shared_log(), Clock::system());
                let status = binary.wait();
                let wrong = (!status.success() || clock.elapsed() > Duration::from_secs(15))
                    .then(|| format!("it ended with {status} after {:?}", clock.elapsed()));
                let log = log.lock().unwrap().clone();
                (log, wrong)
            }
            (Life::Inside(inside), _) => (String::new(), inside.finish().err()),
        }
    }
}

/// A relay on a runtime of its own.
pub struct Inside {
    runtime: Runtime,
    hooks: SocketAddr,
    admin: SocketAddr,
    hand: Hand,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    ticking: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Inside {
    fn start(folder: &Path, wall_off: i64) -> Inside {
        let sets = |folder: &Path| Templates::load(folder).0.sets();
        let loaded = config::load(&folder.join("relay.yaml"), &Default::default(), &sets).unwrap();
        let runtime = Runtime::new().unwrap();
        let mut now = Clock::system().now();
        now.0 += wall_off;
        let (clock, hand) = Clock::stepped(now);
        let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (hooks, admin) = (bind(), bind());
        let addresses = (hooks.local_addr().unwrap(), admin.local_addr().unwrap());
        let listeners = Listeners {
            hooks,
            admin,
            hangup: Arc::default(),
        };
        let shutdown = CancellationToken::new();
        let console = Box::new(std::io::sink());
        let relay = app::run(loaded, listeners, clock, shutdown.clone(), console);
        let stop = Arc::new(AtomicBool::new(false));
        let inside = Inside {
            running: runtime.spawn(relay),
            runtime,
            hooks: addresses.0,
            admin: addresses.1,
            ticking: Some(tick(hand.clone(), stop.clone())),
            hand,
            shutdown,
            stop,
        };
        inside.wait_until_ready();
        inside
    }

    fn wait_until_ready(&self) {
        let clock = Clock::system();
        loop {
            match crate::binary::api(self.admin, "GET", "/v1/destinations", "") {
                Ok((200, _)) => return,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
            let ended = self.running.is_finished() || clock.elapsed() > crate::binary::PATIENCE;
            assert!(!ended, "the relay inside the test did not start");
        }
    }

    fn finish(mut self) -> Result<(), String> {
        self.shutdown.cancel();
        let running = std::mem::replace(&mut self.running, self.runtime.spawn(async { Ok(()) }));
        let ended = self.runtime.block_on(running);
        ended
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{error:#}"))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It has no other end.
        let _ended = self.ticking.take().map(JoinHandle::join);
    }
}

/// Lets the clock go as the machine's own goes.
fn tick(hand: Hand, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let clock = Clock::system();
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            hand.advance_to(clock.elapsed());
        }
    })
}
