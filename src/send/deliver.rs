//! One attempt: renders, sends, reads the answer, and walks down the ladder while the service
//! refuses the message for its content.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;

use crate::clock::{Clock, Timestamp};
use crate::delivery::Reason;
use crate::destination::{Destination, Kind};
use crate::event::{Event, EventId};
use crate::plan::{Rendered, Step, Templates};
use crate::send::caught::{caught, panicked};
use crate::send::ladder::{below, ladder_end, render};
use crate::send::notes::Notes;
use crate::send::pace::BucketKey;
use crate::send::request::{self, Outgoing};
use crate::send::transport::{self, Answer, Failure, Transport};
use crate::send::turn::{Turn, Turns};
use crate::send::verdict::{self, Judgement, Verdict};
use crate::send::voice::Voice;
use crate::send::{dingtalk, discord, github, gogs, slack, websub};

pub use crate::send::notes::Outcome;

/// Where destinations of the kind `console` write.
pub type Console = Arc<Mutex<dyn Write + Send>>;

/// A second request of the same attempt waits so long for the pace; beyond, it is another try.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes attempts. Cheap to clone.
#[derive(Clone)]
pub struct Courier {
    transport: Transport,
    turns: Turns,
    console: Console,
    clock: Clock,
}

/// What is to be delivered where.
#[derive(Clone, Copy)]
pub struct Errand<'a> {
    pub event: &'a Event,
    pub id: EventId,
    pub destination: &'a Destination,
    pub templates: &'a Templates,
    /// How the hub speaks, if there is one.
    pub hub: Option<Voice<'a>>,
}

impl Courier {
    pub fn new(transport: Transport, turns: Turns, console: Console, clock: Clock) -> Courier {
        Courier {
            transport,
            turns,
            console,
            clock,
        }
    }

    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// One attempt, with a turn already taken. A panic on the way is a verdict.
    pub async fn attempt(&self, errand: Errand<'_>, turn: Turn) -> Outcome {
        let started = self.clock.now();
        let begun = self.clock.elapsed();
        let mut notes = Notes::default();
        let judgement = caught(self.ladder(errand, turn, &mut notes)).await;
        let judgement = judgement.unwrap_or_else(|| panicked("sending"));
        let duration = self.clock.elapsed().saturating_sub(begun);
        notes.outcome(judgement, started, duration)
    }

    async fn ladder(&self, errand: Errand<'_>, turn: Turn, notes: &mut Notes) -> Judgement {
        let mut turn = Some(turn);
        let mut from = Step::Chosen;
        let mut refused: Option<(Bytes, Judgement)> = None;
        loop {
            let not = refused.as_ref().map(|(body, _)| &body[..]);
            let message = match render(errand, from, not) {
                Rendered::Message(message) => message,
                Rendered::Skip {
                    template,
                    fingerprint,
                } if refused.is_none() => {
                    notes.template = template;
                    notes.fingerprint = fingerprint;
                    return Judgement::new(Verdict::Skip, "its template rendered nothing".into());
                }
                Rendered::Skip { .. } => return ladder_end(refused, "it rendered nothing"),
                Rendered::Failed(why) => return ladder_end(refused, &why),
            };
            notes.rendered(&message);
            let turn = match self.turn(errand, turn.take()).await {
                Ok(turn) => turn,
                Err(judgement) => return judgement,
            };
            let judgement = self.send(errand, &message.body, turn, notes).await;
            if !matches!(judgement.verdict, Verdict::Reshape { .. }) {
                return judgement;
            }
            notes.say(format!("{}: {}", message.template, judgement.words));
            refused = Some((message.body, judgement));
            match below(message.step) {
                Some(step) => from = step,
                None => return ladder_end(refused, "there is no plainer form"),
            }
        }
    }

    /// The turn at hand, or a new one for a further request.
    async fn turn(&self, errand: Errand<'_>, turn: Option<Turn>) -> Result<Turn, Judgement> {
        if let Some(turn) = turn {
            return Ok(turn);
        }
        let bucket = BucketKey::of(errand.destination);
        let turn = self.turns.wait(bucket.as_ref(), PATIENCE).await;
        turn.map_err(|wait| {
            let verdict = Verdict::Retry {
                reason: Reason::RateLimited,
                wait: Some(wait),
            };
            let words = "the URL rests before a plainer form can be tried".to_owned();
            Judgement::new(verdict, words)
        })
    }

    async fn send(
        &self,
        errand: Errand<'_>,
        message: &Bytes,
        turn: Turn,
        notes: &mut Notes,
    ) -> Judgement {
        let Some(outgoing) = self.request(errand, message) else {
            return self
                .print(errand.destination.timeout, message.clone())
                .await;
        };
        let judgement = self.post(errand, outgoing, message, notes).await;
        drop(turn);
        if !channel_not_found(errand.destination, &notes.answer) {
            return judgement;
        }
        let Some((message, channel)) = request::without_channel(message) else {
            return judgement;
        };
        let Some(outgoing) = self.request(errand, &message) else {
            return judgement;
        };
        let _turn = match self.turn(errand, None).await {
            Ok(turn) => turn,
            Err(judgement) => return judgement,
        };
        notes.say(format!(
            "Slack knows no channel {channel:?}: sent to the hook's own channel"
        ));
        self.post(errand, outgoing, &message, notes).await
    }

    fn request<'a>(&self, errand: Errand<'a>, message: &Bytes) -> Option<Outgoing<'a>> {
        let now = self.clock.now();
        request::build(errand, message, now)
    }

    /// Posts, reads the answer, and slows the bucket down if the answer says so.
    async fn post(
        &self,
        errand: Errand<'_>,
        outgoing: Outgoing<'_>,
        message: &Bytes,
        notes: &mut Notes,
    ) -> Judgement {
        let destination = errand.destination;
        let is_chat = !destination.kind.takes_payloads();
        notes.sent = is_chat.then(|| message.clone());
        let Outgoing { url, headers, body } = outgoing;
        let kept = matches!(destination.kind, Kind::GitHub(_) | Kind::WebSub(_));
        let asked = kept.then(|| headers.clone());
        let request = transport::Request {
            method: Method::POST,
            url: &url,
            reach: destination.reach,
            trust: destination.kind.trust(),
            headers,
            body,
            most: transport::ANSWER,
        };
        let called = self.transport.call(request, destination.timeout).await;
        if let (Some(asked), Ok(_) | Err(Failure::Trouble { .. })) = (asked, &called) {
            let answered = called.as_ref().ok().map(|answer| &answer.headers);
            notes.sent = Some(github::heads(&asked, answered));
        }
        let answer = match called {
            Ok(answer) => answer,
            Err(failure) => {
                notes.answered(None, Bytes::new());
                return unanswered(failure);
            }
        };
        let judgement = judge(&destination.kind, &answer, self.clock.now());
        // A chat service's answer that broke off is none.
        let status = (answer.cut.is_none() || !is_chat).then_some(answer.status);
        notes.answered(status, answer.body);
        if let (Some(slowdown), Some(bucket)) = (judgement.slowdown, BucketKey::of(destination)) {
            let now = self.clock.elapsed();
            self.turns.pacer().slow(&bucket, slowdown, now);
        }
        judgement
    }

    /// Writes to the console on a thread that may block, since a terminal can stand still.
    async fn print(&self, limit: Duration, text: Bytes) -> Judgement {
        let console = self.console.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let mut console = console.lock().unwrap_or_else(PoisonError::into_inner);
            console.write_all(&text)?;
            if !text.ends_with(b"\n") {
                console.write_all(b"\n")?;
            }
            console.flush()
        });
        let reason = match self.clock.timeout(limit, writing).await {
            Ok(Ok(Ok(()))) => return Judgement::new(Verdict::Delivered, "printed".into()),
            Ok(Ok(Err(_))) => Reason::Reset,
            Ok(Err(_)) => return panicked("printing"),
            Err(_) => Reason::Timeout,
        };
        let verdict = Verdict::Retry { reason, wait: None };
        Judgement::new(verdict, "the console does not take what is printed".into())
    }
}

fn judge(kind: &Kind, answer: &Answer, now: Timestamp) -> Judgement {
    let judgement = match kind {
        Kind::Slack(_) => slack::judge(answer, now),
        Kind::Discord(_) => discord::judge(answer, now),
        Kind::DingTalk(_) => dingtalk::judge(answer, now),
        Kind::WebSub(_) => return websub::judge(answer, now),
        // The status says all, so a body that breaks off changes nothing.
        Kind::Gogs(_) | Kind::GitHub(_) | Kind::Console => return gogs::judge(answer, now),
    };
    match answer.cut {
        None => judgement,
        Some(reason) => {
            let verdict = Verdict::Retry { reason, wait: None };
            let words = format!("an answer {} that broke off", answer.status);
            Judgement::new(verdict, words)
        }
    }
}

fn unanswered(failure: Failure) -> Judgement {
    match failure {
        Failure::Trouble { reason, words } => {
            Judgement::new(Verdict::Retry { reason, wait: None }, words)
        }
        Failure::Forbidden(refusal) => {
            Judgement::new(verdict::hold(Reason::Forbidden), refusal.to_string())
        }
    }
}

fn channel_not_found(destination: &Destination, answer: &[u8]) -> bool {
    matches!(&destination.kind, Kind::Slack(slack) if slack.channel.is_some())
        && slack::error_name(answer).as_deref() == Some(slack::CHANNEL_NOT_FOUND)
}
