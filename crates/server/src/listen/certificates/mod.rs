//! The server's own small certificate authority and the certificate it serves with.
//!
//! ```text
//! DIR/tls/material.json   0600   authorities, serving certificate and their keys; or a Secret that replicas share
//! DIR/webhook-ca.pem             the authorities to trust, for `caBundle`
//! ```
//!
//! [`Given`] is a certificate that others make.

mod given;
mod kept;
mod material;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use binauthz_kubernetes::Inside;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Notify;

use self::kept::{Place, SecretPlace, Written, write};
use self::material::{Material, Terms};
use super::shutdown::Shutdown;
use super::tls::provider;

pub use given::Given;
pub use material::Lifetimes;

/// Always among the names, so that a server on one machine works without any setting.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];
/// Looks at what is kept come this often at the most and at the least: another replica may have written.
const LOOKS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Looks in the life of what ends first.
const LOOKS_PER_LIFE: u32 = 20;
/// Tries to write what others write, too. Each that fails means that somebody else succeeded.
const TRIES: u32 = 16;

/// Why the certificates cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// A file cannot be read or written.
    #[error("cannot use `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` is damaged; remove the folder to have new certificates made: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The Secret cannot be used.
    #[error("cannot use the Secret `{name}`: {source}")]
    Secret {
        /// Its name.
        name: String,
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others write the Secret all the time.
    #[error("the Secret was written by somebody else {TRIES} times in a row")]
    Overtaken,
    /// The certificate and the key of others cannot be used.
    #[error("`tls.crt` and `tls.key` of `{}` are not a certificate and its key: {source}", folder.display())]
    NoPair {
        /// The folder.
        folder: PathBuf,
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A configured name cannot stand in a certificate.
    #[error("cannot issue a certificate for {names:?}: {source}")]
    Issue {
        /// The names asked for.
        names: Vec<String>,
        /// The reason.
        source: rcgen::Error,
    },
}

/// Where certificates are kept, whom they are for and how long they last.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// Where `tls` and `webhook-ca.pem` are.
    pub data_directory: &'a Path,
    /// The Secret that replicas share, and the cluster that it is in.
    pub secret: Option<(Inside, String)>,
    /// The further DNS names and addresses that the server is reached by.
    pub names: &'a [String],
    /// How long they last.
    pub lifetimes: Lifetimes,
}

/// The serving certificate, renewed in place; give it to [`super::server_config`].
#[derive(Debug)]
pub struct Certificates {
    place: Place,
    terms: Terms,
    bundle_file: PathBuf,
    current: ArcSwap<Served>,
    /// The authority that everybody is known to trust.
    trusted: Mutex<Option<String>>,
    changed: Notify,
}

#[derive(Debug)]
struct Served {
    material: Material,
    key: Arc<CertifiedKey>,
}

impl Certificates {
    /// Uses what is kept, makes what is missing or near its end.
    ///
    /// # Errors
    /// [`CertificatesError`] when it cannot be kept or a name is not one.
    pub async fn open(plan: Plan<'_>, now: SystemTime) -> Result<Self, CertificatesError> {
        let folder = plan.data_directory.join("tls");
        fs::create_dir_all(&folder).map_err(|source| CertificatesError::File {
            path: folder.clone(),
            source,
        })?;
        let mut names: Vec<String> = LOOPBACK.iter().map(|name| (*name).to_owned()).collect();
        let further = plan
            .names
            .iter()
            .filter(|name| !LOOPBACK.contains(&name.as_str()));
        names.extend(further.cloned());
        let place = match plan.secret {
            Some((inside, name)) => Place::Secret(SecretPlace { inside, name }),
            None => Place::Folder(folder),
        };
        let terms = Terms {
            names,
            lifetimes: plan.lifetimes,
            is_shared: matches!(place, Place::Secret(_)),
        };
        let served = served(advanced(&place, &terms, now, None).await?, &place)?;
        let certificates = Self {
            place,
            terms,
            bundle_file: plan.data_directory.join("webhook-ca.pem"),
            current: ArcSwap::from_pointee(served),
            trusted: Mutex::new(None),
            changed: Notify::new(),
        };
        certificates.publish()?;
        Ok(certificates)
    }

    /// When the serving certificate ends.
    pub(crate) fn ends(&self) -> SystemTime {
        self.current.load().material.ends()
    }

    /// The authorities to trust, in PEM.
    pub(crate) fn bundle(&self) -> String {
        self.current.load().material.bundle()
    }

    /// Those that have ended and may still be trusted somewhere, in PEM.
    pub(crate) fn ended(&self) -> String {
        self.current.load().material.ended()
    }

    /// The authority that is to take over, in PEM.
    pub(crate) fn next_authority(&self) -> Option<String> {
        self.current.load().material.next_authority().map(str::to_owned)
    }

    /// Everybody who asks trusts this authority: it may take over.
    pub(crate) fn everybody_trusts(&self, authority: String) {
        let before = self.trusted().replace(authority);
        if before != *self.trusted() {
            self.changed.notify_one();
        }
    }

    fn trusted(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews what is due and takes what another replica renewed; whether something else is served or trusted now.
    ///
    /// # Errors
    /// [`CertificatesError`]; the present certificate stays in use.
    pub async fn renew_if_due(&self, now: SystemTime) -> Result<bool, CertificatesError> {
        let trusted = self.trusted().clone();
        let material = advanced(&self.place, &self.terms, now, trusted.as_deref()).await?;
        if material == self.current.load().material {
            return Ok(false);
        }
        self.current.store(Arc::new(served(material, &self.place)?));
        self.publish()?;
        Ok(true)
    }

    fn publish(&self) -> Result<(), CertificatesError> {
        write(&self.bundle_file, self.bundle().as_bytes(), 0o644)
    }

    /// Looks again and again until the shutdown.
    pub async fn keep_fresh(self: Arc<Self>, mut shutdown: Shutdown) {
        let Lifetimes { authority, serving } = self.terms.lifetimes;
        let pause = (authority.min(serving) / LOOKS_PER_LIFE).clamp(LOOKS.0, LOOKS.1);
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.changed.notified() => {}
            }
            let before = self.next_authority();
            match self.renew_if_due(SystemTime::now()).await {
                Ok(true) => tracing::info!("renewed the serving certificate or its authorities"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "cannot renew the serving certificate"),
            }
            if before != self.next_authority() && self.next_authority().is_some() {
                tracing::warn!(
                    "a new certificate authority will take over: whoever trusts `webhook-ca.pem` needs its new content, \
                     unless this server guards the cluster"
                );
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().key))
    }
}

/// What is kept, as it should be by now.
async fn advanced(
    place: &Place,
    terms: &Terms,
    now: SystemTime,
    trusted: Option<&str>,
) -> Result<Material, CertificatesError> {
    let issue = |source| CertificatesError::Issue {
        names: terms.names.clone(),
        source,
    };
    for _ in 0..TRIES {
        let (new, before) = match place.read(terms, now).await? {
            None => (Material::new(terms, now).map_err(issue)?, None),
            Some(before) => match before.material.advanced(terms, now, trusted).map_err(issue)? {
                None => return Ok(before.material),
                Some(new) => (new, Some(before)),
            },
        };
        if place.write(&new, before.as_ref()).await? == Written::Done {
            return Ok(new);
        }
    }
    Err(CertificatesError::Overtaken)
}

fn served(material: Material, place: &Place) -> Result<Served, CertificatesError> {
    let serving = &material.serving;
    let key = certified(&serving.certificate, serving.key.reveal()).map_err(|source| match place {
        Place::Folder(folder) => CertificatesError::Damaged {
            path: folder.clone(),
            source,
        },
        Place::Secret(secret) => CertificatesError::Secret {
            name: secret.name.clone(),
            source,
        },
    })?;
    Ok(Served { key, material })
}

/// A certificate with its chain, and its key.
fn certified(
    certificate: &str,
    key: &str,
) -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        return Err("there is no certificate".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    // `from_der` also checks that certificate and key belong together.
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider())?))
}

#[cfg(test)]
mod tests;
