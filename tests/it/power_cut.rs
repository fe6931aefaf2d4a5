//! Power cuts in the middle of a commit. Whatever part of it reached the disk, the queue opens
//! again, holds everything that was acknowledged, and of what was not it holds all or nothing.
//!
//! `CUT_COMMITS` commits are cut in `CUT_WAYS` ways each, `CUT_SEED` sets the dice.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gogs_relay::clock::{Clock, Timestamp};
use gogs_relay::delivery::{DeliveryId, State};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::queue::{
    Appended, Keep, LaneSpec, Next, Options, Planned, PlannedDelivery, Queue, Redelivery, Repeats,
    Settlement,
};
use tempfile::TempDir;

use crate::chaos::dice::Dice;

const NOON: Timestamp = Timestamp(1_780_000_000_000);
const REPEATS: Repeats = Repeats {
    redelivery: Redelivery::None,
    same_body: None,
};
/// The disk writes a block whole or not at all.
const BLOCK: usize = 4096;
const SEGMENT: usize = 512 << 10;

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |set| set.parse().unwrap())
}

fn open(data: &Path) -> Queue {
    try_open(data).unwrap_or_else(|error| panic!("{error:#}"))
}

fn try_open(data: &Path) -> anyhow::Result<Queue> {
    let keep = Keep {
        keep: Duration::from_secs(86_400),
        at_most: 1_000_000,
    };
    let options = Options {
        data: data.to_owned(),
        history: keep,
        dead: keep,
        dedupe: keep,
        backlog: 1_000_000,
        free_disk: 0,
    };
    let lane = LaneSpec {
        destination: "ci".into(),
        was: None,
        width: 1,
        loose: false,
        settings: 1,
        longest_wait: Duration::from_secs(600),
    };
    let (clock, _) = Clock::stepped(NOON);
    Queue::open(options, &[lane], clock)
}

/// What does not compress.
fn noise(seed: u64, bytes: u64) -> Bytes {
    let mut dice = Dice::new(seed);
    (0..bytes).map(|_| dice.below(256) as u8).collect()
}

fn planned(n: u64, body: Bytes) -> Planned {
    Planned {
        event: Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: format!("id-{n}").into(),
            received: NOON,
            body,
        },
        facts: Facts::default(),
        deliveries: [PlannedDelivery {
            destination: "ci".into(),
            route: None,
        }]
        .into(),
    }
}

fn delivery(event: u64) -> DeliveryId {
    DeliveryId {
        event: EventId(event),
        destination: "ci".into(),
    }
}

/// The database's file before a commit and after it.
struct Commit {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Commit {
    /// The blocks that it wrote.
    fn blocks(&self) -> Vec<usize> {
        let block = |file: &[u8], at: usize| -> Vec<u8> {
            let block = file.chunks(BLOCK).nth(at).unwrap_or_default();
            [block, &vec![0; BLOCK - block.len()]].concat()
        };
        (0..self.after.len().div_ceil(BLOCK))
            .filter(|at| block(&self.before, *at) != block(&self.after, *at))
            .collect()
    }

    /// The file with these blocks as they were before.
    fn without(&self, lost: &[usize]) -> Vec<u8> {
        let mut file = self.after.clone();
        for at in lost {
            let place = at * BLOCK..file.len().min((at + 1) * BLOCK);
            for at in place {
                file[at] = self.before.get(at).copied().unwrap_or(0);
            }
        }
        let last = self.blocks().into_iter().rfind(|at| !lost.contains(at));
        let end = last.map_or(0, |at| (at + 1) * BLOCK);
        file.truncate(end.max(self.before.len()));
        file
    }

    /// Whether these hold the head of a segment that is used again. Where no whole message of the
    /// new segment is left then, it looks like a damaged old one, and the queue may ask for `salvage`
    /// instead of opening.
    fn may_look_damaged(&self, lost: &[usize]) -> bool {
        lost.iter().any(|block| {
            let place = block * BLOCK;
            place.is_multiple_of(SEGMENT) && place < self.before.len()
        })
    }

    /// The blocks that are lost in one way to be cut: from some block on, or here and there.
    fn cut(&self, dice: &mut Dice) -> Vec<usize> {
        let mut lost = self.blocks();
        if dice.percent(30) {
            lost.drain(..dice.below(lost.len() as u64 + 1) as usize);
        } else {
            let share = *dice.of(&[10, 50, 90]);
            lost.retain(|_| dice.percent(share));
        }
        lost
    }
}

/// What was acknowledged, and what is being done.
struct World {
    folder: TempDir,
    queue: Queue,
    bodies: Vec<Bytes>,
}

impl World {
    /// Appends an event of so many bytes, with a delivery settled in the same commit if told so;
    /// nothing when the writer made two of it.
    async fn commit(&mut self, bytes: u64, settles: bool) -> Option<Commit> {
        let file = self.folder.path().join("queue/db");
        let before = fs::read(&file).unwrap();
        let commits = self.queue.stats().commits;
        if settles && let Next::Lease(lease) = self.queue.next("ci").await.unwrap() {
            self.queue.settle(*lease, Settlement::Delivered, None);
        }
        let n = self.bodies.len() as u64 + 1;
        let body = noise(n, bytes);
        let answer = self.queue.append(planned(n, body.clone()), REPEATS).await;
        assert_eq!(answer.unwrap(), Appended::New(EventId(n)));
        self.bodies.push(body);
        let after = fs::read(&file).unwrap();
        (self.queue.stats().commits == commits + 1).then_some(Commit { before, after })
    }

    /// A data folder with this in place of the database's file, beside a witness of before.
    fn image(&self, witness: &[u8], file: &[u8]) -> TempDir {
        let image = tempfile::tempdir().unwrap();
        let (from, to) = (self.folder.path().join("queue"), image.path().join("queue"));
        fs::create_dir_all(to.join("blobs")).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        fs::write(to.join("witness"), witness).unwrap();
        fs::write(to.join("db"), file).unwrap();
        image
    }

    /// Goes on with what a cut in the last commit left; says whether that commit's event came back.
    async fn came_back(&self, image: &Path, queue: Queue) -> bool {
        let last = self.bodies.len() as u64;
        let came_back = queue.event(EventId(last)).await.unwrap().is_some();
        let known = if came_back { last } else { last - 1 };
        self.holds(&queue, 1..known + 1).await;
        let again = planned(last, self.bodies[last as usize - 1].clone());
        let answer = queue.append(again, REPEATS).await.unwrap();
        let is_repeat =
            matches!(&answer, Appended::Repeats { event: EventId(id), .. } if *id == last);
        assert!(
            is_repeat == came_back && (is_repeat || answer == Appended::New(EventId(last))),
            "{answer:?}"
        );
        queue.close().await;
        let queue = open(image);
        self.holds(&queue, 1..last + 1).await;
        queue.close().await;
        came_back
    }

    /// These events are there as they were sent and nothing else, and what is delivered is what
    /// does not wait.
    async fn holds(&self, queue: &Queue, events: Range<u64>) {
        let mut waiting = 0;
        for id in events.clone() {
            let event = queue.event(EventId(id)).await.unwrap();
            assert_eq!(event.unwrap().body, self.bodies[id as usize - 1], "{id}");
            let delivery = queue.delivery(&delivery(id)).await.unwrap().unwrap();
            waiting += u64::from(delivery.state != State::Delivered);
        }
        assert!(queue.event(EventId(events.end)).await.unwrap().is_none());
        let lanes = queue.lanes();
        assert_eq!(lanes[0].waiting, waiting, "{lanes:?}");
        match queue.next("ci").await.unwrap() {
            Next::Lease(lease) => assert_eq!(lease.id.event.0, events.end - waiting),
            _ => assert_eq!(waiting, 0, "of {events:?}"),
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_cut_anywhere_comes_back_whole_or_not_at_all() {
    let mut dice = Dice::new(number("CUT_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path());
    let mut world = World {
        folder,
        queue,
        bodies: Vec::new(),
    };
    let (mut there, mut gone, mut refused) = (0, 0, 0);
    for _ in 0..number("CUT_COMMITS", 40) {
        let witness = fs::read(world.folder.path().join("queue/witness")).unwrap();
        let bytes = *dice.of(&[200, 3000, 3000, 20_000, 120_000]);
        let settles = world.bodies.len() > 3 && dice.percent(40);
        let Some(commit) = world.commit(bytes, settles).await else {
            continue;
        };
        for _ in 0..number("CUT_WAYS", 5) {
            let lost = commit.cut(&mut dice);
            let image = world.image(&witness, &commit.without(&lost));
            let queue = match try_open(image.path()) {
                Err(error) if commit.may_look_damaged(&lost) => {
                    assert!(
                        format!("{error:#}").contains("gogs-relay salvage"),
                        "{error:#}"
                    );
                    refused += 1;
                    continue;
                }
                queue => queue.unwrap(),
            };
            match world.came_back(image.path(), queue).await {
                true => there += 1,
                false => gone += 1,
            }
        }
    }
    figure!(
        "commits that were cut: {there} came back whole, {gone} not at all, {refused} asked for salvage"
    );
    assert!(there > 0 && gone > 0, "{there} and {gone}");
    world.queue.close().await;
}
