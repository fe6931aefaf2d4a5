//! Who may call the hook APIs, and what everybody else gets.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gogs_relay::clock::{Clock, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::wire::{Ask, HOOKS, TOKEN, ask, hook, start, tokens, yaml};
use crate::binary::Binary;
use crate::relay::TestRelay;
use crate::world::within;

/// The list of hooks, asked for with this value of `Authorization`.
fn list<'a>(authorization: Option<&str>) -> Ask<'a> {
    let mut ask = Ask::new("GET", HOOKS, "");
    ask.headers = Vec::from_iter(authorization.map(|it| ("Authorization", it.to_owned())));
    ask
}

#[tokio::test]
async fn a_token_is_taken_in_all_the_ways_that_clients_send_it_and_no_other() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for right in [
            format!("token {TOKEN}"),
            format!("Token {TOKEN}"),
            format!("Bearer {TOKEN}"),
            format!("bearer  {TOKEN} "),
            basic(&format!("anybody:{TOKEN}")),
            basic(&format!(":{TOKEN}")),
            format!("basic {}", STANDARD.encode(format!("x:{TOKEN}"))),
        ] {
            assert_eq!(list(Some(&right)).of(&relay).await.status, 200, "{right}");
        }
        for wrong in [
            None,
            Some(String::new()),
            Some("token".to_owned()),
            Some("token ".to_owned()),
            Some(TOKEN.to_owned()),
            Some(format!("Digest {TOKEN}")),
            Some(format!("token {TOKEN}x")),
            Some(format!("token {}", &TOKEN[..TOKEN.len() - 1])),
            Some(basic(TOKEN)),
            Some(basic(&format!("{TOKEN}:"))),
            Some("Basic ?".to_owned()),
        ] {
            let answer = list(wrong.as_deref()).of(&relay).await;
            assert_eq!(answer.status, 401, "{wrong:?}");
            assert!(answer.head.contains("www-authenticate: bearer"));
            let message = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(!message.contains("t0ken"), "{message}");
        }
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_token_in_the_query_is_taken_only_when_that_is_switched_on() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let queries = [
            format!("?token={TOKEN}"),
            format!("?page=1&access_token={TOKEN}"),
        ];
        let asked = async |query: &String| {
            let target = format!("{HOOKS}{query}");
            let mut ask = Ask::new("GET", &target, "");
            ask.headers.clear();
            ask.of(&relay).await
        };
        for query in &queries {
            let refused = asked(query).await.with(401);
            assert!(
                refused["message"]
                    .as_str()
                    .unwrap()
                    .contains("switched off")
            );
        }
        let on = yaml(&format!("  query_tokens: true\n{}", tokens()));
        assert_eq!(relay.reload(&on).await.0, 200);
        for query in &queries {
            asked(query).await.with(200);
        }
        asked(&"?token=wrong".to_owned()).await.with(401);
        // The header counts where both are given.
        let target = format!("{HOOKS}{}", queries[0]);
        let mut both = Ask::new("GET", &target, "");
        both.headers = vec![("Authorization", "token wrong-token".to_owned())];
        both.of(&relay).await.with(401);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_repository_outside_the_scope_of_a_token_does_not_exist() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let scoped = "  tokens:\n    \
            - { name: ci, token: orbit-t0ken-0123, repos: [\"orbit/*\", \"!orbit/vault\"] }\n    \
            - { name: all, token: every-t0ken-0123, repos: [\"*/*\"] }\n";
        let relay = TestRelay::start(folder.path(), &yaml(scoped), Clock::system()).await;
        let made = |name: &str| {
            let target = format!("/api/v1/repos/{name}/hooks");
            let relay = &relay;
            async move {
                let body = hook("https://example.org/", "");
                ask(relay, "POST", &target, &body).await
            }
        };
        for inside in ["orbit/lander", "ORBIT/Rover", "orbit/%6cander"] {
            made(inside).await.with(201);
        }
        for outside in [
            "orbit/vault",
            "Orbit/VAULT",
            "lunar/base",
            "orbit/a%2Fb",
            "orbit%2Fa/b",
            "orbit/",
            "orbit/%ff",
            "orbit/%0a",
            "orbit/../orbit/x",
        ] {
            assert_eq!(made(outside).await.status, 404, "{outside}");
        }
        let mut all = Ask::new("GET", "/api/v1/repos/Orbit/lander/hooks", "");
        all.headers[0].1 = "token every-t0ken-0123".to_owned();
        let all = all.of(&relay).await.with(200);
        assert_eq!(all.as_array().unwrap().len(), 2);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn without_the_section_or_switched_off_the_paths_are_unknown() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let off = yaml(&format!("  gogs: false\n{}", tokens()));
        let relay = TestRelay::start(folder.path(), &off, Clock::system()).await;
        let none = off.split("api:").next().unwrap().to_owned();
        for yaml in [off, none] {
            relay.reload(&yaml).await;
            let refused = ask(&relay, "GET", HOOKS, "").await.with(404);
            assert_eq!(refused["error"], "no such source");
        }
        relay.reload(&yaml(&tokens())).await;
        ask(&relay, "GET", HOOKS, "").await.with(200);
        for path in ["/api/v1", "/api/v2/user", "/api//v1/user"] {
            let refused = ask(&relay, "GET", path, "").await.with(404);
            assert_eq!(refused["error"], "no such source", "{path}");
        }
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn wrong_tokens_are_answered_later_and_later_and_right_ones_at_once() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::stepped(Timestamp(1_780_000_000_000));
        let relay = start(folder.path(), clock.clone()).await;
        let hooks = relay.hooks;
        for _ in 0..5 {
            list(Some("token wrong-one")).of(&relay).await.with(401);
        }
        let tasks = tokio_util::task::TaskTracker::new();
        for wait in [250, 500, 1000] {
            let until = clock.elapsed() + Duration::from_millis(wait);
            let wrong = tasks.spawn(list(Some("token wrong-one")).at(hooks));
            hand.someone_sleeps_until(until).await;
            assert!(!wrong.is_finished());
            list(Some(&format!("token {TOKEN}")))
                .of(&relay)
                .await
                .with(200);
            list(None).of(&relay).await.with(401);
            hand.advance(Duration::from_millis(wait));
            wrong.await.unwrap().with(401);
        }
        hand.advance(Duration::from_secs(600));
        list(Some("token wrong-one")).of(&relay).await.with(401);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn bodies_are_read_only_from_those_who_may_call_and_up_to_a_limit() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let large = format!(
            "{}{}",
            hook("https://example.org/", ""),
            " ".repeat(1 << 20)
        );
        ask(&relay, "POST", HOOKS, &large).await.with(413);
        let mut stranger = Ask::new("POST", HOOKS, &large);
        stranger.headers.remove(0);
        stranger.of(&relay).await.with(401);
        let fits = &large[..1 << 20];
        ask(&relay, "POST", HOOKS, fits).await.with(201);
        relay.finish().await;
    })
    .await;
}

#[test]
fn the_log_says_what_was_done_but_no_token_url_or_secret() {
    let folder = tempfile::tempdir().unwrap();
    let api = yaml(&format!("  query_tokens: true\n{}", tokens()));
    let listen = "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\n";
    std::fs::write(folder.path().join("relay.yaml"), format!("{listen}{api}")).unwrap();
    let relay = Binary::start(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hooks = relay.hooks;
    runtime.block_on(async {
        let url = "http://127.0.0.1:1/url-s3cret";
        let made = Ask::new("POST", HOOKS, &hook(url, "")).at(hooks).await;
        let target = format!("{HOOKS}/{}", made.with(201)["id"]);
        let edit = r#"{"config":{"url":"http://10.0.0.1/url-s3cret","secret":"other-s3cret"}}"#;
        Ask::new("PATCH", &target, edit).at(hooks).await.with(422);
        let query = format!("{HOOKS}?token=wrong-s3cret");
        let mut wrong = Ask::new("GET", &query, "");
        wrong.headers.clear();
        wrong.at(hooks).await.with(401);
        list(Some("token wrong-s3cret")).at(hooks).await.with(401);
        Ask::new("DELETE", &target, "").at(hooks).await.with(204);
    });
    let log = relay.shared_log();
    relay.ask_to_stop();
    relay.wait();
    let log = log.lock().unwrap().clone();
    assert!(!log.contains("s3cret") && !log.contains(TOKEN), "{log}");
    for done in ["made", "deleted"] {
        let line = format!("hook 1 of orbit/lander was {done} with the token ci");
        assert!(log.contains(&line), "{log}");
    }
    let told = log.lines().filter(|line| line.contains("wrong tokens"));
    assert_eq!(told.count(), 1, "{log}");
}

/// Paths of all sorts below the API's.
fn paths() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(&["repos", "orbit", "hooks", "1", "99999999999999999999"][..])
            .prop_map(str::to_owned),
        "[!-~&&[^#?/]]{0,6}",
        "%[0-9a-f]{2}",
    ];
    let known = ["repos/orbit/lander/hooks", "repos/orbit/lander/hooks/1"];
    prop_oneof![
        prop::collection::vec(part, 0..7).prop_map(|parts| parts.join("/")),
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
    ]
}

/// Bodies that are nearly right, and others.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        "\"[ -~]{0,12}\"",
        "[0-9]{1,20}",
        Just("null".to_owned()),
        Just("[\"push\",{}]".to_owned()),
        Just(r#"{"url":"http://127.0.0.1:1/","content_type":"json","channel":"x"}"#.to_owned()),
        ".{0,8}",
    ];
    let kind = prop::sample::select(&["gogs", "slack", "discord", "dingtalk", "x"][..]);
    let json = (kind, value.clone(), value.clone(), value);
    let json = json.prop_map(|(kind, config, events, active)| {
        format!(r#"{{"type":"{kind}","config":{config},"events":{events},"active":{active}}}"#)
    });
    prop_oneof![
        json.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..64),
        Just(vec![b'['; 5000]),
    ]
}

const METHODS: [&str; 7] = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "BREW"];
const MEDIA: [&str; 4] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "",
];

#[test]
fn whatever_is_asked_is_answered_and_never_with_a_5xx() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let relay = runtime.block_on(start(folder.path(), Clock::system()));
    let config = Config {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Config::with_cases(400)
    };
    let methods = prop::sample::select(&METHODS[..]);
    let asked = (methods, paths(), prop::sample::select(&MEDIA[..]), bodies());
    TestRunner::new(config)
        .run(&asked, |(method, path, media, body)| {
            let target = format!("/api/v1/{path}");
            let mut ask = Ask::new(method, &target, "");
            ask.headers.push(("Content-Type", media.to_owned()));
            ask.body = body;
            let answer = runtime.block_on(ask.of(&relay));
            prop_assert!(answer.status < 500, "{answer:?}");
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        ask(&relay, "GET", HOOKS, "").await.with(200);
        relay.finish().await;
    });
}
