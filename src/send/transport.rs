//! The only place that dials. Follows no redirects, uses no proxy, speaks HTTP/1.1, reads at most
//! 64 KiB of an answer, and never connects to a cloud's metadata address.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Method, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::delivery::Reason;
use crate::send::dial::{DialError, Dialler, causes};

/// So much of a destination's answer is read, in bytes.
pub const ANSWER: usize = 64 * 1024;

/// So much of a relay's answer to a command is read, in bytes.
pub const COMMAND: usize = 16 * 1024 * 1024;

/// So many preliminary answers (1xx) are passed over.
const PRELIMINARY: usize = 100;

/// Idle connections to one host that are kept.
const IDLE: usize = 16;
const IDLE_FOR: Duration = Duration::from_secs(60);

/// A pool of connections.
#[derive(Clone)]
pub struct Transport {
    client: Client<HttpsConnector<Dialler>, Full<Bytes>>,
    clock: Clock,
}

/// What is to be sent. Without `Debug`: it holds secrets.
pub struct Request<'a> {
    pub method: Method,
    pub url: &'a url::Url,
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

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The address may not be dialled; nothing was sent.
    Forbidden,
    /// One of [`Reason::Refused`], `Reset`, `Dns`, `Tls`, `Timeout`, and words for people.
    Trouble { reason: Reason, words: String },
}

impl Transport {
    /// Trusts the machine's root certificates, or Mozilla's where the machine has none.
    pub fn new(clock: Clock) -> Transport {
        let builder = HttpsConnectorBuilder::new()
            .with_native_roots()
            .unwrap_or_else(|_| HttpsConnectorBuilder::new().with_webpki_roots());
        let connector = builder
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialler::new());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE)
            .http1_title_case_headers(true)
            .build(connector);
        Transport { client, clock }
    }

    /// Sends a request. `limit` holds from dialling to the end of the answer.
    ///
    /// # Errors
    /// When no status line came; an answer whose body breaks off is an [`Answer`].
    pub async fn call(&self, request: Request<'_>, limit: Duration) -> Result<Answer, Failure> {
        let deadline = self.clock.elapsed().saturating_add(limit);
        let most = request.most;
        let mut prepared = prepare(request)?;
        let flooded = count_preliminary(&mut prepared);
        let head = flooded.run_until_cancelled(self.client.request(prepared));
        let response = match self.clock.timeout(limit, head).await {
            Ok(Some(Ok(response))) => response,
            Ok(Some(Err(error))) => return Err(classify(&error)),
            Ok(None) => {
                return Err(Failure::Trouble {
                    reason: Reason::Reset,
                    words: "preliminary answers (1xx) without end".to_owned(),
                });
            }
            Err(_) => {
                return Err(Failure::Trouble {
                    reason: Reason::Timeout,
                    words: format!("no answer within {} s", limit.as_secs_f64()),
                });
            }
        };
        Ok(self.read(response, most, deadline).await)
    }

    async fn read(&self, response: Response<Incoming>, most: usize, deadline: Duration) -> Answer {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let reading = async {
            while body.len() < most {
                match incoming.frame().await {
                    None => return None,
                    Some(Err(_)) => return Some(Reason::Reset),
                    Some(Ok(frame)) => {
                        if let Some(data) = frame.data_ref() {
                            let room = most - body.len();
                            body.extend_from_slice(&data[..data.len().min(room)]);
                        }
                    }
                }
            }
            None
        };
        let left = deadline.saturating_sub(self.clock.elapsed());
        let cut = self.clock.timeout(left, reading).await;
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.freeze(),
            cut: cut.unwrap_or(Some(Reason::Timeout)),
        }
    }
}

fn prepare(request: Request<'_>) -> Result<hyper::Request<Full<Bytes>>, Failure> {
    let unusable = |_| Failure::Trouble {
        reason: Reason::Dns,
        words: "the URL has no host that can be dialled".into(),
    };
    let mut headers = request.headers;
    let mut bare = request.url.clone();
    // A name and password in the URL become a header, as Gogs itself does it.
    if let Some(value) = basic_authorization(request.url) {
        headers.insert(AUTHORIZATION, value);
        let _cannot_fail = bare.set_username("").and_then(|()| bare.set_password(None));
    }
    let uri: Uri = bare.as_str().parse().map_err(unusable)?;
    let mut prepared = hyper::Request::new(Full::new(request.body));
    *prepared.method_mut() = request.method;
    *prepared.uri_mut() = uri;
    *prepared.headers_mut() = headers;
    Ok(prepared)
}

/// Counts what comes before the answer; hyper would read on for ever. Cancelled when it is too
/// much.
fn count_preliminary(request: &mut hyper::Request<Full<Bytes>>) -> CancellationToken {
    let flooded = CancellationToken::new();
    let (cancel, count) = (flooded.clone(), AtomicUsize::new(0));
    hyper::ext::on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= PRELIMINARY {
            cancel.cancel();
        }
    });
    flooded
}

fn basic_authorization(url: &url::Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let name = decoded(url.username());
    let password = decoded(url.password().unwrap_or(""));
    let pair = BASE64_STANDARD.encode(format!("{name}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn classify(error: &legacy::Error) -> Failure {
    let trouble = |reason, words: &str| Failure::Trouble {
        reason,
        words: words.to_owned(),
    };
    match find::<DialError>(error) {
        Some(DialError::Forbidden) => return Failure::Forbidden,
        Some(DialError::Dns) => return trouble(Reason::Dns, "the host's name was not found"),
        Some(DialError::Tcp(kind)) => return tcp(*kind),
        None => {}
    }
    if error.is_connect() {
        let words = format!("no TLS connection: {}", root_cause(error));
        return trouble(Reason::Tls, &words);
    }
    match find::<hyper::Error>(error) {
        Some(error) if error.is_parse() => {
            trouble(Reason::Reset, "what came back is not an HTTP answer")
        }
        _ => trouble(Reason::Reset, "the connection broke before the answer"),
    }
}

fn tcp(kind: std::io::ErrorKind) -> Failure {
    use std::io::ErrorKind;
    let (reason, words) = match kind {
        ErrorKind::ConnectionRefused => (Reason::Refused, "the connection was refused"),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            (Reason::Reset, "the connection broke at once")
        }
        ErrorKind::TimedOut => (Reason::Timeout, "nobody answers at the address"),
        _ => (Reason::Refused, "the address cannot be reached"),
    };
    Failure::Trouble {
        reason,
        words: words.to_owned(),
    }
}

/// The first error of this type among an error and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| {
        // An io::Error hides the error it wraps from `source`.
        let inside = error.downcast_ref::<std::io::Error>();
        let inside = inside.and_then(|error| error.get_ref());
        error
            .downcast_ref::<E>()
            .or_else(|| inside.and_then(|error| error.downcast_ref::<E>()))
    })
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
