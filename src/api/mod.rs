//! The hook APIs and the hub on `listen`: which is served where, to whom, and how a call comes to it.
//!
//! A request below an API's prefix becomes a `Call` once its token is right and its body is there;
//! everything else on the listener is for ingest. A further API is a folder with two functions,
//! `answer` (a `Call` to its answer) and `refused` (a `Refusal` in its words), and a variant of
//! `Served` that names them. The hub is beside them, because it takes requests without a token
//! too. Only `auth` looks at tokens, and only the [`Desk`] changes hooks.

mod auth;
mod call;
mod failures;
mod github;
mod gogs;
mod hub;
mod known;
mod refusal;

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tracing::debug;

use crate::clock::Clock;
use crate::config::{self, Config, Limits};
use crate::hooks::Desk;
use crate::hub::Hub;
use crate::ingest::receive::Answers;
use crate::ingest::{Bodies, Ingest};
use crate::queue::Queue;
use crate::settings::{InForce, Settings};

use call::{Call, segments};
use failures::Failures;
use hub::Door;
use refusal::Refusal;

type Answer = Response<Full<Bytes>>;

/// Where Gogs' API is.
const GOGS: &str = "/api/v1/";
/// Where GitHub's is.
const GITHUB: &str = "/api/v3/";

/// The largest body of a call, in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// Answers what is asked on `listen`: calls of the hook APIs here, all else by ingest.
#[derive(Debug)]
pub struct Front {
    ingest: Ingest,
    settings: InForce,
    means: Means,
    bodies: Bodies,
    failures: Failures,
}

/// What calls work with.
#[derive(Clone, Debug)]
pub struct Means {
    pub queue: Queue,
    pub desk: Desk,
    pub clock: Clock,
    pub hub: Hub,
}

impl Front {
    /// Bodies of calls come out of the same budget as deliveries.
    pub fn new(ingest: Ingest, settings: InForce, means: Means) -> Front {
        Front {
            bodies: ingest.bodies(LARGEST_BODY),
            failures: Failures::new(means.clock.clone()),
            ingest,
            settings,
            means,
        }
    }

    async fn call(&self, served: Served, request: Request<Incoming>, client: IpAddr) -> Answer {
        let (head, mut body) = request.into_parts();
        let refusal = match self.take(served, &head, &mut body).await {
            Ok(answer) => return answer,
            Err(refusal) => refusal,
        };
        debug!(
            response.status = refusal.status().as_u16(),
            "refused a call of the {served}: {refusal}"
        );
        if matches!(refusal, Refusal::WrongToken) {
            self.failures.slow_down(client).await;
        }
        // Who waits for our word before sending the body gets it at once instead.
        if !head.headers.contains_key(EXPECT) && !matches!(refusal, Refusal::TooSlow) {
            self.bodies.discard(&mut body).await;
        }
        refusal.complete(served.refused(&refusal))
    }

    async fn take(
        &self,
        served: Served,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Answer, Refusal> {
        if head.method == Method::OPTIONS {
            return Ok(empty(StatusCode::OK));
        }
        let settings = self.settings.borrow().clone();
        if let Served::Hub(door) = served {
            return self.take_for_hub(door, &settings, (head, body)).await;
        }
        // Reloaded just now.
        let api = settings.config.api.as_ref().ok_or(Refusal::NoSuchPath)?;
        let query = head.uri.query().unwrap_or_default();
        let token = auth::who(api, &head.headers, query)?;
        let prefix = match served {
            Served::Gogs => GOGS,
            _ => GITHUB,
        };
        let path = head.uri.path().strip_prefix(prefix);
        let path = path.and_then(segments).ok_or(Refusal::NoSuchPath)?;
        let call = Call {
            method: match head.method {
                Method::HEAD => Method::GET,
                ref method => method.clone(),
            },
            path,
            query,
            headers: &head.headers,
            body: self.bodies.read(body).await?,
            token,
            api,
            settings: &settings,
            means: &self.means,
        };
        Ok(match served {
            Served::Gogs => gogs::answer(&call).await,
            _ => github::answer(&call).await,
        })
    }

    async fn take_for_hub(
        &self,
        door: Door,
        settings: &Settings,
        (head, body): (&Parts, &mut Incoming),
    ) -> Result<Answer, Refusal> {
        let config = &settings.config;
        // Reloaded just now.
        let hub = config.hub.as_ref().ok_or(Refusal::NoSuchPath)?;
        let query = head.uri.query().unwrap_or_default();
        let token = auth::who_if_any(config.api.as_ref(), &head.headers, query)?;
        let request = hub::Request {
            door,
            method: head.method.clone(),
            path: head.uri.path(),
            query,
            headers: &head.headers,
            body: self.bodies.read(body).await?,
            token,
            hub,
            settings,
            means: &self.means,
        };
        hub::answer(&request).await
    }
}

impl Answers for Front {
    async fn answer(&self, request: Request<Incoming>, client: IpAddr) -> Answer {
        // Most of what comes are deliveries.
        let path = request.uri().path();
        let served = Served::at(path, &self.settings.borrow().config);
        match served {
            // Boxed, or each delivery would move about the room for a call.
            Some(served) => Box::pin(self.call(served, request, client)).await,
            None => self.ingest.answer(request, client).await,
        }
    }

    fn limits(&self) -> &Limits {
        self.ingest.limits()
    }

    fn clock(&self) -> &Clock {
        self.ingest.clock()
    }
}

/// One of the APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    Gogs,
    GitHub,
    Hub(Door),
}

impl Served {
    /// The API that a path belongs to, if it is switched on.
    fn at(path: &str, config: &Config) -> Option<Served> {
        let is_on = |it: fn(&config::Api) -> bool| config.api.as_ref().is_some_and(it);
        let door = config.hub.as_ref().and_then(|_| Door::at(path));
        match door {
            Some(door) if door != Door::Topic => Some(Served::Hub(door)),
            _ if path.starts_with(GOGS) => is_on(|api| api.gogs).then_some(Served::Gogs),
            _ if path.starts_with(GITHUB) => is_on(|api| api.github).then_some(Served::GitHub),
            topic => topic.map(Served::Hub),
        }
    }

    fn refused(self, refusal: &Refusal) -> Answer {
        match self {
            Served::Gogs => gogs::refused(refusal),
            Served::GitHub => github::refused(refusal),
            Served::Hub(door) => door.refused(refusal),
        }
    }
}

impl std::fmt::Display for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Served::Gogs => "Gogs API",
            Served::GitHub => "GitHub API",
            Served::Hub(_) => "hub",
        })
    }
}

/// An answer of JSON.
fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// An answer without a body.
fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}
