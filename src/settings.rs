//! What relay.yaml and the templates say now, ready for use: one value that all parts go by, and
//! that a reload replaces as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::destination::Destination;
use crate::ingest::Gates;
use crate::plan::{PatternError, Router, Templates};

/// The settings in force. Whoever takes them keeps what it took for as long as one request or
/// one attempt lasts, and so never sees two sets of them mixed.
pub type InForce = watch::Receiver<Arc<Settings>>;

/// One set of settings.
#[derive(Debug)]
pub struct Settings {
    /// What cannot be reloaded stays in it as it was at start.
    pub config: Config,
    pub gates: Gates,
    pub router: Router,
    pub templates: Arc<Templates>,
    /// Former destinations, each with the one that takes over what waits there.
    heirs: BTreeMap<Arc<str>, Arc<str>>,
}

impl Settings {
    /// # Errors
    /// A pattern of a route that is none; a checked configuration has no such.
    pub fn new(config: Config, templates: Arc<Templates>) -> Result<Settings, PatternError> {
        let names: Vec<Arc<str>> = config.destinations.keys().cloned().collect();
        let heirs = config.destinations.values();
        let heirs = heirs.filter_map(|heir| Some((heir.was.clone()?, heir.name.clone())));
        Ok(Settings {
            gates: Gates::new(&config.sources),
            router: Router::new(&config.routes, &names)?,
            templates,
            heirs: heirs.collect(),
            config,
        })
    }

    /// Where the lane of this name delivers to: its destination, or the one that took it over.
    pub fn of_lane(&self, name: &str) -> Option<&Destination> {
        let destinations = &self.config.destinations;
        let heir = || destinations.get(self.heirs.get(name)?);
        destinations.get(name).or_else(heir)
    }

    /// All lanes that there may be something to deliver in.
    pub fn lanes(&self) -> impl Iterator<Item = (&Arc<str>, &Destination)> {
        let destinations = &self.config.destinations;
        let heirs = self.heirs.iter();
        let taken_over = heirs.filter_map(|(was, heir)| Some((was, destinations.get(heir)?)));
        destinations.iter().chain(taken_over)
    }
}
