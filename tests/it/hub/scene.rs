//! A hub over a queue and lanes of its own, without sockets in front: what it stores can be looked
//! at, and its clock is stepped by hand.

use std::sync::Arc;
use std::time::Duration;

use gogs_relay::clock::{Clock, Hand};
use gogs_relay::destination::SecretUrl;
use gogs_relay::event::Event;
use gogs_relay::hook::{Form, Hook, Repository};
use gogs_relay::hub::{Hub, Mode, Pending};
use gogs_relay::ingest::facts;
use gogs_relay::queue::Planned;
use gogs_relay::send::dial::Resolve;
use tempfile::TempDir;

use super::reader::TOPIC;
use crate::world::{NO_REPEATS, Plan, World};

pub(super) const LEASE: Duration = Duration::from_secs(600);
const YAML: &str = "hub: { source: gogs, open: [\"orbit/public-*\"] }\n";

pub(super) struct Scene {
    pub(super) world: World,
    pub(super) hub: Hub,
}

impl Scene {
    /// Starts in this data folder, as a relay does.
    pub(super) async fn start(
        data: Arc<TempDir>,
        time: &(Clock, Hand),
        resolver: Arc<dyn Resolve>,
    ) -> Scene {
        let world = Scene::world(data, time).await;
        let hub = world.hub(resolver).await;
        Scene { world, hub }
    }

    /// All but the hub.
    pub(super) async fn world(data: Arc<TempDir>, time: &(Clock, Hand)) -> World {
        let plan = Plan {
            yaml: YAML,
            ..Plan::default()
        };
        let world = World::start_in(data, time, vec![], plan);
        world.hooks.tidy_up(&world.deleted).await;
        world
    }

    /// A request about the topic of all pushes.
    pub(super) fn wish(&self, mode: Mode, callback: &str, secret: &str) -> Pending {
        Pending {
            mode,
            topic: TOPIC.to_owned(),
            callback: SecretUrl::parse(callback).unwrap(),
            repository: Repository {
                source: "gogs".into(),
                name: "orbit/public-1".to_owned(),
            },
            event: "push".to_owned(),
            form: Form::Json,
            secret: Some(secret.to_owned().into()),
            lease: LEASE,
            verify_token: None,
            open: true,
            since: self.world.clock.now(),
        }
    }

    /// A push of a repository is stored and answered.
    pub(super) async fn pushed(&self, (repository, private): (&str, bool), number: u32) {
        let body = format!(
            r#"{{"ref":"refs/heads/main","before":"{number}","repository":{{"full_name":"{repository}","private":{private}}}}}"#
        );
        let event = Event {
            source: "gogs".into(),
            name: "push".into(),
            delivery_id: uuid::Uuid::new_v4().to_string().into(),
            received: self.world.clock.now(),
            body: body.into(),
        };
        let (facts, settings) = (facts(&event), self.world.settings.borrow().clone());
        let arriving = self.hub.arriving(&settings, &event, &facts).await;
        let deliveries = settings.router.route(&event, &facts);
        let planned = Planned {
            event,
            facts,
            deliveries,
        };
        let arriving = arriving.unwrap().unwrap();
        let appended = self.hub.append(arriving, planned, NO_REPEATS).await;
        appended.unwrap();
    }

    /// All subscriptions.
    pub(super) fn hooks(&self) -> Vec<Hook> {
        self.world.settings.borrow().hooks.all().cloned().collect()
    }

    pub(super) fn notes(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.world.queue.read_notes(prefix).unwrap()
    }

    /// Nobody waits to be asked, and no hook is about to go.
    pub(super) fn is_done(&self) -> bool {
        let is_going = |(_, value): &(String, Vec<u8>)| value.is_empty();
        self.notes("hub-pending/").is_empty() && !self.notes("hook/").iter().any(is_going)
    }

    pub(super) async fn finish(self) {
        self.world.finish().await;
    }
}
