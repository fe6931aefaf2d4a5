//! Which addresses may be dialled. Judges the address that is really connected to, so neither a
//! name nor a second look-up gets round it.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the address may not be dialled")]
    Forbidden,
    #[error("the host's name was not found")]
    Dns,
    #[error("cannot connect: {0}")]
    Tcp(std::io::ErrorKind),
}

/// Connects to a URI's host, if its address may be dialled.
#[derive(Clone)]
pub(crate) struct Dialler {
    http: HttpConnector<JudgingResolver>,
}

impl Dialler {
    pub(crate) fn new() -> Dialler {
        let mut http = HttpConnector::new_with_resolver(JudgingResolver(GaiResolver::new()));
        http.enforce_http(false);
        http.set_nodelay(true);
        Dialler { http }
    }
}

type Dialling<T> = Pin<Box<dyn Future<Output = Result<T, DialError>> + Send>>;

impl Service<Uri> for Dialler {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        self.http.poll_ready(context).map_err(|error| cause(&error))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // The connector asks the resolver for names alone, so a literal address is judged here.
        if literal(&uri).is_some_and(|address| !permitted(address)) {
            return Box::pin(std::future::ready(Err(DialError::Forbidden)));
        }
        let connecting = self.http.call(uri);
        Box::pin(async move { connecting.await.map_err(|error| cause(&error)) })
    }
}

/// Looks names up and drops every address that may not be dialled.
#[derive(Clone)]
struct JudgingResolver(GaiResolver);

impl Service<Name> for JudgingResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = DialError;
    type Future = Dialling<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        self.0.poll_ready(context).map_err(|_| DialError::Dns)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let looking_up = self.0.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = looking_up.await.map_err(|_| DialError::Dns)?.collect();
            let judged: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| permitted(address.ip()))
                .collect();
            match (found.is_empty(), judged.is_empty()) {
                (true, _) => Err(DialError::Dns),
                (false, true) => Err(DialError::Forbidden),
                (false, false) => Ok(judged.into_iter()),
            }
        })
    }
}

/// Whether a destination of relay.yaml may be at this address: anywhere but where clouds keep
/// their credentials, also when that is wrapped in IPv6.
pub(crate) fn permitted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            !METADATA_V6.contains(&address)
                && wrapped(address).is_none_or(|inner| !METADATA_V4.contains(&inner))
        }
    }
}

/// AWS, Google, Azure and others; tasks and pods at AWS; Alibaba; Azure's host; Oracle.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS for machines and for pods; Google.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address.
fn wrapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(from(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

fn literal(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// What lies below the connector's own error.
fn cause(error: &(dyn Error + 'static)) -> DialError {
    for error in causes(error) {
        if let Some(error) = error.downcast_ref::<DialError>() {
            return *error;
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return DialError::Tcp(error.kind());
        }
    }
    DialError::Tcp(std::io::ErrorKind::Other)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_refused_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "100.100.100.200",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(!permitted(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.7", "::1", "203.0.113.9", "fd00::1"] {
            assert!(permitted(address.parse().unwrap()), "{address}");
        }
    }
}
