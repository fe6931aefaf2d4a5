//! Who may use the own API: the right `Host`, no foreign page, the bearer token when one is set.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::Shared;
use super::error::ApiError;
use crate::config::Admin;

/// Lets a request through, or answers in its place. A page in a browser cannot get past it: it
/// can forge neither `Host` (DNS rebinding) nor `Origin`, nor send JSON without being asked.
pub(super) async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match refuse(&shared.settings, &request) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    }
}

fn refuse(settings: &Admin, request: &Request) -> Option<ApiError> {
    let headers = request.headers();
    if is_open(request.uri().path()) {
        return None;
    }
    if !host_is_ours(settings, headers) {
        let error = ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not known here",
        );
        return Some(error.hint("name it under admin.hosts in relay.yaml"));
    }
    if !token_is_right(settings, headers) {
        let error = ApiError::new(StatusCode::UNAUTHORIZED, "no or wrong token");
        return Some(error.hint("send `Authorization: Bearer <admin.token of relay.yaml>`"));
    }
    let writes = ![Method::GET, Method::HEAD].contains(request.method());
    if writes {
        refuse_write(settings, headers)
    } else {
        None
    }
}

fn refuse_write(settings: &Admin, headers: &HeaderMap) -> Option<ApiError> {
    let media_type = text(headers, &header::CONTENT_TYPE).unwrap_or("");
    if media_type.split(';').next().map(str::trim) != Some("application/json") {
        let error = ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a write needs a JSON content type",
        );
        return Some(error.hint("send `Content-Type: application/json`"));
    }
    let origin = text(headers, &header::ORIGIN)?;
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    (!name_is_ours(settings, host))
        .then(|| ApiError::new(StatusCode::FORBIDDEN, "a foreign page may not write here"))
}

/// Probes and metrics need no token, and come by whatever address the prober knows.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

fn host_is_ours(settings: &Admin, headers: &HeaderMap) -> bool {
    text(headers, &header::HOST).is_some_and(|host| name_is_ours(settings, host))
}

/// Whether `host`, with or without a port, is loopback or configured.
fn name_is_ours(settings: &Admin, host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    is_loopback
        || name.eq_ignore_ascii_case("localhost")
        || settings
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host))
}

/// Digests of equal length are compared, so that the time tells nothing of the token.
fn token_is_right(settings: &Admin, headers: &HeaderMap) -> bool {
    let Some(token) = &settings.token else {
        return true;
    };
    let given = text(headers, &header::AUTHORIZATION).and_then(|value| value.split_once(' '));
    given.is_some_and(|(scheme, given)| {
        let (given, wanted) = (
            Sha256::digest(given.trim()),
            Sha256::digest(token.expose_secret()),
        );
        scheme.eq_ignore_ascii_case("bearer")
            && given
                .iter()
                .zip(&wanted)
                .fold(0, |all, (a, b)| all | (a ^ b))
                == 0
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
