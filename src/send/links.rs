//! Pools of connections, made as one `egress` wants them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::destination::Reach;
use crate::send::dial::{Dialler, Resolve};
use crate::send::egress::Egress;
use crate::send::roots;

/// Idle connections to one host that are kept.
const IDLE: usize = 16;
const IDLE_FOR: Duration = Duration::from_secs(60);

pub(crate) type Pool = Client<HttpsConnector<Dialler>, Full<Bytes>>;

/// One pool for each reach, so that a connection which one may have is never there for the other
/// to find.
pub(crate) struct Links {
    pub(crate) egress: Arc<Egress>,
    tls: ClientConfig,
    configured: Pool,
    stored: Pool,
}

impl Links {
    pub(crate) fn new(egress: Egress, resolver: &Arc<dyn Resolve>) -> Links {
        let tls = roots::client_config(&egress.ca);
        Links::with(egress, tls, resolver)
    }

    /// Links for another `egress`.
    pub(crate) fn succeeded_by(&self, egress: Egress, resolver: &Arc<dyn Resolve>) -> Links {
        match egress.ca == self.egress.ca {
            true => Links::with(egress, self.tls.clone(), resolver),
            false => Links::new(egress, resolver),
        }
    }

    fn with(egress: Egress, tls: ClientConfig, resolver: &Arc<dyn Resolve>) -> Links {
        let egress = Arc::new(egress);
        let pool = |reach| {
            pool(
                tls.clone(),
                Dialler {
                    reach,
                    egress: egress.clone(),
                    resolver: resolver.clone(),
                },
            )
        };
        Links {
            configured: pool(Reach::Configured),
            stored: pool(Reach::Stored),
            egress,
            tls,
        }
    }

    pub(crate) fn pool(&self, reach: Reach) -> &Pool {
        match reach {
            Reach::Configured => &self.configured,
            Reach::Stored => &self.stored,
        }
    }
}

fn pool(tls: ClientConfig, dialler: Dialler) -> Pool {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(dialler);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_FOR)
        .pool_max_idle_per_host(IDLE)
        .http1_title_case_headers(true)
        .build(connector)
}
