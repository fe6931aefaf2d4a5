//! First runs, runs that have nothing to do, drift, and which repositories are looked at.

use std::collections::BTreeSet;

use serde_json::Value;

use super::server::Hook;
use super::world::{NEW, OLD, PUBLIC, World, assert_right, hook, right};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_makes_a_hook_everywhere_and_a_second_changes_nothing() {
    let world = World::start(&["alice/lander", "alice/rover", "orbit/vault", "orbit/seen"]).await;
    {
        let mut server = world.server();
        server.repositories[2]
            .shared
            .insert("alice".to_owned(), true);
        server.repositories[3]
            .shared
            .insert("alice".to_owned(), false);
    }
    let dry = world.sync("--dry-run").await;
    dry.check(
        0,
        &[
            "alice/lander would make a hook there was none",
            "3 would be changed",
        ],
    );
    assert!(world.server().hooks.is_empty());

    let first = world.sync("").await;
    first.check(
        0,
        &[
            "REPOSITORY WHAT WHY",
            "alice/lander made hook 1 there was none",
            "orbit/vault made hook 3 there was none",
            "3 repositories: 3 changed, 0 as they should be",
            "1 repository more fit, but alice does not administer them",
        ],
    );
    let hooks = world.server().hooks.clone();
    assert_eq!(hooks.len(), 3);
    hooks.iter().for_each(assert_right);

    let second = world.sync("").await;
    second.check(0, &["3 repositories: nothing to do"]);
    assert!(!second.out.contains("WHAT"), "{}", second.out);
    assert_eq!(world.server().hooks, hooks);
    let requests = world.server().requests.join("\n");
    let changes = ["POST", "PATCH", "DELETE"].map(|it| requests.matches(it).count());
    assert_eq!(changes, [3, 0, 0], "{requests}");
}

/// What somebody did to the hook, what is done about it, and the reason that is given.
type Drift = (fn(&mut Hook), &'static str, &'static str);

const DRIFTS: [Drift; 9] = [
    (
        |it| it.active = false,
        "repaired hook",
        "it was switched off",
    ),
    (
        |it| it.events = vec!["push".to_owned()],
        "repaired hook",
        "its events were push",
    ),
    (|it| it.events.clear(), "repaired hook", "it had no events"),
    (
        |it| it.form = true,
        "repaired hook",
        "its content type was form",
    ),
    (
        |it| it.url = it.url.replace("/hooks", "//hooks").replace('#', "/?x=1#"),
        "repaired hook",
        "its URL was written in another way",
    ),
    (
        |it| it.kind = "slack".to_owned(),
        "removed hook",
        "it was of type slack",
    ),
    (
        |it| {
            it.url = it.url.split('#').next().unwrap().to_owned();
            it.secret = OLD.to_owned();
        },
        "removed hook",
        "it did not say which secret it had",
    ),
    (
        |it| it.url = it.url.split('#').next().unwrap().to_owned(),
        "made hook",
        "the one there did not say which secret it had",
    ),
    (
        |it| it.url = it.url.replace("#secret-", "#secret-0"),
        "removed hook",
        "it had another secret",
    ),
];

/// Hooks that are none of the relay's, one switched off.
fn foreign() -> [Hook; 3] {
    let slack = "https://hooks.slack.com/services/T000/B000";
    [
        hook("alice/a", "http://relay.test:8025/hooks/other", |_| {}),
        hook("alice/a", "http://elsewhere.test:8025/hooks/gogs", |it| {
            it.active = false
        }),
        hook("alice/a", slack, |it| {
            it.kind = "slack".to_owned();
            it.slack.insert("channel".to_owned(), "#dev".to_owned());
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_drift_is_repaired_and_foreign_hooks_are_left_alone() {
    let world = World::start(&["alice/a"]).await;
    for hook in foreign() {
        world.server().put(hook);
    }
    let foreign = world.server().hooks.clone();
    for (drift, action, why) in DRIFTS {
        world
            .server()
            .put(hook("alice/a", &right(PUBLIC, NEW), drift));
        let ran = world.sync("").await;
        ran.check(0, &[action, why]);
        let mut server = world.server();
        let ours = server.hooks.split_off(foreign.len());
        assert_eq!(server.hooks, foreign, "{why}");
        assert_eq!(ours.len(), 1, "{why}");
        assert_right(&ours[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hooks_one_stays() {
    let world = World::start(&["alice/a"]).await;
    for url in [
        right(PUBLIC, NEW),
        format!("{PUBLIC}hooks/gogs"),
        right(PUBLIC, NEW),
    ] {
        world.server().put(hook("alice/a", &url, |_| {}));
    }
    let ran = world.sync("").await;
    ran.check(
        0,
        &[
            "removed hook 1 it was one too many",
            "removed hook 2 it did not say which secret it had",
        ],
    );
    let hooks = world.server().hooks.clone();
    assert_eq!((hooks.len(), hooks[0].id), (1, 3));
    assert_right(&hooks[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_at_a_former_address_are_moved_when_it_is_named() {
    let world = World::start(&["alice/a", "alice/b"]).await;
    let was = "http://old.test:8025/";
    world
        .server()
        .put(hook("alice/a", &right(was, NEW), |_| {}));
    world.server().put(hook("alice/b", &right(was, OLD), |it| {
        it.secret = OLD.to_owned()
    }));
    let ran = world.sync(&format!("--was {was}")).await;
    ran.check(
        0,
        &[
            "alice/a repaired hook 1 its URL was written in another way",
            "alice/b made hook 3 the one there had another secret",
            "alice/b removed hook 2",
        ],
    );
    let hooks = world.server().hooks.clone();
    assert_eq!(hooks.len(), 2);
    hooks.iter().for_each(assert_right);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_administrator_reaches_every_page_of_public_repositories_and_names_the_rest() {
    let world = World::start(&["alice/own"]).await;
    {
        let mut server = world.server();
        for number in 0..123 {
            server.add(&format!("orbit/site-{number:03}"), false);
        }
        server.add("orbit/hidden", true);
        server.add("moonbase/hidden", true);
        server.users.values_mut().for_each(|user| user.1 = true);
    }
    let ran = world
        .sync("--everywhere --repos orbit/*,!orbit/*7,moonbase/hidden")
        .await;
    ran.check(0, &["moonbase/hidden made hook"]);
    let server = world.server();
    let covered: Vec<&str> = server
        .hooks
        .iter()
        .map(|it| it.repository.as_str())
        .collect();
    // 123 less the twelve that end in 7, of which none is hidden, and the one that was named.
    assert_eq!(covered.len(), 112, "{covered:?}");
    assert!(
        !covered.contains(&"orbit/hidden"),
        "no request of Gogs lists it"
    );
    let pages = server
        .requests
        .iter()
        .filter(|it| it.contains("/repos/search"));
    let pages: Vec<&String> = pages.collect();
    assert_eq!(pages.len(), 4, "{pages:?}");
    figure!(
        "gogs sync: {} requests for {} repositories",
        server.requests.len(),
        covered.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_there_for_scripts_too() {
    let world = World::start(&["alice/a", "alice/b"]).await;
    let ran = world
        .sync("--json --repos alice/* --events push,release")
        .await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let first = &report["repositories"][0];
    assert_eq!(first["repository"], "alice/a");
    assert_eq!(first["changes"][0]["action"], "make");
    assert_eq!(first["changes"][0]["hook"], 1);
    assert_eq!(first["error"], Value::Null);
    assert_eq!(world.server().hooks[0].events, ["push", "release"]);
    world
        .sync("")
        .await
        .check(0, &["repaired hook 1 its events were push, release"]);
}

#[test]
fn every_flag_of_the_documentation_exists_and_every_flag_is_documented() {
    let documentation = std::fs::read_to_string("docs/gogs-sync.md").unwrap();
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
        let flags = words
            .filter(|word| word.len() > 3 && word.trim_start_matches('-').len() + 2 == word.len());
        flags.map(str::to_owned).collect()
    };
    let help = ["sync", "import"].map(|command| {
        let mut binary = std::process::Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
        let output = binary.args(["gogs", command, "--help"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let mut known = flags(&help.concat());
    for everywhere in ["--help", "--config"] {
        known.remove(everywhere);
    }
    assert_eq!(flags(&documentation), known);
}
