//! `send`: a signed delivery to the relay, as Gogs sends it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{Failure, Outcome, block_on, check, given, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::plan::samples;
use crate::send::transport::{self, Transport};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A payload; `-` reads standard input. A built-in sample of the event when left out
    file: Option<PathBuf>,
    /// Which event it is [default: found out from the payload; push for a sample]
    #[arg(long)]
    event: Option<String>,
    /// Where to [default: the source's hook on `listen` of relay.yaml]
    #[arg(long)]
    url: Option<String>,
    /// What to sign with [default: the source's secret in relay.yaml]
    #[arg(long)]
    secret: Option<String>,
    /// The source in relay.yaml whose hook and secret are used; the first when left out
    #[arg(long)]
    source: Option<String>,
}

/// The relay itself answers within 8 s even when its disk is full.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn run(config: &Path, args: Args) -> Outcome {
    let (event, body) = payload(&args)?;
    let (url, secret) = target(config, args)?;
    let (status, answer) = block_on(deliver(&url, secret.expose_secret(), &event, &body))
        .with_context(|| {
            format!("no relay answers at {url}; is it running? `gogs-relay` starts it")
        })?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if (200..300).contains(&status) {
        return say(&format!("{status} {answer}"));
    }
    Err(anyhow!("the relay answered {status} {answer}").into())
}

fn payload(args: &Args) -> Result<(String, Bytes), Failure> {
    if let Some(file) = &args.file {
        let body = given::read(file)?;
        let event = match &args.event {
            Some(event) => event.clone(),
            None => given::guess(&body)?.to_owned(),
        };
        return Ok((event, body));
    }
    let event = args.event.clone().unwrap_or_else(|| "push".to_owned());
    let all = samples();
    match all.iter().find(|sample| sample.event == event) {
        Some(sample) => Ok((event, made_new(&sample.body))),
        None => {
            let mut known: Vec<&str> = all.iter().map(|sample| sample.event.as_str()).collect();
            known.dedup();
            let advice = anyhow!(
                "there is no sample of {event:?}; there are {}",
                known.join(", ")
            );
            Err(Failure::Usage(Some(advice)))
        }
    }
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
    let (name, source) = match &args.source {
        Some(name) => config.sources.get_key_value(name.as_str()),
        None => config.sources.first_key_value(),
    }
    .ok_or_else(|| {
        Failure::Usage(Some(anyhow!(
            "there is no such source in {}",
            path.display()
        )))
    })?;
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
        sign(secret, body)?
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

fn sign(secret: &str, body: &[u8]) -> anyhow::Result<String> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("the secret cannot be a key")?;
    mac.update(body);
    Ok(hex::encode(mac.finalize().into_bytes()))
}

/// One request of a command to a relay; the answer's status and body.
pub(super) async fn request(
    method: Method,
    url: &str,
    headers: &[(&'static str, &str)],
    body: Bytes,
) -> anyhow::Result<(u16, Bytes)> {
    let url = url::Url::parse(url).context("the address is not a URL")?;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value)
            .with_context(|| format!("the value of {name} is not a header's"))?;
        map.insert(HeaderName::from_static(name), value);
    }
    let request = transport::Request {
        method,
        url: &url,
        headers: map,
        body,
        most: transport::COMMAND,
    };
    match Transport::new(Clock::system())
        .call(request, PATIENCE)
        .await
    {
        Ok(answer) => Ok((answer.status, answer.body)),
        Err(transport::Failure::Forbidden) => Err(anyhow!("the address may not be dialled")),
        Err(transport::Failure::Trouble { words, .. }) => Err(anyhow!(words)),
    }
}
