//! Decides which destinations an event goes to, and explains it. Knows nothing of how they are
//! reached.

use std::sync::{Arc, Mutex, PoisonError};

use super::filter::{Field, Filter, Subject};
use super::pattern::PatternError;
use crate::config::{self, Hub};
use crate::event::{Event, Facts};
use crate::hook::Hook;
use crate::hooks::Hooks;
use crate::queue::PlannedDelivery;

/// What a delivery to a hook says of its route.
const HOOKS: &str = "hooks";

/// The routes and the hooks, ready to match.
#[derive(Debug)]
pub struct Router {
    routes: Arc<Routes>,
    hooks: Arc<Hooks>,
    hub: Option<Arc<Hub>>,
    /// Most events go the same ways as the last, and share its plan.
    last: Mutex<Plan>,
}

#[derive(Debug)]
struct Routes {
    /// Every destination that there is or that a route names.
    destinations: Vec<Arc<str>>,
    /// `None`: there are no routes, so everything goes everywhere.
    routes: Option<Vec<Route>>,
}

/// A plan and what it was made of: places in `destinations` and `routes`, and ids of hooks.
#[derive(Clone, Debug, Default)]
struct Plan {
    chosen: Vec<(usize, Option<usize>)>,
    hooks: Vec<u64>,
    deliveries: Arc<[PlannedDelivery]>,
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
            routes: Arc::new(Routes {
                destinations,
                routes: (!routes.is_empty()).then_some(routes),
            }),
            hooks: Arc::default(),
            hub: None,
            last: Mutex::default(),
        })
    }

    /// The same routes with a hub.
    #[must_use]
    pub fn with_hub(self, hub: Option<Hub>) -> Router {
        Router {
            hub: hub.map(Arc::new),
            ..self
        }
    }

    /// The same routes with these hooks.
    #[must_use]
    pub fn with_hooks(&self, hooks: Arc<Hooks>) -> Router {
        Router {
            routes: self.routes.clone(),
            hooks,
            hub: self.hub.clone(),
            last: Mutex::default(),
        }
    }

    /// Each destination that any matching route names, once, by the first route that does; and
    /// each hook that wants the event.
    pub fn route(&self, event: &Event, facts: &Facts) -> Arc<[PlannedDelivery]> {
        let chosen = self.routes.choose(event, facts);
        let hooks: Vec<u64> = self.wanting(event, facts).map(|hook| hook.id).collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.chosen != chosen || last.hooks != hooks {
            let routes = self.routes.deliveries(&chosen);
            let hooked = self.wanting(event, facts).map(|hook| PlannedDelivery {
                destination: hook.lane(),
                route: Some(HOOKS.into()),
            });
            *last = Plan {
                deliveries: routes.chain(hooked).collect(),
                chosen,
                hooks,
            };
        }
        last.deliveries.clone()
    }

    fn wanting(&self, event: &Event, facts: &Facts) -> impl Iterator<Item = &Hook> {
        let hooks = facts
            .repo
            .as_deref()
            .map(|name| self.hooks.of(&event.source, name));
        let hooks = hooks.into_iter().flatten();
        let hooks = hooks.filter(|hook| hook.wants(&event.name, event.received));
        hooks.filter(|hook| self.may_have(hook, facts))
    }

    /// Each event decides for itself whether a subscription that took no credentials may have it,
    /// so that nothing can come in between.
    fn may_have(&self, hook: &Hook, facts: &Facts) -> bool {
        let Some(subscription) = &hook.config.subscription else {
            return true;
        };
        let is_public = facts.private == Some(false);
        self.hub.as_ref().is_some_and(|hub| {
            !subscription.open || (is_public && hub.opens(&hook.repository.name))
        })
    }

    /// For people: each route, and what let the event pass or stopped it.
    pub fn explain(&self, event: &Event, facts: &Facts) -> Vec<Explained> {
        let Routes {
            destinations,
            routes,
        } = &*self.routes;
        let Some(routes) = routes else {
            return vec![Explained {
                route: "no routes".into(),
                matched: true,
                why: "there are no routes, so everything goes everywhere".to_owned(),
                to: destinations.clone(),
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
                .map(|&at| destinations[at].clone())
                .collect(),
        };
        routes.iter().map(explain).collect()
    }
}

impl Routes {
    /// The places of destinations, and of the routes that chose them.
    fn choose(&self, event: &Event, facts: &Facts) -> Vec<(usize, Option<usize>)> {
        let Some(routes) = &self.routes else {
            return (0..self.destinations.len()).map(|at| (at, None)).collect();
        };
        let subject = Subject::new(event, facts);
        let mut chosen = Vec::new();
        let mut named = vec![false; self.destinations.len()];
        let routes = routes.iter().enumerate();
        for (at, route) in routes.filter(|(_, route)| route.matches(&subject)) {
            for &to in &route.to {
                if !std::mem::replace(&mut named[to], true) {
                    chosen.push((to, Some(at)));
                }
            }
        }
        chosen
    }

    fn deliveries(
        &self,
        chosen: &[(usize, Option<usize>)],
    ) -> impl Iterator<Item = PlannedDelivery> {
        chosen.iter().map(|&(destination, route)| PlannedDelivery {
            destination: self.destinations[destination].clone(),
            route: route.and_then(|at| Some(self.routes.as_ref()?[at].name.clone())),
        })
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
