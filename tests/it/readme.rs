//! The README and relay.yaml keep their word.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use gogs_relay::config;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The code blocks in a language.
fn blocks(language: &str) -> Vec<String> {
    let (readme, fence) = (readme(), format!("```{language}\n"));
    let parts = readme.split(&fence).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
        .args(args)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?} is no command");
    String::from_utf8(output.stdout).unwrap()
}

/// The first words of the lines under `Commands:`.
fn commands(help: &str) -> BTreeSet<String> {
    let list = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(first)
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn the_readme_lists_exactly_the_commands_there_are() {
    let readme = readme();
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `gogs-relay "));
    let mut listed = BTreeSet::new();
    for row in rows {
        let mut words = row.split('`').next().unwrap().split_whitespace();
        let name = words.next().unwrap();
        listed.insert(name.to_owned());
        if let Some(parts) = words.next().filter(|word| word.contains('|')) {
            let parts: BTreeSet<String> = parts.split("\\|").map(str::to_owned).collect();
            assert_eq!(parts, commands(&help(&[name])), "the parts of {name}");
        }
    }
    assert_eq!(listed, commands(&help(&[])));
}

#[test]
fn every_flag_that_the_readme_shows_exists() {
    let readme = readme();
    for line in readme
        .lines()
        .filter(|line| line.contains("gogs-relay ") || line.contains("cargo run --release -- "))
    {
        let call = line.replace("cargo run --release -- ", "gogs-relay ");
        for call in call.split("gogs-relay ").skip(1) {
            let words: Vec<&str> = call
                .split(['`', '#', ';'])
                .next()
                .unwrap()
                .split_whitespace()
                .collect();
            let flags = words.iter().filter(|word| word.starts_with("--"));
            for flag in flags {
                let depth = match words[0] {
                    "deliveries" | "destinations" | "gogs" => 2,
                    _ => 1,
                };
                let help = help(&words[..depth]);
                assert!(
                    help.contains(flag.trim_end_matches('.')),
                    "{flag} of {}",
                    words[..depth].join(" ")
                );
            }
        }
    }
}

#[test]
fn every_configuration_in_the_readme_is_sound() {
    let blocks = blocks("yaml");
    assert!(!blocks.is_empty());
    let secrets = [
        "SLACK_URL",
        "DISCORD_URL",
        "DINGTALK_URL",
        "DINGTALK_SECRET",
        "CI_SECRET",
    ];
    let environment = secrets.map(|name| {
        (
            name.to_owned(),
            "https://chat.invalid/api/webhooks/1/x?access_token=x".to_owned(),
        )
    });
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.yaml");
        std::fs::write(
            &path,
            format!("sources: {{ gogs: {{ secret: readme }} }}\n{block}"),
        )
        .unwrap();
        let loaded = config::load(&path, &environment.clone().into(), &|_| {
            vec!["default".to_owned()]
        });
        assert_eq!(loaded.unwrap().warnings, Vec::new());
    }
}

#[test]
fn the_template_in_the_readme_renders_and_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let shell = blocks("sh")
        .into_iter()
        .find(|block| block.contains("<<'HBS'"))
        .unwrap();
    let template = shell
        .split("<<'HBS'\n")
        .nth(1)
        .unwrap()
        .split("HBS\n")
        .next()
        .unwrap()
        .to_owned();
    std::fs::create_dir_all(folder.path().join("templates/mine/slack")).unwrap();
    std::fs::write(
        folder.path().join("templates/mine/slack/push.hbs"),
        template,
    )
    .unwrap();
    let yaml = "sources: { gogs: { secret: readme } }\n\
                destinations: { team-slack: { slack: { url: 'https://slack.invalid/x' }, templates: mine } }\n";
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let check = Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
        .arg("check")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
    assert!(String::from_utf8_lossy(&check.stdout).contains("fine"));
}

#[test]
fn the_test_command_of_the_readme_is_the_one_that_ci_runs() {
    let ci =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run")).unwrap();
    assert!(blocks("sh").concat().contains("cargo test "));
    assert!(ci.lines().any(|line| line.contains("cargo test ")));
}

#[test]
fn the_readme_shows_every_command_for_when_something_is_wrong() {
    let readme = readme();
    let section = readme.split("## When something is wrong").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    for (command, parts) in [
        ("deliveries", vec!["list", "show", "redeliver"]),
        ("destinations", vec!["list", "hold", "resume", "discard"]),
    ] {
        for part in parts {
            let call = format!("gogs-relay {command} {part}");
            assert!(section.contains(&call), "{call}");
        }
    }
    let rests = help(&["destinations", "resume"]);
    for rest in ["keep", "dead", "summary"] {
        assert!(rests.contains(rest) && section.contains(rest), "{rest}");
    }
}
