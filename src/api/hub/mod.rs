//! The hub on `listen`, at `/hub` and `/api/v3/hub`. This file chooses for each request how it is
//! meant: as a call of GitHub's API, which is done when it is answered, or as WebSub.

mod fields;
mod github;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

use super::refusal::Refusal;
use super::{Answer, Means};
use crate::config::{self, Token};
use crate::hub::topic::Topic;
use crate::settings::Settings;

use fields::Fields;

/// Where a request comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Hub,
    /// Where GitHub's clients look for it.
    GitHub,
}

impl Door {
    /// The one at a path, if there is any.
    pub(super) fn at(path: &str) -> Option<Door> {
        match path {
            "/hub" => Some(Door::Hub),
            "/api/v3/hub" => Some(Door::GitHub),
            _ => None,
        }
    }

    /// The answer to what is not looked at.
    pub(super) fn refused(self, refusal: &Refusal) -> Answer {
        match self {
            Door::GitHub => super::github::refused(refusal),
            Door::Hub => plain(refusal.status(), &refusal.to_string()),
        }
    }
}

/// A request to the hub.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) door: Door,
    pub(super) method: Method,
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
    if request.method != Method::POST {
        return Err(Refusal::NoSuchPath);
    }
    let fields = Fields::read(request.headers, &request.body).await;
    let token = request.token.ok_or(Refusal::NoToken)?;
    let answer = github::answer(request, token, &fields).await;
    Ok(answer.unwrap_or_else(|fault| fault.answer()))
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
