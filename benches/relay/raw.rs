//! The yardstick: the relay's own verifying and decoding, with an append-and-sync raw file in
//! place of the queue. What is lost against it is what the queue costs.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use gogs_relay::clock::Clock;
use gogs_relay::config::Source;
use gogs_relay::destination::ContentType;
use gogs_relay::ingest::decode::decode;
use gogs_relay::ingest::verify::{Gate, Unverified};
use gogs_relay::queue::Redelivery;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::load::SECRET;

struct Server {
    gate: Gate,
    clock: Clock,
    log: mpsc::UnboundedSender<(Bytes, oneshot::Sender<()>)>,
}

/// Serves for ever, writing to `file`; says where through `started`.
pub(crate) async fn serve(file: &Path, started: impl FnOnce(SocketAddr)) -> std::io::Result<()> {
    let (log, taken) = mpsc::unbounded_channel();
    let file = File::create(file)?;
    std::thread::spawn(move || write(file, taken));
    let source = Source {
        secrets: vec![SecretString::from(SECRET)],
        unsigned: false,
        sha1: false,
        body_secret: false,
        redelivery: Redelivery::Failed,
        same_body: None,
    };
    let server = Arc::new(Server {
        gate: Gate::new("gogs".into(), &source),
        clock: Clock::system(),
        log,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    started(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = server.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(server.clone(), request));
            // A client that goes away ends its own connection and nothing else.
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let unverified = Unverified {
        headers: &head.headers,
        content_type: ContentType::Json,
        raw: body.clone(),
        json: body,
    };
    let verified = server.gate.verify(&unverified).expect("the load is signed");
    let (event, _) =
        decode(verified, &head.headers, server.clock.now()).expect("the load is a push");
    let (done, synced) = oneshot::channel();
    server
        .log
        .send((event.body, done))
        .expect("the writer runs");
    synced.await.expect("the writer answers");
    let mut response = Response::new(Full::new(Bytes::from_static(
        b"{\"event\":1,\"destinations\":[\"a\",\"b\"]}",
    )));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Takes what waits, appends it, syncs once, answers everyone.
fn write(mut file: File, mut taken: mpsc::UnboundedReceiver<(Bytes, oneshot::Sender<()>)>) {
    let mut waiting = Vec::new();
    let mut bytes = Vec::new();
    while taken.blocking_recv_many(&mut waiting, 1024) > 0 {
        bytes.clear();
        for (body, _) in &waiting {
            bytes.extend_from_slice(body);
        }
        file.write_all(&bytes)
            .and_then(|()| file.sync_data())
            .expect("the disk has room");
        for (_, done) in waiting.drain(..) {
            // Whoever went away needs no answer.
            let _gone = done.send(());
        }
    }
}
