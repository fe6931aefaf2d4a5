//! The own API, for people and scripts: what became of deliveries, and a hand on the lanes.
//!
//! It listens on `admin.listen` and answers probes from the first moment; everything else answers
//! 503 until the queue is open.

mod deliveries;
mod destinations;
mod error;
mod guard;
mod hooks;
mod listen;
mod metrics;
mod missed;
mod preview;
mod reload;

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::Relay;
use crate::config::Admin;
use crate::queue::Missing;
use error::ApiError;

pub use listen::Service;

/// What every handler sees. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    settings: Arc<Admin>,
    relay: Arc<OnceLock<Relay>>,
    shutdown: CancellationToken,
}

impl Shared {
    /// `shutdown` makes the relay unready.
    pub fn new(settings: Admin, shutdown: CancellationToken) -> Shared {
        Shared {
            settings: Arc::new(settings),
            relay: Arc::default(),
            shutdown,
        }
    }

    /// From here on the relay is ready.
    pub fn ready(&self, relay: Relay) {
        // A second call would be a bug; the first relay stays.
        let _second = self.relay.set(relay);
    }

    fn relay(&self) -> Result<&Relay, ApiError> {
        let starting = || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the relay is starting");
        self.relay.get().ok_or_else(starting)
    }
}

/// Serves until told to stop; open requests are finished.
pub async fn serve(listener: TcpListener, shared: Shared, service: Service) {
    listen::listen(listener, router(shared), service).await;
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/redeliver", post(deliveries::redeliver_all))
        .route(
            "/v1/deliveries/{id}",
            get(deliveries::show).delete(deliveries::cancel),
        )
        .route("/v1/deliveries/{id}/redeliver", post(deliveries::redeliver))
        .route("/v1/destinations", get(destinations::list))
        .route("/v1/destinations/{name}/hold", post(destinations::hold))
        .route("/v1/destinations/{name}/resume", post(destinations::resume))
        .route(
            "/v1/destinations/{name}/discard",
            post(destinations::discard),
        )
        .route("/v1/destinations/{name}/test", post(destinations::test))
        .route("/v1/events/{id}", get(preview::event))
        .route("/v1/hooks", get(hooks::list))
        .route("/v1/hooks/{id}", get(hooks::show).delete(hooks::delete))
        .route("/v1/missed", get(missed::list))
        .route("/v1/reload", post(reload::reload))
        .route("/v1/render", post(preview::render))
        .route("/v1/route", post(preview::route))
        .fallback(|| async { ApiError::not_found("no such path") })
        .layer(middleware::map_response(error::in_our_form))
        .layer(middleware::from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

/// The JSON in a body; an empty body says nothing.
fn read<T: Default + DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// 200 once the first 202 is possible, until the relay stops.
async fn readyz(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    if shared.shutdown.is_cancelled() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the relay is stopping",
        ));
    }
    let queue = &shared.relay()?.queue;
    let (stats, damage) = (queue.stats(), queue.damage());
    if !stats.accepts {
        let error = "the queue takes no new events";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error);
        return Err(match damage.is_empty() {
            true => error.hint("its disk fails or is full; it goes on by itself when it works"),
            false => error.hint("it is damaged: stop the relay and run `gogs-relay salvage`"),
        });
    }
    let missing: u64 = queue.missing().iter().map(Missing::events).sum();
    Ok(Json(json!({
        "ready": true,
        "events": stats.events,
        "missing": missing,
        "damage": damage,
    })))
}
