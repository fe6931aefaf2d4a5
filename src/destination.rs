//! A destination: where messages go, in what shape, and how patiently.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use xxhash_rust::xxh3::Xxh3;

mod websub;

pub use websub::{Method, WebSub};

/// One entry under `destinations` in relay.yaml, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// `[a-z0-9][a-z0-9_-]{0,63}` without `__`.
    pub name: Arc<str>,
    /// The name of a former destination whose lane this one takes over.
    pub was: Option<Arc<str>>,
    pub kind: Kind,
    pub reach: Reach,
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
    /// A fingerprint of what the service gets to see of the settings: address, secret, channel
    /// and the like. A lane that was held because the service refused it is tried again when this
    /// changes. Stored, so the same in every version and on every machine.
    pub fn settings(&self) -> u64 {
        let mut fields: Vec<Option<&str>> = vec![Some(self.kind.name())];
        fields.push(self.kind.url().map(SecretUrl::expose_text));
        match &self.kind {
            Kind::Slack(slack) => fields.extend([
                slack.channel.as_deref(),
                slack.username.as_deref(),
                slack.icon_url.as_deref(),
                slack.color.as_deref(),
            ]),
            Kind::Discord(discord) => fields.extend([
                discord.username.as_deref(),
                discord.avatar_url.as_deref(),
                discord.color.as_deref(),
                discord.thread_id.as_deref(),
            ]),
            Kind::DingTalk(dingtalk) => fields.push(exposed(dingtalk.secret.as_ref())),
            Kind::Gogs(gogs) => fields.extend([
                exposed(gogs.secret.as_ref()),
                Some(gogs.content_type.name()),
            ]),
            Kind::GitHub(github) => fields.extend([
                exposed(github.secret.as_ref()),
                Some(github.content_type.name()),
                github.insecure_ssl.then_some("insecure"),
            ]),
            Kind::WebSub(websub) => {
                fields.extend([exposed(websub.secret.as_ref()), Some(websub.topic.as_str())])
            }
            Kind::Console => {}
        }
        fingerprint(&fields)
    }
}

fn exposed(secret: Option<&SecretString>) -> Option<&str> {
    secret.map(ExposeSecret::expose_secret)
}

/// Each field goes in with its length, so that no two lists look alike.
fn fingerprint(fields: &[Option<&str>]) -> u64 {
    let mut hash = Xxh3::new();
    for field in fields {
        let length = field.map_or(u64::MAX, |text| text.len() as u64);
        hash.update(&length.to_le_bytes());
        hash.update(field.unwrap_or_default().as_bytes());
    }
    hash.digest()
}

/// How far a destination's URL may lead, by who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A person, in relay.yaml: anywhere but to a cloud's metadata addresses.
    Configured,
    /// Somebody, over an API: to public addresses, and to what `egress.allow` names.
    Stored,
}

/// Whose certificate will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// One for the host, from a root that is trusted.
    Verified,
    /// Any at all.
    Anyone,
}

/// What stands behind a destination.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Slack(Slack),
    Discord(Discord),
    DingTalk(DingTalk),
    Gogs(Gogs),
    /// Of hooks alone: relay.yaml has no such kind.
    GitHub(GitHub),
    /// Of hooks alone.
    WebSub(WebSub),
    /// Prints the message to standard output.
    Console,
}

impl Kind {
    /// As relay.yaml and the templates' folders name it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Slack(_) => "slack",
            Kind::Discord(_) => "discord",
            Kind::DingTalk(_) => "dingtalk",
            Kind::Gogs(_) => "gogs",
            Kind::GitHub(_) => "github",
            Kind::WebSub(_) => "websub",
            Kind::Console => "console",
        }
    }

    /// Where requests go; the console has no address.
    pub fn url(&self) -> Option<&SecretUrl> {
        match self {
            Kind::Slack(Slack { url, .. })
            | Kind::Discord(Discord { url, .. })
            | Kind::DingTalk(DingTalk { url, .. })
            | Kind::Gogs(Gogs { url, .. })
            | Kind::GitHub(GitHub { url, .. })
            | Kind::WebSub(WebSub { url, .. }) => Some(url),
            Kind::Console => None,
        }
    }

    /// Whether the payload goes out as it came, so that there is nothing to render.
    pub fn takes_payloads(&self) -> bool {
        matches!(self, Kind::Gogs(_) | Kind::GitHub(_) | Kind::WebSub(_))
    }

    /// Whether a server's certificate must be in order.
    pub fn trust(&self) -> Trust {
        match self {
            Kind::GitHub(GitHub {
                insecure_ssl: true, ..
            }) => Trust::Anyone,
            _ => Trust::Verified,
        }
    }
}

/// A Slack incoming webhook. All but `url` work with legacy hooks only.
#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    pub url: SecretUrl,
    pub channel: Option<String>,
    pub username: Option<String>,
    pub icon_url: Option<String>,
    /// `good`, `warning`, `danger` or `#rrggbb`, as it stands in relay.yaml.
    pub color: Option<String>,
}

/// A Discord webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Discord {
    pub url: SecretUrl,
    pub username: Option<String>,
    pub avatar_url: Option<String>,
    /// As it stands in relay.yaml: `#rrggbb` or `#rgb`, `good`, `warning`, `danger`.
    pub color: Option<String>,
    pub thread_id: Option<String>,
}

/// A custom robot of a DingTalk group.
#[derive(Clone, Debug)]
pub struct DingTalk {
    pub url: SecretUrl,
    /// Signs each request, where the robot's security settings ask for it.
    pub secret: Option<SecretString>,
}

impl PartialEq for DingTalk {
    fn eq(&self, other: &DingTalk) -> bool {
        let DingTalk { url, secret } = self;
        *url == other.url && exposed(secret.as_ref()) == exposed(other.secret.as_ref())
    }
}

/// A receiver of Gogs' own format.
#[derive(Clone, Debug)]
pub struct Gogs {
    pub url: SecretUrl,
    pub secret: Option<SecretString>,
    pub content_type: ContentType,
}

impl PartialEq for Gogs {
    fn eq(&self, other: &Gogs) -> bool {
        let Gogs {
            url,
            secret,
            content_type,
        } = self;
        *url == other.url
            && exposed(secret.as_ref()) == exposed(other.secret.as_ref())
            && *content_type == other.content_type
    }
}

/// A receiver of GitHub's webhooks.
#[derive(Clone, Debug)]
pub struct GitHub {
    pub url: SecretUrl,
    pub secret: Option<SecretString>,
    pub content_type: ContentType,
    /// Its certificate is not verified.
    pub insecure_ssl: bool,
    /// The id of the hook, which each request tells.
    pub hook: u64,
    /// `owner/name`, for the topic that each request tells.
    pub repository: String,
}

impl PartialEq for GitHub {
    fn eq(&self, other: &GitHub) -> bool {
        let GitHub {
            url,
            secret,
            content_type,
            insecure_ssl,
            hook,
            repository,
        } = self;
        *url == other.url
            && exposed(secret.as_ref()) == exposed(other.secret.as_ref())
            && *content_type == other.content_type
            && *insecure_ssl == other.insecure_ssl
            && *hook == other.hook
            && *repository == other.repository
    }
}

/// How the JSON is wrapped, in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`: the body is the JSON text.
    Json,
    /// `application/x-www-form-urlencoded`: one field `payload` holds the JSON text.
    Form,
}

impl ContentType {
    /// As relay.yaml names it.
    pub fn name(self) -> &'static str {
        match self {
            ContentType::Json => "json",
            ContentType::Form => "form",
        }
    }
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

impl Default for RetryPolicy {
    /// As relay.yaml has it where it says nothing.
    fn default() -> RetryPolicy {
        RetryPolicy {
            first: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(600),
            jitter: 0.2,
            give_up_after: Duration::from_secs(259_200),
        }
    }
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

impl PartialEq for SecretUrl {
    fn eq(&self, other: &SecretUrl) -> bool {
        self.expose_text() == other.expose_text()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn discord(url: &str, username: Option<&str>, avatar_url: Option<&str>) -> Destination {
        Destination {
            name: "ops".into(),
            was: None,
            kind: Kind::Discord(Discord {
                url: SecretUrl::parse(url).unwrap(),
                username: username.map(str::to_owned),
                avatar_url: avatar_url.map(str::to_owned),
                color: None,
                thread_id: None,
            }),
            reach: Reach::Configured,
            templates: "default".to_owned(),
            order: Order::Strict,
            pace: None,
            timeout: Duration::from_secs(15),
            retry: RetryPolicy::default(),
        }
    }

    const URL: &str = "https://discord.com/api/webhooks/1/token";

    #[test]
    fn settings_change_with_what_the_service_sees_and_with_nothing_else() {
        let plain = discord(URL, None, None).settings();
        let url = discord("https://discord.com/api/webhooks/1/other", None, None);
        assert_ne!(url.settings(), plain);
        let name = discord(URL, Some("a"), None).settings();
        assert_ne!(name, plain);
        assert_ne!(name, discord(URL, None, Some("a")).settings());
        assert_ne!(name, discord(URL, Some(""), Some("a")).settings());

        let mut patient = discord(URL, None, None);
        patient.name = "renamed".into();
        patient.templates = "classic".to_owned();
        patient.timeout = Duration::from_secs(60);
        assert_eq!(patient.settings(), plain);
    }

    #[test]
    fn settings_are_the_same_in_every_version() {
        assert_eq!(
            discord(URL, Some("Gogs"), None).settings(),
            15_589_037_004_050_474_534
        );
    }

    #[test]
    fn neither_a_url_nor_its_token_is_ever_printed() {
        let printed = format!("{:?}", discord(URL, None, None));
        assert!(printed.contains("https://discord.com/…/***"), "{printed}");
        assert!(!printed.contains("token"), "{printed}");
    }
}
