//! The commands, run as the real binary.

use std::path::Path;
use std::process::{Command, Output};

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeSlack, Script, StandIn};
use serde_json::Value;

use crate::binary::{Binary, PATIENCE, Reader};

/// Runs a command in a folder; its code and what it printed.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
    let Output {
        status,
        stdout,
        stderr,
    } = command.current_dir(folder).args(args).output().unwrap();
    Ran {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

impl Ran {
    /// It ended with this code, and said this somewhere.
    #[track_caller]
    fn check(&self, code: i32, words: &str) -> &Ran {
        let Ran { out, err, .. } = self;
        assert_eq!(self.code, code, "{out}{err}");
        assert!(
            out.contains(words) || err.contains(words),
            "{words:?} is not in:\n{out}{err}"
        );
        self
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn init_writes_a_configuration_that_check_likes_and_never_overwrites_one() {
    let folder = folder();
    run(folder.path(), &["init"]).check(0, "wrote relay.yaml");
    run(folder.path(), &["check"]).check(0, "relay.yaml: fine\n");
    let path = folder.path().join("relay.yaml");
    let first = std::fs::read_to_string(&path).unwrap();
    run(folder.path(), &["init"]).check(2, "`--force` writes over it");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
    run(folder.path(), &["init", "--force"]).check(0, "wrote relay.yaml");
    assert_ne!(
        std::fs::read_to_string(&path).unwrap(),
        first,
        "each has a secret of its own"
    );
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds a secret");
}

#[test]
fn serve_without_a_configuration_says_where_it_looked_and_what_to_do() {
    run(folder().path(), &[]).check(2, "there is no relay.yaml; `gogs-relay init` writes one");
}

#[test]
fn wrong_usage_and_wrong_configuration_end_with_two_and_failures_with_one() {
    let folder = folder();
    run(folder.path(), &["fly"]).check(2, "unrecognized subcommand");
    run(folder.path(), &["init"]);
    run(folder.path(), &["send", "--event", "earthquake"])
        .check(2, "there is no sample of \"earthquake\"");
    run(
        folder.path(),
        &["send", "--url", "http://127.0.0.1:9/hooks/gogs"],
    )
    .check(1, "no relay answers at");
    run(
        folder.path(),
        &["deliveries", "list", "--admin", "127.0.0.1:9"],
    )
    .check(1, "is it running?");
    run(folder.path(), &["route", "nothing.json"]).check(1, "failed to read nothing.json");
    std::fs::write(folder.path().join("relay.yaml"), "destinatoins: {}\n").unwrap();
    run(folder.path(), &["check"]).check(2, "destinations");
    run(folder.path(), &["serve"]).check(2, "destinations");
}

#[test]
fn a_file_that_is_not_there_is_looked_for_in_a_folder_with_a_name() {
    let folder = folder();
    let yaml = "sources: { gogs: { secret: { file: gogs.key } } }\n\
                destinations: { screen: { console: {} } }\n";
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    run(folder.path(), &["check"]).check(2, "a relative path starts at .\n");
}

#[test]
fn route_and_render_need_no_running_relay() {
    let folder = folder();
    let yaml = "sources: { gogs: { secret: cli-test } }\n\
                destinations: { screen: { console: {} }, chat: { slack: { url: 'https://slack.invalid/x' } } }\n\
                routes: [{ name: releases, branches: ['release/**'], to: [chat] }, { to: [screen] }]\n";
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let push = r#"{"ref":"refs/heads/main","before":"a","after":"b","commits":[],"repository":{"full_name":"orbit/lander","html_url":"https://git.invalid/orbit/lander"},"sender":{"username":"mira"}}"#;
    std::fs::write(folder.path().join("push.json"), push).unwrap();
    let routed = run(folder.path(), &["route", "push.json"]);
    routed
        .check(0, "goes to: screen")
        .check(0, "releases: passed over")
        .check(0, "push on main in orbit/lander by mira");
    let rendered = run(folder.path(), &["render", "push.json", "--to", "chat"]);
    rendered.check(0, "mira");
    let body: Value = serde_json::from_str(&rendered.out).expect("the exact body is JSON");
    assert!(
        body["text"].as_str().unwrap().contains("orbit/lander"),
        "{body}"
    );
    run(folder.path(), &["render", "push.json", "--to", "nobody"])
        .check(2, "there are chat, screen");
}

#[test]
fn without_a_file_a_sample_is_routed_and_rendered() {
    let folder = folder();
    run(folder.path(), &["init"]);
    run(folder.path(), &["route"]).check(0, "push on main in orbit/lander by mira");
    run(
        folder.path(),
        &["render", "--event", "fork", "--to", "screen"],
    )
    .check(0, "forked");
    run(
        folder.path(),
        &["render", "--event", "earthquake", "--to", "screen"],
    )
    .check(2, "there are push, create");
    run(folder.path(), &["route", "--source", "nobody"])
        .check(2, "no source \"nobody\"; there are gogs");
    run(folder.path(), &["send", "--source", "nobody"])
        .check(2, "no source \"nobody\"; there are gogs");
    run(folder.path(), &["send", "--url", "relay", "--secret", "x"])
        .check(1, "\"relay\" is not a URL");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = folder();
    for args in [
        &["init"][..],
        &["check"],
        &["route"],
        &["render", "--to", "screen"],
        &["completions", "bash"],
        &["demo"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
        let output = command
            .current_dir(folder.path())
            .args(args)
            .stdout(writer)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

const CONSOLE: &str = "listen: 127.0.0.1:0\nadmin: { listen: '127.0.0.1:0' }\nshutdown_grace: 1s\n\
                       sources: { gogs: { secret: shipped-secret-change-me } }\n\
                       destinations: { screen: { console: {} } }\n";

/// `send` to this relay.
fn send_to(relay: &Binary, folder: &Path) -> Ran {
    run(
        folder,
        &[
            "send",
            "--url",
            &format!("http://{}/hooks/gogs", relay.hooks),
        ],
    )
}

#[test]
fn the_relay_goes_on_when_nobody_reads_its_log_any_more() {
    let folder = folder();
    std::fs::write(folder.path().join("relay.yaml"), CONSOLE).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    // The console fails too, so that there is something to log.
    drop(reader);
    let relay = Binary::start_with(folder.path(), writer.into(), Reader::LeavesWhenReady);
    assert!(
        relay.said.contains("relay.yaml:4: "),
        "warned of the shipped secret: {}",
        relay.said
    );
    assert!(
        !relay.said.contains('\x1b'),
        "no colour but on a terminal: {}",
        relay.said
    );
    let failed = || {
        run(
            folder.path(),
            &["destinations", "list", "--admin", &relay.admin.to_string()],
        )
    };
    send_to(&relay, folder.path()).check(0, "202");
    while !failed().out.contains("the console does not take") {}
    send_to(&relay, folder.path()).check(0, "202");
    relay.ask_to_stop();
    assert_eq!(relay.wait().code(), Some(0));
}

#[test]
fn a_terminal_that_stands_still_does_not_keep_the_relay_from_stopping() {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use std::io::Write;
    let folder = folder();
    std::fs::write(folder.path().join("relay.yaml"), CONSOLE).unwrap();
    let (_reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b' '; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    let relay = Binary::start_with(folder.path(), writer.into(), Reader::Stays);
    send_to(&relay, folder.path()).check(0, "202");
    let list = || {
        run(
            folder.path(),
            &["deliveries", "list", "--admin", &relay.admin.to_string()],
        )
    };
    while !list().out.contains("sending") {}
    relay.ask_to_stop();
    let (say, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || say.send(relay.wait().code()));
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(Some(0)));
}

#[test]
fn completions_are_printed_for_a_shell() {
    run(folder().path(), &["completions", "bash"]).check(0, "complete");
}

#[test]
fn the_demo_shows_every_event_at_every_service_and_what_was_retried() {
    let shown = run(folder().path(), &["demo"]);
    shown.check(0, "24 deliveries made, in order for each destination");
    for words in [
        "answered 429",
        "answered 503",
        "closed the connection",
        "pushed 2 commits to main",
        "merged pull request",
    ] {
        shown.check(0, words);
    }
}

/// A relay with a Slack stand-in, and the commands that talk to it.
struct Running {
    folder: tempfile::TempDir,
    relay: Binary,
}

impl Running {
    fn start(slack: &StandIn) -> Running {
        let folder = folder();
        let yaml = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0', token: night-watch }}\n\
             sources: {{ gogs: {{ secret: cli-test }} }}\n\
             destinations: {{ chat: {{ slack: {{ url: '{}' }}, rate: unlimited }} }}\n",
            slack.url()
        );
        std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
        let relay = Binary::start(folder.path());
        Running { folder, relay }
    }

    /// A command to the running relay, whose address relay.yaml does not know.
    fn run(&self, args: &[&str]) -> Ran {
        let (admin, hook) = (
            format!("http://{}", self.relay.admin),
            format!("http://{}/hooks/gogs", self.relay.hooks),
        );
        let more: &[&str] = if args[0] == "send" {
            &["--url", &hook]
        } else {
            &["--admin", &admin, "--token", "night-watch"]
        };
        run(self.folder.path(), &[args, more].concat())
    }
}

/// A script of commands, each with its code and some of its words; the relay comes back.
async fn play(running: Running, script: &'static [(&'static str, i32, &'static str)]) -> Running {
    let playing = move || {
        for (line, code, words) in script {
            let args: Vec<&str> = line.split(' ').collect();
            running.run(&args).check(*code, words);
        }
        running
    };
    tokio::task::spawn_blocking(playing).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_found_explained_and_sent_again() {
    let clock = Clock::system();
    let slack = StandIn::start(FakeSlack::default(), clock.clone());
    let slack = slack.await.unwrap();
    let running = Running::start(&slack);
    let script = &[(
        "send --event release",
        0,
        r#"202 {"event":1,"destinations":["chat"]}"#,
    )];
    let running = play(running, script).await;
    clock.timeout(PATIENCE, slack.wait_for(1)).await.unwrap();
    let running = tokio::task::spawn_blocking(move || settled(running));
    let script = &[
        ("deliveries list --event push", 0, "no deliveries"),
        (
            "deliveries list --state asleep",
            1,
            "is no state of a delivery",
        ),
        ("deliveries list -q mira", 0, "1:chat"),
        ("deliveries show 1:chat", 0, "the body as sent"),
        ("deliveries show 1:chat", 0, "default/slack/release"),
        ("deliveries show 1", 0, "the body as it arrived"),
        ("deliveries show 1", 0, "redeliver 1:NAME"),
        ("deliveries redeliver 1:chat", 0, "on its way again"),
        ("deliveries redeliver 7:chat", 1, "7"),
        ("deliveries show nonsense", 1, "<event>:<destination>"),
    ];
    let running = play(running.await.unwrap(), script).await;
    clock.timeout(PATIENCE, slack.wait_for(2)).await.unwrap();
    drop(running);
}

/// Waits for the record of the first delivery, which follows its answer within moments, and reads
/// it.
fn settled(running: Running) -> Running {
    let list = ["deliveries", "list"];
    while !running.run(&list).out.contains("delivered") {}
    let json = running.run(&["deliveries", "show", "1:chat", "--json"]).out;
    let shown: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["state"], "delivered");
    assert_eq!(shown["attempts"][0]["status"], 200);
    assert!(!json.contains("/services/"), "URLs are passwords: {json}");
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_held_resumed_emptied_and_tested() {
    let clock = Clock::system();
    let slack = StandIn::start(FakeSlack::default(), clock.clone());
    let slack = slack.await.unwrap();
    let script = &[
        ("destinations hold chat --reason repairs", 0, "chat is held"),
        ("send", 0, "202"),
        ("destinations list", 0, "held"),
        ("destinations list", 0, "repairs"),
        ("deliveries list --state held", 0, "1:chat"),
        ("destinations discard chat", 2, "--expect 1"),
        ("destinations discard chat --expect 5", 1, "1"),
        ("destinations discard chat --expect 1", 0, "cancelled 1"),
        ("deliveries list --state cancelled", 0, "1:chat"),
        ("send", 0, "202"),
        ("send", 0, "202"),
        ("deliveries cancel 2:chat", 0, "cancelled"),
        ("destinations hold nobody", 1, "nobody"),
        ("destinations resume chat", 0, "goes on"),
    ];
    let running = play(Running::start(&slack), script).await;
    let received = clock.timeout(PATIENCE, slack.wait_for(1)).await.unwrap();
    assert_eq!(received.len(), 1, "only the third was left");
    slack.script([Script::status(404).body("no_service")]);
    let script = &[
        ("destinations test chat", 1, "no_service"),
        ("destinations test chat", 0, "delivered"),
    ];
    play(running, script).await;
    assert_eq!(slack.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_api_lets_nobody_in_without_the_token_or_from_a_foreign_page() {
    let slack = StandIn::start(FakeSlack::default(), Clock::system());
    let running = Running::start(&slack.await.unwrap());
    let (host, token) = ("Host: localhost", "Authorization: Bearer night-watch");
    let (json, evil) = (
        "Content-Type: application/json",
        "Origin: https://evil.example",
    );
    let requests: &[(&str, &[&str], u16)] = &[
        ("GET /v1/destinations", &[host, token], 200),
        ("GET /v1/destinations", &[host], 401),
        (
            "GET /v1/destinations",
            &[host, "Authorization: Bearer night-watcH"],
            401,
        ),
        (
            "GET /v1/destinations",
            &["Host: relay.evil.example", token],
            421,
        ),
        ("POST /v1/destinations/chat/hold", &[host, token], 415),
        (
            "POST /v1/destinations/chat/hold",
            &[host, token, json, evil],
            403,
        ),
        (
            "POST /v1/destinations/chat/hold",
            &[host, token, json, "Origin: http://localhost:8026"],
            200,
        ),
        ("GET /healthz", &[host], 200),
        ("GET /readyz", &[host], 200),
        // A cluster's probe.
        ("GET /readyz", &["Host: 10.1.2.3:8026"], 200),
        ("GET /", &[host], 401),
    ];
    let admin = running.relay.admin;
    for (request, headers, wanted) in requests {
        let (request, headers) = (request.to_string(), headers.join("\r\n"));
        let shown = format!("{request} {headers}");
        let asking = tokio::task::spawn_blocking(move || answer(admin, &request, &headers, ""));
        assert_eq!(asking.await.unwrap()[9..12], wanted.to_string(), "{shown}");
    }
}

/// A request, its body, the status of the answer, and some of its words.
const MISTAKES: &[(&str, &str, u16, &str)] = &[
    (
        "PUT /v1/destinations",
        "{}",
        405,
        "does not take the method",
    ),
    ("GET /v1/nowhere", "", 404, "no such path"),
    ("GET /v1/deliveries/%ff", "", 400, "makes no sense"),
    ("GET /v1/deliveries?cursor=abc", "", 400, "`next`"),
    ("GET /v1/deliveries?colour=red", "", 400, "known are state"),
    ("POST /v1/render", "", 400, "`to`"),
    ("POST /v1/render", "{", 400, "EOF"),
    ("POST /v1/render", r#"{"too":"chat"}"#, 400, "unknown field"),
    ("POST /v1/render", r#"{"to":"nobody"}"#, 404, "nobody"),
    (
        "POST /v1/route",
        r#"{"event":"push","source":"nobody","body":{}}"#,
        400,
        "there are gogs",
    ),
    (
        "POST /v1/destinations/chat/hold",
        r#"{"reason":5}"#,
        400,
        "expected a string",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_own_api_says_in_json_what_is_wrong() {
    let slack = StandIn::start(FakeSlack::default(), Clock::system());
    let running = Running::start(&slack.await.unwrap());
    let large = format!("\"{}\"", "a".repeat(3_000_000));
    let too_large = ("POST /v1/render", large.as_str(), 413, "too large");
    let admin = running.relay.admin;
    for (request, body, status, words) in MISTAKES.iter().copied().chain([too_large]) {
        let headers = "Host: localhost\r\nAuthorization: Bearer night-watch\r\nContent-Type: application/json";
        let (asked, body) = (request.to_owned(), body.to_owned());
        let asking = tokio::task::spawn_blocking(move || answer(admin, &asked, headers, &body));
        let answer = asking.await.unwrap();
        assert_eq!(answer[9..12], status.to_string(), "{request}: {answer}");
        let json: Value =
            serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).expect(request);
        let said = format!(
            "{} {}",
            json["error"].as_str().expect(request),
            json["hint"]
        );
        assert!(said.contains(words), "{request}: {said}");
        assert!(
            status != 405 || answer.contains("allow: GET,HEAD\r\n"),
            "{answer}"
        );
    }
}

/// The whole answer to a request.
fn answer(address: std::net::SocketAddr, request: &str, headers: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{request} HTTP/1.1\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
