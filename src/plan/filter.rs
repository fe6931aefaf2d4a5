//! One filter of a route: which events it lets through, and how it says so.

use std::borrow::Cow;
use std::fmt;

use super::pattern::{Match, Pattern, PatternError, Patterns, lower};
use crate::event::{Event, Facts};

/// The patterns of one key of a route.
#[derive(Debug)]
pub(super) struct Filter {
    field: Field,
    patterns: Patterns,
}

/// What a filter makes of an event.
pub(super) enum Judgement<'f> {
    /// The event has no such thing.
    Absent,
    /// A test delivery, which has nothing to say about this.
    Test,
    Included(&'f Pattern),
    NotExcluded,
    Excluded(&'f Pattern),
    NotIncluded,
}

impl Judgement<'_> {
    pub(super) fn passes(&self) -> bool {
        !matches!(self, Judgement::Excluded(_) | Judgement::NotIncluded)
    }
}

impl Filter {
    pub(super) fn new(field: Field, patterns: &[String]) -> Result<Filter, PatternError> {
        let patterns = Patterns::new(patterns)?;
        Ok(Filter { field, patterns })
    }

    pub(super) fn judge(&self, subject: &Subject<'_>) -> Judgement<'_> {
        if subject.is_test && self.field.is_passed_in_tests() {
            return Judgement::Test;
        }
        let Some(name) = &subject.lower[self.field as usize] else {
            return Judgement::Absent;
        };
        match self.patterns.find(name) {
            Match::Included(pattern) => Judgement::Included(pattern),
            Match::NotExcluded => Judgement::NotExcluded,
            Match::Excluded(pattern) => Judgement::Excluded(pattern),
            Match::NotIncluded => Judgement::NotIncluded,
        }
    }

    pub(super) fn say(&self, subject: &Subject<'_>) -> String {
        let field = self.field;
        let name = subject.names[field as usize].unwrap_or_default();
        match self.judge(subject) {
            Judgement::Absent => format!("the event has no {field}"),
            Judgement::Test => format!("a test delivery, so its {field} does not count"),
            Judgement::Included(pattern) => format!("{field} \"{name}\" matches {pattern}"),
            Judgement::NotExcluded => format!("{field} \"{name}\" is not excluded"),
            Judgement::Excluded(pattern) => format!("{field} \"{name}\" is excluded by {pattern}"),
            Judgement::NotIncluded => {
                let includes = self.patterns.includes().iter();
                let includes: Vec<String> = includes.map(Pattern::to_string).collect();
                format!(
                    "{field} \"{name}\" matches none of [{}]",
                    includes.join(", ")
                )
            }
        }
    }
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Source,
    Event,
    Action,
    Repo,
    Branch,
    Tag,
    Sender,
}

impl Field {
    /// A test delivery is always a push to the default branch by whoever pressed the button, and
    /// should arrive wherever real deliveries can.
    fn is_passed_in_tests(self) -> bool {
        matches!(self, Field::Branch | Field::Tag | Field::Sender)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Source => "source",
            Field::Event => "event",
            Field::Action => "action",
            Field::Repo => "repository",
            Field::Branch => "branch",
            Field::Tag => "tag",
            Field::Sender => "sender",
        })
    }
}

/// An event as filters see it, by [`Field`]; `None` where the event has no such thing.
pub(super) struct Subject<'a> {
    names: [Option<&'a str>; 7],
    lower: [Option<Cow<'a, str>>; 7],
    is_test: bool,
}

impl<'a> Subject<'a> {
    pub(super) fn new(event: &'a Event, facts: &'a Facts) -> Subject<'a> {
        // In the order of `Field`.
        let names = [
            Some(event.source.as_ref()),
            Some(event.name.as_ref()),
            facts.action.as_deref(),
            facts.repo.as_deref(),
            facts.branch.as_deref(),
            facts.tag.as_deref(),
            facts.sender.as_deref(),
        ];
        Subject {
            names,
            lower: names.map(|name| name.map(lower)),
            is_test: facts.is_test,
        }
    }
}
