//! The sockets of the own API: how many connections there may be, and how long they may take to
//! ask. Does not look into requests.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::config::Limits;

/// So many people, scripts and probes may be connected; more wait in the system's backlog.
const CONNECTIONS: usize = 128;
/// The pause after a failed accept: usually there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What serving needs from outside.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its `header_timeout` and `headers` hold here too.
    pub limits: Limits,
    pub clock: Clock,
    /// Connections end on it.
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

/// Serves until told to stop; open requests are finished.
pub(super) async fn listen(listener: TcpListener, router: Router, service: Service) {
    let http = http(&service.limits);
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut failing = false;
    loop {
        let slot = slots.clone().acquire_owned();
        // Nobody closes the semaphore.
        let Some(Ok(slot)) = service.stop.run_until_cancelled(slot).await else {
            return;
        };
        match service.stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok((stream, _))) => {
                failing = false;
                let serving = serve(stream, http.clone(), router.clone(), service.stop.clone());
                service.tasks.spawn(with_slot(serving, slot));
            }
            Some(Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!("cannot accept connections to the own API: {error}");
                }
                service.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.headers);
    http
}

async fn with_slot(serving: impl Future<Output = ()>, slot: OwnedSemaphorePermit) {
    serving.await;
    drop(slot);
}

async fn serve(stream: TcpStream, http: http1::Builder, router: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!("a connection to the own API ended: {error}");
    }
}
