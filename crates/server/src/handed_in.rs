//! Secrets that somebody else keeps, such as a Secret of Kubernetes mounted as a folder: taken over into the data
//! directory at the start, so that every replica has the same.
//!
//! | file | what it is | where another one is there already |
//! |---|---|---|
//! | `admin.token` | the administrator's token | it takes its place |
//! | `master.key` | seals the private keys in the database | that one stays: it opens what is sealed, and `keys rewrap` made it |
//! | `authority.key`, `authority.pem` | the authority of the webhook's certificate | they take its place |

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::files::{self, FileError};

/// A chain of certificates is the longest of them, and a few KiB long.
const MAX_BYTES: u64 = 64 << 10;

/// Takes them over.
pub(crate) fn take(folder: &Path, data: &Path) -> Result<(), FileError> {
    let found = |name: &str| read(&folder.join(name));
    let (token, master) = (found("admin.token")?, found("master.key")?);
    let authority = (found("authority.key")?, found("authority.pem")?);
    let wanted = "admin.token, master.key, or authority.key with authority.pem";
    if token.is_none() && master.is_none() && authority == (None, None) {
        return Err(FileError::new(folder, format!("expected {wanted} in it")));
    }
    // Before anything is written: a folder that is refused changes nothing.
    let authority = match authority {
        (Some(key), Some(certificate)) => Some((key, certificate)),
        (None, None) => None,
        _ => {
            return Err(FileError::new(
                folder,
                "expected authority.key and authority.pem, or neither",
            ));
        }
    };
    if let Some(token) = token {
        put(&data.join("admin.token"), &token, 0o600)?;
    }
    if let Some(master) = master {
        put_master_key(&data.join("master.key"), &master)?;
    }
    match authority {
        Some((key, certificate)) => put_authority(&data.join("tls"), &key, &certificate),
        None => Ok(()),
    }
}

fn put_master_key(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    match read(path)? {
        None => files::write_whole(path, bytes, 0o600),
        Some(present) => {
            if present != bytes {
                tracing::warn!(
                    path = %path.display(),
                    "the master key is another one than was handed in, and stays: after `keys rewrap` hand in the new one, \
                     or a replica that starts with the former one opens nothing"
                );
            }
            Ok(())
        }
    }
}

fn put_authority(tls: &Path, key: &[u8], certificate: &[u8]) -> Result<(), FileError> {
    let (key_path, certificate_path) = (tls.join("authority.key"), tls.join("authority.pem"));
    let is_there =
        read(&key_path)?.as_deref() == Some(key) && read(&certificate_path)?.as_deref() == Some(certificate);
    if is_there {
        return Ok(());
    }
    files::prepare(tls)?;
    // First, so that nothing of the former authority is served under the new one: what is made of an authority is made
    // anew where it is missing.
    let material = tls.join("material.json");
    match fs::remove_file(&material) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::new(&material, error));
        }
        _ => {}
    }
    put(&key_path, key, 0o600)?;
    put(&certificate_path, certificate, 0o644)
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    match read(path)? {
        Some(present) if present == bytes => Ok(()),
        _ => files::write_whole(path, bytes, mode),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new(path, error)),
    };
    let mut bytes = Vec::new();
    let length = file
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| FileError::new(path, error))?;
    if length as u64 > MAX_BYTES {
        return Err(FileError::new(
            path,
            format!("expected at most {MAX_BYTES} bytes"),
        ));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::SystemTime;

    use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair};

    use super::*;
    use crate::listen::{Certificates, Lifetimes, Plan};
    use crate::master::Kept;

    /// A folder of secrets and a data directory, both empty.
    fn folders() -> (tempfile::TempDir, tempfile::TempDir) {
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
    }

    /// A file and what is in it.
    type Handed<'f> = (&'f str, &'f [u8]);

    fn hand_in(folder: &Path, files: &[Handed<'_>]) {
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    #[test]
    fn what_is_handed_in_is_there_for_the_owner_only() {
        let (secrets, data) = folders();
        hand_in(
            secrets.path(),
            &[("admin.token", &[b't'; 40]), ("master.key", &[7; 32])],
        );
        take(secrets.path(), data.path()).unwrap();
        take(secrets.path(), data.path()).unwrap();
        files::admin_token(data.path()).unwrap();
        Kept::new(data.path(), None).open().unwrap();
        assert_eq!(fs::read(data.path().join("master.key")).unwrap(), [7; 32]);
        for name in ["admin.token", "master.key"] {
            let mode = fs::metadata(data.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        hand_in(secrets.path(), &[("admin.token", &[b'u'; 40])]);
        take(secrets.path(), data.path()).unwrap();
        assert_eq!(fs::read(data.path().join("admin.token")).unwrap(), [b'u'; 40]);
    }

    #[test]
    fn a_master_key_that_sealed_something_stays() {
        let (secrets, data) = folders();
        hand_in(
            secrets.path(),
            &[("admin.token", &[b't'; 40]), ("master.key", &[7; 32])],
        );
        hand_in(data.path(), &[("master.key", &[8; 32])]);
        take(secrets.path(), data.path()).unwrap();
        assert_eq!(fs::read(data.path().join("master.key")).unwrap(), [8; 32]);
        assert!(data.path().join("admin.token").exists());
    }

    /// Key and certificate of an authority, as `cluster credentials` makes them.
    fn authority() -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "binauthz webhook authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (key.serialize_pem(), certificate.pem())
    }

    /// Starts with what was handed in, and says whom to trust.
    async fn trusted(secrets: &Path, data: &Path) -> String {
        take(secrets, data).unwrap();
        let plan = Plan {
            data_directory: data,
            secret: None,
            names: &[],
            lifetimes: Lifetimes::USUAL,
        };
        Certificates::open(plan, SystemTime::now()).await.unwrap();
        fs::read_to_string(data.join("webhook-ca.pem")).unwrap()
    }

    #[tokio::test]
    async fn replicas_with_one_authority_are_trusted_alike_and_another_one_takes_its_place() {
        let (secrets, data) = folders();
        let replica = tempfile::tempdir().unwrap();
        let material = || fs::read(data.path().join("tls/material.json")).unwrap();
        let mut before = None;
        for _ in 0..2 {
            let (key, certificate) = authority();
            hand_in(
                secrets.path(),
                &[
                    ("authority.key", key.as_bytes()),
                    ("authority.pem", certificate.as_bytes()),
                ],
            );
            assert_eq!(trusted(secrets.path(), data.path()).await, certificate);
            assert_eq!(trusted(secrets.path(), replica.path()).await, certificate);
            assert_ne!(
                before,
                Some(material()),
                "nothing of the former authority is served"
            );
            before = Some(material());
            trusted(secrets.path(), data.path()).await;
            assert_eq!(before, Some(material()), "what is there already is left as it is");
        }
    }

    #[test]
    fn folders_that_hold_too_little_or_too_much_are_refused() {
        let long = vec![b'x'; MAX_BYTES as usize + 1];
        let table: [(&[Handed<'_>], &str); 4] = [
            (&[], "expected admin.token"),
            (&[("other", b"x")], "expected admin.token"),
            (&[("authority.key", b"x")], "authority.pem"),
            (&[("admin.token", &long)], "at most 65536 bytes"),
        ];
        for (files, words) in table {
            let (secrets, data) = folders();
            hand_in(secrets.path(), files);
            let error = take(secrets.path(), data.path()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "{error}");
        }
        let (_, data) = folders();
        assert!(take(Path::new("/nowhere/at/all"), data.path()).is_err());
    }
}
