//! The server's own small certificate authority and the certificate it serves with.
//!
//! ```text
//! DIR/tls/authority.key   0600   DIR/tls/authority.pem    10 years; what webhook configurations trust
//! DIR/tls/serving.key     0600   DIR/tls/serving.pem      90 days, renewed 30 days before its end
//! DIR/tls/serving.json           names and end of the serving certificate, so that no X.509 has to be parsed
//! DIR/webhook-ca.pem             copy of authority.pem, for `caBundle`
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use super::shutdown::Shutdown;
use super::tls::provider;

const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3_650 * 86_400);
const SERVING_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// Certificates start a day early: the API server's clock may be behind ours.
const SKEW: Duration = DAY;
/// Always among the names, so that a server on one machine works without any setting.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// Why the certificates cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// A file cannot be read or written.
    #[error("cannot use `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` is damaged; remove the folder to have new certificates made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A configured name cannot stand in a certificate.
    #[error("cannot issue a certificate for {names:?}")]
    Issue {
        /// The names asked for.
        names: Vec<String>,
        /// The reason.
        #[source]
        source: rcgen::Error,
    },
}

/// The serving certificate, renewed in place; give it to [`super::server_config`].
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    names: Vec<String>,
    current: ArcSwap<Serving>,
}

#[derive(Debug)]
struct Serving {
    key: Arc<CertifiedKey>,
    ends: SystemTime,
}

/// What `serving.json` remembers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Description {
    names: Vec<String>,
    ends_unix_seconds: u64,
}

impl Certificates {
    /// When the serving certificate ends.
    pub(crate) fn ends(&self) -> SystemTime {
        self.current.load().ends
    }

    /// Uses what is stored under `data_directory`, makes what is missing or near its end.
    /// `names` are the further DNS names and addresses the server is reached by.
    ///
    /// # Errors
    /// [`CertificatesError`] when files cannot be used or a name is not one.
    pub fn open(data_directory: &Path, names: &[String], now: SystemTime) -> Result<Self, CertificatesError> {
        let folder = data_directory.join("tls");
        fs::create_dir_all(&folder).map_err(|source| CertificatesError::File {
            path: folder.clone(),
            source,
        })?;
        let mut all: Vec<String> = LOOPBACK.iter().map(|name| (*name).to_owned()).collect();
        all.extend(
            names
                .iter()
                .filter(|name| !LOOPBACK.contains(&name.as_str()))
                .cloned(),
        );
        let serving = match stored(&folder, &all, now)? {
            Some(serving) => serving,
            None => issue(&folder, &all, now)?,
        };
        let authority = read(&folder.join("authority.pem"))?;
        write(
            &data_directory.join("webhook-ca.pem"),
            authority.as_bytes(),
            0o644,
        )?;
        Ok(Self {
            folder,
            names: all,
            current: ArcSwap::from_pointee(serving),
        })
    }

    /// Issues a new serving certificate when the present one is near its end; says whether it did.
    ///
    /// # Errors
    /// [`CertificatesError`]; the present certificate stays in use.
    pub fn renew_if_due(&self, now: SystemTime) -> Result<bool, CertificatesError> {
        if now + RENEW_BEFORE < self.current.load().ends {
            return Ok(false);
        }
        self.current
            .store(Arc::new(issue(&self.folder, &self.names, now)?));
        Ok(true)
    }

    /// Looks every hour until the shutdown.
    pub async fn keep_fresh(self: Arc<Self>, mut shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
            }
            match self.renew_if_due(SystemTime::now()) {
                Ok(true) => tracing::info!("renewed the serving certificate"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "cannot renew the serving certificate"),
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().key))
    }
}

/// The stored serving certificate, if it is for the same names and far from its end.
fn stored(folder: &Path, names: &[String], now: SystemTime) -> Result<Option<Serving>, CertificatesError> {
    let path = folder.join("serving.json");
    if !path.exists() || !folder.join("authority.pem").exists() {
        return Ok(None);
    }
    let description: Description =
        serde_json::from_str(&read(&path)?).map_err(|source| CertificatesError::Damaged {
            path,
            source: source.into(),
        })?;
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(description.ends_unix_seconds);
    if description.names != names || ends < now + RENEW_BEFORE {
        return Ok(None);
    }
    load(folder, ends).map(Some)
}

fn load(folder: &Path, ends: SystemTime) -> Result<Serving, CertificatesError> {
    let (certificate_path, key_path) = (folder.join("serving.pem"), folder.join("serving.key"));
    let damaged =
        |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| CertificatesError::Damaged {
            path: path.to_owned(),
            source,
        };
    let chain = CertificateDer::pem_slice_iter(read(&certificate_path)?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| damaged(&certificate_path, source.into()))?;
    let key = PrivateKeyDer::from_pem_slice(read(&key_path)?.as_bytes())
        .map_err(|source| damaged(&key_path, source.into()))?;
    // `from_der` also checks that certificate and key belong together.
    let key = CertifiedKey::from_der(chain, key, &provider())
        .map_err(|source| damaged(&key_path, source.into()))?;
    Ok(Serving {
        key: Arc::new(key),
        ends,
    })
}

/// Issues a serving certificate and stores it; `serving.json` is written last and makes it valid.
fn issue(folder: &Path, names: &[String], now: SystemTime) -> Result<Serving, CertificatesError> {
    let issue = |source| CertificatesError::Issue {
        names: names.to_vec(),
        source,
    };
    let authority = authority(folder, now)?;
    let key = KeyPair::generate().map_err(issue)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(issue)?;
    params.distinguished_name = common_name("binauthz");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let ends = set_validity(&mut params, now, SERVING_LIFETIME);
    let certificate = params.signed_by(&key, &authority).map_err(issue)?;
    write(&folder.join("serving.key"), key.serialize_pem().as_bytes(), 0o600)?;
    write(&folder.join("serving.pem"), certificate.pem().as_bytes(), 0o644)?;
    let description = serde_json::json!({ "names": names, "endsUnixSeconds": unix_seconds(ends) });
    write(
        &folder.join("serving.json"),
        description.to_string().as_bytes(),
        0o644,
    )?;
    load(folder, ends)
}

/// The stored authority, or a new one. Its parameters are constants, so the key alone brings it back.
fn authority(folder: &Path, now: SystemTime) -> Result<Issuer<'static, KeyPair>, CertificatesError> {
    let (key_path, certificate_path) = (folder.join("authority.key"), folder.join("authority.pem"));
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("binauthz webhook authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if key_path.exists() && certificate_path.exists() {
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|source| CertificatesError::Damaged {
            path: key_path,
            source: source.into(),
        })?;
        return Ok(Issuer::new(params, key));
    }
    let issue = |source| CertificatesError::Issue {
        names: Vec::new(),
        source,
    };
    let key = KeyPair::generate().map_err(issue)?;
    set_validity(&mut params, now, AUTHORITY_LIFETIME);
    let certificate = params.self_signed(&key).map_err(issue)?;
    write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
    write(&certificate_path, certificate.pem().as_bytes(), 0o644)?;
    Ok(Issuer::new(params, key))
}

/// Whole seconds, as X.509 has no finer time.
fn set_validity(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) -> SystemTime {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let ends = unix_seconds(now + lifetime);
    params.not_before = epoch + Duration::from_secs(unix_seconds(now - SKEW));
    params.not_after = epoch + Duration::from_secs(ends);
    SystemTime::UNIX_EPOCH + Duration::from_secs(ends)
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

fn read(path: &Path) -> Result<String, CertificatesError> {
    fs::read_to_string(path).map_err(|source| CertificatesError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes beside and renames, so that nobody reads half a file and a key is never readable by others.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CertificatesError> {
    let beside = path.with_extension("new");
    let written = (|| {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|source| CertificatesError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn leaf(certificates: &Certificates) -> Vec<u8> {
        certificates.current.load().key.cert[0].to_vec()
    }

    #[test]
    fn a_restart_reuses_and_the_end_or_a_new_name_renews() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let first = Certificates::open(folder.path(), &[], now).unwrap();
        let authority = fs::read(folder.path().join("webhook-ca.pem")).unwrap();

        let again = Certificates::open(folder.path(), &[], now + DAY).unwrap();
        assert_eq!(leaf(&first), leaf(&again), "reused");

        let named = Certificates::open(folder.path(), &["binauthz.binauthz.svc".to_owned()], now).unwrap();
        assert_ne!(leaf(&first), leaf(&named), "a new name needs a new certificate");

        let before = leaf(&named);
        assert!(!named.renew_if_due(now + DAY * 59).unwrap());
        assert!(named.renew_if_due(now + DAY * 61).unwrap());
        assert_ne!(before, leaf(&named));
        assert_eq!(
            authority,
            fs::read(folder.path().join("webhook-ca.pem")).unwrap(),
            "the authority stays"
        );
    }

    #[test]
    fn keys_are_readable_by_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        Certificates::open(folder.path(), &[], SystemTime::now()).unwrap();
        for name in ["tls/authority.key", "tls/serving.key"] {
            let mode = fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn damage_is_reported_and_not_papered_over() {
        let folder = tempfile::tempdir().unwrap();
        Certificates::open(folder.path(), &[], SystemTime::now()).unwrap();
        fs::write(folder.path().join("tls/serving.pem"), "not a certificate").unwrap();
        assert!(matches!(
            Certificates::open(folder.path(), &[], SystemTime::now()),
            Err(CertificatesError::Damaged { .. })
        ));
        let bad_name = Certificates::open(folder.path(), &["naïve name".to_owned()], SystemTime::now());
        assert!(matches!(bad_name, Err(CertificatesError::Issue { .. })));
    }
}
