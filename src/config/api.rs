//! Checks `api`: the hook APIs that are served, and who may use them.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::check::Check;
use super::destinations::set;
use super::keys::{Keys, nearest};
use super::layers::{Held, Node};
use super::problem::Found;
use super::shapes::{NAME, PATTERN, SWITCH};
use super::{Api, Token};
use crate::plan::Patterns;

/// A shorter token can be guessed, in characters.
const SHORTEST: usize = 8;

/// Checks every key of it against the sources and the sets of templates that there are.
pub(super) fn check(root: &mut Keys<'_>, sets: &[String]) -> Option<Option<Api>> {
    let check = root.check;
    let Some(node) = root.optional("api") else {
        return Some(None);
    };
    let sources = names(root.optional("sources"));
    let mut keys = check.keys(node)?;
    let gogs = keys.shaped("gogs", &SWITCH);
    let github = keys.shaped("github", &SWITCH);
    if (gogs, github) == (Some(false), Some(false)) {
        let found = Found::error(&node.key, "`gogs` and `github` are both off");
        check.report(found.hint("switch one on, or remove `api`"));
    }
    let source = source(&mut keys, &sources);
    let templates = keys.required("templates");
    let templates = templates.and_then(|node| set(check, node, sets));
    let query_tokens = keys.shaped("query_tokens", &SWITCH);
    let tokens = keys.required("tokens").and_then(|node| tokens(check, node));
    keys.finish();
    Some(Some(Api {
        gogs: gogs?,
        github: github?,
        source: source?,
        templates: templates?,
        query_tokens: query_tokens?,
        tokens: tokens?,
    }))
}

/// The names below `sources`.
pub(super) fn names(section: Option<&Node>) -> Vec<&str> {
    match section.map(|node| &node.held) {
        Some(Held::Map(entries)) => entries.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The source that is named, or the only one.
pub(super) fn source(keys: &mut Keys<'_>, sources: &[&str]) -> Option<Arc<str>> {
    let check = keys.check;
    let Some(node) = keys.optional("source") else {
        let [only] = sources else {
            // Where there is none, that has been said.
            if !sources.is_empty() && !keys.misspelt(&["source"]) {
                let message = format!("{} needs the key `source`", keys.node.name());
                let found = Found::error(&keys.node.key, message);
                let hint = format!("whose repositories it is about: {}", sources.join(", "));
                check.report(found.hint(hint));
            }
            return None;
        };
        return Some((*only).into());
    };
    let name = check.shaped(node, &NAME)?;
    if sources.contains(&name.as_str()) {
        return Some(name.into());
    }
    let message = format!("there is no source {}", node.quoted(&name));
    let found = Found::error(&node.place, message);
    check.report(match nearest(&name, sources.iter().copied()) {
        Some(source) => found.hint(format!("did you mean \"{source}\"?")),
        None => found.hint(format!("there are: {}", sources.join(", "))),
    });
    None
}

fn tokens(check: &Check<'_>, node: &Node) -> Option<Vec<Token>> {
    let entries = match &node.held {
        Held::List(entries) => entries.as_slice(),
        Held::Nothing => &[],
        Held::Refused => return None,
        _ => {
            let found = Found::error(&node.place, "`tokens` should be a list of tokens");
            check.report(found.hint(EXAMPLE));
            return None;
        }
    };
    if entries.is_empty() {
        let found = Found::error(&node.key, "there is no token, so nobody may use the API");
        check.report(found.hint(EXAMPLE));
        return None;
    }
    // All are read before the first failure counts.
    let tokens: Vec<Option<Token>> = entries.iter().map(|node| token(check, node)).collect();
    for (at, (node, token)) in entries.iter().zip(&tokens).enumerate() {
        let before = || tokens[..at].iter().flatten();
        let Some(token) = token else { continue };
        if before().any(|other| other.name == token.name) {
            let found = Found::error(&node.place, "another token has this name already");
            check.report(found.hint("the log shows tokens by name: give each its own"));
        }
        if before().any(|other| other.is(token)) {
            let found = Found::error(&node.place, "another entry has the same token already");
            check.report(found.hint("give each its own, or one of them the `repos` of both"));
        }
    }
    tokens.into_iter().collect()
}

const EXAMPLE: &str = "for example `- { name: ci, token: \"${CI_TOKEN}\", repos: [\"orbit/*\"] }`";

fn token(check: &Check<'_>, node: &Node) -> Option<Token> {
    let mut keys = check.keys(node)?;
    let name = keys.shaped("name", &NAME);
    let token = keys.required("token").and_then(|node| secret(check, node));
    let repos = keys.required("repos").and_then(|node| repos(check, node));
    keys.finish();
    Some(Token {
        name: name?.into(),
        token: token?,
        repos: repos?,
    })
}

fn secret(check: &Check<'_>, node: &Node) -> Option<SecretString> {
    let secret = check.secret(node)?;
    let text = secret.expose_secret();
    let (message, hint) = if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        (
            "holds what no client can send",
            "only letters, digits and signs of ASCII, without blanks",
        )
    } else if text.len() < SHORTEST {
        (
            "is too short, so it can be guessed",
            "make one with `openssl rand -hex 20`",
        )
    } else {
        return Some(secret);
    };
    let message = format!("{} {message}", node.name());
    check.report(Found::error(&node.place, message).hint(hint));
    None
}

fn repos(check: &Check<'_>, node: &Node) -> Option<Patterns> {
    let texts = check.list(node, |entry| check.shaped(entry, &PATTERN))?;
    if texts.is_empty() {
        let found = Found::error(&node.key, "`repos` names no repository");
        check.report(found.hint("for example `repos: [\"orbit/*\"]`, or \"*/*\" for all"));
        return None;
    }
    Patterns::new(&texts).ok()
}
