//! One attempt at a time: what is sent, what the ladder does, and what the history keeps of it.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gogs_relay::clock::Clock;
use gogs_relay::delivery::{Reason, Trace};
use gogs_relay::destination::{ContentType, Destination, DingTalk, GitHub, Kind, SecretUrl};
use gogs_relay::event::{Event, EventId};
use gogs_relay::plan::Templates;
use gogs_relay::send::deliver::{Console, Courier, Errand, Outcome};
use gogs_relay::send::pace::Pacer;
use gogs_relay::send::transport::Transport;
use gogs_relay::send::turn::Turns;
use gogs_relay::send::verdict::Verdict;
use gogs_relay::standin::{
    Ending, FakeDingTalk, FakeDiscord, FakeGogs, FakeSlack, Script, StandIn,
};

use crate::corpus::{self, Recorded};
use crate::world::{SECRET, START, destination, discord, gogs, slack, time_of};

struct Desk {
    courier: Courier,
    templates: Templates,
    clock: Clock,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(Path::new("/nowhere"), Arc::new(Mutex::new(Vec::new())))
    }

    fn with(templates: &Path, console: Console) -> Desk {
        let clock = Clock::system();
        let turns = Turns::new(8, Arc::new(Pacer::new()), clock.clone());
        let transport = Transport::new(clock.clone());
        Desk {
            courier: Courier::new(transport, turns, console, clock.clone()),
            templates: Templates::load(templates).0,
            clock,
        }
    }

    async fn attempt(&self, event: &Event, destination: &Destination) -> Outcome {
        let turn = self.courier.turns().take(None).await.unwrap();
        let errand = Errand {
            event,
            id: EventId(7),
            destination,
            templates: &self.templates,
            hub: None,
        };
        self.courier.attempt(errand, turn).await
    }

    async fn slack(&self) -> StandIn {
        let service = FakeSlack::default();
        StandIn::start(service, self.clock.clone()).await.unwrap()
    }

    async fn discord(&self) -> StandIn {
        let service = FakeDiscord::default();
        StandIn::start(service, self.clock.clone()).await.unwrap()
    }

    async fn gogs(&self) -> StandIn {
        let service = FakeGogs::with_secret(SECRET);
        StandIn::start(service, self.clock.clone()).await.unwrap()
    }
}

fn event(recorded: &Recorded) -> Event {
    let delivered = &recorded.deliveries["gogs.json"];
    Event {
        source: "gogs".into(),
        name: recorded.event.as_str().into(),
        delivery_id: delivered.header("X-Gogs-Delivery").unwrap().into(),
        received: time_of(START),
        body: delivered.body.clone().into(),
    }
}

fn push() -> Event {
    let mut all = corpus::all().into_iter();
    let recorded = all.find(|it| it.file.contains("push-three-commits"));
    event(&recorded.unwrap())
}

fn fallback(trace: &Trace) -> &str {
    trace.fallback.as_deref().unwrap_or("")
}

#[tokio::test]
async fn every_recorded_event_leaves_as_github_sends_it_with_the_payload_as_it_came() {
    let desk = Desk::new();
    let standin = desk.gogs().await;
    standin.rule(|_| Some(Script::status(204)));
    let kind = |content_type| {
        Kind::GitHub(GitHub {
            url: SecretUrl::parse(&standin.url()).unwrap(),
            secret: Some(SECRET.to_owned().into()),
            content_type,
            insecure_ssl: false,
            hook: 71,
            repository: "orbit/lander".to_owned(),
        })
    };
    let json = destination("json", kind(ContentType::Json));
    let form = destination("form", kind(ContentType::Form));
    for recorded in corpus::all() {
        if !recorded.deliveries.contains_key("gogs.json") {
            continue;
        }
        let event = event(&recorded);
        for destination in [&json, &form] {
            let outcome = desk.attempt(&event, destination).await;
            assert_eq!(outcome.verdict, Verdict::Delivered, "{}", recorded.file);
            let ours = standin.received().pop().unwrap();
            let payload = FakeGogs::payload(&ours).unwrap();
            assert!(payload == event.body, "{}", recorded.file);
            assert_eq!(ours.header("x-github-event"), &*event.name);
            assert_eq!(ours.header("x-github-delivery"), &*event.delivery_id);
            let told: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
            let repository = told["repository"]["id"].to_string();
            let target = ours.header("x-github-hook-installation-target-id");
            assert_eq!(target, repository, "{}", recorded.file);
            assert!(ours.header("user-agent").starts_with("GitHub-Hookshot/"));
            assert!(ours.header("x-hub-signature").starts_with("sha1="));
            let foreign = ours
                .headers
                .keys()
                .find(|name| name.as_str().contains("gogs"));
            assert_eq!(foreign, None);
        }
    }
}

#[tokio::test]
async fn every_recorded_event_leaves_in_gogs_format_byte_for_byte() {
    let desk = Desk::new();
    let standin = desk.gogs().await;
    let json = gogs("json", &standin);
    let mut form = gogs("form", &standin);
    if let Kind::Gogs(to) = &mut form.kind {
        to.content_type = ContentType::Form;
    }
    let mut count = 0;
    for recorded in corpus::all() {
        let (Some(as_json), Some(as_form)) = (
            recorded.deliveries.get("gogs.json"),
            recorded.deliveries.get("gogs.form"),
        ) else {
            continue;
        };
        let mut event = event(&recorded);
        for (destination, theirs) in [(&json, as_json), (&form, as_form)] {
            event.body = as_json.body.clone().into();
            event.delivery_id = theirs.header("X-Gogs-Delivery").unwrap().into();
            let outcome = desk.attempt(&event, destination).await;
            assert_eq!(outcome.verdict, Verdict::Delivered, "{}", recorded.file);
            let ours = standin.received().pop().unwrap();
            assert_eq!(ours.body, theirs.body, "{}", recorded.file);
            for name in [
                "content-type",
                "user-agent",
                "x-gogs-event",
                "x-gogs-delivery",
                "x-github-event",
                "x-github-delivery",
            ] {
                let recorded = theirs.header(name).unwrap_or_default();
                assert_eq!(ours.header(name), recorded, "{name}");
            }
        }
        count += 1;
    }
    assert!(count > 150, "{count}");
    figure!("{count} recorded events left byte for byte, as JSON and as form");
    assert_eq!(standin.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_robot_of_dingtalk_takes_every_recorded_event_of_both_sets_signed() {
    let desk = Desk::new();
    let recorded = corpus::all();
    let events: Vec<Event> = recorded
        .iter()
        .filter(|recorded| recorded.deliveries.contains_key("gogs.json"))
        .map(event)
        .collect();
    // A robot takes twenty a minute.
    for events in events.chunks(10) {
        let service = FakeDingTalk::with_secret(SECRET);
        let standin = StandIn::start(service, desk.clock.clone()).await.unwrap();
        for event in events {
            for set in ["default", "classic"] {
                let mut destination = dingtalk(&standin, SECRET);
                destination.templates = set.into();
                let outcome = desk.attempt(event, &destination).await;
                assert_eq!(
                    outcome.verdict,
                    Verdict::Delivered,
                    "{}",
                    outcome.trace.verdict
                );
                assert_eq!(outcome.trace.fallback, None);
            }
        }
        assert_eq!(standin.violations(), Vec::<String>::new());
    }
    figure!(
        "DingTalk took {} recorded events in both sets",
        events.len()
    );
    assert!(events.len() > 150);
}

#[tokio::test]
async fn what_dingtalk_refuses_for_its_content_goes_down_to_a_plain_text() {
    let desk = Desk::new();
    let service = FakeDingTalk::default();
    let standin = StandIn::start(service, desk.clock.clone()).await.unwrap();
    let unsafe_link = serde_json::json!({"errcode": 430_101, "errmsg": "unsafe link"});
    let mut destination = dingtalk(&standin, "");
    destination.templates = "classic".into();
    standin.script(vec![Script::json(200, &unsafe_link); 2]);
    let outcome = desk.attempt(&push(), &destination).await;
    assert_eq!(outcome.verdict, Verdict::Delivered);
    let received = standin.received();
    assert_eq!(received.len(), 3);
    let kinds = received
        .iter()
        .map(|it| it.json()["msgtype"].as_str().unwrap().to_owned());
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["actionCard", "markdown", "text"]
    );
    let words = received[2].json()["text"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        words.contains("push in orbit/lander") && words.contains("http://"),
        "{words}"
    );
}

#[tokio::test]
async fn a_wrong_secret_of_dingtalk_is_a_hold_that_says_so_and_nothing_more() {
    let desk = Desk::new();
    let service = FakeDingTalk::with_secret(SECRET);
    let standin = StandIn::start(service, desk.clock.clone()).await.unwrap();
    let outcome = desk.attempt(&push(), &dingtalk(&standin, "SECother")).await;
    assert_eq!(outcome.verdict.reason(), Reason::EndpointRefused);
    let words = &outcome.trace.verdict;
    assert!(
        words.contains("errcode 310000: the signature does not match"),
        "{words}"
    );
    assert!(
        !words.contains("SECother") && !words.contains("access_token"),
        "{words}"
    );
}

/// A robot at the stand-in; without a secret, when that is empty.
fn dingtalk(standin: &StandIn, secret: &str) -> Destination {
    let kind = Kind::DingTalk(DingTalk {
        url: SecretUrl::parse(&standin.url()).unwrap(),
        secret: (!secret.is_empty()).then(|| secret.to_owned().into()),
    });
    destination("ding", kind)
}

#[tokio::test]
async fn a_message_refused_for_its_content_is_sent_in_a_plainer_form() {
    let folder = tempfile::tempdir().unwrap();
    write_template(folder.path(), "{\"text\": \"mine: {{event}}\"}");
    let desk = Desk::with(folder.path(), Arc::new(Mutex::new(Vec::new())));
    let standin = desk.slack().await;
    let mut destination = slack("team", &standin);
    destination.templates = "mine".into();
    for refusals in 1..=2 {
        let before = standin.received().len();
        standin.script(vec![Script::status(400).body("invalid_blocks"); refusals]);
        let outcome = desk.attempt(&push(), &destination).await;
        assert_eq!(outcome.verdict, Verdict::Delivered);
        let received = &standin.received()[before..];
        assert_eq!(received.len(), refusals + 1);
        let bodies: Vec<_> = received.iter().map(|it| &it.body).collect();
        assert!(bodies.windows(2).all(|pair| pair[0] != pair[1]));
        let why = fallback(&outcome.trace);
        assert!(
            why.starts_with("mine/slack/push: Slack answered 400 invalid_blocks"),
            "{why}"
        );
        assert_eq!(outcome.trace.sent.as_ref(), bodies.last().copied());
        let template = &outcome.trace.template;
        let want = ["default/slack/", "plain"][refusals - 1];
        assert!(template.starts_with(want), "{template}");
    }
    let violations = standin.violations();
    assert_eq!(violations, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_refused_in_every_form_is_buried_and_an_unknown_refusal_is_not() {
    let desk = Desk::new();
    let (slack_in, discord_in) = (desk.slack().await, desk.discord().await);
    let code = serde_json::json!({"code": 50035, "message": "Invalid Form Body"});
    slack_in.rule(|_| Some(Script::status(400).body("invalid_attachments")));
    discord_in.rule(move |_| Some(Script::json(400, &code)));
    let buried = Verdict::Bury {
        reason: Reason::ContentRefused,
    };
    for (destination, standin) in [
        (slack("team", &slack_in), &slack_in),
        (discord("ops", &discord_in), &discord_in),
    ] {
        let outcome = desk.attempt(&push(), &destination).await;
        assert_eq!(outcome.verdict, buried);
        // The chosen set is the built-in one, so its step is passed over.
        assert_eq!(standin.received().len(), 2);
    }
    slack_in.rule(|_| Some(Script::status(400).body("<html>a proxy's page</html>")));
    let outcome = desk.attempt(&push(), &slack("team", &slack_in)).await;
    let retry = Verdict::Retry {
        reason: Reason::ClientError,
        wait: None,
    };
    assert_eq!(outcome.verdict, retry);
}

#[tokio::test]
async fn a_channel_that_is_not_found_is_left_out_once_and_said() {
    let desk = Desk::new();
    let standin = desk.slack().await;
    let mut destination = slack("team", &standin);
    let not_found = || Script::status(404).body("channel_not_found");
    standin.script([not_found()]);
    let outcome = desk.attempt(&push(), &destination).await;
    assert!(
        matches!(outcome.verdict, Verdict::Hold { .. }),
        "none was set"
    );

    if let Kind::Slack(to) = &mut destination.kind {
        to.channel = Some("#nowhere".into());
    }
    standin.script([not_found()]);
    let outcome = desk.attempt(&push(), &destination).await;
    assert_eq!(outcome.verdict, Verdict::Delivered);
    let why = fallback(&outcome.trace);
    assert!(why.contains("#nowhere"), "{why}");
    let received = standin.received();
    assert_eq!(received[1].json()["channel"], "#nowhere");
    assert!(received[2].json().get("channel").is_none());

    standin.script([not_found(), not_found()]);
    let outcome = desk.attempt(&push(), &destination).await;
    assert!(matches!(outcome.verdict, Verdict::Hold { .. }), "once");
    assert_eq!(standin.received().len(), 5);
}

#[tokio::test]
async fn discord_gets_its_thread_and_the_history_its_message_id() {
    let desk = Desk::new();
    let standin = desk.discord().await;
    let mut destination = discord("ops", &standin);
    if let Kind::Discord(to) = &mut destination.kind {
        to.thread_id = Some("987".into());
    }
    let outcome = desk.attempt(&push(), &destination).await;
    assert_eq!(outcome.verdict, Verdict::Delivered);
    let words = outcome.trace.verdict;
    assert!(words.contains("message 1000000000001"), "{words}");
    let received = standin.received();
    assert!(received[0].target.ends_with("?wait=true&thread_id=987"));
    let id = received[0].header("x-gogs-delivery");
    assert_eq!(id, &*push().delivery_id);
    assert_eq!(standin.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_broken_off_answer_is_none_for_a_chat_and_enough_for_gogs_format() {
    let desk = Desk::new();
    let (chat, plain) = (desk.slack().await, desk.gogs().await);
    let cut = || Script::status(200).body("ok then").ending(Ending::Cut);
    chat.script([cut()]);
    plain.script([cut()]);
    let outcome = desk.attempt(&push(), &slack("team", &chat)).await;
    let retry = Verdict::Retry {
        reason: Reason::Reset,
        wait: None,
    };
    assert_eq!((outcome.verdict, outcome.trace.status), (retry, None));
    let outcome = desk.attempt(&push(), &gogs("ci", &plain)).await;
    let trace = outcome.trace;
    assert_eq!(
        (outcome.verdict, trace.status),
        (Verdict::Delivered, Some(200))
    );
}

#[tokio::test]
async fn a_template_that_renders_nothing_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_template(folder.path(), "{{#if false}}x{{/if}}\n  \n");
    let desk = Desk::with(folder.path(), Arc::new(Mutex::new(Vec::new())));
    let standin = desk.slack().await;
    let mut destination = slack("team", &standin);
    destination.templates = "mine".into();
    let outcome = desk.attempt(&push(), &destination).await;
    assert_eq!(outcome.verdict, Verdict::Skip);
    assert_eq!(outcome.trace.template, "mine/slack/push");
    assert_eq!(standin.received().len(), 0);
}

#[tokio::test]
async fn the_console_prints_and_a_writer_that_fails_is_tried_again() {
    let printed = Arc::new(Mutex::new(Vec::new()));
    let desk = Desk::with(Path::new("/nowhere"), printed.clone());
    let screen = destination("screen", Kind::Console);
    let outcome = desk.attempt(&push(), &screen).await;
    assert_eq!(outcome.verdict, Verdict::Delivered);
    let text = String::from_utf8(printed.lock().unwrap().clone()).unwrap();
    assert!(
        text.ends_with('\n') && text.contains("orbit/lander"),
        "{text}"
    );

    let desk = Desk::with(Path::new("/nowhere"), Arc::new(Mutex::new(Broken)));
    let outcome = desk.attempt(&push(), &screen).await;
    let retry = Verdict::Retry {
        reason: Reason::Reset,
        wait: None,
    };
    assert_eq!(outcome.verdict, retry);
}

#[tokio::test]
async fn a_panic_is_caught_and_is_a_verdict() {
    let desk = Desk::with(Path::new("/nowhere"), Arc::new(Mutex::new(Panics)));
    let screen = destination("screen", Kind::Console);
    let outcome = desk.attempt(&push(), &screen).await;
    let buried = Verdict::Bury {
        reason: Reason::Panic,
    };
    assert_eq!(outcome.verdict, buried);
    assert!(!outcome.trace.verdict.contains("secret text"));
}

#[tokio::test]
async fn no_verdict_names_the_url_the_secret_or_the_body() {
    let desk = Desk::new();
    let standin = desk.slack().await;
    let path = standin.url().rsplit('/').next().unwrap().to_owned();
    let destination = slack("team", &standin);
    let echo = format!("hello {path} orbit/lander");
    standin.script([
        Script::status(500).body(echo.clone()),
        Script::status(400).body(echo.clone()),
        Script::status(400).body(echo),
        Script::status(302).header("location", standin.url()),
        Script::status(200).ending(Ending::Closes),
    ]);
    for _ in 0..4 {
        let outcome = desk.attempt(&push(), &destination).await;
        let said = format!("{} {}", outcome.trace.verdict, fallback(&outcome.trace));
        assert!(!said.contains(&path) && !said.contains("orbit"), "{said}");
    }
    assert_eq!(format!("{:?}", destination.kind).find(&path), None);
}

fn write_template(folder: &Path, text: &str) {
    let set = folder.join("mine/slack");
    std::fs::create_dir_all(&set).unwrap();
    std::fs::write(set.join("push.hbs"), text).unwrap();
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Panics;

impl Write for Panics {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        panic!("secret text")
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
