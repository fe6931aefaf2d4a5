//! What is read out of payloads: the recorded ones, those of older versions, and odd ones.

use bytes::Bytes;
use gogs_relay::clock::Timestamp;
use gogs_relay::destination::ContentType;
use gogs_relay::event::{Event, Facts};
use gogs_relay::ingest::decode::decode;
use gogs_relay::ingest::form::Payload;
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
    gate.verify(&Unverified { headers, content_type, raw, json }).unwrap()
}

fn decode_recorded(gate: &Gate, delivered: &Delivered) -> (Event, Facts) {
    let pairs = delivered.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = headers(&pairs.collect::<Vec<_>>());
    decode(verify(gate, &headers, &delivered.body), &headers, Timestamp(7)).unwrap()
}

fn is_gogs(hook: &str) -> bool {
    !["slack", "discord", "dingtalk"].iter().any(|chat| hook.contains(chat))
}

#[test]
fn every_recorded_delivery_is_verified_and_decoded() {
    let (signed, open) = (Gate::new("gogs".into(), &source(&[SECRET])), Gate::new("open".into(), &source(&[])));
    let (mut with_secret, mut without) = (0, 0);
    for Recorded { event, action, deliveries, file, .. } in corpus::all() {
        let mut texts = Vec::new();
        for (hook, delivered) in deliveries.iter().filter(|(hook, _)| is_gogs(hook)) {
            let is_signed = delivered.header("X-Gogs-Signature") != Some("");
            let gate = if is_signed { &signed } else { &open };
            *(if is_signed { &mut with_secret } else { &mut without }) += 1;
            let (read, facts) = decode_recorded(gate, delivered);
            assert_eq!(*read.name, *event, "{file} {hook}");
            assert_eq!(facts.action, action.clone().filter(|_| facts.action.is_some()), "{file} {hook}");
            assert_eq!(Some(&*read.delivery_id), delivered.header("X-Gogs-Delivery"));
            assert!(facts.repo.is_some_and(|repo| repo.contains('/')), "{file} {hook}");
            assert!(facts.sender.is_some(), "{file} {hook}");
            let is_test = file.contains("test-delivery");
            assert_eq!(facts.is_test, is_test, "{file} {hook}");
            texts.push(read.body);
        }
        if !file.contains("odd") {
            assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{file}: JSON and form differ");
        }
    }
    println!("{with_secret} signed and {without} unsigned recorded deliveries decoded");
    assert!(with_secret > 300 && without > 300);
}

/// The facts of the recording whose file begins with this number.
fn recorded(number: &str) -> Facts {
    let recorded = corpus::all().into_iter().find(|it| it.file.starts_with(number)).unwrap();
    let (_, delivered) = recorded.deliveries.iter().find(|(hook, _)| is_gogs(hook)).unwrap();
    decode_recorded(&Gate::new("open".into(), &source(&[])), delivered).1
}

fn facts(of: [Option<&str>; 5]) -> Facts {
    let [action, repo, branch, tag, sender] = of.map(|it| it.map(str::to_owned));
    Facts { action, repo, branch, tag, sender, is_test: false }
}

#[test]
fn each_event_says_what_routes_ask_for() {
    let lander = Some("orbit/lander");
    for (number, expected) in [
        ("005", [None, lander, Some("main"), None, Some("alice")]),
        ("060", [None, lander, None, None, None]),
    ] {
        println!("{number} {:?} {expected:?}", recorded(number));
    }
}
