//! What a person types at night, against a running relay.

use std::path::Path;
use std::process::Command;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, FakeSlack, Script, StandIn};

use crate::binary::{Binary, Client, PATIENCE, raw_post};

/// A relay with a chat and a receiver of Gogs' format.
struct Running {
    folder: tempfile::TempDir,
    relay: Binary,
}

impl Running {
    fn start(slack: &StandIn, gogs: &StandIn) -> Running {
        Running::start_with(slack, gogs, "")
    }

    fn start_with(slack: &StandIn, gogs: &StandIn, more: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\n\
             sources: {{ gogs: {{ secret: night-shift }} }}\n\
             destinations:\n  chat: {{ slack: {{ url: '{}' }}, rate: unlimited }}\n  \
             ci: {{ gogs: {{ url: '{}' }} }}\n{more}",
            slack.url(),
            gogs.url()
        );
        std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
        let relay = Binary::start(folder.path());
        Running { folder, relay }
    }

    /// Runs a command; it must end so, and say these words.
    fn run(&self, line: &str, code: i32, words: &str) -> String {
        let address = match line.split(' ').next() {
            Some("send") => [
                "--url".to_owned(),
                format!("http://{}/hooks/gogs", self.relay.hooks),
            ],
            _ => ["--admin".to_owned(), format!("http://{}", self.relay.admin)],
        };
        let args = line.split(' ').map(str::to_owned).chain(address);
        let (ended, said) = run(self.folder.path(), &args.collect::<Vec<_>>());
        assert_eq!(ended, code, "{line}: {said}");
        assert!(said.contains(words), "{line}: {said}");
        said
    }

    /// Runs a command again and again, until it says these words.
    fn until(&self, line: &str, words: &str) {
        while !self.run(line, 0, "").contains(words) {}
    }
}

fn run(folder: &Path, args: &[String]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (output.status.code().unwrap(), said)
}

async fn played(play: impl FnOnce(&Running) + Send + 'static) -> (StandIn, StandIn) {
    let clock = Clock::system();
    let slack = StandIn::start(FakeSlack::default(), clock.clone())
        .await
        .unwrap();
    let gogs = StandIn::start(FakeGogs::default(), clock.clone())
        .await
        .unwrap();
    // Refused until somebody corrects it.
    slack.script(vec![Script::status(403).body("action_prohibited"); 1]);
    let running = Running::start(&slack, &gogs);
    let playing = tokio::task::spawn_blocking(move || play(&running));
    clock.timeout(PATIENCE, playing).await.unwrap().unwrap();
    (slack, gogs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_with_a_held_destination() {
    let (slack, gogs) = played(|relay| {
        is_held(relay);
        leaves_behind(relay);
        sends_again(relay);
        presses_the_button(relay);
        sums_up(relay);
    })
    .await;
    let texts: Vec<String> = slack
        .received()
        .iter()
        .map(|it| it.json().to_string())
        .collect();
    assert_eq!(
        texts.len(),
        4,
        "the first, two of three again, and the summary: {texts:?}"
    );
    assert!(texts[3].contains("2 events from "), "{}", texts[3]);
    assert_eq!(
        gogs.received().len(),
        6,
        "another destination is not concerned"
    );
}

fn is_held(relay: &Running) {
    relay.run("send", 0, "202");
    // What it is, since when, and when it is tried again.
    relay.until("destinations list", "held");
    let list = relay.run("destinations list", 0, "action_prohibited");
    assert!(list.contains("(since 20"), "{list}");
    let held = relay.run("deliveries list --state held", 0, "1:chat");
    assert!(held.contains("the destination is held since 20"), "{held}");
    relay.run("deliveries show 1:chat", 0, "the destination is held since");
    relay.run("send --event issues", 0, "202");
    relay.run("send", 0, "202");
}

fn leaves_behind(relay: &Running) {
    relay.run(
        "destinations resume chat --newer-than yesterday",
        2,
        "'--newer-than <TIME>': write an age such as 2h",
    );
    relay.run(
        "destinations resume chat --rest burn",
        1,
        "keep, dead and summary",
    );
    relay.run(
        "destinations resume ci --rest summary",
        1,
        "leave the rest to keep or dead",
    );
    relay.run(
        "destinations resume chat --newer-than 0s --rest keep",
        0,
        "3 deliveries stay held",
    );
    relay.run("destinations list", 0, "3 kept back (since 20");
    relay.run(
        "destinations discard chat --kept-back --dry-run",
        0,
        "3 deliveries to chat would",
    );
    relay.run("deliveries cancel 3:chat", 0, "cancelled");
    relay.run(
        "destinations resume chat --rest dead",
        0,
        "2 deliveries became dead letters",
    );
    relay.until("deliveries list --state dead", "2:chat");
    let dead = relay.run("deliveries list --state dead", 0, "left behind when");
    assert!(dead.contains("kept until 20"), "{dead}");
}

fn sends_again(relay: &Running) {
    relay.run("deliveries redeliver", 2, "--state");
    relay.run(
        "deliveries redeliver 1:chat --state dead",
        2,
        "cannot be used with",
    );
    relay.run("deliveries redeliver --state held", 1, "must be dead");
    relay.run(
        "deliveries redeliver --state dead --destination chat --dry-run",
        0,
        "2 deliveries would be sent again",
    );
    relay.run(
        "deliveries redeliver --state dead --destination chat",
        2,
        "--yes",
    );
    relay.run(
        "deliveries redeliver --state dead --event issues --yes",
        0,
        "1 delivery on their way again",
    );
    relay.run(
        "deliveries redeliver --state dead --yes",
        0,
        "1 delivery on",
    );
    relay.run(
        "deliveries redeliver --state dead --yes",
        0,
        "no deliveries",
    );
    relay.until(
        "deliveries list --state delivered --destination chat",
        "1:chat",
    );
    relay.until(
        "deliveries list --state delivered --destination chat",
        "2:chat",
    );
}

fn presses_the_button(relay: &Running) {
    // Gogs' own button: what was not delivered goes again, and what waits is not doubled.
    let body = r#"{"ref":"refs/heads/main"}"#;
    let mut gogs = Client::connect(relay.relay.hooks).unwrap();
    let mut press = || {
        let answer = gogs.deliver("gogs", "night-shift", "the-button", body);
        let answer = answer.unwrap();
        (answer.status, answer.body)
    };
    relay.run("destinations hold chat", 0, "chat is held");
    assert_eq!(press().0, 202);
    relay.until("deliveries list --state delivered --destination ci", "4:ci");
    let again = |requeued: &str| {
        let body = format!(r#"{{"event":4,"duplicate":true,"requeued":{requeued}}}"#);
        (200, body)
    };
    assert_eq!(press(), again("[]"), "one is delivered, the other waits");
    relay.run("deliveries cancel 4:chat", 0, "cancelled");
    assert_eq!(press(), again(r#"["chat"]"#));
    assert_eq!(press(), again("[]"));
    relay.run("destinations discard chat --yes", 0, "cancelled 1 delivery");
    relay.run("destinations resume chat", 0, "goes on");
}

fn sums_up(relay: &Running) {
    relay.run("destinations hold chat --reason repairs", 0, "chat is held");
    relay.run("destinations list", 0, "repairs (since 20");
    relay.run("send", 0, "202");
    relay.run("send --event release", 0, "202");
    relay.run(
        "destinations resume chat --newer-than 0s --rest summary",
        0,
        "one message sums up 2 deliveries",
    );
    relay.until("deliveries list --state skipped", "5:chat");
    relay.until("deliveries list --event summary", "delivered");
    relay.run(
        "destinations discard chat --yes",
        0,
        "nothing waits for chat",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_events_is_refused_everywhere() {
    played(|relay| {
        for (path, to) in [("/v1/route", ""), ("/v1/render", r#""to":"chat","#)] {
            let body = format!(r#"{{{to}"event":"../push","body":{{}}}}"#);
            let headers = [
                ("Host", "localhost".to_owned()),
                ("Content-Type", "application/json".to_owned()),
                ("Content-Length", body.len().to_string()),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value));
            let answer = raw_post(relay.relay.admin, path, &headers, &body);
            assert_eq!(answer.status, 400, "{path}: {answer:?}");
            assert!(
                answer.body.contains("names are up to 40 of a to z"),
                "{answer:?}"
            );
        }
        let payload = relay.folder.path().join("payload.json");
        std::fs::write(payload, "{}").unwrap();
        for command in ["route", "send"] {
            let line = format!("{command} payload.json --event Push!");
            let (code, said) = match command {
                "send" => (2, relay.run(&line, 2, "")),
                _ => {
                    let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
                    run(relay.folder.path(), &args)
                }
            };
            assert_eq!(code, 2, "{said}");
            assert!(said.contains("names are up to 40 of a to z"), "{said}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_visitor_of_the_own_api_is_sent_away() {
    use std::io::{Read, Write};

    let slack = StandIn::start(FakeSlack::default(), Clock::system());
    let gogs = StandIn::start(FakeGogs::default(), Clock::system());
    let (slack, gogs) = (slack.await.unwrap(), gogs.await.unwrap());
    let waiting = tokio::task::spawn_blocking(move || {
        let relay = Running::start_with(&slack, &gogs, "limits: { header_timeout: 200ms }\n");
        let mut slow = std::net::TcpStream::connect(relay.relay.admin).unwrap();
        slow.set_read_timeout(Some(PATIENCE)).unwrap();
        slow.write_all(b"GET /healthz HT").unwrap();
        let mut answer = Vec::new();
        slow.read_to_end(&mut answer).unwrap();
        relay.run("destinations list", 0, "chat");
    });
    waiting.await.unwrap();
}

#[test]
fn check_tells_of_a_folder_of_templates_that_nothing_looks_into() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("templates/mine/slak")).unwrap();
    let yaml =
        "sources: { gogs: { secret: night-shift } }\ndestinations: { screen: { console: {} } }\n";
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let (code, said) = run(folder.path(), &["check".to_owned()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("did you mean `slack`?"), "{said}");
}

#[test]
fn a_push_without_a_repository_reads_as_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let yaml =
        "sources: { gogs: { secret: night-shift } }\ndestinations: { screen: { console: {} } }\n";
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    for (payload, words) in [
        ("{}", "Somebody pushed\n"),
        (r#"{"ref":"refs/heads/main"}"#, "Somebody pushed to main\n"),
    ] {
        std::fs::write(folder.path().join("payload.json"), payload).unwrap();
        let args = [
            "render",
            "payload.json",
            "--event",
            "push",
            "--to",
            "screen",
        ];
        let (code, said) = run(folder.path(), &args.map(str::to_owned));
        assert_eq!((code, said.as_str()), (0, words));
    }
}
