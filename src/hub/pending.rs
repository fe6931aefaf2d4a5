//! What a reader asked for and has not yet confirmed: stored as a note, so that an answer of 202
//! holds whatever happens.

use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::destination::{ContentType, SecretUrl};
use crate::hook::{Form, Hook, HookConfig, HookKind, Repository, Subscription};
use crate::hooks::Draft;
use crate::queue::{Note, Notes};

/// What names of notes begin with.
pub(super) const EACH: &str = "hub-pending/";

/// A reader is to be asked whether this is meant, or told that it is over.
#[derive(Clone, Debug)]
pub struct Pending {
    pub mode: Mode,
    /// As the reader spelled it, as the callback is.
    pub topic: String,
    pub callback: SecretUrl,
    pub repository: Repository,
    pub event: String,
    pub form: Form,
    pub secret: Option<SecretString>,
    pub lease: Duration,
    /// Of `PubSubHubbub` 0.3, told back.
    pub verify_token: Option<String>,
    /// It came without credentials.
    pub open: bool,
    pub since: Timestamp,
}

/// What a reader is asked or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Subscribe,
    Unsubscribe,
    /// The subscription has been ended.
    Denied,
}

/// Which subscription it is about: the topic and the callback, as they are spelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Mode {
    /// As `hub.mode` has it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Subscribe => "subscribe",
            Mode::Unsubscribe => "unsubscribe",
            Mode::Denied => "denied",
        }
    }
}

impl Pending {
    pub(super) fn key(&self) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.topic.len().to_le_bytes());
        hash.update(&self.topic);
        hash.update(self.callback.expose_text());
        Key(hash.finalize().into())
    }

    /// What limits the requests that it causes: the host and port.
    pub(super) fn host(&self) -> String {
        host(&self.callback)
    }

    /// Whether the hook is the subscription that it is about.
    pub(super) fn is_about(&self, hook: &Hook) -> bool {
        let subscription = hook.config.subscription.as_ref();
        subscription.is_some_and(|it| it.topic == self.topic)
            && hook.config.url.expose_text() == self.callback.expose_text()
    }

    /// The end of a subscription, to be told to its reader.
    pub(super) fn denied(hook: &Hook, now: Timestamp) -> Option<Pending> {
        let subscription = hook.config.subscription.as_ref()?;
        Some(Pending {
            mode: Mode::Denied,
            topic: subscription.topic.clone(),
            callback: hook.config.url.clone(),
            repository: hook.repository.clone(),
            event: hook.events.first().cloned().unwrap_or_default(),
            form: subscription.form,
            secret: None,
            lease: Duration::ZERO,
            verify_token: None,
            open: subscription.open,
            since: now,
        })
    }

    /// The hook that it becomes once it is confirmed by the answer to a question of `asked`.
    pub(super) fn draft(&self, asked: Timestamp) -> Draft {
        Draft {
            repository: self.repository.clone(),
            kind: HookKind::WebSub,
            config: HookConfig {
                url: self.callback.clone(),
                content_type: ContentType::Json,
                secret: self.secret.clone(),
                insecure_ssl: false,
                channel: None,
                username: None,
                icon_url: None,
                color: None,
                subscription: Some(Subscription {
                    topic: self.topic.clone(),
                    form: self.form,
                    until: asked.plus(self.lease),
                    open: self.open,
                }),
            },
            events: vec![self.event.clone()],
            active: true,
        }
    }

    /// What makes it durable, and that its reader was asked so often.
    pub(super) fn note(&self, asked: usize) -> Note {
        let stored = Stored {
            version: VERSION,
            mode: self.mode,
            topic: self.topic.clone(),
            callback: self.callback.expose_text().to_owned(),
            source: self.repository.source.to_string(),
            repository: self.repository.name.clone(),
            event: self.event.clone(),
            form: self.form,
            secret: (self.secret.as_ref()).map(|it| it.expose_secret().to_owned()),
            lease: self.lease.as_secs(),
            verify_token: self.verify_token.clone(),
            open: self.open,
            since: self.since.0,
            asked,
        };
        Note {
            name: name(self.key()),
            value: serde_json::to_vec(&stored).ok(),
        }
    }

    fn decode(bytes: &[u8]) -> anyhow::Result<(Pending, usize)> {
        // serde_json's own words may repeat what is secret.
        let stored: Stored = serde_json::from_slice(bytes).ok().context("unreadable")?;
        if stored.version > VERSION {
            bail!("written by a newer version");
        }
        let pending = Pending {
            mode: stored.mode,
            topic: stored.topic,
            callback: SecretUrl::parse(&stored.callback).context("its callback is no URL")?,
            repository: Repository {
                source: stored.source.into(),
                name: stored.repository,
            },
            event: stored.event,
            form: stored.form,
            secret: stored.secret.map(SecretString::from),
            lease: Duration::from_secs(stored.lease),
            verify_token: stored.verify_token,
            open: stored.open,
            since: Timestamp(stored.since),
        };
        Ok((pending, stored.asked))
    }
}

/// What is limited of a callback: its host and port.
pub(super) fn host(callback: &SecretUrl) -> String {
    let url = callback.expose();
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}")
}

/// Those that were stored, and how often the reader of each was asked.
///
/// # Errors
/// In words, when one is not as this version stores it.
pub(super) fn read(notes: &Notes) -> anyhow::Result<Vec<(Pending, usize)>> {
    let each = notes.iter().map(|(_, value)| Pending::decode(value));
    each.map(|pending| pending.context("a stored request to the hub"))
        .collect()
}

/// What forgets one.
pub(super) fn forget(key: Key) -> Note {
    Note {
        name: name(key),
        value: None,
    }
}

fn name(Key(hash): Key) -> String {
    format!("{EACH}{}", hex::encode(hash))
}

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    mode: Mode,
    topic: String,
    callback: String,
    source: String,
    repository: String,
    event: String,
    form: Form,
    secret: Option<String>,
    /// In seconds.
    lease: u64,
    verify_token: Option<String>,
    open: bool,
    /// Milliseconds since 1970.
    since: i64,
    /// Questions, the one under way included. Earlier notes do not count them.
    #[serde(default)]
    asked: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending {
            mode: Mode::Subscribe,
            topic: "https://relay.test/orbit/lander/events/push".to_owned(),
            callback: SecretUrl::parse("https://reader.test/in?key=hidden").unwrap(),
            repository: Repository {
                source: "gogs".into(),
                name: "orbit/lander".to_owned(),
            },
            event: "push".to_owned(),
            form: Form::Text,
            secret: Some("s3cret".to_owned().into()),
            lease: Duration::from_secs(600),
            verify_token: Some("t0ken".to_owned()),
            open: true,
            since: Timestamp(7),
        }
    }

    #[test]
    fn a_stored_one_comes_back_as_it_was() {
        let Note { name, value } = pending().note(2);
        let value = value.unwrap();
        let read = read(&[(name.clone(), value.clone())]).unwrap();
        let [(back, asked)] = read.as_slice() else {
            panic!()
        };
        let again = back.note(*asked);
        assert_eq!((again.name, again.value), (name, Some(value)));
        assert_eq!(
            back.draft(Timestamp(0)).config,
            pending().draft(Timestamp(0)).config
        );
    }

    #[test]
    fn notes_of_this_version_stay_readable() {
        let text = r#"{"version":1,"mode":"unsubscribe","topic":"http://r.test/a/b/events/push",
            "callback":"http://c.test/","source":"gogs","repository":"a/b","event":"push",
            "form":"json","secret":null,"lease":60,"verify_token":null,"open":false,"since":1}"#;
        let read = read(&[("hub-pending/00".to_owned(), text.into())]).unwrap();
        let (pending, asked) = &read[0];
        assert_eq!((pending.mode, pending.open), (Mode::Unsubscribe, false));
        assert_eq!(*asked, 0);
    }

    #[test]
    fn neither_secret_nor_callback_is_ever_printed() {
        let printed = format!("{:?}", pending());
        assert!(
            !printed.contains("s3cret") && !printed.contains("hidden"),
            "{printed}"
        );
    }

    #[test]
    fn topic_and_callback_together_tell_subscriptions_apart() {
        let mut other = pending();
        other.secret = None;
        assert!(other.key() == pending().key());
        other.topic.push('x');
        assert!(other.key() != pending().key());
    }
}
