//! What relay.yaml, the templates and the hooks say now, ready for use: one value that all parts
//! go by, and that a reload or a changed hook replaces as a whole.

mod switch;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Config;
use crate::destination::Destination;
use crate::hooks::{self, Hooks};
use crate::ingest::Gates;
use crate::plan::{PatternError, Router, Templates};
use crate::queue::{Notes, Options, Queue};
use crate::send::lanes::lane_spec;
use crate::send::voice::Voice;

pub use switch::{Switch, Turn};

/// The settings in force. Whoever takes them keeps what it took for as long as one request or
/// one attempt lasts, and so never sees two sets of them mixed.
pub type InForce = watch::Receiver<Arc<Settings>>;

/// One set of settings.
#[derive(Debug)]
pub struct Settings {
    /// What cannot be reloaded stays in it as it was at start.
    pub config: Arc<Config>,
    pub gates: Arc<Gates>,
    pub router: Router,
    pub templates: Arc<Templates>,
    pub hooks: Arc<Hooks>,
    /// Former destinations, each with the one that takes over what waits there.
    heirs: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

/// An open queue, and the settings that go with it.
#[derive(Debug)]
pub struct Opened {
    pub settings: Arc<Settings>,
    pub queue: Queue,
    /// Ids of hooks that were being deleted.
    pub deleted: Vec<u64>,
}

impl Settings {
    /// Settings without hooks.
    ///
    /// # Errors
    /// A pattern of a route that is none; a checked configuration has no such.
    pub fn new(config: Config, templates: Arc<Templates>) -> Result<Settings, PatternError> {
        let names: Vec<Arc<str>> = config.destinations.keys().cloned().collect();
        let heirs = config.destinations.values();
        let heirs = heirs.filter_map(|heir| Some((heir.was.clone()?, heir.name.clone())));
        Ok(Settings {
            gates: Arc::new(Gates::new(&config.sources)),
            router: Router::new(&config.routes, &names)?.with_hub(config.hub.clone()),
            templates,
            hooks: Arc::default(),
            heirs: Arc::new(heirs.collect()),
            config: Arc::new(config),
        })
    }

    /// The same with other hooks.
    #[must_use]
    pub fn with_hooks(&self, hooks: Arc<Hooks>) -> Settings {
        Settings {
            config: self.config.clone(),
            gates: self.gates.clone(),
            router: self.router.with_hooks(hooks.clone()),
            templates: self.templates.clone(),
            hooks,
            heirs: self.heirs.clone(),
        }
    }

    /// Opens the queue with the lanes of these settings, and takes in the hooks that are stored
    /// in it. Blocks.
    ///
    /// # Errors
    /// Those of [`Queue::open`], or a stored hook that this version cannot read.
    pub fn open_queue(mut self, options: Options, clock: Clock) -> anyhow::Result<Opened> {
        let mut deleted = Vec::new();
        let lanes = |notes: &Notes| {
            let stored = hooks::read(notes)?;
            let hooks = Hooks::new(stored.hooks, stored.next, self.hook_templates());
            self = self.with_hooks(Arc::new(hooks));
            deleted = stored.deleted;
            Ok(self.destinations().map(lane_spec).collect())
        };
        let queue = Queue::open_by_notes(options, lanes, clock)?;
        Ok(Opened {
            settings: Arc::new(self),
            queue,
            deleted,
        })
    }

    /// How the hub speaks to those who get its deliveries, if there is one.
    pub fn voice(&self) -> Option<Voice<'_>> {
        let hub = self.config.hub.as_ref()?;
        Some(Voice {
            public_url: &self.config.public_url,
            signature: hub.signature,
        })
    }

    /// The set of templates that hooks use.
    pub fn hook_templates(&self) -> &str {
        let api = self.config.api.as_ref();
        api.map_or("classic", |api| &api.templates)
    }

    /// Where the lane of this name delivers to: its destination or hook, or the destination that
    /// took it over.
    pub fn of_lane(&self, name: &str) -> Option<&Destination> {
        let destinations = &self.config.destinations;
        let heir = || destinations.get(self.heirs.get(name)?);
        let hook = || self.hooks.of_lane(name);
        destinations.get(name).or_else(heir).or_else(hook)
    }

    /// All destinations, those of hooks included.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let destinations = self.config.destinations.values();
        destinations.chain(self.hooks.destinations())
    }

    /// All lanes that there may be something to deliver in.
    pub fn lanes(&self) -> impl Iterator<Item = (&Arc<str>, &Destination)> {
        let own = self.destinations().map(|it| (&it.name, it));
        let destinations = &self.config.destinations;
        let heirs = self.heirs.iter();
        own.chain(heirs.filter_map(|(was, heir)| Some((was, destinations.get(heir)?))))
    }
}
