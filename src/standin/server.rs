//! The socket of a stand-in: reads requests, hands them on, and answers as the script says.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::script::{Ending, Script};
use super::{Received, Shared};

/// Accepts connections until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let serving = connection(stream, shared.clone());
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, shared.clone()));
    // A connection that breaks is the sender's affair; a script may have broken it.
    let _broken = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<ScriptedBody>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let script = shared.take(Received {
        at: shared.clock.elapsed(),
        time: shared.clock.now(),
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head.headers,
        body,
        status: 0,
    });
    if !script.after.is_zero() {
        shared.clock.sleep(script.after).await;
    }
    match script.ending {
        Ending::Never => {
            std::future::pending::<Infallible>().await;
        }
        Ending::Closes => return Err(io::Error::other("closes")),
        Ending::Whole | Ending::Cut | Ending::Stalls => {}
    }
    Ok(response(script))
}

fn response(script: Script) -> Response<ScriptedBody> {
    let mut response = Response::new(ScriptedBody::new(script.body, script.ending));
    *response.status_mut() = StatusCode::from_u16(script.status).unwrap_or_default();
    for (name, value) in script.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            let name = HeaderName::from_static(name);
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A body that may break off.
struct ScriptedBody {
    whole: u64,
    rest: Option<Bytes>,
    ending: Ending,
    flushed: bool,
}

impl ScriptedBody {
    fn new(mut body: Bytes, ending: Ending) -> ScriptedBody {
        let whole = body.len() as u64;
        if ending != Ending::Whole {
            body.truncate(body.len() / 2);
        }
        ScriptedBody {
            whole,
            rest: (!body.is_empty()).then_some(body),
            ending,
            flushed: false,
        }
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(data) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.ending {
            Ending::Whole => Poll::Ready(None),
            Ending::Cut if !self.flushed => {
                // What was given so far is written before the connection breaks.
                self.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::Cut => Poll::Ready(Some(Err(io::Error::other("cut")))),
            Ending::Stalls | Ending::Never | Ending::Closes => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ending == Ending::Whole && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.whole)
    }
}
