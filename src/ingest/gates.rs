//! All sources' gates, by the path that leads to each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::verify::Gate;
use crate::config::Source;

/// The gates of all sources that relay.yaml names.
#[derive(Debug)]
pub struct Gates(BTreeMap<Arc<str>, Gate>);

impl Gates {
    pub fn new(sources: &BTreeMap<Arc<str>, Source>) -> Gates {
        let gate = |(name, source): (&Arc<str>, _)| (name.clone(), Gate::new(name.clone(), source));
        Gates(sources.iter().map(gate).collect())
    }

    /// Remembers the secrets that `before` had, to tell who still uses one what is wrong.
    #[must_use]
    pub fn succeed(mut self, before: &Gates) -> Gates {
        for (name, gate) in &mut self.0 {
            if let Some(old) = before.0.get(name) {
                gate.succeed(old);
            }
        }
        self
    }

    /// The gate of a path, which must be exact: a redirect or a guess would lose the delivery.
    pub(super) fn at(&self, path: &str) -> Option<&Gate> {
        self.0.get(path.strip_prefix("/hooks/")?)
    }
}
