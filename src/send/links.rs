//! The ways out, made as one `egress` wants them.

use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use rustls::ClientConfig;

use crate::destination::Reach;
use crate::send::dial::{Dialler, Resolve};
use crate::send::egress::Egress;
use crate::send::pool::Pool;
use crate::send::roots;

/// One link for each reach, so that a connection which one may have is never there for the other
/// to find.
pub(crate) struct Links {
    pub(crate) egress: Arc<Egress>,
    tls: ClientConfig,
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
        let link = |reach| {
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
        Links {
            configured: link(Reach::Configured),
            stored: link(Reach::Stored),
            egress,
            tls,
        }
    }

    pub(crate) fn link(&self, reach: Reach) -> &Link {
        match reach {
            Reach::Configured => &self.configured,
            Reach::Stored => &self.stored,
        }
    }
}
