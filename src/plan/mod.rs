//! What should happen to an event: where it goes, and what each destination is told. Pure.

mod check;
mod context;
mod depth;
mod escape;
mod fit;
mod helpers;
mod inline;
mod ladder;
mod library;
mod losses;
mod neutral;
mod payload;
mod render;
mod samples;
mod shelf;
mod surrogates;
mod templates;
mod text;
mod trace_lines;
mod values;
mod vet;

use std::sync::Arc;

pub use ladder::{Message, Rendered, Step};
pub use samples::{Sample, samples};
pub use surrogates::mend_surrogates;
pub use templates::Templates;

use crate::config::Route;
use crate::event::{Event, Facts};
use crate::queue::PlannedDelivery;

/// The routes, ready to match.
#[derive(Debug)]
pub struct Router {}

#[expect(clippy::todo, unused_variables, reason = "interface first")]
impl Router {
    /// `destinations` are all that exist, for when there are no routes.
    ///
    /// # Errors
    /// The pattern that is none.
    pub fn new(routes: &[Route], destinations: &[Arc<str>]) -> Result<Router, globset::Error> {
        todo!()
    }

    /// Each destination that any matching route names, once, by the first route that does.
    pub fn route(&self, event: &Event, facts: &Facts) -> Vec<PlannedDelivery> {
        todo!()
    }

    /// For people: each route, and what let the event pass or stopped it.
    pub fn explain(&self, event: &Event, facts: &Facts) -> Vec<Explained> {
        todo!()
    }
}

/// What a route made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub route: Arc<str>,
    pub matched: bool,
    /// `branch "dev" matches none of [main, release/**]`.
    pub why: String,
    pub to: Vec<Arc<str>>,
}
