//! What a person is told when it does not work, and where the token never goes.

use gogs_relay::clock::Clock;
use gogs_relay::standin::{Script, StandIn};

use super::server::Shared;
use super::world::{NEW, TOKEN, World};

async fn elsewhere() -> StandIn {
    let nothing = Shared(Default::default());
    StandIn::start(nothing, Clock::system()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_said_at_once() {
    let world = World::start(&["alice/a"]).await;
    let ran = world.run_with("sync --no-ping", |command| {
        command.env("GOGS_TOKEN", "wrong");
    });
    let ran = ran.await;
    ran.check(1, &["Gogs does not accept the token (401)"]);
    let ran = world.run_with("sync --no-ping", |command| {
        command.env_remove("GOGS_TOKEN");
    });
    let ran = ran.await;
    ran.check(
        2,
        &["there is no token; put one into $GOGS_TOKEN, or give --token-file"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_from_a_file_or_the_command_line_too() {
    let world = World::start(&["alice/a"]).await;
    std::fs::write(world.folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    for given in [["--token-file", "token"], ["--token", TOKEN]] {
        let ran = world.run_with("sync --no-ping", |command| {
            command.env_remove("GOGS_TOKEN").args(given);
        });
        ran.await.check(0, &[]);
    }
    let ran = world.run_with("sync", |command| {
        command.args(["--token", TOKEN, "--token-file", "x"]);
    });
    ran.await.check(2, &["cannot be used with"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_follows_no_redirect() {
    let (world, other) = (World::start(&["alice/a"]).await, elsewhere().await);
    let target = format!("http://{}/api/v1/user", other.address());
    world
        .standin
        .rule(move |_| Some(Script::status(302).header("location", target.clone())));
    let ran = world.sync("").await;
    ran.check(
        1,
        &["answers with a redirect, which is not followed; give its target with --url"],
    );
    assert_eq!(other.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_gogs_is_called_so() {
    let world = World::start(&["alice/a"]).await;
    world
        .standin
        .rule(|_| Some(Script::status(404).body("<!DOCTYPE html>")));
    world.sync("").await.check(
        1,
        &["does not answer like a Gogs (status 404)", "whole address?"],
    );
    world
        .standin
        .rule(|_| Some(Script::status(200).body("<!DOCTYPE html>")));
    world
        .sync("")
        .await
        .check(1, &["does not answer like a Gogs (status 200)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_the_connection_is_named() {
    let world = World::start(&["alice/a"]).await;
    let tls = world.url().replace("http:", "https:");
    world
        .run_at(&tls, "sync --no-ping")
        .await
        .check(1, &["no Gogs answers at", "no TLS connection"]);
    let closed = world.run_at("http://127.0.0.1:1", "sync --no-ping").await;
    closed.check(
        1,
        &["no Gogs answers at 127.0.0.1:1: the connection was refused"],
    );
    for wrong in [
        "gogs.lan",
        "ftp://gogs.lan",
        "http://alice:pass-w0rd@gogs.lan",
    ] {
        let ran = world.run_at(wrong, "sync --no-ping").await;
        ran.check(2, &["is no URL of a Gogs"]);
        assert!(!ran.err.contains("pass-w0rd"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_asked_again_when_the_server_fails_and_changes_are_not() {
    let world = World::start(&["alice/a"]).await;
    world.standin.script([Script::status(502)]);
    world.sync("").await.check(0, &["made hook 1"]);
    world.server().hooks.clear();
    world
        .standin
        .rule(|request| (request.method == "POST").then(|| Script::status(502)));
    let ran = world.sync("").await;
    ran.check(
        1,
        &[
            "alice/a failed Gogs answered 502",
            "it is safe to run this again",
        ],
    );
    let requests = world.server().requests.clone();
    assert_eq!(
        requests.iter().filter(|it| it.starts_with("POST")).count(),
        2,
        "{requests:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_repository_in_trouble_does_not_keep_the_others_from_theirs() {
    let world = World::start(&["alice/a", "alice/b"]).await;
    let ran = world.sync("--repos alice/*,alice/gone").await;
    ran.check(
        1,
        &[
            "alice/a made hook 1",
            "alice/gone failed there is no such repository, or the token's user cannot see it (404)",
            "3 repositories: 2 changed, 0 as they should be, 1 failed",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_nothing_fits_is_a_failure() {
    let world = World::start(&["alice/a"]).await;
    let ran = world.sync("--repos orbit/*").await;
    ran.check(1, &["alice administers no repository that was asked for"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_repeats_a_secret_is_not_shown() {
    let world = World::start(&["alice/a"]).await;
    let echo = |request: &gogs_relay::standin::Received| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let said = serde_json::json!({ "message": format!("{TOKEN} {NEW} {body}") });
        (request.method == "POST").then(|| Script::json(422, &said))
    };
    world.standin.rule(echo);
    world
        .sync("")
        .await
        .check(1, &["alice/a failed Gogs answered 422"]);
    world.server().hooks.clear();
    let alone = |request: &gogs_relay::standin::Received| {
        let said = serde_json::json!({ "message": NEW });
        (request.method == "POST").then(|| Script::json(422, &said))
    };
    world.standin.rule(alone);
    world
        .sync("")
        .await
        .check(1, &["alice/a failed Gogs answered 422"]);
}
