//! Draws every recorded event as Slack, Discord and DingTalk would show it, in Gogs' own wording and in that
//! of both built-in sets, side by side: `cargo run --example messages > page.html`.
#![allow(clippy::unwrap_used, clippy::allow_attributes, unreachable_pub)]

mod dingtalk;
mod discord;
mod slack;

#[allow(dead_code)]
#[path = "../../tests/it/corpus.rs"]
mod corpus;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use gogs_relay::clock::Timestamp;
use gogs_relay::destination::{self, Destination, Kind, Order, Reach, RetryPolicy, SecretUrl};
use gogs_relay::event::{Event, EventId};
use gogs_relay::plan::{Rendered, Step, Templates};
use serde_json::Value;

/// How a service shows the body of a message.
type Draw = fn(&Value) -> String;

fn main() {
    let (templates, problems) = Templates::load(Path::new("templates-of-nobody"));
    assert!(problems.is_empty(), "{problems:?}");
    let mut page = String::from(HEAD);
    for recorded in corpus::all() {
        let Some(event) = event(&recorded) else {
            continue;
        };
        let _ok = write!(page, "<h2>{}</h2>", recorded.file);
        for (kind, draw) in [
            ("slack", slack::draw as Draw),
            ("discord", discord::draw),
            ("dingtalk", dingtalk::draw),
        ] {
            page.push_str("<div class=row>");
            cell(&mut page, "Gogs", &sent_by_gogs(&recorded, kind, draw));
            for set in ["default", "classic"] {
                let drawn = rendered(&templates, &event, &to(kind, set), draw);
                cell(&mut page, set, &drawn);
            }
            page.push_str("</div>");
        }
    }
    std::io::stdout().write_all(page.as_bytes()).unwrap();
}

/// The event as the relay takes it, from a hook of Gogs' own kind.
fn event(recorded: &corpus::Recorded) -> Option<Event> {
    let (_, delivered) = recorded.deliveries.iter().find(|(hook, delivered)| {
        let other = ["slack", "discord", "dingtalk"];
        delivered.body.starts_with('{') && !other.iter().any(|kind| hook.contains(kind))
    })?;
    Some(Event {
        source: "gogs".into(),
        name: delivered.header("X-Gogs-Event")?.into(),
        delivery_id: delivered.header("X-Gogs-Delivery")?.into(),
        received: Timestamp(1_750_000_000_000),
        body: delivered.body.clone().into(),
    })
}

fn sent_by_gogs(recorded: &corpus::Recorded, kind: &str, draw: Draw) -> String {
    let mut hooks = recorded.deliveries.iter();
    match hooks.find(|(hook, _)| hook.contains(kind)) {
        Some((_, delivered)) => draw(&serde_json::from_str(&delivered.body).unwrap()),
        None => "<i>no such hook</i>".to_owned(),
    }
}

fn rendered(templates: &Templates, event: &Event, to: &Destination, draw: Draw) -> String {
    match templates.render(event, EventId(1), to, Step::Chosen, None) {
        Rendered::Message(message) => {
            let fallback = message.fallback.map_or(String::new(), |why| escape(&why));
            fallback + &draw(&serde_json::from_slice(&message.body).unwrap())
        }
        Rendered::Skip { .. } => "<i>skipped</i>".to_owned(),
        Rendered::Failed(why) => escape(&why),
    }
}

fn to(kind: &str, set: &str) -> Destination {
    let url = SecretUrl::parse("https://chat.example/hook").unwrap();
    let kind = match kind {
        "slack" => Kind::Slack(destination::Slack {
            url,
            channel: None,
            username: None,
            icon_url: None,
            color: None,
        }),
        "dingtalk" => Kind::DingTalk(destination::DingTalk { url, secret: None }),
        _ => Kind::Discord(destination::Discord {
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
        reach: Reach::Configured,
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

fn cell(page: &mut String, title: &str, message: &str) {
    let _ok = write!(page, "<div class=cell><h3>{title}</h3>{message}</div>");
}

/// Text as HTML.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands at `key`, as HTML; empty if there is none.
fn shown(value: &Value, key: &str) -> String {
    escape(value[key].as_str().unwrap_or_default())
}

const HEAD: &str = r#"<!doctype html><meta charset=utf-8><title>Messages</title><style>
body { font: 14px/1.4 Lato, "Noto Sans", "DejaVu Sans", sans-serif; margin: 12px; color: #1d1c1d }
h2 { font-size: 13px; margin: 18px 0 4px; color: #777 } h3 { font-size: 10px; margin: 0 0 4px; color: #aaa }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; margin-bottom: 8px }
.cell { border: 1px solid #ddd; border-radius: 4px; padding: 8px; max-height: 300px; overflow: hidden; overflow-wrap: anywhere }
a { color: #1264a3; text-decoration: none } .ping { background: #fc3; outline: 2px solid red }
code { background: #0001; border-radius: 3px; padding: 0 2px; font-size: 12px }
.slack .attachment { border-left: 4px solid #ddd; margin-top: 4px; padding: 2px 0 2px 10px }
.title { font-weight: bold } .footer { font-size: 11px; color: #888 }
.discord { background: #313338; color: #dbdee1; padding: 8px; border-radius: 4px }
.embed { background: #2b2d31; border-left: 4px solid #1e1f22; border-radius: 4px; padding: 8px 12px; max-width: 430px }
.discord a { color: #00a8fc } .discord .footer { color: #b5bac1; margin-top: 6px } .discord code { background: #1e1f22 }
.avatar { display: inline-block; width: 20px; height: 20px; border-radius: 10px; background: #8a8; vertical-align: middle; margin-right: 6px }
.author { font-weight: 600; font-size: 13px; margin-bottom: 4px } .author a { color: inherit }
.dingtalk { border-radius: 6px; background: #f5f6f7; padding: 8px }
.quote { border-left: 3px solid #4e5058; padding-left: 8px } .name { font-weight: 600; margin-top: 4px }
</style>"#;
