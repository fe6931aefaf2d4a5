//! What differs between the configuration that a relay runs with and a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::problem::{Problem, Severity};
use super::{Admin, Config, Limits, SHIPPED_SECRET, Source};
use crate::queue::Keep;

/// Keys whose values differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// That can be put in force at once: `routes`, `destinations.team-slack`.
    pub changed: Vec<String>,
    /// That count from the next start on: `limits.sends`.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// This configuration as a relay can take it over that runs with `running`: what cannot be
    /// reloaded stays as it is there.
    pub fn taken_over_by(self, running: &Config) -> (Config, Changes) {
        let mut changed = Vec::new();
        differing("sources", &running.sources, &self.sources, &mut changed);
        let (before, after) = (&running.destinations, &self.destinations);
        differing("destinations", before, after, &mut changed);
        for (key, is_other) in [
            ("routes", running.routes != self.routes),
            ("history", running.history != self.history),
            ("dead", running.dead != self.dead),
            ("egress", running.egress != self.egress),
            ("templates", running.templates != self.templates),
            ("api", running.api != self.api),
            ("hub", running.hub != self.hub),
        ] {
            changed.extend(is_other.then(|| key.to_owned()));
        }
        let changes = Changes {
            changed,
            needs_restart: self.fixed_that_differ(running),
        };
        let next = Config {
            sources: self.sources,
            destinations: self.destinations,
            routes: self.routes,
            history: self.history,
            dead: self.dead,
            egress: self.egress,
            templates: self.templates,
            api: self.api,
            hub: self.hub,
            ..running.clone()
        };
        (next, changes)
    }

    /// A mistake that only a running relay makes one. The check knew the new `listen` alone; the
    /// running one is what others reach.
    pub fn exposed_by(&self, running: &Config) -> Option<Problem> {
        if running.listen.ip().is_loopback() {
            return None;
        }
        let shipped = |secret: &SecretString| secret.expose_secret() == SHIPPED_SECRET;
        let mut sources = self.sources.iter();
        let (name, _) = sources.find(|(_, source)| source.secrets.iter().any(shipped))?;
        Some(Problem {
            severity: Severity::Error,
            file: "relay.yaml".to_owned(),
            line: None,
            column: None,
            excerpt: None,
            message: format!(
                "the source \"{name}\" has the shipped secret, and others can reach the running relay"
            ),
            hint: Some("choose a secret of your own; a change of `listen` needs a restart".into()),
        })
    }

    /// Keys that cannot be reloaded and differ. Every key is named here or in
    /// [`taken_over_by`](Config::taken_over_by): the compiler finds one that is forgotten.
    fn fixed_that_differ(&self, running: &Config) -> Vec<String> {
        let Config {
            listen,
            public_url,
            admin,
            data,
            templates: _,
            shutdown_grace,
            history: _,
            dead: _,
            dedupe,
            limits,
            egress: _,
            api: _,
            hub: _,
            sources: _,
            destinations: _,
            routes: _,
        } = self;
        let mut keys = vec![
            ("listen", *listen != running.listen),
            ("public_url", *public_url != running.public_url),
            ("data", *data != running.data),
            ("shutdown_grace", *shutdown_grace != running.shutdown_grace),
        ];
        keys.extend(admin.differing(&running.admin));
        let Keep { keep, at_most } = *dedupe;
        keys.push(("dedupe.keep", keep != running.dedupe.keep));
        keys.push(("dedupe.at_most", at_most != running.dedupe.at_most));
        keys.extend(limits.differing(&running.limits));
        let keys = keys.into_iter().filter(|(_, is_other)| *is_other);
        keys.map(|(key, _)| key.to_owned()).collect()
    }
}

impl Admin {
    fn differing(&self, running: &Admin) -> [(&'static str, bool); 3] {
        let Admin {
            listen,
            token,
            hosts,
        } = self;
        [
            ("admin.listen", *listen != running.listen),
            ("admin.token", exposed(token) != exposed(&running.token)),
            ("admin.hosts", *hosts != running.hosts),
        ]
    }
}

impl Limits {
    fn differing(&self, running: &Limits) -> [(&'static str, bool); 9] {
        let Limits {
            body,
            bytes,
            headers,
            connections,
            header_timeout,
            body_timeout,
            sends,
            backlog,
            free_disk,
        } = *self;
        [
            ("limits.body", body != running.body),
            ("limits.bytes", bytes != running.bytes),
            ("limits.headers", headers != running.headers),
            ("limits.connections", connections != running.connections),
            (
                "limits.header_timeout",
                header_timeout != running.header_timeout,
            ),
            ("limits.body_timeout", body_timeout != running.body_timeout),
            ("limits.sends", sends != running.sends),
            ("limits.backlog", backlog != running.backlog),
            ("limits.free_disk", free_disk != running.free_disk),
        ]
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Source) -> bool {
        let Source {
            secrets,
            unsigned,
            sha1,
            body_secret,
            redelivery,
            same_body,
        } = self;
        let (mine, theirs) = (secrets.iter(), other.secrets.iter());
        mine.map(ExposeSecret::expose_secret)
            .eq(theirs.map(ExposeSecret::expose_secret))
            && *unsigned == other.unsigned
            && *sha1 == other.sha1
            && *body_secret == other.body_secret
            && *redelivery == other.redelivery
            && *same_body == other.same_body
    }
}

fn exposed(secret: &Option<SecretString>) -> Option<&str> {
    secret.as_ref().map(ExposeSecret::expose_secret)
}

/// The names of entries that are in one of both alone, or not the same, below `section`.
fn differing<T: PartialEq>(
    section: &str,
    before: &BTreeMap<Arc<str>, T>,
    after: &BTreeMap<Arc<str>, T>,
    changed: &mut Vec<String>,
) {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let other = after
        .iter()
        .filter(|(name, it)| before.get(*name) != Some(*it));
    let mut names: Vec<&Arc<str>> = gone.chain(other.map(|(name, _)| name)).collect();
    names.sort();
    changed.extend(names.iter().map(|name| format!("{section}.{name}")));
}
