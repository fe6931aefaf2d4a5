//! Decides which destinations an event goes to, and explains it. Knows nothing of how they are
//! reached.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::pattern::{Pattern, PatternError, lower};
use crate::config;
use crate::event::{Event, Facts};
use crate::queue::PlannedDelivery;

/// The routes, ready to match.
#[derive(Debug)]
pub struct Router {
    /// Every destination that there is or that a route names.
    destinations: Vec<Arc<str>>,
    /// `None`: there are no routes, so everything goes everywhere.
    routes: Option<Vec<Route>>,
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

impl Router {
    /// `destinations` are all that exist, for when there are no routes.
    ///
    /// # Errors
    /// The pattern that is none.
    pub fn new(
        routes: &[config::Route],
        destinations: &[Arc<str>],
    ) -> Result<Router, PatternError> {
        let mut destinations = destinations.to_vec();
        let routes = routes.iter().enumerate();
        let routes = routes.map(|(at, route)| Route::new(at, route, &mut destinations));
        let routes: Vec<Route> = routes.collect::<Result<_, _>>()?;
        Ok(Router {
            destinations,
            routes: (!routes.is_empty()).then_some(routes),
        })
    }

    /// Each destination that any matching route names, once, by the first route that does.
    pub fn route(&self, event: &Event, facts: &Facts) -> Vec<PlannedDelivery> {
        let planned = |at: usize, route| PlannedDelivery {
            destination: self.destinations[at].clone(),
            route,
        };
        let Some(routes) = &self.routes else {
            return (0..self.destinations.len())
                .map(|at| planned(at, None))
                .collect();
        };
        let subject = Subject::new(event, facts);
        let mut plan = Vec::new();
        let mut named = vec![false; self.destinations.len()];
        for route in routes.iter().filter(|route| route.matches(&subject)) {
            for &at in &route.to {
                if !std::mem::replace(&mut named[at], true) {
                    plan.push(planned(at, Some(route.name.clone())));
                }
            }
        }
        plan
    }

    /// For people: each route, and what let the event pass or stopped it.
    pub fn explain(&self, event: &Event, facts: &Facts) -> Vec<Explained> {
        let Some(routes) = &self.routes else {
            return vec![Explained {
                route: "no routes".into(),
                matched: true,
                why: "there are no routes, so everything goes everywhere".to_owned(),
                to: self.destinations.clone(),
            }];
        };
        let subject = Subject::new(event, facts);
        let explain = |route: &Route| Explained {
            route: route.name.clone(),
            matched: route.matches(&subject),
            why: route.why(&subject),
            to: route
                .to
                .iter()
                .map(|&at| self.destinations[at].clone())
                .collect(),
        };
        routes.iter().map(explain).collect()
    }
}

/// One route, ready to match.
#[derive(Debug)]
struct Route {
    name: Arc<str>,
    /// Those that are not empty.
    filters: Vec<Filter>,
    /// Places in the router's `destinations`.
    to: Vec<usize>,
}

impl Route {
    fn new(
        at: usize,
        route: &config::Route,
        destinations: &mut Vec<Arc<str>>,
    ) -> Result<Route, PatternError> {
        let filters = [
            (Field::Source, &route.from),
            (Field::Event, &route.events),
            (Field::Action, &route.actions),
            (Field::Repo, &route.repos),
            (Field::Branch, &route.branches),
            (Field::Tag, &route.tags),
            (Field::Sender, &route.senders),
        ];
        let filters = filters
            .into_iter()
            .filter(|(_, patterns)| !patterns.is_empty());
        let filters = filters.map(|(field, patterns)| Filter::new(field, patterns));
        let place = |name: &Arc<str>| {
            destinations
                .iter()
                .position(|have| have == name)
                .unwrap_or_else(|| {
                    destinations.push(name.clone());
                    destinations.len() - 1
                })
        };
        let name = route.name.clone();
        Ok(Route {
            name: name.unwrap_or_else(|| format!("route {}", at + 1).into()),
            filters: filters.collect::<Result<_, _>>()?,
            to: route.to.iter().map(place).collect(),
        })
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.filters
            .iter()
            .all(|filter| filter.judge(subject).passes())
    }

    /// The first filter that stopped the event; else what each of them found.
    fn why(&self, subject: &Subject<'_>) -> String {
        let say = |filter: &Filter| filter.say(subject);
        let mut stopped = self
            .filters
            .iter()
            .filter(|filter| !filter.judge(subject).passes());
        if let Some(filter) = stopped.next() {
            return say(filter);
        }
        match self.filters.is_empty() {
            true => "it has no filters".to_owned(),
            false => self.filters.iter().map(say).collect::<Vec<_>>().join("; "),
        }
    }
}

/// The patterns of one key of a route.
#[derive(Debug)]
struct Filter {
    field: Field,
    includes: Vec<Pattern>,
    excludes: Vec<Pattern>,
}

/// What a filter makes of an event.
enum Judgement<'f> {
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
    fn passes(&self) -> bool {
        !matches!(self, Judgement::Excluded(_) | Judgement::NotIncluded)
    }
}

impl Filter {
    fn new(field: Field, patterns: &[String]) -> Result<Filter, PatternError> {
        let patterns = patterns.iter().map(|text| Pattern::new(text));
        let patterns: Vec<Pattern> = patterns.collect::<Result<_, _>>()?;
        let (excludes, includes) = patterns.into_iter().partition(Pattern::excludes);
        Ok(Filter {
            field,
            includes,
            excludes,
        })
    }

    fn judge(&self, subject: &Subject<'_>) -> Judgement<'_> {
        if subject.is_test && self.field.is_passed_in_tests() {
            return Judgement::Test;
        }
        let Some(name) = &subject.lower[self.field as usize] else {
            return Judgement::Absent;
        };
        let matching = |patterns: &'_ [Pattern]| patterns.iter().position(|p| p.matches(name));
        match (matching(&self.excludes), matching(&self.includes)) {
            (Some(at), _) => Judgement::Excluded(&self.excludes[at]),
            (None, Some(at)) => Judgement::Included(&self.includes[at]),
            (None, None) if self.includes.is_empty() => Judgement::NotExcluded,
            (None, None) => Judgement::NotIncluded,
        }
    }

    fn say(&self, subject: &Subject<'_>) -> String {
        let field = self.field;
        let name = subject.names[field as usize].unwrap_or_default();
        match self.judge(subject) {
            Judgement::Absent => format!("the event has no {field}"),
            Judgement::Test => format!("a test delivery, so its {field} does not count"),
            Judgement::Included(pattern) => format!("{field} \"{name}\" matches {pattern}"),
            Judgement::NotExcluded => format!("{field} \"{name}\" is not excluded"),
            Judgement::Excluded(pattern) => format!("{field} \"{name}\" is excluded by {pattern}"),
            Judgement::NotIncluded => {
                let includes: Vec<String> = self.includes.iter().map(Pattern::to_string).collect();
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
enum Field {
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
struct Subject<'a> {
    names: [Option<&'a str>; 7],
    lower: [Option<Cow<'a, str>>; 7],
    is_test: bool,
}

impl<'a> Subject<'a> {
    fn new(event: &'a Event, facts: &'a Facts) -> Subject<'a> {
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
