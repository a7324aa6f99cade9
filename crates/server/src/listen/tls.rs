//! TLS settings of a listener: TLS 1.3, 1.2 accepted, both HTTP versions offered.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};

use super::clients::{ClientAuthorities, Verifier};

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

/// A server configuration that asks for a certificate issued under `authorities`. Where one is required the handshake is
/// refused without it, so that nothing of an unknown caller's request is ever read; otherwise it goes on without one. One of
/// somebody else's ends the handshake in either case.
///
/// # Errors
/// [`TlsError`] when the provider lacks the protocol versions.
pub fn with_client_certificates(
    resolver: Arc<dyn ResolvesServerCert>,
    authorities: &Arc<ClientAuthorities>,
    is_required: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = Verifier {
        authorities: Arc::clone(authorities),
        is_required,
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder
        .with_client_cert_verifier(Arc::new(verifier))
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
