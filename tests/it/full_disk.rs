//! A disk that fills up under load, once with `free_disk` in force and once to the last byte: what
//! was acknowledged arrives, what finds no room is told so, and the service comes back by itself.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, Script, StandIn};
use tokio::task::JoinHandle;

use crate::binary::{Binary, Client, PATIENCE};
use crate::tmpfs::Tmpfs;

const SECRET: &str = "full-disk-test";
const MIB: u64 = 1 << 20;
const CONNECTIONS: usize = 4;
/// So long a request waits for room.
const WAITS: Duration = Duration::from_secs(8);

/// A relay whose data lie on a small disk, a destination that takes everything, and one that
/// takes nothing before it is healed.
struct World {
    disk: Tmpfs,
    folder: tempfile::TempDir,
    prompt: StandIn,
    late: StandIn,
    healed: Arc<AtomicBool>,
    clock: Clock,
}

impl World {
    async fn new(disk: Tmpfs, free_disk: &str) -> World {
        let clock = Clock::system();
        let start = || StandIn::start(FakeGogs::with_secret(SECRET), clock.clone());
        let (prompt, late) = (start().await.unwrap(), start().await.unwrap());
        let healed = Arc::new(AtomicBool::new(false));
        let is_healed = healed.clone();
        late.rule(move |_| {
            let ill = !is_healed.load(Ordering::SeqCst);
            ill.then(|| Script::status(503))
        });
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\ndata: {}/data\n\
             limits: {{ free_disk: {free_disk} }}\nsources: {{ gogs: {{ secret: {SECRET} }} }}\n\
             destinations:\n  prompt: {{ gogs: {{ url: '{}', secret: {SECRET} }} }}\n\
             \x20 late:\n    gogs: {{ url: '{}', secret: {SECRET} }}\n    retry: {{ first: 100ms, max: 200ms }}\n",
            disk.path().display(),
            prompt.url(),
            late.url(),
        );
        std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
        World {
            disk,
            folder,
            prompt,
            late,
            healed,
            clock,
        }
    }

    fn relay(&self) -> Binary {
        Binary::start(self.folder.path())
    }

    /// Waits until the stand-in has said yes to all of these.
    async fn all_arrive(&self, standin: &StandIn, ids: &[String]) {
        let arrive = async {
            let mut seen = 0;
            loop {
                let all = standin.wait_for(seen + 1).await;
                seen = all.len();
                let taken = all.iter().filter(|request| request.status == 200);
                let taken: HashSet<&str> = taken
                    .map(|request| request.header("x-gogs-delivery"))
                    .collect();
                if ids.iter().all(|id| taken.contains(id.as_str())) {
                    return;
                }
            }
        };
        let arrived = self.clock.timeout(PATIENCE, arrive).await;
        assert!(arrived.is_ok(), "not all of {} arrived", ids.len());
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = self.clock.timeout(PATIENCE, wait).await;
        assert!(came.is_ok(), "waited in vain until {what}");
    }
}

/// Connections that post one event after another.
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Answered>>>,
    running: Vec<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Answered {
    id: String,
    status: u16,
    retry_after: Option<String>,
    took: Duration,
}

impl Load {
    /// Posts events of about so many bytes that do not compress.
    fn start(hooks: SocketAddr, size: usize) -> Load {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let running = (0..CONNECTIONS).map(|connection| {
            let (stop, answers) = (stop.clone(), Arc::clone(&answers));
            tokio::task::spawn_blocking(move || post(hooks, connection, size, &stop, &answers))
        });
        Load {
            running: running.collect(),
            stop,
            answers,
        }
    }

    fn answers(&self) -> Vec<Answered> {
        self.answers.lock().unwrap().clone()
    }

    fn count(&self, status: u16) -> usize {
        let answers = self.answers.lock().unwrap();
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    }

    fn acknowledged(&self) -> Vec<String> {
        let all = self.answers().into_iter();
        all.filter(|answer| answer.status == 202)
            .map(|answer| answer.id)
            .collect()
    }

    /// What was taken, and what was refused.
    async fn stop(self) -> (Vec<String>, Vec<Answered>) {
        self.stop.store(true, Ordering::SeqCst);
        for running in self.running {
            running.await.unwrap();
        }
        let answers = Arc::into_inner(self.answers).unwrap();
        let answers = answers.into_inner().unwrap().into_iter();
        let (taken, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 202);
        for answer in &refused {
            assert_eq!(answer.retry_after.as_deref(), Some("10"), "{answer:?}");
        }
        (taken.into_iter().map(|answer| answer.id).collect(), refused)
    }
}

fn post(
    hooks: SocketAddr,
    connection: usize,
    size: usize,
    stop: &AtomicBool,
    answers: &Mutex<Vec<Answered>>,
) {
    let (mut client, clock) = (Client::connect(hooks).unwrap(), Clock::system());
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let id = format!("{connection}-{number}");
        let noise = (0..size / 32).map(|_| uuid::Uuid::new_v4().simple().to_string());
        let noise: String = noise.collect();
        let body = format!(r#"{{"ref":"refs/heads/main","commits":[],"compare_url":"{noise}"}}"#);
        let begun = clock.elapsed();
        let answer = client.deliver("gogs", SECRET, &id, &body).unwrap();
        assert!(matches!(answer.status, 202 | 503), "{answer:?}");
        answers.lock().unwrap().push(Answered {
            id,
            status: answer.status,
            retry_after: answer.retry_after,
            took: clock.elapsed() - begun,
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_free_disk_new_events_wait_and_are_refused_while_all_others_are_delivered() {
    let test = "full disk, free_disk in force";
    let Some(disk) = Tmpfs::mount(64 * MIB, test) else {
        return;
    };
    let world = World::new(disk, "16MiB").await;
    let relay = world.relay();
    let load = Load::start(relay.hooks, 3000);
    world
        .until("200 are acknowledged", || load.count(202) >= 200)
        .await;

    world.disk.fill(8 * MIB);
    world.until("one is refused", || load.count(503) > 0).await;
    let stored = load.acknowledged();
    world.healed.store(true, Ordering::SeqCst);
    world.all_arrive(&world.late, &stored).await;
    world.all_arrive(&world.prompt, &stored).await;
    assert_eq!(
        load.acknowledged().len(),
        stored.len(),
        "nothing new below free_disk"
    );

    // Whoever waits for room now gets it.
    let refused = load.count(503);
    world.disk.clear();
    world
        .until("service resumes", || load.count(202) > stored.len() + 50)
        .await;
    let waited = load.answers().into_iter().skip(stored.len() + refused);
    let waited: Vec<Answered> = waited.take(CONNECTIONS).collect();
    assert!(
        waited.iter().all(|answer| answer.status == 202),
        "{waited:?}"
    );

    let (taken, refused) = load.stop().await;
    for answer in &refused {
        assert!(answer.took >= WAITS, "{answer:?}");
        assert!(answer.took < WAITS * 2, "{answer:?}");
    }
    world.all_arrive(&world.prompt, &taken).await;
    world.all_arrive(&world.late, &taken).await;
    figure!(
        "{test}: {} acknowledged, 0 lost; {} refused after 8 s; {} delivered below it",
        taken.len(),
        refused.len(),
        stored.len(),
    );
    relay.ask_to_stop();
    assert!(relay.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_a_byte_left_loses_nothing_and_the_service_comes_back_by_itself() {
    let test = "full disk, to the last byte";
    let Some(disk) = Tmpfs::mount(40 * MIB, test) else {
        return;
    };
    let world = World::new(disk, "0").await;
    let mut relay = world.relay();
    let reserve = world.disk.path().join("data/reserve");
    assert_eq!(reserve.metadata().unwrap().len(), 8 * MIB);
    let load = Load::start(relay.hooks, 12_000);
    world
        .until("200 are acknowledged", || load.count(202) >= 200)
        .await;

    // The reserve goes first, and what it leaves is filled as well.
    let waited_in_vain = |answer: &Answered| answer.status == 503 && answer.took >= WAITS;
    while !load.answers().iter().any(waited_in_vain) {
        world.disk.fill(0);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!reserve.exists());
    let before = load.count(202);
    world.disk.clear();
    world
        .until("service resumes", || load.count(202) > before + 100)
        .await;
    let is_back = || {
        reserve
            .metadata()
            .is_ok_and(|reserve| reserve.len() == 8 * MIB)
    };
    world.until("the reserve is back", is_back).await;

    let (taken, refused) = load.stop().await;
    let faults = relay.log().matches("database failed").count();
    // Of a commit that failed, nobody can say whether it will be there.
    let at_once = refused.iter().filter(|answer| answer.took < WAITS).count();
    assert!(
        at_once <= faults * CONNECTIONS,
        "{refused:?}, {faults} faults"
    );
    world.all_arrive(&world.prompt, &taken).await;
    // What the other destination gets is read from the disk alone, and that is full at the start.
    relay.kill();
    world.disk.fill(0);
    let relay = world.relay();
    world.healed.store(true, Ordering::SeqCst);
    world.all_arrive(&world.late, &taken).await;
    figure!(
        "{test}: {} acknowledged, 0 lost; {faults} faults of the disk; {} refused at once, {} after 8 s",
        taken.len(),
        at_once,
        refused.len() - at_once,
    );
    relay.ask_to_stop();
    assert!(relay.wait().success());
}
