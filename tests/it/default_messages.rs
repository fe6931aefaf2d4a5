//! The `default` set: what people read in their channel, for every event that Gogs was seen to send.

use std::sync::LazyLock;

use gogs_relay::destination::Kind;
use gogs_relay::event::Event;
use gogs_relay::plan::{Templates, samples};
use serde_json::Value;

use crate::corpus;
use crate::messages::{built_in, destination, discord, event, message, slack};

static TEMPLATES: LazyLock<Templates> = LazyLock::new(built_in);

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
                assert!(color.len() == 7 && color.starts_with('#'), "{name}: {color}");
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
        for blemish in ["0001-01-01", "\n\n", " \n", "\n ", "undefined", "[object]", "&#39;", "&amp;", "&lt;"] {
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
            said.extend(payload[holder]["number"].as_u64().map(|number| format!("#{number} ")));
        }
        said.extend(payload["release"]["tag_name"].as_str().map(str::to_owned));
        said.extend(payload["forkee"]["full_name"].as_str().map(str::to_owned));
        if let Some(reference) = payload["ref"].as_str().filter(|_| !line.contains("It works")) {
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
        let root = repo.strip_suffix(text(&payload["repository"]["full_name"])).unwrap();
        let sender = text(&payload["sender"]["username"]);
        for link in links {
            let parsed = url::Url::parse(&link);
            assert_eq!(parsed.map(String::from).as_deref(), Ok(&*link), "{name}");
            assert!(link.is_ascii() && !link.contains(['(', ')', '<', '>', '|', '"']), "{name}: {link}");
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
    let recorded = recorded.iter().filter_map(|it| Some((it.file.clone(), recorded_event(it)?)));
    let samples = samples().into_iter().map(|sample| {
        let name = format!("{} {}", sample.event, sample.what);
        (name, event(&sample.event, &sample.body))
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
    Some(event(delivered.header("X-Gogs-Event")?, delivered.body.as_bytes()))
}

fn render(event: &Event, service: Service) -> Value {
    let kind = match service {
        Slack => Kind::Slack(slack()),
        Discord => Kind::Discord(discord()),
    };
    let message = message(&TEMPLATES, event, &destination(kind, "default"));
    serde_json::from_slice(&message.body).unwrap()
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
        Slack => {
            let attachment = &message["attachments"][0];
            vec![&message["text"], &attachment["text"], &attachment["footer"]]
        }
        Discord => {
            let embed = &message["embeds"][0];
            vec![&embed["author"]["name"], &embed["title"], &embed["description"]]
        }
    };
    let parts = parts.into_iter().filter(|part| part.is_string());
    let parts: Vec<String> = parts.map(|part| visible(service, text(part))).collect();
    parts.join("\n")
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
                let escapes = character == '\\' && characters.peek().is_some_and(char::is_ascii_punctuation);
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
        let (open, close) = if service == Slack { ("<", "|") } else { ("](", ")") };
        for piece in part.split(open).skip(1) {
            let link = piece.split(close).next().unwrap_or_default();
            links.push(link.replace("&amp;", "&"));
        }
    }
    let embed = &message["embeds"][0];
    let own = [&embed["url"], &embed["author"]["url"]];
    links.extend(own.iter().filter_map(|link| link.as_str()).map(str::to_owned));
    links
}
