//! A relay's hook listener on a loopback port, and a client that writes bytes as given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gogs_relay::clock::{Clock, Hand, Timestamp};
use gogs_relay::config::{Limits, Route, Source};
use gogs_relay::ingest::{Gates, Ingest, receive::receive};
use gogs_relay::plan::{Router, Templates};
use gogs_relay::queue::{Keep, LaneSpec, Options, Queue, Redelivery};
use gogs_relay::settings::Settings;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::config;

pub(super) const SECRET: &str = "orbit-hook-s3cret";

/// As relay.yaml has them by default.
pub(super) fn limits() -> Limits {
    Limits {
        body: 10 << 20,
        bytes: 64 << 20,
        headers: 32 << 10,
        connections: 1024,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        sends: 256,
        backlog: 2_000_000,
        free_disk: 0,
    }
}

pub(super) fn source(secrets: &[&str]) -> Source {
    Source {
        secrets: secrets.iter().map(|&secret| secret.into()).collect(),
        unsigned: secrets.is_empty(),
        sha1: false,
        body_secret: false,
        redelivery: Redelivery::Failed,
        same_body: None,
    }
}

/// Sources for every way of proving oneself.
pub(super) fn sources() -> BTreeMap<Arc<str>, Source> {
    let mut with_sha1 = source(&[SECRET]);
    with_sha1.sha1 = true;
    let mut with_body = source(&[SECRET]);
    with_body.body_secret = true;
    let mut twice = source(&[SECRET]);
    twice.same_body = Some(Duration::from_secs(30));
    BTreeMap::from([
        ("gogs".into(), source(&[SECRET])),
        ("open".into(), source(&[])),
        ("rotating".into(), source(&["new-s3cret", SECRET])),
        ("sha1".into(), with_sha1),
        ("twice".into(), twice),
        ("ancient".into(), with_body),
    ])
}

pub(super) const DESTINATIONS: [&str; 2] = ["ops-discord", "team-slack"];

/// No routes, so that everything goes to every destination.
pub(super) fn router() -> Router {
    router_to(&[], &DESTINATIONS)
}

pub(super) fn router_to(routes: &[Route], destinations: &[&str]) -> Router {
    let destinations: Vec<Arc<str>> = destinations.iter().map(|&name| name.into()).collect();
    Router::new(routes, &destinations).unwrap()
}

fn settings(sources: &BTreeMap<Arc<str>, Source>, router: Router) -> Settings {
    let templates = Arc::new(Templates::load(Path::new("/nowhere")).0);
    let mut settings = Settings::new(config(), templates).unwrap();
    (settings.gates, settings.router) = (Arc::new(Gates::new(sources)), router);
    settings
}

/// A queue with lanes for `DESTINATIONS`, `a` to `f`, and these letters 64 times over.
fn open_queue(limits: &Limits, clock: &Clock, folder: &TempDir) -> Queue {
    let keep = Keep {
        keep: Duration::from_secs(86_400),
        at_most: 100_000,
    };
    let options = Options {
        data: folder.path().to_owned(),
        history: keep,
        dead: keep,
        dedupe: keep,
        backlog: limits.backlog,
        free_disk: limits.free_disk,
    };
    let letters = ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
    let long = letters.clone().map(|letter| letter.repeat(64));
    let names = DESTINATIONS.map(str::to_owned).into_iter();
    let lanes = names.chain(letters).chain(long).map(|name| LaneSpec {
        destination: name.into(),
        was: None,
        width: 1,
        loose: false,
        settings: 1,
        longest_wait: Duration::from_secs(600),
    });
    Queue::open(options, &lanes.collect::<Vec<_>>(), clock.clone()).unwrap()
}

/// A running listener over a queue in a folder of its own.
pub(super) struct Hooks {
    pub address: SocketAddr,
    in_force: watch::Sender<Arc<Settings>>,
    pub queue: Queue,
    pub hand: Option<Hand>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Hooks {
    pub(super) async fn start() -> Hooks {
        Hooks::with(limits(), Clock::system(), None).await
    }

    pub(super) async fn limited(limits: Limits) -> Hooks {
        Hooks::with(limits, Clock::system(), None).await
    }

    /// Time stands still until the hand moves it.
    pub(super) async fn stepped(limits: Limits) -> Hooks {
        let (clock, hand) = Clock::stepped(Timestamp(1_700_000_000_000));
        Hooks::with(limits, clock, Some(hand)).await
    }

    async fn with(limits: Limits, clock: Clock, hand: Option<Hand>) -> Hooks {
        let folder = tempfile::tempdir().unwrap();
        let queue = open_queue(&limits, &clock, &folder);
        let (in_force, going_by) = watch::channel(Arc::new(settings(&sources(), router())));
        let ingest = Arc::new(Ingest::new(limits, going_by, queue.clone(), clock));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(receive(listener, ingest, tasks.clone(), stop.clone()));
        Hooks {
            address,
            in_force,
            queue,
            hand,
            tasks,
            stop,
            _folder: folder,
        }
    }

    /// Goes by these sources and routes from the next request on.
    pub(super) fn replace(&self, sources: &BTreeMap<Arc<str>, Source>, router: Router) {
        let mut next = settings(sources, router);
        let gates = Gates::new(sources).succeed(&self.in_force.borrow().gates);
        next.gates = Arc::new(gates);
        self.in_force.send_replace(Arc::new(next));
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// Stops, and waits until nothing is left under way.
    pub(super) async fn finish(self) {
        self.stop();
        self.tasks.wait().await;
        self.queue.close().await;
    }

    /// One request on a connection of its own.
    pub(super) async fn send(&self, request: &[u8]) -> Answer {
        let mut client = Client::connect(self.address).await;
        client.write(request).await;
        client.answer().await.expect("an answer")
    }

    /// Moves a stepped clock on and on.
    pub(super) async fn time_passes(&self) {
        let hand = self.hand.as_ref().expect("a stepped clock");
        loop {
            hand.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
    }
}

pub(super) struct Client(TcpStream);

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Client {
        Client(TcpStream::connect(address).await.unwrap())
    }

    /// A server that has already answered may have closed.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes).await);
    }

    /// Says that nothing more will come.
    pub(super) async fn end(&mut self) {
        drop(self.0.shutdown().await);
    }

    /// All that comes until the server closes.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).await.unwrap();
        rest
    }

    /// The next answer; `None` when the server closed without one.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let mut answer = Answer {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: String::new(),
        };
        if answer.status != 100 {
            let length = answer
                .headers
                .get("content-length")
                .map_or("0", String::as_str);
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
            answer.body = String::from_utf8(body).unwrap();
        }
        Some(answer)
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// What every answer of the relay keeps: short JSON in ASCII that tells no secret.
    pub(super) fn check(&self) {
        assert!(self.body.is_ascii() && self.body.len() < 300, "{self:?}");
        assert!(!self.body.contains(SECRET), "{self:?}");
        assert!(self.json().is_object(), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        assert!(!(300..400).contains(&self.status), "{self:?}");
    }
}

/// A request to write, built by hand.
#[derive(Clone)]
pub(super) struct Post {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: bytes::Bytes,
    length: Option<String>,
}

impl Post {
    /// A JSON delivery to a source, without any signature.
    pub(super) fn json(source: &str, body: impl Into<Vec<u8>>) -> Post {
        let body = bytes::Bytes::from(body.into());
        let post = Post {
            method: "POST",
            path: format!("/hooks/{source}"),
            headers: Vec::new(),
            length: Some(body.len().to_string()),
            body,
        };
        post.header("Content-Type", "application/json")
    }

    /// A form delivery with the JSON in its field `payload`.
    pub(super) fn form(source: &str, json: &[u8]) -> Post {
        let mut form = String::from("payload=");
        form.extend(form_urlencoded::byte_serialize(json));
        Post::raw_form(source, form)
    }

    pub(super) fn raw_form(source: &str, form: impl Into<Vec<u8>>) -> Post {
        let form_type = "application/x-www-form-urlencoded";
        Post::json(source, form).header("Content-Type", form_type)
    }

    /// Sets a header, in place of one of the same name.
    pub(super) fn header(mut self, name: &str, value: &str) -> Post {
        self.headers
            .retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Post {
        self.headers
            .retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        self
    }

    pub(super) fn method(mut self, method: &'static str) -> Post {
        self.method = method;
        self
    }

    pub(super) fn path(mut self, path: &str) -> Post {
        self.path = path.to_owned();
        self
    }

    /// Says that the body is so long, whatever it is.
    pub(super) fn length(mut self, length: &str) -> Post {
        self.length = Some(length.to_owned());
        self
    }

    /// Signs as Gogs does: over the JSON text, whatever the body is.
    pub(super) fn signed(self, json: &[u8]) -> Post {
        self.header("X-Gogs-Signature", &sign(SECRET, json))
    }

    pub(super) fn event(self, name: &str) -> Post {
        self.header("X-Gogs-Event", name)
    }

    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: relay\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.length {
            Some(length) => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
            None => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        }
        head.into_bytes()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.head(), &self.body[..]].concat()
    }

    /// The same, with a chunked body of pieces of this size.
    pub(super) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut post = self.clone();
        post.length = None;
        let mut bytes = post.head();
        for piece in self.body.chunks(size) {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

pub(super) fn sign(secret: &str, message: &[u8]) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    hex::encode(mac.chain_update(message).finalize().into_bytes())
}

pub(super) fn sign_sha1(secret: &str, message: &[u8]) -> String {
    let mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    hex::encode(mac.chain_update(message).finalize().into_bytes())
}
