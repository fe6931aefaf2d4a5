//! relay.yaml as the rest of the program sees it: checked, complete, with every default filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::destination::Destination;
use crate::plan::Patterns;
use crate::queue::{Keep, Redelivery};
use crate::send::egress::Egress;

mod api;
mod changes;
mod check;
mod destinations;
mod document;
mod draw;
mod egress;
mod environment;
mod excerpt;
mod keys;
mod kinds;
mod layers;
mod load;
mod problem;
mod routes;
mod shapes;
mod sources;
mod top;
mod units;
mod yaml;

pub use changes::Changes;
pub use draw::draw;
pub use environment::{Environment, environment};
pub use load::{Loaded, Origin, Sets, load, load_admin, load_egress};
pub use problem::{Problem, Severity};
pub(crate) use units::{rate as rate_in_words, time as time_in_words};

/// The shipped relay.yaml, which runs as it is.
pub const SHIPPED: &str = include_str!("../../relay.yaml");

/// The secret in the shipped relay.yaml. Everybody knows it, so no listener that others can reach
/// takes it.
pub const SHIPPED_SECRET: &str = "shipped-secret-change-me";

/// The whole of relay.yaml.
#[derive(Clone, Debug)]
pub struct Config {
    /// For hooks.
    pub listen: SocketAddr,
    pub public_url: url::Url,
    pub admin: Admin,
    pub data: PathBuf,
    /// The user's folder of template sets; it need not exist.
    pub templates: PathBuf,
    pub shutdown_grace: Duration,
    pub history: Keep,
    pub dead: Keep,
    pub dedupe: Keep,
    pub limits: Limits,
    pub egress: Egress,
    /// The hook APIs on `listen`, if there are to be any.
    pub api: Option<Api>,
    pub sources: BTreeMap<Arc<str>, Source>,
    /// By name.
    pub destinations: BTreeMap<Arc<str>, Destination>,
    /// In the file's order; none at all means that everything goes everywhere.
    pub routes: Vec<Route>,
}

impl Config {
    /// The source of this name, or the first where none is named.
    ///
    /// # Errors
    /// In words, when there is none of this name.
    pub fn source(&self, name: Option<&str>) -> Result<(&Arc<str>, &Source), String> {
        let found = match name {
            Some(name) => self.sources.get_key_value(name),
            None => self.sources.first_key_value(),
        };
        let known = || self.sources.keys().map(AsRef::as_ref).collect::<Vec<_>>();
        let name = name.unwrap_or_default();
        found.ok_or_else(|| format!("no source {name:?}; there are {}", known().join(", ")))
    }
}

/// The listener for people and scripts.
#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    pub token: Option<SecretString>,
    /// Names besides loopback that `Host` may carry.
    pub hosts: Vec<String>,
}

/// What bounds memory, time and disk. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub body: usize,
    /// For all bodies under way together, in and out.
    pub bytes: usize,
    pub headers: usize,
    pub connections: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// Attempts under way at once, over all destinations.
    pub sends: usize,
    /// Events in the log.
    pub backlog: u64,
    pub free_disk: u64,
}

impl Limits {
    /// Of `bytes`, what is for bodies on their way in: three quarters.
    pub fn bytes_in(&self) -> usize {
        self.bytes - self.bytes_out()
    }

    /// Of `bytes`, what is for large bodies on their way out. A share of its own, so that
    /// receivers that take them slowly keep nothing from coming in.
    pub fn bytes_out(&self) -> usize {
        self.bytes / 4
    }
}

/// The APIs by which existing tools manage hooks.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Gogs' own, at `/api/v1`.
    pub gogs: bool,
    /// GitHub's, at `/api/v3`.
    pub github: bool,
    /// The source whose repositories they are about.
    pub source: Arc<str>,
    /// The set that hooks' messages are made with.
    pub templates: String,
    /// A token may stand in the query as well.
    pub query_tokens: bool,
    /// At least one.
    pub tokens: Vec<Token>,
}

/// Who may use the hook APIs, and for which repositories.
#[derive(Clone, Debug)]
pub struct Token {
    pub name: Arc<str>,
    pub token: SecretString,
    /// Those it administers; there are no others for who uses it.
    pub repos: Patterns,
}

impl Token {
    /// Whether both are the same secret.
    fn is(&self, other: &Token) -> bool {
        self.token.expose_secret() == other.token.expose_secret()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.is(other) && self.name == other.name && self.repos == other.repos
    }
}

/// One entry under `sources`: who may post to `/hooks/{name}`, and how repeats are treated.
#[derive(Clone, Debug)]
pub struct Source {
    /// Empty when `unsigned` is allowed.
    pub secrets: Vec<SecretString>,
    pub unsigned: bool,
    /// Accept `X-Hub-Signature` (sha1).
    pub sha1: bool,
    /// Accept the `secret` field in the body of Gogs up to 0.9.
    pub body_secret: bool,
    pub redelivery: Redelivery,
    /// `None` switches it off.
    pub same_body: Option<Duration>,
}

/// One entry under `routes`. An empty filter lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub name: Option<Arc<str>>,
    pub from: Vec<String>,
    pub events: Vec<String>,
    pub actions: Vec<String>,
    pub repos: Vec<String>,
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    pub senders: Vec<String>,
    pub to: Vec<Arc<str>>,
}
