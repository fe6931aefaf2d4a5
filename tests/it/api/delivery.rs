//! Hooks made by Gogs' API get what they are there for.

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeDiscord, FakeGogs, FakeSlack, Received, Script, StandIn};
use serde_json::{Value, json};

use super::wire::{HOOKS, ask, happens, hook, start, tokens, yaml};
use crate::binary::signature;
use crate::world::within;

async fn standin(secret: &str) -> StandIn {
    let service = FakeGogs::with_secret(secret);
    StandIn::start(service, Clock::system()).await.unwrap()
}

fn numbers(received: &[Received]) -> Vec<Value> {
    received
        .iter()
        .map(|it| it.json()["before"].clone())
        .collect()
}

#[tokio::test]
async fn an_event_reaches_a_hook_made_by_the_api_signed_with_its_secret() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let receiver = standin("receiver-s3cret").await;
        let relay = start(folder.path(), Clock::system()).await;
        happens(&relay, "push", "orbit/lander", 0).await;
        let body = hook(&receiver.url(), r#","events":["push","issues"]"#);
        let made = ask(&relay, "POST", "/api/v1/repos/Orbit/LANDER/hooks", &body).await;
        let id = made.with(201)["id"].clone();
        happens(&relay, "push", "orbit/lander", 1).await;
        happens(&relay, "release", "orbit/lander", 2).await;
        happens(&relay, "push", "orbit/rover", 3).await;
        happens(&relay, "issues", "ORBIT/Lander", 4).await;
        let received = receiver.wait_for(2).await;
        assert_eq!(numbers(&received), ["1", "4"]);
        let body = String::from_utf8(received[0].body.to_vec()).unwrap();
        let signed = signature("receiver-s3cret", &body);
        assert_eq!(received[0].header("x-gogs-signature"), signed);
        assert_eq!(receiver.violations(), [""; 0]);

        let lane = format!("GET /v1/deliveries?destination=hook:{id}");
        let (_, deliveries) = relay.api(&lane, "").await;
        assert_eq!(deliveries["deliveries"].as_array().unwrap().len(), 2);
        let repository = ask(&relay, "GET", "/api/v1/repos/orbit/lander", "").await;
        let repository = repository.with(200);
        assert_eq!(repository["html_url"], "http://gogs/x");
        assert_eq!(repository["permissions"]["admin"], true);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_edited_url_and_secret_hold_for_what_waits() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let (wrong, right) = (
            standin("receiver-s3cret").await,
            standin("new-s3cret").await,
        );
        wrong.rule(|_| Some(Script::status(500)));
        let relay = start(folder.path(), Clock::system()).await;
        let made = ask(&relay, "POST", HOOKS, &hook(&wrong.url(), "")).await;
        let id = made.with(201)["id"].clone();
        happens(&relay, "push", "orbit/lander", 1).await;
        wrong.wait_for(1).await;
        happens(&relay, "push", "orbit/lander", 2).await;
        let edit = json!({ "config": { "url": right.url(), "secret": "new-s3cret" } });
        let target = format!("{HOOKS}/{id}");
        ask(&relay, "PATCH", &target, &edit.to_string())
            .await
            .with(200);
        let received = right.wait_for(2).await;
        assert_eq!(numbers(&received), ["1", "2"]);
        assert_eq!(right.violations(), [""; 0]);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_hook_and_an_inactive_one_get_nothing_more() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let secret = "receiver-s3cret";
        let (gone, paused, stays) = (
            standin(secret).await,
            standin(secret).await,
            standin(secret).await,
        );
        let relay = start(folder.path(), Clock::system()).await;
        let mut ids = Vec::new();
        for receiver in [&gone, &paused, &stays] {
            let made = ask(&relay, "POST", HOOKS, &hook(&receiver.url(), "")).await;
            ids.push(made.with(201)["id"].clone());
        }
        happens(&relay, "push", "orbit/lander", 1).await;
        for receiver in [&gone, &paused, &stays] {
            receiver.wait_for(1).await;
        }
        let target = |at: usize| format!("{HOOKS}/{}", ids[at]);
        ask(&relay, "DELETE", &target(0), "").await.with(204);
        ask(&relay, "PATCH", &target(1), r#"{"active":false}"#)
            .await
            .with(200);
        happens(&relay, "push", "orbit/lander", 2).await;
        happens(&relay, "push", "orbit/lander", 3).await;
        stays.wait_for(3).await;
        assert_eq!((gone.received().len(), paused.received().len()), (1, 1));
        ask(&relay, "GET", &target(0), "").await.with(404);
        let (_, hooks) = relay.api("GET /v1/hooks", "").await;
        assert!(!hooks.to_string().contains(secret), "{hooks}");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn hooks_use_the_set_of_templates_that_the_section_names_now() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let slack = StandIn::start(FakeSlack::default(), Clock::system())
            .await
            .unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let made = json!({
            "type": "slack",
            "config": { "url": slack.url(), "content_type": "json", "channel": "" },
            "active": true,
        });
        ask(&relay, "POST", HOOKS, &made.to_string())
            .await
            .with(201);
        for number in 1..=2 {
            happens(&relay, "push", "orbit/lander", number).await;
            slack.wait_for(number as usize).await;
        }
        let other = yaml(&format!("  templates: default\n{}", tokens()));
        assert_eq!(relay.reload(&other).await.0, 200);
        happens(&relay, "push", "orbit/lander", 3).await;
        let texts: Vec<Value> = slack.wait_for(3).await.iter().map(Received::json).collect();
        assert_eq!(texts[0], texts[1]);
        assert_ne!(texts[1], texts[2]);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn the_settings_of_a_discord_hook_are_used() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let service = FakeDiscord::default();
        let discord = StandIn::start(service, Clock::system()).await.unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let made = json!({
            "type": "discord",
            "config": { "url": discord.url(), "content_type": "json", "username": "Orbit" },
            "active": true,
        });
        ask(&relay, "POST", HOOKS, &made.to_string())
            .await
            .with(201);
        happens(&relay, "push", "orbit/lander", 1).await;
        let received = discord.wait_for(1).await;
        assert_eq!(received[0].json()["username"], "Orbit");
        relay.finish().await;
    })
    .await;
}
