//! Checks `routes`: which events go where.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Route;
use super::check::Check;
use super::excerpt::{is_harmless, quoted};
use super::keys::{Keys, nearest};
use super::layers::{Held, Node};
use super::problem::{Found, Place};
use super::shapes::{PATTERN, TITLE};

/// Every event that Gogs sends.
const EVENTS: [&str; 8] = [
    "create",
    "delete",
    "fork",
    "push",
    "issues",
    "issue_comment",
    "pull_request",
    "release",
];

/// Checks every route against the sources and destinations that the file names.
pub(super) fn check(root: &mut Keys<'_>) -> Option<Vec<Route>> {
    let check = root.check;
    let names = Names {
        sources: names(root.optional("sources")),
        destinations: names(root.optional("destinations")),
    };
    let section = root.required("routes")?;
    let routes = match &section.held {
        Held::List(routes) => routes.as_slice(),
        Held::Nothing => &[],
        Held::Refused => return None,
        _ => {
            let found = Found::error(&section.place, "`routes` should be a list of routes");
            check.report(found.hint("each starts with a dash, for example `- to: [screen]`"));
            return None;
        }
    };
    // All are read before the first failure counts.
    let checked: Vec<Option<Route>> = routes
        .iter()
        .map(|node| route(check, node, &names))
        .collect();
    let checked: Option<Vec<Route>> = checked.into_iter().collect();
    let checked = checked?;
    one_name_each(check, routes, &checked);
    unreached(check, &checked, &names);
    Some(checked)
}

/// The names that a route may use, and where they are defined.
struct Names<'n> {
    sources: Vec<(&'n str, &'n Place)>,
    destinations: Vec<(&'n str, &'n Place)>,
}

fn names(section: Option<&Node>) -> Vec<(&str, &Place)> {
    match section.map(|node| &node.held) {
        Some(Held::Map(entries)) => {
            let entries = entries.iter();
            entries
                .map(|(name, node)| (name.as_str(), &node.key))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn route(check: &Check<'_>, node: &Node, names: &Names<'_>) -> Option<Route> {
    let mut keys = check.keys(node)?;
    let name = keys.shaped_if_given("name", &TITLE);
    let from = filter(&mut keys, "from", |node, text| {
        known(check, node, text, ("source", &names.sources))
    });
    let events = filter(&mut keys, "events", |node, text| event(check, node, text));
    let actions = filter(&mut keys, "actions", any);
    let repos = filter(&mut keys, "repos", any);
    let branches = filter(&mut keys, "branches", any);
    let tags = filter(&mut keys, "tags", any);
    let senders = filter(&mut keys, "senders", any);
    let to = keys
        .required("to")
        .and_then(|node| destinations(check, node, names));
    keys.finish();
    Some(Route {
        name: name.map(Arc::from),
        from: from?,
        events: events?,
        actions: actions?,
        repos: repos?,
        branches: branches?,
        tags: tags?,
        senders: senders?,
        to: to?,
    })
}

/// A list of patterns; `fits` may know more about each than that it is one.
fn filter(
    keys: &mut Keys<'_>,
    key: &'static str,
    fits: impl Fn(&Node, &str) -> bool,
) -> Option<Vec<String>> {
    let check = keys.check;
    let Some(node) = keys.optional(key) else {
        return Some(Vec::new());
    };
    check.list(node, |entry| {
        let text = check.shaped(entry, &PATTERN)?;
        let name = text.strip_prefix('!').unwrap_or(&text);
        (name.contains('*') || fits(entry, name)).then_some(text)
    })
}

fn any(_: &Node, _: &str) -> bool {
    true
}

/// Events that are not Gogs' are allowed; near misses are probably mistakes.
fn event(check: &Check<'_>, node: &Node, text: &str) -> bool {
    if EVENTS.iter().any(|event| event.eq_ignore_ascii_case(text)) {
        return true;
    }
    let found = Found::warning(
        &node.place,
        format!("Gogs sends no event {}", node.quoted(text)),
    );
    check.report(match nearest(text, EVENTS.into_iter()) {
        Some(event) => found.hint(format!("did you mean `{event}`?")),
        None => found.hint(format!("it sends {}", EVENTS.join(", "))),
    });
    true
}

fn destinations(check: &Check<'_>, node: &Node, names: &Names<'_>) -> Option<Vec<Arc<str>>> {
    let to = check.list(node, |entry| {
        let text = check.shaped(entry, &TITLE)?;
        known(check, entry, &text, ("destination", &names.destinations))
            .then(|| text.to_lowercase().into())
    })?;
    if to.is_empty() {
        let found = Found::error(&node.key, "`to` names no destination");
        check.report(found.hint("for example `to: [screen]`"));
        return None;
    }
    Some(to)
}

/// Whether `text` is one of the names of `(what, names)`; reports when it is not.
fn known(check: &Check<'_>, node: &Node, text: &str, among: (&str, &[(&str, &Place)])) -> bool {
    let (what, names) = among;
    if names
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(text))
    {
        return true;
    }
    let found = Found::error(
        &node.place,
        format!("there is no {what} {}", node.quoted(text)),
    );
    let near = nearest(text, names.iter().map(|(name, _)| *name));
    let near = names.iter().find(|(name, _)| Some(*name) == near);
    check.report(match near {
        Some((name, Place::At(mark))) => {
            let line = mark.line;
            found.hint(format!(
                "did you mean {}? (defined on line {line})",
                quoted(name)
            ))
        }
        Some((name, _)) => found.hint(format!("did you mean {}?", quoted(name))),
        None if text.contains(',') => found.hint("a list of several needs brackets: [a, b]"),
        None => found.hint(format!("there are: {}", list_of(names))),
    });
    false
}

/// The first few of `names`.
fn list_of(names: &[(&str, &Place)]) -> String {
    let harmless = names
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| is_harmless(name));
    let shown: Vec<&str> = harmless.take(8).collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > shown.len() => format!("{} and more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// History and explanations show routes by name.
fn one_name_each(check: &Check<'_>, nodes: &[Node], routes: &[Route]) {
    let mut seen = BTreeSet::new();
    for (node, route) in nodes.iter().zip(routes) {
        if route.name.as_ref().is_some_and(|name| !seen.insert(name)) {
            let found = Found::error(&node.place, "another route has this name already");
            check.report(found.hint("history shows routes by name: give each its own"));
        }
    }
}

/// Once there are routes, a destination that none of them names gets nothing.
fn unreached(check: &Check<'_>, routes: &[Route], names: &Names<'_>) {
    if routes.is_empty() {
        return;
    }
    let named: BTreeSet<&str> = routes
        .iter()
        .flat_map(|route| &route.to)
        .map(AsRef::as_ref)
        .collect();
    for (name, place) in names
        .destinations
        .iter()
        .filter(|(name, _)| !named.contains(name))
    {
        let message = format!("no route sends anything to {}", quoted(name));
        check.report(Found::warning(place, message).hint("name it in the `to` of a route"));
    }
}
