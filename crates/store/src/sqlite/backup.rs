//! A copy of the file, made while a server uses it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::connection::{self, Role};
use super::migrations;
use crate::OpenError;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy cannot be written.
    #[error("cannot write the copy `{}`: {source}", path.display())]
    Copy {
        /// The copy.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("the file cannot be copied: {0}")]
    Database(#[from] rusqlite::Error),
    /// What was copied is not whole.
    #[error("the copy is damaged, and so the file may be: {0}")]
    Damaged(String),
}

/// Copies the file as it is at one moment, and checks the copy. Blocks; nobody has to wait for it.
///
/// # Errors
/// [`BackupError`], and then there is no copy.
pub fn backup(file: &Path, to: &Path) -> Result<(), BackupError> {
    if !file.exists() {
        return Err(OpenError::File {
            path: file.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        }
        .into());
    }
    let failed = |source| BackupError::Copy {
        path: to.to_owned(),
        source,
    };
    // SQLite takes the name as text.
    let name = to
        .to_str()
        .ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    // What is there is not overwritten, and nobody else may read it: there are sealed keys in it.
    let copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed)?;
    let copied = fill(file, to, name).and_then(|()| sync(&copy, to).map_err(failed));
    if copied.is_err() {
        // The reason is told already.
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn fill(file: &Path, to: &Path, name: &str) -> Result<(), BackupError> {
    let from = connection::open_file(file, Role::Reader).map_err(OpenError::from)?;
    migrations::must_be_ours(&from)?;
    // The copy counts as a write to SQLite.
    from.pragma_update(None, "query_only", false)?;
    // One transaction that reads: what is committed meanwhile is not in it, and is not held up by it.
    from.execute("VACUUM INTO ?1", [name])?;
    let copy = connection::open_file(to, Role::Reader).map_err(OpenError::from)?;
    let found: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(BackupError::Damaged(found))
    }
}

fn sync(copy: &File, to: &Path) -> io::Result<()> {
    copy.sync_all()?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
