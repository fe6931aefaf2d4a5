//! The destinations: stand-ins that judge every request as the real services would, misbehave as
//! they are told, and remember what they answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{
    Ending, FakeDiscord, FakeGogs, FakeSlack, Received, Script, Service, StandIn,
};
use serde_json::json;

use super::dice::Dice;
use super::schedule::Fault;
use super::settings::{SECRET, kind};

/// A request that arrived, and how it was answered.
#[derive(Clone, Debug)]
pub struct Hit {
    /// When, on the test's clock.
    pub at: Duration,
    /// Which event; `None` when nothing in it says so.
    pub marker: Option<u32>,
    /// It sums up what was left behind.
    pub is_summary: bool,
    pub status: u16,
    /// When the whole of a readable answer was written.
    pub answered: Option<Duration>,
    /// It was a 200 that broke off behind its head.
    pub broke_off: bool,
    pub asks_to_wait: bool,
}

impl Hit {
    /// The sender had a yes, in time and to its end.
    pub fn is_accepted(&self) -> bool {
        self.answered.is_some() && (200..300).contains(&self.status)
    }

    /// It failed in a way that counts for the poison rule.
    pub fn counts_for_poison(&self) -> bool {
        (400..600).contains(&self.status) && self.status != 408 && self.status != 429
    }
}

/// A destination.
pub struct Sink {
    pub name: &'static str,
    pub standin: StandIn,
    state: Arc<Mutex<State>>,
}

struct State {
    name: &'static str,
    kind: &'static str,
    fault: Fault,
    /// Nothing is refused for ever any more.
    relents: bool,
    dice: Dice,
    /// The answers that were not natural, by place among all requests.
    scripts: Vec<Option<Script>>,
}

impl Sink {
    pub async fn start(name: &'static str, clock: &Clock, dice: Dice) -> Sink {
        let kind = kind(name);
        let inner: Box<dyn Service> = match kind {
            "slack" => Box::new(FakeSlack::default()),
            "discord" => Box::new(FakeDiscord::default()),
            _ => Box::new(FakeGogs::with_secret(SECRET)),
        };
        let standin = StandIn::start(Unhurried { inner, count: 0 }, clock.clone()).await;
        let standin = standin.unwrap();
        let state = State {
            name,
            kind,
            fault: Fault::None,
            relents: false,
            dice,
            scripts: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let rules = state.clone();
        standin.rule(move |request| rules.lock().unwrap().answer(request));
        let sink = Sink {
            name,
            standin,
            state,
        };
        if name == "down" {
            sink.misbehave(Fault::Status(503));
        }
        sink
    }

    pub fn misbehave(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    /// Takes what it refused for ever: a redelivery may be that, and blocks nobody.
    pub fn relent(&self) {
        self.state.lock().unwrap().relents = true;
    }

    /// What arrived, in order.
    pub fn hits(&self) -> Vec<Hit> {
        let received = self.standin.received();
        let state = self.state.lock().unwrap();
        let all = received.iter().zip(&state.scripts);
        all.map(|(request, script)| hit(request, script.as_ref()))
            .collect()
    }

    /// What the real service would have refused, but for requests that came too soon: the rates
    /// are not what is tested here.
    pub fn violations(&self) -> Vec<String> {
        let all = self.standin.violations().into_iter();
        all.filter(|it| !it.contains("before Retry-After was over"))
            .collect()
    }
}

fn hit(request: &Received, script: Option<&Script>) -> Hit {
    let after = script.map_or(Duration::ZERO, |script| script.after);
    let is_whole = script.is_none_or(|script| script.ending == Ending::Whole);
    let is_summary = is_summary(request);
    Hit {
        at: request.at,
        marker: marker(request).filter(|_| !is_summary),
        is_summary,
        status: if is_whole { request.status } else { 0 },
        answered: is_whole.then(|| request.at + after),
        broke_off: script.is_some_and(|script| script.ending == Ending::Cut),
        asks_to_wait: request.status == 429,
    }
}

/// Finds `m000123x` in what was sent.
fn marker(request: &Received) -> Option<u32> {
    let text = [request.header("x-gogs-delivery").as_bytes(), &request.body].concat();
    let mut found = text.windows(8).filter_map(|window| {
        let digits = window.strip_prefix(b"m")?.strip_suffix(b"x")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    });
    found.next()
}

fn is_summary(request: &Received) -> bool {
    request.body.windows(9).any(|words| words == b"held back")
}

/// Events that a destination refuses for ever: by their content where it is a chat, by a stubborn
/// 403 where it is a receiver of Gogs' format. In a loose lane nothing is poison.
pub fn never_passes(name: &str, marker: u32) -> bool {
    match kind(name) {
        _ if name == "loose" => false,
        "gogs" => marker % 211 == 5,
        _ => marker % 61 == 7,
    }
}

impl State {
    fn answer(&mut self, request: &Received) -> Option<Script> {
        let script = self.script(request);
        self.scripts.push(script.clone());
        script
    }

    fn script(&mut self, request: &Received) -> Option<Script> {
        let never = |marker| !self.relents && never_passes(self.name, marker);
        if marker(request).is_some_and(never) && !is_summary(request) {
            return Some(self.refusal());
        }
        let strikes = self.dice.percent(75);
        let ok = || Script::status(200).body("ok");
        match self.fault {
            Fault::None => None,
            _ if !strikes => None,
            Fault::Status(status) => Some(Script::status(status).header("location", "/else")),
            Fault::TooMany => Some(too_many(self.kind)),
            Fault::Closes => Some(ok().ending(Ending::Closes)),
            Fault::Cut => Some(ok().ending(Ending::Cut)),
            Fault::Silent => Some(ok().ending(Ending::Never)),
            Fault::Slow if self.kind == "discord" => None,
            Fault::Slow => {
                let late = Duration::from_millis(self.dice.between(5, 300));
                Some(ok().after(late))
            }
            Fault::Picky if self.kind == "gogs" => Some(Script::status(400)),
            Fault::Picky => is_fancy(request).then(|| self.refusal()),
            Fault::Gone if self.kind == "gogs" => Some(Script::status(410)),
            Fault::Gone => Some(Script::status(404)),
        }
    }

    /// What says that the message is to blame.
    fn refusal(&self) -> Script {
        match self.kind {
            "slack" => Script::status(400).body("invalid_blocks"),
            "discord" => {
                let errors = json!({"embeds": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH"}]}});
                Script::json(400, &json!({"code": 50035, "errors": errors}))
            }
            _ => Script::status(403),
        }
    }
}

fn too_many(kind: &str) -> Script {
    match kind {
        "discord" => Script::json(429, &json!({"retry_after": 1.0, "global": false})),
        _ => Script::status(429),
    }
    .header("retry-after", "1")
}

/// More than a plain line.
fn is_fancy(request: &Received) -> bool {
    let body = request.json();
    ["blocks", "attachments", "embeds"]
        .iter()
        .any(|name| body.get(name).is_some())
}

/// A service without its rates.
struct Unhurried {
    inner: Box<dyn Service>,
    count: u64,
}

impl Service for Unhurried {
    fn answer(&mut self, request: &Received) -> (Script, Vec<String>) {
        self.count += 1;
        let mut request = request.clone();
        let (path, query) = match request.target.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (request.target.as_str(), String::new()),
        };
        // Rates are by path, so each request has one of its own.
        request.target = format!("{path}/{}{query}", self.count);
        self.inner.answer(&request)
    }

    fn path(&self) -> &'static str {
        self.inner.path()
    }
}
