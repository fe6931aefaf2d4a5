//! relay.yaml: every mistake at once, each with its place; one fixture a mistake.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gogs_relay::config::{self, Config, Environment, Loaded, Problem, Severity};
use gogs_relay::destination::{ContentType, Kind, Method, Order, Pace, Window};
use gogs_relay::queue::Redelivery;
use gogs_relay::send::egress::Place;
use proptest::prelude::*;
use secrecy::ExposeSecret;

/// Looks like a token, as secrets do.
const MARKER: &str = "5f4dcc3b5aa765d61d8327deb882cf99";

/// Set this to write the drawings anew; then read the difference.
const REFRESH: &str = "REFRESH_DRAWINGS";

/// Every key there is, each on a line of its own.
const EVERY_KEY: &str = include_str!("../fixtures/config/every-key.yaml");

/// A root certificate.
const ROOT: &str = "tests/fixtures/config/extra.pem";

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter();
    variables
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(path: &Path, variables: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let sets = |_: &Path| vec!["classic".to_owned(), "default".to_owned()];
    config::load(path, &environment(variables), &sets)
}

/// Loads a text as relay.yaml in a fresh folder, beside the files `secret` and `extra.pem`.
fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "from-a-file\n").unwrap();
    std::fs::copy(ROOT, folder.path().join("extra.pem")).unwrap();
    let path = folder.path().join("relay.yaml");
    std::fs::write(&path, text).unwrap();
    load(&path, variables)
}

fn good(text: &str, variables: &[(&str, &str)]) -> Config {
    match load_text(text, variables) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", drawn(&problems)),
    }
}

fn bad(text: &str, variables: &[(&str, &str)]) -> Vec<Problem> {
    load_text(text, variables).expect_err("should be refused")
}

fn drawn(problems: &[Problem]) -> String {
    let mut drawing = Vec::new();
    config::draw(&mut drawing, problems, false).unwrap();
    String::from_utf8(drawing).unwrap()
}

fn secret_of(config: &Config) -> &str {
    config.sources["gogs"].secrets[0].expose_secret()
}

#[test]
fn each_mistake_is_drawn_at_its_place_with_what_to_do() {
    let mut paths: Vec<PathBuf> = std::fs::read_dir("tests/fixtures/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    paths.sort();
    let mut differing = Vec::new();
    for path in &paths {
        let drawing = match load(path, &[]) {
            Ok(loaded) => drawn(&loaded.warnings),
            Err(problems) => drawn(&problems),
        };
        let expected = path.with_extension("txt");
        if std::env::var_os(REFRESH).is_some() {
            std::fs::write(&expected, &drawing).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if drawing != expected {
            differing.push(format!("{}\n{drawing}", path.display()));
        }
    }
    figure!("{} files of mistakes", paths.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn only_mistakes_that_stop_the_relay_stop_it() {
    let runs = |name: &str| {
        load(
            Path::new(&format!("tests/fixtures/config/{name}.yaml")),
            &[],
        )
        .is_ok()
    };
    for name in [
        "every-key",
        "event-misspelt",
        "route-never-reaches",
        "secret-shipped",
        "unsigned",
    ] {
        assert!(runs(name), "{name}");
    }
    for name in [
        "many-at-once",
        "unknown-key",
        "secret-shipped-and-exposed",
        "not-yaml-tab",
    ] {
        assert!(!runs(name), "{name}");
    }
}

#[test]
fn the_shipped_file_runs_as_it_is_with_one_warning_about_its_secret() {
    let loaded = load(Path::new("relay.yaml"), &[])
        .map_err(|problems| drawn(&problems))
        .unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{}", drawn(&loaded.warnings));
    assert!(loaded.warnings[0].message.contains("shipped secret"));
    assert_eq!(secret_of(&loaded.config), config::SHIPPED_SECRET);
    assert!(matches!(
        loaded.config.destinations["screen"].kind,
        Kind::Console
    ));
    assert_eq!(
        config::SHIPPED,
        std::fs::read_to_string("relay.yaml").unwrap()
    );
}

/// The shipped file with every `# ` taken away that has a setting behind it, but for the other
/// ways to give the secret.
fn shipped_uncommented() -> String {
    let uncomment = |line: &str| {
        let (indent, rest) = line.split_once("# ").unwrap_or((line, ""));
        let key = rest
            .trim_start()
            .trim_start_matches("# ")
            .trim_start_matches("- ");
        let key = key.split_once(':').map_or("", |(key, _)| key);
        let is_setting = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_lowercase() || "_-0123456789".contains(c));
        let other_way = ["secret", "secrets", "unsigned"].contains(&key) && line.contains('…');
        match indent.trim().is_empty() && is_setting && !other_way {
            true => format!(
                "{indent}{}",
                rest.replacen("# ", "", usize::from(rest.trim_start().starts_with("# ")))
            ),
            false => line.to_owned(),
        }
    };
    config::SHIPPED
        .lines()
        .map(uncomment)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What the shipped file takes from the environment once nothing is commented out.
const UNCOMMENTED: [(&str, &str); 3] = [
    ("BUILD_SERVER_SECRET", "x"),
    ("CI_TOKEN", "ci-t0ken-0123"),
    ("DINGTALK_SECRET", "x"),
];

#[test]
fn everything_the_shipped_file_shows_commented_out_works() {
    let text = shipped_uncommented();
    let config = good(&text, &UNCOMMENTED);
    let names: Vec<&str> = config.destinations.keys().map(AsRef::as_ref).collect();
    assert_eq!(
        names,
        [
            "build-server",
            "screen",
            "team-dingtalk",
            "team-discord",
            "team-slack"
        ]
    );
    assert_eq!(config.routes.len(), 3);
    assert!(config.sources["gogs"].sha1 && config.sources["gogs"].body_secret);
    let names = ["rotating", "open", "ops", "ding", "ci"];
    for line in EVERY_KEY.lines() {
        let key = line
            .trim_start_matches([' ', '-'])
            .split(':')
            .next()
            .unwrap();
        if !names.contains(&key) && line.contains(':') {
            let shown = config::SHIPPED.contains(&format!("{key}:"));
            assert!(shown, "the shipped file does not show {key}");
        }
    }
}

#[test]
fn the_defaults_that_the_shipped_file_shows_are_the_defaults() {
    let shown = good(&shipped_uncommented(), &UNCOMMENTED);
    let silent = good(config::SHIPPED, &[]);
    assert_eq!(shown.listen, silent.listen);
    assert_eq!(shown.public_url, silent.public_url);
    assert_eq!(shown.admin.listen, silent.admin.listen);
    assert_eq!(shown.admin.hosts, silent.admin.hosts);
    assert!(shown.admin.token.is_none());
    assert_eq!(shown.data.file_name(), silent.data.file_name());
    assert_eq!(shown.templates.file_name(), silent.templates.file_name());
    assert_eq!(shown.shutdown_grace, silent.shutdown_grace);
    assert_eq!(
        (shown.history, shown.dead, shown.dedupe),
        (silent.history, silent.dead, silent.dedupe)
    );
    assert_eq!(shown.limits, silent.limits);
    assert_eq!(shown.egress.allow, silent.egress.allow);
    assert_eq!(shown.egress.no_proxy, silent.egress.no_proxy);
    assert_eq!(shown.egress.ca, silent.egress.ca);
    assert!(silent.egress.proxy.is_none());
    assert!(silent.api.is_none());
    assert_eq!(
        shown.sources["gogs"].redelivery,
        silent.sources["gogs"].redelivery
    );
    assert_eq!(
        shown.sources["gogs"].same_body,
        silent.sources["gogs"].same_body
    );
    let (shown, silent) = (
        &shown.destinations["build-server"],
        &silent.destinations["screen"],
    );
    assert_eq!(shown.templates, silent.templates);
    assert_eq!(shown.order, silent.order);
    assert_eq!(shown.timeout, silent.timeout);
    assert_eq!(shown.retry, silent.retry);
}

#[test]
fn every_key_of_the_relay_is_read_as_written() {
    let config = good(EVERY_KEY, &[]);
    assert_eq!(config.public_url.as_str(), "https://hooks.example.org/");
    assert_eq!(
        config.admin.token.as_ref().unwrap().expose_secret(),
        "admin-token"
    );
    assert_eq!(config.admin.hosts, ["relay.lan"]);
    assert!(config.data.ends_with("store"));
    assert_eq!(config.dead.keep, Duration::from_secs(3 * 86_400));
    assert_eq!(config.limits.body, 1 << 20);
    assert_eq!(config.limits.free_disk, 1 << 30);
}

#[test]
fn every_key_of_egress_is_read_as_written() {
    let config = good(EVERY_KEY, &[]);
    let egress = &config.egress;
    let allow = ["10.0.0.0/8", "192.0.2.7/32", "ci.lan", "*.lan"];
    assert_eq!(
        egress.allow.0,
        allow.map(|text| Place::parse(text).unwrap())
    );
    assert_eq!(egress.no_proxy.0.len(), 1);
    assert_eq!(egress.ca.len(), 1);
    let proxy = egress.proxy.as_ref().unwrap();
    assert_eq!(proxy.expose().password(), Some("proxy-s3cret"));
    let printed = format!("{config:?}");
    assert!(printed.contains("http://proxy.lan:3128/…"), "{printed}");
    assert!(!printed.contains("proxy-s3cret"), "{printed}");
}

#[test]
fn every_key_of_the_hook_apis_is_read_as_written() {
    let config = good(EVERY_KEY, &[]);
    let api = config.api.as_ref().unwrap();
    assert_eq!(
        (api.gogs, api.github, api.query_tokens),
        (false, true, true)
    );
    assert_eq!((&*api.source, api.templates.as_str()), ("gogs", "default"));
    let [token] = api.tokens.as_slice() else {
        panic!("{api:?}")
    };
    assert_eq!(token.token.expose_secret(), "ci-t0ken-0123");
    assert!(token.repos.fit("Orbit/Lander") && !token.repos.fit("orbit/Vault"));
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn of_the_hook_apis_tokens_alone_are_needed() {
    let tokens = "[{ name: ci, token: ci-t0ken-0123, repos: \"*/*\" }]";
    let shown = good(&shipped_uncommented(), &UNCOMMENTED).api.unwrap();
    let silent = good(&format!("{SMALL}api: {{ tokens: {tokens} }}\n"), &[]);
    let silent = silent.api.unwrap();
    assert_eq!((shown.gogs, shown.github), (silent.gogs, silent.github));
    assert_eq!(shown.query_tokens, silent.query_tokens);
    assert_eq!(shown.templates, silent.templates);
    assert_eq!(shown.source, silent.source);
}

#[test]
fn every_key_of_the_hub_is_read_as_written() {
    let hub = good(EVERY_KEY, &[]).hub.unwrap();
    assert_eq!(&*hub.source, "gogs");
    assert!(hub.opens("Orbit/Public-1") && !hub.opens("orbit/vault"));
    assert_eq!(hub.hosts, ["github.com", "git.example.org"]);
    let lease = [hub.lease.default, hub.lease.min, hub.lease.max];
    let days = |days: u64| Duration::from_secs(days * 86_400);
    assert_eq!(lease, [days(5), Duration::from_secs(600), days(20)]);
    assert_eq!(hub.signature, Method::Sha512);
}

#[test]
fn a_hub_takes_its_source_from_the_apis_and_opens_nothing_by_itself() {
    let api = "api: { tokens: [{ name: ci, token: ci-t0ken-0123, repos: \"*/*\" }] }\n";
    let hub = good(&format!("{SMALL}{api}hub: {{}}\n"), &[]).hub.unwrap();
    assert_eq!(
        (&*hub.source, &*hub.hosts),
        ("gogs", &["github.com".to_owned()][..])
    );
    assert!(!hub.opens("orbit/lander"));
    let shown = good(&shipped_uncommented(), &UNCOMMENTED).hub.unwrap();
    assert_eq!((shown.lease, shown.hosts), (hub.lease, hub.hosts));
    assert_eq!(shown.signature, hub.signature);
    let off = good(&format!("{SMALL}{api}hub: {{ enabled: false }}\n"), &[]);
    assert!(off.hub.is_none());
}

#[test]
fn every_key_of_a_source_is_read_as_written() {
    let config = good(EVERY_KEY, &[]);
    let rotating = &config.sources["rotating"];
    let secrets: Vec<&str> = rotating
        .secrets
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    assert_eq!(secrets, ["new-one", "from-a-file"]);
    assert_eq!(
        (rotating.redelivery, rotating.same_body),
        (Redelivery::None, None)
    );
    assert!(config.sources["open"].unsigned);
}

#[test]
fn every_key_of_a_destination_is_read_as_written() {
    let config = good(EVERY_KEY, &[]);
    let slack = &config.destinations["team-slack"];
    assert_eq!(slack.order, Order::Loose { concurrency: 7 });
    assert_eq!(slack.was.as_deref(), Some("old-slack"));
    assert_eq!(slack.retry.factor, 1.5);
    let window = |count, secs| Window {
        count,
        per: Duration::from_secs(secs),
    };
    assert_eq!(
        slack.pace,
        Some(Pace::Windows(vec![window(5, 2), window(30, 60)]))
    );
    let Kind::Slack(slack) = &slack.kind else {
        panic!("{slack:?}")
    };
    assert_eq!(
        slack.url.expose_text(),
        "https://hooks.slack.com/services/T0/B0/x"
    );
    assert_eq!(slack.channel.as_deref(), Some("#builds"));
    let Kind::Gogs(ci) = &config.destinations["ci"].kind else {
        panic!()
    };
    assert_eq!(ci.content_type, ContentType::Form);
    assert_eq!(config.destinations["ci"].pace, Some(Pace::Unlimited));
}

#[test]
fn every_key_of_a_route_is_read_as_written() {
    let route = &good(EVERY_KEY, &[]).routes[0];
    assert_eq!(route.name.as_deref(), Some("main line"));
    assert_eq!(route.senders, ["!ci-bot"]);
    assert_eq!(route.to, ["team-slack".into(), "ci".into()]);
}

const SMALL: &str = "sources: { gogs: { secret: s } }\ndestinations: { screen: { console: } }\n";

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.yaml");
    std::fs::write(&path, format!("{SMALL}templates: /etc/relay/templates\n")).unwrap();
    let config = load(&path, &[]).unwrap().config;
    assert_eq!(config.data, folder.path().join("data"));
    assert_eq!(config.templates, Path::new("/etc/relay/templates"));
}

#[test]
fn a_variable_stands_over_its_key_as_raw_text() {
    let variables = [
        ("GOGS_RELAY__ADMIN__TOKEN", "0123"),
        ("GOGS_RELAY__SOURCES__GOGS__SECRET", "${NOT_EXPANDED} [a]"),
        ("GOGS_RELAY__LIMITS__BODY", "1MiB"),
        ("GOGS_RELAY__ADMIN__HOSTS", "[a.lan, b.lan]"),
        ("GOGS_RELAY_SERVICE_PORT", "tcp://10.0.0.1:80"),
        ("RELAY_LISTEN", "nonsense"),
    ];
    let text =
        "sources: { gogs: { secret: \"${UNSET}\" } }\ndestinations: { screen: { console: } }\n";
    let config = good(text, &variables);
    assert_eq!(config.admin.token.as_ref().unwrap().expose_secret(), "0123");
    assert_eq!(secret_of(&config), "${NOT_EXPANDED} [a]");
    assert_eq!(config.limits.body, 1 << 20);
    assert_eq!(
        config.limits.headers,
        32 << 10,
        "the neighbours keep their defaults"
    );
    assert_eq!(config.admin.hosts, ["a.lan", "b.lan"]);
}

#[test]
fn an_underscore_in_a_variable_stands_for_a_hyphen_where_that_is_clear() {
    let text = format!(
        "{}  team-ci: {{ console: }}\n",
        SMALL.replace("{ screen: { console: } }", "\n  screen: { console: }")
    );
    let config = good(
        &text,
        &[("GOGS_RELAY__DESTINATIONS__TEAM_CI__TIMEOUT", "3s")],
    );
    assert_eq!(
        config.destinations["team-ci"].timeout,
        Duration::from_secs(3)
    );
    let problems = bad(
        "sources: { gogs: { secret: s } }\ndestinations:\n  a-b-c: { console: }\n  a-b_c: { console: }\n",
        &[("GOGS_RELAY__DESTINATIONS__A_B_C__TIMEOUT", "3s")],
    );
    assert_eq!(
        problems[0].message,
        "more than one name of the file fits this variable"
    );
}

#[test]
fn mistakes_in_variables_are_found_under_their_names() {
    let check = |variable: (&str, &str), message: &str| {
        let problems = bad(SMALL, &[variable, ("GOGS_RELAY__ADMIN__TOKEN", "t")]);
        let found: Vec<&str> = problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert_eq!(found, [message], "{variable:?}");
        assert!(
            problems[0]
                .file
                .starts_with("environment variable GOGS_RELAY__"),
            "{problems:?}"
        );
        assert!(problems[0].line.is_none());
    };
    check(("GOGS_RELAY__ADMIN__TOKN", "x"), "unknown key \"tokn\"");
    check(
        ("GOGS_RELAY__SHUTDOWN_GRACE", "soon"),
        "`shutdown_grace` should be a time",
    );
    check(
        ("GOGS_RELAY__LIMITS", "none"),
        "`limits` should be a mapping of keys, not a single value",
    );
    check(
        ("GOGS_RELAY__ADMIN__HOSTS", "[a, [b]]"),
        "`hosts` should be a list of texts",
    );
    check(
        ("GOGS_RELAY__ROUTES", "[screen]"),
        "`routes` should be a list of routes",
    );
    check(
        ("GOGS_RELAY__TLS__CERT", "x"),
        "`tls` is not supported yet by this version",
    );
    check(
        ("GOGS_RELAY__DATA____X", "x"),
        "the name of this variable has an empty part: two underscores part the keys",
    );
    let both = [
        ("GOGS_RELAY__ADMIN", "x"),
        ("GOGS_RELAY__ADMIN__TOKEN", "t"),
    ];
    let clash = bad(SMALL, &both).pop().unwrap();
    assert_eq!(
        clash.message,
        "this variable and GOGS_RELAY__ADMIN set the same key"
    );
}

#[test]
fn values_are_filled_in_from_the_environment_and_from_files() {
    let text = |secret: &str| {
        format!(
            "sources: {{ gogs: {{ secret: {secret} }} }}\ndestinations: {{ screen: {{ console: }} }}\n"
        )
    };
    let variables = [("NAME", "value"), ("EMPTY", "")];
    let check = |secret: &str, expected: &str| {
        assert_eq!(
            secret_of(&good(&text(secret), &variables)),
            expected,
            "{secret}"
        );
    };
    check("\"${NAME}-${NAME}\"", "value-value");
    check("\"${EMPTY:-else}\"", "else");
    check("\"$${NAME}\"", "${NAME}");
    check("\"0123\"", "0123");
    check("0123", "0123");
    check("1e3", "1e3");
    check("off", "off");
    check("{ file: secret }", "from-a-file");
    check("{ file: \"${UNSET:-secret}\" }", "from-a-file");
    let problems = bad(&text("\"${EMPTY}\""), &variables);
    assert_eq!(problems[0].message, "`secret` is empty");
}

#[test]
fn a_file_that_is_not_there_or_far_too_large_is_said_so() {
    let problems = load(Path::new("no/such/relay.yaml"), &[]).unwrap_err();
    assert!(
        problems[0]
            .message
            .starts_with("the configuration cannot be read"),
        "{problems:?}"
    );
    assert_eq!(problems[0].file, "no/such/relay.yaml");
    let problems = bad(&format!("{SMALL}#{}\n", "x".repeat(1 << 20)), &[]);
    assert_eq!(problems[0].message, "the file is larger than 1MiB");
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let text = format!("\u{feff}{SMALL}routes:\n  - to: [screem]\n").replace('\n', "\r\n");
    let problems = bad(&text, &[]);
    assert_eq!((problems[0].line, problems[0].column), (Some(4), Some(10)));
    assert_eq!(problems[0].excerpt.as_deref(), Some("  - to: [screem]"));
}

#[test]
fn problems_are_data_as_well() {
    let problems = bad(&format!("{SMALL}routes:\n  - to: [screem]\n"), &[]);
    let mut json = serde_json::to_value(&problems[0]).unwrap();
    json["file"] = "relay.yaml".into();
    let expected = serde_json::json!({
        "severity": "error", "file": "relay.yaml", "line": 4, "column": 10,
        "excerpt": "  - to: [screem]",
        "message": "there is no destination \"screem\"",
        "hint": "did you mean \"screen\"? (defined on line 2)",
    });
    assert_eq!(json, expected);
}

fn check_hidden(text: &str, variables: &[(&str, &str)]) {
    check_hides(MARKER, text, variables);
}

/// Loads a text, whatever comes of it, and looks for the secret in all that could be shown.
fn check_hides(secret: &str, text: &str, variables: &[(&str, &str)]) {
    let problems = match load_text(text, variables) {
        Ok(loaded) => {
            let printed = format!("{:?}", loaded.config.sources)
                + &format!("{:?}", loaded.config.admin.token);
            assert!(!printed.contains(secret), "{text}\n{printed}");
            loaded.warnings
        }
        Err(problems) => problems,
    };
    let shown = drawn(&problems) + &format!("{problems:?}");
    assert!(!shown.contains(secret), "{text}\n{shown}");
}

/// What could be written in place of `line`, with the marker wherever a secret could have got to.
fn slips(line: &str) -> Vec<String> {
    let Some((key, _)) = line.split_once(':') else {
        return Vec::new();
    };
    vec![
        format!("{key}: {MARKER}"),
        format!("{key}:{MARKER}"),
        format!("{key}: \"{MARKER}"),
        format!("{key}: [{MARKER}, {{ {MARKER}: {MARKER} }}]"),
        format!("{key}: {{ file: {MARKER} }}"),
        format!("{key}: {{ url: {MARKER}, nope: 1 }}"),
        format!("{key}: https://{MARKER}@{MARKER}/{MARKER}"),
        format!("{key}: !{MARKER}"),
        format!("{key}: *{MARKER}"),
        format!("{key}: &{MARKER} {MARKER}"),
        format!("{key}: |\n {MARKER}\n {MARKER}: {MARKER}"),
        format!("{key}: \"${{UNSET:-{MARKER}}} {MARKER}${{\""),
        format!("{key}: # {MARKER}"),
        format!("{MARKER}: {MARKER}\n{line}"),
        format!("{MARKER}\n{line}"),
        format!("{line} {MARKER}: x"),
        format!("{line}\n{key}: {MARKER}"),
    ]
}

#[test]
fn no_value_of_the_file_that_looks_like_a_secret_is_ever_shown() {
    let lines: Vec<&str> = EVERY_KEY.lines().collect();
    let mut tried = 0;
    for (at, line) in lines.iter().enumerate() {
        for slip in slips(line) {
            let text = [&lines[..at], &[slip.as_str()], &lines[at + 1..]].concat();
            check_hidden(&text.join("\n"), &[]);
            tried += 1;
        }
    }
    figure!("{tried} files with a secret in the wrong place");
}

#[test]
fn no_value_of_the_environment_is_ever_shown() {
    let keys = [
        "ADMIN__HOSTS",
        "ADMIN__TOKEN",
        "DESTINATIONS__SCREEN__TEMPLATES",
        "DESTINATIONS__SCREEN__WAS",
        "LISTEN",
        "NOPE",
        "ROUTES",
        "SOURCES",
        "SOURCES__GOGS__SECRET",
    ];
    // As short and plain as a bad password.
    for secret in [MARKER, "hunter2"] {
        for key in keys {
            for value in [secret.to_owned(), format!("[{secret}, {{ a: {secret} }}]")] {
                check_hides(
                    secret,
                    EVERY_KEY,
                    &[(&format!("GOGS_RELAY__{key}"), &value)],
                );
            }
        }
        for line in [
            "  - to: [\"${PASSWORD}\"]",
            "    from: \"${PASSWORD}\"",
            "    events: \"${PASSWORD}\"",
        ] {
            let text = format!("{EVERY_KEY}  - to: [screen]\n{line}\n");
            check_hides(secret, &text, &[("PASSWORD", secret)]);
        }
        for key in ["templates", "was", "rate", "order"] {
            let text = EVERY_KEY.replace(
                "    console: {}",
                &format!("    console: {{}}\n    {key}: ${{PASSWORD}}"),
            );
            check_hides(secret, &text, &[("PASSWORD", secret)]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_file_is_too_broken_to_be_explained(
        cuts in prop::collection::vec((0.0..1.0f64, 0usize..20, "[-a-z0-9:{}\\[\\]!*&#\"'$ \n\t|>,é]{0,6}"), 1..6)
    ) {
        let mut text: Vec<char> = EVERY_KEY.chars().collect();
        for (at, length, with) in cuts {
            let at = (text.len() as f64 * at) as usize;
            let end = (at + length).min(text.len());
            text.splice(at..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = load_text(&text, &[]) {
            prop_assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            let lines = text.lines().count() + 1;
            prop_assert!(problems.iter().all(|problem| problem.line.unwrap_or(1) <= lines));
            prop_assert!(!drawn(&problems).is_empty());
        }
    }
}

#[test]
fn a_relay_that_others_reach_does_not_take_the_shipped_secret_however_it_is_to_listen_next() {
    let with = |listen: &str, secret: &str| {
        let text = SMALL.replace("secret: s", &format!("secret: {secret}"));
        let text = format!("listen: {listen}:8025\n{text}");
        load_text(&text, &[]).unwrap().config
    };
    let running = with("0.0.0.0", "mine");
    let next = with("127.0.0.1", config::SHIPPED_SECRET);
    let exposed = next.exposed_by(&running).unwrap();
    assert!(exposed.message.contains("shipped secret"), "{exposed:?}");
    assert_eq!(next.exposed_by(&next), None);
    assert_eq!(with("127.0.0.1", "mine").exposed_by(&running), None);
}
