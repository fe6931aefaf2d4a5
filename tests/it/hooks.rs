//! Hooks that somebody added over an API: what they get, and that they outlive everything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::delivery::State;
use gogs_relay::destination::{ContentType, SecretUrl};
use gogs_relay::event::{Event, EventId, Facts};
use gogs_relay::hook::{Hook, HookConfig, HookKind, Repository};
use gogs_relay::hooks::{self, Change, Draft};
use gogs_relay::queue::{Appended, Keep, Options, Planned, Queue, QueueError};
use gogs_relay::standin::{FakeGogs, Script, StandIn};
use tokio_util::task::TaskTracker;

use crate::files::copy_folder;
use crate::world::{NO_REPEATS, SECRET, World, body, gogs, s, within};

async fn fake_gogs(clock: &Clock) -> StandIn {
    let service = FakeGogs::with_secret(SECRET);
    StandIn::start(service, clock.clone()).await.unwrap()
}

fn config(url: &str) -> HookConfig {
    HookConfig {
        url: SecretUrl::parse(url).unwrap(),
        content_type: ContentType::Json,
        secret: Some(SECRET.to_owned().into()),
        insecure_ssl: false,
        channel: None,
        username: None,
        icon_url: None,
        color: None,
        subscription: None,
    }
}

fn draft(repository: &str, events: &[&str], url: &str) -> Draft {
    Draft {
        repository: Repository {
            source: "gogs".into(),
            name: repository.to_owned(),
        },
        kind: HookKind::Gogs,
        config: config(url),
        events: events.iter().map(|name| (*name).to_owned()).collect(),
        active: true,
    }
}

async fn create(world: &World, draft: Draft) -> Hook {
    let created = world.hooks.change(|_| Ok::<_, ()>(Change::Create(draft)));
    created.await.unwrap().unwrap()
}

async fn edit(world: &World, id: u64, edit: impl FnOnce(&mut Hook) + Send + 'static) -> Hook {
    let edited = world.hooks.change(move |hooks| {
        let mut hook = hooks.by_id(id).unwrap().clone();
        edit(&mut hook);
        Ok::<_, ()>(Change::Replace(hook))
    });
    edited.await.unwrap().unwrap()
}

async fn delete(world: &World, id: u64) {
    let deleted = world.hooks.change(move |_| Ok::<_, ()>(Change::Delete(id)));
    deleted.await.unwrap().unwrap();
}

/// Stores an event of the repository as the relay would, by the routes and hooks in force.
async fn happens(world: &World, name: &str, repository: &str, number: u32) -> EventId {
    let event = Event {
        source: "gogs".into(),
        name: name.into(),
        delivery_id: uuid::Uuid::new_v4().to_string().into(),
        received: world.clock.now(),
        body: body(number).into(),
    };
    let facts = Facts {
        repo: Some(repository.to_owned()),
        ..Facts::default()
    };
    let deliveries = world.settings.borrow().router.route(&event, &facts);
    let planned = Planned {
        event,
        facts,
        deliveries,
    };
    match world.queue.append(planned, NO_REPEATS).await.unwrap() {
        Appended::New(id) => id,
        repeats => panic!("{repeats:?}"),
    }
}

fn bodies(standin: &StandIn) -> Vec<String> {
    let received = standin.received().into_iter();
    let text = |it: gogs_relay::standin::Received| String::from_utf8(it.body.to_vec()).unwrap();
    received.map(text).collect()
}

#[tokio::test]
async fn a_hook_gets_the_events_it_names_of_its_repository_from_its_creation_on() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        let world = World::start(&time, vec![]);
        happens(&world, "push", "orbit/lander", 0).await;
        let draft = draft("Orbit/Lander", &["push"], &standin.url());
        let hook = create(&world, draft).await;
        happens(&world, "push", "orbit/lander", 1).await;
        happens(&world, "issues", "orbit/lander", 2).await;
        happens(&world, "push", "orbit/rover", 3).await;
        happens(&world, "push", "ORBIT/lander", 4).await;
        world.idle(&hook.lane()).await;
        assert_eq!(bodies(&standin), [body(1), body(4)]);

        edit(&world, hook.id, |hook| hook.events = vec!["*".to_owned()]).await;
        happens(&world, "issues", "orbit/lander", 5).await;
        world.idle(&hook.lane()).await;
        assert_eq!(bodies(&standin), [body(1), body(4), body(5)]);
        assert!(standin.violations().is_empty());
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_edit_holds_for_what_waits_and_one_hook_without_an_answer_changes_nothing_for_others() {
    within(async {
        let time = World::clock();
        let (wrong, right) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        let other = fake_gogs(&time.0).await;
        wrong.rule(|_| Some(Script::status(500)));
        let world = World::start(&time, vec![gogs("ci", &other)]);
        let failing = create(&world, draft("orbit/lander", &["push"], &wrong.url())).await;
        let healthy = create(&world, draft("orbit/lander", &["push"], &other.url())).await;
        for number in 0..3 {
            happens(&world, "push", "orbit/lander", number).await;
        }
        world.idle(&healthy.lane()).await;
        world.idle("ci").await;
        assert_eq!(other.received().len(), 6);
        let is_failing = |lane: &gogs_relay::queue::LaneStatus| lane.failing_since.is_some();
        world.lane_is(&failing.lane(), is_failing).await;
        let url = right.url();
        edit(&world, failing.id, move |hook| {
            hook.config.url = SecretUrl::parse(&url).unwrap()
        })
        .await;
        world.idle(&failing.lane()).await;
        assert_eq!(bodies(&right), [body(0), body(1), body(2)]);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_inactive_hook_gets_nothing_new_and_what_waits_is_held() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(500)));
        let world = World::start(&time, vec![]);
        let hook = create(&world, draft("orbit/lander", &["push"], &standin.url())).await;
        let waits = happens(&world, "push", "orbit/lander", 0).await;
        world
            .lane_is(&hook.lane(), |lane| lane.next_try.is_some())
            .await;
        edit(&world, hook.id, |hook| hook.active = false).await;
        happens(&world, "push", "orbit/lander", 1).await;
        let held = |world: &World| world.lane(&hook.lane()).held.map(|held| held.words);
        assert_eq!(held(&world).as_deref(), Some("the hook is inactive"));
        assert_eq!(world.lane(&hook.lane()).waiting, 1);

        let world = world.restart(s(60.0), vec![]).await;
        world.hooks.tidy_up(&world.deleted).await;
        assert_eq!(held(&world).as_deref(), Some("the hook is inactive"));
        standin.rule(|_| None);
        edit(&world, hook.id, |hook| hook.active = true).await;
        world.settled(waits, &hook.lane(), State::Delivered).await;
        assert_eq!(world.lane(&hook.lane()).waiting, 0);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_hook_gets_nothing_more_and_its_id_is_never_given_again() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(500)));
        let world = World::start(&time, vec![]);
        let hook = create(&world, draft("orbit/lander", &["push"], &standin.url())).await;
        let waits = happens(&world, "push", "orbit/lander", 0).await;
        world
            .lane_is(&hook.lane(), |lane| lane.next_try.is_some())
            .await;
        delete(&world, hook.id).await;
        let delivery = world.delivery(waits, &hook.lane()).await.unwrap();
        assert_eq!(delivery.state, State::Cancelled);
        happens(&world, "push", "orbit/lander", 1).await;
        assert_eq!(standin.received().len(), 1);

        let world = world.restart(s(60.0), vec![]).await;
        assert!(world.deleted.is_empty(), "nothing is left to do for it");
        let next = create(&world, draft("orbit/lander", &["push"], &standin.url())).await;
        assert!(next.id > hook.id);
        world.finish().await;
    })
    .await;
}

/// Lets `days` pass in steps of eight hours, while an event comes each day.
async fn days_pass(world: &World, days: u32) {
    for _ in 0..days {
        happens(world, "push", "orbit/lander", 0).await;
        for _ in 0..3 {
            world.hand.advance(s(8.0 * 3600.0));
            // Everybody who woke goes as far as it can.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn a_hook_that_does_nothing_but_fail_for_five_days_becomes_inactive_and_says_so() {
    within(async {
        let time = World::clock();
        let (gone, fine) = (fake_gogs(&time.0).await, fake_gogs(&time.0).await);
        gone.rule(|_| Some(Script::status(503)));
        let world = World::start(&time, vec![]);
        world.watch_hooks();
        let hook = create(&world, draft("orbit/lander", &["push"], &gone.url())).await;
        let other = create(&world, draft("orbit/lander", &["push"], &fine.url())).await;
        let now = |id| world.settings.borrow().hooks.by_id(id).unwrap().clone();
        days_pass(&world, 4).await;
        assert!(now(hook.id).active, "it has a day left");
        while now(hook.id).active {
            days_pass(&world, 1).await;
        }
        assert!(now(hook.id).gave_up.is_some() && now(other.id).active);
        world
            .lane_is(&hook.lane(), |lane| lane.held.is_some())
            .await;
        let words = world.lane(&hook.lane()).held.unwrap().words;
        assert!(words.contains("for five days"), "{words}");

        gone.rule(|_| None);
        edit(&world, hook.id, |hook| hook.active = true).await;
        assert_eq!(now(hook.id).gave_up, None);
        let last = happens(&world, "push", "orbit/lander", 0).await;
        world.settled(last, &hook.lane(), State::Delivered).await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_hook_that_cannot_be_stored_is_refused_and_leaves_nothing() {
    within(async {
        let time = World::clock();
        let world = World::start(&time, vec![]);
        let url = format!("https://ci.invalid/{}", "x".repeat(4000));
        let draft = draft("orbit/lander", &["push"], &url);
        let refused = world.hooks.change(|_| Ok::<_, ()>(Change::Create(draft)));
        assert!(matches!(refused.await, Err(QueueError::Refused(_))));
        assert_eq!(world.settings.borrow().hooks.all().count(), 0);
        assert!(world.queue.read_notes("").unwrap().is_empty());
        world.finish().await;
    })
    .await;
}

/// What a start finds in a copy of the data folder: the hooks, and the names of all lanes.
fn found_in(image: &Path) -> (Vec<Hook>, Vec<Arc<str>>) {
    let keep = Keep {
        keep: Duration::from_secs(86_400),
        at_most: 1000,
    };
    let options = Options {
        data: image.to_owned(),
        history: keep,
        dead: keep,
        dedupe: keep,
        backlog: 1000,
        free_disk: 0,
    };
    let mut found = Vec::new();
    let lanes = |notes: &gogs_relay::queue::Notes| {
        found = hooks::read(notes)?.hooks;
        Ok(Vec::new())
    };
    let queue = Queue::open_by_notes(options, lanes, Clock::system()).unwrap();
    let lanes = queue.lanes().into_iter().map(|lane| lane.destination);
    let lanes = lanes.collect();
    (found, lanes)
}

/// Makes another hook, edits `kept` or deletes the newest, in turn.
async fn some_change(world: Arc<World>, round: usize, kept: u64, url: String) {
    match round % 3 {
        0 => drop(create(&world, draft("orbit/rover", &["push"], &url)).await),
        1 => {
            let events = vec![format!("event_{round}")];
            edit(&world, kept, move |hook| hook.events = events).await;
        }
        _ => {
            let newest = world.settings.borrow().hooks.all().last().map(|it| it.id);
            delete(&world, newest.unwrap()).await;
        }
    }
}

fn image(world: &World) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    copy_folder(world.data(), image.path());
    image
}

fn all(world: &World) -> Vec<Hook> {
    world.settings.borrow().hooks.all().cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_at_any_moment_of_a_change_leaves_the_hook_as_it_was_or_as_it_was_to_be() {
    within(async {
        let time = World::clock();
        let standin = fake_gogs(&time.0).await;
        standin.rule(|_| Some(Script::status(500)));
        let world = Arc::new(World::start(&time, vec![]));
        let kept = create(&world, draft("orbit/lander", &["push"], &standin.url())).await;
        happens(&world, "push", "orbit/lander", 0).await;
        let (mut images, mut early) = (0, 0);
        for round in 0..12 {
            let before = all(&world);
            let change = some_change(world.clone(), round, kept.id, standin.url());
            let change = TaskTracker::new().spawn(change);
            let mut crashes = Vec::new();
            while !change.is_finished() && crashes.len() < 20 {
                crashes.push(tokio::task::block_in_place(|| image(&world)));
            }
            change.await.unwrap();
            let after = all(&world);
            for crash in &crashes {
                let (found, _) = found_in(crash.path());
                assert!(found == before || found == after, "{found:?}");
                images += 1;
                early += u32::from(found == before);
            }
            // Whoever has an answer finds it so whatever happens.
            let (found, lanes) = found_in(image(&world).path());
            assert_eq!(found, after);
            assert!(lanes.contains(&kept.lane()), "{lanes:?}");
        }
        figure!("{images} crashes within 12 changes of hooks, {early} of them before the change");
        Arc::into_inner(world).unwrap().finish().await;
    })
    .await;
}
