//! What a person types at night, against a running relay.

use std::path::Path;
use std::process::Command;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, FakeSlack, Script, StandIn};

use crate::binary::{Binary, PATIENCE};

/// A relay with a chat and a receiver of Gogs' format.
struct Running {
    folder: tempfile::TempDir,
    relay: Binary,
}

impl Running {
    fn start(slack: &StandIn, gogs: &StandIn) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\n\
             sources: {{ gogs: {{ secret: night-shift }} }}\n\
             destinations:\n  chat: {{ slack: {{ url: '{}' }}, rate: unlimited }}\n  \
             ci: {{ gogs: {{ url: '{}' }} }}\n",
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

        relay.run(
            "destinations resume chat --newer-than yesterday",
            1,
            "RFC 3339",
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

        relay.run("destinations hold chat --reason repairs", 0, "chat is held");
        relay.run("destinations list", 0, "repairs (since 20");
        relay.run("send", 0, "202");
        relay.run("send --event release", 0, "202");
        relay.run(
            "destinations resume chat --newer-than 0s --rest summary",
            0,
            "one message sums up 2 deliveries",
        );
        relay.until("deliveries list --state skipped", "4:chat");
        relay.until("deliveries list --event summary", "delivered");
        relay.run(
            "destinations discard chat --yes",
            0,
            "nothing waits for chat",
        );
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
        5,
        "another destination is not concerned"
    );
}
