//! Asks a proxy for a connection to an address, by CONNECT.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode, Uri, upgrade};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why a proxy gave no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the proxy's name was not found")]
    Dns,
    #[error("the proxy is at a cloud's metadata address, where nothing is ever sent")]
    Forbidden,
    #[error("the proxy cannot be reached")]
    Unreachable,
    #[error("the proxy wants other credentials (407)")]
    Credentials,
    #[error("the proxy answered {0} to CONNECT to port {1} of the address")]
    Refused(u16, u16),
    #[error("the proxy broke off, or does not speak HTTP")]
    Broken,
}

/// Makes of a connection to the proxy one to `address`.
///
/// # Errors
/// What the proxy said.
pub(crate) async fn tunnel(
    proxy: TokioIo<TcpStream>,
    address: IpAddr,
    port: u16,
    credentials: Option<&HeaderValue>,
) -> Result<TokioIo<TcpStream>, ProxyError> {
    let request = connect(SocketAddr::new(address, port), credentials)?;
    let (mut sender, connection) = http1::handshake(proxy).await.map_err(broken)?;
    let mut asking = pin!(async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        match response.status() {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(ProxyError::Credentials),
            status if !status.is_success() => Err(ProxyError::Refused(status.as_u16(), port)),
            _ => upgrade::on(response).await.map_err(broken),
        }
    });
    let upgraded = tokio::select! {
        asked = &mut asking => asked,
        // It ends by giving its stream away.
        _ = connection.with_upgrades() => asking.await,
    }?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>();
    let parts = parts.map_err(|_| ProxyError::Broken)?;
    // Nobody has asked the server for anything yet.
    match parts.read_buf.is_empty() {
        true => Ok(parts.io),
        false => Err(ProxyError::Broken),
    }
}

fn connect(
    target: SocketAddr,
    credentials: Option<&HeaderValue>,
) -> Result<Request<Empty<Bytes>>, ProxyError> {
    let target = target.to_string();
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    let host = HeaderValue::from_str(&target).map_err(|_| ProxyError::Broken)?;
    request.headers_mut().insert(HOST, host);
    *request.uri_mut() = Uri::try_from(target).map_err(|_| ProxyError::Broken)?;
    if let Some(credentials) = credentials {
        let headers = request.headers_mut();
        headers.insert(PROXY_AUTHORIZATION, credentials.clone());
    }
    Ok(request)
}

fn broken(_: hyper::Error) -> ProxyError {
    ProxyError::Broken
}
