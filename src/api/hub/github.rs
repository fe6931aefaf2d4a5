//! GitHub's `POST /hub`: a subscription is an ordinary hook, there when it is answered. Its token
//! stands in for any verification.

use hyper::StatusCode;
use hyper::header::ACCEPT;
use secrecy::SecretString;
use tracing::info;

use super::super::github::{Fault, judge_url};
use super::super::{Answer, empty};
use super::Request;
use super::fields::Fields;
use crate::config::Token;
use crate::destination::{ContentType, SecretUrl};
use crate::hook::{Hook, HookConfig, HookKind, Repository};
use crate::hooks::{Change, Draft, Hooks};
use crate::hub::topic::Suffix;

/// # Errors
/// In GitHub's words where it has some.
pub(super) async fn answer(
    request: &Request<'_>,
    token: &Token,
    fields: &Fields,
) -> Result<Answer, Fault> {
    let (is_on, wanted) = wanted(request, token, fields)?;
    let about = wanted.repository.name.clone();
    let decide = move |hooks: &Hooks| match is_on {
        true => Ok(wanted.subscribed(hooks)),
        // Nothing is to be done.
        false => wanted.unsubscribed(hooks).ok_or(()),
    };
    let changed = request.means.desk.change(decide).await?;
    if let Ok(hook) = changed {
        let (id, token) = (hook.id, &token.name);
        let done = match is_on {
            true => "subscribed to",
            false => "unsubscribed from",
        };
        info!("hook {id} was {done} an event of {about} with the token {token}");
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// What a request is about.
struct Wanted {
    repository: Repository,
    event: String,
    callback: SecretUrl,
    content_type: ContentType,
    /// One that is not named again stays.
    secret: Option<SecretString>,
}

fn wanted(request: &Request<'_>, token: &Token, fields: &Fields) -> Result<(bool, Wanted), Fault> {
    let callback = callback(request, fields)?;
    let is_on = match fields.filled("hub.mode") {
        Some("subscribe") => true,
        Some("unsubscribe") => false,
        Some(other) => return Err(unprocessable(format!("Invalid hub.mode: {other:?}"))),
        None => return Err(unprocessable("Needs hub.mode.")),
    };
    let text = fields.filled("hub.topic");
    let text = text.ok_or_else(|| unprocessable("Needs hub.topic."))?;
    let topic = request.topic(text).filter(|topic| {
        let has_form = topic.suffix != Suffix::Text;
        has_form && token.repos.fit(&topic.repository.name)
    });
    let no_such = || unprocessable(format!("No repository found for hub.topic: {text:?}"));
    let topic = topic.ok_or_else(no_such)?;
    let is_json = topic.suffix == Suffix::Json || accepts_json(request);
    let wanted = Wanted {
        repository: topic.repository,
        event: topic.event,
        callback,
        content_type: match is_json {
            true => ContentType::Json,
            false => ContentType::Form,
        },
        secret: fields.filled("hub.secret").map(SecretString::from),
    };
    Ok((is_on, wanted))
}

fn callback(request: &Request<'_>, fields: &Fields) -> Result<SecretUrl, Fault> {
    let invalid =
        |text: &str, why: &str| unprocessable(format!("Invalid hub.callback: '{text}'{why}"));
    let text = match fields.filled("hub.callback") {
        Some(text) => text,
        // JSON is never looked at, and fields may be there and empty.
        None if !fields.is_form || fields.get("hub.callback").is_some() => {
            return Err(invalid("", ""));
        }
        None => return Err(unprocessable("Needs hub.callback.")),
    };
    let url = SecretUrl::parse(text).map_err(|_| invalid(text, ""))?;
    let egress = &request.settings.config.egress;
    let judged = judge_url(egress, url.expose());
    judged.map_err(|refusal| invalid(text, &format!(" ({refusal})")))?;
    Ok(url)
}

/// Whether JSON itself is asked for, and not any of GitHub's own types.
fn accepts_json(request: &Request<'_>) -> bool {
    let values = request.headers.get_all(ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut types = texts.flat_map(|text| text.split(','));
    types.any(|given| {
        let media = given.split(';').next().unwrap_or_default();
        media.trim().eq_ignore_ascii_case("application/json")
    })
}

fn unprocessable(words: impl Into<String>) -> Fault {
    Fault::Unprocessable(words.into())
}

impl Wanted {
    /// The callback's hook with the event, or a new one.
    fn subscribed(self, hooks: &Hooks) -> Change {
        let Some(mut hook) = self.of_callback(hooks).cloned() else {
            return Change::Create(self.draft());
        };
        if !self.is_in(&hook) {
            hook.events.push(self.event);
        }
        hook.active = true;
        hook.config.content_type = self.content_type;
        hook.config.secret = self.secret.or(hook.config.secret);
        Change::Replace(hook)
    }

    /// The callback's hook without the event, or without the hook when it was the last.
    fn unsubscribed(self, hooks: &Hooks) -> Option<Change> {
        let hook = self.of_callback(hooks).filter(|hook| self.is_in(hook))?;
        let mut hook = hook.clone();
        hook.events.retain(|event| *event != self.event);
        Some(match hook.events.is_empty() {
            true => Change::Delete(hook.id),
            false => Change::Replace(hook),
        })
    }

    /// Somebody may have made several by the API: one that has the event goes before.
    fn of_callback<'h>(&self, hooks: &'h Hooks) -> Option<&'h Hook> {
        let url = self.callback.expose_text();
        let all = hooks.of(&self.repository.source, &self.repository.name);
        let mut own = all
            .filter(|hook| hook.kind == HookKind::GitHub && hook.config.url.expose_text() == url);
        let first = own.next()?;
        let with_event = std::iter::once(first).chain(own);
        let mut with_event = with_event.filter(|hook| self.is_in(hook));
        Some(with_event.next().unwrap_or(first))
    }

    fn is_in(&self, hook: &Hook) -> bool {
        hook.events.contains(&self.event)
    }

    fn draft(self) -> Draft {
        Draft {
            repository: self.repository,
            kind: HookKind::GitHub,
            config: HookConfig {
                url: self.callback,
                content_type: self.content_type,
                secret: self.secret,
                insecure_ssl: false,
                channel: None,
                username: None,
                icon_url: None,
                color: None,
                subscription: None,
            },
            events: vec![self.event],
            active: true,
        }
    }
}
