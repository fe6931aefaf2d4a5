//! Topics themselves: what their newest content is, and where to subscribe to them.

use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, LINK, VARY};
use hyper::{Method, StatusCode};

use super::super::github::base_of;
use super::super::refusal::Refusal;
use super::super::{Answer, json};
use super::{Request, plain};
use crate::event::Event;
use crate::hook::Form;
use crate::hub::topic::{Suffix, Topic};
use crate::send::{voice, websub};
use crate::trail;

/// # Errors
/// There is no such topic for who asks: it is not there, or private.
pub(super) async fn answer(request: &Request<'_>, path: &str) -> Result<Answer, Refusal> {
    let topic = Topic::at(&request.hub.source, path);
    let topic = topic.filter(|topic| super::super::github::is_event(&topic.event));
    let topic = topic.ok_or(Refusal::NoSuchPath)?;
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "a topic is only read");
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        return Ok(answer);
    }
    let newest = newest(request, &topic).await?;
    let suffix = match topic.suffix {
        Suffix::None => wanted(request.headers),
        named => named,
    };
    let mut answer = match newest {
        Some(event) => {
            let form = match suffix {
                Suffix::Text => Form::Text,
                Suffix::None | Suffix::Json => Form::Json,
            };
            let (content_type, body) = websub::content(form, &event, &event.body);
            let mut answer = json(StatusCode::OK, body);
            answer.headers_mut().insert(CONTENT_TYPE, content_type);
            answer
        }
        None => plain(StatusCode::NOT_FOUND, "nothing of this has happened yet"),
    };
    let base = base_of(request.headers, &request.settings.config.public_url);
    let itself = format!("{base}{}", topic.path(suffix));
    let headers = answer.headers_mut();
    headers.extend(voice::link(&base, &itself).map(|link| (LINK, link)));
    if topic.suffix == Suffix::None {
        headers.insert(VARY, HeaderValue::from_static("Accept"));
    }
    Ok(answer)
}

async fn newest(request: &Request<'_>, topic: &Topic) -> Result<Option<Event>, Refusal> {
    let repository = &topic.repository;
    if request.covers(repository) {
        let name = Some(topic.event.as_str()).filter(|name| *name != "*");
        let newest = trail::newest(&request.means.queue, repository, name).await;
        return Ok(newest.map(|(_, event)| event));
    }
    let hub = &request.means.hub;
    match hub.is_open(request.hub, repository).await {
        true => Ok(hub.latest(repository, &topic.event).await),
        false => Err(Refusal::NoSuchPath),
    }
}

/// The form that `Accept` names first, if it names one.
fn wanted(headers: &HeaderMap) -> Suffix {
    let values = headers.get_all(ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut types = texts.flat_map(|text| text.split(','));
    let named = types.find_map(|given| {
        let media = given.split(';').next().unwrap_or_default().trim();
        match media.to_ascii_lowercase().as_str() {
            "application/json" => Some(Suffix::Json),
            "text/plain" => Some(Suffix::Text),
            "*/*" | "application/*" => Some(Suffix::None),
            _ => None,
        }
    });
    named.unwrap_or(Suffix::None)
}
