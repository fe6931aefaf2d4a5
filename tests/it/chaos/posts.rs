//! What plays Gogs: posts events to whichever life of the relay listens, remembers every answer,
//! and now and then sends one again, as Gogs' own Redeliver button does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use gogs_relay::clock::Clock;
use serde_json::Value;

use super::dice::Dice;
use super::settings::{BRANCHES, NAMES, SECRET};
use super::sinks::never_passes;
use crate::binary::Client;

const POSTERS: u64 = 4;

/// One request to the relay.
#[derive(Clone, Debug)]
pub struct Post {
    pub marker: u32,
    pub branch: &'static str,
    pub from: Duration,
    pub to: Duration,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// 202: this event, to these.
    Taken(u64, Vec<String>),
    /// 200: this event again, and what is sent again of it.
    Known(u64, Vec<String>),
    /// Any other answer.
    Refused(u16),
    /// The relay went away before it answered.
    Unknown,
}

/// Posters at work.
pub struct Posts {
    stop: Arc<AtomicBool>,
    address: Arc<Mutex<Option<SocketAddr>>>,
    all: Arc<Mutex<Vec<Post>>>,
    running: Vec<JoinHandle<Poster>>,
}

impl Posts {
    pub fn start(clock: &Clock, dice: &mut Dice) -> Posts {
        let mut posts = Posts {
            stop: Arc::default(),
            address: Arc::default(),
            all: Arc::default(),
            running: Vec::new(),
        };
        let count = Arc::new(AtomicU32::new(1));
        for _ in 0..POSTERS {
            let poster = Poster {
                stop: posts.stop.clone(),
                address: posts.address.clone(),
                all: posts.all.clone(),
                count: count.clone(),
                dice: dice.split(),
                clock: clock.clone(),
                known: Vec::new(),
            };
            posts.running.push(std::thread::spawn(move || poster.run()));
        }
        posts
    }

    /// Where the relay listens now, if it does.
    pub fn go_to(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap() = address;
    }

    /// Everything that was posted. The last of it goes to `address`, and passes everywhere: what
    /// never passes is known by what passes after it.
    pub fn stop(self, address: SocketAddr) -> Vec<Post> {
        self.stop.store(true, Ordering::SeqCst);
        let posters = self
            .running
            .into_iter()
            .map(|poster| poster.join().unwrap());
        let mut last = posters.last().unwrap();
        let mut client = Client::connect(address).unwrap();
        for branch in BRANCHES {
            let mut marker = last.count.fetch_add(1, Ordering::SeqCst);
            while NAMES.iter().any(|name| never_passes(name, marker)) {
                marker = last.count.fetch_add(1, Ordering::SeqCst);
            }
            assert!(last.post(&mut client, marker, branch));
        }
        std::mem::take(&mut self.all.lock().unwrap())
    }
}

struct Poster {
    stop: Arc<AtomicBool>,
    address: Arc<Mutex<Option<SocketAddr>>>,
    all: Arc<Mutex<Vec<Post>>>,
    count: Arc<AtomicU32>,
    dice: Dice,
    clock: Clock,
    /// What may be posted again.
    known: Vec<(u32, &'static str)>,
}

impl Poster {
    fn run(mut self) -> Poster {
        let mut client: Option<(SocketAddr, Client)> = None;
        while !self.stop.load(Ordering::SeqCst) {
            let pause = self.dice.between(2, 30);
            std::thread::sleep(Duration::from_millis(pause));
            let Some(address) = *self.address.lock().unwrap() else {
                continue;
            };
            if client.as_ref().is_none_or(|(to, _)| *to != address) {
                client = Client::connect(address)
                    .ok()
                    .map(|client| (address, client));
            }
            let Some((_, connected)) = &mut client else {
                continue;
            };
            let (marker, branch) = self.choose();
            if !self.post(connected, marker, branch) {
                client = None;
            }
        }
        self
    }

    /// A new event, or now and then an old one.
    fn choose(&mut self) -> (u32, &'static str) {
        if !self.known.is_empty() && self.dice.percent(6) {
            return *self.dice.of(&self.known);
        }
        let marker = self.count.fetch_add(1, Ordering::SeqCst);
        self.known.push((marker, *self.dice.of(&BRANCHES)));
        self.known[self.known.len() - 1]
    }

    /// Posts it; says whether the connection is still good.
    fn post(&mut self, client: &mut Client, marker: u32, branch: &'static str) -> bool {
        let from = self.clock.elapsed();
        let answer = client.deliver("gogs", SECRET, &id(marker), &body(marker, branch));
        let outcome = match &answer {
            Err(_) => Outcome::Unknown,
            Ok(answer) => outcome(answer.status, &answer.body),
        };
        self.all.lock().unwrap().push(Post {
            marker,
            branch,
            from,
            to: self.clock.elapsed(),
            outcome,
        });
        answer.is_ok()
    }
}

fn id(marker: u32) -> String {
    format!("m{marker:06}x")
}

/// A push. A few are large, a few larger than a page.
fn body(marker: u32, branch: &str) -> String {
    let id = id(marker);
    let size = match marker % 100 {
        0 => 400_000,
        1..=4 => 60_000,
        _ => 1000,
    };
    // Noise that hardly compresses, and the same each time.
    let mut dice = Dice::new(u64::from(marker));
    let noise: String = (0..size)
        .map(|_| char::from(b'a' + dice.below(26) as u8))
        .collect();
    format!(
        r#"{{"ref":"refs/heads/{branch}","before":"{:040}","after":"{marker:040}","compare_url":"https://git.example.org/orbit/{id}/compare",
"commits":[{{"id":"{marker:040}","message":"commit {id}","url":"https://git.example.org/orbit/{id}/commit","author":{{"name":"Ada","username":"ada"}}}}],
"repository":{{"full_name":"orbit/{id}","html_url":"https://git.example.org/orbit/{id}"}},"sender":{{"username":"ada"}},"noise":"{noise}"}}"#,
        0
    )
}

fn outcome(status: u16, body: &str) -> Outcome {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let names = |member: &str| {
        let names = body[member].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    match (status, body["event"].as_u64()) {
        (202, Some(event)) => Outcome::Taken(event, names("destinations")),
        (200, Some(event)) => Outcome::Known(event, names("requeued")),
        _ => Outcome::Refused(status),
    }
}
