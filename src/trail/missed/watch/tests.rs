//! What is said to be missing, over the recordings and over pushes made up for it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{push, stored};
use super::*;
use crate::event::Event;

const NOON: Timestamp = Timestamp(1_780_000_000_000);

/// What is recorded of branches, in order: the numbers of the recordings, and the events.
fn recorded() -> Vec<(u32, Happened)> {
    let happened = files().into_iter().filter_map(|(number, file)| {
        let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let hooks = [
            "gogs.json",
            "gogs-nosecret.json",
            "repo-gogs.json",
            "before.json",
        ];
        let body = hooks
            .iter()
            .find_map(|hook| recorded["deliveries"][hook]["body"].as_str())?;
        Some((number, event(recorded["event"].as_str()?, body)?))
    });
    happened.collect()
}

/// All recordings, whatever they are about, by number.
fn files() -> BTreeMap<u32, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path()).filter_map(|file| {
        let number = file.file_name()?.to_str()?.get(..3)?.parse().ok()?;
        Some((number, file))
    });
    files.collect()
}

fn event(name: &str, body: &str) -> Option<Happened> {
    let event = Event {
        source: "gogs".into(),
        name: name.into(),
        delivery_id: "id".into(),
        received: NOON,
        body: body.as_bytes().to_vec().into(),
    };
    push::read(&event).unwrap()
}

/// All that is missed by who sees these, by the numbers of the pushes that told of it.
fn missed<'a>(all: impl Iterator<Item = &'a (u32, Happened)>) -> BTreeMap<u32, Gap> {
    let mut watch = Watch::default();
    let mut numbers = Vec::new();
    for (event, (number, happened)) in (1..).zip(all) {
        numbers.push(*number);
        watch.see(event, happened, NOON);
    }
    reported(&mut watch)
        .into_iter()
        .map(|gap| (numbers[gap.event.0 as usize - 1], gap))
        .collect()
}

fn reported(watch: &mut Watch) -> Vec<Gap> {
    let news = watch.news(NOON.plus(WAIT));
    let gaps = news.into_iter().map(|news| match news {
        News::Missed(gap) => gap,
        News::Came(gap) => panic!("{gap:?}"),
    });
    gaps.collect()
}

fn pushes(all: &[(u32, Happened)]) -> impl Iterator<Item = (usize, u64, &Push)> {
    all.iter()
        .enumerate()
        .filter_map(|(at, (_, happened))| match &happened.what {
            What::Push(push) => Some((at, happened.place.key, push)),
            _ => None,
        })
}

#[test]
fn what_is_missed_in_the_recordings_is_not_in_them() {
    let all = recorded();
    let missed = missed(all.iter());
    let told: Vec<u32> = missed.keys().copied().collect();
    assert_eq!(
        told,
        [8, 11, 14, 17, 20, 23, 26, 34, 64, 71, 76, 78, 116, 123, 175]
    );
    for (number, gap) in missed {
        let leads_there = pushes(&all).any(|(_, key, push)| key == gap.key && push.after == gap.to);
        assert!(!leads_there, "{number}: {}", gap.link());
        // Recordings were left out since the one before, and their numbers with them.
        let mut before = all.iter().rev().filter(|(_, one)| one.place.key == gap.key);
        let (before, _) = before.find(|(other, _)| *other < number).unwrap();
        assert!(
            (before + 1..number).any(|other| !files().contains_key(&other)),
            "{number}"
        );
    }
}

#[test]
fn every_recorded_push_is_missed_when_it_is_left_out() {
    let all = recorded();
    let (mut found, mut unknowable) = (0, Vec::new());
    for (at, key, left_out) in pushes(&all) {
        let others = || {
            all.iter()
                .enumerate()
                .filter(|(n, _)| *n != at)
                .map(|(_, one)| one)
        };
        let next = pushes(&all).find(|(n, of, _)| *n > at && *of == key);
        let Some((next_at, _, next)) = next else {
            continue;
        };
        let is_first = !all[..at].iter().any(|(_, one)| one.place.key == key);
        if is_first || next.is_merge || next.before.is_none() {
            unknowable.push(all[at].0);
            continue;
        }
        let missed = missed(others());
        // What leads to the next may be left out of the recordings as well.
        let gap = &missed[&all[next_at].0];
        let is_one = next.before == Some(left_out.after);
        assert_eq!(gap.to == left_out.after, is_one, "{}", all[at].0);
        found += 1;
    }
    // What is merged next, and first pushes of branches of which nothing else is recorded.
    assert_eq!(unknowable, [31, 128, 140, 183, 188, 212, 232]);
    assert_eq!(found, 30);
}

#[test]
fn pushes_that_overtake_each_other_or_come_again_raise_no_alarm() {
    let all = recorded();
    let expected = missed(all.iter());
    let mut watch = Watch::default();
    let mut event = 0;
    let mut see = |watch: &mut Watch, happened: &Happened| {
        event += 1;
        watch.see(event, happened, NOON);
    };
    // In pairs, the later one first; and then all of them once more.
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.chunks_mut(2).for_each(<[usize]>::reverse);
    for at in order.iter().copied().chain(0..all.len()) {
        see(&mut watch, &all[at].1);
    }
    let missed: BTreeSet<Commit> = reported(&mut watch).iter().map(|gap| gap.to).collect();
    let known: BTreeSet<Commit> = expected.values().map(|gap| gap.to).collect();
    let new: Vec<String> = missed.difference(&known).map(hex::encode).collect();
    assert_eq!(new, Vec::<String>::new());
}

/// A push of `main` from one commit to another; 0 is none.
fn step(before: u8, after: u8, second: u8) -> Happened {
    let name = |commit: u8| format!("{commit:02x}").repeat(20);
    let body = format!(
        r#"{{"ref":"refs/heads/main","before":"{}","after":"{}","compare_url":"",
        "repository":{{"id":1,"full_name":"orbit/lander","updated_at":
        "2026-11-21T10:00:{second:02}Z","html_url":"http://gogs/orbit/lander"}}}}"#,
        name(before),
        name(after)
    );
    event("push", &body).unwrap()
}

#[test]
fn a_missing_push_is_reported_in_its_time_and_settled_when_it_comes() {
    let mut watch = Watch::default();
    watch.see(1, &step(0, 1, 1), NOON);
    watch.see(2, &step(3, 4, 4), NOON);
    assert_eq!(watch.news(NOON.plus(WAIT / 2)), []);
    // One more is missing before the one that comes.
    watch.see(3, &step(2, 3, 3), NOON);
    let news = watch.news(NOON.plus(WAIT));
    let [News::Missed(gap)] = &news[..] else {
        panic!("{news:?}")
    };
    let (from, to) = ("01".repeat(20), "02".repeat(20));
    assert_eq!(
        gap.link(),
        format!("http://gogs/orbit/lander/compare/{from}...{to}")
    );
    assert_eq!(watch.missed().count(), 1);
    watch.see(4, &step(1, 2, 2), NOON);
    let news = watch.news(NOON.plus(WAIT));
    assert!(matches!(&news[..], [News::Came(_)]), "{news:?}");
    assert_eq!(watch.missed().count(), 0);
    // A rewind, and on from there.
    watch.see(5, &step(4, 1, 5), NOON);
    watch.see(6, &step(1, 7, 6), NOON);
    assert_eq!(watch.news(NOON.plus(WAIT)), []);
}

#[test]
fn a_state_older_than_the_log_catches_up_without_an_alarm() {
    let mut watch = Watch::default();
    let steps: Vec<Happened> = (1..40).map(|n| step(n - 1, n, n)).collect();
    let mut stored = BTreeMap::new();
    for (event, step) in (1..).zip(&steps) {
        watch.see(event, step, NOON);
        let next = EventId(event + 1);
        let parts = stored::write(&mut watch, next);
        for note in parts.into_iter().flatten() {
            // The place in the log was stored last before a crash.
            if !note.name.ends_with("next") || event < 5 {
                stored.insert(note.name, note.value.unwrap());
            }
        }
    }
    let notes: Vec<(String, Vec<u8>)> = stored.into_iter().collect();
    let (mut watch, next) = stored::read(&notes);
    assert_eq!(next, Some(EventId(5)));
    for (event, step) in (1..).zip(&steps).skip(4) {
        watch.see(event, step, NOON);
    }
    assert_eq!(watch.news(NOON.plus(WAIT)), []);
    watch.see(99, &step(77, 78, 50), NOON);
    assert_eq!(reported(&mut watch).len(), 1);
}

#[test]
fn the_branches_that_were_pushed_to_last_are_remembered() {
    let mut watch = Watch::default();
    for key in 0..BRANCHES as u64 + 10 {
        let mut step = step(0, 1, 1);
        step.place.key = key;
        watch.see(key + 1, &step, NOON);
    }
    assert_eq!(watch.branches.len(), BRANCHES);
    assert!(!watch.branches.contains_key(&9) && watch.branches.contains_key(&10));
    assert_eq!(watch.by_event.len(), BRANCHES);
    // Of one that was forgotten nothing is said.
    let mut step = step(5, 6, 9);
    step.place.key = 9;
    watch.see(u64::MAX, &step, NOON);
    assert_eq!(reported(&mut watch), []);
}
