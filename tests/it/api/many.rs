//! A thousand hooks on one repository.

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, StandIn};
use serde_json::json;

use super::wire::{HOOKS, happens, hook, start};
use crate::binary::Client;
use crate::relay::TestRelay;
use crate::world::within;

const HOOKS_OF_ONE: usize = 1000;

/// Makes so many hooks to this URL; how long the slowest took.
async fn make(relay: &TestRelay, count: usize, url: String) -> std::time::Duration {
    let address = relay.hooks;
    let making = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(address).unwrap();
        let took = (0..count).map(|number| {
            let url = format!("{url}?number={number}");
            let clock = Clock::system();
            let made = client.call(super::wire::TOKEN, ("POST", HOOKS), &hook(&url, ""));
            assert_eq!(made.unwrap().status, 201);
            clock.elapsed()
        });
        took.max().unwrap_or_default()
    });
    making.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_each_of_a_thousand_hooks_and_a_black_hole_keeps_it_from_none() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let relay = start(folder.path(), clock.clone()).await;
        let service = FakeGogs::with_secret("receiver-s3cret");
        let standin = StandIn::start(service, clock).await.unwrap();
        // Takes connections, and never answers.
        let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let hole = format!("http://{}/", hole.local_addr().unwrap());
        make(&relay, 1, hole).await;
        let slowest = make(&relay, HOOKS_OF_ONE, standin.url()).await;
        for number in 0..3 {
            happens(&relay, "push", "orbit/lander", number).await;
        }
        let received = standin.wait_for(3 * HOOKS_OF_ONE).await;
        let mut paths: Vec<&str> = received.iter().map(|request| request.target.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), HOOKS_OF_ONE);
        assert!(standin.violations().is_empty());
        let (_, hooks) = relay.api("GET /v1/hooks", "").await;
        let waiting = hooks["hooks"].as_array().unwrap().iter();
        let waiting = waiting.filter(|hook| hook["lane"]["waiting"] != json!(0));
        assert!(waiting.count() >= 1, "the black hole has it still");
        figure!("{HOOKS_OF_ONE} hooks, 3 events to each; the slowest was made in {slowest:?} (debug build)");
        relay.finish().await;
    })
    .await;
}
