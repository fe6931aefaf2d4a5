//! The receiving end: a bare hyper server in a process of its own, that says when it has got all.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::baseline::Baseline;

/// Serves for ever; says where through `started`, and after `expected` requests, on standard
/// output, how long it took from the first to the last.
pub(crate) async fn serve(
    expected: usize,
    started: impl FnOnce(SocketAddr),
) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    started(listener.local_addr()?);
    let tally = Arc::new(Tally {
        expected,
        seen: AtomicUsize::new(0),
        first: std::sync::OnceLock::new(),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let tally = tally.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(tally.clone(), request));
            // A client that goes away ends its own connection and nothing else.
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct Tally {
    expected: usize,
    seen: AtomicUsize,
    first: std::sync::OnceLock<Instant>,
}

async fn answer(
    tally: Arc<Tally>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // What breaks off is not counted, so the bench would not end.
    if request.into_body().collect().await.is_ok() {
        let first = *tally.first.get_or_init(Instant::now);
        if tally.seen.fetch_add(1, Ordering::Relaxed) + 1 == tally.expected {
            println!("all after {}", first.elapsed().as_secs_f64());
        }
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"ok"))))
}

/// A sink in a process of its own.
pub(crate) struct Sink {
    server: Baseline,
    pub(crate) address: SocketAddr,
}

impl Sink {
    /// One that waits for so many requests.
    pub(crate) fn start(expected: usize) -> Sink {
        let server = Baseline::start("sink", &[("BENCH_EXPECTED", expected.to_string())]);
        let address = server.address;
        Sink { server, address }
    }

    /// Waits until all are there; how long it took from the first to the last.
    pub(crate) fn all(&self) -> Duration {
        let line = self.server.lines.with("all after ");
        let seconds = line.rsplit(' ').next().expect("a number");
        Duration::from_secs_f64(seconds.parse().expect("a number"))
    }
}
