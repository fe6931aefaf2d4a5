//! Deliveries over real sockets, up to the answer.
#![expect(clippy::print_stdout, reason = "figures are printed")]

mod payloads;
mod stored;
mod wire;

use std::time::Duration;

use gogs_relay::config::Limits;
use proptest::prelude::*;

use crate::corpus;
use wire::{Answer, Client, Hooks, Post, SECRET, limits, router, sign, sign_sha1, source};

const PUSH: &[u8] = br#"{"ref":"refs/heads/main","commits":[]}"#;

/// Sends it, and expects this status and these words somewhere in the answer.
async fn check(hooks: &Hooks, request: &[u8], status: u16, words: &str) -> Answer {
    let answer = hooks.send(request).await;
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    assert_eq!(answer.status, status, "{answer:?} to {shown}");
    assert!(answer.body.contains(words), "{answer:?} to {shown}");
    answer.check();
    answer
}

#[tokio::test]
async fn only_the_exact_path_of_a_source_is_taken() {
    let hooks = Hooks::start().await;
    let post = Post::json("gogs", PUSH).signed(PUSH);
    for path in [
        "/",
        "/hooks",
        "/hooks/",
        "/hooks/gogs/",
        "/hooks//gogs",
        "//hooks/gogs",
        "/hooks/gog",
        "/hooks/%67ogs",
        "/hooks/GOGS",
        "/hooks/gogs;x",
        "/hooks/../hooks/gogs",
        "*",
    ] {
        check(
            &hooks,
            &post.clone().path(path).bytes(),
            404,
            "no such source",
        )
        .await;
    }
    let ping = post.event("ping");
    for path in ["/hooks/gogs?x=1", "http://relay/hooks/gogs"] {
        check(&hooks, &ping.clone().path(path).bytes(), 200, "ping").await;
    }
    hooks.finish().await;
}

#[tokio::test]
async fn only_post_is_taken_and_nothing_is_redirected() {
    let hooks = Hooks::start().await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "post", "BREW"] {
        let answer = check(
            &hooks,
            &Post::json("gogs", PUSH).method(method).bytes(),
            405,
            "POST",
        )
        .await;
        assert_eq!(answer.headers["allow"], "POST", "{method}");
    }
    let mut client = Client::connect(hooks.address).await;
    client
        .write(b"HEAD /hooks/gogs HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n")
        .await;
    let answer = client.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    hooks.finish().await;
}

#[tokio::test]
async fn other_content_types_are_refused_and_parameters_do_not_matter() {
    let hooks = Hooks::start().await;
    let post = Post::json("gogs", PUSH).signed(PUSH).event("ping");
    for other in [
        "",
        "text/plain",
        "application/jsonp",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
    ] {
        let post = post.clone().header("Content-Type", other);
        check(
            &hooks,
            &post.bytes(),
            415,
            "application/x-www-form-urlencoded",
        )
        .await;
    }
    check(
        &hooks,
        &post.clone().without("Content-Type").bytes(),
        415,
        "content type",
    )
    .await;
    let packed = post.clone().header("Content-Encoding", "gzip");
    check(&hooks, &packed.bytes(), 415, "uncompressed").await;
    for same in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json;",
    ] {
        check(
            &hooks,
            &post.clone().header("Content-Type", same).bytes(),
            200,
            "ping",
        )
        .await;
    }
    hooks.finish().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let hooks = Hooks::limited(Limits {
        body: 1000,
        ..limits()
    })
    .await;
    let over = vec![b' '; 1001];
    let post = Post::json("gogs", over);
    check(&hooks, &post.bytes(), 413, "limits.body").await;
    check(&hooks, &post.chunked(100), 413, "1000 bytes").await;
    check(&hooks, &post.chunked(1001), 413, "1000 bytes").await;
    // A body that is announced, but not sent for want of our word, is refused before it comes.
    let waits = post
        .clone()
        .length("99999999999")
        .header("Expect", "100-continue");
    check(&hooks, &waits.head(), 413, "limits.body").await;
    let mut exact = PUSH.to_vec();
    exact.resize(1000, b' ');
    let exact_post = Post::json("gogs", exact.clone())
        .signed(&exact)
        .event("ping");
    check(&hooks, &exact_post.bytes(), 200, "ping").await;
    check(&hooks, &exact_post.chunked(7), 200, "ping").await;
    hooks.finish().await;
}

#[tokio::test]
async fn a_sender_that_waits_for_our_word_gets_it() {
    let hooks = Hooks::start().await;
    let post = Post::json("gogs", PUSH)
        .signed(PUSH)
        .event("ping")
        .header("Expect", "100-continue");
    let mut client = Client::connect(hooks.address).await;
    client.write(&post.head()).await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.write(PUSH).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    hooks.finish().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    let hooks = Hooks::stepped(limits()).await;
    let slow = Post::json("gogs", PUSH).length("1000").bytes();
    let answer = tokio::select! {
        answer = hooks.send(&slow) => answer,
        () = hooks.time_passes() => unreachable!(),
    };
    assert_eq!(
        (answer.status, answer.headers["connection"].as_str()),
        (408, "close")
    );
    answer.check();
    hooks.finish().await;
}

#[tokio::test]
async fn a_large_body_to_the_wrong_place_still_gets_its_answer() {
    let hooks = Hooks::start().await;
    let large = Post::json("nowhere", vec![b' '; 5 << 20]);
    check(&hooks, &large.bytes(), 404, "no such source").await;
    hooks.finish().await;
}

#[tokio::test]
async fn header_sections_are_bounded_in_size_and_time() {
    let limits = Limits {
        headers: 8192,
        header_timeout: Duration::from_millis(200),
        ..limits()
    };
    let hooks = Hooks::limited(limits).await;
    let post = Post::json("gogs", PUSH).signed(PUSH).event("ping");
    let fits = post.clone().header("X-Filler", &"x".repeat(7000));
    check(&hooks, &fits.bytes(), 200, "ping").await;
    let over = post.header("X-Filler", &"x".repeat(8192));
    assert_eq!(hooks.send(&over.bytes()).await.status, 431);
    for slow in [&b""[..], b"POST /hooks/gogs HTTP/1.1\r\nHost: r"] {
        let mut client = Client::connect(hooks.address).await;
        client.write(slow).await;
        assert!(client.answer().await.is_none(), "closed without an answer");
    }
    hooks.finish().await;
}

#[tokio::test]
async fn a_form_needs_exactly_one_payload() {
    let hooks = Hooks::start().await;
    for (form, words) in [
        ("", "no field"),
        ("Payload=%7B%7D", "no field"),
        ("payload=%7B%7D&payload=%7B%7D", "more than one"),
        ("payload=%7", "url-encoded"),
        ("payload=%7B%GG%7D", "url-encoded"),
        ("{\"ref\":1}", "no field"),
    ] {
        check(&hooks, &Post::raw_form("gogs", form).bytes(), 400, words).await;
    }
    let among_others = Post::raw_form("gogs", "a=b&payload=%7B%7D&c");
    check(
        &hooks,
        &among_others.signed(b"{}").event("ping").bytes(),
        200,
        "ping",
    )
    .await;
    hooks.finish().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn checks_come_in_their_order() {
    let hooks = Hooks::limited(Limits {
        body: 1000,
        ..limits()
    })
    .await;
    let large = vec![b'{'; 1001];
    let slack = br#"{"channel":"","text":"","attachments":[]}"#;
    let nowhere = Post::json("nowhere", large.clone()).method("GET");
    check(&hooks, &nowhere.bytes(), 404, "").await;
    let get = Post::json("gogs", large.clone())
        .method("PUT")
        .header("Content-Type", "x/y");
    check(&hooks, &get.bytes(), 405, "").await;
    let odd = Post::json("gogs", large.clone()).header("Content-Type", "x/y");
    check(&hooks, &odd.bytes(), 415, "").await;
    check(&hooks, &Post::raw_form("gogs", large).bytes(), 413, "").await;
    let two = Post::raw_form("gogs", "payload={\"embeds\":1}&payload=x");
    check(&hooks, &two.bytes(), 400, "more than one").await;
    check(&hooks, &Post::form("gogs", slack).bytes(), 400, "type Gogs").await;
    check(
        &hooks,
        &Post::json("gogs", *slack).bytes(),
        400,
        "type Gogs",
    )
    .await;
    check(
        &hooks,
        &Post::json("gogs", *slack).signed(slack).bytes(),
        400,
        "type Gogs",
    )
    .await;
    check(
        &hooks,
        &Post::json("open", *slack).bytes(),
        400,
        "type Gogs",
    )
    .await;
    check(&hooks, &Post::json("gogs", *b"no json").bytes(), 401, "").await;
    check(
        &hooks,
        &Post::json("gogs", *b"no json").signed(b"no json").bytes(),
        400,
        "not JSON",
    )
    .await;
    check(
        &hooks,
        &Post::json("gogs", *b"[]")
            .signed(b"[]")
            .event("ping")
            .bytes(),
        400,
        "object",
    )
    .await;
    hooks.finish().await;
}

#[tokio::test]
async fn every_recorded_message_for_a_chat_service_is_refused_with_advice() {
    let hooks = Hooks::start().await;
    let mut count = 0;
    for recorded in corpus::all() {
        for (hook, delivered) in &recorded.deliveries {
            if !["slack", "discord", "dingtalk"]
                .iter()
                .any(|chat| hook.contains(chat))
            {
                continue;
            }
            for source in ["gogs", "open"] {
                let answer = check(&hooks, &as_recorded(source, delivered), 400, "type Gogs").await;
                let shown = format!("{hook} of {}: {answer:?}", recorded.file);
                let error = answer.json()["error"].as_str().unwrap().to_lowercase();
                let service = ["slack", "discord", "dingtalk"]
                    .into_iter()
                    .find(|it| hook.contains(it));
                assert!(error.contains(service.unwrap()), "{shown}");
            }
            count += 1;
        }
    }
    println!("{count} recorded messages for chat services refused");
    assert!(count > 400);
    hooks.finish().await;
}

/// The recorded request, with its headers, to a source of ours.
fn as_recorded(source: &str, delivered: &corpus::Delivered) -> Vec<u8> {
    let mut post = Post::json(source, delivered.body.clone());
    for (name, value) in &delivered.headers {
        if !["host", "content-length"].contains(&name.to_lowercase().as_str()) {
            post = post.header(name, value);
        }
    }
    post.bytes()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_signature_of_either_family_by_any_secret_opens() {
    let hooks = Hooks::start().await;
    let form = Post::form("gogs", PUSH);
    let raw_form = form.bytes()[form.head().len()..].to_vec();
    let hub = |secret: &str, body: &[u8]| format!("sha256={}", sign(secret, body));
    let hub1 = |body: &[u8]| format!("sha1={}", sign_sha1(SECRET, body));
    for (what, post) in [
        ("gogs, json", Post::json("gogs", PUSH).signed(PUSH)),
        ("gogs, form", form.clone().signed(PUSH)),
        (
            "upper case",
            Post::json("gogs", PUSH).header("X-Gogs-Signature", &sign(SECRET, PUSH).to_uppercase()),
        ),
        (
            "hub, json",
            Post::json("gogs", PUSH).header("X-Hub-Signature-256", &hub(SECRET, PUSH)),
        ),
        (
            "hub, form",
            form.clone()
                .header("X-Hub-Signature-256", &hub(SECRET, &raw_form)),
        ),
        (
            "a wrong one beside a right one",
            Post::json("gogs", PUSH)
                .header("X-Gogs-Signature", &sign("x", PUSH))
                .header("X-Hub-Signature-256", &hub(SECRET, PUSH)),
        ),
        (
            "an empty one beside a right one",
            Post::json("gogs", PUSH)
                .header("X-Gogs-Signature", "")
                .header("X-Hub-Signature-256", &hub(SECRET, PUSH)),
        ),
        (
            "sha1 where it is allowed",
            Post::json("sha1", PUSH).header("X-Hub-Signature", &hub1(PUSH)),
        ),
        ("the old secret", Post::json("rotating", PUSH).signed(PUSH)),
        (
            "the new secret",
            Post::json("rotating", PUSH).header("X-Gogs-Signature", &sign("new-s3cret", PUSH)),
        ),
        ("none where none is asked for", Post::json("open", PUSH)),
        (
            "any where none is asked for",
            Post::json("open", PUSH).header("X-Gogs-Signature", "x"),
        ),
        (
            "GitHub's names",
            Post::json("gogs", PUSH)
                .signed(PUSH)
                .header("X-Gogs-Event", "")
                .header("X-GitHub-Event", "ping"),
        ),
    ] {
        let post = if what == "GitHub's names" {
            post
        } else {
            post.event("ping")
        };
        let answer = hooks.send(&post.bytes()).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    }
    hooks.finish().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_refused_signature_says_which_check_failed() {
    let hooks = Hooks::start().await;
    let form = Post::form("gogs", PUSH);
    let raw_form = form.bytes()[form.head().len()..].to_vec();
    let json = |source| Post::json(source, PUSH).event("push");
    for (post, error, hint) in [
        (json("gogs"), "no signature", "set a secret"),
        (
            json("gogs").header("X-Gogs-Signature", ""),
            "empty",
            "no secret set in Gogs",
        ),
        (
            json("gogs").header(
                "X-Hub-Signature",
                &format!("sha1={}", sign_sha1(SECRET, PUSH)),
            ),
            "sha1",
            "sha1: allow",
        ),
        (
            form.clone()
                .header("X-Gogs-Signature", &sign(SECRET, &raw_form)),
            "form as a whole",
            "application/json",
        ),
        (
            form.clone().header(
                "X-Hub-Signature-256",
                &format!("sha256={}", sign(SECRET, PUSH)),
            ),
            "form as a whole",
            "",
        ),
        (
            Post::json("gogs", raw_form.clone()).signed(PUSH),
            "payload of a form",
            "content type",
        ),
        (
            json("gogs").header("X-Gogs-Signature", &sign("other", PUSH)),
            "none of",
            "compare",
        ),
        (
            json("gogs").header("X-Gogs-Signature", "zz"),
            "none of",
            "compare",
        ),
        (
            json("gogs").header(
                "X-Gogs-Signature",
                &format!("sha256={}", sign(SECRET, PUSH)),
            ),
            "none of",
            "",
        ),
        (
            json("gogs").header("X-Hub-Signature-256", &sign(SECRET, PUSH)),
            "none of",
            "",
        ),
        (
            json("sha1").header("X-Hub-Signature", "sha1=00"),
            "none of",
            "",
        ),
        (json("ancient"), "no signature", ""),
        (
            json("gogs").header("X-Gogs-Signature", "\u{fc}"),
            "none of",
            "",
        ),
    ] {
        let answer = check(&hooks, &post.bytes(), 401, error).await;
        assert!(
            answer.json()["hint"].as_str().unwrap().contains(hint),
            "{answer:?}"
        );
        assert!(!answer.body.contains(&sign(SECRET, PUSH)), "{answer:?}");
    }
    let old = Post::json("gogs", PUSH).signed(PUSH);
    let changed = [("gogs".into(), source(&["brand-new"]))].into();
    hooks.replace(&changed, router());
    check(&hooks, &old.bytes(), 401, "old secret").await;
    let new = Post::json("gogs", PUSH).header("X-Gogs-Signature", &sign("brand-new", PUSH));
    check(&hooks, &new.event("ping").bytes(), 200, "ping").await;
    hooks.finish().await;
}

#[tokio::test]
async fn the_secret_in_the_body_of_an_ancient_gogs_counts_only_where_it_is_allowed() {
    let hooks = Hooks::start().await;
    let right = format!("{{\n  \"secret\": \"{SECRET}\",\n  \"ref\": \"refs/heads/main\"\n}}");
    let wrong = right.replace(SECRET, "other");
    let ping = |source, body: &str| Post::json(source, body).event("ping").bytes();
    check(&hooks, &ping("ancient", &right), 200, "ping").await;
    check(&hooks, &ping("ancient", &wrong), 401, "signature").await;
    check(&hooks, &ping("gogs", &right), 401, "signature").await;
    hooks.finish().await;
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let hooks = Hooks::start().await;
    let deep = |depth: usize| {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    for (body, error) in [
        (&b""[..], "not JSON"),
        (b"null", "not an object"),
        (b"\"text\"", "not an object"),
        (b"[{}]", "not an object"),
        (b"{\"ref\":\"main\"", "not JSON, at line 1"),
        (b"{} x", "not JSON"),
        (b"{\"a\":\"\xff\"}", "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (deep(129).as_bytes(), "deeper than 128"),
        ("[".repeat(1_000_000).as_bytes(), "deeper than 128"),
    ] {
        check(&hooks, &Post::json("open", body).bytes(), 400, error).await;
        check(&hooks, &Post::form("open", body).bytes(), 400, error).await;
    }
    for fine in [
        deep(128),
        format!("{{\"a\":\"{}\"}}", "[".repeat(500)),
        format!("{{\"a\":[{}[]]}}", "[],".repeat(500)),
        r#"{"ref":"\ud800","\udc00":{"\ud800":1e999},"commits":"no list","sender":7}"#.to_owned(),
    ] {
        check(
            &hooks,
            &Post::json("open", fine).event("ping").bytes(),
            200,
            "ping",
        )
        .await;
    }
    hooks.finish().await;
}

#[tokio::test]
async fn without_room_a_request_waits_eight_seconds_and_is_told_to_come_back() {
    // Room for one body alone; the time for the body itself is not what ends this.
    let limits = Limits {
        body: 1000,
        bytes: 1000,
        body_timeout: Duration::from_secs(1 << 40),
        ..limits()
    };
    let hooks = Hooks::stepped(limits).await;
    let endless = Post::json("gogs", PUSH).length("1000").bytes();
    let mut one = Client::connect(hooks.address).await;
    let mut other = Client::connect(hooks.address).await;
    one.write(&endless).await;
    other.write(&endless).await;
    let (late, mut holder) = tokio::select! {
        late = one.answer() => (late, other),
        late = other.answer() => (late, one),
        () = hooks.time_passes() => unreachable!(),
    };
    let late = late.unwrap();
    assert_eq!(
        (late.status, late.headers["retry-after"].as_str()),
        (503, "10"),
        "{late:?}"
    );
    late.check();
    holder.write(&[b' '; 1000][PUSH.len()..]).await;
    assert_eq!(
        holder.answer().await.unwrap().status,
        401,
        "the one with room goes on"
    );
    hooks.finish().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let hooks = Hooks::limited(Limits {
        connections: 1,
        ..limits()
    })
    .await;
    let post = Post::json("gogs", PUSH).signed(PUSH).event("ping").bytes();
    let mut first = Client::connect(hooks.address).await;
    first.write(&post).await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    let mut second = Client::connect(hooks.address).await;
    second.write(&post).await;
    first.write(&post).await;
    assert_eq!(first.answer().await.unwrap().status, 200, "kept alive");
    drop(first);
    assert_eq!(second.answer().await.unwrap().status, 200);
    drop(second);
    hooks.finish().await;
}

#[tokio::test]
async fn told_to_stop_it_answers_what_is_under_way_and_takes_nothing_new() {
    let hooks = Hooks::start().await;
    let post = Post::json("gogs", PUSH)
        .signed(PUSH)
        .event("ping")
        .header("Expect", "100-continue");
    let mut idle = Client::connect(hooks.address).await;
    idle.write(&Post::json("gogs", PUSH).signed(PUSH).event("ping").bytes())
        .await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut client = Client::connect(hooks.address).await;
    client.write(&post.head()).await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    hooks.stop();
    assert!(idle.answer().await.is_none(), "idle connections are closed");
    client.write(PUSH).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.headers["connection"].as_str()),
        (200, "close")
    );
    let address = hooks.address;
    hooks.finish().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_on_the_wire_never_bring_it_down(requests in prop::collection::vec(any::<Vec<u8>>(), 1..8)) {
        on_a_runtime(async {
            let hooks = Hooks::start().await;
            for bytes in &requests {
                let mut client = Client::connect(hooks.address).await;
                client.write(bytes).await;
                client.end().await;
                if let Some(answer) = client.answer().await {
                    assert!(answer.status < 500, "{answer:?}");
                }
            }
            let ping = Post::json("gogs", PUSH).signed(PUSH).event("ping");
            check(&hooks, &ping.bytes(), 200, "ping").await;
            hooks.finish().await;
        });
    }

    #[test]
    fn arbitrary_bodies_and_headers_are_answered_below_500(
        bodies in prop::collection::vec(any::<Vec<u8>>(), 1..8),
        header in "[ -~]{0,60}",
    ) {
        on_a_runtime(async {
            let hooks = Hooks::start().await;
            for body in &bodies {
                for post in [Post::json("gogs", body.clone()), Post::form("gogs", body), Post::raw_form("gogs", body.clone())] {
                    for name in ["X-Gogs-Signature", "X-Hub-Signature-256", "X-Gogs-Event", "X-Gogs-Delivery"] {
                        let answer = hooks.send(&post.clone().header(name, header.trim()).bytes()).await;
                        answer.check();
                        assert!((400..500).contains(&answer.status), "{answer:?}");
                    }
                    let signed = post.signed(body).event("ping");
                    assert!(hooks.send(&signed.bytes()).await.status < 500);
                }
            }
            hooks.finish().await;
        });
    }

    #[test]
    fn no_flipped_bit_passes(body in prop::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index) {
        on_a_runtime(async {
            let hooks = Hooks::start().await;
            let mut flipped = body.clone();
            let at = at.index(body.len() * 8);
            flipped[at / 8] ^= 1 << (at % 8);
            let post = Post::json("gogs", flipped).signed(&body);
            check(&hooks, &post.bytes(), 401, "none of").await;
            let mut signature = sign(SECRET, &body).into_bytes();
            let digit = &mut signature[at % 64];
            *digit = if *digit == b'0' { b'1' } else { b'0' };
            let post = Post::json("gogs", body).header("X-Gogs-Signature", std::str::from_utf8(&signature).unwrap());
            check(&hooks, &post.bytes(), 401, "none of").await;
            hooks.finish().await;
        });
    }
}
