//! Connects to a URL's host, directly or through the proxy. A name is looked up once, every
//! address found is judged, and what is dialled is exactly what was judged.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::destination::{Reach, SecretUrl};
use crate::send::egress::{Egress, Refusal};
use crate::send::tunnel::{ProxyError, tunnel};

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, in the order in which they are to be tried; an error when it has
    /// none.
    fn look_up(&self, host: String) -> LookUp;
}

/// A look-up under way.
pub type LookUp = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// As the machine does it.
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn look_up(&self, host: String) -> LookUp {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{0}")]
    Forbidden(Refusal),
    #[error("the host's name was not found")]
    Dns,
    #[error("cannot connect: {0}")]
    Tcp(std::io::ErrorKind),
    #[error("{0}")]
    Proxy(ProxyError),
}

/// Connects to a URI's host, where its reach may lead.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) reach: Reach,
    pub(crate) egress: Arc<Egress>,
    pub(crate) resolver: Arc<dyn Resolve>,
}

type Dialling = Pin<Box<dyn Future<Output = Result<TokioIo<TcpStream>, DialError>> + Send>>;

impl Service<Uri> for Dialler {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Dialling;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Dialling {
        let dialler = self.clone();
        Box::pin(async move { dialler.dial(&uri).await })
    }
}

impl Dialler {
    async fn dial(&self, uri: &Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let host = uri.host().ok_or(DialError::Dns)?;
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let judged = self.judged(host, self.reach).await?;
        let Some(proxy) = &self.egress.proxy else {
            return connect(judged, port).await;
        };
        let direct = &self.egress.no_proxy;
        let (past, through): (Vec<IpAddr>, Vec<IpAddr>) = judged
            .into_iter()
            .partition(|address| direct.name(host) || direct.hold(*address));
        match past.is_empty() {
            true => self.through(proxy, &through, port).await,
            false => connect(past, port).await,
        }
    }

    /// The addresses of a host that may be dialled; at least one.
    async fn judged(&self, host: &str, reach: Reach) -> Result<Vec<IpAddr>, DialError> {
        let found = match literal(host) {
            Some(address) => vec![address],
            None => {
                let looking_up = self.resolver.look_up(host.to_owned());
                looking_up.await.map_err(|_| DialError::Dns)?
            }
        };
        let mut refused = DialError::Dns;
        let mut judged = Vec::new();
        for address in found {
            match self.egress.judge(reach, host, address) {
                Ok(()) => judged.push(address),
                Err(refusal) => refused = DialError::Forbidden(refusal),
            }
        }
        match judged.is_empty() {
            true => Err(refused),
            false => Ok(judged),
        }
    }

    /// Asks the proxy for one address after the other. It never learns the host's name, so it
    /// cannot look it up again.
    async fn through(
        &self,
        proxy: &SecretUrl,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<TokioIo<TcpStream>, DialError> {
        let url = proxy.expose();
        let credentials = basic_credentials(url);
        let proxy_port = url.port_or_known_default().unwrap_or(80);
        let host = url.host_str().unwrap_or("");
        let at = self.judged(host, Reach::Configured).await;
        let at = at.map_err(|error| match error {
            DialError::Forbidden(_) => DialError::Proxy(ProxyError::Forbidden),
            _ => DialError::Proxy(ProxyError::Dns),
        })?;
        let mut failed = ProxyError::Unreachable;
        for address in addresses {
            let connection = connect(at.clone(), proxy_port).await;
            let connection = connection.map_err(|_| DialError::Proxy(ProxyError::Unreachable))?;
            match tunnel(connection, *address, port, credentials.as_ref()).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error,
            }
        }
        Err(DialError::Proxy(failed))
    }
}

/// Connects to the first of these addresses that answers.
async fn connect(addresses: Vec<IpAddr>, port: u16) -> Result<TokioIo<TcpStream>, DialError> {
    let connecting = connector(addresses).call(placeholder(port)?);
    connecting.await.map_err(|error| cause(&error))
}

/// A connector that can look up nothing but these addresses.
fn connector(addresses: Vec<IpAddr>) -> HttpConnector<Judged> {
    let mut http = HttpConnector::new_with_resolver(Judged(addresses));
    http.set_nodelay(true);
    http
}

/// What the connector is asked for: a name, so that it takes the judged addresses.
fn placeholder(port: u16) -> Result<Uri, DialError> {
    Uri::try_from(format!("http://judged:{port}")).map_err(|_| DialError::Dns)
}

/// Has the judged addresses, whatever name it is asked for.
#[derive(Clone)]
struct Judged(Vec<IpAddr>);

impl Service<Name> for Judged {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        // The connector puts its port in place of 0.
        let addresses = self.0.iter().map(|address| SocketAddr::new(*address, 0));
        std::future::ready(Ok(addresses.collect::<Vec<_>>().into_iter()))
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// A URL's name and password as the value of a header.
pub(crate) fn basic_credentials(url: &url::Url) -> Option<HeaderValue> {
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

/// What lies below the connector's own error.
fn cause(error: &(dyn Error + 'static)) -> DialError {
    let kind = causes(error).find_map(|error| Some(error.downcast_ref::<std::io::Error>()?.kind()));
    DialError::Tcp(kind.unwrap_or(std::io::ErrorKind::Other))
}

/// An error, its cause, the cause of that, and so on.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
