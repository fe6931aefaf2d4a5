//! All template sets, and the ladder from what the user wants to what always works.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use bytes::Bytes;

use super::context::{View, view};
use super::escape::{Format, Label};
use super::fit::{Target, fit};
use super::library::{self, Source};
use super::shelf::{Page, Shelf};
use crate::config::Problem;
use crate::destination::{Destination, Kind};
use crate::event::{Event, EventId};

/// The set that every other falls back to.
pub(super) const DEFAULT: &str = "default";

/// All template sets, parsed. Loading never fails as a whole: a broken template is reported, and
/// at run time the ladder passes over it.
pub struct Templates {
    /// By name of the set.
    sets: BTreeMap<String, Shelves>,
    /// The built-in `default` set, whatever the user has changed in it.
    pristine: Shelves,
}

pub(super) type Shelves = BTreeMap<Format, Shelf>;

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

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates")
            .field("sets", &self.sets())
            .finish_non_exhaustive()
    }
}

impl Templates {
    /// Reads the user's sets below `folder` (it need not exist) over the built-in ones.
    pub fn load(folder: &Path) -> (Templates, Vec<Problem>) {
        let built_in = library::built_in();
        let (mut own, mut problems) = library::in_folder(folder);
        // An unchanged copy of a built-in file is none of the user's.
        own.retain(|mine| {
            let is_same =
                |theirs: &Source| theirs.label() == mine.label() && theirs.text == mine.text;
            !built_in.iter().any(is_same)
        });
        let names: BTreeSet<&str> = built_in
            .iter()
            .chain(&own)
            .map(|it| it.set.as_str())
            .collect();
        let mut sets = BTreeMap::new();
        for name in names {
            let mut shelves = Shelves::new();
            for format in Format::ALL {
                let (shelf, found) = Shelf::new(format, &layers(name, format, &own, &built_in));
                for problem in found {
                    // A set that falls back to `default` shows the same problem again.
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
                shelves.insert(format, shelf);
            }
            sets.insert(name.to_owned(), shelves);
        }
        let pristine = Format::ALL.map(|format| {
            let layer = of(&built_in, DEFAULT, format);
            (format, Shelf::new(format, &[layer]).0)
        });
        let pristine = pristine.into();
        (Templates { sets, pristine }, problems)
    }

    /// The names of all sets there are.
    pub fn sets(&self) -> Vec<String> {
        self.sets.keys().cloned().collect()
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
        let mut climb = Climb {
            event,
            id,
            destination,
            not,
            failures: Vec::new(),
        };
        if from > Step::Chosen {
            climb.failures.push("the message was refused".to_owned());
        }
        let view = match view(event) {
            Ok(view) => view,
            Err(error) => {
                climb
                    .failures
                    .push(format!("the payload cannot be read: {error}"));
                return climb.without_view();
            }
        };
        let chosen = self.shelf(destination);
        for (step, shelf) in [
            (Step::Chosen, chosen),
            (Step::Default, self.pristine(destination)),
        ] {
            if step >= from
                && let Some(shelf) = shelf
                && let Some(rendered) = climb.step(step, shelf, &view)
            {
                return rendered;
            }
        }
        climb.last(Some(&view))
    }

    /// Renders every template strictly over the embedded samples of every event and action,
    /// through fit, and tells what fails.
    pub fn check(&self) -> Vec<Problem> {
        super::check::check(&self.sets)
    }

    /// What the destination's set has for its kind; nothing when Gogs' format passes through.
    fn shelf(&self, destination: &Destination) -> Option<&Shelf> {
        let set = self.sets.get(&destination.templates);
        let shelf = set?.get(&format_of(&destination.kind))?;
        (!shelf.is_empty()).then_some(shelf)
    }

    fn pristine(&self, destination: &Destination) -> Option<&Shelf> {
        let shelf = self.pristine.get(&format_of(&destination.kind))?;
        (!shelf.is_empty()).then_some(shelf)
    }
}

/// Which templates a kind of destination takes; the console shows what Slack would.
fn format_of(kind: &Kind) -> Format {
    match kind {
        Kind::Slack(_) | Kind::Console => Format::Slack,
        Kind::Discord(_) => Format::Discord,
        Kind::Gogs(_) => Format::Gogs,
    }
}

/// The files of a set, the user's first; a set of the user's falls back to `default`.
fn layers<'a>(
    set: &str,
    format: Format,
    own: &'a [Source],
    built_in: &'a [Source],
) -> Vec<Vec<&'a Source>> {
    let mut layers = vec![of(own, set, format), of(built_in, set, format)];
    if layers[1].is_empty() && set != DEFAULT {
        layers[1] = of(own, DEFAULT, format);
        layers.push(of(built_in, DEFAULT, format));
    }
    layers
}

fn of<'a>(sources: &'a [Source], set: &str, format: Format) -> Vec<&'a Source> {
    let mut found: Vec<&Source> = sources
        .iter()
        .filter(|source| source.set == set && source.format == format)
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// One walk down the ladder.
struct Climb<'a> {
    event: &'a Event,
    id: EventId,
    destination: &'a Destination,
    not: Option<&'a [u8]>,
    failures: Vec<String>,
}

impl Climb<'_> {
    /// A template's message, unless it fails or is the refused one again.
    fn step(&mut self, step: Step, shelf: &Shelf, view: &View) -> Option<Rendered> {
        let page = shelf.page(&view.name, view.action.as_deref())?;
        match self.body(shelf, page, view) {
            Ok(Some(body)) if self.not != Some(&body) => {
                Some(self.message(body, step, &page.label, &page.fingerprint))
            }
            Ok(Some(_)) => None,
            Ok(None) => Some(Rendered::Skip {
                template: page.label.clone(),
                fingerprint: page.fingerprint.clone(),
            }),
            Err(error) => {
                let failure = format!("{}: {error}", page.label);
                if !self.failures.contains(&failure) {
                    self.failures.push(failure);
                }
                None
            }
        }
    }

    /// The fitted body, or nothing when the template rendered nothing.
    fn body(&self, shelf: &Shelf, page: &Page, view: &View) -> Result<Option<Bytes>, String> {
        let rendered = shelf.render(page, &view.context)?;
        if rendered.trim().is_empty() {
            return Ok(None);
        }
        let target = Target::from(&self.destination.kind);
        fit(&rendered, target, view.event_url.as_deref()).map(Some)
    }

    /// The last step: what needs no template.
    fn last(mut self, view: Option<&View>) -> Rendered {
        let body = match &self.destination.kind {
            Kind::Gogs(_) => Ok(self.event.body.clone()),
            kind => fit(&self.plain_line(view), Target::from(kind), None),
        };
        match body {
            Ok(body) if self.not != Some(&body) => match &self.destination.kind {
                Kind::Gogs(_) => self.message(body, Step::Default, "", ""),
                _ => self.message(body, Step::Plain, "plain", ""),
            },
            Ok(_) => Rendered::Failed(self.failures.join("; ")),
            Err(error) => {
                self.failures.push(format!("plain: {error}"));
                Rendered::Failed(self.failures.join("; "))
            }
        }
    }

    fn without_view(self) -> Rendered {
        self.last(None)
    }

    /// A message of one line: what happened, linked to where it can be seen.
    fn plain_line(&self, view: Option<&View>) -> String {
        let name = self.event.name.replace('_', " ");
        let words = view.map_or(name, |view| view.summary.clone());
        let words = format!("{words} (event {})", self.id);
        let url = view
            .and_then(|view| view.event_url.as_deref())
            .unwrap_or_default();
        let format = format_of(&self.destination.kind);
        let line = match url.is_empty() {
            true => format.plain(&words),
            false => format.link(&words, url, Label::Plain),
        };
        let name = if format == Format::Discord {
            "content"
        } else {
            "text"
        };
        format!("{{\"{name}\":\"{line}\"}}")
    }

    fn message(&self, body: Bytes, step: Step, template: &str, fingerprint: &str) -> Rendered {
        let failures = &self.failures;
        Rendered::Message(Message {
            body,
            template: template.to_owned(),
            fingerprint: fingerprint.to_owned(),
            step,
            fallback: (!failures.is_empty()).then(|| failures.join("; ")),
        })
    }
}
