//! Hostile text in every field of every event: valid body, no ping, no forged link, within limits.

use gogs_relay::destination::Kind;
use gogs_relay::plan::{Sample, Templates, samples};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use crate::messages::{destination, dingtalk, discord, event, message, slack};

/// Where every address of the samples begins.
const GOGS: &str = "https://git.example.org/";

/// Stands for half of a surrogate pair until the body is written as JSON.
const HALF: char = '\u{e000}';

/// What strangers write.
const PIECES: [&str; 31] = [
    "<!channel>",
    "<!here|here>",
    "<@U123>",
    "<@&456>",
    "<#C1>",
    "@everyone",
    "@here",
    "@channel",
    "<https://evil.example|label>",
    "<https://evil.example>",
    "](https://evil.example)",
    "[x](",
    "[x](<https://evil.example>)",
    "[x]: https://evil.example",
    "](",
    ")",
    "|",
    ">",
    "&lt;!channel&gt;",
    "&amp;",
    "\\",
    "\"",
    "{{x}}",
    "`",
    "```",
    "\u{0}\u{1b}[31m\u{7f}\u{9b}",
    "\u{202e}\u{2066}\u{200f}",
    "\r\n\n",
    "\u{e000}",
    "👩‍🚀é",
    "\u{fdd0}\u{fdd1}\u{fdd2}9\u{fdd3}",
];

/// A user's templates, written without a thought for safety.
const NAIVE_SLACK: &str = r#"{
  "text": "{{event}} {{branch}} {{tag}} <{{event_url}}|{{numbered_title}}{{release.name}}> by {{sender.full_name}}\n{{#each commits}}<{{url}}|{{short id}}> {{message}} {{author.name}} {{truncate message 40}}\n{{/each}}{{raw issue.body}}",
  "username": "{{sender.username}}",
  "icon_url": "{{sender.avatar_url}}",
  "attachments": [
    {
      "title": "{{issue.title}}{{pull_request.title}}",
      "title_link": "{{repository.website}}",
      "text": "{{issue.body}}{{comment.body}}{{pull_request.body}}{{release.body}}{{repository.description}}",
      "fields": [
        { "title": "{{ref}}", "value": {{json issue.milestone.title}} },
        { "title": "Labels", "value": "{{#each issue.labels}}{{name}} {{/each}}{{link repository.name ref_url}}" }
      ]
    }
  ],
  "blocks": [
    { "type": "section", "text": { "type": "mrkdwn", "text": "{{default issue.body comment.body event}}" } },
    { "type": "header", "text": { "type": "plain_text", "text": "{{default issue.title event}}" } }
  ]
}"#;

const NAIVE_DISCORD: &str = r#"{
  "content": "{{event}} {{branch}} {{tag}} [{{numbered_title}}{{release.name}}]({{event_url}}) by {{sender.full_name}}\n{{#each commits}}[{{short id}}]({{url}}) {{message}} {{author.name}} {{truncate message 40}}\n{{/each}}{{raw issue.body}}",
  "username": "{{sender.username}}",
  "avatar_url": "{{sender.avatar_url}}",
  "embeds": [
    {
      "title": "{{issue.title}}{{pull_request.title}}",
      "url": "{{repository.website}}",
      "description": "{{issue.body}}{{comment.body}}{{pull_request.body}}{{release.body}}{{repository.description}}",
      "author": { "name": "{{sender.full_name}}", "url": "{{sender_url}}", "icon_url": "{{sender.avatar_url}}" },
      "footer": { "text": "{{raw repository.description}}" },
      "fields": [
        { "name": "{{ref}}", "value": {{json issue.milestone.title}} },
        { "name": "Labels", "value": "{{#each issue.labels}}{{name}} {{/each}}{{link repository.name ref_url}}" }
      ]
    }
  ]
}"#;

const NAIVE_DINGTALK: &str = r##"{
  "msgtype": "actionCard",
  "actionCard": {
    "title": "{{numbered_title}}{{sender.full_name}}{{release.name}}",
    "text": "# {{event}} {{branch}} {{tag}}\n> [{{numbered_title}}{{release.name}}]({{event_url}}) by {{sender.full_name}}\n{{#each commits}}- [{{short id}}]({{url}}) {{message}} {{author.name}} {{truncate message 40}}\n{{/each}}{{raw issue.body}}{{issue.body}}{{comment.body}}{{pull_request.body}}{{release.body}}{{repository.description}} ![]({{sender.avatar_url}}) {{link repository.name ref_url}} {{#each issue.labels}}{{name}} {{/each}}",
    "singleTitle": "{{sender.username}}",
    "singleURL": "{{repository.website}}"
  }
}"##;

/// The built-in sets, and one of a user who did not think of safety.
fn sets() -> (tempfile::TempDir, Templates) {
    let folder = tempfile::TempDir::new().unwrap();
    for (kind, text) in [
        ("slack", NAIVE_SLACK),
        ("discord", NAIVE_DISCORD),
        ("dingtalk", NAIVE_DINGTALK),
    ] {
        let inside = folder.path().join("naive").join(kind);
        std::fs::create_dir_all(&inside).unwrap();
        for sample in samples() {
            std::fs::write(inside.join(format!("{}.hbs", sample.event)), text).unwrap();
        }
    }
    let (templates, problems) = Templates::load(folder.path());
    assert_eq!(problems, []);
    (folder, templates)
}

/// Whether people write the member of this name.
fn is_free_text(name: &str) -> bool {
    let fixed = [
        "action",
        "ref_type",
        "pusher_type",
        "state",
        "before",
        "after",
        "id",
        "sha",
        "color",
        "timestamp",
        "due_on",
        "merge_commit_sha",
    ];
    !fixed.contains(&name) && !name.ends_with("url") && !name.ends_with("_at")
}

/// Puts `text` into the free-text field number `only`, or into all; gives how many there are.
fn infect(name: &str, value: &mut Value, text: &str, only: Option<usize>, seen: &mut usize) {
    match value {
        Value::String(own) if is_free_text(name) => {
            if only.is_none_or(|only| only == *seen) {
                let prefix = if own.starts_with("refs/heads/") {
                    "refs/heads/"
                } else {
                    ""
                };
                *own = format!("{prefix}{text}");
            }
            *seen += 1;
        }
        Value::Array(items) => {
            for item in items {
                infect(name, item, text, only, seen);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                infect(name, member, text, only, seen);
            }
        }
        _ => {}
    }
}

/// The sample with the text in it, as JSON with halves of surrogate pairs.
fn infected(sample: &Sample, text: &str, only: Option<usize>) -> Vec<u8> {
    let mut payload: Value = serde_json::from_slice(&sample.body).unwrap();
    infect("", &mut payload, text, only, &mut 0);
    let body = serde_json::to_string(&payload).unwrap();
    body.replace(HALF, "\\ud800").into_bytes()
}

fn check(templates: &Templates, sample: &Sample, text: &str, only: Option<usize>) {
    let event = event(&sample.event, &infected(sample, text, only));
    for set in ["default", "classic", "naive"] {
        let rendered = message(templates, &event, &destination(Kind::Slack(slack()), set));
        let body: Value = serde_json::from_slice(&rendered.body).unwrap();
        check_slack(&body);
        let rendered = message(
            templates,
            &event,
            &destination(Kind::Discord(discord()), set),
        );
        let body: Value = serde_json::from_slice(&rendered.body).unwrap();
        check_discord(&body);
        let rendered = message(
            templates,
            &event,
            &destination(Kind::DingTalk(dingtalk()), set),
        );
        check_dingtalk(&rendered.body);
        let rendered = message(templates, &event, &destination(Kind::Console, set));
        let shown = std::str::from_utf8(&rendered.body).unwrap();
        assert!(
            !shown.contains(|c: char| c.is_control() && c != '\n'),
            "{shown:?}"
        );
    }
}

/// Calls `each` with the name and text of every string in the body.
fn strings(name: &str, value: &Value, each: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => each(name, text),
        Value::Array(items) => items.iter().for_each(|item| strings(name, item, each)),
        Value::Object(members) => {
            for (name, member) in members {
                strings(name, member, each);
            }
        }
        _ => {}
    }
}

fn check_slack(body: &Value) {
    assert!(body.get("parse").is_none());
    assert!(body.get("link_names").is_none_or(|on| *on == 0));
    strings("", body, &mut |name, text| {
        assert!(!text.contains(|c| ('\u{fdd0}'..='\u{fdef}').contains(&c) && c == '\u{fdd0}'));
        let is_address = name.ends_with("_url") || name.ends_with("_link");
        // As Slack's clients do: whatever stands between angle brackets acts.
        let mut rest = if is_address { "" } else { text };
        while let Some((_, behind)) = rest.split_once('<') {
            let Some((inside, behind)) = behind.split_once('>') else {
                break;
            };
            assert!(inside.starts_with(GOGS), "{name}: {inside} in {text}");
            rest = behind;
        }
        let limit = match name {
            "title" => 1024,
            "footer" => 300,
            _ => 40_000,
        };
        assert!(units(text) <= limit, "{name} has {} units", units(text));
    });
    for block in body["blocks"].as_array().into_iter().flatten() {
        let limit = if block["type"] == "header" { 150 } else { 3000 };
        let text = block["text"]["text"].as_str().unwrap();
        assert!((1..=limit).contains(&units(text)));
    }
}

fn check_discord(body: &Value) {
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    assert!(
        body.get("content")
            .is_none_or(|it| units(it.as_str().unwrap()) <= 2000)
    );
    let username = body.get("username").and_then(Value::as_str);
    assert!(username.is_none_or(|name| (1..=80).contains(&units(name))));
    let mut total = 0;
    for embed in body["embeds"].as_array().into_iter().flatten() {
        let mut within = |text: &Value, limit: usize| {
            let length = text.as_str().map_or(0, units);
            assert!(length <= limit, "{length} of {limit}");
            total += length;
        };
        within(&embed["title"], 256);
        within(&embed["description"], 4096);
        within(&embed["author"]["name"], 256);
        within(&embed["footer"]["text"], 2048);
        let fields = embed["fields"].as_array().cloned().unwrap_or_default();
        assert!(fields.len() <= 25);
        for field in &fields {
            within(&field["name"], 256);
            within(&field["value"], 1024);
            assert!(!field["name"].as_str().unwrap().trim().is_empty());
            assert!(!field["value"].as_str().unwrap().trim().is_empty());
        }
    }
    assert!(total <= 6000);
    strings("", body, &mut |name, text| {
        assert!(!text.is_empty() && !text.contains('\u{fdd0}'), "{name}");
        if name.ends_with("url") {
            assert!(text.starts_with("https://"), "{name}: {text}");
        } else {
            check_markdown(text);
        }
    });
}

fn check_dingtalk(bytes: &[u8]) {
    assert!(bytes.len() <= 20_000, "{} bytes", bytes.len());
    let body: Value = serde_json::from_slice(bytes).unwrap();
    let at = body.get("at").cloned().unwrap_or_default();
    assert!(at.is_null() || at == json!({"isAtAll": false}), "{at}");
    let kind = body["msgtype"].as_str().unwrap();
    assert!(
        body[kind]["title"]
            .as_str()
            .is_some_and(|title| units(title) <= 128)
    );
    strings("", &body, &mut |name, text| {
        assert!(!text.is_empty() && !text.contains('\u{fdd0}'), "{name}");
        if name.ends_with("URL") {
            assert!(text.starts_with(GOGS), "{name}: {text}");
        } else if name == "text" {
            check_markdown(text);
            check_html(text);
        }
    });
}

/// No tag, and no address that a link elsewhere could name. The target of a link names none,
/// whatever stands in it: `check_markdown` has seen where it leads.
fn check_html(text: &str) {
    let mut in_target = false;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        let after = &text[at + character.len_utf8()..];
        match character {
            '\\' => {
                characters.next();
            }
            '<' => assert!(
                !after.starts_with(|next: char| next.is_ascii_alphabetic() || next == '/'),
                "{text}"
            ),
            ']' if after.starts_with(&format!("({GOGS}")) => in_target = true,
            ')' | ' ' | '\n' => in_target = false,
            ']' => assert!(in_target || !after.starts_with(':'), "{text}"),
            _ => {}
        }
    }
}

/// Every masked link leads to Gogs, and nobody is mentioned.
fn check_markdown(text: &str) {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        let after = &text[at + character.len_utf8()..];
        match character {
            '\\' => {
                characters.next();
            }
            '<' => assert!(!after.starts_with(['@', '#']), "{text}"),
            ']' if after.starts_with('(') => {
                let target = after[1..].trim_start_matches(['<', ' ', '\n']);
                let target = &target[..target.find([')', ' ', '\n']).unwrap_or(target.len())];
                let scheme =
                    target.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
                let acts = scheme.is_some_and(|end| end > 0 && target[end..].starts_with(':'));
                assert!(!acts || target.starts_with(GOGS), "{target} in {text}");
            }
            _ => {}
        }
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[test]
fn every_piece_of_hostile_text_in_every_event_is_only_shown() {
    let (_folder, templates) = sets();
    for sample in samples() {
        for piece in PIECES {
            let text = format!("{piece} a {piece}{piece}");
            check(&templates, &sample, &text, None);
        }
    }
}

#[test]
fn texts_of_a_hundred_thousand_characters_are_cut_everywhere() {
    let (_folder, templates) = sets();
    let unit = "<!channel> [x](https://evil.example) \u{1f469}\u{200d}\u{1f680} & \\ @everyone `x` e\u{301}\n";
    let text = unit.repeat(100_000 / unit.chars().count() + 1);
    let mut seen = Vec::new();
    for sample in samples() {
        if !seen.contains(&sample.event) {
            check(&templates, &sample, &text, None);
            seen.push(sample.event);
        }
    }
}

proptest! {
    // The same cases each time, so that a change is judged by what it changes.
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(256)
    })]

    #[test]
    fn whatever_strangers_write_is_only_shown(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
                ".{0,12}",
                "[\\[\\]()<>|\\\\`*_~@#:/ a-z\\n]{0,16}",
            ],
            1..8,
        ),
        repeat in prop_oneof![9 => Just(1_usize), 1 => 2..400_usize],
        which in any::<prop::sample::Index>(),
        field in prop::option::of(0..40_usize),
    ) {
        thread_local! {
            static SETS: (tempfile::TempDir, Templates) = sets();
        }
        let all = samples();
        let text = pieces.concat().repeat(repeat);
        SETS.with(|(_, templates)| check(templates, which.get(&all), &text, field));
    }
}
