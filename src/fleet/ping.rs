//! Asks the relay itself whether it takes what a hook is going to send.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::destination::{Reach, Trust};
use crate::send::gogs::{hex_value, hmac_sha256};
use crate::send::transport::{ANSWER, Failure, Request, Transport};

const PATIENCE: Duration = Duration::from_secs(15);

/// Why a hook would be of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unaccepted {
    #[error("the relay does not accept the secret; `gogs-relay reload` makes it known there")]
    Secret,
    #[error("the relay has no such source (404); `gogs-relay reload` makes it known there")]
    Source,
    #[error("what answers there is no relay (status {0})")]
    Other(u16),
    #[error("no relay answers there: {0}")]
    Nobody(String),
}

/// Posts a signed `ping`, which the relay verifies like any delivery and does not keep.
///
/// # Errors
/// Why it was not accepted.
pub async fn ping(
    transport: &Transport,
    hook: &Url,
    secret: Option<&SecretString>,
) -> Result<(), Unaccepted> {
    let body = Bytes::from_static(b"{}");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-gogs-event", HeaderValue::from_static("ping"));
    if let Some(secret) = secret {
        let signature = hmac_sha256(secret.expose_secret().as_bytes(), &body);
        headers.insert("x-gogs-signature", hex_value(&hex::encode(signature)));
    }
    let request = Request {
        method: Method::POST,
        url: hook,
        reach: Reach::Configured,
        trust: Trust::Verified,
        headers,
        body,
        most: ANSWER,
    };
    let answer = match transport.call(request, PATIENCE).await {
        Ok(answer) => answer,
        Err(Failure::Forbidden(refusal)) => return Err(Unaccepted::Nobody(refusal.to_string())),
        Err(Failure::Trouble { words, .. }) => return Err(Unaccepted::Nobody(words)),
    };
    match answer.status {
        200 if answer.body.starts_with(br#"{"ping""#) => Ok(()),
        401 => Err(Unaccepted::Secret),
        404 => Err(Unaccepted::Source),
        other => Err(Unaccepted::Other(other)),
    }
}
