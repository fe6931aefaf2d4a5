//! What a body wishes for a hook: read in GitHub's types, checked in its words, and applied. Pure.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::events;
use super::fault::Fault;
use super::shapes::MASK;
use crate::destination::{ContentType, Reach, SecretUrl};
use crate::hook::{Hook, HookConfig, HookKind, Repository};
use crate::hooks::{Draft, Hooks};
use crate::send::egress::{Egress, Refusal};

type Members = Map<String, Value>;

/// A body as an object; what is not there at all is an empty one.
///
/// # Errors
/// It is no JSON, or no object.
pub(super) fn read(body: &[u8]) -> Result<Members, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(Members::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) => Ok(Members::new()),
        Ok(_) => Err(Fault::BadRequest("Body should be a JSON object")),
        Err(_) => Err(Fault::BadRequest("Problems parsing JSON")),
    }
}

/// The hook to be made.
///
/// # Errors
/// What GitHub would refuse, or a URL that can never be delivered to.
pub(super) fn draft(
    repository: Repository,
    body: &Members,
    egress: &Egress,
) -> Result<Draft, Fault> {
    check_name(body)?;
    let config = ConfigWish::of(body, egress)?.unwrap_or_default();
    let url = config.url.ok_or_else(|| Fault::missing("url"))?;
    let events = list(body, "events")?.filter(|events| !events.is_empty());
    Ok(Draft {
        repository,
        kind: HookKind::GitHub,
        config: HookConfig {
            url,
            content_type: config.content_type.unwrap_or(ContentType::Form),
            secret: match config.secret {
                // There is none that this could stand for.
                Some(Secret::AsItIs) => return Err(Fault::invalid("secret")),
                Some(Secret::Is(secret)) => Some(secret),
                Some(Secret::None) | None => None,
            },
            insecure_ssl: config.insecure_ssl.unwrap_or(false),
            channel: None,
            username: None,
            icon_url: None,
            color: None,
        },
        events: events.unwrap_or_else(|| vec!["push".to_owned()]),
        active: boolean(body, "active")?.unwrap_or(true),
    })
}

/// What an update changes. What it does not name stays.
#[derive(Debug)]
pub(super) struct Update {
    config: Option<ConfigWish>,
    events: Option<Vec<String>>,
    add: Vec<String>,
    remove: Vec<String>,
    active: Option<bool>,
}

impl Update {
    /// # Errors
    /// What GitHub would refuse, or a URL that can never be delivered to.
    pub(super) fn of(body: &Members, egress: &Egress) -> Result<Update, Fault> {
        check_name(body)?;
        Ok(Update {
            config: ConfigWish::of(body, egress)?,
            events: list(body, "events")?,
            add: list(body, "add_events")?.unwrap_or_default(),
            remove: list(body, "remove_events")?.unwrap_or_default(),
            active: boolean(body, "active")?,
        })
    }

    /// # Errors
    /// The hook's kind cannot have it.
    pub(super) fn apply(self, hook: &Hook) -> Result<Hook, Fault> {
        let mut next = hook.clone();
        if let Some(config) = self.config {
            next.config = config.instead_of(hook)?;
        }
        next.events = self.events.unwrap_or(next.events);
        next.events.retain(|event| !self.remove.contains(event));
        for event in self.add {
            if !next.events.contains(&event) {
                next.events.push(event);
            }
        }
        next.active = self.active.unwrap_or(next.active);
        Ok(next)
    }
}

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
    fn of(body: &Members, egress: &Egress) -> Result<Option<ConfigWish>, Fault> {
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

    /// In place of the hook's whole configuration, so that what is not said is as at the start;
    /// but a hook keeps its URL, because it is none without.
    fn instead_of(self, hook: &Hook) -> Result<HookConfig, Fault> {
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

/// Whether another hook of the repository has the same configuration and an event of these.
///
/// # Errors
/// In GitHub's words, if so.
pub(super) fn check_unique(
    hooks: &Hooks,
    repository: &Repository,
    (id, config, events): (Option<u64>, &HookConfig, &[String]),
) -> Result<(), Fault> {
    let is_all = |events: &[String]| events.iter().any(|event| event == "*");
    let overlap = |other: &[String]| {
        is_all(other) || is_all(events) || other.iter().any(|event| events.contains(event))
    };
    let mut others = hooks
        .of(&repository.source, &repository.name)
        .filter(|other| {
            other.kind == HookKind::GitHub && Some(other.id) != id && other.config == *config
        });
    match others.any(|other| overlap(&other.events)) {
        true => Err(Fault::custom("Hook already exists on this repository")),
        false => Ok(()),
    }
}

/// Webhooks are the only hooks that there still are.
fn check_name(body: &Members) -> Result<(), Fault> {
    match text(body, "name")? {
        None | Some("web") => Ok(()),
        Some(_) => Err(Fault::invalid("name")),
    }
}

fn text<'a>(members: &'a Members, name: &str) -> Result<Option<&'a str>, Fault> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(name, other, "a string")),
    }
}

fn boolean(members: &Members, name: &str) -> Result<Option<bool>, Fault> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(wrong_type(name, other, "a boolean")),
    }
}

/// Names of events, each once.
fn list(members: &Members, name: &str) -> Result<Option<Vec<String>>, Fault> {
    let given = match members.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(given)) => given,
        Some(other) => return Err(wrong_type(name, other, "an array")),
    };
    let mut names: Vec<String> = Vec::new();
    for event in given {
        match event {
            Value::String(event) if !events::is_known(event) => {
                return Err(Fault::Validation(serde_json::json!({
                    "resource": "Hook", "field": name, "code": "invalid", "value": event,
                })));
            }
            Value::String(event) if names.contains(event) => {}
            Value::String(event) => names.push(event.clone()),
            other => return Err(wrong_type(name, other, "a string")),
        }
    }
    Ok(Some(names))
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

fn read_url(text: &str, egress: &Egress) -> Result<SecretUrl, Fault> {
    let not_valid = |why: &dyn std::fmt::Display| {
        Fault::custom(format!("The URL you've entered is not valid. ({why})"))
    };
    let url = SecretUrl::parse(text).map_err(|error| not_valid(&error))?;
    let parsed = url.expose();
    let host = parsed.host_str().unwrap_or_default();
    let mut judged = egress.judge_url(Reach::Stored, parsed);
    if host == "localhost" || host.ends_with(".localhost") {
        let loopback = std::net::Ipv4Addr::LOCALHOST.into();
        judged = judged.and_then(|()| egress.judge(Reach::Stored, host, loopback));
    }
    match judged {
        Ok(()) => Ok(url),
        Err(refusal @ (Refusal::Scheme | Refusal::Credentials)) => Err(not_valid(&refusal)),
        Err(refusal) => Err(Fault::custom(format!(
            "Sorry, the URL host {host} is not supported because it isn't reachable over the \
             public Internet ({refusal})"
        ))),
    }
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> Fault {
    // A value may be a secret, so it is told by its type.
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Fault::Invalid(format!("For 'properties/{name}', {given} is not {wanted}."))
}
