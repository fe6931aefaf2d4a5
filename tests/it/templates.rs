//! Templates of a user: found, checked, and at run time never the end of a message.

use gogs_relay::config::{Problem, Severity};
use gogs_relay::destination::{ContentType, Gogs, Kind, SecretUrl};
use gogs_relay::event::EventId;
use gogs_relay::plan::{Message, Rendered, Sample, Step, Templates, samples};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::messages::{built_in, destination, discord, event, slack};

/// A user's folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (file, text) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn sample(event: &str, what: &str) -> Sample {
    let mut samples = samples().into_iter();
    samples
        .find(|it| it.event == event && it.what == what)
        .unwrap()
}

fn render(templates: &Templates, sample: &Sample, kind: Kind, set: &str) -> Rendered {
    let event = event(&sample.event, &sample.body);
    let destination = destination(kind, set);
    templates.render(&event, EventId(7), &destination, Step::Chosen, None)
}

fn message(rendered: Rendered) -> (Message, Value) {
    let Rendered::Message(message) = rendered else {
        panic!("no message: {rendered:?}");
    };
    let body = serde_json::from_slice(&message.body).unwrap();
    (message, body)
}

/// All problems that loading and checking find.
fn problems(files: &[(&str, &str)]) -> Vec<Problem> {
    let folder = folder(files);
    let (templates, mut problems) = Templates::load(folder.path());
    problems.extend(templates.check());
    problems
}

/// The broken file is named with its line and what is wrong, and the event still gets a message.
fn check_broken(text: &str, line: usize, says: &str) {
    let files = [("default/slack/push.hbs", text)];
    let problems = problems(&files);
    let is_it = |problem: &Problem| {
        problem.file.ends_with("default/slack/push.hbs")
            && problem.line == Some(line)
            && problem.message.contains(says)
            && problem.excerpt.as_deref() == text.lines().nth(line - 1)
    };
    assert!(problems.iter().any(is_it), "{says}: {problems:#?}");

    let folder = folder(&files);
    let (templates, _) = Templates::load(folder.path());
    for sample in samples().iter().filter(|sample| sample.event == "push") {
        let (message, body) = message(render(&templates, sample, Kind::Slack(slack()), "default"));
        assert!(!body["text"].as_str().unwrap_or("attachments").is_empty());
        assert!(message.body.len() < 60_000);
    }
}

#[test]
fn the_built_in_templates_pass_the_check() {
    assert_eq!(built_in().check(), []);
}

#[test]
fn a_template_of_the_user_replaces_one_message_and_no_other() {
    let folder = folder(&[
        ("default/slack/push.hbs", r#"{"text": "mine: {{branch}}"}"#),
        (
            "team/slack/issues-opened.hbs",
            r#"{"text": "team: {{issue.title}}"}"#,
        ),
        (
            "team/slack/event.hbs",
            r#"{"text": "team event: {{event}}"}"#,
        ),
    ]);
    let (templates, found) = Templates::load(folder.path());
    assert_eq!(found, []);
    assert_eq!(templates.sets(), ["classic", "default", "team"]);
    let slack = || Kind::Slack(slack());
    let template = |event: &str, what: &str, set: &str| {
        let rendered = render(&templates, &sample(event, what), slack(), set);
        message(rendered).0.template
    };
    assert_eq!(template("push", "commits", "default"), "default/slack/push");
    assert_eq!(template("push", "commits", "team"), "default/slack/push");
    assert_eq!(
        template("issues", "opened", "team"),
        "team/slack/issues-opened"
    );
    assert_eq!(template("push", "commits", "classic"), "classic/slack/push");
    let (_, body) = message(render(
        &templates,
        &sample("push", "commits"),
        slack(),
        "team",
    ));
    assert_eq!(body, json!({"text": "mine: main"}));

    let unknown = Sample {
        event: "wiki".to_owned(),
        action: None,
        what: String::new(),
        body: "{}".into(),
    };
    let (message, _) = message(render(&templates, &unknown, slack(), "team"));
    assert_eq!(message.template, "team/slack/event");
}

#[test]
fn a_broken_template_is_named_with_its_line_and_costs_no_message() {
    check_broken("{\n \"text\": \"{{#if branch}}x\"\n}", 3, "syntax");
    check_broken("{\n \"text\": \"{{branch\"\n}", 2, "syntax");
    let rare =
        "{\n \"text\": \"{{branch}}{{#if tag}}{{#if is_test}}\n{{shrot branch}}{{/if}}{{/if}}\"}";
    check_broken(rare, 3, "no helper `shrot`");
    let misspelt = "{\n \"text\": \"x\",\n \"username\": \"{{sender.usrname}}\"\n}";
    check_broken(misspelt, 3, "no field `sender.usrname`");
    let object = "{\n \"text\": \"x\",\n{{#if branch}}\n \"username\" \"y\"\n{{/if}}\n}";
    check_broken(object, 4, "not a JSON object");
    check_broken(
        "{\n \"text\": \"a\n{{branch}}\"\n}",
        2,
        "\\n for a line break",
    );
    let long = format!("{{\n \"text\": \"{}\"\n}}", "x".repeat(41_000));
    check_broken(&long, 2, "longer than the service takes");
}

#[test]
fn what_is_not_available_is_refused_with_its_line() {
    let inside = |text: &str, says: &str| {
        check_broken(&format!("{{\n \"text\": \"{text}\"\n}}"), 2, says);
    };
    inside("{{truncate brnch 10}}", "no field `brnch`");
    inside("{{repository}}", "whole object");
    inside("{{{branch}}}", "without escaping");
    inside("{{&branch}}", "without escaping");
    inside("{{> (eq branch tag)}}", "written out");
    inside("{{> _nowhere}}", "no partial `_nowhere`");
    inside("{{#*inline \"x\"}}{{/inline}}", "decorators");
    inside("{{#> _x}}{{/_x}}", "block");
    inside("{{first_line (raw branch)}}", "parentheses");
    inside("{{#branch}}x{{/branch}}", "no block");
    let blocks = "{{#each commits}}".repeat(70) + &"{{/each}}".repeat(70);
    inside(&blocks, "deeper than 64");
    let chain = "{{#if a}}".to_owned() + &"{{else if b}}".repeat(5000) + "{{/if}}";
    inside(&chain, "deeper than 64");
    let parentheses = format!("{{{{not {}{} }}}}", "(not ".repeat(5000), ")".repeat(5000));
    inside(&parentheses, "deeper than 64");
}

#[test]
fn partials_that_go_in_circles_or_explode_are_named_and_never_rendered() {
    let circle = [
        ("default/slack/push.hbs", "{\"text\": \"\n{{> _a}}\"}"),
        ("default/slack/_a.hbs", "a\n{{> _b}}"),
        ("default/slack/_b.hbs", "{{> _a}}"),
    ];
    let found = problems(&circle);
    for (file, line) in [("push.hbs", 2), ("_a.hbs", 2), ("_b.hbs", 1)] {
        let is_named = |it: &Problem| it.file.ends_with(file) && it.line == Some(line);
        assert!(found.iter().any(is_named), "{file}: {found:#?}");
    }
    let mut doubling: Vec<(String, String)> = (0..40)
        .map(|at| {
            let next = format!("{{{{> _p{0}}}}}{{{{> _p{0}}}}}", at + 1);
            (format!("default/slack/_p{at}.hbs"), next)
        })
        .collect();
    doubling.push(("default/slack/_p40.hbs".to_owned(), "x".to_owned()));
    doubling.push(("default/slack/push.hbs".to_owned(), "{{> _p0}}".to_owned()));
    let doubling: Vec<(&str, &str)> = doubling.iter().map(|(a, b)| (&**a, &**b)).collect();
    let found = problems(&doubling);
    assert!(
        found
            .iter()
            .any(|it| it.file.ends_with("push.hbs") && it.message.contains("elements"))
    );

    for files in [&circle[..], &doubling] {
        let folder = folder(files);
        let (templates, _) = Templates::load(folder.path());
        let rendered = render(
            &templates,
            &sample("push", "commits"),
            Kind::Slack(slack()),
            "default",
        );
        let (message, _) = message(rendered);
        assert_eq!(message.step, Step::Default);
    }
}

#[test]
fn what_fails_goes_down_the_ladder_and_says_why() {
    let folder = folder(&[
        ("default/discord/push.hbs", "{\"content\": }"),
        ("team/discord/push.hbs", "{\"content\": \"{{branch}}"),
    ]);
    let (templates, _) = Templates::load(folder.path());
    let push = sample("push", "commits");
    let rendered = render(&templates, &push, Kind::Discord(discord()), "team");
    let (chosen, _) = message(rendered);
    assert_eq!(chosen.step, Step::Default);
    assert!(chosen.fallback.unwrap().starts_with("team/discord/push: "));

    // The service refuses the default's body too: what is left is one line with a link.
    let event = event("push", &push.body);
    let destination = destination(Kind::Discord(discord()), "team");
    let refused = Some(&chosen.body[..]);
    let rendered = templates.render(&event, EventId(7), &destination, Step::Default, refused);
    let (plain, body) = message(rendered);
    assert_eq!(
        (plain.step, plain.template.as_str()),
        (Step::Plain, "plain")
    );
    assert!(
        body["content"]
            .as_str()
            .unwrap()
            .contains("push in orbit/lander by mira")
    );
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    let refused = Some(&plain.body[..]);
    let rendered = templates.render(&event, EventId(7), &destination, Step::Plain, refused);
    assert!(matches!(rendered, Rendered::Failed(_)));
}

#[test]
fn a_payload_that_cannot_be_read_is_told_in_one_line() {
    let templates = built_in();
    let deepest = ["{\"a\":", &"[".repeat(127), &"]".repeat(127), "}"].concat();
    for body in [&deepest, "{\"number\":1e999}", "{\"name\":\"\u{0}\"}"] {
        for (kind, member) in [
            (Kind::Slack(slack()), "text"),
            (Kind::Discord(discord()), "content"),
        ] {
            let event = event("pull_request", body.as_bytes());
            let destination = destination(kind, "default");
            let rendered = templates.render(&event, EventId(7), &destination, Step::Chosen, None);
            let (plain, body) = message(rendered);
            assert_eq!(plain.step, Step::Plain);
            assert!(plain.fallback.unwrap().contains("cannot be read"));
            let line = body[member].as_str().unwrap().replace('\\', "");
            assert_eq!(line, "pull request (event 7)");
        }
    }
}

#[test]
fn a_template_that_writes_nothing_skips_the_message() {
    let folder = folder(&[(
        "default/slack/push.hbs",
        "{{#if is_forced}}{\"text\": \"!\"}{{/if}}\n",
    )]);
    let (templates, found) = Templates::load(folder.path());
    assert_eq!((found, templates.check()), (vec![], vec![]));
    let rendered = render(
        &templates,
        &sample("push", "commits"),
        Kind::Slack(slack()),
        "default",
    );
    let Rendered::Skip { template, .. } = rendered else {
        panic!("{rendered:?}");
    };
    assert_eq!(template, "default/slack/push");
    let forced = render(
        &templates,
        &sample("push", "forced"),
        Kind::Slack(slack()),
        "default",
    );
    assert_eq!(message(forced).1, json!({"text": "!"}));
}

#[test]
fn gogs_format_passes_through_until_a_template_reshapes_it() {
    let gogs = || {
        Kind::Gogs(Gogs {
            url: SecretUrl::parse("http://127.0.0.1:9/").unwrap(),
            secret: None,
            content_type: ContentType::Json,
        })
    };
    let folder = folder(&[
        (
            "small/gogs/push.hbs",
            "{\"branch\": {{json branch}}, \"by\": {{json sender.username}}}",
        ),
        ("wrong/gogs/push.hbs", "{\"branch\": {{branch}}}"),
    ]);
    let (templates, _) = Templates::load(folder.path());
    let push = sample("push", "commits");
    let untouched = |set: &str| {
        let (message, _) = message(render(&templates, &push, gogs(), set));
        assert_eq!((&message.body, message.template.as_str()), (&push.body, ""));
        message.fallback
    };
    assert_eq!(untouched("default"), None);
    assert!(untouched("wrong").unwrap().contains("not a JSON object"));
    let (_, body) = message(render(&templates, &push, gogs(), "small"));
    assert_eq!(body, json!({"branch": "main", "by": "mira"}));
}

#[test]
fn settings_of_the_destination_reach_the_body() {
    let mut settings = discord();
    settings.username = Some("Gogs".to_owned());
    settings.avatar_url = Some("https://git.example.org/img/favicon.png".to_owned());
    settings.color = Some("#fa0".to_owned());
    let templates = built_in();
    let push = sample("push", "commits");
    for set in ["default", "classic"] {
        let (_, body) = message(render(
            &templates,
            &push,
            Kind::Discord(settings.clone()),
            set,
        ));
        assert_eq!(body["username"], "Gogs");
        assert_eq!(
            body["avatar_url"],
            "https://git.example.org/img/favicon.png"
        );
        assert_eq!(body["embeds"][0]["color"], 0xff_aa_00);
    }
}

#[test]
fn a_name_that_no_event_has_is_pointed_out() {
    let found = problems(&[("default/slack/isues-opened.hbs", "{\"text\": \"x\"}")]);
    let [problem] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(problem.severity, Severity::Warning);
    assert_eq!(
        problem.hint.as_deref(),
        Some("did you mean `issues-opened`?")
    );
}
