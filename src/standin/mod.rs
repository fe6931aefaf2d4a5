//! Stand-ins for Slack, Discord, DingTalk and a receiver of Gogs' format, for tests and `demo`: they listen
//! on loopback, hold senders to the services' limits and formats, and remember everything.
//!
//! A *violation* is what the real service would refuse or punish: a malformed or over-long body,
//! too many requests, one that came before its `Retry-After` was over. Scripts replace the
//! answer, never the judgement.

mod dingtalk;
mod discord;
mod gogs;
mod script;
mod server;
mod slack;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Timestamp};

pub use dingtalk::FakeDingTalk;
pub use discord::FakeDiscord;
pub use gogs::FakeGogs;
pub use script::{Ending, Script};
pub use slack::FakeSlack;

/// A service that is stood in for: reads a request as the real one would.
pub trait Service: Send + Sync + 'static {
    /// Its natural answer, and what was wrong with the request.
    fn answer(&mut self, request: &Received) -> (Script, Vec<String>);

    /// A path that it takes messages at.
    fn path(&self) -> &'static str;
}

/// A request as it arrived.
#[derive(Clone)]
pub struct Received {
    /// When its last byte was there, on [`Clock::elapsed`].
    pub at: Duration,
    pub time: Timestamp,
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The status that it was answered with, or will be.
    pub status: u16,
}

impl Received {
    /// A header's value, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("")
    }
}

/// A running stand-in. Dropping it closes its socket and its connections.
pub struct StandIn {
    address: SocketAddr,
    path: &'static str,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

type Rule = Box<dyn Fn(&Received) -> Option<Script> + Send + Sync>;

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// How many requests came in.
    count: watch::Sender<usize>,
}

struct State {
    service: Box<dyn Service>,
    script: VecDeque<Script>,
    rule: Option<Rule>,
    received: Vec<Received>,
    violations: Vec<String>,
    /// The end of the last `Retry-After`, by path.
    resting: std::collections::HashMap<String, Duration>,
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(service: impl Service, clock: Clock) -> std::io::Result<StandIn> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let path = service.path();
        let shared = Arc::new(Shared {
            clock,
            state: Mutex::new(State {
                service: Box::new(service),
                script: VecDeque::new(),
                rule: None,
                received: Vec::new(),
                violations: Vec::new(),
                resting: Default::default(),
            }),
            count: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(server::serve(
            listener,
            shared.clone(),
            tasks.clone(),
            stop.clone(),
        ));
        Ok(StandIn {
            address,
            path,
            shared,
            stop,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL that it takes messages at.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// Answers the coming requests with these, one each, before anything else.
    pub fn script(&self, answers: impl IntoIterator<Item = Script>) {
        self.shared.lock().script.extend(answers);
    }

    /// Answers by `rule` where it gives an answer, until it is replaced.
    pub fn rule(&self, rule: impl Fn(&Received) -> Option<Script> + Send + Sync + 'static) {
        self.shared.lock().rule = Some(Box::new(rule));
    }

    /// Everything that arrived, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// Waits until `count` requests have arrived, and gives them all.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut counted = self.shared.count.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _reached = counted.wait_for(|now| *now >= count).await;
        self.received()
    }

    /// What the real service would have refused or punished.
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().violations.clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges and remembers a request; gives the answer.
    fn take(&self, mut request: Received) -> Script {
        let script = {
            let mut state = self.lock();
            let (natural, mut wrong) = state.service.answer(&request);
            if let Some(until) = state.resting.get(request.path())
                && request.at < *until
            {
                let early = until.saturating_sub(request.at);
                wrong.push(format!("came {early:?} before Retry-After was over"));
            }
            let ruled = || state.rule.as_ref().and_then(|rule| rule(&request));
            let scripted = state.script.front().cloned().or_else(ruled);
            state.script.pop_front();
            let script = scripted.unwrap_or(natural);
            if let Some(wait) = script.asks_to_wait() {
                let until = request.at.saturating_add(wait);
                state.resting.insert(request.path().to_owned(), until);
            }
            request.status = script.status;
            let number = state.received.len() + 1;
            let wrong = wrong
                .into_iter()
                .map(|wrong| format!("request {number}: {wrong}"));
            state.violations.extend(wrong);
            state.received.push(request);
            script
        };
        self.count.send_modify(|count| *count += 1);
        script
    }
}
