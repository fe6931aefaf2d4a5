//! Every stored form, as the first version wrote it, in `tests/fixtures/stored/`: it must keep
//! decoding to the same. When a form changes, it gets a new version and a new fixture, and the
//! old ones stay.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::delivery::{Reason, State, Trace};
use crate::event::{Event, Facts};
use crate::queue::aside::{Aside, Fate};
use crate::queue::chunk::{self, Damaged, Kind, MAX_VALUE, Of, Packed};
use crate::queue::codes;
use crate::queue::head::{Hashes, Head};
use crate::queue::lane_value::{LaneValue, StoredHead};
use crate::queue::large::Large;
use crate::queue::missing::Missing;
use crate::queue::page::{self, Entry, Planned};
use crate::queue::record::{About, Failing, ParkedNote, Record};
use crate::queue::trail::Trail;
use crate::queue::{Held, LastAttempt};

const NOON: Timestamp = Timestamp(1_780_000_000_000);

/// The fixture's bytes. A new one is written by running the tests with `WRITE_FIXTURES` set.
fn fixture(name: &str, now: &[u8]) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored");
    let path = folder.join(name);
    if std::env::var_os("WRITE_FIXTURES").is_some() && !path.exists() {
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn trace(verdict: &str, status: u16) -> Trace {
    Trace {
        started: NOON,
        duration_ms: 31,
        status: Some(status),
        reason: Reason::ServerError,
        verdict: verdict.into(),
        answer: Bytes::from_static(b"upstream is away"),
        template: "default/slack/push".into(),
        fingerprint: "5f2c".into(),
        fallback: Some("unknown helper".into()),
        sent: None,
    }
}

fn trail() -> Trail {
    let mut trail = Trail::default();
    trail.add(41, 1, &trace("the server said 503", 503));
    trail.add(42, 1, &trace("the server said 503", 503));
    trail.add(43, 1, &trace("the server said 500", 500));
    trail
}

fn record() -> Record {
    Record {
        state: State::Dead,
        reason: Some(Reason::GaveUp),
        round: 2,
        route: Some("releases".into()),
        about: About {
            source: "gogs".into(),
            name: "push".into(),
            repo: Some("orbit/lander".into()),
            summary: "push orbit/lander main by alice".into(),
            received: NOON,
        },
        settled: Some(Timestamp(NOON.0 + 1)),
        not_before: Some(Timestamp(NOON.0 + 2)),
        failing: Some(failing()),
        trail: trail(),
        sent: 3,
    }
}

fn failing() -> Failing {
    Failing {
        since: NOON,
        idle_then: 60_000,
        settings: u64::MAX - 7,
    }
}

fn lane() -> LaneValue {
    LaneValue {
        destination: "team-slack".into(),
        cursor: 1234,
        ahead: 3,
        asides: vec![Aside {
            count: 10,
            ..Aside::new(10, 20, Fate::KeptBack, NOON)
        }],
        settings: u64::MAX - 7,
        failing: Some(failing()),
        idle: 3_600_000,
        orphaned: Some(NOON),
        held: Some((
            Held {
                manual: false,
                reason: Reason::EndpointGone,
                words: "no_service".into(),
                since: NOON,
            },
            Some(60_000),
        )),
        last_error: Some("the server said 500".into()),
        last: Some(LastAttempt {
            status: Some(500),
            reason: Reason::ServerError,
        }),
        head: Some(StoredHead {
            event: 1234,
            not_before: NOON,
            trail: trail(),
        }),
        dead: 5,
        history: 6,
    }
}

fn entries() -> Vec<Entry> {
    let planned = |lane, destination: &str, route: Option<&str>| Planned {
        lane,
        destination: destination.into(),
        route: route.map(Into::into),
    };
    let both: Arc<[Planned]> = [
        planned(1, "team-slack", Some("releases")),
        planned(9, "ci", None),
    ]
    .into();
    let entry = |n: u32, plan: Arc<[Planned]>| Entry {
        event: Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: format!("0b3c-{n}").into(),
            received: Timestamp(NOON.0 + i64::from(n)),
            body: Bytes::from(format!("{{\"n\":{n}}}")),
        },
        facts: Arc::new(Facts {
            action: Some("published".into()),
            repo: Some("orbit/lander".into()),
            branch: Some("main".into()),
            tag: Some("v1".into()),
            sender: Some("alice".into()),
            is_test: true,
            private: None,
        }),
        plan,
    };
    vec![entry(1, both.clone()), entry(2, [].into()), entry(3, both)]
}

fn head() -> Head {
    let mut head = Head::new(77);
    for entry in entries() {
        assert!(head.add(&entry, Hashes::of(&entry.event)));
    }
    head.chunks = 4;
    head
}

#[test]
fn ranges_of_missing_events_of_the_first_version_decode() {
    let missing = Missing {
        first: 12,
        last: 40,
        after: Some(NOON),
        before: None,
        found: Timestamp(NOON.0 + 1),
    };
    let stored = fixture("missing-1", &missing.encode());
    assert_eq!(Missing::decode(12, &stored), Ok(missing));
    assert_eq!(Missing::decode(41, &stored), Err(Damaged));
    assert_eq!(
        missing.to_string(),
        "29 events, 12 to 40, received after 2026-05-28T20:26:40.000Z"
    );
}

fn same_entries(one: &[Entry], other: &[Entry]) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert_eq!(
            (&one.event, &one.facts, &one.plan),
            (&other.event, &other.facts, &other.plan)
        );
    }
}

#[test]
fn records_of_the_first_version_decode() {
    let stored = fixture("record-1", &record().encode());
    assert_eq!(Record::decode(&stored), Ok(record()));
}

#[test]
fn records_tell_the_round_of_each_attempt() {
    let mut again = record();
    again.trail = again.trail.next_round();
    again.trail.add(44, 2, &trace("the server said 500", 500));
    let stored = fixture("record-2", &again.encode());
    assert_eq!(Record::decode(&stored), Ok(again.clone()));
}

#[test]
fn parked_notes_of_the_first_version_decode() {
    let note = ParkedNote {
        tries: 3,
        answered: 2,
        round: 1,
        not_before: NOON,
        failing: Some(failing()),
    };
    let stored = fixture("parked-1", &note.encode());
    assert_eq!(ParkedNote::decode(&stored), Ok(note));
}

#[test]
fn lanes_of_every_version_decode() {
    let stored = fixture("lane-4", &lane().encode());
    assert_eq!(LaneValue::decode(&stored), Ok(lane()));
    let mut older = lane();
    older.last = None;
    for name in ["lane-3", "lane-2"] {
        let stored = fixture(name, &[]);
        assert_eq!(LaneValue::decode(&stored), Ok(older.clone()), "{name}");
    }
    older.orphaned = None;
    assert_eq!(LaneValue::decode(&fixture("lane-1", &[])), Ok(older));
}

#[test]
fn heads_and_stubs_of_the_first_version_decode() {
    let stored = fixture("head-1", &head().encode());
    assert_eq!(Head::decode(77, &stored), Ok(head()));
    let stored = fixture("stub-1", &head().stub().encode());
    let stub = Head::decode(77, &stored).unwrap();
    assert_eq!(stub, head().stub());
    assert!(stub.is_stub() && !head().is_stub());
    assert!(head().goes_to(77, 9) && !head().goes_to(78, 9) && !stub.goes_to(77, 9));
}

#[test]
fn pages_and_chunks_of_the_first_version_decode() {
    let of = Of {
        kind: Kind::Page,
        sequence: 77,
        lane: 0,
    };
    let packed = Packed::pack(&page::encode(&entries()));
    let (_, chunk) = packed.split(of).next().unwrap();
    let stored = fixture("page-chunk-1", &chunk);
    let raw = chunk::join::<_, Damaged>(of, |_| Ok(Some(&stored)));
    same_entries(
        &page::decode(77, &raw.unwrap().unwrap()).unwrap().entries,
        &entries(),
    );
}

#[test]
fn chunks_of_blocks_decode() {
    let of = Of {
        kind: Kind::Copy,
        sequence: 77,
        lane: 0,
    };
    let raw = Bytes::from(page::encode(&entries()));
    let large = Large::new([raw.slice(..10), raw.slice(10..)]);
    let packed = Packed::Blocks(large);
    let (_, chunk) = packed.split(of).next().unwrap();
    let stored = fixture("block-chunk-2", &chunk);
    let joined = chunk::join::<_, Damaged>(of, |_| Ok(Some(&stored)));
    assert_eq!(joined, Ok(Some(raw)));
}

#[test]
fn every_reason_and_state_has_its_own_number() {
    for code in 1..=23 {
        assert_eq!(codes::of_reason(codes::reason(code)), code);
    }
    for code in 1..=6 {
        assert_eq!(codes::of_state(codes::state(code).unwrap()), code);
    }
    assert_eq!(codes::state(7), None);
}

#[test]
fn events_are_the_same_to_every_version() {
    // Stored hashes outlive the process that made them.
    let hashes = Hashes::of(&entries()[0].event);
    let stored = fixture(
        "hashes-1",
        &[hashes.id.to_be_bytes(), hashes.body.to_be_bytes()].concat(),
    );
    assert_eq!(
        stored,
        [hashes.id.to_be_bytes(), hashes.body.to_be_bytes()].concat()
    );
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        version in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if version && !bytes.is_empty() {
            bytes[0] = 1;
        }
        drop(Record::decode(&bytes));
        ParkedNote::decode(&bytes).ok();
        drop(LaneValue::decode(&bytes));
        Missing::decode(1, &bytes).ok();
        if let Ok(head) = Head::decode(1, &bytes) {
            head.lanes().take(1000).for_each(drop);
            drop(head.encode());
        }
        drop(page::decode(1, &bytes.into()));
    }

    #[test]
    fn a_cut_or_changed_page_never_panics(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut raw = page::encode(&entries());
        let place = at.index(raw.len());
        raw[place] = with;
        drop(page::decode(1, &raw.clone().into()));
        raw.truncate(place);
        prop_assert!(page::decode(1, &raw.into()).is_err());
    }

    #[test]
    fn no_value_grows_too_large(
        verdicts in prop::collection::vec("\\PC{0,400}", 0..40),
        answer in prop::collection::vec(any::<u8>(), 0..5000),
        text in "\\PC{0,3000}",
    ) {
        let mut trail = Trail::default();
        for (id, verdict) in (0..).zip(&verdicts) {
            let answer = Bytes::from(answer.clone());
            trail.add(id, 1, &Trace { answer, ..trace(verdict, 404) });
        }
        prop_assert!(trail.attempts.len() <= 16);
        let counted: u32 = trail.attempts.iter().map(|attempt| attempt.count).sum();
        prop_assert_eq!(counted as usize, verdicts.len());
        prop_assert_eq!(trail.answered as usize, verdicts.len());
        let mut entry = entries().remove(0);
        entry.facts = Arc::new(Facts { repo: Some(text.clone()), ..Facts::default() });
        let record = Record {
            trail: trail.clone(),
            ..Record::waiting(About::new(&entry), Some(text.as_str().into()), 1)
        };
        let stored = record.encode();
        prop_assert!(stored.len() <= MAX_VALUE);
        let read = Record::decode(&stored).unwrap();
        prop_assert_eq!((read.trail.tries, read.state), (record.trail.tries, record.state));
        let mut value = lane();
        value.last_error = Some(text.clone());
        value.head = value.head.map(|head| StoredHead { trail, ..head });
        value.held = value.held.map(|(held, probe)| (Held { words: text, ..held }, probe));
        let stored = value.encode();
        prop_assert!(stored.len() <= MAX_VALUE);
        prop_assert!(LaneValue::decode(&stored).is_ok());
    }

    #[test]
    fn a_head_takes_events_until_it_is_full_and_comes_back_as_it_was(
        plans in prop::collection::vec(prop::collection::btree_set(1..200u32, 0..12), 1..260),
    ) {
        let mut head = Head::new(5);
        let mut taken = Vec::new();
        for (n, lanes) in (0u32..).zip(&plans) {
            let mut entry = entries().remove(0);
            entry.event.delivery_id = n.to_string().into();
            entry.plan = lanes.iter().map(|lane| Planned {
                lane: *lane,
                destination: "x".into(),
                route: None,
            }).collect();
            if !head.add(&entry, Hashes::of(&entry.event)) {
                break;
            }
            taken.push(lanes);
        }
        let stored = head.encode();
        prop_assert!(stored.len() <= MAX_VALUE && !taken.is_empty());
        let read = Head::decode(5, &stored).unwrap();
        prop_assert_eq!(&read, &head);
        let goes: Vec<(u64, u32)> = read.lanes().collect();
        let wants = (5u64..).zip(taken).flat_map(|(n, lanes)| lanes.iter().map(move |lane| (n, *lane)));
        prop_assert_eq!(goes, wants.collect::<Vec<_>>());
    }
}
