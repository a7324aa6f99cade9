//! The files of the data directory: secrets made at the first start, and the addresses written when ready.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use binauthz_keyring::MasterKey;
use zeroize::Zeroizing;

use crate::auth::{AdminToken, Token};

/// A file of the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {problem}", path.display())]
pub struct FileError {
    path: PathBuf,
    problem: String,
}

impl FileError {
    fn new(path: &Path, problem: impl ToString) -> Self {
        Self { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// Makes the data directory, for its owner only.
pub(crate) fn prepare(folder: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| FileError::new(folder, error))
}

/// The administrator's token: the one in `admin.token`, or a new one written there.
pub(crate) fn admin_token(folder: &Path) -> Result<AdminToken, FileError> {
    let path = folder.join("admin.token");
    if let Some(text) = existing(&path)? {
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        if text.is_empty() {
            return Err(FileError::new(&path, "is empty; remove it to have a new token made"));
        }
        return Ok(AdminToken::new(&Token::from_text(&text)));
    }
    let token = Token::generate().map_err(|_| FileError::new(&path, "the system gave no random bytes"))?;
    write_secret(&path, format!("{}\n", token.reveal()).as_bytes())?;
    Ok(AdminToken::new(&token))
}

/// The key that seals private keys: the 32 bytes of `master.key`, or new ones written there.
pub(crate) fn master_key(folder: &Path) -> Result<MasterKey, FileError> {
    let path = folder.join("master.key");
    let bytes = match existing(&path)? {
        Some(bytes) => {
            let bytes = Zeroizing::new(bytes);
            Zeroizing::new(
                <[u8; MasterKey::BYTES]>::try_from(bytes.as_slice())
                    .map_err(|_| FileError::new(&path, format!("expected {} bytes", MasterKey::BYTES)))?,
            )
        }
        None => {
            let bytes = MasterKey::random_bytes().map_err(|error| FileError::new(&path, error))?;
            write_secret(&path, bytes.as_slice())?;
            bytes
        }
    };
    MasterKey::new(&bytes).map_err(|error| FileError::new(&path, error))
}

/// Replaces a public file in one step, so that whoever waits for it never reads half of it.
pub(crate) fn publish(path: &Path, text: &str) -> Result<(), FileError> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, path)).map_err(|error| FileError::new(path, error))
}

fn existing(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new(path, error)),
    }
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| FileError::new(path, error))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| FileError::new(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn secrets_are_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        prepare(&data).unwrap();
        admin_token(&data).unwrap();
        master_key(&data).unwrap();
        let before = (fs::read(data.join("admin.token")).unwrap(), fs::read(data.join("master.key")).unwrap());
        admin_token(&data).unwrap();
        master_key(&data).unwrap();
        let after = (fs::read(data.join("admin.token")).unwrap(), fs::read(data.join("master.key")).unwrap());
        assert_eq!(before, after);
        for (name, mode) in [("admin.token", 0o600), ("master.key", 0o600), ("", 0o700)] {
            assert_eq!(fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
        }
    }

    #[test]
    fn damaged_secrets_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("master.key"), b"short").unwrap();
        fs::write(folder.path().join("admin.token"), b"\n").unwrap();
        assert!(master_key(folder.path()).is_err());
        assert!(admin_token(folder.path()).is_err());
    }
}
