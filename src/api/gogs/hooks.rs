//! The calls about hooks: list, get, create, edit, delete.

use hyper::StatusCode;

use super::super::call::Call;
use super::super::{Answer, empty, json};
use super::Fault;
use super::binding::{Purpose, wish};
use super::config::{Edit, draft};
use super::shapes::{ShownHook, encoded};
use crate::hook::{Hook, HookKind, Repository};
use crate::hooks::{Change, Hooks};

/// Gogs' objects have no room for what a subscription is.
fn is_shown(hook: &Hook) -> bool {
    hook.kind != HookKind::WebSub
}

/// All of a repository's hooks, oldest first; there is no paging in Gogs.
pub(super) fn list(call: &Call<'_>, repository: &Repository) -> Answer {
    let hooks = call.hooks().of(&repository.source, &repository.name);
    let shown: Vec<ShownHook<'_>> = hooks
        .filter(|hook| is_shown(hook))
        .map(ShownHook::of)
        .collect();
    json(StatusCode::OK, encoded(&shown))
}

pub(super) fn get(call: &Call<'_>, repository: &Repository, id: &str) -> Result<Answer, Fault> {
    let hook = find(call.hooks(), repository, read_id(id)?)?;
    Ok(show(StatusCode::OK, hook))
}

pub(super) async fn create(call: &Call<'_>, repository: Repository) -> Result<Answer, Fault> {
    let wish = wish(Purpose::Create, call.headers, &call.body).map_err(Fault::Unbound)?;
    let draft = draft(repository, wish, &call.settings.config.egress)?;
    let made = change(call, move |_| Ok(Change::Create(draft))).await?;
    Ok(show(StatusCode::CREATED, &made))
}

pub(super) async fn edit(
    call: &Call<'_>,
    repository: Repository,
    id: &str,
) -> Result<Answer, Fault> {
    let wish = wish(Purpose::Edit, call.headers, &call.body).map_err(Fault::Unbound)?;
    let id = read_id(id)?;
    find(call.hooks(), &repository, id)?;
    let edit = Edit::new(wish, &call.settings.config.egress)?;
    // Whoever changed it meanwhile keeps what this edit does not name.
    let edited = change(call, move |hooks| {
        Ok(Change::Replace(edit.apply(find(hooks, &repository, id)?)))
    });
    Ok(show(StatusCode::OK, &edited.await?))
}

pub(super) async fn delete(
    call: &Call<'_>,
    repository: Repository,
    id: &str,
) -> Result<Answer, Fault> {
    let id = read_id(id)?;
    let deleted = change(call, move |hooks| {
        find(hooks, &repository, id)?;
        Ok(Change::Delete(id))
    });
    deleted.await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn change(
    call: &Call<'_>,
    work: impl FnOnce(&Hooks) -> Result<Change, Fault> + Send + 'static,
) -> Result<Hook, Fault> {
    call.change(work).await.map_err(Fault::Queue)?
}

fn find<'h>(hooks: &'h Hooks, repository: &Repository, id: u64) -> Result<&'h Hook, Fault> {
    let hook = hooks.get(repository, id);
    hook.filter(|hook| is_shown(hook)).ok_or(Fault::NotFound)
}

fn read_id(text: &str) -> Result<u64, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| digits);
    id.ok_or(Fault::NotFound)
}

fn show(status: StatusCode, hook: &Hook) -> Answer {
    json(status, encoded(&ShownHook::of(hook)))
}
