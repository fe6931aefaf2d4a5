//! The ways out, made as one `egress` wants them.

use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use rustls::ClientConfig;

use crate::destination::{Reach, Trust};
use crate::send::dial::{Dialler, Resolve};
use crate::send::egress::Egress;
use crate::send::pool::Pool;
use crate::send::roots;

/// One link for each reach and trust, so that a connection which one may have is never there for
/// another to find.
pub(crate) struct Links {
    pub(crate) egress: Arc<Egress>,
    tls: ClientConfig,
    verified: Pair,
    unverified: Pair,
}

/// What trusts alike.
struct Pair {
    configured: Link,
    stored: Link,
}

/// A way to new connections, and those there are.
pub(crate) struct Link {
    pub(crate) connector: HttpsConnector<Dialler>,
    pub(crate) pool: Pool,
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
        let link = |tls: &ClientConfig, reach| {
            let dialler = Dialler {
                reach,
                egress: egress.clone(),
                resolver: resolver.clone(),
            };
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls.clone())
                .https_or_http()
                .enable_http1()
                .wrap_connector(dialler);
            let pool = Pool::default();
            Link { connector, pool }
        };
        let pair = |tls: &ClientConfig| Pair {
            configured: link(tls, Reach::Configured),
            stored: link(tls, Reach::Stored),
        };
        Links {
            verified: pair(&tls),
            unverified: pair(&roots::unverified()),
            egress,
            tls,
        }
    }

    pub(crate) fn link(&self, reach: Reach, trust: Trust) -> &Link {
        let pair = match trust {
            Trust::Verified => &self.verified,
            Trust::Anyone => &self.unverified,
        };
        match reach {
            Reach::Configured => &pair.configured,
            Reach::Stored => &pair.stored,
        }
    }
}
