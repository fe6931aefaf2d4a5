//! Who calls: the token that a request carries, compared with all there are.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::parse;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;
use crate::config::{Api, Token};

/// Whose token the request carries.
///
/// # Errors
/// It carries none, or none that is known.
pub(super) fn who<'a>(
    api: &'a Api,
    headers: &HeaderMap,
    query: &str,
) -> Result<&'a Token, Refusal> {
    let in_query = || {
        let mut pairs = parse(query.as_bytes());
        pairs.find_map(|(name, value)| QUERY_NAMES.contains(&&*name).then_some(value))
    };
    let presented = match (headers.get(AUTHORIZATION), in_query()) {
        (Some(value), _) => value.to_str().ok().and_then(presented),
        (None, Some(value)) if api.query_tokens => Some(value),
        (None, Some(_)) => return Err(Refusal::OnlyInQuery),
        (None, None) => return Err(Refusal::NoToken),
    };
    known(&api.tokens, presented.as_deref().unwrap_or_default()).ok_or(Refusal::WrongToken)
}

/// The same for what needs no token: `None` when the request carries none.
///
/// # Errors
/// It carries one that is not known.
pub(super) fn who_if_any<'a>(
    api: Option<&'a Api>,
    headers: &HeaderMap,
    query: &str,
) -> Result<Option<&'a Token>, Refusal> {
    let Some(api) = api else {
        return match headers.contains_key(AUTHORIZATION) {
            true => Err(Refusal::WrongToken),
            false => Ok(None),
        };
    };
    match who(api, headers, query) {
        Ok(token) => Ok(Some(token)),
        Err(Refusal::NoToken | Refusal::OnlyInQuery) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// The names that Gogs took a token under.
const QUERY_NAMES: [&str; 2] = ["token", "access_token"];

/// The token in the value of `Authorization`: after `token` or `Bearer`, or the password of Basic.
fn presented(value: &str) -> Option<Cow<'_, str>> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if ["token", "bearer"]
        .iter()
        .any(|name| scheme.eq_ignore_ascii_case(name))
    {
        return Some(rest.into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (_, password) = pair.split_once(':')?;
    Some(password.to_owned().into())
}

/// Digests of equal length are compared, with every token, so that the time tells nothing.
fn known<'a>(tokens: &'a [Token], presented: &str) -> Option<&'a Token> {
    let given = Sha256::digest(presented);
    let mut found = None;
    for token in tokens {
        let wanted = Sha256::digest(token.token.expose_secret());
        let differing = given
            .iter()
            .zip(&wanted)
            .fold(0, |all, (a, b)| all | (a ^ b));
        if differing == 0 {
            found = Some(token);
        }
    }
    found
}
