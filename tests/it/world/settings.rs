//! The settings of a small world.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gogs_relay::config::{self, Config};
use gogs_relay::destination::Destination;
use gogs_relay::plan::Templates;
use gogs_relay::queue::Keep;
use gogs_relay::settings::Settings;

pub(super) const KEEP: Keep = Keep {
    keep: Duration::from_secs(365 * 86_400),
    at_most: 1_000_000,
};

/// A small configuration, for tests to change.
pub(crate) fn config() -> Config {
    config_with("")
}

fn config_with(more: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.yaml");
    let yaml = format!(
        "sources: {{ gogs: {{ secret: s3cret }} }}\ndestinations: {{ screen: {{ console: }} }}\n\
         egress: {{ allow: [127.0.0.0/8] }}\n{more}"
    );
    std::fs::write(&path, yaml).unwrap();
    let sets = |_: &Path| vec!["default".to_owned()];
    config::load(&path, &Default::default(), &sets)
        .unwrap()
        .config
}

/// The same with these destinations and more lines.
pub(super) fn settings(destinations: Vec<Destination>, yaml: &str) -> Settings {
    let (templates, problems) = Templates::load(Path::new("/nowhere"));
    assert!(problems.is_empty(), "{problems:?}");
    with(&config_with(yaml), destinations, Arc::new(templates))
}

/// Settings that differ in their destinations.
pub(super) fn with(
    config: &Config,
    destinations: Vec<Destination>,
    templates: Arc<Templates>,
) -> Settings {
    let destinations = destinations.into_iter();
    let by_name = destinations.map(|destination| (destination.name.clone(), destination));
    let config = Config {
        destinations: by_name.collect(),
        history: KEEP,
        dead: KEEP,
        ..config.clone()
    };
    Settings::new(config, templates).unwrap()
}
