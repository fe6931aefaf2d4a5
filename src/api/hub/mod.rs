//! The hub on `listen`, at `/hub` and `/api/v3/hub`. This file chooses for each request how it is
//! meant: as a call of GitHub's API, which is done when it is answered, or as WebSub.

mod fields;
mod github;
mod topics;
mod websub;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

use super::refusal::Refusal;
use super::{Answer, Means};
use crate::config::{self, Token};
use crate::hook::Repository;
use crate::hub::topic::Topic;
use crate::settings::Settings;

use fields::Fields;

/// Where a request comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Hub,
    /// Where GitHub's clients look for it.
    GitHub,
    /// What is subscribed to.
    Topic,
}

impl Door {
    /// The one at a path, if there is any.
    pub(super) fn at(path: &str) -> Option<Door> {
        match path {
            "/hub" => Some(Door::Hub),
            "/api/v3/hub" => Some(Door::GitHub),
            _ => Topic::is_path(path).then_some(Door::Topic),
        }
    }

    /// The answer to what is not looked at.
    pub(super) fn refused(self, refusal: &Refusal) -> Answer {
        match self {
            Door::GitHub => super::github::refused(refusal),
            Door::Hub | Door::Topic => plain(refusal.status(), &refusal.to_string()),
        }
    }
}

/// A request to the hub.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) door: Door,
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// Without the `?`.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
    /// Whose it is, if it carries a token.
    pub(super) token: Option<&'a Token>,
    pub(super) hub: &'a config::Hub,
    pub(super) settings: &'a Settings,
    pub(super) means: &'a Means,
}

/// # Errors
/// Why it is not looked at.
pub(super) async fn answer(request: &Request<'_>) -> Result<Answer, Refusal> {
    match (request.door, &request.method) {
        (Door::Topic, _) => return topics::answer(request, request.path).await,
        (Door::Hub | Door::GitHub, &Method::POST) => {}
        (Door::GitHub, _) => return Err(Refusal::NoSuchPath),
        (Door::Hub, _) => return Ok(only_posts()),
    }
    let fields = Fields::read(request.headers, &request.body).await;
    if fields.get("hub.mode") == Some("publish") {
        return Ok(websub::publish(&fields));
    }
    let token = match (request.door, request.token) {
        _ if request.is_websub(&fields) => None,
        (_, Some(token)) => Some(token),
        // There GitHub's clients alone come without a word of WebSub.
        (Door::GitHub, None) => return Err(Refusal::NoToken),
        (Door::Hub | Door::Topic, None) => None,
    };
    Ok(match token {
        Some(token) => {
            let answer = github::answer(request, token, &fields).await;
            answer.unwrap_or_else(|fault| fault.answer())
        }
        None => websub::answer(request, &fields).await,
    })
}

fn only_posts() -> Answer {
    let words = "this is a hub for WebSub: subscribe by POST";
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, words);
    let allowed = HeaderValue::from_static("POST");
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

/// An answer in words.
fn plain(status: StatusCode, words: &str) -> Answer {
    let mut answer = Answer::new(Full::from(format!("{words}\n")));
    *answer.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, text);
    answer
}

impl Request<'_> {
    /// Whether it says itself that it is no call of GitHub's API.
    fn is_websub(&self, fields: &Fields) -> bool {
        let mut query = form_urlencoded::parse(self.query.as_bytes());
        let words = ["hub.lease_seconds", "hub.verify"];
        query.any(|(name, value)| name == "mode" && value == "websub")
            || words.iter().any(|name| fields.get(name).is_some())
    }

    /// Whether its token is for this repository.
    fn covers(&self, repository: &Repository) -> bool {
        let token = self.token;
        token.is_some_and(|token| token.repos.fit(&repository.name))
    }

    /// The topic that a field names, if it is one of ours.
    fn topic(&self, text: &str) -> Option<Topic> {
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        // Who reaches us under a name may call us by it.
        let used = host.and_then(|host| url::Url::parse(&format!("http://{host}/")).ok());
        let used = used.as_ref().and_then(|url| url.host_str());
        let known = self.hub.hosts.iter().map(String::as_str);
        let hosts: Vec<&str> = known.chain(used).collect();
        let public_url = &self.settings.config.public_url;
        let topic = Topic::of_url(&self.hub.source, text, public_url, &hosts);
        topic.filter(|topic| super::github::is_event(&topic.event))
    }
}
