//! A hook: a receiver of one repository's events that somebody added over an API. It is a route
//! and a destination at once, with a lane of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::destination::{
    ContentType, Destination, DingTalk, Discord, GitHub, Gogs, Kind, Order, Reach, RetryPolicy,
    SecretUrl, Slack, WebSub,
};

/// What stands before a hook's id in the name of its lane. No destination of relay.yaml can have
/// such a name.
const LANE: &str = "hook:";

/// As GitHub has it for a self-hosted server; Gogs itself waits 15 s.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One stored hook.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Below 2^53, so that JavaScript reads it; never used twice.
    pub id: u64,
    pub repository: Repository,
    pub kind: HookKind,
    pub config: HookConfig,
    /// Names of events in the order in which they were given; `*` stands for all.
    pub events: Vec<String>,
    /// An inactive hook gets nothing new, and what waits for it is held.
    pub active: bool,
    /// When it was made inactive because it had failed for so long. An active hook has none.
    pub gave_up: Option<Timestamp>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// Whose events a hook gets.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The source in relay.yaml that its events come through.
    pub source: Arc<str>,
    /// `owner/name`, as whoever made the hook spelled it. Names compare without case.
    pub name: String,
}

/// What a hook speaks, and through whose API it is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookKind {
    Gogs,
    GitHub,
    Slack,
    Discord,
    DingTalk,
    /// A subscription that its reader verified, and that ends with its lease.
    WebSub,
}

/// How a hook reaches its receiver. What a kind has no use for is kept as it was given.
#[derive(Clone, Debug)]
pub struct HookConfig {
    pub url: SecretUrl,
    pub content_type: ContentType,
    pub secret: Option<SecretString>,
    /// GitHub's: the receiver's certificate is not verified.
    pub insecure_ssl: bool,
    /// Slack's; the rest is Discord's too.
    pub channel: Option<String>,
    pub username: Option<String>,
    pub icon_url: Option<String>,
    pub color: Option<String>,
    /// WebSub's, and of every hook of that kind.
    pub subscription: Option<Subscription>,
}

/// What a subscription is besides a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The URL of the topic, as the reader spelled it.
    pub topic: String,
    /// What is sent of an event.
    pub form: Form,
    /// It ends then, unless it is renewed.
    pub until: Timestamp,
    /// It was made without credentials, so it ends when the repository is private.
    pub open: bool,
}

/// What the content of a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The payload.
    Json,
    /// One line that says what happened.
    Text,
}

impl Hook {
    /// The name of its lane: `hook:7`.
    pub fn lane(&self) -> Arc<str> {
        format!("{LANE}{}", self.id).into()
    }

    /// The id in a lane's name, if it is one of a hook.
    pub fn of_lane(name: &str) -> Option<u64> {
        name.strip_prefix(LANE)?.parse().ok()
    }

    /// Whether it gets events of this name that come `now`.
    pub fn wants(&self, event: &str, now: Timestamp) -> bool {
        let ends = self.config.subscription.as_ref().map(|it| it.until);
        self.active
            && ends.is_none_or(|until| now < until)
            && self.events.iter().any(|name| name == "*" || name == event)
    }

    /// Where its lane delivers to, with messages of this set of templates.
    pub fn destination(&self, templates: &str) -> Destination {
        Destination {
            name: self.lane(),
            was: None,
            kind: self.config.destination(self),
            reach: Reach::Stored,
            templates: templates.to_owned(),
            order: Order::Strict,
            pace: None,
            timeout: TIMEOUT,
            retry: RetryPolicy::default(),
        }
    }

    /// As it is stored, with its secrets: JSON with the number of its form.
    pub fn encode(&self) -> Vec<u8> {
        let config = &self.config;
        let stored = Stored {
            form: match self.config.subscription {
                Some(_) => FORM,
                // So that an older version can still read those that it knows.
                None => 1,
            },
            id: self.id,
            source: self.repository.source.to_string(),
            repository: self.repository.name.clone(),
            kind: self.kind,
            url: config.url.expose_text().to_owned(),
            form_encoded: config.content_type == ContentType::Form,
            secret: exposed(config.secret.as_ref()).map(str::to_owned),
            insecure_ssl: config.insecure_ssl,
            channel: config.channel.clone(),
            username: config.username.clone(),
            icon_url: config.icon_url.clone(),
            color: config.color.clone(),
            subscription: config.subscription.clone(),
            events: self.events.clone(),
            active: self.active,
            gave_up: self.gave_up.map(|time| time.0),
            created: self.created.0,
            updated: self.updated.0,
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// What [`encode`](Hook::encode) made.
    ///
    /// # Errors
    /// In words, without anything of the hook: it is damaged, or of a newer version.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Hook> {
        // serde_json's own words may repeat what is secret.
        let stored: Stored = serde_json::from_slice(bytes).ok().context("unreadable")?;
        if stored.form > FORM {
            bail!("written by a newer version");
        }
        let config = HookConfig {
            url: SecretUrl::parse(&stored.url).context("its URL is none")?,
            content_type: match stored.form_encoded {
                true => ContentType::Form,
                false => ContentType::Json,
            },
            secret: stored.secret.map(SecretString::from),
            insecure_ssl: stored.insecure_ssl,
            channel: stored.channel,
            username: stored.username,
            icon_url: stored.icon_url,
            color: stored.color,
            subscription: stored.subscription,
        };
        if (stored.kind == HookKind::WebSub) != config.subscription.is_some() {
            bail!("it is half a subscription");
        }
        Ok(Hook {
            id: stored.id,
            repository: Repository {
                source: stored.source.into(),
                name: stored.repository,
            },
            kind: stored.kind,
            config,
            events: stored.events,
            active: stored.active,
            gave_up: stored.gave_up.map(Timestamp),
            created: Timestamp(stored.created),
            updated: Timestamp(stored.updated),
        })
    }
}

/// Longer names are no repository's, in bytes.
const LONGEST_NAME: usize = 255;

impl Repository {
    /// The repository of these names, unless they cannot be any.
    pub fn named(source: &Arc<str>, owner: &str, name: &str) -> Option<Repository> {
        let is_name = |name: &str| {
            let odd = |c: char| c.is_control() || c == '/';
            !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(odd)
        };
        (is_name(owner) && is_name(name)).then(|| Repository {
            source: source.clone(),
            name: format!("{owner}/{name}"),
        })
    }

    /// What two spellings of one repository have in common.
    pub fn key(&self) -> (Arc<str>, String) {
        (self.source.clone(), self.name.to_lowercase())
    }
}

impl PartialEq for Repository {
    fn eq(&self, other: &Repository) -> bool {
        self.key() == other.key()
    }
}

impl HookKind {
    /// As Gogs' API, relay.yaml and the templates' folders name it.
    pub fn name(self) -> &'static str {
        match self {
            HookKind::Gogs => "gogs",
            HookKind::GitHub => "github",
            HookKind::Slack => "slack",
            HookKind::Discord => "discord",
            HookKind::DingTalk => "dingtalk",
            HookKind::WebSub => "websub",
        }
    }
}

impl HookConfig {
    fn destination(&self, hook: &Hook) -> Kind {
        let url = self.url.clone();
        // Gogs' API wants a channel of every Slack hook, and an empty one is none.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match hook.kind {
            HookKind::Gogs => Kind::Gogs(Gogs {
                url,
                secret: self.secret.clone(),
                content_type: self.content_type,
            }),
            HookKind::GitHub => Kind::GitHub(GitHub {
                url,
                secret: self.secret.clone(),
                content_type: self.content_type,
                insecure_ssl: self.insecure_ssl,
                hook: hook.id,
                repository: hook.repository.name.clone(),
            }),
            HookKind::Slack => Kind::Slack(Slack {
                url,
                channel: given(&self.channel),
                username: given(&self.username),
                icon_url: given(&self.icon_url),
                color: given(&self.color),
            }),
            HookKind::Discord => Kind::Discord(Discord {
                url,
                username: given(&self.username),
                avatar_url: given(&self.icon_url),
                color: given(&self.color),
                thread_id: None,
            }),
            HookKind::DingTalk => Kind::DingTalk(DingTalk {
                url,
                secret: self.secret.clone(),
            }),
            HookKind::WebSub => {
                let subscription = self.subscription.as_ref();
                Kind::WebSub(WebSub {
                    url,
                    secret: self.secret.clone(),
                    topic: subscription.map_or_else(String::new, |it| it.topic.clone()),
                    form: subscription.map_or(Form::Json, |it| it.form),
                })
            }
        }
    }
}

impl PartialEq for HookConfig {
    fn eq(&self, other: &HookConfig) -> bool {
        let HookConfig {
            url,
            content_type,
            secret,
            insecure_ssl,
            channel,
            username,
            icon_url,
            color,
            subscription,
        } = self;
        *url == other.url
            && *content_type == other.content_type
            && exposed(secret.as_ref()) == exposed(other.secret.as_ref())
            && *insecure_ssl == other.insecure_ssl
            && *channel == other.channel
            && *username == other.username
            && *icon_url == other.icon_url
            && *color == other.color
            && *subscription == other.subscription
    }
}

fn exposed(secret: Option<&SecretString>) -> Option<&str> {
    secret.map(ExposeSecret::expose_secret)
}

/// The newest form of a stored hook. A field that an older form has not is given a default.
const FORM: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Stored {
    form: u8,
    id: u64,
    source: String,
    repository: String,
    kind: HookKind,
    url: String,
    form_encoded: bool,
    secret: Option<String>,
    #[serde(default)]
    insecure_ssl: bool,
    channel: Option<String>,
    username: Option<String>,
    icon_url: Option<String>,
    color: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscription: Option<Subscription>,
    events: Vec<String>,
    active: bool,
    /// Milliseconds since 1970, as are all times here.
    gave_up: Option<i64>,
    created: i64,
    updated: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook() -> Hook {
        Hook {
            id: 7,
            repository: Repository {
                source: "gogs".into(),
                name: "Orbit/Lander".to_owned(),
            },
            kind: HookKind::Slack,
            config: HookConfig {
                url: SecretUrl::parse("https://hooks.slack.com/services/T/B/x").unwrap(),
                content_type: ContentType::Json,
                secret: Some(SecretString::from("s3cret")),
                insecure_ssl: true,
                channel: Some("#dev".to_owned()),
                username: None,
                icon_url: None,
                color: None,
                subscription: None,
            },
            events: vec!["push".to_owned()],
            active: true,
            gave_up: None,
            created: Timestamp(1_780_000_000_000),
            updated: Timestamp(1_780_000_000_001),
        }
    }

    #[test]
    fn a_stored_hook_comes_back_as_it_was() {
        let hook = hook();
        assert_eq!(Hook::decode(&hook.encode()).unwrap(), hook);
    }

    #[test]
    fn a_hook_stored_before_certificates_could_be_left_alone_has_them_verified() {
        let text = String::from_utf8(hook().encode()).unwrap();
        let older = text.replace("\"insecure_ssl\":true,", "");
        assert_ne!(older, text);
        let read = Hook::decode(older.as_bytes()).unwrap();
        assert!(!read.config.insecure_ssl);
    }

    #[test]
    fn a_subscription_is_stored_with_its_topic_and_its_end() {
        let mut hook = hook();
        hook.kind = HookKind::WebSub;
        hook.config.subscription = Some(Subscription {
            topic: "https://relay.test/orbit/lander/events/push".to_owned(),
            form: Form::Json,
            until: Timestamp(1_780_000_060_000),
            open: true,
        });
        assert_eq!(Hook::decode(&hook.encode()).unwrap(), hook);
        let end = |later: i64| Timestamp(1_780_000_060_000 + later);
        assert!(hook.wants("push", end(-1)) && !hook.wants("push", end(0)));
    }

    #[test]
    fn what_cannot_be_read_says_nothing_secret() {
        let text = String::from_utf8(hook().encode()).unwrap();
        for damaged in [
            text.replace("\"active\":true", "\"active\":\"s3cret\""),
            text.replace("\"form\":1", "\"form\":3"),
            text.replace("\"kind\":\"slack\"", "\"kind\":\"websub\""),
            text.replace("https:", ""),
        ] {
            let error = format!("{:#}", Hook::decode(damaged.as_bytes()).unwrap_err());
            assert!(
                !error.contains("s3cret") && !error.contains("slack"),
                "{error}"
            );
        }
    }

    #[test]
    fn neither_its_url_nor_its_secret_is_ever_printed() {
        let printed = format!("{:?}", hook());
        assert!(
            !printed.contains("s3cret") && !printed.contains("/T/B/x"),
            "{printed}"
        );
    }

    #[test]
    fn repositories_compare_without_case() {
        let mut other = hook().repository;
        other.name = "orbit/lander".to_owned();
        assert_eq!(other, hook().repository);
    }
}
