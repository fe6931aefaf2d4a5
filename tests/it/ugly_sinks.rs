//! Destinations that behave as badly as HTTP allows, and worse, all at once against the real
//! binary: each attempt ends in time and with the right verdict, memory stays bounded, and a
//! destination in order gets everything meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, StandIn};
use serde_json::Value;

use crate::binary::{Binary, Client, PATIENCE, api};

const SECRET: &str = "ugly-test";
/// Of every destination here.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A machine with other things to do may be so late.
const LATE: Duration = Duration::from_secs(8);
/// What the relay may take on top of what it takes idle, in bytes.
const MEMORY: u64 = 40_000_000;
const EVENTS: usize = 200;
/// Of them, so many go to all destinations; the others to the prompt one alone.
const FOR_ALL: usize = 2;

/// A way to behave, for a destination of a kind, and what is to become of the first attempt.
struct Ugly {
    name: &'static str,
    kind: &'static str,
    scheme: &'static str,
    serve: fn(TcpStream) -> std::io::Result<()>,
    /// The reasons that may be given.
    reasons: &'static [&'static str],
}

const fn ugly(
    name: &'static str,
    kind: &'static str,
    serve: fn(TcpStream) -> std::io::Result<()>,
    reasons: &'static [&'static str],
) -> Ugly {
    Ugly {
        name,
        kind,
        scheme: "http",
        serve,
        reasons,
    }
}

const fn over_tls(ugly: Ugly) -> Ugly {
    Ugly {
        scheme: "https",
        ..ugly
    }
}

const UGLY: [Ugly; 24] = [
    ugly("silent", "gogs", silent, &["timeout"]),
    ugly("never-reads", "gogs", never_reads, &["timeout"]),
    ugly("drips-its-head", "gogs", drips_its_head, &["timeout"]),
    ugly("drips-its-body", "slack", drips_its_body, &["timeout"]),
    // The status says all to this kind, but reading on ends in time.
    ugly("drips-after-200", "gogs", drips_its_body, &["accepted"]),
    ugly("stalls", "discord", stalls, &["timeout"]),
    ugly(
        "hundred-megabytes",
        "gogs",
        hundred_megabytes_of_500,
        &["server_error"],
    ),
    ugly(
        "hundred-megabytes-ok",
        "slack",
        hundred_megabytes_of_200,
        &["accepted"],
    ),
    ugly("endless-body", "discord", endless_body, &["accepted"]),
    ugly("closes-at-once", "gogs", closes_at_once, &["reset"]),
    ugly("closes-in-its-head", "gogs", closes_in_its_head, &["reset"]),
    ugly(
        "closes-in-its-body",
        "slack",
        closes_in_its_body,
        &["reset"],
    ),
    ugly("garbage", "gogs", garbage, &["reset"]),
    ugly("another-protocol", "slack", another_protocol, &["reset"]),
    ugly("endless-headers", "gogs", endless_headers, &["reset"]),
    ugly(
        "one-endless-header",
        "slack",
        one_endless_header,
        &["reset"],
    ),
    ugly("informs-for-ever", "gogs", informs_for_ever, &["reset"]),
    ugly("two-lengths", "slack", two_lengths, &["reset"]),
    ugly("chunked-nonsense", "slack", chunked_nonsense, &["reset"]),
    ugly("chunk-too-large", "discord", chunk_too_large, &["reset"]),
    ugly(
        "endless-extension",
        "slack",
        endless_extension,
        &["reset", "timeout"],
    ),
    ugly("tls-on-http", "gogs", tls_alert, &["reset"]),
    over_tls(ugly("http-on-tls", "gogs", greets, &["tls"])),
    over_tls(ugly("silent-tls", "slack", never_reads, &["timeout"])),
];

fn silent(mut stream: TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

fn never_reads(stream: TcpStream) -> std::io::Result<()> {
    std::thread::sleep(PATIENCE);
    drop(stream);
    Ok(())
}

fn drip(mut stream: TcpStream, head: &[u8], drop: &[u8]) -> std::io::Result<()> {
    take_request(&mut stream)?;
    stream.write_all(head)?;
    loop {
        stream.write_all(drop)?;
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn drips_its_head(stream: TcpStream) -> std::io::Result<()> {
    drip(stream, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a")
}

fn drips_its_body(stream: TcpStream) -> std::io::Result<()> {
    drip(
        stream,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"a",
    )
}

fn stalls(stream: TcpStream) -> std::io::Result<()> {
    drip(
        stream,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
        b"",
    )
}

fn flood(mut stream: TcpStream, head: &[u8], more: &[u8]) -> std::io::Result<()> {
    take_request(&mut stream)?;
    stream.write_all(head)?;
    let many = more.repeat(64 * 1024 / more.len());
    loop {
        stream.write_all(&many)?;
    }
}

fn hundred_megabytes_of_500(stream: TcpStream) -> std::io::Result<()> {
    let head = b"HTTP/1.1 500 Oops\r\nContent-Length: 100000000\r\n\r\n";
    flood(stream, head, b"x")
}

fn hundred_megabytes_of_200(stream: TcpStream) -> std::io::Result<()> {
    flood(
        stream,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
        b"x",
    )
}

fn endless_body(stream: TcpStream) -> std::io::Result<()> {
    flood(stream, b"HTTP/1.1 200 OK\r\n\r\n", b"[")
}

fn endless_headers(stream: TcpStream) -> std::io::Result<()> {
    flood(stream, b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n")
}

fn one_endless_header(stream: TcpStream) -> std::io::Result<()> {
    flood(stream, b"HTTP/1.1 200 OK\r\nX-More: ", b"and more ")
}

fn informs_for_ever(stream: TcpStream) -> std::io::Result<()> {
    flood(
        stream,
        b"",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    )
}

fn endless_extension(stream: TcpStream) -> std::io::Result<()> {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;";
    flood(stream, head, b"extension")
}

fn say(mut stream: TcpStream, words: &[u8]) -> std::io::Result<()> {
    take_request(&mut stream)?;
    stream.write_all(words)
}

fn closes_at_once(stream: TcpStream) -> std::io::Result<()> {
    drop(stream);
    Ok(())
}

fn closes_in_its_head(stream: TcpStream) -> std::io::Result<()> {
    say(stream, b"HTTP/1.1 200 OK\r\nContent-Le")
}

fn closes_in_its_body(stream: TcpStream) -> std::io::Result<()> {
    say(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok")
}

fn garbage(stream: TcpStream) -> std::io::Result<()> {
    say(
        stream,
        b"\x00\xff\x13\x37\r\n\r\n\x80\x81 HTTP/1.1 200 OK\r\n\r\n",
    )
}

fn another_protocol(stream: TcpStream) -> std::io::Result<()> {
    say(stream, b"SSH-2.0-OpenSSH_9.9\r\n")
}

fn greets(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 mail.example.org ESMTP\r\n")
}

fn two_lengths(stream: TcpStream) -> std::io::Result<()> {
    say(
        stream,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    )
}

fn chunked_nonsense(stream: TcpStream) -> std::io::Result<()> {
    say(
        stream,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    )
}

fn chunk_too_large(stream: TcpStream) -> std::io::Result<()> {
    let words = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok";
    say(stream, words)
}

fn tls_alert(stream: TcpStream) -> std::io::Result<()> {
    say(stream, b"\x15\x03\x03\x00\x02\x02\x28")
}

/// Reads a whole request.
fn take_request(stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut reader, mut length) = (BufReader::new(stream), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("content-length:") {
            length = rest.trim().parse().unwrap();
        }
        if line.is_empty() {
            return std::io::copy(&mut reader.take(length), &mut std::io::sink()).map(drop);
        }
    }
}

/// Serves every connection on a thread of its own, which ends when the client goes.
fn start(serve: fn(TcpStream) -> std::io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // That the client goes away is how it should be.
            std::thread::spawn(move || drop(serve(stream.unwrap())));
        }
    });
    address
}

fn relay_yaml(prompt: &StandIn) -> String {
    let mut yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\n\
         sources: {{ gogs: {{ secret: {SECRET}, same_body: off }} }}\n\
         destinations:\n  prompt: {{ gogs: {{ url: '{}', secret: {SECRET} }} }}\n",
        prompt.url()
    );
    for ugly in &UGLY {
        let (name, kind, scheme, address) = (ugly.name, ugly.kind, ugly.scheme, start(ugly.serve));
        yaml.push_str(&format!(
            "  {name}:\n    {kind}: {{ url: '{scheme}://{address}/api/webhooks/1/x' }}\n\
             \x20   timeout: {}ms\n    rate: unlimited\n    retry: {{ first: 300ms, max: 300ms }}\n",
            TIMEOUT.as_millis(),
        ));
    }
    let names: Vec<&str> = UGLY.iter().map(|ugly| ugly.name).collect();
    let names = names.join(", ");
    yaml.push_str(&format!(
        "routes: [{{ to: [prompt] }}, {{ branches: [ugly], to: [{names}] }}]\n"
    ));
    yaml
}

/// An event of 3 MB, and small ones; the first of them for all.
fn post_all(hooks: SocketAddr) {
    let mut client = Client::connect(hooks).unwrap();
    for number in 0..EVENTS {
        let size = if number == 0 { 3_000_000 } else { 10 };
        let noise = "x".repeat(size);
        let branch = if number < FOR_ALL { "ugly" } else { "main" };
        let body = format!(
            r#"{{"ref":"refs/heads/{branch}","after":"{noise}","repository":{{"full_name":"orbit/{number}"}}}}"#
        );
        let answer = client.deliver("gogs", SECRET, &number.to_string(), &body);
        assert_eq!(answer.unwrap().status, 202);
    }
}

/// The first delivery of this destination, once it was attempted twice or settled.
async fn attempted(relay: &Binary, name: &str) -> Value {
    loop {
        let path = format!("/v1/deliveries/1:{name}");
        let (status, delivery) = api(relay.admin, "GET", &path, "").unwrap();
        assert_eq!(status, 200, "{delivery}");
        let attempts = delivery["attempts"].as_array().unwrap();
        let count: u64 = attempts
            .iter()
            .map(|it| it["count"].as_u64().unwrap())
            .sum();
        if count >= 2 || delivery["state"] == "delivered" {
            return delivery;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_badly_destinations_behave_each_attempt_ends_in_time_and_harms_no_other() {
    let clock = Clock::system();
    let prompt = StandIn::start(FakeGogs::with_secret(SECRET), clock.clone());
    let prompt = prompt.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("relay.yaml"), relay_yaml(&prompt)).unwrap();
    let relay = Binary::start(folder.path());
    let (idle, hooks, begun) = (relay.peak_memory(), relay.hooks, clock.elapsed());
    tokio::task::spawn_blocking(move || post_all(hooks))
        .await
        .unwrap();
    let posted = clock.elapsed() - begun;
    let arrived = clock.timeout(PATIENCE, prompt.wait_for(EVENTS)).await;
    assert_eq!(arrived.expect("all arrive").len(), EVENTS);
    let lag = clock.elapsed() - begun - posted;

    let mut longest = 0;
    for ugly in &UGLY {
        let delivery = clock.timeout(PATIENCE, attempted(&relay, ugly.name)).await;
        let delivery = delivery.unwrap_or_else(|_| panic!("no two attempts to {}", ugly.name));
        for attempt in delivery["attempts"].as_array().unwrap() {
            let reason = attempt["reason"].as_str().unwrap();
            let took = attempt["duration_ms"].as_u64().unwrap();
            let is_late = reason == "timeout" && took >= TIMEOUT.as_millis() as u64;
            let is_right = ugly.reasons.contains(&reason) || is_late;
            assert!(is_right, "{}: {attempt}", ugly.name);
            let most = (TIMEOUT + LATE).as_millis() as u64;
            assert!(took <= most, "{}: {attempt}", ugly.name);
            longest = longest.max(took);
        }
        let is_through = delivery["state"] == "delivered";
        let may_pass = ugly.reasons == ["accepted"];
        assert!(may_pass || !is_through, "{}: {delivery}", ugly.name);
    }
    let peak = relay.peak_memory();
    figure!(
        "{} ugly destinations: the longest attempt took {longest} ms of {} ms; idle {idle} bytes, peak {peak}; \
         a prompt one had all {EVENTS} events {lag:?} after the last 202 (posted in {posted:?})",
        UGLY.len(),
        TIMEOUT.as_millis(),
    );
    assert!(lag < LATE, "{lag:?}");
    assert!(peak - idle < MEMORY, "{idle} bytes, then {peak}");
    assert_eq!(prompt.violations(), Vec::<String>::new());
}
