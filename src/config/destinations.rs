//! Checks `destinations`: where messages go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::Check;
use super::excerpt::quoted;
use super::keys::{Keys, nearest};
use super::kinds::kind;
use super::layers::{Held, Node};
use super::problem::{Found, Place};
use super::shapes::{COUNT_AT_ONCE, FACTOR, NAME, ORDER, PACE, RATE, SHARE, TIME_ABOVE_ZERO};
use super::sources::named;
use crate::destination::{Destination, Order, Pace, Reach, RetryPolicy};

/// Deliveries under way at once in a loose lane that says nothing else.
const CONCURRENCY: usize = 4;

/// Checks every destination. `sets`: the names of the template sets there are.
pub(super) fn check(
    root: &mut Keys<'_>,
    sets: &[String],
) -> Option<BTreeMap<Arc<str>, Destination>> {
    let check = root.check;
    let Some(section) = root.optional("destinations") else {
        none(check, &Place::File);
        return None;
    };
    let keys = check.keys(section)?;
    let mut destinations = Some(BTreeMap::new());
    for (name, node) in keys.entries() {
        let name = named(check, name, node);
        let destination = destination(check, name, node, sets);
        destinations = destinations.and_then(|mut destinations: BTreeMap<_, Destination>| {
            let destination = destination?;
            destinations.insert(destination.name.clone(), destination);
            Some(destinations)
        });
    }
    if keys.entries().next().is_none() {
        none(check, &section.key);
    }
    former_names(&keys);
    destinations
}

fn none(check: &Check<'_>, place: &Place) {
    let found = Found::error(place, "there is no destination, so nothing is sent");
    check.report(found.hint("for example `screen: { console: {} }` below `destinations:`"));
}

/// A lane can be taken over once, and only when its own destination is gone.
fn former_names(keys: &Keys<'_>) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, node) in keys.entries() {
        let Held::Map(settings) = &node.held else {
            continue;
        };
        let Some(was) = settings.get("was") else {
            continue;
        };
        let Held::Text(former) = &was.held else {
            continue;
        };
        if keys.entries().any(|(existing, _)| existing == former) {
            let message = format!("the destination {} still exists", was.quoted(former));
            let found = Found::error(&was.place, message);
            keys.check
                .report(found.hint("`was` takes over from one that is gone: remove either"));
        } else if let Some(other) = taken.insert(former, name) {
            let message = format!(
                "{} was taken over by {} already",
                was.quoted(former),
                quoted(other)
            );
            keys.check.report(Found::error(&was.place, message));
        }
    }
}

fn destination(
    check: &Check<'_>,
    name: Option<Arc<str>>,
    node: &Node,
    sets: &[String],
) -> Option<Destination> {
    let mut keys = check.keys(node)?;
    let kind = kind(&mut keys);
    let was = keys.shaped_if_given("was", &NAME);
    let templates = keys
        .required("templates")
        .and_then(|node| set(check, node, sets));
    let order = order(&mut keys);
    let pace = keys.optional("rate").and_then(|node| pace(check, node));
    let timeout = keys.shaped("timeout", &TIME_ABOVE_ZERO);
    let retry = keys.required("retry").and_then(|node| retry(check, node));
    keys.finish();
    Some(Destination {
        name: name?,
        was: was.map(Arc::from),
        kind: kind?,
        reach: Reach::Configured,
        templates: templates?,
        order: order?,
        pace,
        timeout: timeout?,
        retry: retry?,
    })
}

/// The name of a set of templates that there is.
pub(super) fn set(check: &Check<'_>, node: &Node, sets: &[String]) -> Option<String> {
    let name = check.shaped(node, &NAME)?;
    if sets.contains(&name) {
        return Some(name);
    }
    let found = Found::error(
        &node.place,
        format!("there is no set of templates {}", node.quoted(&name)),
    );
    check.report(match nearest(&name, sets.iter().map(String::as_str)) {
        Some(set) => found.hint(format!("did you mean \"{set}\"?")),
        None => found.hint(format!("there are: {}", sets.join(", "))),
    });
    None
}

fn order(keys: &mut Keys<'_>) -> Option<Order> {
    let strict = keys.shaped("order", &ORDER);
    let concurrency = keys.optional("concurrency");
    if let (Some(true), Some(node)) = (strict, concurrency) {
        let found = Found::error(&node.key, "`concurrency` means nothing in strict order");
        keys.check
            .report(found.hint("add `order: loose`, or remove it"));
    }
    let width = concurrency.map(|node| keys.check.shaped(node, &COUNT_AT_ONCE));
    match strict? {
        true => Some(Order::Strict),
        false => Some(Order::Loose {
            concurrency: width.unwrap_or(Some(CONCURRENCY))?,
        }),
    }
}

fn pace(check: &Check<'_>, node: &Node) -> Option<Pace> {
    match &node.held {
        Held::List(_) => Some(Pace::Windows(
            check.list(node, |entry| check.shaped(entry, &RATE))?,
        )),
        _ => check.shaped(node, &PACE),
    }
}

fn retry(check: &Check<'_>, node: &Node) -> Option<RetryPolicy> {
    let mut keys = check.keys(node)?;
    let first = keys.shaped("first", &TIME_ABOVE_ZERO);
    let factor = keys.shaped("factor", &FACTOR);
    let max = keys.shaped("max", &TIME_ABOVE_ZERO);
    let jitter = keys.shaped("jitter", &SHARE);
    let give_up_after = keys.shaped("give_up_after", &TIME_ABOVE_ZERO);
    if first > max && max.is_some() {
        let longest = keys.optional("max").map_or(&node.place, |node| &node.place);
        let found = Found::error(longest, "`max` is shorter than `first`");
        check.report(found.hint("the waits grow from `first` to `max`"));
    }
    keys.finish();
    Some(RetryPolicy {
        first: first?,
        factor: factor?,
        max: max?,
        jitter: jitter?,
        give_up_after: give_up_after?,
    })
}
