//! All template sets, and the ladder from what the user wants to what always works.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::context::{View, view};
use super::escape::Format;
use super::ladder::{Climb, Rendered, Step, format_of};
use super::library::{self, BUILT_IN, Source};
use super::shelf::Shelf;
use super::vet::Parser;
use crate::config::Problem;
use crate::destination::{Destination, Kind};
use crate::event::{Event, EventId};

/// The set that every other falls back to.
pub(super) const DEFAULT: &str = "default";

/// All template sets. Loading never fails as a whole: a broken template is reported, and at run
/// time the ladder passes over it.
pub struct Templates {
    /// By name of the set.
    sets: BTreeMap<String, Shelves>,
    /// The user's files, `<set>/<kind>/<name>.hbs`, each with a hash of its text.
    files: BTreeMap<String, u64>,
    /// The built-in `default` set, whatever the user has changed in it.
    pristine: Shelves,
    /// Of the latest events, because an event goes to several destinations at about the same time.
    views: Mutex<VecDeque<Arc<View>>>,
}

/// So many views are kept,
const VIEWS: usize = 4;

/// of events whose body is not longer than this, in bytes.
const LONGEST_KEPT: usize = 64 * 1024;

pub(super) type Shelves = BTreeMap<Format, LazyShelf>;

/// A shelf that holds built-in templates alone is made when it is first needed: parsing them all
/// takes longer than everything else at start, and most relays use one or two.
type LazyShelf = LazyLock<Shelf, Box<dyn FnOnce() -> Shelf + Send>>;

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
        let (mut own, mut problems) = library::in_folder(folder);
        own.retain(|mine| !is_copy(mine));
        let names: BTreeSet<&str> = BUILT_IN
            .iter()
            .chain(&own)
            .map(|it| it.set.as_str())
            .collect();
        let mut parser = Parser::default();
        let mut sets = BTreeMap::new();
        for name in names {
            let mut shelves = Shelves::new();
            for format in Format::ALL {
                let layers = layers(name, format, &own);
                let is_own = |source: &&Source| own.iter().any(|mine| std::ptr::eq(mine, *source));
                if !layers.iter().flatten().any(is_own) {
                    shelves.insert(format, built_in(name.to_owned(), format));
                    continue;
                }
                let (shelf, found) = Shelf::new(format, &layers, &mut parser);
                for problem in found {
                    // A set that falls back to `default` shows the same problem again.
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
                shelves.insert(format, LazyLock::new(Box::new(|| shelf)));
            }
            sets.insert(name.to_owned(), shelves);
        }
        let pristine = Format::ALL.map(|format| (format, built_in(DEFAULT.to_owned(), format)));
        let file = |source: &Source| {
            let text = xxhash_rust::xxh3::xxh3_64(source.text.as_bytes());
            (format!("{}.hbs", source.label()), text)
        };
        let templates = Templates {
            sets,
            files: own.iter().map(file).collect(),
            pristine: pristine.into(),
            views: Mutex::default(),
        };
        (templates, problems)
    }

    /// The names of the sets that [`load`](Templates::load) finds.
    pub fn names(folder: &Path) -> Vec<String> {
        let own = library::in_folder(folder).0;
        let sources = BUILT_IN.iter().chain(&own);
        let names: BTreeSet<&String> = sources.map(|source| &source.set).collect();
        names.into_iter().cloned().collect()
    }

    /// The names of all sets there are.
    pub fn sets(&self) -> Vec<String> {
        self.sets.keys().cloned().collect()
    }

    /// The user's files that are not the same in `before`, or in one of both alone.
    pub fn changed_since(&self, before: &Templates) -> Vec<String> {
        let names = self.files.keys().chain(before.files.keys());
        let changed = names.filter(|name| self.files.get(*name) != before.files.get(*name));
        let changed: BTreeSet<&String> = changed.collect();
        changed.into_iter().cloned().collect()
    }

    /// Renders `event` for `destination`, from step `from` of the ladder down to the first that
    /// gives a body that differs from `not` (the body that the service refused).
    #[expect(
        clippy::too_many_arguments,
        reason = "two say which event, two say from where on"
    )]
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
        let shelf = |step: Step| match step {
            Step::Chosen => self.shelf(destination),
            Step::Default => self.pristine(destination),
            Step::Plain => None,
        };
        let steps = [Step::Chosen, Step::Default];
        if steps.iter().all(|&step| shelf(step).is_none()) {
            // Gogs' format passes through as it came: nobody looks at what it says.
            return climb.last(None);
        }
        let view = match self.view(event) {
            Ok(view) => view,
            Err(error) => {
                climb
                    .failures
                    .push(format!("the payload cannot be read: {error}"));
                return climb.last(None);
            }
        };
        for step in steps {
            if step >= from
                && let Some(shelf) = shelf(step)
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

    /// The event's view, built once while several destinations ask for it.
    fn view(&self, event: &Event) -> Result<Arc<View>, serde_json::Error> {
        if event.body.len() > LONGEST_KEPT {
            return view(event).map(Arc::new);
        }
        let known = self
            .kept()
            .iter()
            .find(|view| view.event == *event)
            .cloned();
        if let Some(view) = known {
            return Ok(view);
        }
        let view = Arc::new(view(event)?);
        let oldest = {
            let mut kept = self.kept();
            kept.push_front(view.clone());
            (kept.len() > VIEWS).then(|| kept.pop_back())
        };
        // Taking a payload apart is slow, so the others do not wait for it.
        drop(oldest);
        Ok(view)
    }

    /// A panic while it is held leaves nothing half done.
    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<View>>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the destination's set has for its kind; nothing when the payload passes through.
    fn shelf(&self, destination: &Destination) -> Option<&Shelf> {
        if matches!(destination.kind, Kind::GitHub(_) | Kind::WebSub(_)) {
            return None;
        }
        let set = self.sets.get(&destination.templates);
        let shelf = set?.get(&format_of(&destination.kind))?;
        (!shelf.is_empty()).then_some(shelf)
    }

    fn pristine(&self, destination: &Destination) -> Option<&Shelf> {
        let shelf = self.pristine.get(&format_of(&destination.kind))?;
        (!shelf.is_empty()).then_some(shelf)
    }
}

/// The shelf of a built-in set, or of one that falls back to `default`. What is built in is sound.
fn built_in(set: String, format: Format) -> LazyShelf {
    LazyLock::new(Box::new(move || {
        let layers = layers(&set, format, &[]);
        Shelf::new(format, &layers, &mut Parser::default()).0
    }))
}

/// Whether it is an unchanged copy of a built-in file; then it is none of the user's.
fn is_copy(mine: &Source) -> bool {
    BUILT_IN
        .iter()
        .any(|theirs| theirs.label() == mine.label() && theirs.text == mine.text)
}

/// The files of a set, the user's first; a set of the user's falls back to `default`.
fn layers<'a>(set: &str, format: Format, own: &'a [Source]) -> Vec<Vec<&'a Source>> {
    let mut layers = vec![of(own, set, format), of(&BUILT_IN, set, format)];
    if layers[1].is_empty() && set != DEFAULT {
        layers[1] = of(own, DEFAULT, format);
        layers.push(of(&BUILT_IN, DEFAULT, format));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is told what is wrong with them when they are first needed.
    #[test]
    fn what_is_built_in_is_sound() {
        let mut parser = Parser::default();
        let sets: BTreeSet<&String> = BUILT_IN.iter().map(|source| &source.set).collect();
        for set in sets {
            for format in Format::ALL {
                let layers = layers(set, format, &[]);
                let (_, problems) = Shelf::new(format, &layers, &mut parser);
                assert!(problems.is_empty(), "{problems:?}");
            }
        }
    }
}
