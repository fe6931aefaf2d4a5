//! What relay.yaml and the templates say now, ready for use: one value that all parts go by, and
//! that a reload replaces as a whole.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
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
}

impl Settings {
    /// # Errors
    /// A pattern of a route that is none; a checked configuration has no such.
    pub fn new(config: Config, templates: Arc<Templates>) -> Result<Settings, PatternError> {
        let names: Vec<Arc<str>> = config.destinations.keys().cloned().collect();
        Ok(Settings {
            gates: Gates::new(&config.sources),
            router: Router::new(&config.routes, &names)?,
            templates,
            config,
        })
    }
}
