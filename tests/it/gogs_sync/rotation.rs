//! A source's secret is changed while events keep coming.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, StandIn};

use super::server::{Server, Task};
use super::world::{NEW, OLD, World};
use crate::binary;
use crate::relay::TestRelay;
use crate::world::within;

const REPOSITORIES: [&str; 3] = ["alice/a", "alice/b", "alice/c"];
/// So many deliveries Gogs is behind all the time.
const BEHIND: usize = 25;

fn relay_yaml(receiver: &StandIn, secrets: &str) -> String {
    format!(
        "sources: {{ gogs: {{ secrets: [{secrets}] }} }}\n\
         destinations: {{ ci: {{ gogs: {{ url: \"{}\", secret: receiver-s3cret }} }} }}\n",
        receiver.url()
    )
}

/// Gogs' one worker, and repositories in which something happens all the time.
struct Traffic {
    stop: Arc<AtomicBool>,
    /// Told at each delivery.
    delivered: mpsc::Receiver<()>,
    ended: std::thread::JoinHandle<Answers>,
}

/// How often each status was answered.
type Answers = BTreeMap<u16, usize>;

impl Traffic {
    fn start(world: &World, relay: &TestRelay) -> Traffic {
        let (server, address) = (world.shared(), relay.hooks);
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, delivered) = mpsc::channel();
        let stopped = stop.clone();
        let ended = std::thread::spawn(move || {
            let mut answers = Answers::new();
            while let Some(task) = next(&server, stopped.load(Ordering::SeqCst)) {
                *answers.entry(post(address, &task)).or_default() += 1;
                // Nobody may be waiting any more.
                let _gone = tell.send(());
            }
            answers
        });
        Traffic {
            stop,
            delivered,
            ended,
        }
    }

    /// Waits for so many more deliveries.
    fn more(&self, count: usize) {
        for _ in 0..count {
            self.delivered.recv().unwrap();
        }
    }

    fn stop(self) -> Answers {
        self.stop.store(true, Ordering::SeqCst);
        self.ended.join().unwrap()
    }
}

/// What is owed first. Unless it is to end, things happen until Gogs is as far behind as ever.
fn next(server: &Mutex<Server>, is_ending: bool) -> Option<Task> {
    let mut server = server.lock().unwrap();
    while !is_ending && server.tasks.len() < BEHIND {
        let repository = REPOSITORIES[server.events % REPOSITORIES.len()];
        server.happens(repository);
    }
    server.tasks.pop_front()
}

/// As Go's client does it: the fragment stays at home.
fn post(address: std::net::SocketAddr, task: &Task) -> u16 {
    let url = url::Url::parse(&task.url).unwrap();
    assert_eq!(url.port(), Some(address.port()));
    let headers = [
        ("Host", url.authority().to_owned()),
        ("User-Agent", "GogsServer".to_owned()),
        ("Content-Length", task.body.len().to_string()),
        ("Content-Type", "application/json".to_owned()),
        ("X-Gogs-Delivery", task.id.clone()),
        ("X-Gogs-Event", "push".to_owned()),
        ("X-Gogs-Signature", task.signature.clone()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    binary::raw_post(address, url.path(), &headers, &task.body).status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_under_traffic_and_nothing_is_refused_lost_or_doubled() {
    let receiver = StandIn::start(FakeGogs::with_secret("receiver-s3cret"), Clock::system());
    let receiver = receiver.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data: &Path = folder.path();
    let relay = TestRelay::start(data, &relay_yaml(&receiver, OLD), Clock::system()).await;
    let public = format!("http://{}/", relay.hooks);
    let world = World::start(&REPOSITORIES).await;
    world.configure(&public, &[OLD]);
    world
        .run("sync")
        .await
        .check(0, &["3 repositories: 3 changed"]);

    let traffic = Traffic::start(&world, &relay);
    traffic.more(40);
    world.server().busy = true;
    // The relay does not know the new secret yet, so no hook is made with it.
    world.configure(&public, &[NEW, OLD]);
    let early = world.run("sync --settle 3s").await;
    let words = "is not ready for hooks, so nothing was done: the relay does not accept the secret";
    early.check(1, &[words]);
    assert_eq!(world.server().hooks.len(), 3);

    let both = relay_yaml(&receiver, &format!("{NEW}, {OLD}"));
    assert_eq!(relay.reload(&both).await.0, 200);
    let rotated = world.run("sync --settle 3s").await;
    let made = "alice/b made hook 5 the one there had another secret";
    rotated.check(0, &[made, "alice/b removed hook 2 it had another secret"]);
    traffic.more(40);
    let answers = traffic.stop();
    verify(&world, &receiver, answers).await;

    assert_eq!(relay.reload(&relay_yaml(&receiver, NEW)).await.0, 200);
    world.configure(&public, &[NEW]);
    let again = world.run("sync").await;
    again.check(0, &["3 repositories: nothing to do"]);
    let traffic = Traffic::start(&world, &relay);
    traffic.more(40);
    assert_eq!(traffic.stop().into_keys().collect::<Vec<_>>(), [202]);
    relay.finish().await;
}

/// Every event was accepted once and arrived once, and nothing that was owed is gone.
async fn verify(world: &World, receiver: &StandIn, mut answers: Answers) {
    let Server {
        events, dropped, ..
    } = *world.server();
    let accepted = answers.remove(&202).unwrap();
    let folded = answers.remove(&200).unwrap_or(0);
    figure!(
        "rotation under traffic: {events} events, {accepted} accepted, {folded} more came by both \
         hooks, {} refused, {dropped} lost with their hook",
        answers.values().sum::<usize>()
    );
    assert_eq!((accepted, dropped, answers), (events, 0, Answers::new()));
    assert!(
        folded >= REPOSITORIES.len(),
        "while both hooks are there something happens"
    );
    let received = within(receiver.wait_for(events)).await;
    let numbers = received
        .iter()
        .map(|it| it.json()["number"].as_u64().unwrap());
    assert_eq!(numbers.clone().count(), events);
    let distinct: BTreeSet<u64> = numbers.collect();
    assert_eq!(distinct.len(), events);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_same_body_no_active_hook_is_replaced() {
    let world = World::start(&["alice/a"]).await;
    world.run("sync --no-ping").await.check(0, &[]);
    world.write(&format!(
        "public_url: {}\nsources: {{ gogs: {{ secrets: [{OLD}, {NEW}], same_body: off }} }}\n\
         destinations: {{ screen: {{ console: {{}} }} }}\n",
        super::world::PUBLIC
    ));
    let ran = world.sync("").await;
    ran.check(
        1,
        &[
            "alice/a failed",
            "`same_body` of the source is off",
            "1 repository failed",
        ],
    );
    assert_eq!(world.server().hooks.len(), 1);
}
