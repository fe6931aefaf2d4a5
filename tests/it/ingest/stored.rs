//! Deliveries that are taken: what is answered, and what is then stored.

use std::time::Duration;

use gogs_relay::config::{Limits, Route};
use gogs_relay::event::EventId;
use serde_json::json;

use super::wire::{Answer, Hooks, Post, SECRET, limits, router_to, sources};
use super::{PUSH, as_recorded};
use crate::corpus;

async fn send(hooks: &Hooks, post: &Post, status: u16) -> Answer {
    let answer = hooks.send(&post.bytes()).await;
    assert_eq!(answer.status, status, "{answer:?}");
    answer.check();
    answer
}

fn push(source: &str, id: &str, json: &[u8]) -> Post {
    Post::json(source, json)
        .signed(json)
        .event("push")
        .header("X-Gogs-Delivery", id)
}

async fn stored(hooks: &Hooks, answer: &Answer) -> gogs_relay::event::Event {
    let id = EventId(answer.json()["event"].as_u64().unwrap());
    hooks.queue.event(id).await.unwrap().expect("stored")
}

#[tokio::test]
async fn a_delivery_is_stored_byte_for_byte_before_it_is_accepted() {
    let hooks = Hooks::start().await;
    let answer = send(&hooks, &push("gogs", "id-1", PUSH), 202).await;
    assert_eq!(
        answer.body,
        r#"{"event":1,"destinations":["ops-discord","team-slack"]}"#
    );
    let event = stored(&hooks, &answer).await;
    assert_eq!(
        (&*event.source, &*event.name, &*event.delivery_id),
        ("gogs", "push", "id-1")
    );
    assert_eq!(event.body, PUSH);

    let odd = "{ \"ref\" : \"\\ud800\", \"x\":[ ] }\r\n".as_bytes();
    let form = Post::form("gogs", odd).signed(odd).event("push");
    assert_eq!(
        stored(&hooks, &send(&hooks, &form, 202).await).await.body,
        odd
    );
    let secret = format!("{{\"secret\":\"{SECRET}\",\"ref\":\"v1\",\"ref_type\":\"tag\"}}");
    let ancient = Post::json("ancient", secret).event("push");
    let event = stored(&hooks, &send(&hooks, &ancient, 202).await).await;
    assert_eq!(
        (&*event.name, &event.body[..]),
        ("create", &br#"{"ref":"v1","ref_type":"tag"}"#[..])
    );
    hooks.finish().await;
}

#[tokio::test]
async fn destinations_are_counted_where_they_are_many_or_none() {
    let hooks = Hooks::start().await;
    let long = ["a", "b", "c", "d", "e"].map(|name| name.repeat(64));
    for (names, expected) in [
        (
            vec!["a", "b", "c", "d", "e"],
            json!(["a", "b", "c", "d", "e"]),
        ),
        (vec!["a", "b", "c", "d", "e", "f"], json!(6)),
        (long.iter().map(String::as_str).collect(), json!(5)),
    ] {
        hooks.replace(&sources(), router_to(&[], &names));
        let answer = send(&hooks, &Post::json("open", PUSH).event("push"), 202).await;
        assert_eq!(answer.json()["destinations"], expected);
    }
    let only_issues = Route {
        events: vec!["issues".into()],
        to: vec!["team-slack".into()],
        ..Route::default()
    };
    hooks.replace(&sources(), router_to(&[only_issues], &["team-slack"]));
    let answer = send(&hooks, &Post::json("open", PUSH).event("push"), 202).await;
    assert_eq!(answer.json()["destinations"], json!([]));
    assert_eq!(stored(&hooks, &answer).await.body, PUSH);
    hooks.finish().await;
}

#[tokio::test]
async fn a_repeated_delivery_is_known_and_another_body_is_another_event() {
    let hooks = Hooks::start().await;
    send(&hooks, &push("gogs", "id-1", PUSH), 202).await;
    let again = send(&hooks, &push("gogs", "id-1", PUSH), 200).await;
    assert_eq!(again.body, r#"{"event":1,"duplicate":true,"requeued":[]}"#);
    let as_form = Post::form("gogs", PUSH)
        .signed(PUSH)
        .header("X-Gogs-Delivery", "id-1");
    assert_eq!(send(&hooks, &as_form, 200).await.json()["event"], 1);
    assert_eq!(
        send(&hooks, &push("gogs", "id-1", b"{}"), 202).await.json()["event"],
        2
    );
    assert_eq!(
        send(&hooks, &push("gogs", "id-2", PUSH), 202).await.json()["event"],
        3
    );
    assert_eq!(
        send(&hooks, &push("twice", "id-1", PUSH), 202).await.json()["event"],
        4
    );
    assert_eq!(
        send(&hooks, &push("twice", "id-9", PUSH), 200).await.json()["event"],
        4
    );
    hooks.finish().await;
}

#[tokio::test]
async fn a_ping_is_answered_and_not_stored() {
    let hooks = Hooks::start().await;
    send(&hooks, &push("gogs", "id-1", PUSH).event("ping"), 200).await;
    assert_eq!(hooks.queue.stats().events, 0);
    hooks.finish().await;
}

#[tokio::test]
async fn without_room_on_the_disk_nothing_is_stored_and_the_sender_is_told_to_come_back() {
    let limits = Limits {
        free_disk: u64::MAX,
        body_timeout: Duration::from_secs(1 << 40),
        ..limits()
    };
    let hooks = Hooks::stepped(limits).await;
    let request = push("gogs", "id-1", PUSH).bytes();
    let answer = tokio::select! {
        answer = hooks.send(&request) => answer,
        () = hooks.time_passes() => unreachable!(),
    };
    assert_eq!(
        (answer.status, answer.headers["retry-after"].as_str()),
        (503, "10"),
        "{answer:?}"
    );
    answer.check();
    assert_eq!(hooks.queue.stats().events, 0);
    hooks.finish().await;
}

#[tokio::test]
async fn every_recorded_delivery_to_a_gogs_hook_is_taken() {
    let hooks = Hooks::start().await;
    let (mut new, mut repeats) = (0, 0);
    for recorded in corpus::all() {
        for (hook, delivered) in &recorded.deliveries {
            if ["slack", "discord", "dingtalk"]
                .iter()
                .any(|chat| hook.contains(chat))
            {
                continue;
            }
            let is_signed = delivered.header("X-Gogs-Signature") != Some("");
            let source = if is_signed { "gogs" } else { "open" };
            let answer = hooks.send(&as_recorded(source, delivered)).await;
            answer.check();
            match answer.status {
                202 => new += 1,
                200 => repeats += 1,
                _ => panic!("{answer:?} to {hook} of {}", recorded.file),
            }
            let event = stored(&hooks, &answer).await;
            assert_eq!(*event.name, *recorded.event);
            if !hook.ends_with(".form") {
                assert_eq!(event.body, delivered.body);
            }
        }
    }
    println!("{new} recorded deliveries taken, {repeats} known as repeats");
    assert_eq!(hooks.queue.stats().events, new);
    hooks.finish().await;
}
