//! Hooks for chat services become a piece of relay.yaml that says the same to the same places.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use gogs_relay::config;
use gogs_relay::destination::Destination;
use serde_json::Value;

use super::server::Hook;
use super::world::{Ran, World, hook};
use crate::corpus;
use crate::messages::{Comparison, built_in, event, message, payload};

const SLACK: &str = "https://hooks.slack.com/services/T000/B000/first";
const BARE: &str = "https://hooks.slack.com/services/T000/B000/it's?x=${HOME}&y";
const DISCORD: &str = "https://discord.com/api/webhooks/1/T000/B000";
const DINGTALK: &str = "https://oapi.dingtalk.com/robot/send?access_token=T000/B000";

fn chat(repository: &str, kind: &str, url: &str, edit: impl FnOnce(&mut Hook)) -> Hook {
    hook(repository, url, |it| {
        it.kind = kind.to_owned();
        edit(it);
    })
}

fn set(hook: &mut Hook, settings: &[(&str, &str)]) {
    let settings = settings
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    hook.slack.extend(settings);
}

/// The recorded hooks, and some that cannot be taken over.
async fn world() -> World {
    let world = World::start(&["alice/lander", "alice/rover", "alice/vault"]).await;
    let full = [
        ("channel", "#orbit-dev"),
        ("username", "Gogs"),
        ("icon_url", "http://127.0.0.1:3000/img/favicon.png"),
        ("color", "#dd4b39"),
    ];
    let bare = [
        ("channel", "#orbit-dev"),
        ("username", ""),
        ("icon_url", ""),
        ("color", ""),
    ];
    let odd = [
        ("channel", "#x \"${y}\\"),
        ("color", "reddish"),
        ("icon_url", ":ghost:"),
    ];
    let hooks = [
        chat("alice/lander", "slack", SLACK, |it| set(it, &full)),
        chat("alice/rover", "slack", SLACK, |it| set(it, &full)),
        chat("alice/vault", "slack", BARE, |it| {
            set(it, &bare);
            it.events = vec!["push".to_owned(), "release".to_owned()];
        }),
        chat("alice/vault", "slack", BARE, |it| set(it, &odd)),
        chat("alice/vault", "discord", DISCORD, |_| {}),
        chat("alice/vault", "dingtalk", DINGTALK, |_| {}),
        chat("alice/rover", "discord", DISCORD, |it| it.active = false),
        chat(
            "alice/rover",
            "dingtalk",
            "https://oapi.dingtalk.com/robot/send",
            |_| {},
        ),
        chat("alice/rover", "slack", "::T000/B000", |_| {}),
        hook("alice/rover", "http://ci.test/T000/B000", |_| {}),
    ];
    for hook in hooks {
        world.server().put(hook);
    }
    world
}

/// `NAME='value'`, as a shell reads it.
fn variables(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| line.split_once('=').unwrap());
    let bare = |value: &str| value.trim_matches('\'').to_owned();
    lines
        .map(|(name, value)| (name.to_owned(), bare(value)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_hooks_become_destinations_and_routes_without_their_urls() {
    let world = world().await;
    let ran = world.run("import --secrets chat.env").await;
    ran.check(
        0,
        &[
            "# The variables stand in chat.env.",
            "repos: [\"alice/lander\", \"alice/rover\"] to: [slack-orbit-dev]",
            "events: [push, release] repos: [\"alice/vault\"] to: [slack-orbit-dev-2]",
            "left out: hook 7 of alice/rover (discord): it is switched off",
            "left out: hook 8 of alice/rover (dingtalk): its URL has no access_token",
            "left out: hook 9 of alice/rover (slack): its URL is none",
        ],
    );
    let file = world.folder.path().join("chat.env");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let variables = variables(&file);
    assert_eq!(variables["SLACK_ORBIT_DEV_URL"], SLACK);
    assert_eq!(variables.len(), 5);
    check(&world, &ran, &variables);

    world
        .run("import --secrets chat.env")
        .await
        .check(2, &["chat.env is there already"]);
    let unwritten = world.run("import").await;
    unwritten.check(
        0,
        &["are for you to set", "--secrets writes them to a file"],
    );
    assert_eq!(
        world
            .server()
            .requests
            .iter()
            .filter(|it| !it.starts_with("GET"))
            .count(),
        0
    );
}

/// `gogs-relay check` finds nothing to say, and a shell reads the file.
fn check(world: &World, ran: &Ran, variables: &BTreeMap<String, String>) {
    let yaml = format!("sources: {{ gogs: {{ secret: s3cret }} }}\n{}", ran.out);
    world.write(&yaml);
    let line = "set -a; . ./chat.env; exec \"$0\" check";
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", line, env!("CARGO_BIN_EXE_gogs-relay")]);
    let output = shell.current_dir(world.folder.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said == "relay.yaml: fine\n",
        "{said}\n{yaml}"
    );
    let loaded = loaded(world, variables);
    let odd = serde_json::json!(format!("{:?}", loaded["slack-x-y"].kind));
    assert!(odd.to_string().contains("${y}"), "{odd}");
}

fn loaded(world: &World, variables: &BTreeMap<String, String>) -> BTreeMap<String, Destination> {
    let path = world.folder.path().join("relay.yaml");
    let sets = |_: &Path| vec!["default".to_owned(), "classic".to_owned()];
    let loaded = config::load(&path, variables, &sets).unwrap();
    let destinations = loaded.config.destinations.into_iter();
    destinations
        .map(|(name, it)| (name.to_string(), it))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_destinations_say_what_gogs_own_hooks_say() {
    let world = world().await;
    let ran = world.run("import --secrets chat.env").await;
    let variables = variables(&world.folder.path().join("chat.env"));
    check(&world, &ran, &variables);
    let destinations = loaded(&world, &variables);
    let templates = built_in();
    let (mut compared, mut wrong) = (BTreeMap::new(), Vec::new());
    for recorded in corpus::all() {
        let Some(payload) = payload(&recorded) else {
            continue;
        };
        for delivered in recorded.deliveries.values() {
            let theirs: Value = serde_json::from_str(&delivered.body).unwrap_or_default();
            let Some(name) = recorded_by(&theirs) else {
                continue;
            };
            let event = event(&recorded.event, payload);
            let ours = message(&templates, &event, &destinations[name]);
            let ours = serde_json::from_slice(&ours.body).unwrap();
            let mut comparison = Comparison::default();
            comparison.compare("", Some(&theirs), Some(&ours));
            *compared.entry(name).or_insert(0) += 1;
            wrong.extend(comparison.wrong);
        }
    }
    figure!("imported destinations render as Gogs' own hooks did: {compared:?}");
    assert_eq!(wrong, [""; 0]);
    assert_eq!(compared.len(), 4);
    assert!(compared.values().all(|count| *count >= 5));
}

/// The destination that a recorded hook was imported as, by the settings that show in its body.
fn recorded_by(body: &Value) -> Option<&'static str> {
    if body["msgtype"].is_string() {
        return Some("dingtalk-alice-vault");
    }
    let user = body["username"].as_str()?;
    if body["embeds"].is_array() {
        let bare = user.is_empty() && body["embeds"][0]["color"] == 0;
        return bare.then_some("discord-alice-vault");
    }
    let colour = body["attachments"][0]["color"].as_str().unwrap_or_default();
    match (
        body["channel"].as_str()?,
        user,
        body["icon_url"].as_str()?,
        colour,
    ) {
        ("#orbit-dev", "Gogs", "http://127.0.0.1:3000/img/favicon.png", "#dd4b39" | "") => {
            Some("slack-orbit-dev")
        }
        ("#orbit-dev", "", "", "") => Some("slack-orbit-dev-2"),
        _ => None,
    }
}
