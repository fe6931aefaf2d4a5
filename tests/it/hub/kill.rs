//! kill -9 at any moment of subscribing, being asked, renewing and unsubscribing: what was answered
//! with 202 comes to its end after the next start, and nothing is there twice.

use std::net::SocketAddr;
use std::time::Duration;

use gogs_relay::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::reader::{Reader, config, form, wish};
use crate::api::wire::{Ask, SECRET};
use crate::binary::{self, Binary, signature};

const TOPICS: usize = 4;

/// What was asked for one topic.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    /// What is to be there in the end; more than one, while some request was not answered.
    ends: Vec<End>,
}

/// There is no subscription, or one, signed or not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    None,
    Plain,
    Signed,
}

impl End {
    /// The next thing that a reader asks for.
    fn next(number: usize) -> End {
        [End::Plain, End::Signed, End::Signed, End::None][number % 4]
    }

    async fn ask(self, relay: SocketAddr, topic: &str, callback: &str) -> Option<u16> {
        let mode = if self == End::None {
            "unsubscribe"
        } else {
            "subscribe"
        };
        let mut fields = wish(mode, topic, callback);
        if self == End::Signed {
            fields.push(("hub.secret", "s3cret"));
        }
        status(relay, form(&fields)).await
    }
}

/// The status of the answer, if there is one.
async fn status(address: SocketAddr, ask: Ask<'_>) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut request = format!(
        "{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n",
        ask.method,
        ask.target,
        ask.body.len()
    );
    for (name, value) in ask.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let request = [request.as_bytes(), &ask.body].concat();
    stream.write_all(&request).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

async fn push(relay: SocketAddr) {
    let body = r#"{"repository":{"full_name":"orbit/public-1","private":false}}"#;
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Gogs-Event", "push".to_owned()),
        ("X-Gogs-Signature", signature(SECRET, body)),
    ];
    let post = Ask {
        method: "POST",
        target: "/hooks/gogs",
        headers,
        body: body.into(),
    };
    assert_eq!(status(relay, post).await, Some(202));
}

fn topic(at: usize) -> String {
    let events = ["push", "issues", "release", "fork"];
    format!("http://127.0.0.1:8025/orbit/public-1/events/{}", events[at])
}

/// Asks for one thing after the other until the relay is gone; how many.
async fn ask_until_it_dies(
    relay: SocketAddr,
    reader: &Reader,
    asked: &mut [Asked],
    first: usize,
) -> usize {
    for number in first.. {
        let at = number % TOPICS;
        let end = End::next(number / TOPICS);
        let callback = reader.callback(&at.to_string());
        match end.ask(relay, &topic(at), &callback).await {
            Some(202) => asked[at].ends = vec![end],
            // The host is over its limit, so that nothing was changed.
            Some(429) => {}
            Some(other) => panic!("{other}"),
            None => {
                asked[at].ends.push(end);
                return number + 1;
            }
        }
    }
    unreachable!()
}

/// What there is of each topic.
fn found(admin: SocketAddr) -> Vec<Vec<End>> {
    let (_, shown) = binary::api(admin, "GET", "/v1/hooks", "").unwrap();
    let hooks = shown["hooks"].as_array().unwrap();
    let of = |at: usize| {
        let own = hooks.iter().filter(|hook| hook["topic"] == topic(at));
        own.map(|hook| match hook["has_secret"].as_bool() {
            Some(true) => End::Signed,
            _ => End::Plain,
        })
        .collect()
    };
    (0..TOPICS).map(of).collect()
}

/// Waits until everything is as it was asked to be in the end.
async fn settles(relay: &Binary, asked: &[Asked]) {
    let clock = Clock::system();
    loop {
        let admin = relay.admin;
        let now = tokio::task::spawn_blocking(move || found(admin))
            .await
            .unwrap();
        let is_so = |(found, asked): (&Vec<End>, &Asked)| {
            assert!(found.len() <= 1, "{found:?}");
            asked.ends.contains(found.first().unwrap_or(&End::None))
        };
        if now.iter().zip(asked).all(is_so) {
            return;
        }
        assert!(
            clock.elapsed() < Duration::from_secs(90),
            "{now:?} is not {asked:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_answered_of_subscriptions_before_a_kill_comes_to_its_end_after_it() {
    let kills = std::env::var("KILLS").map_or(8, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\n{}",
        config("orbit/public-*")
    );
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let reader = Reader::start().await;
    let mut asked = vec![
        Asked {
            ends: vec![End::None]
        };
        TOPICS
    ];
    let mut number = 0;
    let mut relay = Binary::start(folder.path());
    push(relay.hooks).await;
    for kill in 0..kills {
        let hooks = relay.hooks;
        let asking = ask_until_it_dies(hooks, &reader, &mut asked, number);
        let killing = async {
            // At another moment of what it does each time.
            tokio::time::sleep(Duration::from_micros(3_000 + (kill * 7919) % 40_000)).await;
            relay.kill_now();
        };
        (number, ()) = tokio::join!(asking, killing);
        relay = Binary::start(folder.path());
        settles(&relay, &asked).await;
    }
    figure!("{kills} kills within {number} requests to the hub; what was answered came to its end");
    relay.ask_to_stop();
    assert!(relay.wait().success());
}
