//! The files of the data directory: secrets made at the first start, and the addresses written when ready.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::auth::{AdminToken, Token};

/// What somebody could guess is no administrator's token. Ours have 52 characters.
const SHORTEST_TOKEN: usize = 32;

/// A file of the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {problem}", path.display())]
pub struct FileError {
    path: PathBuf,
    problem: String,
}

impl FileError {
    pub(crate) fn new(path: &Path, problem: impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
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
        if text == USED_UP {
            return Ok(AdminToken::used_up());
        }
        if text.len() < SHORTEST_TOKEN {
            let problem = format!(
                "expected a token of at least {SHORTEST_TOKEN} characters; remove the file to have one made"
            );
            return Err(FileError::new(&path, problem));
        }
        return Ok(AdminToken::new(&Token::from_text(&text)));
    }
    let token = Token::generate().map_err(|_| FileError::new(&path, "the system gave no random bytes"))?;
    write_whole(&path, format!("{}\n", token.reveal()).as_bytes(), 0o600)?;
    Ok(AdminToken::new(&token))
}

/// A secret that somebody wrote into a file, without the line end that editors put behind it.
pub(crate) fn secret_text(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let bytes = existing(path)?
        .map(Zeroizing::new)
        .ok_or_else(|| FileError::new(path, "is missing"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| FileError::new(path, "expected text in UTF-8"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(FileError::new(path, "is empty")),
        text => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// What is in the file of a token that was used up: no token can begin like this.
const USED_UP: &str = "# used up: it made the first administrator's token";

/// Leaves no token in `admin.token`.
pub(crate) fn use_up_admin_token(folder: &Path) -> Result<(), FileError> {
    write_whole(
        &folder.join("admin.token"),
        format!("{USED_UP}\n").as_bytes(),
        0o600,
    )
}

/// What this server is known by among those on one store: what is in `server.id`, or a new name written there.
pub(crate) fn server_id(folder: &Path) -> Result<String, FileError> {
    let path = folder.join("server.id");
    if let Some(text) = existing(&path)? {
        let id = String::from_utf8_lossy(&text).trim().to_owned();
        return match uuid::Uuid::try_parse(&id) {
            Ok(id) => Ok(id.to_string()),
            Err(_) => Err(FileError::new(
                &path,
                "expected a UUID; remove the file to have one made",
            )),
        };
    }
    let id = uuid::Uuid::now_v7().to_string();
    write_whole(&path, format!("{id}\n").as_bytes(), 0o600)?;
    Ok(id)
}

/// Takes the data directory for this process alone; the lock ends with the file.
pub(crate) fn lock(folder: &Path) -> Result<File, FileError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| FileError::new(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(FileError::new(folder, "another server uses this data directory"))
        }
        Err(TryLockError::Error(error)) => Err(FileError::new(&path, error)),
    }
}

const ADDRESSES: &str = "addresses.json";

/// Writes `addresses.json` in one step, so that whoever waits for it never reads half of it.
pub(crate) fn publish_addresses(folder: &Path, text: &str) -> Result<(), FileError> {
    write_whole(&folder.join(ADDRESSES), text.as_bytes(), 0o644)
}

/// Removes the addresses of an earlier run: whoever waits for the file waits for this run.
pub(crate) fn withdraw_addresses(folder: &Path) -> Result<(), FileError> {
    let path = folder.join(ADDRESSES);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new(&path, error)),
        _ => Ok(()),
    }
}

pub(crate) fn existing(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new(path, error)),
    }
}

/// The whole file or none of it, also after a crash. The name appears only once the bytes are on disk.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let partial = path.with_extension("partial");
    let write = || {
        if let Err(error) = fs::remove_file(&partial)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|error| FileError::new(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::Kept;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn secrets_are_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        prepare(&data).unwrap();
        admin_token(&data).unwrap();
        Kept::new(&data, None).open().unwrap();
        let before = (
            fs::read(data.join("admin.token")).unwrap(),
            fs::read(data.join("master.key")).unwrap(),
        );
        admin_token(&data).unwrap();
        Kept::new(&data, None).open().unwrap();
        let after = (
            fs::read(data.join("admin.token")).unwrap(),
            fs::read(data.join("master.key")).unwrap(),
        );
        assert_eq!(before, after);
        for (name, mode) in [("admin.token", 0o600), ("master.key", 0o600), ("", 0o700)] {
            assert_eq!(
                fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777,
                mode,
                "{name}"
            );
        }
    }

    #[test]
    fn damaged_secrets_are_refused_and_left_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("master.key"), b"short").unwrap();
        assert!(Kept::new(folder.path(), None).open().is_err());
        assert_eq!(fs::read(folder.path().join("master.key")).unwrap(), b"short");
        for text in ["", "\n", "guessable\n"] {
            fs::write(folder.path().join("admin.token"), text).unwrap();
            assert!(admin_token(folder.path()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_data_directory_has_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let error = lock(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("another server uses this data directory"),
            "{error}"
        );
        drop(first);
        lock(folder.path()).unwrap();
    }
}
