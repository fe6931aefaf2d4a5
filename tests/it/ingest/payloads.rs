//! What is read out of payloads: the recorded ones, those of older versions, and odd ones.

use bytes::Bytes;
use gogs_relay::clock::Timestamp;
use gogs_relay::destination::ContentType;
use gogs_relay::event::{Event, Facts};
use gogs_relay::ingest::decode::decode;
use gogs_relay::ingest::form::Payload;
use gogs_relay::ingest::payload::{self, NotAnEvent};
use gogs_relay::ingest::verify::{Gate, Unverified, Verified};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::wire::{SECRET, source};
use crate::corpus::{self, Delivered, Recorded};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::try_from(*name).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn verify(gate: &Gate, headers: &HeaderMap, raw: &str) -> Verified {
    let raw = Bytes::copy_from_slice(raw.as_bytes());
    let (content_type, json) = match headers["content-type"].to_str().unwrap() {
        "application/json" => (ContentType::Json, raw.clone()),
        _ => (ContentType::Form, Payload::find(&raw).unwrap().decode()),
    };
    gate.verify(&Unverified {
        headers,
        content_type,
        raw,
        json,
    })
    .unwrap()
}

fn decode_recorded(gate: &Gate, delivered: &Delivered) -> (Event, Facts) {
    let pairs = delivered
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = headers(&pairs.collect::<Vec<_>>());
    decode(
        verify(gate, &headers, &delivered.body),
        &headers,
        Timestamp(7),
    )
    .unwrap()
}

fn is_gogs(hook: &str) -> bool {
    !["slack", "discord", "dingtalk"]
        .iter()
        .any(|chat| hook.contains(chat))
}

#[test]
fn every_recorded_delivery_is_verified_and_decoded() {
    let (signed, open) = (
        Gate::new("gogs".into(), &source(&[SECRET])),
        Gate::new("open".into(), &source(&[])),
    );
    let (mut with_secret, mut without) = (0, 0);
    for Recorded {
        event,
        action,
        deliveries,
        file,
        ..
    } in corpus::all()
    {
        let mut texts = Vec::new();
        for (hook, delivered) in deliveries.iter().filter(|(hook, _)| is_gogs(hook)) {
            let is_signed = delivered.header("X-Gogs-Signature") != Some("");
            let gate = if is_signed { &signed } else { &open };
            *(if is_signed {
                &mut with_secret
            } else {
                &mut without
            }) += 1;
            let (read, facts) = decode_recorded(gate, delivered);
            assert_eq!(*read.name, *event, "{file} {hook}");
            assert_eq!(
                facts.action,
                action.clone().filter(|_| facts.action.is_some()),
                "{file} {hook}"
            );
            assert_eq!(
                Some(&*read.delivery_id),
                delivered.header("X-Gogs-Delivery")
            );
            assert!(
                facts.repo.is_some_and(|repo| repo.contains('/')),
                "{file} {hook}"
            );
            assert!(facts.sender.is_some(), "{file} {hook}");
            assert_eq!(facts.is_test, file.contains("test-delivery"), "{file}");
            texts.push(read.body);
        }
        if !file.contains("odd") {
            assert!(
                texts.windows(2).all(|pair| pair[0] == pair[1]),
                "{file}: JSON and form differ"
            );
        }
    }
    println!("{with_secret} signed and {without} unsigned recorded deliveries decoded");
    assert!(with_secret > 300 && without > 300);
}

/// The facts of the recording whose file begins with this number.
fn recorded(number: &str) -> Facts {
    let recorded = corpus::all()
        .into_iter()
        .find(|it| it.file.starts_with(number))
        .unwrap();
    let (_, delivered) = recorded
        .deliveries
        .iter()
        .find(|(hook, _)| is_gogs(hook))
        .unwrap();
    decode_recorded(&Gate::new("open".into(), &source(&[])), delivered).1
}

/// Facts from their parts: action, repository, branch, tag, sender.
fn facts(parts: [&str; 5]) -> Facts {
    let part = |at: usize| Some(parts[at].to_owned()).filter(|part| !part.is_empty());
    Facts {
        action: part(0),
        repo: part(1),
        branch: part(2),
        tag: part(3),
        sender: part(4),
        is_test: false,
        private: None,
    }
}

#[test]
fn each_recorded_event_says_what_routes_ask_for() {
    for (number, parts) in [
        ("005", ["", "orbit/lander", "main", "", "alice"]),
        (
            "038",
            ["", "orbit/lander", "fix/a#b-ブランチ-ü", "", "alice"],
        ),
        ("047", ["", "orbit/lander", "🚀", "", "alice"]),
        ("061", ["", "orbit/lander", "", "v0.1.0", "alice"]),
        ("063", ["", "orbit/lander", "", "rel/v1#β<x>&\"y", "alice"]),
        ("066", ["", "orbit/lander", "", "v0.1.0", "alice"]),
        (
            "068",
            ["", "orbit/lander", "refs/notes/commits", "", "alice"],
        ),
        (
            "069",
            ["", "orbit/lander", "refs/notes/commits", "", "alice"],
        ),
        ("082", ["opened", "orbit/lander", "", "", "alice"]),
        ("108", ["created", "orbit/lander", "", "", "alice"]),
        ("138", ["", "orbit/lander", "", "", "bob"]),
        ("147", ["opened", "orbit/lander", "main", "", "alice"]),
        (
            "196",
            ["published", "orbit/lander", "main", "v1.0.0", "alice"],
        ),
        (
            "200",
            ["published", "orbit/lander", "other", "rel/2#1", "alice"],
        ),
        ("229", ["", "alice/source-mirror", "main", "", "alice"]),
        (
            "230",
            ["", "alice/source-mirror", "new-branch", "", "alice"],
        ),
        ("239", ["opened", "alice/odd", "", "", "temp"]),
    ] {
        let wanted = Facts {
            private: Some(false),
            ..facts(parts)
        };
        assert_eq!(recorded(number), wanted, "{number}");
    }
    assert!(recorded("001").is_test);
}

/// Reads a payload as the event `name` and compares its name and facts.
fn check(name: &str, json: &str, as_event: &str, parts: [&str; 5]) {
    let read = payload::read(name, json.as_bytes()).unwrap();
    assert_eq!((read.name, read.facts), (as_event, facts(parts)), "{json}");
}

#[test]
fn whether_a_repository_is_private_is_known_only_where_a_payload_says_so() {
    for (says, private) in [
        (r#""private":true,"full_name":"a/b""#, Some(true)),
        (
            r#""full_name":"a/b","owner":{"private":true},"private":false"#,
            Some(false),
        ),
        (r#""full_name":"a/b","private":"false""#, None),
        (r#""full_name":"a/b","private":null"#, None),
        (
            r#""full_name":"a/b","description":"\"private\":false""#,
            None,
        ),
    ] {
        let json = format!(r#"{{"repository":{{{says}}}}}"#);
        let read = payload::read("push", json.as_bytes()).unwrap();
        assert_eq!(read.facts.private, private, "{json}");
    }
}

#[test]
fn payloads_of_older_versions_are_read() {
    // 0.9.71: every event is a push, repositories have no full name.
    let repository =
        r#""repository":{"name":"lander","owner":{"name":"Orbit","email":"","username":"orbit"}}"#;
    let ancient = format!(
        r#"{{"secret":"","ref":"v1","ref_type":"tag",{repository},"sender":{{"login":"mira","id":3}}}}"#
    );
    check(
        "push",
        &ancient,
        "create",
        ["", "orbit/lander", "", "v1", "mira"],
    );
    let push = format!(
        r#"{{"ref":"refs/heads/x/y","commits":[],{repository},"pusher":{{"name":"Mira","username":"mira"}}}}"#
    );
    check(
        "push",
        &push,
        "push",
        ["", "orbit/lander", "x/y", "", "mira"],
    );
    check(
        "push",
        r#"{"ref":"refs/tags/v1","commits":[]}"#,
        "push",
        ["", "", "", "v1", ""],
    );
    let mirrored_tag =
        r#"{"ref":"v2","before":"","after":"","compare_url":"http://x/compare/...","commits":[]}"#;
    check("push", mirrored_tag, "push", ["", "", "", "v2", ""]);
    check(
        "push",
        r#"{"ref":"v2","before":"a","after":"a","commits":[]}"#,
        "push",
        ["", "", "v2", "", ""],
    );
    check(
        "create",
        r#"{"ref":"refs/tags/v3"}"#,
        "create",
        ["", "", "", "v3", ""],
    );
    check(
        "delete",
        r#"{"ref":"x","ref_type":"branch"}"#,
        "delete",
        ["", "", "x", "", ""],
    );
}

#[test]
fn a_field_of_another_type_is_absent() {
    for odd in [
        "null",
        "7",
        "[]",
        "{}",
        "true",
        "\"\"",
        "[{\"username\":\"x\"}]",
        "1e999",
    ] {
        let members = [
            "action",
            "ref",
            "ref_type",
            "before",
            "after",
            "compare_url",
            "commits",
            "repository",
            "sender",
            "pusher",
            "pull_request",
            "release",
            "unheard_of",
        ];
        let json = members.map(|name| format!("\"{name}\":{odd}")).join(",");
        for name in [
            "push",
            "create",
            "delete",
            "pull_request",
            "release",
            "issues",
            "unheard_of",
        ] {
            check(name, &format!("{{{json}}}"), name, [""; 5]);
        }
    }
    let nested = r#"{"repository":{"full_name":1,"name":"n","owner":{"username":null,"login":"o"}},"sender":{"username":[]}}"#;
    check("issues", nested, "issues", ["", "o/n", "", "", ""]);
    check(
        "push",
        r#"{"ref":"old","ref":"refs/heads/\ud800é\u00e9","commits":[]}"#,
        "push",
        ["", "", "\u{fffd}\u{fffd}\u{fffd}éé", "", ""],
    );
}

#[test]
fn only_a_test_delivery_is_called_one() {
    let test = r#"{"ref":"refs/heads/main","before":"a","after":"a","compare_url":"","commits":[{"timestamp":"0001-01-01T00:00:00Z"}]}"#;
    let is_test = |json: &str| {
        payload::read("push", json.as_bytes())
            .unwrap()
            .facts
            .is_test
    };
    assert!(is_test(test));
    for (part, other) in [
        (r#""before":"a""#, r#""before":"b""#),
        (r#""before":"a","after":"a""#, r#""before":"","after":"""#),
        (r#""compare_url":"""#, r#""compare_url":"http://x""#),
        ("0001-01-01", "2024-01-01"),
        ("[{", "[{},{"),
        (r#"[{"timestamp":"0001-01-01T00:00:00Z"}]"#, "[]"),
    ] {
        assert!(
            test.contains(part) && !is_test(&test.replace(part, other)),
            "{other}"
        );
    }
    assert!(
        !payload::read("create", test.as_bytes())
            .unwrap()
            .facts
            .is_test
    );
}

#[test]
fn names_and_ids_come_from_either_family_of_headers_and_are_sane() {
    let gate = Gate::new("open".into(), &source(&[]));
    let read = |pairs: &[(&str, &str)]| {
        let headers = headers(&[pairs, &[("content-type", "application/json")]].concat());
        let (event, _) = decode(verify(&gate, &headers, "{}"), &headers, Timestamp(7)).unwrap();
        (event.name.to_string(), event.delivery_id.to_string())
    };
    let both = [
        ("X-Gogs-Event", "push"),
        ("X-GitHub-Event", "fork"),
        ("X-Gogs-Delivery", "1"),
        ("X-GitHub-Delivery", "2"),
    ];
    assert_eq!(read(&both), ("push".into(), "1".into()));
    assert_eq!(
        read(&[
            ("X-Gogs-Event", ""),
            both[1],
            ("X-Gogs-Delivery", " "),
            both[3]
        ]),
        ("fork".into(), "2".into())
    );
    let longest = "i".repeat(200);
    assert_eq!(read(&[("X-Gogs-Delivery", &longest)]).1, longest);
    for name in ["Push", "a-b", "../x", &"a".repeat(41), "pü"] {
        assert_eq!(read(&[("X-Gogs-Event", name)]).0, "unknown", "{name}");
    }
    for id in ["", "two words", "é", &"i".repeat(201)] {
        let made = read(&[("X-Gogs-Delivery", id)]).1;
        assert!(uuid::Uuid::parse_str(&made).is_ok(), "{id}: {made}");
    }
}

#[test]
fn a_secret_in_the_body_proves_itself_and_is_not_kept() {
    let mut ancient = source(&["other", SECRET]);
    ancient.body_secret = true;
    let gate = Gate::new("ancient".into(), &ancient);
    let json =
        format!("{{\n  \"secret\": \"{SECRET}\",\n  \"ref\": \"v1\",\n  \"ref_type\": \"tag\"\n}}");
    let plain = headers(&[
        ("content-type", "application/json"),
        ("x-gogs-event", "push"),
    ]);
    let (event, facts) = decode(verify(&gate, &plain, &json), &plain, Timestamp(7)).unwrap();
    assert_eq!(
        event.body,
        "{\n  \"ref\": \"v1\",\n  \"ref_type\": \"tag\"\n}"
    );
    assert_eq!((&*event.name, facts.tag.as_deref()), ("create", Some("v1")));
    assert!(!format!("{gate:?} {ancient:?}").contains(SECRET));
}

/// Any JSON, with the names that are looked for.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let names = "(ref|ref_type|action|commits|repository|owner|name|full_name|sender|username|before|after|timestamp|release|pull_request|msgtype|embeds|[a-z]{0,3})";
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "(refs/heads/|refs/tags/|)[a-z]{0,3}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(names, inner, 0..8)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_object_is_an_event_unless_it_is_for_a_chat(value in json(), name in "(push|create|release|x)") {
        let text = serde_json::to_vec(&value).unwrap();
        match payload::read(&name, &text) {
            Ok(_) => prop_assert!(value.is_object()),
            Err(NotAnEvent::ForChat(_)) => prop_assert!(value.get("repository").is_none()),
            Err(error) => prop_assert!(!value.is_object() && error == NotAnEvent::NotAnObject, "{error}"),
        }
    }

    #[test]
    fn any_bytes_are_read_as_serde_json_reads_them(bytes: Vec<u8>, text in r#"[\[\]{}:,"\\u0-9a-f ]{0,40}"#) {
        for json in [&bytes[..], text.as_bytes()] {
            if payload::read("push", json).is_ok() {
                prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok());
            } else if let Ok(value) = serde_json::from_slice::<serde_json::Value>(json) {
                prop_assert!(!value.is_object());
            }
        }
    }
}
