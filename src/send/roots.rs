//! Which root certificates are trusted: the machine's, or Mozilla's where it has none, and those
//! that relay.yaml adds.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// Larger files are no certificates, in bytes.
const LARGEST: u64 = 1 << 20;

/// How servers are verified.
pub(crate) fn client_config(extra: &[CertificateDer<'static>]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots.add_parsable_certificates(extra.iter().cloned());
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The certificates of a PEM file, each fit to be trusted as a root.
///
/// # Errors
/// What is wrong with the file, to stand after its name.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    if std::fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
        return Err("is larger than 1MiB".to_owned());
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = read.map_err(|error| format!("is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    let is_root = |certificate: &CertificateDer<'static>| {
        RootCertStore::empty().add(certificate.clone()).is_ok()
    };
    if let Some(wrong) = certificates.iter().position(|one| !is_root(one)) {
        let number = wrong + 1;
        return Err(format!(
            "holds no usable certificate as its number {number}"
        ));
    }
    Ok(certificates)
}
