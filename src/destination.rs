//! A destination: where messages go, in what shape, and how patiently.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// One entry under `destinations` in relay.yaml, checked.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `[a-z0-9][a-z0-9_-]{0,63}` without `__`.
    pub name: Arc<str>,
    /// The name of a former destination whose lane this one takes over.
    pub was: Option<Arc<str>>,
    pub kind: Kind,
    /// The set of templates: `default`, `classic` or a set of the user's.
    pub templates: String,
    pub order: Order,
    /// `None`: as the kind has it.
    pub pace: Option<Pace>,
    /// For one attempt, from dialling to the end of the answer.
    pub timeout: Duration,
    pub retry: RetryPolicy,
}

impl Destination {
    /// A number that changes when any setting does, the secret ones too.
    pub fn fingerprint(&self) -> u64 {
        let (url, secret) = match &self.kind {
            Kind::Gogs(gogs) => (Some(&gogs.url), gogs.secret.as_ref()),
            kind => (kind.url(), None),
        };
        let url = url.map_or("", SecretUrl::expose_text);
        let secret = secret.map_or("", |secret| secret.expose_secret());
        // `Debug` shows every setting but these two.
        xxhash_rust::xxh3::xxh3_64(format!("{self:?}\0{url}\0{secret}").as_bytes())
    }
}

/// What stands behind a destination.
#[derive(Clone, Debug)]
pub enum Kind {
    Slack(Slack),
    Discord(Discord),
    Gogs(Gogs),
    /// Prints the message to standard output.
    Console,
}

impl Kind {
    /// As relay.yaml and the templates' folders name it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Slack(_) => "slack",
            Kind::Discord(_) => "discord",
            Kind::Gogs(_) => "gogs",
            Kind::Console => "console",
        }
    }

    /// Where requests go; the console has no address.
    pub fn url(&self) -> Option<&SecretUrl> {
        match self {
            Kind::Slack(Slack { url, .. })
            | Kind::Discord(Discord { url, .. })
            | Kind::Gogs(Gogs { url, .. }) => Some(url),
            Kind::Console => None,
        }
    }
}

/// A Slack incoming webhook. All but `url` work with legacy hooks only.
#[derive(Clone, Debug)]
pub struct Slack {
    pub url: SecretUrl,
    pub channel: Option<String>,
    pub username: Option<String>,
    pub icon_url: Option<String>,
    /// `good`, `warning`, `danger` or `#rrggbb`, as it stands in relay.yaml.
    pub color: Option<String>,
}

/// A Discord webhook.
#[derive(Clone, Debug)]
pub struct Discord {
    pub url: SecretUrl,
    pub username: Option<String>,
    pub avatar_url: Option<String>,
    /// As it stands in relay.yaml: `#rrggbb` or `#rgb`, `good`, `warning`, `danger`.
    pub color: Option<String>,
    pub thread_id: Option<String>,
}

/// A receiver of Gogs' own format.
#[derive(Clone, Debug)]
pub struct Gogs {
    pub url: SecretUrl,
    pub secret: Option<SecretString>,
    pub content_type: ContentType,
}

/// How the JSON is wrapped, in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`: the body is the JSON text.
    Json,
    /// `application/x-www-form-urlencoded`: one field `payload` holds the JSON text.
    Form,
}

/// Whether a lane keeps the order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In order, one at a time; the head's retry makes the lane wait.
    Strict,
    /// Up to `concurrency` at a time; what fails is parked and tried again on its own.
    Loose { concurrency: usize },
}

/// How fast a URL may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    Unlimited,
    /// Every window holds at once: at most `count` in any `per`.
    Windows(Vec<Window>),
}

/// At most `count` requests in any `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub count: u32,
    pub per: Duration,
}

/// When a failed delivery is tried again, and when no more.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The wait after the first failure.
    pub first: Duration,
    /// Each further wait is this many times the last.
    pub factor: f64,
    /// No wait is longer (before jitter).
    pub max: Duration,
    /// Each wait is lengthened or shortened by up to this share, 0 to 1.
    pub jitter: f64,
    pub give_up_after: Duration,
}

/// A URL that is a password. Its `Display` and `Debug` show the host alone.
#[derive(Clone)]
pub struct SecretUrl {
    full: SecretString,
    parsed: Arc<url::Url>,
}

impl SecretUrl {
    /// # Errors
    /// What the URL parser says; it does not repeat the URL.
    pub fn parse(text: &str) -> Result<SecretUrl, url::ParseError> {
        let parsed = Arc::new(url::Url::parse(text)?);
        Ok(SecretUrl {
            full: SecretString::from(text),
            parsed,
        })
    }

    /// The URL itself, for dialling alone.
    pub fn expose(&self) -> &url::Url {
        &self.parsed
    }

    /// As written in relay.yaml, for dialling and for the fingerprint of settings alone.
    pub fn expose_text(&self) -> &str {
        self.full.expose_secret()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.parsed.scheme(),
            self.parsed.host_str().unwrap_or("")
        )?;
        if let Some(port) = self.parsed.port() {
            write!(f, ":{port}")?;
        }
        f.write_str("/…/***")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
