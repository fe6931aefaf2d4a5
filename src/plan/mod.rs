//! What should happen to an event: where it goes, and what each destination is told. Pure.

use std::path::Path;

use bytes::Bytes;

use crate::config::Problem;
use crate::destination::Destination;
use crate::event::{Event, EventId};

mod filter;
mod pattern;
mod route;

pub use pattern::{Pattern, PatternError};
pub use route::{Explained, Router};

/// All template sets, parsed. Loading never fails as a whole: a broken template is reported, and
/// at run time the ladder passes over it.
#[derive(Debug)]
pub struct Templates {}

/// The steps of the ladder, from what the user wants to what always works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The destination's own set.
    Chosen,
    /// The built-in `default` set.
    Default,
    /// One plain line with a link.
    Plain,
}

/// A body ready to be sent, within the service's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// JSON, but for the console: text.
    pub body: Bytes,
    /// `<set>/<kind>/<name>`; `plain` for the last step, empty for Gogs' format passed through.
    pub template: String,
    /// A short hash of the template and its partials.
    pub fingerprint: String,
    /// The step it came from.
    pub step: Step,
    /// Why the steps before failed.
    pub fallback: Option<String>,
}

/// What rendering came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered {
    Message(Message),
    /// The template rendered nothing but white space: nothing is to be sent.
    Skip {
        template: String,
        fingerprint: String,
    },
    /// Not even the last step gave anything.
    Failed(String),
}

#[expect(clippy::todo, unused_variables, reason = "interface first")]
impl Templates {
    /// Reads the user's sets below `folder` (it need not exist) over the built-in ones.
    pub fn load(folder: &Path) -> (Templates, Vec<Problem>) {
        todo!()
    }

    /// The names of all sets there are.
    pub fn sets(&self) -> Vec<String> {
        todo!()
    }

    /// Renders `event` for `destination`, from step `from` of the ladder down to the first that
    /// gives a body that differs from `not` (the body that the service refused).
    pub fn render(
        &self,
        event: &Event,
        id: EventId,
        destination: &Destination,
        from: Step,
        not: Option<&[u8]>,
    ) -> Rendered {
        todo!()
    }

    /// Renders every template of the user's sets strictly over the embedded samples of every
    /// event and action, through fit.
    pub fn check(&self) -> Vec<Problem> {
        todo!()
    }
}
