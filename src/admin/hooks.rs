//! Hooks that were added over the hook APIs: what there is, and away with one.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tracing::info;

use super::Shared;
use super::error::ApiError;
use crate::hook::Hook;
use crate::hooks::Change;
use crate::queue::LaneStatus;
use crate::settings::Settings;
use crate::trail;

pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    let relay = shared.relay()?;
    let lanes = relay.queue.lanes();
    let lanes: HashMap<&str, &LaneStatus> = (lanes.iter())
        .map(|lane| (&*lane.destination, lane))
        .collect();
    let settings = relay.settings();
    let all = settings.hooks.all();
    let hooks: Vec<Value> = all
        .filter_map(|hook| view(&settings, hook, lanes.get(&*hook.lane()).copied()))
        .collect();
    Ok(Json(json!({ "hooks": hooks })))
}

pub(super) async fn show(
    State(shared): State<Shared>,
    Path(id): Path<u64>,
) -> Result<Json<Value>, ApiError> {
    let relay = shared.relay()?;
    let settings = relay.settings();
    let hook = settings.hooks.by_id(id);
    let shown = hook.and_then(|hook| {
        let lanes = relay.queue.lanes();
        let mut lanes = lanes.iter();
        let lane = lanes.find(|lane| lane.destination == hook.lane());
        view(&settings, hook, lane)
    });
    shown.map(Json).ok_or_else(|| no_such_hook(id))
}

pub(super) async fn delete(
    State(shared): State<Shared>,
    Path(id): Path<u64>,
) -> Result<Json<Value>, ApiError> {
    let deleted = shared.relay()?.hooks.change(move |hooks| {
        let hook = hooks.by_id(id).ok_or_else(|| no_such_hook(id))?;
        Ok::<_, ApiError>(Change::Delete(hook.id))
    });
    let hook = deleted.await??;
    info!(
        "hook {id} of {} was deleted over the own API",
        hook.repository.name
    );
    Ok(Json(json!({ "deleted": hook.id })))
}

fn view(settings: &Settings, hook: &Hook, lane: Option<&LaneStatus>) -> Option<Value> {
    let destination = settings.hooks.of_lane(&hook.lane())?;
    Some(trail::hook(hook, destination, lane))
}

fn no_such_hook(id: u64) -> ApiError {
    ApiError::not_found(format!("no hook {id}")).hint("`gogs-relay hooks list` shows all")
}
