//! Talks to the own API of a running relay.

use std::io::{BufRead, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use hyper::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Failure, Outcome, block_on, check, print};
use crate::clock::{Clock, Timestamp};
use crate::config::time_in_words;

/// Where the relay is, when relay.yaml does not say it.
#[derive(Debug, clap::Args)]
pub(super) struct Address {
    /// The relay's admin address [default: admin.listen of relay.yaml]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The admin token [default: admin.token of relay.yaml, when the address is from there too]
    #[arg(long)]
    token: Option<String>,
}

/// The own API of one relay.
pub(super) struct Client {
    base: String,
    token: Option<SecretString>,
}

impl Client {
    /// With the address given, or found in relay.yaml.
    pub(super) fn new(config: &Path, address: &Address) -> Result<Client, Failure> {
        let token = address.token.clone().map(SecretString::from);
        if let Some(admin) = &address.admin {
            let base = if admin.contains("://") {
                admin.clone()
            } else {
                format!("http://{admin}")
            };
            return Ok(Client {
                base: base.trim_end_matches('/').to_owned(),
                token,
            });
        }
        let admin = check::load_admin(config)?;
        Ok(Client {
            base: format!("http://{}", reachable(admin.listen)),
            token: token.or(admin.token),
        })
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None)
    }

    /// `Value::Null` sends no body.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(
            Method::POST,
            path,
            Some(body).filter(|body| !body.is_null()),
        )
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, None)
    }

    /// Has the relay reload: what changed, or the drawing of the mistakes that kept it from it.
    pub(super) fn reload(&self) -> anyhow::Result<Result<Value, String>> {
        let (status, answer) = self.exchange(Method::POST, "/v1/reload", None)?;
        match answer["text"].as_str() {
            Some(drawing) if status == 422 => Ok(Err(drawing.to_owned())),
            _ => accepted((status, answer)).map(Ok),
        }
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        accepted(self.exchange(method, path, body)?)
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let bearer = self
            .token
            .as_ref()
            .map(|token| format!("Bearer {}", token.expose_secret()));
        let mut headers = vec![("content-type", "application/json")];
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let url = format!("{}{path}", self.base);
        let (status, answer) = block_on(super::send::request(method, &url, &headers, body.into()))?;
        let answer = serde_json::from_slice(&answer).map_err(|_| {
            anyhow!(
                "{} does not answer like a relay (status {status})",
                self.base
            )
        })?;
        Ok((status, answer))
    }
}

/// The answer, or what it complains about.
fn accepted((status, answer): (u16, Value)) -> anyhow::Result<Value> {
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    let hint = match status {
        401 => Some("it is admin.token of the relay's own relay.yaml; `--token` gives one"),
        _ => answer["hint"].as_str(),
    };
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    bail!("{}{hint}", text(&answer["error"]));
}

/// Where a listener can be reached from its own machine.
pub(super) fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    listen
}

/// Reads a time as RFC 3339, or an age such as `2h`, for the own API.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let Some(age) = time_in_words(text) else {
        let unknown = |_| "write an age such as 2h, or a time such as 2026-03-01T06:30:00Z".into();
        return text.parse().map_err(unknown);
    };
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Ok(Timestamp(Clock::system().now().0.saturating_sub(age)))
}

/// `1 delivery`, `2 deliveries`.
pub(super) fn deliveries(count: u64) -> String {
    match count {
        1 => "1 delivery".to_owned(),
        _ => format!("{count} deliveries"),
    }
}

/// Asks a person, who may say no. Without a person the command has to say `flag`.
pub(super) fn confirm(question: &str, flag: &str) -> Outcome {
    if !std::io::stdin().is_terminal() {
        let advice = anyhow!("{question} Nobody is there to ask; repeat with `{flag}` to do it");
        return Err(Failure::Usage(Some(advice)));
    }
    print(format!("{question} [y/N] ").as_bytes())?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("failed to read the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(anyhow!("nothing was done").into()),
    }
}

/// A JSON value as a cell: text without quotes, nothing for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
