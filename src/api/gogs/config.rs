//! Checks what is wished for a hook, in Gogs' order and words, and applies it. Pure.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::Fault;
use super::binding::{Unbound, Wish};
use super::shapes::EVENTS;
use crate::destination::{ContentType, Reach, SecretUrl};
use crate::hook::{Hook, HookConfig, HookKind, Repository};
use crate::hooks::Draft;
use crate::send::egress::Egress;

/// The kinds that Gogs can make.
const KINDS: [HookKind; 4] = [
    HookKind::Gogs,
    HookKind::Slack,
    HookKind::Discord,
    HookKind::DingTalk,
];

/// The hook to be made.
///
/// # Errors
/// The first of what Gogs would refuse, and then a URL that can never be delivered to.
pub(super) fn draft(repository: Repository, wish: Wish, egress: &Egress) -> Result<Draft, Fault> {
    let (kind, config) = required(wish.kind, wish.config)?;
    let kind = KINDS.into_iter().find(|known| known.name() == kind);
    let kind = kind.ok_or_else(|| unprocessable("Invalid hook type."))?;
    let given = |key: &str| config.get(key).map(String::as_str);
    let required = |key| given(key).ok_or_else(|| missing(key));
    let (url, content_type) = (required("url")?, required("content_type")?);
    let content_type = read_content_type(content_type)?;
    if kind == HookKind::Slack {
        required("channel")?;
    }
    let events = wish.events.unwrap_or_default();
    let setting = |key| given(key).map(str::to_owned);
    Ok(Draft {
        repository,
        kind,
        config: HookConfig {
            url: read_url(url, egress)?,
            content_type,
            insecure_ssl: false,
            secret: given("secret").and_then(secret),
            channel: setting("channel"),
            username: setting("username"),
            icon_url: setting("icon_url"),
            color: setting("color"),
            subscription: None,
        },
        events: known_events(&events),
        active: wish.active.unwrap_or(false),
    })
}

/// What an edit changes. What it does not name stays.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    config: BTreeMap<String, String>,
    url: Option<SecretUrl>,
    content_type: Option<ContentType>,
    events: Option<Vec<String>>,
    active: Option<bool>,
}

impl Edit {
    /// # Errors
    /// The first of what Gogs would refuse, and then a URL that can never be delivered to.
    pub(super) fn new(wish: Wish, egress: &Egress) -> Result<Edit, Fault> {
        let config = wish.config.unwrap_or_default();
        let content_type = config.get("content_type");
        let content_type = content_type
            .map(|text| read_content_type(text))
            .transpose()?;
        let url = config.get("url").map(|text| read_url(text, egress));
        Ok(Edit {
            url: url.transpose()?,
            content_type,
            events: wish.events.as_deref().map(known_events),
            active: wish.active,
            config,
        })
    }

    pub(super) fn apply(self, hook: &Hook) -> Hook {
        let mut hook = hook.clone();
        let config = &mut hook.config;
        if let Some(url) = self.url {
            config.url = url;
        }
        if let Some(content_type) = self.content_type {
            config.content_type = content_type;
        }
        if let Some(text) = self.config.get("secret") {
            config.secret = secret(text);
        }
        for (key, setting) in [
            ("channel", &mut config.channel),
            ("username", &mut config.username),
            ("icon_url", &mut config.icon_url),
            ("color", &mut config.color),
        ] {
            if let Some(value) = self.config.get(key) {
                *setting = Some(value.clone());
            }
        }
        hook.events = self.events.unwrap_or(hook.events);
        hook.active = self.active.unwrap_or(hook.active);
        hook
    }
}

/// Both are there, and the kind is not empty.
fn required(
    kind: Option<String>,
    config: Option<BTreeMap<String, String>>,
) -> Result<(String, BTreeMap<String, String>), Fault> {
    match (kind.filter(|kind| !kind.is_empty()), config) {
        (Some(kind), Some(config)) => Ok((kind, config)),
        (None, Some(_)) => Err(Fault::Unbound(Unbound::required(&["Type"]))),
        (Some(_), None) => Err(Fault::Unbound(Unbound::required(&["Config"]))),
        (None, None) => Err(Fault::Unbound(Unbound::required(&["Type", "Config"]))),
    }
}

/// Those that Gogs has, in its order and whatever their case; none given means pushes.
fn known_events(given: &[String]) -> Vec<String> {
    let wanted: Vec<&str> = match given {
        [] => vec!["push"],
        given => given.iter().map(String::as_str).collect(),
    };
    let is_wanted = |event: &&str| wanted.iter().any(|it| it.eq_ignore_ascii_case(event));
    let known = EVENTS.into_iter().filter(is_wanted);
    known.map(str::to_owned).collect()
}

fn read_content_type(text: &str) -> Result<ContentType, Fault> {
    match text {
        "json" => Ok(ContentType::Json),
        "form" => Ok(ContentType::Form),
        _ => Err(unprocessable("Invalid content type.")),
    }
}

fn read_url(text: &str, egress: &Egress) -> Result<SecretUrl, Fault> {
    let refused = |why: &dyn std::fmt::Display| {
        Fault::Unprocessable(format!("Invalid config option: url ({why})."))
    };
    let url = SecretUrl::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            refused(&"it does not start with http:// or https://")
        }
        error => refused(&error),
    })?;
    egress
        .judge_url(Reach::Stored, url.expose())
        .map_err(|refusal| refused(&refusal))?;
    Ok(url)
}

/// An empty secret is none.
fn secret(text: &str) -> Option<SecretString> {
    (!text.is_empty()).then(|| SecretString::from(text))
}

fn missing(key: &str) -> Fault {
    Fault::Unprocessable(format!("Missing config option: {key}"))
}

fn unprocessable(words: &str) -> Fault {
    Fault::Unprocessable(words.to_owned())
}
