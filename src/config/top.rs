//! Checks the settings of the relay itself, and puts the whole together.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::check::Check;
use super::keys::Keys;
use super::layers::{Held, Node};
use super::problem::{Found, Place};
use super::shapes::{
    ADDRESS, COUNT, COUNT_AT_ONCE, HOST, SIZE, SIZE_ABOVE_ZERO, SIZE_OF_HEADERS, TIME,
    TIME_ABOVE_ZERO,
};
use super::{Admin, Config, Limits, Sets, api, destinations, egress, routes, sources};
use crate::queue::Keep;
use crate::send::egress::Egress;

/// Keys that a later version will know. To ignore one would be to run without what it asks for.
const LATER: [&str; 3] = ["tls", "hub", "queue"];

/// Walks the merged tree. `None` only after an error was reported.
pub(super) fn check(check: &Check<'_>, root: &Node, sets: Sets<'_>) -> Option<Config> {
    let mut keys = check.keys(root)?;
    refuse_later(&mut keys);
    let listen = keys.shaped("listen", &ADDRESS);
    let admin = keys.required("admin").and_then(|node| admin(check, node));
    if let (Some(listen), Some(admin)) = (listen, &admin)
        && listen == admin.listen
        && listen.port() != 0
    {
        same_address(&mut keys);
    }
    let public_url = public_url(&mut keys, listen);
    let data = path(&mut keys, "data");
    let templates = path(&mut keys, "templates");
    let shutdown_grace = keys.shaped("shutdown_grace", &TIME);
    let [history, dead, dedupe] = ["history", "dead", "dedupe"].map(|key| keep(&mut keys, key));
    let limits = keys.required("limits").and_then(|node| limits(check, node));
    let egress = keys
        .required("egress")
        .and_then(|node| egress::check(check, node));
    let sets = templates.as_deref().map(sets).unwrap_or_default();
    let exposed = listen.is_some_and(|listen| !listen.ip().is_loopback());
    let sources = sources::check(&mut keys, exposed);
    let destinations = destinations::check(&mut keys, &sets);
    let routes = routes::check(&mut keys);
    let api = api::check(&mut keys, &sets);
    keys.finish();
    Some(Config {
        listen: listen?,
        public_url: public_url?,
        admin: admin?,
        data: data?,
        templates: templates?,
        shutdown_grace: shutdown_grace?,
        history: history?,
        dead: dead?,
        dedupe: dedupe?,
        limits: limits?,
        egress: egress?,
        api: api?,
        sources: sources?,
        destinations: destinations?,
        routes: routes?,
    })
}

/// What the tree says of the own API alone.
pub(super) fn check_admin(check: &Check<'_>, root: &Node) -> Option<Admin> {
    admin(check, check.keys(root)?.required("admin")?)
}

/// The same for `egress`.
pub(super) fn check_egress(check: &Check<'_>, root: &Node) -> Option<Egress> {
    egress::check(check, check.keys(root)?.required("egress")?)
}

fn refuse_later(keys: &mut Keys<'_>) {
    for (key, node) in keys.entries().filter(|(key, _)| LATER.contains(key)) {
        let message = format!("`{key}` is not supported yet by this version");
        let found = Found::error(&node.key, message);
        keys.check
            .report(found.hint("remove it: the relay would run without what it asks for"));
    }
    keys.ignore(&LATER);
}

fn admin(check: &Check<'_>, node: &Node) -> Option<Admin> {
    let mut keys = check.keys(node)?;
    let address = keys.required("listen");
    let listen = address.and_then(|node| check.shaped(node, &ADDRESS));
    let token = match keys.optional("token") {
        Some(node) => check.secret_or_none(node),
        None => Some(None),
    };
    let hosts = keys.required("hosts");
    let hosts = hosts.and_then(|node| check.list(node, |entry| check.shaped(entry, &HOST)));
    keys.finish();
    // The dashboard and its API show bodies.
    if let (Some(address), Some(listen), Some(None)) = (address, listen, &token)
        && !listen.ip().is_loopback()
    {
        let found = Found::error(
            &address.place,
            "others could use this address without a token",
        );
        check.report(found.hint("set `token` below `admin`, or listen on 127.0.0.1"));
    }
    Some(Admin {
        listen: listen?,
        token: token?,
        hosts: hosts?,
    })
}

/// Reports it where the file or a variable says so; one of both addresses may be the default.
fn same_address(keys: &mut Keys<'_>) {
    let hooks = keys.optional("listen");
    let admin = keys.optional("admin").and_then(|admin| match &admin.held {
        Held::Map(settings) => settings.get("listen"),
        _ => None,
    });
    let mut places = [admin, hooks].into_iter().flatten().map(|node| &node.place);
    let place = places.find(|place| **place != Place::File);
    let found = Found::error(
        place.unwrap_or(&Place::File),
        "`listen` and `admin.listen` are the same address",
    );
    keys.check
        .report(found.hint("give one of them another port, for example 8027"));
}

/// Where Gogs finds the relay; by default where it listens.
fn public_url(keys: &mut Keys<'_>, listen: Option<SocketAddr>) -> Option<url::Url> {
    if let Some(node) = keys.optional("public_url") {
        return Some(keys.check.url(node)?.expose().clone());
    }
    let listen = listen?;
    let host = match listen.ip().is_unspecified() {
        true => format!("localhost:{}", listen.port()),
        false => listen.to_string(),
    };
    url::Url::parse(&format!("http://{host}/")).ok()
}

fn path(keys: &mut Keys<'_>, key: &'static str) -> Option<PathBuf> {
    let node = keys.required(key)?;
    keys.check.path(node)
}

fn keep(keys: &mut Keys<'_>, key: &'static str) -> Option<Keep> {
    let node = keys.required(key)?;
    let mut keys = keys.check.keys(node)?;
    let keep = keys.shaped("keep", &TIME);
    let at_most = keys.shaped("at_most", &COUNT);
    keys.finish();
    Some(Keep {
        keep: keep?,
        at_most: at_most?,
    })
}

fn limits(check: &Check<'_>, node: &Node) -> Option<Limits> {
    let mut keys = check.keys(node)?;
    let body_node = keys.required("body");
    let body = body_node.and_then(|node| check.shaped(node, &SIZE_ABOVE_ZERO));
    let bytes = keys.shaped("bytes", &SIZE_ABOVE_ZERO);
    let headers = keys.shaped("headers", &SIZE_OF_HEADERS);
    let connections = keys.shaped("connections", &COUNT_AT_ONCE);
    let header_timeout = keys.shaped("header_timeout", &TIME_ABOVE_ZERO);
    let body_timeout = keys.shaped("body_timeout", &TIME_ABOVE_ZERO);
    let sends = keys.shaped("sends", &COUNT_AT_ONCE);
    let backlog = keys.shaped("backlog", &COUNT);
    let free_disk = keys.shaped("free_disk", &SIZE);
    keys.finish();
    if let (Some(node), Some(body), Some(bytes)) = (body_node, body, bytes)
        && body > bytes
    {
        let found = Found::error(&node.place, "`body` is larger than `bytes`");
        check.report(found.hint("`bytes` is for all bodies together, so one has to fit in"));
    }
    Some(Limits {
        body: body?,
        bytes: bytes?,
        headers: headers?,
        connections: connections?,
        header_timeout: header_timeout?,
        body_timeout: body_timeout?,
        sends: sends?,
        backlog: backlog?,
        free_disk: free_disk?,
    })
}
