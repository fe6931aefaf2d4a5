//! Damage to the queue's files: bits that flip and files that are cut short. Nothing is lost in
//! silence, and salvage brings back every event whose chunks are whole.
//!
//! `DAMAGE_FLIPS`, `DAMAGE_CUTS` and `DAMAGE_EVENTS` set the numbers, `DAMAGE_SEED` the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gogs_relay::clock::{Clock, Timestamp};
use gogs_relay::delivery::{Reason, State, Trace};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::queue::{
    Appended, Filter, Keep, LaneSpec, Next, Options, Planned, PlannedDelivery, Queue, QueueError,
    Redelivery, Repeats, Settlement,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::binary::{self, Binary};
use crate::files::copy_folder;

const NOON: Timestamp = Timestamp(1_780_000_000_000);
const REPEATS: Repeats = Repeats {
    redelivery: Redelivery::Failed,
    same_body: None,
};

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Dice that fall the same way for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |set| set.parse().unwrap())
}

fn options(data: &Path) -> Options {
    let keep = Keep {
        keep: Duration::from_secs(90 * 86_400),
        at_most: 1_000_000,
    };
    Options {
        data: data.to_owned(),
        history: keep,
        dead: keep,
        dedupe: keep,
        backlog: 2_000_000,
        free_disk: 0,
    }
}

fn lane(name: &str) -> LaneSpec {
    LaneSpec {
        destination: name.into(),
        was: None,
        width: 1,
        loose: false,
        settings: 1,
        longest_wait: Duration::from_secs(600),
    }
}

fn lanes() -> [LaneSpec; 2] {
    [lane("waits"), lane("busy")]
}

fn open(data: &Path) -> anyhow::Result<Queue> {
    let (clock, _hand) = Clock::stepped(NOON);
    Queue::open(options(data), &lanes(), clock)
}

/// About 1 KB that does not compress to nothing.
fn body(n: u64) -> Bytes {
    let mut dice = Dice(n);
    let words: Vec<String> = (0..40)
        .map(|_| format!("{:016x}", dice.below(u64::MAX)))
        .collect();
    Bytes::from(format!("{{\"number\":{n},\"text\":{words:?}}}"))
}

fn planned(n: u64) -> Planned {
    let to = |name: &str| PlannedDelivery {
        destination: name.into(),
        route: Some("all".into()),
    };
    Planned {
        event: Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: format!("id-{n}").into(),
            received: NOON.plus(Duration::from_millis(n)),
            body: body(n),
        },
        facts: Facts::default(),
        deliveries: [to("waits"), to("busy")].into(),
    }
}

fn passed() -> Trace {
    Trace {
        started: NOON,
        duration_ms: 12,
        status: Some(200),
        reason: Reason::Accepted,
        verdict: "accepted".into(),
        answer: Bytes::from_static(b"ok"),
        template: String::new(),
        fingerprint: String::new(),
        fallback: None,
        sent: None,
    }
}

async fn append(queue: &Queue, numbers: Range<u64>) {
    // Enough at once that commits are shared, and few enough that there are many of them.
    let mut waiting = JoinSet::new();
    for n in numbers {
        let queue = queue.clone();
        // The order of events is that of their numbers: they are polled in it.
        waiting.spawn(async move { queue.append(planned(n), REPEATS).await.unwrap() });
        if waiting.len() >= 20 {
            while let Some(appended) = waiting.join_next().await {
                assert!(matches!(appended.unwrap(), Appended::New(_)));
            }
        }
    }
    while let Some(appended) = waiting.join_next().await {
        assert!(matches!(appended.unwrap(), Appended::New(_)));
    }
}

/// A queue in which every event waits for one destination, and a part of them was delivered to
/// another; opened twice, so that one half of its file is in a snapshot and one is not. Closed in
/// order, and as a crash would leave it.
async fn sound_queues(events: u64) -> [TempDir; 2] {
    let folder = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let half = events / 2;
    for numbers in [1..half + 1, half + 1..events + 1] {
        let deliveries = (numbers.end - numbers.start) / 4;
        let is_last = numbers.end > events;
        let queue = open(folder.path()).unwrap();
        append(&queue, numbers).await;
        for _ in 0..deliveries {
            let Next::Lease(lease) = queue.next("busy").await.unwrap() else {
                panic!("nothing waits");
            };
            queue.settle(*lease, Settlement::Delivered, Some(passed()));
        }
        if is_last {
            copy_folder(folder.path(), crashed.path());
        }
        queue.close().await;
    }
    [folder, crashed]
}

/// New events are taken and delivered.
async fn goes_on(queue: &Queue, n: u64) {
    let new = loop {
        match queue.append(planned(n), REPEATS).await {
            Ok(Appended::New(new)) => break new,
            Ok(repeats) => panic!("{repeats:?}"),
            // It opens its database again.
            Err(QueueError::Unavailable) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    };
    loop {
        match queue.next("waits").await.unwrap() {
            Next::Lease(lease) => {
                let is_new = lease.id.event == new;
                queue.settle(*lease, Settlement::Delivered, None);
                if is_new {
                    return;
                }
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Every file below the folder, with what it holds.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(everything(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The pages in a database's file, by their first events: those all of whose chunks are there
/// with a right checksum. Looks for nothing but chunks by their own heads.
fn whole_pages(db: &[u8]) -> BTreeSet<u64> {
    let mut chunks: BTreeMap<u64, (u32, BTreeSet<u32>)> = BTreeMap::new();
    let four = |at: usize| u32::from_le_bytes(db[at..at + 4].try_into().unwrap());
    for at in 0..db.len().saturating_sub(36) {
        if &db[at..at + 4] != b"GRq\n" || db[at + 5] != 1 {
            continue;
        }
        let length = usize::from(u16::from_le_bytes([db[at + 6], db[at + 7]]));
        let Some(data) = db.get(at + 36..at + 36 + length) else {
            continue;
        };
        let mut sum = crc32fast::Hasher::new();
        sum.update(&db[at..at + 32]);
        sum.update(data);
        if sum.finalize() == four(at + 32) {
            let first = u64::from_le_bytes(db[at + 8..at + 16].try_into().unwrap());
            let count = four(at + 24).div_ceil(4000 - 36);
            let page = chunks.entry(first).or_insert((count, BTreeSet::new()));
            page.1.insert(four(at + 20));
        }
    }
    let whole = chunks
        .into_iter()
        .filter(|(_, (count, have))| have.len() == *count as usize);
    whole.map(|(first, _)| first).collect()
}

fn salvage(data: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
        .args(["salvage", "--json", "--data"])
        .arg(data)
        .output()
        .unwrap()
}

/// The numbers of the events that are missing by the words of a report.
fn missing(ranges: impl Iterator<Item = (u64, u64)>) -> BTreeSet<u64> {
    ranges.flat_map(|(first, last)| first..=last).collect()
}

/// The same, of what salvage reports.
fn missing_in(report: &Value) -> BTreeSet<u64> {
    let ranges = report["missing"].as_array().unwrap().iter();
    missing(ranges.map(|range| {
        let number = |end: &str| range[end].as_u64().unwrap();
        (number("first"), number("last"))
    }))
}

/// The salvaged queue takes the place of the damaged one.
fn put_in_place(data: &Path) {
    std::fs::rename(data.join("queue"), data.join("queue.damaged")).unwrap();
    std::fs::rename(data.join("queue.salvaged"), data.join("queue")).unwrap();
}

/// What was found about one damaged queue.
#[derive(Debug, Default)]
struct Outcome {
    opened: bool,
    /// Events that salvage brought back, and those that it could have.
    back: u64,
    whole: u64,
    /// So long it took to open it, to deliver what it holds, and to take one more.
    took: Duration,
}

/// A sound queue and where its pages begin.
struct Sound {
    folder: TempDir,
    length: u64,
    events: u64,
    firsts: Vec<u64>,
}

impl Sound {
    async fn both(events: u64) -> [Sound; 2] {
        sound_queues(events).await.map(|folder| {
            let db = std::fs::read(folder.path().join("queue/db")).unwrap();
            Sound {
                folder,
                length: db.len() as u64,
                events,
                firsts: whole_pages(&db).into_iter().collect(),
            }
        })
    }

    fn events_of(&self, first: u64) -> Range<u64> {
        let next = self.firsts.iter().find(|other| **other > first);
        first..next.copied().unwrap_or(self.events + 1)
    }

    /// Damages a copy, and holds the relay and salvage to what is promised.
    async fn damaged(&self, damage: impl FnOnce(&Path)) -> Outcome {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        damage(&copy.path().join("queue/db"));
        let again = tempfile::tempdir().unwrap();
        copy_folder(copy.path(), again.path());
        let mut outcome = self.salvaged(copy.path()).await;
        let began = Instant::now();
        let opened = tokio::time::timeout(PATIENCE, self.opened(again.path())).await;
        outcome.opened = opened.expect("the relay hangs on a damaged queue");
        outcome.took = began.elapsed();
        outcome
    }

    async fn salvaged(&self, data: &Path) -> Outcome {
        let before = everything(&data.join("queue"));
        let output = salvage(data);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(
            before == everything(&data.join("queue")),
            "salvage changed the damaged queue"
        );
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let whole: BTreeSet<u64> = whole_pages(&before[&data.join("queue/db")])
            .into_iter()
            .flat_map(|first| self.events_of(first))
            .collect();
        put_in_place(data);
        let queue = open(data).unwrap();
        let missing = missing_in(&report);
        let mut back = 0;
        for n in 1..=self.events {
            let event = queue.event(EventId(n)).await.unwrap();
            match &event {
                Some(_) => {
                    back += 1;
                    assert!(!missing.contains(&n), "event {n} is said to be missing");
                }
                None => assert!(
                    missing.contains(&n),
                    "event {n} is lost in silence: {report}"
                ),
            }
            assert!(
                event.is_some() || !whole.contains(&n),
                "event {n} was whole"
            );
        }
        assert_eq!(report["events"]["back"], back, "{report}");
        assert_eq!(
            queue.missing().len(),
            report["missing"].as_array().unwrap().len()
        );
        let mut lanes = queue.lanes().into_iter();
        let waits = lanes.find(|lane| &*lane.destination == "waits");
        // Without any page nobody knows that there was such a lane.
        assert_eq!(waits.map_or(0, |lane| lane.waiting), back, "{report}");
        queue.close().await;
        Outcome {
            back,
            whole: whole.len() as u64,
            ..Outcome::default()
        }
    }

    /// The relay opens the damaged queue and accounts for every event, or refuses it in words.
    async fn opened(&self, data: &Path) -> bool {
        let queue = match open(data) {
            Ok(queue) => queue,
            Err(error) => {
                let words = format!("{error:#}");
                assert!(words.contains("gogs-relay salvage"), "{words}");
                return false;
            }
        };
        let lost = queue.missing();
        let mut seen = missing(lost.iter().map(|missing| (missing.first, missing.last)));
        loop {
            match queue.next("waits").await {
                Ok(Next::Lease(lease)) => {
                    seen.insert(lease.id.event.0);
                    queue.settle(*lease, Settlement::Delivered, None);
                }
                Ok(Next::Nothing) => break,
                // It opens its database again, as lanes know.
                Ok(Next::NotBefore(_)) | Err(QueueError::Unavailable) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                other => panic!("{other:?}"),
            }
        }
        let filter = Filter {
            state: Some(State::Dead),
            ..Filter::default()
        };
        let mut cursor = None;
        loop {
            let found = match queue.find(filter.clone(), cursor.clone(), 100).await {
                Err(QueueError::Unavailable) => continue,
                found => found.unwrap(),
            };
            seen.extend(found.deliveries.iter().map(|dead| {
                assert_eq!(dead.reason, Some(Reason::Damaged));
                dead.event.0
            }));
            cursor = found.next;
            if cursor.is_none() {
                break;
            }
        }
        let silent: Vec<u64> = (1..=self.events).filter(|n| !seen.contains(n)).collect();
        assert!(silent.is_empty(), "lost in silence: {silent:?}");
        goes_on(&queue, self.events + 1).await;
        queue.close().await;
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_and_no_cut_loses_an_event_in_silence() {
    let sounds = Sound::both(number("DAMAGE_EVENTS", 2_000)).await;
    let seed = number("DAMAGE_SEED", 1);
    let mut dice = Dice(seed);
    for (kind, times) in [
        ("flips", number("DAMAGE_FLIPS", 8)),
        ("cuts", number("DAMAGE_CUTS", 4)),
    ] {
        let (mut opened, mut back, mut whole, mut slowest) = (0, 0, 0, Duration::ZERO);
        for sound in sounds.iter().cycle().take(times as usize) {
            let (at, bit) = (dice.below(sound.length), dice.below(8));
            let outcome = sound
                .damaged(|db| {
                    if kind == "cuts" {
                        let db = File::options().write(true).open(db).unwrap();
                        return db.set_len(at).unwrap();
                    }
                    let mut bytes = std::fs::read(db).unwrap();
                    bytes[at as usize] ^= 1 << bit;
                    std::fs::write(db, bytes).unwrap();
                })
                .await;
            opened += u64::from(outcome.opened);
            back += outcome.back;
            whole += outcome.whole;
            slowest = slowest.max(outcome.took);
        }
        let [sound, _] = &sounds;
        figure!(
            "seed {seed}: {times} {kind} of {} events in {} KiB: opened {opened}, refused {}, the \
             slowest in {slowest:.1?}; salvage brought back {back} of {} events, {whole} of them in whole chunks",
            sound.events,
            sound.length >> 10,
            times - opened,
            times * sound.events,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_file_ends_too_early_the_relay_opens_it_or_says_what_to_do() {
    let sounds = Sound::both(1_000).await;
    let cuts = number("DAMAGE_CUTS", 64);
    for sound in &sounds {
        for cut in 0..cuts {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(sound.folder.path(), copy.path());
            let db = File::options()
                .write(true)
                .open(copy.path().join("queue/db"));
            db.unwrap().set_len(sound.length * cut / cuts).unwrap();
            sound.opened(copy.path()).await;
        }
    }
}

/// A relay.yaml for the data folder in `folder`, with nothing that goes anywhere.
fn relay_yaml(folder: &Path) {
    let data = folder.join("data");
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\ndata: {}\n\
         sources: {{ gogs: {{ secret: s3cret }} }}\n\
         destinations: {{ waits: {{ console: {{}} }}, busy: {{ console: {{}} }} }}\n",
        data.display()
    );
    std::fs::write(folder.join("relay.yaml"), yaml).unwrap();
}

fn gogs_relay(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
    command.args(args).output().unwrap()
}

#[test]
fn whoever_comes_second_is_told_who_has_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    relay_yaml(folder.path());
    let relay = Binary::start(folder.path());
    let config = folder.path().join("relay.yaml");
    let config = config.to_str().unwrap();
    for command in ["serve", "salvage"] {
        let second = gogs_relay(&[command, "-c", config]);
        let said = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{command}: {said}");
        let named = format!("process {}: ", relay.id());
        assert!(
            said.contains(&named) && said.contains(config),
            "{command}: {said}"
        );
    }
    relay.ask_to_stop();
    assert!(relay.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_salvage_could_not_bring_back_is_shown_by_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let [sound, _] = Sound::both(1_000).await;
    copy_folder(sound.folder.path(), &data);
    let db = File::options().write(true).open(data.join("queue/db"));
    db.unwrap().set_len(sound.length / 2).unwrap();
    relay_yaml(folder.path());
    let config = folder.path().join("relay.yaml");
    let refused = gogs_relay(&["-c", config.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("`gogs-relay salvage`"), "{said}");

    let salvaged = gogs_relay(&["salvage", "-c", config.to_str().unwrap()]);
    let said = String::from_utf8(salvaged.stdout).unwrap();
    assert!(
        salvaged.status.success() && said.contains("came back"),
        "{said}"
    );
    let next: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("  mv "))
        .collect();
    assert_eq!(next.len(), 2, "{said}");
    for command in next {
        assert!(
            Command::new("sh")
                .args(["-c", command])
                .status()
                .unwrap()
                .success()
        );
    }
    shows_what_is_missing(folder.path());
}

fn shows_what_is_missing(folder: &Path) {
    let relay = Binary::start(folder);
    let (status, ready) = binary::api(relay.admin, "GET", "/readyz", "").unwrap();
    let missing = ready["missing"].as_u64().unwrap();
    assert!(status == 200 && missing > 0, "{ready}");
    let (_, listed) = binary::api(relay.admin, "GET", "/v1/destinations", "").unwrap();
    let ranges = listed["missing"].as_array().unwrap();
    let events = ranges.iter().map(|range| range["events"].as_u64().unwrap());
    assert_eq!(events.sum::<u64>(), missing);
    let listed = gogs_relay(&[
        "destinations",
        "list",
        "--admin",
        &format!("http://{}", relay.admin),
    ]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("missing by damage"), "{listed}");
    assert!(
        relay.log().contains("still missing by damage"),
        "{}",
        relay.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_whose_place_is_lost_comes_back_held_and_goes_on_when_told() {
    let [sound, _] = Sound::both(200).await;
    let copy = tempfile::tempdir().unwrap();
    copy_folder(sound.folder.path(), copy.path());
    // Every copy of the lane that the file still has.
    let path = copy.path().join("queue/db");
    let mut db = std::fs::read(&path).unwrap();
    let lane = b"\x04\x00\x00\x00\x05waits";
    let places: Vec<usize> = (0..db.len() - lane.len())
        .filter(|at| &db[*at..at + lane.len()] == lane)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        db[at + 5] ^= 1;
    }
    std::fs::write(&path, db).unwrap();
    let report: Value = serde_json::from_slice(&salvage(copy.path()).stdout).unwrap();
    let lanes = report["destinations"].as_array().unwrap();
    let waits = lanes.iter().find(|lane| lane["name"] == "waits").unwrap();
    assert_eq!(
        (&waits["held"], &waits["waiting"]),
        (&true.into(), &200.into()),
        "{report}"
    );

    put_in_place(copy.path());
    let queue = open(copy.path()).unwrap();
    assert!(matches!(queue.next("waits").await.unwrap(), Next::Nothing));
    let lanes = queue.lanes();
    let held = lanes
        .iter()
        .find(|lane| &*lane.destination == "waits")
        .unwrap();
    let words = &held.held.as_ref().unwrap().words;
    assert!(words.contains("of the 200 deliveries that wait"), "{words}");
    queue.resume("waits").await.unwrap();
    for n in 1..=200 {
        let Next::Lease(lease) = queue.next("waits").await.unwrap() else {
            panic!("event {n} does not wait");
        };
        assert_eq!(lease.id.event, EventId(n));
        queue.settle(*lease, Settlement::Delivered, None);
    }
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_were_through_do_not_come_back_as_new_deliveries() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        history: Keep {
            keep: Duration::ZERO,
            at_most: 0,
        },
        ..options(folder.path())
    };
    let (clock, hand) = Clock::stepped(NOON.plus(Duration::from_secs(10)));
    let queue = Queue::open(options, &lanes(), clock).unwrap();
    append(&queue, 1..201).await;
    for lane in ["waits", "busy"] {
        while let Next::Lease(lease) = queue.next(lane).await.unwrap() {
            queue.settle(*lease, Settlement::Delivered, Some(passed()));
        }
    }
    while queue.stats().events > 0 {
        hand.advance(Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    append(&queue, 201..206).await;
    queue.close().await;
    let output = salvage(folder.path());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["waiting"]["back"], 10, "{report}");
    assert_eq!(
        report["events"],
        serde_json::json!({ "back": 5, "lost": 0 }),
        "{report}"
    );
    assert_eq!(report["missing"], serde_json::json!([]));
}
