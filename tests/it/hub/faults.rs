//! Faults inside: a bug, a relay that is started again and again, a client that goes away, and more
//! repositories than are remembered.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gogs_relay::clock::Clock;
use gogs_relay::hub::Mode;
use gogs_relay::queue::Note;
use gogs_relay::send::dial::{LookUp, Resolve, SystemResolver};
use gogs_relay::standin::Script;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::reader::{Reader, TOPIC, ask, field, met, pushed, read, start};
use super::scene::Scene;
use crate::api::wire::SECRET;
use crate::binary::signature;
use crate::world::{World, within};

/// Has a bug that shows once.
struct Panics(AtomicBool);

impl Resolve for Panics {
    fn look_up(&self, _: String) -> LookUp {
        assert!(self.0.swap(true, Ordering::SeqCst), "the bug of this test");
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

#[tokio::test]
async fn a_panic_while_a_reader_is_asked_costs_one_question_and_not_the_request() {
    within(async {
        let (data, time) = (Arc::new(tempfile::tempdir().unwrap()), World::clock());
        let scene = Scene::start(data, &time, Arc::new(Panics(false.into()))).await;
        let reader = Reader::start().await;
        scene.pushed(("orbit/public-1", false), 1).await;
        let port = reader.standin.address().port();
        let callback = format!("http://reader.example:{port}/in?for=a");
        let wish = scene.wish(Mode::Subscribe, &callback, "s3cret");
        scene.hub.take(wish).await.unwrap();
        let again = Duration::from_secs(15);
        scene.world.hand.someone_sleeps_until(again).await;
        assert_eq!(reader.questions().len(), 0);
        scene.world.hand.advance(again);
        reader.is_asked(1).await;
        while !scene.is_done() {
            tokio::task::yield_now().await;
        }
        assert_eq!(scene.hooks().len(), 1);
        scene.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_does_not_answer_is_not_asked_more_often_because_of_restarts() {
    within(async {
        let (clock, _hand) = World::clock();
        let folder = tempfile::tempdir().unwrap();
        let (mut relay, reader) = met(folder.path(), clock.clone()).await;
        reader.standin.script([503, 503, 503].map(Script::status));
        let wished = ask(&relay, "subscribe", TOPIC, &reader.callback("a")).await;
        assert_eq!(wished.status, 202);
        for times in 1..=3 {
            reader.is_asked(times).await;
            relay.finish().await;
            relay = start(folder.path(), clock.clone()).await;
        }
        // One host is asked one thing after the other, the oldest first.
        let wished = ask(&relay, "subscribe", TOPIC, &reader.callback("b")).await;
        assert_eq!(wished.status, 202);
        let question = reader.is_asked(4).await;
        assert_eq!(field(&question, "for"), "b");
        relay.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_the_topic_s_content_although_who_posted_it_went_away() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        pushed(&relay, 0).await;
        let mut stored = 0;
        for number in 1..40 {
            let body = format!(
                r#"{{"before":"{number}","repository":{{"full_name":"orbit/public-1","private":false}}}}"#
            );
            let request = format!(
                "POST /hooks/gogs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 X-Gogs-Event: push\r\nX-Gogs-Signature: {}\r\nContent-Length: {}\r\n\r\n{body}",
                signature(SECRET, &body),
                body.len()
            );
            let mut client = TcpStream::connect(relay.hooks).await.unwrap();
            client.write_all(request.as_bytes()).await.unwrap();
            // At another moment each time.
            tokio::time::sleep(Duration::from_micros(100 * (number % 20))).await;
            drop(client);
            loop {
                let (_, newest) = relay.api("GET /v1/deliveries?limit=1", "").await;
                let event = &newest["deliveries"][0]["event"];
                let (_, event) = relay.api(&format!("GET /v1/events/{event}"), "").await;
                let shown = read(&relay, "/orbit/public-1/events/push", &[]).await;
                if event["body"] == shown.body.as_str() {
                    stored += u64::from(shown.body == body);
                    break;
                }
            }
        }
        figure!("of 39 events whose senders went away {stored} were seen stored at once");
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn of_ten_thousand_repositories_and_no_more_it_is_stored_whether_they_are_public() {
    within(async {
        let (data, time) = (Arc::new(tempfile::tempdir().unwrap()), World::clock());
        let world = Scene::world(data, &time).await;
        let note = |number: usize| Note {
            name: format!("hub-repository/gogs/orbit/public-{number}"),
            value: Some(vec![1]),
        };
        for first in (0..10_200).step_by(100) {
            let notes = (first..first + 100).map(note).collect();
            world.queue.write_notes(notes).await.unwrap();
        }
        let hub = world.hub(Arc::new(SystemResolver)).await;
        let scene = Scene { world, hub };
        let notes = || scene.notes("hub-repository/");
        assert_eq!(notes().len(), 10_000);
        for number in 0..3 {
            let name = format!("orbit/public-new-{number}");
            scene.pushed((&name, number == 1), number).await;
            let stored = format!("hub-repository/gogs/{name}");
            assert!(notes().iter().any(|(name, _)| *name == stored));
            assert_eq!(notes().len(), 10_000);
        }
        scene.finish().await;
    })
    .await;
}
