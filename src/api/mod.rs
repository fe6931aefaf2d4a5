//! The hook APIs on `listen`: which is served where, to whom, and how a call comes to it.
//!
//! A request below an API's prefix becomes a `Call` once its token is right and its body is there;
//! everything else on the listener is for ingest. A further API is a folder with two functions,
//! `answer` (a `Call` to its answer) and `refused` (a `Refusal` in its words), and a variant of
//! `Served` that names them. Only `auth` looks at tokens, and only the [`Desk`] changes hooks.

mod auth;
mod call;
mod failures;
mod github;
mod gogs;
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
use crate::config::{self, Limits};
use crate::hooks::Desk;
use crate::ingest::receive::Answers;
use crate::ingest::{Bodies, Ingest};
use crate::queue::Queue;
use crate::settings::InForce;

use call::{Call, segments};
use failures::Failures;
use refusal::Refusal;

type Answer = Response<Full<Bytes>>;

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
            "refused a call of the {served} API: {refusal}"
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
        // Reloaded just now.
        let api = settings.config.api.as_ref().ok_or(Refusal::NoSuchPath)?;
        let query = head.uri.query().unwrap_or_default();
        let token = auth::who(api, &head.headers, query)?;
        let path = head.uri.path().strip_prefix(served.prefix());
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
        Ok(served.answer(&call).await)
    }
}

impl Answers for Front {
    async fn answer(&self, request: Request<Incoming>, client: IpAddr) -> Answer {
        // Most of what comes are deliveries.
        let path = request.uri().path();
        let served = path.starts_with("/api/").then(|| {
            let settings = self.settings.borrow();
            let api = settings.config.api.as_ref()?;
            Served::at(path, api)
        });
        match served.flatten() {
            Some(served) => self.call(served, request, client).await,
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
}

impl Served {
    /// The API that a path belongs to, if it is switched on.
    fn at(path: &str, api: &config::Api) -> Option<Served> {
        let on = [(Served::Gogs, api.gogs), (Served::GitHub, api.github)];
        let mut on = on.into_iter().filter(|(_, is_on)| *is_on);
        on.find(|(served, _)| path.starts_with(served.prefix()))
            .map(|(served, _)| served)
    }

    fn prefix(self) -> &'static str {
        match self {
            Served::Gogs => "/api/v1/",
            Served::GitHub => "/api/v3/",
        }
    }

    async fn answer(self, call: &Call<'_>) -> Answer {
        match self {
            Served::Gogs => gogs::answer(call).await,
            Served::GitHub => github::answer(call).await,
        }
    }

    fn refused(self, refusal: &Refusal) -> Answer {
        match self {
            Served::Gogs => gogs::refused(refusal),
            Served::GitHub => github::refused(refusal),
        }
    }
}

impl std::fmt::Display for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Served::Gogs => "Gogs",
            Served::GitHub => "GitHub",
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
