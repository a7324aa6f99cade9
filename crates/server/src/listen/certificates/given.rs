//! A certificate that others make and renew: the files of a Secret of type `kubernetes.io/tls`, as cert-manager and the
//! kubelet write them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::super::shutdown::Shutdown;
use super::{CertificatesError, certified};

/// How often the files are read. A few KiB from the page cache; a notification would be lost when the kubelet swaps the
/// folder that a link leads to.
const LOOK: Duration = Duration::from_secs(2);

/// `tls.crt` and `tls.key` of a folder, read again when they change.
#[derive(Debug)]
pub struct Given {
    folder: PathBuf,
    current: ArcSwap<Pair>,
}

struct Pair {
    texts: [String; 2],
    key: Arc<CertifiedKey>,
}

/// One of the texts is a private key.
impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl Given {
    /// Reads the folder.
    ///
    /// # Errors
    /// [`CertificatesError`] when the files are missing, no PEM, or do not belong together.
    pub fn open(folder: &Path) -> Result<Given, CertificatesError> {
        Ok(Given {
            folder: folder.to_owned(),
            current: ArcSwap::from_pointee(pair(folder, texts(folder)?)?),
        })
    }

    /// Takes what is in the files now; whether that is something else.
    ///
    /// # Errors
    /// [`CertificatesError`]; the present certificate stays in use.
    pub fn reload(&self) -> Result<bool, CertificatesError> {
        let texts = texts(&self.folder)?;
        if texts == self.current.load().texts {
            return Ok(false);
        }
        self.current.store(Arc::new(pair(&self.folder, texts)?));
        Ok(true)
    }

    /// Reads the files again and again until the shutdown.
    pub async fn keep_fresh(self: Arc<Self>, mut shutdown: Shutdown) {
        let mut last_error = String::new();
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            match self.reload() {
                Ok(true) => {
                    tracing::info!(folder = %self.folder.display(), "serving with another certificate")
                }
                Ok(false) => {}
                Err(error) => {
                    // The two files may be of two versions for a moment; what stays wrong is told once.
                    let error = error.to_string();
                    if error == last_error {
                        continue;
                    }
                    tracing::error!(
                        error,
                        "the webhook's certificate cannot be used; the one before stays in use"
                    );
                    last_error = error;
                    continue;
                }
            }
            last_error.clear();
        }
    }
}

impl ResolvesServerCert for Given {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().key))
    }
}

fn paths(folder: &Path) -> [PathBuf; 2] {
    ["tls.crt", "tls.key"].map(|name| folder.join(name))
}

fn texts(folder: &Path) -> Result<[String; 2], CertificatesError> {
    let [certificate, key] = paths(folder).map(|path| {
        std::fs::read_to_string(&path).map_err(|source| CertificatesError::File { path, source })
    });
    Ok([certificate?, key?])
}

fn pair(folder: &Path, texts: [String; 2]) -> Result<Pair, CertificatesError> {
    let [certificate, key] = &texts;
    let key = certified(certificate, key).map_err(|source| CertificatesError::NoPair {
        folder: folder.to_owned(),
        source,
    })?;
    Ok(Pair { key, texts })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::super::material::{Lifetimes, Material, Terms};
    use super::*;

    fn material() -> Material {
        let terms = Terms {
            names: vec!["localhost".to_owned()],
            lifetimes: Lifetimes {
                authority: Duration::from_secs(3_600),
                serving: Duration::from_secs(600),
            },
            is_shared: false,
        };
        Material::new(&terms, SystemTime::now()).unwrap()
    }

    fn served(given: &Given) -> String {
        given.current.load().texts[0].clone()
    }

    /// As the kubelet does: a folder of a version, and a link that is moved over in one step.
    fn publish(volume: &Path, version: &str, [certificate, key]: [&str; 2]) {
        let folder = volume.join(version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        symlink(version, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            let _ = symlink(format!("..data/{name}"), volume.join(name));
        }
    }

    #[test]
    fn a_volume_that_is_swapped_is_read_again_and_a_damaged_one_is_not_taken() {
        let volume = tempfile::tempdir().unwrap();
        assert!(matches!(
            Given::open(volume.path()),
            Err(CertificatesError::File { .. })
        ));
        let (first, second) = (material().serving, material().serving);
        publish(volume.path(), "1", [&first.certificate, first.key.reveal()]);
        let given = Given::open(volume.path()).unwrap();
        assert!(!given.reload().unwrap());

        publish(volume.path(), "2", [&second.certificate, first.key.reveal()]);
        assert!(matches!(given.reload(), Err(CertificatesError::NoPair { .. })));
        publish(volume.path(), "3", ["", first.key.reveal()]);
        assert!(given.reload().is_err());
        assert_eq!(served(&given), first.certificate);

        publish(volume.path(), "4", [&second.certificate, second.key.reveal()]);
        assert!(given.reload().unwrap());
        assert_eq!(served(&given), second.certificate);
        fs::remove_file(volume.path().join("..data")).unwrap();
        assert!(given.reload().is_err());
        assert_eq!(served(&given), second.certificate);
    }
}
