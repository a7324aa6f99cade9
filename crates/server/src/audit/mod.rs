//! The verdict journal: every verdict is on disk before its answer leaves.
//!
//! The control plane's audit rows live in the database beside the change they describe; verdicts are many and have no
//! change beside them, so they have a sink of their own that keeps working when the database does not.

mod aligned;
mod backwards;
mod journal;
mod log;
mod queue;
mod recent;
mod segment;
mod walk;
mod writer;

use std::io;
use std::path::Path;

use binauthz_keyring::MasterKey;

pub(crate) use journal::{
    Journal, JournalError, JournalSettings, MAXIMUM_RECORD, OpenJournalError, acts_on_display, escape,
};
pub(crate) use log::{CHECKPOINT, publish, published, read_text};
pub(crate) use walk::{Direction, Line, Position, Way};

/// The journal of verdicts and that of written entries, by their folders in the data directory.
pub(crate) const VERDICTS: &str = "journal";
pub(crate) const ENTRIES: &str = "entries";

/// The name of the log in this folder, if there is one. Blocks on the disk.
///
/// # Errors
/// The system's.
pub(crate) fn origin(folder: &Path) -> io::Result<Option<String>> {
    read_text(&folder.join(log::ORIGIN))
}

/// Seals the keys of both journals anew where the master key before this one sealed them; how many that were. The journals
/// need not be told: each has its key in memory.
///
/// # Errors
/// What could not be read, opened or written.
pub(crate) fn reseal_signers(data_dir: &Path, master: &MasterKey) -> Result<u64, String> {
    let mut count = 0;
    for name in [VERDICTS, ENTRIES] {
        count += u64::from(log::SignedLog::reseal(&data_dir.join(name), master)?);
    }
    Ok(count)
}
