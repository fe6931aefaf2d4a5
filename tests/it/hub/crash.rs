//! A crash after every single commit of subscribing, renewing, unsubscribing, a lease's end and a
//! denial: what was answered comes to its end at the next start, nothing is there twice, and the
//! start after that changes nothing.
//!
//! The hub runs on the test's own thread, and an image of the data folder is taken whenever the
//! queue has committed something, before anybody goes on. Should two commits have come between two
//! looks, the images are not all there are, and everything is done again.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use gogs_relay::clock::{Clock, Timestamp};
use gogs_relay::hub::Mode;
use gogs_relay::send::dial::SystemResolver;
use gogs_relay::standin::Received;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::reader::{Reader, field};
use super::scene::{LEASE, Scene};
use crate::binary::signature;
use crate::files::copy_folder;
use crate::world::{World, s};

const PUBLIC: (&str, bool) = ("orbit/public-1", false);
const PRIVATE: (&str, bool) = ("orbit/public-1", true);
/// Looks that came too late are repeated so often.
const TRIES: u64 = 40;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Story {
    Subscribe,
    Renew,
    Unsubscribe,
    RunOut,
    TurnPrivate,
}

/// The secret of the subscription, and when it ends, if there is one.
type End = Option<(String, Timestamp)>;

/// What a crash would have left of the data folder.
struct Image {
    data: Arc<TempDir>,
    now: Timestamp,
    /// It was answered, or is on disk at least.
    is_stored: bool,
    /// The reader had been told that it is denied.
    is_told: bool,
}

/// All images of a story, what there was before and after it, and whoever it is about.
struct Played {
    reader: Reader,
    images: Vec<Image>,
    ends: [End; 2],
}

impl Story {
    /// Has it happen; it is answered when this returns.
    async fn happens(self, scene: &Scene, reader: &Reader) {
        let (mode, secret) = match self {
            Story::Subscribe => (Mode::Subscribe, "first"),
            Story::Renew => (Mode::Subscribe, "second"),
            Story::Unsubscribe => (Mode::Unsubscribe, ""),
            Story::RunOut => return scene.world.hand.advance(LEASE),
            Story::TurnPrivate => return scene.pushed(PRIVATE, 2).await,
        };
        let wish = scene.wish(mode, &reader.callback("a"), secret);
        scene.hub.take(wish).await.unwrap();
    }

    /// Whether there is what is to be there in the end.
    fn is_over(self, end: &End) -> bool {
        let secret = end.as_ref().map(|(secret, _)| secret.as_str());
        match self {
            Story::Subscribe => secret == Some("first"),
            Story::Renew => secret == Some("second"),
            Story::Unsubscribe | Story::RunOut | Story::TurnPrivate => secret.is_none(),
        }
    }

    /// Plays it in a new world. Nothing if an image was missed.
    async fn play(self, looks: u64) -> Option<Played> {
        let reader = Reader::start().await;
        let data = Arc::new(tempfile::tempdir().unwrap());
        let scene = start(data, World::clock().0.now()).await;
        scene.pushed(PUBLIC, 1).await;
        if self != Story::Subscribe {
            Story::Subscribe.happens(&scene, &reader).await;
            settles(&scene, Story::Subscribe).await;
            scene.world.hand.advance(s(10.0));
        }
        let before = end(&scene);
        let images = self.images(&scene, &reader, looks).await;
        let ends = [before, end(&scene)];
        scene.finish().await;
        Some(Played {
            reader,
            images: images?,
            ends,
        })
    }

    async fn images(self, scene: &Scene, reader: &Reader, looks: u64) -> Option<Vec<Image>> {
        let is_answered = Cell::new(false);
        let mut playing = pin!(async {
            self.happens(scene, reader).await;
            is_answered.set(true);
            settles(scene, self).await;
        });
        let commits = || scene.world.queue.stats().commits;
        let events = || scene.world.queue.stats().events;
        let events_before = events();
        let is_stored = || events() > events_before || !scene.notes("hub-pending/").is_empty();
        let (mut images, mut seen) = (Vec::new(), commits());
        loop {
            // Polled again whether it was woken or not.
            let played = poll_fn(|context| Poll::Ready(playing.as_mut().poll(context))).await;
            // What was just asked of the queue is committed meanwhile, and nobody is told of it.
            for _ in 0..looks {
                if commits() == seen {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            if commits() > seen {
                seen += 1;
                let image = Image {
                    data: Arc::new(tempfile::tempdir().unwrap()),
                    now: scene.world.clock.now(),
                    is_stored: is_answered.get() || is_stored(),
                    is_told: is_denied(&reader.questions()),
                };
                copy_folder(scene.world.data(), image.data.path());
                // It is large, and any start makes another.
                std::fs::remove_file(image.data.path().join("reserve")).unwrap();
                if commits() > seen {
                    return None;
                }
                images.push(image);
            }
            if played.is_ready() {
                return Some(images);
            }
            tokio::task::yield_now().await;
        }
    }
}

async fn start(data: Arc<TempDir>, now: Timestamp) -> Scene {
    Scene::start(data, &Clock::stepped(now), Arc::new(SystemResolver)).await
}

/// Waits until a story is over.
async fn settles(scene: &Scene, story: Story) {
    while !scene.is_done() || !story.is_over(&end(scene)) {
        tokio::task::yield_now().await;
    }
}

/// What there is; never two of it.
fn end(scene: &Scene) -> End {
    let hooks = scene.hooks();
    assert!(hooks.len() <= 1, "{hooks:?}");
    let hook = hooks.into_iter().next()?;
    let secret = hook.config.secret.unwrap();
    let until = hook.config.subscription.unwrap().until;
    Some((secret.expose_secret().to_owned(), until))
}

fn is_denied(questions: &[Received]) -> bool {
    let mut modes = questions.iter().map(|it| field(it, "hub.mode"));
    modes.any(|mode| mode == "denied")
}

/// Starts from an image: what was answered comes to its end, and is so at every further start.
async fn comes_to_its_end(story: Story, played: &Played, image: &Image) {
    let reader = &played.reader;
    let (asked, delivered) = (reader.questions().len(), reader.deliveries().len());
    let scene = start(image.data.clone(), image.now).await;
    while !scene.is_done() {
        tokio::task::yield_now().await;
    }
    let found = end(&scene);
    let [before, after] = &played.ends;
    assert!(
        found == *after || (!image.is_stored && found == *before),
        "{story:?}: {found:?} is neither {before:?} nor {after:?}"
    );
    let lanes = scene.world.queue.lanes();
    let running = lanes.iter().filter(|lane| !lane.orphaned).count();
    assert_eq!(running, usize::from(found.is_some()), "{lanes:?}");
    let questions = reader.questions().split_off(asked);
    assert!(questions.len() <= 1, "{}", questions.len());
    let is_told = image.is_told || is_denied(&questions);
    assert_eq!(is_told, story == Story::TurnPrivate && found.is_none());

    scene.pushed(PUBLIC, 3).await;
    scene.world.waiting(0).await;
    let deliveries = reader.deliveries().split_off(delivered);
    let signatures = deliveries.iter().map(|it| it.header("x-hub-signature"));
    let expected = found
        .iter()
        .zip(&deliveries)
        .map(|((secret, _), delivery)| {
            let body = std::str::from_utf8(&delivery.body).unwrap();
            format!("sha256={}", signature(secret, body))
        });
    assert!(signatures.eq(expected), "{}", deliveries.len());
    assert_eq!(deliveries.len(), usize::from(found.is_some()));

    let notes = scene.notes("");
    scene.finish().await;
    let asked = reader.questions().len();
    let scene = start(image.data.clone(), image.now).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((scene.notes(""), end(&scene)), (notes, found));
    assert_eq!(reader.questions().len(), asked);
    scene.finish().await;
}

async fn played(story: Story) -> Played {
    for at in 1..=TRIES {
        if let Some(played) = story.play(4 + at).await {
            return played;
        }
    }
    panic!("{story:?} went on between two looks {TRIES} times");
}

#[tokio::test]
async fn a_crash_after_any_commit_of_a_subscription_s_life_leaves_what_was_answered_to_come_true() {
    let mut counts = Vec::new();
    for story in [
        Story::Subscribe,
        Story::Renew,
        Story::Unsubscribe,
        Story::RunOut,
        Story::TurnPrivate,
    ] {
        let played = played(story).await;
        assert!(played.images.len() >= 3, "{story:?}");
        for image in &played.images {
            comes_to_its_end(story, &played, image).await;
        }
        counts.push(format!("{story:?} {}", played.images.len()));
    }
    figure!("crashes after each commit: {}", counts.join(", "));
}
