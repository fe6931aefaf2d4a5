//! A reader of WebSub, and how it asks the hub.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, Received, Script, StandIn};
use url::Url;

use crate::api::wire::{Answer, Ask, SECRET, TOKEN, tokens, yaml};
use crate::binary::signature;
use crate::relay::TestRelay;

pub(super) const TOPIC: &str = "http://127.0.0.1:8025/orbit/public-1/events/push";

/// A relay whose topics of `orbit/public-*` are for everybody.
pub(super) async fn start(folder: &Path, clock: Clock) -> TestRelay {
    TestRelay::start(folder, &config("orbit/public-*"), clock).await
}

/// The same with a first push of the repository that everybody may read, and somebody who does.
pub(super) async fn met(folder: &Path, clock: Clock) -> (TestRelay, Reader) {
    let relay = start(folder, clock).await;
    pushed(&relay, 0).await;
    (relay, Reader::start().await)
}

pub(super) fn config(open: &str) -> String {
    format!("{}hub: {{ open: [\"{open}\"] }}\n", yaml(&tokens()))
}

/// It says yes to every question, until it is told otherwise, and takes every delivery.
pub(super) struct Reader {
    pub(super) standin: StandIn,
    agrees: Arc<AtomicBool>,
}

impl Reader {
    pub(super) async fn start() -> Reader {
        let standin = StandIn::start(FakeGogs::default(), Clock::system());
        let standin = standin.await.unwrap();
        let agrees = Arc::new(AtomicBool::new(true));
        let says = agrees.clone();
        standin.rule(move |request| {
            Some(
                match (request.method.as_str(), says.load(Ordering::SeqCst)) {
                    ("GET", true) => Script::status(200).body(field(request, "hub.challenge")),
                    ("GET", false) => Script::status(404),
                    _ => Script::status(204),
                },
            )
        });
        Reader { standin, agrees }
    }

    pub(super) fn agree(&self, agrees: bool) {
        self.agrees.store(agrees, Ordering::SeqCst);
    }

    /// Where it wants deliveries for this purpose.
    pub(super) fn callback(&self, purpose: &str) -> String {
        format!("http://{}/in?for={purpose}", self.standin.address())
    }

    fn of_method(&self, method: &str) -> Vec<Received> {
        let mut received = self.standin.received();
        received.retain(|request| request.method == method);
        received
    }

    pub(super) fn questions(&self) -> Vec<Received> {
        self.of_method("GET")
    }

    pub(super) fn deliveries(&self) -> Vec<Received> {
        self.of_method("POST")
    }

    /// Waits until it has been asked so often; gives the last question.
    pub(super) async fn is_asked(&self, times: usize) -> Received {
        self.until(|| self.questions().len() >= times).await;
        self.questions().pop().unwrap()
    }

    /// Waits until it has so many deliveries; gives the last.
    pub(super) async fn gets(&self, deliveries: usize) -> Received {
        self.until(|| self.deliveries().len() >= deliveries).await;
        self.deliveries().pop().unwrap()
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            // Counted before it is looked at, so that none comes unseen in between.
            let seen = self.standin.received().len();
            if holds() {
                return;
            }
            self.standin.wait_for(seen + 1).await;
        }
    }
}

/// A field in the query of a question; empty when it is not there.
pub(super) fn field(request: &Received, name: &str) -> String {
    let url = Url::parse(&format!("http://x{}", request.target)).unwrap();
    let mut pairs = url.query_pairs();
    let found = pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()));
    found.unwrap_or_default()
}

/// A request to the hub without credentials.
pub(super) fn form(fields: &[(&str, &str)]) -> Ask<'static> {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    let media = "application/x-www-form-urlencoded".to_owned();
    Ask {
        method: "POST",
        target: "/hub",
        headers: vec![("Content-Type", media)],
        body: body.finish().into(),
    }
}

/// The same with the token.
pub(super) fn form_with_token(fields: &[(&str, &str)]) -> Ask<'static> {
    let mut ask = form(fields);
    ask.headers
        .push(("Authorization", format!("Bearer {TOKEN}")));
    ask
}

pub(super) fn wish<'a>(
    mode: &'a str,
    topic: &'a str,
    callback: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("hub.mode", mode),
        ("hub.topic", topic),
        ("hub.callback", callback),
    ]
}

pub(super) async fn ask(relay: &TestRelay, mode: &str, topic: &str, callback: &str) -> Answer {
    form(&wish(mode, topic, callback)).of(relay).await
}

/// Asks for it, and waits until the relay has heard the reader say yes.
pub(super) async fn subscribed(relay: &TestRelay, reader: &Reader, topic: &str, callback: &str) {
    let asked = reader.questions().len();
    let answer = ask(relay, "subscribe", topic, callback).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    reader.is_asked(asked + 1).await;
    has_hooks(relay, |hooks| {
        let url = callback.split("?for=").next().unwrap();
        let host = url.trim_end_matches("/in");
        hooks
            .iter()
            .any(|hook| hook["url"].as_str().unwrap().starts_with(host))
    })
    .await;
}

/// Waits until the hooks look so.
pub(super) async fn has_hooks(
    relay: &TestRelay,
    looks: impl Fn(&[serde_json::Value]) -> bool,
) -> Vec<serde_json::Value> {
    loop {
        let (_, shown) = relay.api("GET /v1/hooks", "").await;
        // There are none to be seen before it is ready.
        if let Some(hooks) = shown["hooks"].as_array()
            && looks(hooks)
        {
            return hooks.clone();
        }
        tokio::task::yield_now().await;
    }
}

/// Gogs posts an event of a repository that is private or not.
pub(super) async fn happens(
    relay: &TestRelay,
    event: &str,
    (repository, private): (&str, &str),
    number: u32,
) {
    let body = format!(
        r#"{{"ref":"refs/heads/main","before":"{number}","repository":{{"id":7,"full_name":"{repository}","private":{private}}},"sender":{{"username":"mira"}}}}"#
    );
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Gogs-Event", event.to_owned()),
        ("X-Gogs-Delivery", format!("{repository}-{number}")),
        ("X-Gogs-Signature", signature(SECRET, &body)),
    ];
    let post = Ask {
        method: "POST",
        target: "/hooks/gogs",
        headers,
        body: body.into(),
    };
    post.of(relay).await.with(202);
}

/// A push to the repository that everybody may read.
pub(super) async fn pushed(relay: &TestRelay, number: u32) {
    happens(relay, "push", ("orbit/public-1", "false"), number).await;
}

/// A topic as it is read.
pub(super) async fn read(
    relay: &TestRelay,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let get = Ask {
        method: "GET",
        target: path,
        headers: headers.collect(),
        body: Vec::new(),
    };
    get.of(relay).await
}
