//! Routes: which destinations an event goes to, and why.

use std::sync::Arc;

use bytes::Bytes;
use gogs_relay::clock::Timestamp;
use gogs_relay::config::Route;
use gogs_relay::event::{Event, Facts};
use gogs_relay::plan::Router;
use proptest::prelude::*;

fn event(name: &str) -> Event {
    Event {
        source: "gogs".into(),
        name: name.into(),
        delivery_id: "d".into(),
        received: Timestamp(0),
        body: Bytes::from_static(b"{}"),
    }
}

/// A push to a branch, as decoding tells it.
fn push(branch: &str) -> Facts {
    Facts {
        repo: Some("Orbit/Site".to_owned()),
        branch: Some(branch.to_owned()),
        sender: Some("mira".to_owned()),
        ..Facts::default()
    }
}

fn strings(patterns: &[&str]) -> Vec<String> {
    patterns
        .iter()
        .map(|pattern| (*pattern).to_owned())
        .collect()
}

fn to(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// A route to `a` with nothing but `filter` set.
fn route(filter: impl FnOnce(&mut Route)) -> Route {
    let mut route = Route {
        to: to(&["a"]),
        ..Route::default()
    };
    filter(&mut route);
    route
}

fn router(routes: &[Route]) -> Router {
    Router::new(routes, &to(&["a", "b", "c"])).unwrap()
}

/// Whether a lone route lets the event through; `explain` has to say the same.
fn passes(route: Route, name: &str, facts: &Facts) -> bool {
    let router = router(&[route]);
    let planned = !router.route(&event(name), facts).is_empty();
    let explained = router.explain(&event(name), facts);
    assert_eq!(explained[0].matched, planned, "{}", explained[0].why);
    planned
}

fn names(router: &Router, name: &str, facts: &Facts) -> Vec<(String, Option<String>)> {
    let planned = router.route(&event(name), facts);
    let named = planned.iter().map(|delivery| {
        let route = delivery.route.as_ref().map(|route| route.to_string());
        (delivery.destination.to_string(), route)
    });
    named.collect()
}

#[test]
fn without_routes_everything_goes_everywhere() {
    let planned = names(&router(&[]), "push", &push("main"));
    let everywhere = ["a", "b", "c"].map(|name| (name.to_owned(), None));
    assert_eq!(planned, everywhere);
}

#[test]
fn each_destination_gets_an_event_once_by_the_first_route_that_names_it() {
    let named = |name: Option<&str>, destinations: &[&str]| Route {
        name: name.map(Arc::from),
        to: to(destinations),
        ..Route::default()
    };
    let router = router(&[named(None, &["b", "b"]), named(Some("second"), &["a", "b"])]);
    let route = |destination: &str, route: &str| (destination.to_owned(), Some(route.to_owned()));
    assert_eq!(
        names(&router, "push", &push("main")),
        [route("b", "route 1"), route("a", "second")]
    );
}

#[test]
fn an_event_that_no_route_wants_goes_nowhere() {
    let releases = route(|route| route.events = strings(&["release"]));
    assert!(!passes(releases, "push", &push("main")));
}

#[test]
fn every_filter_of_a_route_has_to_fit() {
    let both = |branch: &str| {
        route(|route| {
            route.repos = strings(&["orbit/*"]);
            route.branches = strings(&[branch]);
        })
    };
    assert!(passes(both("main"), "push", &push("main")));
    assert!(!passes(both("dev"), "push", &push("main")));
}

#[test]
fn a_filter_on_what_the_event_does_not_have_is_passed() {
    let picky = || {
        route(|route| {
            route.actions = strings(&["published"]);
            route.branches = strings(&["main"]);
            route.tags = strings(&["v*"]);
            route.senders = strings(&["!ci-bot"]);
        })
    };
    assert!(
        passes(picky(), "push", &push("main")),
        "a push has neither action nor tag"
    );
    let tag = Facts {
        tag: Some("v1".to_owned()),
        ..Facts::default()
    };
    assert!(passes(picky(), "create", &tag), "a tag has no branch");
    let tag = Facts {
        tag: Some("1".to_owned()),
        ..Facts::default()
    };
    assert!(!passes(picky(), "create", &tag));
    assert!(passes(picky(), "fork", &Facts::default()));
}

#[test]
fn names_compare_without_case() {
    for repos in [["ORBIT/site"], ["orbit/*"], ["**/SITE"]] {
        assert!(
            passes(
                route(|route| route.repos = strings(&repos)),
                "push",
                &push("main")
            ),
            "{repos:?}"
        );
    }
    assert!(passes(
        route(|route| route.events = strings(&["Push"])),
        "push",
        &push("main")
    ));
    assert!(passes(
        route(|route| route.branches = strings(&["ärger"])),
        "push",
        &push("ÄRGER")
    ));
    assert!(!passes(
        route(|route| route.senders = strings(&["!MIRA"])),
        "push",
        &push("main")
    ));
}

#[test]
fn an_exclude_wins_in_any_order() {
    for branches in [
        ["release/**", "!release/old*"],
        ["!release/old*", "release/**"],
    ] {
        let route = || route(|route| route.branches = strings(&branches));
        assert!(passes(route(), "push", &push("release/new")));
        assert!(!passes(route(), "push", &push("release/old-1")));
        assert!(!passes(route(), "push", &push("main")));
    }
}

#[test]
fn excludes_alone_mean_all_but_these() {
    let route = || route(|route| route.branches = strings(&["!wip/**", "!tmp"]));
    assert!(passes(route(), "push", &push("main")));
    assert!(!passes(route(), "push", &push("wip/a/b")));
    assert!(!passes(route(), "push", &push("tmp")));
}

#[test]
fn a_test_delivery_ignores_branches_tags_and_senders_but_not_the_rest() {
    let test = Facts {
        is_test: true,
        ..push("main")
    };
    let route = || {
        route(|route| {
            route.branches = strings(&["release/**"]);
            route.tags = strings(&["v*"]);
            route.senders = strings(&["!mira"]);
        })
    };
    assert!(passes(route(), "push", &test));
    assert!(!passes(route(), "push", &push("main")));
    let other_repo = Route {
        repos: strings(&["apollo/*"]),
        ..route()
    };
    assert!(!passes(other_repo, "push", &test));
    let other_event = Route {
        events: strings(&["release"]),
        ..route()
    };
    assert!(!passes(other_event, "push", &test));
    let other_source = Route {
        from: strings(&["!gogs"]),
        ..route()
    };
    assert!(!passes(other_source, "push", &test));
}

#[test]
fn an_explanation_names_what_let_an_event_pass_or_stopped_it() {
    let why = |route: Route, facts: &Facts| {
        let explained = router(&[route]).explain(&event("push"), facts);
        explained[0].why.clone()
    };
    let branches = || route(|route| route.branches = strings(&["main", "release/**"]));
    assert_eq!(
        why(branches(), &push("dev")),
        "branch \"dev\" matches none of [main, release/**]"
    );
    assert_eq!(
        why(branches(), &push("Release/1")),
        "branch \"Release/1\" matches release/**"
    );
    assert_eq!(
        why(branches(), &Facts::default()),
        "the event has no branch"
    );
    let test = Facts {
        is_test: true,
        ..push("dev")
    };
    assert_eq!(
        why(branches(), &test),
        "a test delivery, so its branch does not count"
    );
    let senders = || route(|route| route.senders = strings(&["!ci-*"]));
    assert_eq!(
        why(senders(), &push("dev")),
        "sender \"mira\" is not excluded"
    );
    let bot = Facts {
        sender: Some("CI-bot".to_owned()),
        ..push("dev")
    };
    assert_eq!(
        why(senders(), &bot),
        "sender \"CI-bot\" is excluded by !ci-*"
    );
    assert_eq!(why(route(|_| {}), &push("dev")), "it has no filters");
    let two = route(|route| {
        route.events = strings(&["push"]);
        route.repos = strings(&["**"]);
    });
    assert_eq!(
        why(two, &push("dev")),
        "event \"push\" matches push; repository \"Orbit/Site\" matches **"
    );
    let nowhere = router(&[]).explain(&event("push"), &push("dev"));
    assert_eq!(
        nowhere[0].why,
        "there are no routes, so everything goes everywhere"
    );
}

#[test]
fn what_is_no_pattern_is_an_error() {
    for broken in ["", "!"] {
        let route = route(|route| route.branches = strings(&[broken]));
        assert!(Router::new(&[route], &to(&["a"])).is_err());
    }
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("!?(\\*|\\*\\*|[ab]|a/\\*|b\\*)", 0..4)
}

proptest! {
    /// The rules again, said another way.
    #[test]
    fn a_plan_is_what_its_routes_say_one_by_one(
        routes in prop::collection::vec((patterns(), patterns(), prop::collection::vec(0usize..3, 1..3)), 1..5),
        branch in prop::option::of("[aAb]{1,2}(/[ab])?"),
        sender in "[aAb]{1,2}",
        is_test: bool,
    ) {
        let routes: Vec<Route> = routes.into_iter().map(|(branches, senders, to)| Route {
            branches,
            senders,
            to: to.into_iter().map(|at| Arc::from(["a", "b", "c"][at])).collect(),
            ..Route::default()
        }).collect();
        let facts = Facts { branch, sender: Some(sender), is_test, ..Facts::default() };
        let router = router(&routes);
        let mut expected = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            let alone = Router::new(std::slice::from_ref(route), &[]).unwrap();
            if !alone.route(&event("push"), &facts).is_empty() {
                for destination in &route.to {
                    if !expected.iter().any(|(have, _)| have == destination.as_ref()) {
                        expected.push((destination.to_string(), Some(format!("route {}", at + 1))));
                    }
                }
            }
        }
        prop_assert_eq!(&names(&router, "push", &facts), &expected);
        let explained = router.explain(&event("push"), &facts);
        prop_assert_eq!(explained.len(), routes.len());
        // Taking an exclude away never stops an event, and a test is never stopped by these two.
        let without: Vec<Route> = routes.iter().map(|route| {
            let mut route = route.clone();
            let keep = |patterns: &mut Vec<String>| {
                let includes = patterns.iter().any(|pattern| !pattern.starts_with('!'));
                patterns.retain(|pattern| includes && !pattern.starts_with('!'));
            };
            keep(&mut route.branches);
            keep(&mut route.senders);
            route
        }).collect();
        let more = Router::new(&without, &[]).unwrap().route(&event("push"), &facts);
        prop_assert!(more.len() >= expected.len());
        if is_test {
            prop_assert!(explained.iter().all(|explained| explained.matched));
        }
    }
}
