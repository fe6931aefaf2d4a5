//! Hooks as a person at the command line sees them.

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, Script, StandIn};

use super::wire::{HOOKS, TOKEN, ask, happens, hook, start};
use crate::relay::TestRelay;

/// Runs a command against the relay; its exit code, and all that it said.
async fn run(relay: &TestRelay, line: &str) -> (i32, String) {
    let admin = format!("http://{}", relay.admin);
    let mut args: Vec<String> = line.split(' ').map(str::to_owned).collect();
    args.extend(["--admin".to_owned(), admin]);
    let running = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
        command.args(args).output().unwrap()
    });
    let output = running.await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_listed_shown_and_deleted_without_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let relay = start(folder.path(), clock.clone()).await;
    ask(&relay, "GET", HOOKS, "").await.with(200);
    let (code, said) = run(&relay, "hooks list").await;
    assert_eq!((code, said.as_str()), (0, "no hooks\n"));

    let standin = StandIn::start(FakeGogs::with_secret("receiver-s3cret"), clock);
    let standin = standin.await.unwrap();
    standin.rule(|_| Some(Script::status(410)));
    let body = hook(&format!("{}?very-secret-path", standin.url()), "");
    ask(&relay, "POST", HOOKS, &body).await.with(201);
    happens(&relay, "push", "orbit/lander", 1).await;
    standin.wait_for(1).await;
    let mut listed = run(&relay, "hooks list").await;
    while !listed.1.contains("held") {
        listed = run(&relay, "hooks list").await;
    }
    let (_, shown) = run(&relay, "hooks show 1").await;
    for words in ["orbit/lander", "gogs", "push", "held"] {
        assert!(
            listed.1.contains(words) && shown.contains(words),
            "{listed:?} {shown}"
        );
    }
    assert!(shown.contains("deliveries are signed"), "{shown}");
    assert!(
        shown.contains("deliveries list --destination hook:1"),
        "{shown}"
    );
    let (_, json) = run(&relay, "hooks list --json").await;
    for secret in ["very-secret-path", "receiver-s3cret", TOKEN] {
        for said in [&listed.1, &shown, &json] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    deletes(&relay).await;
    relay.finish().await;
}

async fn deletes(relay: &TestRelay) {
    let (code, said) = run(relay, "hooks delete 1").await;
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("cancel 1 delivery") && said.contains("`--yes`"),
        "{said}"
    );
    let (code, said) = run(relay, "hooks delete hook:1 --yes").await;
    assert_eq!((code, said.as_str()), (0, "hook 1 is deleted\n"));
    let (code, said) = run(relay, "hooks delete first").await;
    assert_eq!(code, 2);
    assert!(said.contains("not the id of a hook"), "{said}");
    let (code, said) = run(relay, "hooks show 1").await;
    assert_eq!(code, 1);
    assert!(
        said.contains("no hook 1; `gogs-relay hooks list` shows all"),
        "{said}"
    );
    let (_, said) = run(relay, "deliveries list --destination hook:1").await;
    assert!(said.contains("cancelled"), "{said}");
}
