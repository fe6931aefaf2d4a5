//! Checks `hub`: whether there is one, whose topics are for everybody, and how long leases last.

use std::sync::Arc;

use super::check::Check;
use super::keys::Keys;
use super::layers::Node;
use super::problem::Found;
use super::shapes::{HOST, PATTERN, SIGNATURE, SWITCH, TIME_ABOVE_ZERO};
use super::{Api, Hub, Lease, api};
use crate::plan::Patterns;

/// Checks every key of it. `apis` is the section `api`, checked: `None` if that has mistakes.
pub(super) fn check(root: &mut Keys<'_>, apis: Option<&Option<Api>>) -> Option<Option<Hub>> {
    let check = root.check;
    let Some(node) = root.optional("hub") else {
        return Some(None);
    };
    let sources = api::names(root.optional("sources"));
    let has_api = root.optional("api").is_some();
    let mut keys = check.keys(node)?;
    let enabled = keys.shaped("enabled", &SWITCH);
    let source = match has_api {
        true => source_of_api(&mut keys, apis),
        false => api::source(&mut keys, &sources),
    };
    let open = keys.required("open").and_then(|node| open(check, node));
    let hosts = keys.required("hosts");
    let hosts = hosts.and_then(|node| check.list(node, |entry| check.shaped(entry, &HOST)));
    let lease = keys.required("lease").and_then(|node| lease(check, node));
    let signature = keys.shaped("signature", &SIGNATURE);
    keys.finish();
    if let (Some(true), Some(None), false) = (enabled, &open, has_api) {
        let found = Found::error(&node.key, "nobody could subscribe to anything");
        check.report(found.hint("name repositories under `open`, or tokens in a section `api`"));
    }
    let hub = Hub {
        source: source?,
        open: open?,
        hosts: hosts?,
        lease: lease?,
        signature: signature?,
    };
    Some(enabled?.then_some(hub))
}

/// Hooks of both are the same hooks, so both are about one source.
fn source_of_api(keys: &mut Keys<'_>, apis: Option<&Option<Api>>) -> Option<Arc<str>> {
    let source = apis?.as_ref()?.source.clone();
    if let Some(node) = keys.optional("source") {
        let name = keys.check.shaped(node, &super::shapes::NAME)?;
        if name != *source {
            let message = format!("`api` is about the source \"{source}\", and so is the hub");
            let found = Found::error(&node.place, message);
            keys.check.report(found.hint("remove `source` here"));
            return None;
        }
    }
    Some(source)
}

fn open(check: &Check<'_>, node: &Node) -> Option<Option<Patterns>> {
    let texts = check.list(node, |entry| check.shaped(entry, &PATTERN))?;
    match texts.is_empty() {
        true => Some(None),
        false => Some(Some(Patterns::new(&texts).ok()?)),
    }
}

fn lease(check: &Check<'_>, node: &Node) -> Option<Lease> {
    let mut keys = check.keys(node)?;
    let [default, min, max] =
        ["default", "min", "max"].map(|key| keys.shaped(key, &TIME_ABOVE_ZERO));
    keys.finish();
    let lease = Lease {
        default: default?,
        min: min?,
        max: max?,
    };
    if lease.min > lease.default || lease.default > lease.max {
        let found = Found::error(
            &node.place,
            "`default` does not lie between `min` and `max`",
        );
        check.report(found.hint("for example `lease: { default: 10d, min: 60s, max: 31d }`"));
        return None;
    }
    Some(lease)
}
