//! Checks `sources`: who may post, and how their deliveries are verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::check::Check;
use super::keys::Keys;
use super::layers::Node;
use super::problem::{Found, Place};
use super::shapes::{ALLOW, NAME, REDELIVERY, TIME_OR_OFF};
use super::{SHIPPED_SECRET, Source};

/// Checks every source. `exposed`: others than this machine can reach the listener.
pub(super) fn check(root: &mut Keys<'_>, exposed: bool) -> Option<BTreeMap<Arc<str>, Source>> {
    let check = root.check;
    let Some(section) = root.optional("sources") else {
        none(check, &Place::File);
        return None;
    };
    let keys = check.keys(section)?;
    let mut sources = Some(BTreeMap::new());
    for (name, node) in keys.entries() {
        let name = named(check, name, node);
        let source = source(check, node, exposed);
        sources = sources.and_then(|mut sources: BTreeMap<_, _>| {
            sources.insert(name?, source?);
            Some(sources)
        });
    }
    if keys.entries().next().is_none() {
        none(check, &section.key);
    }
    sources
}

fn none(check: &Check<'_>, place: &Place) {
    let found = Found::error(place, "there is no source, so nobody may post here");
    check.report(found.hint("for example `gogs: { secret: … }` below `sources:`"));
}

/// A name that the user chose for an entry.
pub(super) fn named(check: &Check<'_>, name: &str, node: &Node) -> Option<Arc<str>> {
    if (NAME.parse)(name).is_some() {
        return Some(name.into());
    }
    check.report(Found::error(&node.key, "this name cannot be used").hint(NAME.hint));
    None
}

fn source(check: &Check<'_>, node: &Node, exposed: bool) -> Option<Source> {
    let mut keys = check.keys(node)?;
    let secrets = secrets(&mut keys, exposed);
    let unsigned = secrets.as_ref().is_some_and(Vec::is_empty);
    let mut needs_secret = |key| {
        let allowed = keys.optional(key)?;
        if unsigned {
            let message = format!("`{key}` means nothing without a secret");
            check.report(Found::error(&allowed.key, message).hint("remove it"));
        }
        check.shaped(allowed, &ALLOW)
    };
    let sha1 = needs_secret("sha1").is_some();
    let body_secret = needs_secret("body_secret").is_some();
    let redelivery = keys.shaped("redelivery", &REDELIVERY);
    let same_body = keys.shaped("same_body", &TIME_OR_OFF);
    keys.finish();
    Some(Source {
        secrets: secrets?,
        unsigned,
        sha1,
        body_secret,
        redelivery: redelivery?,
        same_body: same_body?,
    })
}

/// Exactly one of `secret`, `secrets` and `unsigned` says how deliveries are verified; no secret
/// is what the last one allows.
fn secrets(keys: &mut Keys<'_>, exposed: bool) -> Option<Vec<SecretString>> {
    let check = keys.check;
    let ways = ["secret", "secrets", "unsigned"].map(|key| (key, keys.optional(key)));
    let mut given = ways
        .into_iter()
        .filter_map(|(key, node)| Some((key, node?)));
    let Some((way, node)) = given.next() else {
        if !keys.misspelt(&["secret", "secrets", "unsigned"]) {
            let found = Found::error(&keys.node.key, "this source has no secret");
            check.report(found.hint("add `secret: …`, or `unsigned: allow` to take anything"));
        }
        return None;
    };
    for (other, node) in given {
        let found = Found::error(&node.key, format!("`{other}` cannot stand beside `{way}`"));
        check.report(found.hint("keep one of secret, secrets and unsigned"));
    }
    if way == "unsigned" {
        check.shaped(node, &ALLOW)?;
        let found = Found::warning(&node.key, "this source takes deliveries from anyone");
        check.report(found.hint("set a secret here and in Gogs as soon as you can"));
        return Some(Vec::new());
    }
    if way == "secret" {
        return Some(vec![secret(check, node, exposed)?]);
    }
    let secrets = check.list(node, |entry| secret(check, entry, exposed))?;
    if secrets.is_empty() {
        let found = Found::error(&node.key, format!("{} holds no secret", node.name()));
        check.report(found.hint("write the one that is set in Gogs' webhook"));
        return None;
    }
    Some(secrets)
}

fn secret(check: &Check<'_>, node: &Node, exposed: bool) -> Option<SecretString> {
    let secret = check.secret(node)?;
    if secret.expose_secret() == SHIPPED_SECRET {
        let place = &node.place;
        check.report(match exposed {
            true => Found::error(place, "this is the shipped secret, which everybody knows")
                .hint("choose one of your own: `listen` lets others than this machine in"),
            false => Found::warning(place, "this is the shipped secret, which everybody knows")
                .hint("choose one of your own, here and in Gogs' webhook"),
        });
    }
    Some(secret)
}
