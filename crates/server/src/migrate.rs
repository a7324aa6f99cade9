//! What is done with the store of a data directory from outside of a server: from the file to a shared database, and copies.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use binauthz_store::{
    Address, BackupError, InvalidAddress, OpenError, Store, TransferError, Transferred, transfer,
};

use crate::app::system_clock;
use crate::files::{self, FileError};
use crate::master::{Kept, KeptError, Wrapping};
use crate::servers::{self, JoinError};
use crate::settings::{Flags, InvalidSettings, Settings};

/// Why nothing was migrated, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A file of the data directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configuration file.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The master key.
    #[error(transparent)]
    MasterKey(#[from] KeptError),
    /// The address of the database.
    #[error("the store cannot be used: {0}")]
    Address(#[from] InvalidAddress),
    /// The copying.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// What comes after it.
    #[error("everything was copied, and the database cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// What comes after it.
    #[error("everything was copied, and {0}")]
    Joining(#[from] JoinError),
}

/// Copies the store of a data directory into a database; what was copied, a line for each table.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate_data(
    folder: &Path,
    store: &str,
    config: Option<PathBuf>,
) -> Result<String, MigrateError> {
    let address = Address::new(store)?;
    let settings = Settings::new(Flags {
        data_dir: folder.to_owned(),
        config,
        ..Flags::default()
    })?;
    let wrapping = settings.pkcs11.as_ref().map(Wrapping::open).transpose()?;
    let _lock = files::lock(folder)?;
    let server = files::server_id(folder)?;
    // Before anything is copied: without it no server could use the copy.
    let master = Kept::new(folder, wrapping).open()?;
    let copied = transfer(&folder.join(servers::FILE), &address, &server).await?;
    // From now on only servers with this key may join.
    let shared = Store::connect(&address, &server).await?;
    servers::prove(&shared, &master, system_clock()).await?;
    Ok(told(&copied))
}

/// Copies the store of a data directory into a file, also while a server uses it.
///
/// # Errors
/// [`BackupError`].
pub fn backup(folder: &Path, to: &Path) -> Result<(), BackupError> {
    binauthz_store::backup(&folder.join(servers::FILE), to)
}

fn told(copied: &[Transferred]) -> String {
    let mut text = String::new();
    for one in copied {
        let sum = hex::encode(one.sha256);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<16} {:>10} rows  sha256:{sum}  equal",
            one.table, one.rows
        );
    }
    text
}
