//! The only place that dials, and only where `egress` lets it. Follows no redirects, knows no proxy
//! but that of relay.yaml, speaks HTTP/1.1, and reads at most 64 KiB of an answer.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::rt::Executor;
use hyper::{Method, Response, Uri};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tower_service::Service;
use url::{Position, Url};

use crate::clock::Clock;
use crate::delivery::Reason;
use crate::destination::{Reach, Trust};
use crate::send::dial::{Resolve, SystemResolver, basic_credentials};
use crate::send::egress::Egress;
use crate::send::failure::{broken, trouble, undialled};
use crate::send::links::{Link, Links};
use crate::send::pool::Sender;

pub use crate::send::failure::Failure;

/// So much of a destination's answer is read, in bytes.
pub const ANSWER: usize = 64 * 1024;

/// So much of a relay's answer to a command is read, in bytes.
pub const COMMAND: usize = 16 * 1024 * 1024;

/// So many preliminary answers (1xx) are passed over.
const PRELIMINARY: usize = 100;

/// Sends requests, each over a connection of its own for as long as it takes. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    links: Arc<RwLock<Arc<Links>>>,
    resolver: Arc<dyn Resolve>,
    clock: Clock,
}

/// What is to be sent. Without `Debug`: it holds secrets.
pub struct Request<'a> {
    pub method: Method,
    pub url: &'a url::Url,
    /// How far its URL may lead.
    pub reach: Reach,
    /// What is asked of the server's certificate.
    pub trust: Trust,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// At most so many bytes of the answer's body are read.
    pub most: usize,
}

/// What came back. Without `Debug`: a body may repeat what we sent.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most as many bytes as the request allows.
    pub body: Bytes,
    /// Why the body ends before its time, if it does ([`Reason::Reset`] or [`Reason::Timeout`]).
    pub cut: Option<Reason>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Transport {
    /// Sends where the defaults of `egress` let it, without a proxy.
    pub fn new(clock: Clock) -> Transport {
        Transport::within(Egress::default(), Arc::new(SystemResolver), clock)
    }

    /// Sends where `egress` lets it. Every name is looked up by `resolver`, once a connection.
    pub fn within(egress: Egress, resolver: Arc<dyn Resolve>, clock: Clock) -> Transport {
        let links = Links::new(egress, &resolver);
        Transport {
            links: Arc::new(RwLock::new(Arc::new(links))),
            resolver,
            clock,
        }
    }

    /// Sends where `egress` lets it from now on. What is under way ends as it began.
    pub fn obey(&self, egress: &Egress) {
        let links = self.links();
        if *links.egress != *egress {
            let next = Arc::new(links.succeeded_by(egress.clone(), &self.resolver));
            *self.links.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
    }

    fn links(&self) -> Arc<Links> {
        let links = self.links.read();
        links.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request. `limit` holds from dialling to the end of the answer.
    ///
    /// # Errors
    /// When no status line came; an answer whose body breaks off is an [`Answer`].
    pub async fn call(&self, request: Request<'_>, limit: Duration) -> Result<Answer, Failure> {
        let most = request.most;
        let links = self.links();
        let judged = links.egress.judge_url(request.reach, request.url);
        judged.map_err(Failure::Forbidden)?;
        let link = links.link(request.reach, request.trust);
        let bare = without_credentials(request.url);
        let origin = &bare[..Position::BeforePath];
        let mut request = prepare(request, &bare)?;
        let flood = count_preliminary(&mut request);
        let mut begun = None;
        // Boxed, because whoever awaits a future moves it, and this one is large.
        let exchange = Box::pin(async {
            let sent = tokio::select! {
                biased;
                sent = self.send(link, origin, request) => sent,
                () = flood.over.notified() => {
                    Err(trouble(Reason::Reset, "preliminary answers (1xx) without end"))
                }
            };
            let (sender, response) = sent?;
            let (head, body) = response.into_parts();
            let begun = begun.insert(Begun::new(head));
            if begun.read(body, most).await {
                link.pool.keep(origin, sender, self.clock.elapsed());
            }
            Ok(())
        });
        let ended = self.clock.timeout(limit, exchange).await;
        match (begun, ended) {
            (Some(begun), _) => Ok(begun.answer()),
            (None, Ok(Err(failure))) => Err(failure),
            (None, _) => Err(Failure::Trouble {
                reason: Reason::Timeout,
                words: format!("no answer within {} s", limit.as_secs_f64()),
            }),
        }
    }

    /// Sends over a kept connection, or over a new one when none takes the request any more.
    async fn send(
        &self,
        link: &Link,
        origin: &str,
        mut request: Outgoing,
    ) -> Result<Sent, Failure> {
        while let Some(mut sender) = link.pool.take(origin, self.clock.elapsed()) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut error) => match error.take_message() {
                    // The other side closed it before anything was written.
                    Some(unsent) => request = unsent,
                    None => return Err(broken(&error.into_error())),
                },
            }
        }
        let mut sender = connect(link, origin).await?;
        let response = sender.send_request(request).await;
        response
            .map(|response| (sender, response))
            .map_err(|error| broken(&error))
    }
}

async fn connect(link: &Link, origin: &str) -> Result<Sender, Failure> {
    let origin: Uri = origin.parse().map_err(|_| undiallable())?;
    let mut connector = link.connector.clone();
    let ready = poll_fn(|context| connector.poll_ready(context)).await;
    ready.map_err(|error| undialled(&*error))?;
    let dialled = connector.call(origin).await;
    let stream = dialled.map_err(|error| undialled(&*error))?;
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true);
    let (sender, connection) = (builder.handshake(stream).await).map_err(|e| broken(&e))?;
    // It ends when the sender is dropped or the other side closes; whoever waits for an answer is
    // told why.
    TokioExecutor::new().execute(async { drop(connection.await) });
    Ok(sender)
}

type Outgoing = hyper::Request<Full<Bytes>>;

/// The connection, to be kept when all is read, and the answer's head.
type Sent = (Sender, Response<Incoming>);

/// An answer that is being read.
struct Begun {
    head: hyper::http::response::Parts,
    body: BytesMut,
    cut: Option<Reason>,
}

impl Begun {
    fn new(head: hyper::http::response::Parts) -> Begun {
        Begun {
            head,
            body: BytesMut::new(),
            // Until something else is known.
            cut: Some(Reason::Timeout),
        }
    }

    /// Reads the body; says whether its end was reached.
    async fn read(&mut self, mut incoming: Incoming, most: usize) -> bool {
        while self.body.len() < most {
            match incoming.frame().await {
                None => {
                    self.cut = None;
                    return true;
                }
                Some(Err(_)) => {
                    self.cut = Some(Reason::Reset);
                    return false;
                }
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        let room = most - self.body.len();
                        self.body.extend_from_slice(&data[..data.len().min(room)]);
                    }
                }
            }
        }
        self.cut = None;
        false
    }

    fn answer(self) -> Answer {
        Answer {
            status: self.head.status.as_u16(),
            headers: self.head.headers,
            body: self.body.freeze(),
            cut: self.cut,
        }
    }
}

fn undiallable() -> Failure {
    Failure::Trouble {
        reason: Reason::Dns,
        words: "the URL has no host that can be dialled".into(),
    }
}

fn without_credentials(url: &Url) -> Cow<'_, Url> {
    if url.username().is_empty() && url.password().is_none() {
        return Cow::Borrowed(url);
    }
    let mut bare = url.clone();
    let _cannot_fail = bare.set_username("").and_then(|()| bare.set_password(None));
    Cow::Owned(bare)
}

/// The request as it goes over a connection to its URL's origin.
fn prepare(request: Request<'_>, bare: &Url) -> Result<Outgoing, Failure> {
    let mut headers = request.headers;
    // A name and password in the URL become a header, as Gogs itself does it.
    if let Some(value) = basic_credentials(request.url) {
        headers.insert(AUTHORIZATION, value);
    }
    let host = HeaderValue::from_str(&bare[Position::BeforeHost..Position::AfterPort]);
    headers.insert(HOST, host.map_err(|_| undiallable())?);
    let path = &bare[Position::BeforePath..Position::AfterQuery];
    let mut prepared = hyper::Request::new(Full::new(request.body));
    *prepared.method_mut() = request.method;
    *prepared.uri_mut() = path.parse().map_err(|_| undiallable())?;
    *prepared.headers_mut() = headers;
    Ok(prepared)
}

/// What came before the answer.
#[derive(Default)]
struct Flood {
    count: AtomicUsize,
    /// It was too much.
    over: Notify,
}

/// Counts what comes before the answer; hyper would read on for ever.
fn count_preliminary(request: &mut Outgoing) -> Arc<Flood> {
    let flood = Arc::new(Flood::default());
    let counted = flood.clone();
    hyper::ext::on_informational(request, move |_| {
        if counted.count.fetch_add(1, Ordering::Relaxed) >= PRELIMINARY {
            counted.over.notify_one();
        }
    });
    flood
}
