//! Checks `egress`: where may be sent to, by which way, and which servers are trusted.

use super::check::Check;
use super::layers::Node;
use super::problem::Found;
use super::shapes::PLACE;
use crate::send::egress::{Egress, Place, Places};
use crate::send::roots::read_certificates;

/// Checks every key of it; certificates are read here.
pub(super) fn check(check: &Check<'_>, node: &Node) -> Option<Egress> {
    let mut keys = check.keys(node)?;
    let mut list = |key, read: fn(&Check<'_>, &Node) -> Option<Place>| {
        let node = keys.required(key)?;
        check.list(node, |entry| read(check, entry)).map(Places)
    };
    let allow = list("allow", allowed);
    let no_proxy = list("no_proxy", |check, entry| check.shaped(entry, &PLACE));
    let proxy = match keys.optional("proxy") {
        Some(node) => check.proxy(node).map(Some),
        None => Some(None),
    };
    let ca = keys.required("ca");
    let ca = ca.and_then(|node| {
        check.list(node, |entry| {
            check.file(entry, &entry.name(), read_certificates)
        })
    });
    keys.finish();
    Some(Egress {
        allow: allow?,
        proxy: proxy?,
        no_proxy: no_proxy?,
        ca: ca?.concat(),
    })
}

fn allowed(check: &Check<'_>, entry: &Node) -> Option<Place> {
    let place = check.shaped(entry, &PLACE)?;
    if place.is_metadata() {
        let message = "this is a cloud's metadata address, where nothing is ever sent";
        check.report(Found::error(&entry.place, message).hint("remove it"));
        return None;
    }
    Some(place)
}
