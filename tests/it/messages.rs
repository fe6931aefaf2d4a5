//! Both built-in sets over every recorded event.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gogs_relay::clock::Timestamp;
use gogs_relay::destination::{
    Destination, DingTalk, Discord, Kind, Order, Reach, RetryPolicy, SecretUrl, Slack,
};
use gogs_relay::event::{Event, EventId};
use gogs_relay::plan::{Message, Rendered, Step, Templates, samples};
use serde_json::{Value, json};

use crate::corpus::{self, Recorded};

/// A destination of this kind that uses `set`.
pub(crate) fn destination(kind: Kind, set: &str) -> Destination {
    Destination {
        name: Arc::from("chat"),
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

/// Slack without settings.
pub(crate) fn slack() -> Slack {
    Slack {
        url: SecretUrl::parse("https://hooks.slack.com/services/T/B/x").unwrap(),
        channel: None,
        username: None,
        icon_url: None,
        color: None,
    }
}

/// Discord without settings.
pub(crate) fn discord() -> Discord {
    Discord {
        url: SecretUrl::parse("https://discord.com/api/webhooks/1/x").unwrap(),
        username: None,
        avatar_url: None,
        color: None,
        thread_id: None,
    }
}

/// DingTalk without a secret.
pub(crate) fn dingtalk() -> DingTalk {
    DingTalk {
        url: SecretUrl::parse("https://oapi.dingtalk.com/robot/send?access_token=x").unwrap(),
        secret: None,
    }
}

/// An event as it would be in the queue.
pub(crate) fn event(name: &str, body: &[u8]) -> Event {
    Event {
        source: Arc::from("gogs"),
        name: Arc::from(name),
        delivery_id: Arc::from("f6266f16-1bf3-46a5-9ea4-602e06ead473"),
        received: Timestamp(1_773_424_318_000),
        body: body.to_vec().into(),
    }
}

/// The built-in sets alone.
pub(crate) fn built_in() -> Templates {
    let (templates, problems) = Templates::load(Path::new("there is no such folder"));
    assert_eq!(problems, []);
    templates
}

/// The message for an event; it must come from the destination's own set.
pub(crate) fn message(templates: &Templates, event: &Event, destination: &Destination) -> Message {
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
pub(crate) fn payload(recorded: &Recorded) -> Option<&[u8]> {
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
    if body.get("msgtype").is_some() {
        return Kind::DingTalk(dingtalk());
    }
    match body.get("embeds") {
        Some(embeds) => Kind::Discord(Discord {
            username: text("username"),
            avatar_url: text("avatar_url"),
            color: embeds[0]["color"]
                .as_i64()
                .filter(|c| *c != 0)
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
    let (mut all, mut equal) = (0, 0);
    let mut exceptions: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for recorded in corpus::all() {
        let Some(payload) = payload(&recorded) else {
            continue;
        };
        for (hook, delivered) in &recorded.deliveries {
            let chats = ["slack", "discord", "dingtalk"];
            let is_chat = chats.iter().any(|chat| hook.contains(chat));
            let Ok(theirs) = serde_json::from_str::<Value>(&delivered.body) else {
                continue;
            };
            if !is_chat {
                continue;
            }
            let destination = destination(settings_of(&theirs), "classic");
            let event = event(&recorded.event, payload);
            let message = message(&templates, &event, &destination);
            let mut comparison = Comparison::default();
            let ours = serde_json::from_slice(&message.body).unwrap();
            comparison.compare("", Some(&theirs), Some(&ours));
            all += 1;
            if comparison.found.is_empty() {
                equal += 1;
            }
            for kind in comparison.found {
                *exceptions.entry(kind).or_default() += 1;
            }
            let place = format!("{} {hook}", recorded.file);
            wrong.extend(
                comparison
                    .wrong
                    .iter()
                    .map(|wrong| format!("{place} {wrong}")),
            );
        }
    }
    figure!(
        "classic: {equal} of {all} bodies equal Gogs' own, {} differ by the listed exceptions: {exceptions:?}",
        all - equal
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(equal > 0 && all > 350);
}

/// Compares two bodies, and judges each difference by the exceptions that the corpus lists.
#[derive(Default)]
pub(crate) struct Comparison {
    /// The kinds of exceptions that were needed, beyond those that every body needs.
    found: BTreeSet<&'static str>,
    /// Differences that no exception covers.
    pub(crate) wrong: Vec<String>,
}

impl Comparison {
    pub(crate) fn compare(&mut self, path: &str, theirs: Option<&Value>, ours: Option<&Value>) {
        match (theirs, ours) {
            (Some(Value::Object(one)), Some(Value::Object(other))) => {
                let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                for name in names {
                    self.compare(&format!("{path}.{name}"), one.get(name), other.get(name));
                }
            }
            (Some(Value::Array(one)), Some(Value::Array(other))) => {
                for at in 0..one.len().max(other.len()) {
                    self.compare(&format!("{path}[]"), one.get(at), other.get(at));
                }
            }
            (theirs, ours) if theirs == ours => {}
            (theirs, ours) => match exception(path, theirs, ours) {
                // Every body has these: empty texts are left out, mentions are off.
                Some("empty" | "allowed_mentions") => {}
                Some(kind) => {
                    self.found.insert(kind);
                }
                None => self
                    .wrong
                    .push(format!("{path}\n  Gogs {theirs:?}\n  ours {ours:?}")),
            },
        }
    }
}

/// Which of the listed exceptions a difference is.
fn exception(path: &str, theirs: Option<&Value>, ours: Option<&Value>) -> Option<&'static str> {
    match (theirs, ours) {
        (Some(theirs), None) if is_empty(theirs) => Some("empty"),
        (None, Some(ours)) if path == ".allowed_mentions" && *ours == json!({"parse": []}) => {
            Some("allowed_mentions")
        }
        (Some(Value::Number(colour)), None) if path.ends_with(".color") => {
            let is_valid = colour.as_u64().is_some_and(|colour| colour <= 16_777_215);
            (!is_valid).then_some("colour")
        }
        (Some(Value::String(theirs)), Some(Value::String(ours))) => {
            if path.ends_with(".value") && theirs.is_empty() && ours == "<empty>" {
                return Some("empty field");
            }
            if path.ends_with(".singleURL") && theirs.is_empty() {
                let is_page = ours.starts_with("http://127.0.0.1:3000/");
                return is_page.then_some("card without an address");
            }
            if path == ".actionCard.text" && theirs.len() > 18_000 {
                let is_cut = ours.len() < 20_000 && is_cut_of(ours, theirs);
                return is_cut.then_some("over a limit");
            }
            if is_comment_over_a_body(ours, theirs) {
                return Some("comment over a body");
            }
            let decoded = |text: &str| mended(&text.replace("&#39;", "'").replace("&amp;", "&"));
            let has_entity = theirs.contains("&#39;") && path == ".actionCard.text";
            if has_entity && decoded(theirs) == decoded(ours) {
                return Some("name without entities");
            }
            let limit = match path.rsplit('.').next() {
                Some("title") => 256,
                Some("value") => 1024,
                _ => 4096,
            };
            if units(theirs) > limit && units(ours) <= limit && is_cut_of(ours, theirs) {
                return Some("over a limit");
            }
            is_mended(ours, theirs).then_some("live part")
        }
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Whether Gogs put a comment over an issue's body where it says `Closed #1` otherwise; the relay
/// takes neither for the issue's own text.
fn is_comment_over_a_body(ours: &str, theirs: &str) -> bool {
    let quote = |text: &str| {
        text.split_once("\n> ")
            .map(|(line, quote)| (line.to_owned(), quote.to_owned()))
    };
    let (Some((mine, own)), Some((other, _))) = (quote(ours), quote(theirs)) else {
        return false;
    };
    let is_closing =
        mine.starts_with("# Issue Event Closed") || mine.starts_with("# Issue Event Reopened");
    mine == other && is_closing && (own.starts_with("Closed #") || own.starts_with("Reopened #"))
}

/// Whether `ours` is the beginning of `theirs`, a closed code block and an ellipsis aside.
fn is_cut_of(ours: &str, theirs: &str) -> bool {
    let kept = ours.strip_suffix("\n```").unwrap_or(ours);
    kept.strip_suffix('…')
        .is_some_and(|kept| mended(theirs).starts_with(&mended(kept)))
}

/// Whether `ours` is `theirs` but for what keeps a mention, a masked link that somebody wrote or
/// an address that ends its own link from acting.
fn is_mended(ours: &str, theirs: &str) -> bool {
    let has_mention = ["<!", "<@", "<#"].iter().any(|it| theirs.contains(it));
    let entities = |text: &str| text.matches("&lt;").count() + text.matches("&gt;").count();
    let mut spaces = ours.match_indices('\u{200b}');
    let is_in_place = |(at, space): (usize, &str)| {
        let (before, after) = (&ours[..at], &ours[at + space.len()..]);
        let opens_tag = |next: char| next.is_ascii_alphabetic() || "@#/!?".contains(next);
        (before.ends_with('<') && after.starts_with(opens_tag))
            || (before.ends_with(']') && after.starts_with(['(', '[', ':']))
    };
    mended(ours) == mended(theirs)
        && (has_mention || entities(ours) == entities(theirs))
        && spaces.all(is_in_place)
}

/// Without what the relay puts in to keep a text from acting.
fn mended(text: &str) -> String {
    let marks = [
        ("\u{200b}", ""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
        ("%28", "("),
        ("%29", ")"),
        ("%22", "\""),
        ("%7C", "|"),
        ("%3C", "<"),
        ("%3E", ">"),
    ];
    marks.iter().fold(text.to_owned(), |text, (mark, with)| {
        text.replace(mark, with)
    })
}

/// What a template sees of each recorded event.
fn facts(template: &str) -> Vec<(String, String)> {
    let folder = tempfile::TempDir::new().unwrap();
    let inside = folder.path().join("facts/slack");
    std::fs::create_dir_all(&inside).unwrap();
    let text = format!("{{\"text\": \"- {template}\"}}");
    for sample in samples() {
        std::fs::write(inside.join(format!("{}.hbs", sample.event)), &text).unwrap();
    }
    let (templates, _) = Templates::load(folder.path());
    let destination = destination(Kind::Slack(slack()), "facts");
    let mut facts = Vec::new();
    for recorded in corpus::all() {
        if let Some(payload) = payload(&recorded) {
            let message = message(&templates, &event(&recorded.event, payload), &destination);
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            facts.push((
                recorded.file,
                body["text"].as_str().unwrap()[2..].to_owned(),
            ));
        }
    }
    facts
}

#[test]
fn forced_pushes_and_test_deliveries_are_found_and_nothing_else() {
    for (file, fact) in facts("{{#if is_forced}}forced {{/if}}{{#if is_test}}test{{/if}}") {
        let is_forced = file.contains("-push-") && file.contains("-force");
        let is_test = file.contains("test-delivery");
        assert_eq!(fact.contains("forced"), is_forced, "{file}");
        assert_eq!(fact.contains("test"), is_test, "{file}");
    }
}

#[test]
fn every_event_has_a_page_to_open_and_no_name_shows_html() {
    let template = "{{event_url}} {{sender.full_name}} {{#each commits}}{{author.name}} {{/each}}";
    for (file, fact) in facts(template) {
        assert!(fact.starts_with("http://127.0.0.1:3000/"), "{file}: {fact}");
        assert!(
            !fact.contains("/compare/0000") && !fact.contains("/commit/0000"),
            "{file}: {fact}"
        );
        // The entities of Slack itself aside.
        let names = fact
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        assert!(
            !names.contains("&#") && !names.contains("&amp;"),
            "{file}: {fact}"
        );
    }
}

#[test]
fn a_body_that_gogs_wrote_over_is_not_taken_for_the_issues_own() {
    for (file, fact) in facts("{{#if issue.body}}own{{/if}}") {
        let is_overwritten = file.contains("issue_comment-created")
            || file.contains("issue_comment-comment")
            || file.contains("issues-closed")
            || file.contains("issues-reopened");
        assert!(!is_overwritten || fact.is_empty(), "{file}");
        assert!(!file.contains("issues-opened-rich") || fact == "own");
    }
}

#[test]
fn a_payload_of_gogs_0_9_is_understood() {
    // A branch's creation, which that version called a push.
    let old = br#"{"secret":"s","ref":"dev","ref_type":"branch","repository":{"id":1,"name":"lander",
        "url":"https://git.example.org/orbit/lander","owner":{"name":"orbit","email":"","username":"orbit"},
        "private":false,"default_branch":"main"},"sender":{"login":"mira","id":3,"avatar_url":""}}"#;
    let destination = destination(Kind::Slack(slack()), "classic");
    let message = message(&built_in(), &event("push", old), &destination);
    let body: Value = serde_json::from_slice(&message.body).unwrap();
    let repository = "https://git.example.org/orbit/lander";
    let text = format!("[<{repository}|lander>:<{repository}/src/dev|dev>] branch created by mira");
    assert_eq!(body["text"], text);
    assert_eq!(message.template, "classic/slack/create");
}

#[test]
fn a_branch_is_named_short_and_linked_encoded() {
    let facts = facts("{{branch}} {{ref_url}}");
    let of = |part: &str| {
        let found = facts.iter().find(|(file, _)| file.contains(part));
        found.unwrap().1.clone()
    };
    let encoded = "http://127.0.0.1:3000/orbit/lander/src/fix/a%23b-";
    assert!(of("create-branch-hash-unicode").starts_with(&format!("fix/a#b-ブランチ-ü {encoded}")));
    let mirror = "http://127.0.0.1:3000/alice/source-mirror/src/main";
    assert_eq!(of("push-mirror-two-commits"), format!("main {mirror}"));
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
            Kind::DingTalk(dingtalk()),
            Kind::Console,
        ] {
            let message = message(&templates, &event, &destination(kind, "default"));
            assert!(!message.body.is_empty());
        }
    }
}

#[test]
fn the_console_shows_a_message_as_a_person_reads_it() {
    let mut samples = samples().into_iter();
    let push = samples.find(|sample| sample.what == "one commit").unwrap();
    let destination = destination(Kind::Console, "classic");
    let message = message(&built_in(), &event("push", &push.body), &destination);
    let shown = "[lander:main] 1 new commit pushed by mira
  bffeb74: Clamp thrust to <95% & log overshoot - Mira Okafor
  https://git.example.org/orbit/lander/commit/bffeb74224043ba2feb48d137756c8a9331c449a";
    assert_eq!(message.body, shown.as_bytes());
}
