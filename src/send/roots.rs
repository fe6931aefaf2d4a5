//! Which certificates are trusted: those under the machine's roots, or Mozilla's where it has none,
//! and under those that relay.yaml adds; or any, where a hook wants it so.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Larger files are no certificates, in bytes.
const LARGEST: u64 = 1 << 20;

/// The machine's roots, or Mozilla's. They are many, so they are read once and shared: a relay sees
/// others after its next start.
static GENERAL: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Arc::new(roots)
});

/// How servers are verified.
pub(crate) fn client_config(extra: &[CertificateDer<'static>]) -> ClientConfig {
    let mut roots = GENERAL.clone();
    if !extra.is_empty() {
        Arc::make_mut(&mut roots).add_parsable_certificates(extra.iter().cloned());
    }
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// No server is verified, for hooks with `insecure_ssl`.
pub(crate) fn unverified() -> ClientConfig {
    let builder = ClientConfig::builder();
    let anyone = Anyone(builder.crypto_provider().clone());
    builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone))
        .with_no_client_auth()
}

/// Takes every certificate. What a server signs is not checked either: it would only show that it
/// holds the key to a certificate that says nothing.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
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
