//! The configuration that a body wishes for a hook: read, checked, and applied. Pure.

use secrecy::SecretString;
use serde_json::Value;

use super::fault::Fault;
use super::members::{Members, text, wrong_type};
use super::shapes::MASK;
use crate::destination::{ContentType, Reach, SecretUrl};
use crate::hook::{Hook, HookConfig, HookKind};
use crate::send::egress::{Egress, Refusal};

/// A configuration as it is wished, `None` where nothing is said.
#[derive(Debug, Default)]
pub(super) struct ConfigWish {
    url: Option<SecretUrl>,
    content_type: Option<ContentType>,
    secret: Option<Secret>,
    insecure_ssl: Option<bool>,
}

#[derive(Debug)]
enum Secret {
    None,
    Is(SecretString),
    /// It was shown masked, and comes back so.
    AsItIs,
}

impl ConfigWish {
    /// The member `config` of a body, if it has one.
    pub(super) fn of(body: &Members, egress: &Egress) -> Result<Option<ConfigWish>, Fault> {
        match body.get("config") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(config)) => ConfigWish::read(config, egress).map(Some),
            Some(other) => Err(wrong_type("config", other, "an object")),
        }
    }

    /// # Errors
    /// What GitHub would refuse, or a URL that can never be delivered to.
    pub(super) fn read(config: &Members, egress: &Egress) -> Result<ConfigWish, Fault> {
        let url = text(config, "url")?.filter(|url| !url.is_empty());
        let content_type = text(config, "content_type")?;
        let secret = text(config, "secret")?.map(|secret| match secret {
            "" => Secret::None,
            MASK => Secret::AsItIs,
            secret => Secret::Is(SecretString::from(secret)),
        });
        Ok(ConfigWish {
            url: url.map(|url| read_url(url, egress)).transpose()?,
            content_type: content_type.map(read_content_type).transpose()?,
            secret,
            insecure_ssl: insecure_ssl(config)?,
        })
    }

    /// The configuration of a hook that is made.
    ///
    /// # Errors
    /// It says no URL, or a secret that cannot be meant.
    pub(super) fn fresh(self) -> Result<HookConfig, Fault> {
        Ok(HookConfig {
            url: self.url.ok_or_else(|| Fault::missing("url"))?,
            content_type: self.content_type.unwrap_or(ContentType::Form),
            secret: match self.secret {
                // There is none that this could stand for.
                Some(Secret::AsItIs) => return Err(Fault::invalid("secret")),
                Some(Secret::Is(secret)) => Some(secret),
                Some(Secret::None) | None => None,
            },
            insecure_ssl: self.insecure_ssl.unwrap_or(false),
            channel: None,
            username: None,
            icon_url: None,
            color: None,
            subscription: None,
        })
    }

    /// In place of the hook's whole configuration, so that what is not said is as at the start;
    /// but a hook keeps its URL, because it is none without.
    pub(super) fn instead_of(self, hook: &Hook) -> Result<HookConfig, Fault> {
        let fresh = ConfigWish {
            url: self.url,
            content_type: Some(self.content_type.unwrap_or(ContentType::Form)),
            secret: Some(self.secret.unwrap_or(Secret::None)),
            insecure_ssl: Some(self.insecure_ssl.unwrap_or(false)),
        };
        fresh.over(hook)
    }

    /// Over the hook's configuration, which keeps what is not said.
    ///
    /// # Errors
    /// The hook's kind cannot have it.
    pub(super) fn over(self, hook: &Hook) -> Result<HookConfig, Fault> {
        let mut config = hook.config.clone();
        config.url = self.url.unwrap_or(config.url);
        config.content_type = self.content_type.unwrap_or(config.content_type);
        config.insecure_ssl = self.insecure_ssl.unwrap_or(config.insecure_ssl);
        match self.secret {
            None | Some(Secret::AsItIs) => {}
            Some(Secret::None) => config.secret = None,
            Some(Secret::Is(secret)) => config.secret = Some(secret),
        }
        match config.insecure_ssl && hook.kind != HookKind::GitHub {
            // Gogs' format has no such setting.
            true => Err(Fault::invalid("insecure_ssl")),
            false => Ok(config),
        }
    }
}

fn insecure_ssl(config: &Members) -> Result<Option<bool>, Fault> {
    match config.get("insecure_ssl") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text == "0" => Ok(Some(false)),
        Some(Value::String(text)) if text == "1" => Ok(Some(true)),
        Some(Value::Number(number)) if number.as_u64() == Some(0) => Ok(Some(false)),
        Some(Value::Number(number)) if number.as_u64() == Some(1) => Ok(Some(true)),
        Some(Value::String(_) | Value::Number(_)) => Err(Fault::invalid("insecure_ssl")),
        Some(other) => Err(wrong_type("insecure_ssl", other, "a string or a number")),
    }
}

/// Clients have sent the names of media types as well, and were taken at their word.
fn read_content_type(text: &str) -> Result<ContentType, Fault> {
    match text {
        "json" | "application/json" => Ok(ContentType::Json),
        "form" | "application/x-www-form-urlencoded" => Ok(ContentType::Form),
        _ => Err(Fault::invalid("content_type")),
    }
}

/// Whether a URL that came over an API may lead where it says.
///
/// # Errors
/// Why it never may.
pub(in crate::api) fn judge_url(egress: &Egress, url: &url::Url) -> Result<(), Refusal> {
    egress.judge_url(Reach::Stored, url)?;
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match host == "localhost" || host.ends_with(".localhost") {
        true => egress.judge(Reach::Stored, host, std::net::Ipv4Addr::LOCALHOST.into()),
        false => Ok(()),
    }
}

fn read_url(text: &str, egress: &Egress) -> Result<SecretUrl, Fault> {
    let not_valid = |why: &dyn std::fmt::Display| {
        Fault::custom(format!("The URL you've entered is not valid. ({why})"))
    };
    let url = SecretUrl::parse(text).map_err(|error| not_valid(&error))?;
    let parsed = url.expose();
    let host = parsed.host_str().unwrap_or_default();
    let judged = judge_url(egress, parsed);
    match judged {
        Ok(()) => Ok(url),
        Err(refusal @ (Refusal::Scheme | Refusal::Credentials)) => Err(not_valid(&refusal)),
        Err(refusal) => Err(Fault::custom(format!(
            "Sorry, the URL host {host} is not supported because it isn't reachable over the \
             public Internet ({refusal})"
        ))),
    }
}
