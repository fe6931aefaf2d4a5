//! octocrab, with every answer held against GitHub's own schema before it is read.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};

use super::schema;
use super::wire::TOKEN;

/// Which operations were seen, with the status of the answer.
pub(super) type Seen = Arc<Mutex<BTreeSet<(String, u16)>>>;

/// A client of the relay at this address, which never tries twice.
pub(super) fn client(relay: SocketAddr) -> (Octocrab, Seen) {
    client_with(relay, TOKEN)
}

pub(super) fn client_with(relay: SocketAddr, token: &str) -> (Octocrab, Seen) {
    let seen = Seen::default();
    let checked = Checked {
        relay,
        token: token.to_owned(),
        client: Client::builder(TokioExecutor::new()).build_http(),
        seen: seen.clone(),
    };
    let octocrab = OctocrabBuilder::new_empty()
        .with_service(checked)
        .with_auth(AuthState::None)
        .build();
    (octocrab.unwrap(), seen)
}

#[derive(Clone)]
struct Checked {
    relay: SocketAddr,
    token: String,
    client: Client<HttpConnector, OctoBody>,
    seen: Seen,
}

impl Checked {
    async fn send(
        self,
        mut request: Request<OctoBody>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        if request.uri().authority().is_none() {
            let target = request.uri().path_and_query().unwrap();
            let absolute = format!("http://{}/api/v3{target}", self.relay);
            *request.uri_mut() = absolute.parse::<Uri>().unwrap();
        }
        let token = HeaderValue::try_from(format!("Bearer {}", self.token)).unwrap();
        request.headers_mut().insert(AUTHORIZATION, token);
        let method = request.method().to_string();
        let path = request
            .uri()
            .path()
            .strip_prefix("/api/v3")
            .unwrap()
            .to_owned();
        let answer = self.client.request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let status = head.status.as_u16();
        let (operation, wrong) = schema::violations(&method, &path, status, &body);
        assert_eq!(wrong, [""; 0], "{operation} {status}: {body:?}");
        self.seen.lock().unwrap().insert((operation, status));
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

impl tower_service::Service<Request<OctoBody>> for Checked {
    type Response = Response<Full<Bytes>>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OctoBody>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}
