//! Owns the sockets: accepts connections within their limits, has hyper speak HTTP on them, and
//! drains them when told to stop. Does not look into requests.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::Ingest;
use super::header_timer::HeaderTimer;
use crate::config::Limits;

/// The pause after a failed accept: usually there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The smallest buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8192;

/// Answers connections of `listener` until `stop`; what is under way then ends on `tasks`, each
/// connection after its current request.
///
/// Beyond `limits.connections` new connections wait in the system's backlog.
pub async fn receive(
    listener: TcpListener,
    ingest: Arc<Ingest>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let http = http(ingest.limits());
    let slots = Arc::new(Semaphore::new(ingest.limits().connections));
    let mut failing = false;
    while let Some(slot) = stop
        .run_until_cancelled(slots.clone().acquire_owned())
        .await
    {
        // Nobody closes the semaphore.
        let Ok(slot) = slot else { return };
        match stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok((stream, _))) => {
                failing = false;
                let connection = Connection {
                    stream,
                    ingest: ingest.clone(),
                    slot,
                    stop: stop.clone(),
                };
                tasks.spawn(connection.serve(http.clone()));
            }
            Some(Err(error)) => {
                if !failing {
                    warn!("cannot accept connections: {error}");
                }
                failing = true;
                ingest.clock().sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// hyper itself answers a too large header section with 431 and closes on a slow one.
fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(limits.header_timeout)
        .max_header_size(limits.headers)
        .max_buf_size(limits.headers.max(SMALLEST_BUFFER));
    http
}

struct Connection {
    stream: TcpStream,
    ingest: Arc<Ingest>,
    slot: OwnedSemaphorePermit,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, mut http: http1::Builder) {
        if let Err(error) = self.stream.set_nodelay(true) {
            debug!("cannot set TCP_NODELAY: {error}");
        }
        let ingest = self.ingest;
        let service = service_fn(|request| {
            let ingest = ingest.clone();
            async move { Ok::<_, Infallible>(ingest.answer(request).await) }
        });
        http.timer(HeaderTimer::default());
        let mut connection = pin!(http.serve_connection(TokioIo::new(self.stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!("a connection ended: {error}");
        }
        drop(self.slot);
    }
}
