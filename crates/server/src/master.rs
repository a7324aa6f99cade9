//! The master key as it is now, and its change while the server runs.
//!
//! The new key is on disk before anything is sealed under it, and the one before it until nothing is: whatever moment a
//! crash chooses, the next start opens everything. Two files say how far a change has come:
//!
//! | `master.previous` | meaning |
//! |---|---|
//! | is not there | no change is under way |
//! | is the same as `master.key` | a change was begun and the new key not written: as if it had not begun |
//! | is another | the change goes on: some things are sealed under this one, some under `master.key` |

use std::path::PathBuf;

use binauthz_keyring::MasterKey;
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use crate::files::{self, FileError};

/// The master key, and who is using it.
#[derive(Debug)]
pub(crate) struct Master {
    folder: PathBuf,
    key: RwLock<MasterKey>,
    change: Mutex<()>,
}

impl Master {
    /// The master key of a data directory.
    pub(crate) fn new(folder: PathBuf, key: MasterKey) -> Self {
        Self {
            folder,
            key: RwLock::new(key),
            change: Mutex::new(()),
        }
    }

    /// The master key. While it is held it is not replaced and its predecessor not forgotten. Whoever seals holds it until
    /// that is committed, so that nothing is sealed under a key that is gone by then; whoever opens holds it while reading
    /// what is to be opened. Nobody may hold it twice.
    pub(crate) async fn hold(&self) -> RwLockReadGuard<'_, MasterKey> {
        self.key.read().await
    }

    /// The turn of one who changes it; none while another has it.
    pub(crate) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.change.try_lock().ok()
    }

    /// Puts a new key in its place, which also opens what the present one sealed. Where that was done before and not
    /// finished, it stays as it is.
    ///
    /// # Errors
    /// [`FileError`], and then the present key stays in its place, in memory and after the next start.
    pub(crate) async fn replace(&self) -> Result<(), FileError> {
        let mut key = self.key.write().await;
        if key.has_previous() {
            return Ok(());
        }
        let folder = self.folder.clone();
        let replaced = tokio::task::spawn_blocking(move || files::replace_master_key(&folder)).await;
        *key = replaced.map_err(|error| FileError::new(&self.folder, error))??;
        Ok(())
    }

    /// Forgets the key before it. For whoever has seen that nothing is sealed under that any more.
    ///
    /// # Errors
    /// [`FileError`], and then it is not forgotten.
    pub(crate) async fn forget_previous(&self) -> Result<(), FileError> {
        let mut key = self.key.write().await;
        let folder = self.folder.clone();
        let forgotten = tokio::task::spawn_blocking(move || files::forget_previous_master_key(&folder)).await;
        forgotten.map_err(|error| FileError::new(&self.folder, error))??;
        *key = key.alone();
        Ok(())
    }
}
