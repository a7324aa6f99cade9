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

mod kept;

use binauthz_keyring::MasterKey;
use binauthz_wire::cloudkms::ProtectionLevel;
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

pub(crate) use kept::{Kept, KeptError, Wrapping};

/// The master key, and who is using it.
#[derive(Debug)]
pub(crate) struct Master {
    kept: Kept,
    key: RwLock<MasterKey>,
    change: Mutex<()>,
}

impl Master {
    /// The master key that is kept there.
    pub(crate) fn new(kept: Kept, key: MasterKey) -> Self {
        Self {
            kept,
            key: RwLock::new(key),
            change: Mutex::new(()),
        }
    }

    /// What a new key is protected by if nobody says otherwise.
    pub(crate) fn level_of_new(&self) -> ProtectionLevel {
        self.kept.level_of_new()
    }

    /// What the present one is protected by in its file.
    ///
    /// # Errors
    /// [`KeptError`]: the file is not readable.
    pub(crate) async fn level(&self) -> Result<ProtectionLevel, KeptError> {
        self.with_files(Kept::level).await
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
    /// [`KeptError`], and then the present key stays in its place, in memory and after the next start.
    pub(crate) async fn replace(&self, level: ProtectionLevel) -> Result<(), KeptError> {
        let mut key = self.key.write().await;
        if key.has_previous() {
            return Ok(());
        }
        *key = self.with_files(move |kept| kept.replace(level)).await?;
        Ok(())
    }

    /// Forgets the key before it. For whoever has seen that nothing is sealed under that any more.
    ///
    /// # Errors
    /// [`KeptError`], and then it is not forgotten.
    pub(crate) async fn forget_previous(&self) -> Result<(), KeptError> {
        let mut key = self.key.write().await;
        self.with_files(Kept::forget_previous).await?;
        *key = key.alone();
        Ok(())
    }

    /// Files and tokens keep others waiting.
    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Kept) -> Result<T, KeptError> + Send + 'static,
    ) -> Result<T, KeptError> {
        let kept = self.kept.clone();
        let done = tokio::task::spawn_blocking(move || work(&kept)).await;
        done.unwrap_or_else(|error| Err(self.kept.failed(error).into()))
    }
}
