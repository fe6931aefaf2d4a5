//! The `default` set: what people read in their channel, for every event that Gogs was seen to send.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use gogs_relay::clock::Timestamp;
use gogs_relay::destination::{self, Destination, Kind, Order, RetryPolicy, SecretUrl};
use gogs_relay::event::{Event, EventId};
use gogs_relay::plan::{Rendered, Step, Templates, samples};
use serde_json::Value;

use crate::corpus;

static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| {
    let (templates, problems) = Templates::load(Path::new("no such folder"));
    assert!(problems.is_empty(), "{problems:?}");
    templates
});

#[derive(Clone, Copy, Debug, PartialEq)]
enum Service {
    Slack,
    Discord,
}

use Service::{Discord, Slack};

#[test]
fn every_message_comes_from_the_set_itself_and_within_the_services_limits() {
    for_every_message(|name, service, _, message| match service {
        Slack => {
            let attachments = message["attachments"].as_array();
            assert!(attachments.is_none_or(|them| them.len() == 1), "{name}");
            assert!(units(&message["text"]) <= 1000, "{name}");
            assert!(!text(&message["text"]).contains('\n'), "{name}");
            for attachment in attachments.into_iter().flatten() {
                assert!(units(&attachment["text"]) <= 4000, "{name}");
                assert!(!text(&attachment["fallback"]).contains("<http"), "{name}");
                let color = text(&attachment["color"]);
                assert!(
                    color.len() == 7 && color.starts_with('#'),
                    "{name}: {color}"
                );
            }
        }
        Discord => {
            let embeds = message["embeds"].as_array().unwrap();
            assert_eq!(embeds.len(), 1, "{name}");
            assert!(message.get("content").is_none(), "{name}");
            let embed = &embeds[0];
            assert!(embed["color"].as_u64().unwrap() <= 0xff_ffff, "{name}");
            assert!(units(&embed["title"]) <= 256, "{name}");
            assert!((1..=4096).contains(&units(&embed["description"])), "{name}");
            assert!(embed["author"]["name"].is_string(), "{name}");
        }
    });
}

#[test]
fn no_message_holds_what_only_a_machine_would_write() {
    for_every_message(|name, service, payload, message| {
        let shown = shown(service, message);
        for blemish in [
            "0001-01-01",
            "\n\n",
            " \n",
            "\n ",
            "undefined",
            "[object]",
            "&#39;",
            "&amp;",
            "&lt;",
        ] {
            assert!(!shown.contains(blemish), "{name}: {blemish:?} in {shown}");
        }
        for count in [" 0 commit", " 1 commits", "null", "Closed #", "Reopened #"] {
            let said = shown.contains(count) && !payload.to_string().contains(count);
            assert!(!said, "{name}: {count:?} in {shown}");
        }
        for part in strings(message) {
            assert_eq!(part.trim(), part, "{name}");
            assert!(!part.is_empty(), "{name}");
        }
    });
}

#[test]
fn every_message_says_who_did_what_where() {
    for_every_message(|name, service, payload, message| {
        let line = match service {
            Slack => visible(service, text(&message["text"])),
            Discord => shown(service, message),
        };
        let mut said = vec![
            text(&payload["sender"]["username"]).to_owned(),
            text(&payload["repository"]["full_name"]).to_owned(),
        ];
        for holder in ["issue", "pull_request"] {
            said.extend(
                payload[holder]["number"]
                    .as_u64()
                    .map(|number| format!("#{number} ")),
            );
        }
        said.extend(payload["release"]["tag_name"].as_str().map(str::to_owned));
        said.extend(payload["forkee"]["full_name"].as_str().map(str::to_owned));
        if let Some(reference) = payload["ref"]
            .as_str()
            .filter(|_| !line.contains("It works"))
        {
            said.push(reference.replace("refs/heads/", ""));
        }
        for part in said {
            assert!(line.contains(&part), "{name}: {part:?} is not in {line:?}");
        }
    });
}

#[test]
fn every_link_leads_to_a_page_of_the_gogs_that_sent_the_event() {
    for_every_message(|name, service, payload, message| {
        let links = links(service, message);
        assert!(!links.is_empty(), "{name}");
        let from = payload.to_string();
        let repo = text(&payload["repository"]["html_url"]);
        let root = repo
            .strip_suffix(text(&payload["repository"]["full_name"]))
            .unwrap();
        let sender = text(&payload["sender"]["username"]);
        for link in links {
            let parsed = url::Url::parse(&link);
            assert_eq!(parsed.map(String::from).as_deref(), Ok(&*link), "{name}");
            assert!(
                link.is_ascii() && !link.contains(['(', ')', '<', '>', '|', '"']),
                "{name}: {link}"
            );
            let page = link.strip_prefix(repo).unwrap_or_default();
            let derived = ["/src/", "/issues/", "/pulls/", "/releases"];
            assert!(
                from.contains(&format!("\"{link}\""))
                    || link == format!("{root}{sender}")
                    || derived.iter().any(|start| page.starts_with(start)),
                "{name}: {link}",
            );
        }
    });
}

#[test]
fn nothing_that_somebody_wrote_reaches_a_channel() {
    for_every_message(|name, service, _, message| {
        let raw = strings(message).join("\n");
        for ping in ["<!", "<@", "<#", "@everyone", "@here", "@channel"] {
            let raw = raw.replace("\\<", "");
            assert!(!raw.contains(ping), "{name} ({service:?}): {ping} in {raw}");
        }
    });
}

/// Calls `check` with the name, the payload and the message of every recorded event and every
/// sample, for both services.
fn for_every_message(check: impl Fn(&str, Service, &Value, &Value)) {
    let recorded = corpus::all();
    let recorded = recorded
        .iter()
        .filter_map(|it| Some((it.file.clone(), recorded_event(it)?)));
    let samples = samples().into_iter().map(|sample| {
        let name = format!("{} {}", sample.event, sample.what);
        (name, event(&sample.event, sample.body))
    });
    let mut count = 0;
    for (name, event) in recorded.chain(samples) {
        let payload = serde_json::from_slice(&event.body).unwrap();
        for service in [Slack, Discord] {
            count += 1;
            check(&name, service, &payload, &render(&event, service));
        }
    }
    assert!(count > 2 * 170, "{count}");
}

/// The event as a hook of Gogs' own kind brought it.
fn recorded_event(recorded: &corpus::Recorded) -> Option<Event> {
    let (_, delivered) = recorded.deliveries.iter().find(|(hook, delivered)| {
        let other = ["slack", "discord", "dingtalk"];
        delivered.body.starts_with('{') && !other.iter().any(|kind| hook.contains(kind))
    })?;
    Some(event(
        delivered.header("X-Gogs-Event")?,
        delivered.body.clone().into(),
    ))
}

fn event(name: &str, body: bytes::Bytes) -> Event {
    Event {
        source: "gogs".into(),
        name: name.into(),
        delivery_id: "3f8e1c52-0f0e-4b59-9d0b-6a1f5d8f1a11".into(),
        received: Timestamp(1_750_000_000_000),
        body,
    }
}

fn render(event: &Event, service: Service) -> Value {
    match TEMPLATES.render(event, EventId(7), &to(service), Step::Chosen, None) {
        Rendered::Message(message) => {
            assert_eq!((message.step, message.fallback), (Step::Chosen, None));
            serde_json::from_slice(&message.body).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn to(service: Service) -> Destination {
    let url = SecretUrl::parse("https://chat.example/hook").unwrap();
    let kind = match service {
        Slack => Kind::Slack(destination::Slack {
            url,
            channel: None,
            username: None,
            icon_url: None,
            color: None,
        }),
        Discord => Kind::Discord(destination::Discord {
            url,
            username: None,
            avatar_url: None,
            color: None,
            thread_id: None,
        }),
    };
    Destination {
        name: "chat".into(),
        was: None,
        kind,
        templates: "default".to_owned(),
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn units(value: &Value) -> usize {
    text(value).encode_utf16().count()
}

/// All texts of a message.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// What a person reads of the whole message, a part a line.
fn shown(service: Service, message: &Value) -> String {
    let parts = match service {
        Slack => vec![&message["text"], &message["attachments"][0]["text"]],
        Discord => {
            let embed = &message["embeds"][0];
            vec![
                &embed["author"]["name"],
                &embed["title"],
                &embed["description"],
            ]
        }
    };
    let parts: Vec<String> = parts
        .into_iter()
        .map(|part| visible(service, text(part)))
        .collect();
    parts.join("\n").trim().to_owned()
}

/// A text without what the service does not show: the addresses of links, escapes.
fn visible(service: Service, text: &str) -> String {
    match service {
        Slack => {
            let mut shown = String::new();
            for (at, part) in text.split('<').enumerate() {
                match part.split_once('>') {
                    Some((inside, after)) if at > 0 => {
                        shown.push_str(inside.split_once('|').map_or(inside, |(_, label)| label));
                        shown.push_str(after);
                    }
                    _ => shown.push_str(part),
                }
            }
            let shown = shown.replace("&lt;", "<").replace("&gt;", ">");
            shown.replace("&amp;", "&").replace('\u{200b}', "")
        }
        Discord => {
            let mut shown = String::new();
            let mut rest = text;
            while let Some((before, behind)) = rest.split_once("](") {
                shown.push_str(before);
                rest = behind.split_once(')').map_or("", |(_, after)| after);
            }
            shown.push_str(rest);
            let mut characters = shown.chars().peekable();
            let mut plain = String::new();
            while let Some(character) = characters.next() {
                let escapes =
                    character == '\\' && characters.peek().is_some_and(char::is_ascii_punctuation);
                match character {
                    _ if escapes => plain.extend(characters.next()),
                    '[' | '`' | '\u{200b}' => {}
                    _ => plain.push(character),
                }
            }
            plain.replace(">>> ", "")
        }
    }
}

/// The addresses of all links and of the embed.
fn links(service: Service, message: &Value) -> Vec<String> {
    let mut links = Vec::new();
    for part in strings(message) {
        let (open, close) = if service == Slack {
            ("<", "|")
        } else {
            ("](", ")")
        };
        for piece in part.split(open).skip(1) {
            let link = piece.split(close).next().unwrap_or_default();
            links.push(link.replace("&amp;", "&"));
        }
    }
    let embed = &message["embeds"][0];
    let own = [&embed["url"], &embed["author"]["url"]];
    links.extend(
        own.iter()
            .filter_map(|link| link.as_str())
            .map(str::to_owned),
    );
    links
}
