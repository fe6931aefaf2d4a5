//! `send`: a signed delivery to the relay, as Gogs sends it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::given::{Given, wrong};
use super::{Failure, Outcome, block_on, check, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::destination::{Reach, Trust};
use crate::send::gogs::hmac_sha256;
use crate::send::transport::{self, Transport};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    given: Given,
    /// Where to [default: the source's hook on `listen` of relay.yaml]
    #[arg(long)]
    url: Option<String>,
    /// What to sign with [default: the source's secret in relay.yaml]
    #[arg(long)]
    secret: Option<String>,
}

/// The relay itself answers within 8 s even when its disk is full.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn run(config: &Path, args: Args) -> Outcome {
    let (event, mut body) = args.given.payload()?;
    if args.given.is_sample() {
        body = made_new(&body);
    }
    let (url, secret) = target(config, args)?;
    let (status, answer) = block_on(deliver(&url, secret.expose_secret(), &event, &body))?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if (200..300).contains(&status) {
        return say(format!("{status} {answer}"));
    }
    Err(anyhow!("the relay answered {status} {answer}").into())
}

/// Two equal bodies in a short time are one event, so each sample sent says when it was.
fn made_new(sample: &Bytes) -> Bytes {
    let Ok(mut payload) = serde_json::from_slice::<serde_json::Value>(sample) else {
        return sample.clone();
    };
    payload["repository"]["updated_at"] = Clock::system().now().to_string().into();
    serde_json::to_vec_pretty(&payload).map_or_else(|_| sample.clone(), Bytes::from)
}

/// Hook and secret: as given, or the source's in relay.yaml, which is read only when needed.
fn target(path: &Path, args: Args) -> Result<(String, SecretString), Failure> {
    if let (Some(url), Some(secret)) = (&args.url, &args.secret) {
        return Ok((url.clone(), SecretString::from(secret.as_str())));
    }
    let config = check::load(path)?;
    let source = args.given.source.as_deref();
    let (name, source) = config.source(source).map_err(wrong)?;
    let url = args.url.unwrap_or_else(|| hook(&config, name));
    let secret = match args.secret {
        Some(secret) => SecretString::from(secret),
        None => source.secrets.first().cloned().unwrap_or_default(),
    };
    Ok((url, secret))
}

fn hook(config: &Config, source: &str) -> String {
    format!(
        "http://{}/hooks/{source}",
        super::api::reachable(config.listen)
    )
}

/// Posts `body` as Gogs posts it; the answer's status and body. Without a secret the signature is
/// empty, as Gogs sends it.
pub(super) async fn deliver(
    url: &str,
    secret: &str,
    event: &str,
    body: &Bytes,
) -> anyhow::Result<(u16, Bytes)> {
    let id = uuid::Uuid::new_v4().to_string();
    let signature = if secret.is_empty() {
        String::new()
    } else {
        hex::encode(hmac_sha256(secret.as_bytes(), body))
    };
    let headers = [
        ("user-agent", "GogsServer"),
        ("content-type", "application/json"),
        ("x-github-delivery", &id),
        ("x-github-event", event),
        ("x-gogs-delivery", &id),
        ("x-gogs-event", event),
        ("x-gogs-signature", &signature),
    ];
    request(Method::POST, url, &headers, body.clone()).await
}

/// One request of a command to a relay; the answer's status and body.
pub(super) async fn request(
    method: Method,
    url: &str,
    headers: &[(&'static str, &str)],
    body: Bytes,
) -> anyhow::Result<(u16, Bytes)> {
    let parsed = url::Url::parse(url).with_context(|| format!("{url:?} is not a URL"))?;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value)
            .with_context(|| format!("{name} cannot carry this value"))?;
        map.insert(HeaderName::from_static(name), value);
    }
    let request = transport::Request {
        method,
        url: &parsed,
        reach: Reach::Configured,
        trust: Trust::Verified,
        headers: map,
        body,
        most: transport::COMMAND,
    };
    match Transport::new(Clock::system())
        .call(request, PATIENCE)
        .await
    {
        Ok(answer) => Ok((answer.status, answer.body)),
        Err(transport::Failure::Forbidden(refusal)) => bail!("{refusal}"),
        Err(transport::Failure::Trouble { words, .. }) => {
            let host = parsed.authority();
            bail!("no relay answers at {host} ({words}); is it running? `gogs-relay` starts it")
        }
    }
}
