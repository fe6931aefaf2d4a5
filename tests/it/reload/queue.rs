//! What the queue has on disk when it goes by new settings.

use std::path::Path;
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::event::{Event, Facts};
use gogs_relay::queue::{
    Changes, Keep, LaneSpec, Options, Planned, PlannedDelivery, Queue, Redelivery, Repeats,
};

const KEEP: Keep = Keep {
    keep: Duration::from_secs(86_400),
    at_most: 1000,
};

fn options(data: &Path) -> Options {
    Options {
        data: data.to_owned(),
        history: KEEP,
        dead: KEEP,
        dedupe: KEEP,
        backlog: 1000,
        free_disk: 0,
    }
}

fn lane(name: &str, was: Option<&str>) -> LaneSpec {
    LaneSpec {
        destination: name.into(),
        was: was.map(Into::into),
        width: 1,
        loose: false,
        settings: 1,
        longest_wait: Duration::from_secs(600),
    }
}

async fn append(queue: &Queue, to: &str) {
    let event = Event {
        source: "gogs".into(),
        name: "push".into(),
        delivery_id: uuid::Uuid::new_v4().to_string().into(),
        received: Clock::system().now(),
        body: "{}".into(),
    };
    let planned = Planned {
        event,
        facts: Facts::default(),
        deliveries: [PlannedDelivery {
            destination: to.into(),
            route: None,
        }]
        .into(),
    };
    let repeats = Repeats {
        redelivery: Redelivery::None,
        same_body: None,
    };
    queue.append(planned, repeats).await.unwrap();
}

/// What a crash at this moment would leave.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// What waits in each lane that is listed after a crash, when relay.yaml names none of them.
fn after_a_crash(image: &Path) -> Vec<(String, u64)> {
    let queue = Queue::open(options(image), &[], Clock::system()).unwrap();
    let lanes = queue.lanes().into_iter();
    lanes
        .map(|lane| (lane.destination.to_string(), lane.waiting))
        .collect()
}

#[tokio::test]
async fn a_lane_has_its_new_name_on_disk_before_anything_goes_by_it() {
    let (data, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lanes = [lane("old", None)];
    let queue = Queue::open(options(data.path()), &lanes, Clock::system()).unwrap();
    append(&queue, "old").await;
    let changes = Changes {
        lanes: &[lane("new", Some("old")), lane("fresh", None)],
        history: KEEP,
        dead: KEEP,
    };
    let adopt = || copy(data.path(), image.path());
    queue.configure(changes, adopt).await.unwrap();
    append(&queue, "fresh").await;
    assert_eq!(after_a_crash(image.path()), [("new".to_owned(), 1)]);

    let image = tempfile::tempdir().unwrap();
    copy(data.path(), image.path());
    let both = [("fresh".to_owned(), 1), ("new".to_owned(), 1)];
    assert_eq!(after_a_crash(image.path()), both, "a new lane as well");
    queue.close().await;
}

#[tokio::test]
async fn a_shorter_history_is_pruned_without_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let lanes = [lane("ci", None)];
    let queue = Queue::open(options(data.path()), &lanes, Clock::system()).unwrap();
    for _ in 0..20 {
        append(&queue, "ci").await;
        let gogs_relay::queue::Next::Lease(lease) = queue.next("ci").await.unwrap() else {
            panic!("no lease");
        };
        queue.settle(*lease, gogs_relay::queue::Settlement::Delivered, None);
    }
    let changes = Changes {
        lanes: &lanes,
        history: Keep { at_most: 5, ..KEEP },
        dead: KEEP,
    };
    queue.configure(changes, || {}).await.unwrap();
    while queue.stats().records > 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(queue.stats().records, 5);
    queue.close().await;
}
