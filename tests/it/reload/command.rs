//! The real binary: SIGHUP, and the command.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, StandIn};

use crate::binary::{Binary, Client, PATIENCE, api, push};

const SECRET: &str = "reload-s3cret";

fn yaml(standins: &[(&str, &StandIn)], more: &str) -> String {
    let mut yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\n\
         sources: {{ gogs: {{ secret: {SECRET} }} }}\ndestinations:\n"
    );
    for (name, standin) in standins {
        yaml += &format!(
            "  {name}: {{ gogs: {{ url: '{}', secret: {SECRET} }}, retry: {{ first: 1h, max: 1h }} }}\n",
            standin.url()
        );
    }
    yaml + more
}

async fn receiver() -> StandIn {
    let service = FakeGogs::with_secret(SECRET);
    StandIn::start(service, Clock::system()).await.unwrap()
}

fn write(folder: &Path, yaml: &str) {
    std::fs::write(folder.join("relay.yaml"), yaml).unwrap();
}

/// `gogs-relay reload`, told where the relay is.
fn reload(admin: SocketAddr, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
        .args(["reload", "--admin", &admin.to_string()])
        .args(more)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Waits until the log says so.
async fn logged(relay: &Binary, words: &str) -> String {
    let clock = Clock::system();
    while !relay.log().contains(words) {
        assert!(
            clock.elapsed() < PATIENCE,
            "no {words:?} in:\n{}",
            relay.log()
        );
        tokio::task::yield_now().await;
    }
    relay.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_relay_is_reloaded_under_load_and_nobody_notices() {
    let (a, b) = (receiver().await, receiver().await);
    let folder = tempfile::tempdir().unwrap();
    let both = [("a", &a), ("b", &b)];
    write(folder.path(), &yaml(&both, ""));
    let relay = Binary::start(folder.path());
    let (longest, posted) = reload_under_load(&relay, |number| {
        let history = format!("history: {{ keep: {number}d }}\n");
        write(folder.path(), &yaml(&both, &history));
    });
    for standin in [&a, &b] {
        let arrived = Clock::system()
            .timeout(PATIENCE, standin.wait_for(posted))
            .await;
        assert_eq!(arrived.expect("all arrive").len(), posted, "none twice");
        assert_eq!(standin.violations(), Vec::<String>::new());
    }
    figure!(
        "20 reloads by signal and command: {posted} posted, 0 refused, 0 lost, 0 twice; the slowest answer took {longest:?}"
    );
    relay.ask_to_stop();
    assert!(relay.wait().success());
}

/// Reloads twenty times, by signal and by command, while four connections post; how long the
/// slowest answer took, and how many there were. `rewrite` makes each history another.
fn reload_under_load(relay: &Binary, rewrite: impl Fn(usize)) -> (Duration, usize) {
    let (stop, posted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let slowest = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (hooks, stop, posted) = (relay.hooks, &stop, &posted);
                scope.spawn(move || post_until(hooks, client, stop, posted))
            })
            .collect();
        for number in 1..=20 {
            let seen = posted.load(Ordering::SeqCst);
            rewrite(number);
            if number % 2 == 0 {
                relay.ask_to_reload();
                while relay.log().matches("changed history").count() < number {
                    std::thread::yield_now();
                }
            } else {
                let done = reload(relay.admin, &[]);
                assert_eq!(text(&done.stdout), "in force: history\n", "{done:?}");
                assert!(done.status.success());
            }
            while posted.load(Ordering::SeqCst) < seen + 20 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::SeqCst);
        let slowest = clients.into_iter().map(|client| client.join().unwrap());
        slowest.max().unwrap()
    });
    (slowest, posted.into_inner())
}

/// Posts until told to stop; how long the slowest answer took.
fn post_until(
    hooks: SocketAddr,
    client: usize,
    stop: &AtomicBool,
    posted: &AtomicUsize,
) -> Duration {
    let (mut connection, clock) = (Client::connect(hooks).unwrap(), Clock::system());
    let mut longest = Duration::ZERO;
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (id, begun) = (format!("{client}-{number}"), clock.elapsed());
        let answer = connection.deliver("gogs", SECRET, &id, &push(&id)).unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        longest = longest.max(clock.elapsed() - begun);
        posted.fetch_add(1, Ordering::SeqCst);
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_came_of_it_in_words_and_by_its_exit_code() {
    let (a, b) = (receiver().await, receiver().await);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &yaml(&[("a", &a)], ""));
    let relay = Binary::start(folder.path());

    let done = reload(relay.admin, &[]);
    assert_eq!(
        (done.status.code(), text(&done.stdout).as_str()),
        (Some(0), "nothing has changed\n")
    );

    write(folder.path(), &yaml(&[("b", &b)], "limits: { sends: 3 }\n"));
    let done = reload(relay.admin, &[]);
    let said = "in force: destinations.a, destinations.b\n\
                needs a restart: limits.sends\n\
                a is gone; nothing waits for it\n";
    assert_eq!(
        (done.status.code(), text(&done.stdout).as_str()),
        (Some(0), said)
    );
    logged(
        &relay,
        "changed destinations.a, destinations.b; needs a restart: limits.sends; a is gone",
    )
    .await;

    write(
        folder.path(),
        &yaml(&[("b", &b)], "routs: []\nlimits: { sends: 4 }\n"),
    );
    let done = reload(relay.admin, &["--json"]);
    assert_eq!(
        (done.status.code(), text(&done.stdout).as_str()),
        (Some(2), "")
    );
    let said = text(&done.stderr);
    assert!(
        said.contains("unknown key \"routs\"") && said.contains("did you mean `routes`?"),
        "{said}"
    );
    assert!(
        said.ends_with("nothing was changed; the relay goes on with what it has\n"),
        "{said}"
    );

    write(folder.path(), &yaml(&[("b", &b)], "limits: { sends: 4 }\n"));
    let done = reload(relay.admin, &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["needs_restart"], serde_json::json!(["limits.sends"]));

    relay.ask_to_stop();
    let admin = relay.admin;
    assert!(relay.wait().success());
    assert_eq!(reload(admin, &[]).status.code(), Some(1), "nobody is there");
    assert_eq!(reload(admin, &["--nonsense"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_at_a_signal_is_drawn_in_the_log_and_changes_nothing() {
    let a = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &yaml(&[("a", &a)], ""));
    let relay = Binary::start(folder.path());
    let broken = "routes: [{ to: [aa] }]\nroute: {}\n";
    let broken = yaml(&[("a", &a)], broken).replace(SECRET, "brand-new-s3cret");
    write(folder.path(), &broken);
    relay.ask_to_reload();
    let log = logged(&relay, "because of 2 mistakes").await;
    let check = Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
        .args(["check", "-c"])
        .arg(folder.path().join("relay.yaml"))
        .output()
        .unwrap();
    let drawn = text(&check.stdout);
    let (drawn, _) = drawn
        .rsplit_once('\n')
        .unwrap()
        .0
        .rsplit_once('\n')
        .unwrap();
    let log = match log.contains(drawn) {
        true => log,
        false => logged(&relay, drawn).await,
    };
    assert!(!log.contains("brand-new-s3cret"), "{log}");
    let mut client = Client::connect(relay.hooks).unwrap();
    let answer = client.deliver("gogs", SECRET, "one", &push("one")).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    a.wait_for(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_renamed_while_the_relay_is_off_is_taken_over_at_the_start() {
    let a = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &yaml(&[("old", &a)], ""));
    let relay = Binary::start(folder.path());
    let (status, _) = api(relay.admin, "POST", "/v1/destinations/old/hold", "").unwrap();
    assert_eq!(status, 200);
    let mut client = Client::connect(relay.hooks).unwrap();
    let answer = client.deliver("gogs", SECRET, "one", &push("one")).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    relay.ask_to_stop();
    assert!(relay.wait().success());

    write(
        folder.path(),
        &yaml(&[("new", &a)], "").replace("new: {", "new: { was: old,"),
    );
    let relay = Binary::start(folder.path());
    api(relay.admin, "POST", "/v1/destinations/new/resume", "").unwrap();
    assert_eq!(a.wait_for(1).await[0].header("x-gogs-delivery"), "one");
}
