//! GitHub's API at `/api/v3`, as far as it is about a repository's webhooks, in GitHub's objects and
//! words. This file is the map: which path is answered where. docs/hook-apis.md says where and why
//! it differs.

mod about;
mod config;
mod deliveries;
mod events;
mod fault;
mod hooks;
mod links;
mod members;
mod ping;
mod shapes;
mod wish;

use hyper::Method;

use super::Answer;
use super::call::Call;
use super::refusal::Refusal;

pub(super) use config::judge_url;
pub(super) use events::is_known as is_event;
pub(super) use fault::Fault;
pub(super) use links::base as base_of;

/// The answer to a call.
pub(super) async fn answer(call: &Call<'_>) -> Answer {
    route(call).await.unwrap_or_else(|fault| fault.answer())
}

/// The answer to what never became a call.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    fault::refused(refusal)
}

async fn route(call: &Call<'_>) -> Result<Answer, Fault> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let (method, rest) = match path.as_slice() {
        ["user"] if call.method == Method::GET => return Ok(about::user(call)),
        ["repos", owner, name, rest @ ..] => {
            let repository = call.repository(owner, name).ok_or(Fault::NotFound)?;
            (&call.method, (repository, rest))
        }
        _ => return Err(Fault::NotFound),
    };
    let (repository, rest) = rest;
    match (method, rest) {
        (&Method::GET, []) => Ok(about::repository(call, &repository).await),
        (&Method::GET, ["hooks"]) => hooks::list(call, &repository),
        (&Method::POST, ["hooks"]) => hooks::create(call, repository).await,
        (_, ["hooks", id, rest @ ..]) => {
            let hook = hooks::find(call.hooks(), &repository, read_id(id)?)?.clone();
            match (method, rest) {
                (&Method::GET, []) => Ok(hooks::get(call, &hook)),
                (&Method::PATCH, []) => hooks::update(call, hook).await,
                (&Method::DELETE, []) => hooks::delete(call, hook).await,
                (&Method::GET, ["config"]) => Ok(hooks::config(&hook)),
                (&Method::PATCH, ["config"]) => hooks::update_config(call, hook).await,
                (&Method::POST, ["pings"]) => ping::ping(call, &hook).await,
                // The older name is still in GitHub's own `test_url`s.
                (&Method::POST, ["tests" | "test"]) => ping::test(call, &hook).await,
                (&Method::GET, ["deliveries"]) => deliveries::list(call, &hook).await,
                (&Method::GET, ["deliveries", id]) => {
                    deliveries::get(call, &hook, read_id(id)?).await
                }
                (&Method::POST, ["deliveries", id, "attempts"]) => {
                    deliveries::redeliver(call, &hook, read_id(id)?).await
                }
                _ => Err(Fault::NotFound),
            }
        }
        _ => Err(Fault::NotFound),
    }
}

fn read_id(text: &str) -> Result<u64, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| digits);
    id.ok_or(Fault::NotFound)
}
