//! One delivery in, one out: recorded deliveries through the whole relay.

use gogs_relay::clock::Clock;
use gogs_relay::standin::{FakeGogs, Received, StandIn};

use crate::binary::{Answer, PATIENCE, raw_post};
use crate::corpus::{self, Delivered, Recorded};
use crate::relay::TestRelay;

/// Under which the destinations want signatures.
const OUT: &str = "destination-s3cret";

/// One recorded delivery to a hook of type Gogs.
struct Posted {
    event: String,
    id: String,
    delivered: Delivered,
    /// The JSON text, out of its form if it is one.
    json: Vec<u8>,
    signed: bool,
    repeats: bool,
}

/// A hook of type Gogs sends Gogs' own payload, the others what a chat service wants.
fn gogs_deliveries(recorded: Recorded) -> Vec<Posted> {
    let others = ["slack", "discord", "dingtalk"];
    let repeats = recorded.repeat_of.is_some();
    let hooks = recorded.deliveries.into_iter();
    hooks
        .filter(|(hook, _)| !others.iter().any(|other| hook.contains(other)))
        .map(|(_, delivered)| Posted {
            event: recorded.event.clone(),
            id: delivered.header("x-gogs-delivery").unwrap().to_owned(),
            json: json(&delivered),
            signed: !delivered.header("x-gogs-signature").unwrap().is_empty(),
            delivered,
            repeats,
        })
        .collect()
}

fn json(delivered: &Delivered) -> Vec<u8> {
    if delivered.header("content-type") == Some("application/json") {
        return delivered.body.clone().into_bytes();
    }
    let (name, value) = form_urlencoded::parse(delivered.body.as_bytes())
        .next()
        .unwrap();
    assert_eq!(name, "payload");
    value.into_owned().into_bytes()
}

/// A relay with a signed and an unsigned source, and two receivers of Gogs' format.
struct World {
    folder: tempfile::TempDir,
    relay: TestRelay,
    json: StandIn,
    form: StandIn,
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let json = StandIn::start(FakeGogs::with_secret(OUT), clock.clone())
            .await
            .unwrap();
        let form = StandIn::start(FakeGogs::with_secret(OUT), clock.clone())
            .await
            .unwrap();
        let yaml = format!(
            "sources:\n  gogs: {{ secret: {}, same_body: off }}\n  open: {{ unsigned: allow, same_body: off }}\n\
             destinations:\n  json: {{ gogs: {{ url: '{}', secret: {OUT} }} }}\n\
             \x20 form: {{ gogs: {{ url: '{}', secret: {OUT}, content_type: form }} }}\n",
            corpus::SECRET,
            json.url(),
            form.url(),
        );
        let relay = TestRelay::start(folder.path(), &yaml, clock).await;
        World {
            folder,
            relay,
            json,
            form,
        }
    }

    async fn post(&self, posted: &Posted) -> Answer {
        let (address, source) = (
            self.relay.hooks,
            if posted.signed { "gogs" } else { "open" },
        );
        let headers = posted.delivered.headers.clone();
        let body = posted.delivered.body.clone();
        let path = format!("/hooks/{source}");
        tokio::task::spawn_blocking(move || raw_post(address, &path, &headers, &body))
            .await
            .unwrap()
    }

    /// Waits until both receivers have `count` requests, checks each against what went in, and
    /// stops the relay.
    async fn finish(self, sent: &[Posted]) {
        for standin in [&self.json, &self.form] {
            let received = Clock::system()
                .timeout(PATIENCE, standin.wait_for(sent.len()))
                .await
                .unwrap();
            check(sent, &received);
            assert_eq!(standin.violations(), Vec::<String>::new());
        }
        self.relay.finish().await;
        drop(self.folder);
    }
}

/// Everything that went in came out, once, in order, byte for byte and under its own names.
fn check(sent: &[Posted], received: &[Received]) {
    assert_eq!(sent.len(), received.len());
    for (sent, received) in sent.iter().zip(received) {
        let payload = FakeGogs::payload(received).unwrap();
        assert_eq!(
            String::from_utf8(payload).unwrap().as_bytes(),
            sent.json,
            "the payload of {}",
            sent.id
        );
        assert_eq!(received.header("x-gogs-delivery"), sent.id);
        assert_eq!(received.header("x-gogs-event"), sent.event);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_delivery_leaves_byte_for_byte_and_signed_anew_as_json_and_as_form() {
    let (repeats, firsts): (Vec<Posted>, Vec<Posted>) = corpus::all()
        .into_iter()
        .flat_map(gogs_deliveries)
        .partition(|posted| posted.repeats);
    let world = World::start().await;
    for posted in &firsts {
        let answer = world.post(posted).await;
        assert_eq!(answer.status, 202, "{answer:?} to {}", posted.id);
    }
    world.finish(&firsts).await;
    for posted in &repeats {
        // The first of the pair is a delivery like any other, so this one needs a fresh queue.
        let world = World::start().await;
        assert_eq!(world.post(posted).await.status, 202);
        world.finish(std::slice::from_ref(posted)).await;
    }
    let (json, signed) = (
        firsts
            .iter()
            .filter(|posted| posted.delivered.body.starts_with('{'))
            .count(),
        firsts.iter().filter(|posted| posted.signed).count(),
    );
    println!(
        "{} recorded deliveries ({json} JSON, {} form; {signed} signed) and {} repeats came out of both receivers byte-equal",
        firsts.len(),
        firsts.len() - json,
        repeats.len(),
    );
}
