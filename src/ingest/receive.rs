//! Owns the sockets: accepts connections within their limits, has hyper speak HTTP on them, and
//! drains them when told to stop. Does not look into requests.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::header_timer::HeaderTimer;
use crate::clock::Clock;
use crate::config::Limits;

/// The pause after a failed accept: usually there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The smallest buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8192;

/// Who answers what is asked on a listener.
pub trait Answers: Send + Sync + 'static {
    /// The answer to one request of `client`.
    fn answer(
        &self,
        request: Request<Incoming>,
        client: IpAddr,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;

    fn limits(&self) -> &Limits;

    fn clock(&self) -> &Clock;
}

/// Answers connections of `listener` until `stop`; what is under way then ends on `tasks`, each
/// connection after its current request.
///
/// Beyond `limits.connections` new connections wait in the system's backlog.
pub async fn receive(
    listener: TcpListener,
    answers: Arc<impl Answers>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let http = http(answers.limits());
    let slots = Arc::new(Semaphore::new(answers.limits().connections));
    let mut failing = false;
    while let Some(slot) = stop
        .run_until_cancelled(slots.clone().acquire_owned())
        .await
    {
        // Nobody closes the semaphore.
        let Ok(slot) = slot else { return };
        match stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok((stream, client))) => {
                failing = false;
                let connection = Connection {
                    stream,
                    client: client.ip(),
                    answers: answers.clone(),
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
                answers.clock().sleep(ACCEPT_PAUSE).await;
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

struct Connection<A> {
    stream: TcpStream,
    client: IpAddr,
    answers: Arc<A>,
    slot: OwnedSemaphorePermit,
    stop: CancellationToken,
}

impl<A: Answers> Connection<A> {
    async fn serve(self, mut http: http1::Builder) {
        if let Err(error) = self.stream.set_nodelay(true) {
            debug!("cannot set TCP_NODELAY: {error}");
        }
        let (answers, client) = (self.answers, self.client);
        let service = service_fn(|request| {
            let answers = answers.clone();
            async move { Ok::<_, Infallible>(answers.answer(request, client).await) }
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
