//! The calls about hooks and their configurations.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, LINK, LOCATION};
use serde_json::Value;

use super::super::call::Call;
use super::super::{Answer, empty, json};
use super::config::ConfigWish;
use super::fault::Fault;
use super::wish::{self, Update};
use super::{links, members, ping, shapes};
use crate::hook::{Hook, HookKind, Repository};
use crate::hooks::{Change, Hooks};

/// The API's prefix without the slash at its end.
const PREFIX: &str = "/api/v3";

/// Hooks whose configuration GitHub's objects can tell without saying anything untrue. Hooks for
/// chats have settings that these have no room for, and no body as GitHub's would.
fn is_shown(hook: &Hook) -> bool {
    matches!(
        hook.kind,
        HookKind::GitHub | HookKind::Gogs | HookKind::WebSub
    )
}

pub(super) fn find<'h>(
    hooks: &'h Hooks,
    repository: &Repository,
    id: u64,
) -> Result<&'h Hook, Fault> {
    let hook = hooks.get(repository, id);
    hook.filter(|hook| is_shown(hook)).ok_or(Fault::NotFound)
}

/// A page of a repository's hooks, oldest first.
pub(super) fn list(call: &Call<'_>, repository: &Repository) -> Result<Answer, Fault> {
    let per_page = links::per_page(call.query);
    let asked = links::number(call.query, "page", 1).unwrap_or(1).max(1);
    let hooks = call
        .hooks()
        .of(&repository.source, &repository.name)
        .filter(|hook| is_shown(hook));
    let hooks: Vec<&Hook> = hooks.collect();
    let last = hooks.len().div_ceil(per_page).max(1) as u64;
    let skipped = usize::try_from(asked - 1).unwrap_or(usize::MAX);
    let page = hooks.iter().skip(skipped.saturating_mul(per_page));
    let base = base(call);
    let shown: Value = page
        .take(per_page)
        .map(|hook| view(call, hook, &base))
        .collect();
    let mut pages = Vec::new();
    if asked > 1 {
        pages.push(("prev", (asked - 1).min(last).to_string()));
    }
    if asked < last {
        pages.push(("next", (asked + 1).to_string()));
        pages.push(("last", last.to_string()));
    }
    if asked > 1 {
        pages.push(("first", "1".to_owned()));
    }
    let url = format!("{base}/repos/{}/hooks", repository.name);
    let link = links::to_pages(&url, call.query, "page", &pages);
    Ok(with_header(
        json(StatusCode::OK, shown.to_string()),
        LINK,
        link,
    ))
}

pub(super) async fn create(call: &Call<'_>, repository: Repository) -> Result<Answer, Fault> {
    let body = members::read(&call.body)?;
    let draft = wish::draft(repository, &body, &call.settings.config.egress)?;
    let made = change(call, move |hooks| {
        let wanted = (None, &draft.config, draft.events.as_slice());
        wish::check_unique(hooks, &draft.repository, wanted)?;
        Ok(Change::Create(draft))
    });
    let hook = made.await?;
    let base = base(call);
    // As it is made: its ping may be there before this answer is.
    let shown = view(call, &hook, &base).to_string();
    if let Err(error) = ping::send(call, &hook).await {
        tracing::warn!(%error, "hook {} is made, but its ping is not", hook.id);
    }
    let location = Some(shapes::hook_url(&hook, &base));
    let answer = json(StatusCode::CREATED, shown);
    Ok(with_header(answer, LOCATION, location))
}

pub(super) fn get(call: &Call<'_>, hook: &Hook) -> Answer {
    let shown = view(call, hook, &base(call));
    json(StatusCode::OK, shown.to_string())
}

pub(super) async fn update(call: &Call<'_>, hook: Hook) -> Result<Answer, Fault> {
    let body = members::read(&call.body)?;
    let update = Update::of(&body, &call.settings.config.egress)?;
    let next = replace(call, hook, move |hook| update.apply(hook)).await?;
    Ok(get(call, &next))
}

pub(super) async fn delete(call: &Call<'_>, hook: Hook) -> Result<Answer, Fault> {
    let deleted = change(call, move |hooks| {
        find(hooks, &hook.repository, hook.id)?;
        Ok(Change::Delete(hook.id))
    });
    deleted.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn config(hook: &Hook) -> Answer {
    json(StatusCode::OK, shapes::config(&hook.config).to_string())
}

pub(super) async fn update_config(call: &Call<'_>, hook: Hook) -> Result<Answer, Fault> {
    let body = members::read(&call.body)?;
    let wish = ConfigWish::read(&body, &call.settings.config.egress)?;
    let next = replace(call, hook, move |hook| {
        Ok(Hook {
            config: wish.over(hook)?,
            ..hook.clone()
        })
    });
    Ok(config(&next.await?))
}

/// Whoever changed the hook meanwhile keeps what `work` leaves as it is.
async fn replace(
    call: &Call<'_>,
    hook: Hook,
    work: impl FnOnce(&Hook) -> Result<Hook, Fault> + Send + 'static,
) -> Result<Hook, Fault> {
    let replaced = change(call, move |hooks| {
        let hook = find(hooks, &hook.repository, hook.id)?;
        let next = work(hook)?;
        wish::check_subscription(hook, &next)?;
        let wanted = (Some(next.id), &next.config, next.events.as_slice());
        wish::check_unique(hooks, &next.repository, wanted)?;
        Ok(Change::Replace(next))
    });
    replaced.await
}

async fn change(
    call: &Call<'_>,
    work: impl FnOnce(&Hooks) -> Result<Change, Fault> + Send + 'static,
) -> Result<Hook, Fault> {
    call.change(work).await?
}

fn view(call: &Call<'_>, hook: &Hook, base: &str) -> Value {
    let last = call.means.queue.last_attempt(&hook.lane());
    shapes::hook(hook, base, last)
}

pub(super) fn base(call: &Call<'_>) -> String {
    let base = links::base(call.headers, &call.settings.config.public_url);
    format!("{base}{PREFIX}")
}

/// The answer with a header, if there is one and it can be one.
pub(super) fn with_header(mut answer: Answer, name: HeaderName, value: Option<String>) -> Answer {
    if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
