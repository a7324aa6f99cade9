//! TLS settings of a listener: TLS 1.3, 1.2 accepted, both HTTP versions offered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{
    ClientCertVerifierBuilder, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The protocol versions are not supported by the provider.
    #[error("TLS cannot be set up")]
    Protocol(#[from] rustls::Error),
    /// The client authorities' file is not usable.
    #[error("`{}` must hold the PEM certificates of the authorities that issue client certificates", path.display())]
    ClientAuthority {
        /// The configured file.
        path: PathBuf,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Both versions are really served (the API server picks `h2` when it is offered).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A server configuration without client certificates.
///
/// # Errors
/// [`TlsError`] when the provider lacks the protocol versions.
pub fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(finish(builder.with_no_client_auth().with_cert_resolver(resolver)))
}

/// A server configuration that refuses the handshake without a certificate issued under `authorities` (a PEM file),
/// so that nothing of an unknown caller's request is ever read.
///
/// # Errors
/// [`TlsError`] when the file has no usable certificate.
pub fn require_client_certificates(
    resolver: Arc<dyn ResolvesServerCert>,
    authorities: &Path,
) -> Result<Arc<ServerConfig>, TlsError> {
    with_client_certificates(resolver, authorities, |builder| builder)
}

/// A server configuration that asks for such a certificate and goes on without one. One of somebody else's ends the
/// handshake.
///
/// # Errors
/// [`TlsError`] when the file has no usable certificate.
pub fn take_client_certificates(
    resolver: Arc<dyn ResolvesServerCert>,
    authorities: &Path,
) -> Result<Arc<ServerConfig>, TlsError> {
    with_client_certificates(
        resolver,
        authorities,
        ClientCertVerifierBuilder::allow_unauthenticated,
    )
}

fn with_client_certificates(
    resolver: Arc<dyn ResolvesServerCert>,
    authorities: &Path,
    adjust: fn(ClientCertVerifierBuilder) -> ClientCertVerifierBuilder,
) -> Result<Arc<ServerConfig>, TlsError> {
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::ClientAuthority {
        path: authorities.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities).map_err(|error| unusable(error.into()))? {
        let certificate = certificate.map_err(|error| unusable(error.into()))?;
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    let verifier = adjust(WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        provider(),
    ))
    .build()
    .map_err(|error| unusable(error.into()))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    // A session that is taken up again has the certificate of the first handshake, which may have expired since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(finish(config))
}

fn finish(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
