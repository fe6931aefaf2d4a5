//! Says in relay.yaml's words what the hooks for chat services in Gogs do. Pure.

use std::collections::BTreeMap;

use url::Url;

use super::{EVENTS, RemoteHook};

/// A piece of relay.yaml, and what is left out of it.
#[derive(Clone)]
pub struct Fragment {
    /// `destinations` and `routes`; every URL in it is a variable.
    pub yaml: String,
    /// The variables, by name.
    pub secrets: BTreeMap<String, String>,
    /// Hooks that could not be taken over, in words.
    pub left_out: Vec<String>,
}

/// The kinds of hooks that the relay can stand in for.
const KINDS: [&str; 3] = ["slack", "discord", "dingtalk"];

/// A destination's name has at most 64 characters; a number may be added.
const LONGEST_NAME: usize = 56;

/// Reproduces the active chat hooks among `hooks`, each with its repository: with the templates
/// `classic`, which say what Gogs says. Hooks that are alike become one destination.
pub fn fragment(hooks: &[(String, RemoteHook)]) -> Fragment {
    let mut made = Made::default();
    let is_chat = |(_, hook): &&(String, RemoteHook)| KINDS.contains(&hook.kind.as_str());
    for (repository, hook) in hooks.iter().filter(is_chat) {
        let (id, kind) = (hook.id, &hook.kind);
        match hindrance(hook) {
            None => made.add(repository, hook),
            Some(why) => {
                let line = format!("hook {id} of {repository} ({kind}): {why}");
                made.left_out.push(line);
            }
        }
    }
    made.finish()
}

/// What is being put together.
#[derive(Default)]
struct Made<'h> {
    destinations: Vec<Destination<'h>>,
    /// Which repositories' events of which names go to which destination.
    routes: Vec<(usize, &'h [String], Vec<&'h str>)>,
    left_out: Vec<String>,
}

struct Destination<'h> {
    name: String,
    kind: &'h str,
    url: &'h str,
    /// The others, under the names that relay.yaml has for them.
    settings: Vec<(&'static str, &'h str)>,
    /// Colours that are none.
    unread: Option<&'h str>,
}

impl<'h> Made<'h> {
    fn add(&mut self, repository: &'h str, hook: &'h RemoteHook) {
        let settings = settings(hook);
        let alike = |it: &Destination<'_>| {
            it.kind == hook.kind && it.url == hook.url() && it.settings == settings
        };
        let destination = match self.destinations.iter().position(alike) {
            Some(found) => found,
            None => {
                self.destinations.push(Destination {
                    name: self.free_name(repository, hook),
                    kind: &hook.kind,
                    url: hook.url(),
                    settings,
                    unread: hook.setting("color").filter(|it| !is_colour(it)),
                });
                self.destinations.len() - 1
            }
        };
        let same = |(to, events, _): &&mut (usize, &[String], Vec<&str>)| {
            *to == destination && *events == hook.events
        };
        match self.routes.iter_mut().find(same) {
            Some((_, _, repositories)) => repositories.push(repository),
            None => self
                .routes
                .push((destination, &hook.events, vec![repository])),
        }
    }

    /// After the channel, or else the repository.
    fn free_name(&self, repository: &str, hook: &RemoteHook) -> String {
        let after = hook.setting("channel").unwrap_or(repository);
        let words = after.split(|c: char| !c.is_ascii_alphanumeric());
        let words = std::iter::once(hook.kind.as_str()).chain(words);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let mut name = words.join("-").to_lowercase();
        name.truncate(LONGEST_NAME);
        let taken = |name: &String| self.destinations.iter().any(|it| it.name == *name);
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names.find(|it| !taken(it)).unwrap_or_default()
    }

    fn finish(self) -> Fragment {
        let mut secrets = BTreeMap::new();
        let mut yaml = String::from("destinations:\n");
        for destination in &self.destinations {
            let variable = destination.name.to_uppercase().replace('-', "_") + "_URL";
            secrets.insert(variable.clone(), destination.url.to_owned());
            destination.write(&mut yaml, &variable);
        }
        yaml.push_str("routes:\n");
        for (to, events, repositories) in &self.routes {
            let repositories: Vec<String> = repositories.iter().map(|it| quoted(it)).collect();
            let events = match EVENTS.iter().all(|it| events.iter().any(|has| has == it)) {
                true => String::new(),
                false => format!("events: [{}]\n    ", events.join(", ")),
            };
            let (repositories, to) = (repositories.join(", "), &self.destinations[*to].name);
            yaml += &format!("  - {events}repos: [{repositories}]\n    to: [{to}]\n");
        }
        if self.destinations.is_empty() {
            yaml.clear();
        }
        Fragment {
            yaml,
            secrets,
            left_out: self.left_out,
        }
    }
}

impl Destination<'_> {
    fn write(&self, yaml: &mut String, variable: &str) {
        let Destination { name, kind, .. } = self;
        let mut lines = format!("  {name}:\n    {kind}:\n      url: \"${{{variable}}}\"\n");
        for (key, value) in &self.settings {
            lines += &format!("      {key}: {}\n", quoted(value));
        }
        if let Some(unread) = self.unread {
            lines += &format!("      # color: {} is none\n", quoted(unread));
        }
        if *kind == "discord" {
            lines += "      # username, avatar_url and color: Gogs shows them on the hook's page alone\n";
        }
        yaml.push_str(&lines);
        yaml.push_str("    templates: classic\n");
    }
}

/// Why the relay cannot do what a hook does.
fn hindrance(hook: &RemoteHook) -> Option<&'static str> {
    if !hook.active {
        return Some("it is switched off");
    }
    if hook.events.is_empty() {
        return Some("it has no events");
    }
    let url = Url::parse(hook.url()).ok();
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return Some("its URL is none");
    };
    let mut query = url.query_pairs();
    let has_token = query.any(|(name, token)| name == "access_token" && !token.is_empty());
    match hook.kind.as_str() {
        "dingtalk" if !has_token => Some("its URL has no access_token"),
        "discord" if url.host_str() == Some("hooks.slack.com") => Some("its URL is one of Slack"),
        _ => None,
    }
}

/// Those beside the URL. Of Discord's Gogs' API shows none.
fn settings(hook: &RemoteHook) -> Vec<(&'static str, &str)> {
    let is_url = |text: &&str| Url::parse(text).is_ok_and(|it| it.has_host());
    let found = [
        ("channel", hook.setting("channel")),
        ("username", hook.setting("username")),
        ("icon_url", hook.setting("icon_url").filter(is_url)),
        ("color", hook.setting("color").filter(|it| is_colour(it))),
    ];
    let found = found.into_iter();
    found
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// As relay.yaml takes them.
fn is_colour(text: &str) -> bool {
    let hex = text.strip_prefix('#').unwrap_or_default();
    let is_hex = matches!(hex.len(), 3 | 6) && hex.bytes().all(|it| it.is_ascii_hexdigit());
    is_hex || matches!(text, "good" | "warning" | "danger")
}

/// Text between double quotes, as YAML and the variables in relay.yaml want it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.replace("${", "$${").chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                quoted += &format!("\\u{:04x}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
