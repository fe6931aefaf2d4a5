//! Both built-in sets over every recorded event.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gogs_relay::clock::Timestamp;
use gogs_relay::destination::{Destination, Discord, Kind, Order, RetryPolicy, SecretUrl, Slack};
use gogs_relay::event::{Event, EventId};
use gogs_relay::plan::{Message, Rendered, Step, Templates};
use serde_json::{Value, json};

use crate::corpus::{self, Recorded};

/// A destination of this kind that uses `set`.
pub fn destination(kind: Kind, set: &str) -> Destination {
    Destination {
        name: Arc::from("chat"),
        was: None,
        kind,
        templates: set.to_owned(),
        order: Order::Strict,
        pace: None,
        timeout: Duration::from_secs(15),
        retry: RetryPolicy {
            first: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(600),
            jitter: 0.2,
            give_up_after: Duration::from_secs(3600),
        },
    }
}

/// Slack without settings.
pub fn slack() -> Slack {
    Slack {
        url: SecretUrl::parse("https://hooks.slack.com/services/T/B/x").unwrap(),
        channel: None,
        username: None,
        icon_url: None,
        color: None,
    }
}

/// Discord without settings.
pub fn discord() -> Discord {
    Discord {
        url: SecretUrl::parse("https://discord.com/api/webhooks/1/x").unwrap(),
        username: None,
        avatar_url: None,
        color: None,
        thread_id: None,
    }
}

/// An event as it would be in the queue.
pub fn event(name: &str, body: &[u8]) -> Event {
    Event {
        source: Arc::from("gogs"),
        name: Arc::from(name),
        delivery_id: Arc::from("f6266f16-1bf3-46a5-9ea4-602e06ead473"),
        received: Timestamp(1_773_424_318_000),
        body: body.to_vec().into(),
    }
}

/// The built-in sets alone.
pub fn built_in() -> Templates {
    let (templates, problems) = Templates::load(Path::new("there is no such folder"));
    assert_eq!(problems, []);
    templates
}

/// The message for an event; it must come from the destination's own set.
pub fn message(templates: &Templates, event: &Event, destination: &Destination) -> Message {
    match templates.render(event, EventId(1), destination, Step::Chosen, None) {
        Rendered::Message(message) => {
            let (step, fallback) = (message.step, message.fallback.as_deref());
            assert_eq!(
                (step, fallback),
                (Step::Chosen, None),
                "{}",
                message.template
            );
            message
        }
        other => panic!("no message: {other:?}"),
    }
}

/// The payload as a hook of type Gogs got it.
fn payload(recorded: &Recorded) -> Option<&[u8]> {
    let names = [
        "gogs.json",
        "gogs-nosecret.json",
        "org-gogs.json",
        "repo-gogs.json",
        "gogs-query.json",
    ];
    let found = names.iter().find_map(|name| recorded.deliveries.get(*name));
    found.map(|delivered| delivered.body.as_bytes())
}

/// The settings that the recorded hook had, read off its body.
fn settings_of(body: &Value) -> Kind {
    let text = |name: &str| {
        let text = body[name].as_str().unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    match body.get("embeds") {
        Some(embeds) => Kind::Discord(Discord {
            username: text("username"),
            avatar_url: text("avatar_url"),
            color: embeds[0]["color"]
                .as_u64()
                .filter(|c| *c > 0)
                .map(|c| format!("#{c:06x}")),
            ..discord()
        }),
        None => Kind::Slack(Slack {
            channel: text("channel"),
            username: text("username"),
            icon_url: text("icon_url"),
            color: body["attachments"][0]["color"]
                .as_str()
                .filter(|c| !c.is_empty())
                .map(str::to_owned),
            ..slack()
        }),
    }
}

#[test]
fn classic_sends_what_gogs_sends() {
    let templates = built_in();
    let (mut all, mut equal, mut excepted) = (0, 0, 0);
    let mut wrong = Vec::new();
    for recorded in corpus::all() {
        let Some(payload) = payload(&recorded) else {
            continue;
        };
        for (hook, delivered) in &recorded.deliveries {
            if !hook.contains("slack") && !hook.contains("discord") {
                continue;
            }
            let Ok(theirs) = serde_json::from_str::<Value>(&delivered.body) else {
                continue;
            };
            let destination = destination(settings_of(&theirs), "classic");
            let event = event(&recorded.event, payload);
            let message = message(&templates, &event, &destination);
            let ours: Value = serde_json::from_slice(&message.body).unwrap();
            all += 1;
            let mut differences = Vec::new();
            compare(&theirs, &ours, "", &mut differences);
            match differences.is_empty() {
                true => equal += 1,
                false => wrong.push(format!(
                    "{} {hook}\n  {}",
                    recorded.file,
                    differences.join("\n  ")
                )),
            }
        }
    }
    println!(
        "classic: {equal} of {all} bodies equal Gogs' own, {excepted} differ by the listed exceptions"
    );
    for wrong in wrong.iter() {
        println!("{wrong}");
    }
    assert!(wrong.is_empty());
    excepted += 0;
}

fn compare(theirs: &Value, ours: &Value, path: &str, differences: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let at = |it: &serde_json::Map<String, Value>| {
                    it.get(name).cloned().unwrap_or(json!({"absent": true}))
                };
                compare(&at(one), &at(other), &format!("{path}.{name}"), differences);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                compare(one, other, &format!("{path}[{at}]"), differences);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let cut = |v: &Value| v.to_string().chars().take(300).collect::<String>();
            differences.push(format!(
                "{path}:\n    theirs {}\n    ours   {}",
                cut(one),
                cut(other)
            ));
        }
    }
}

#[test]
fn every_recorded_event_gets_a_message_of_the_default_set() {
    let templates = built_in();
    for recorded in corpus::all() {
        let Some(payload) = payload(&recorded) else {
            continue;
        };
        let event = event(&recorded.event, payload);
        for kind in [
            Kind::Slack(slack()),
            Kind::Discord(discord()),
            Kind::Console,
        ] {
            let message = message(&templates, &event, &destination(kind, "default"));
            assert!(!message.body.is_empty());
        }
    }
}
