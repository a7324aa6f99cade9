//! Client certificates: whose authorities are taken, and whether what was proven in a handshake still holds.
//!
//! A connection may live for days. Its certificate ends meanwhile, or the operator takes its authority out of the file; so
//! whoever relies on it asks again ([`Shown::holds`]), and connections of certificates that hold no longer are ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::shutdown::Shutdown;
use super::tls::{TlsError, provider};
use super::validity;

/// How often the file is read: some KiB from the page cache.
const LOOK: Duration = Duration::from_secs(2);

/// The authorities of a file, read again when it changes.
#[derive(Debug)]
pub struct ClientAuthorities {
    path: PathBuf,
    current: ArcSwap<Taken>,
}

#[derive(Debug)]
struct Taken {
    file: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Which reading of the file this is.
    reading: u64,
}

impl ClientAuthorities {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TlsError`] when it has no usable certificate.
    pub fn open(path: &Path) -> Result<Arc<ClientAuthorities>, TlsError> {
        let taken = Taken::of(path, read(path)?, 0)?;
        Ok(Arc::new(ClientAuthorities {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(taken),
        }))
    }

    /// Takes what is in the file now; whether that is something else.
    ///
    /// # Errors
    /// [`TlsError`]; the authorities of before stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let file = read(&self.path)?;
        let current = self.current.load();
        if file == current.file {
            return Ok(false);
        }
        let taken = Taken::of(&self.path, file, current.reading + 1)?;
        self.current.store(Arc::new(taken));
        Ok(true)
    }

    /// Reads the file again and again until the shutdown.
    pub async fn keep_fresh(self: Arc<Self>, mut shutdown: Shutdown) {
        let mut is_told = false;
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let path = self.path.display();
            let reloaded = self.reload();
            match &reloaded {
                Ok(true) => tracing::info!(%path, "client certificates are taken of other authorities"),
                Err(error) if !is_told => {
                    tracing::error!(%error, "the authorities of client certificates cannot be read; those of before stay");
                }
                Ok(false) | Err(_) => {}
            }
            is_told = reloaded.is_err();
        }
    }
}

fn unusable(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TlsError {
    TlsError::ClientAuthority {
        path: path.to_owned(),
        source: source.into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| unusable(path, error))
}

impl Taken {
    /// What is in a file that was read.
    fn of(path: &Path, file: Vec<u8>, reading: u64) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&file) {
            let certificate = certificate.map_err(|error| unusable(path, error))?;
            roots.add(certificate).map_err(|error| unusable(path, error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(Self {
            file,
            verifier: verifier.map_err(|error| unusable(path, error))?,
            reading,
        })
    }
}

/// Has a handshake judged by the authorities of the moment.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) authorities: Arc<ClientAuthorities>,
    /// Whether there is no connection without a certificate.
    pub(super) is_required: bool,
}

impl Verifier {
    fn current(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.authorities.current.load().verifier)
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    /// None: the authorities change, and clients take it for what they show any of theirs to.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.current().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current()
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current()
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().supported_verify_schemes()
    }
}

/// A certificate that a handshake has proven.
#[derive(Debug)]
pub struct Shown {
    certificate: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    authorities: Arc<ClientAuthorities>,
    /// The reading of the authorities' file by which it was judged last.
    judged: AtomicU64,
    /// From when on it, or one between it and its authority, does not count any more. Seconds since 1970.
    ends: u64,
}

/// No reading.
const NEVER: u64 = u64::MAX;

impl Shown {
    /// What a handshake took, the client's own certificate first.
    pub(super) fn new(
        chain: &[CertificateDer<'_>],
        authorities: &Arc<ClientAuthorities>,
    ) -> Option<Arc<Shown>> {
        let (certificate, intermediates) = chain.split_first()?;
        // One whose end cannot be read has ended.
        let ends = chain.iter().map(|one| validity::end(one).unwrap_or(0)).min();
        Some(Arc::new(Shown {
            certificate: certificate.clone().into_owned(),
            intermediates: intermediates.iter().map(|one| one.clone().into_owned()).collect(),
            authorities: Arc::clone(authorities),
            // The file may have changed since the handshake, so it is judged once more when it is asked about first.
            judged: AtomicU64::new(NEVER),
            ends: ends.unwrap_or(0),
        }))
    }

    /// The client's own.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Whether it still is what it was in the handshake. Signatures are only looked at where the authorities are others.
    #[must_use]
    pub fn holds(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(UNIX_EPOCH) else {
            return false;
        };
        if now.as_secs() >= self.ends {
            return false;
        }
        let current = self.authorities.current.load();
        if self.judged.load(Ordering::Relaxed) == current.reading {
            return true;
        }
        let now = UnixTime::since_unix_epoch(now);
        let judged = current
            .verifier
            .verify_client_cert(&self.certificate, &self.intermediates, now);
        if judged.is_ok() {
            self.judged.store(current.reading, Ordering::Relaxed);
        }
        judged.is_ok()
    }
}
