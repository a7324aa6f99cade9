//! Opening connections with the same settings every time: SQLite forgets most of them.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::OpenError;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that changes rows.
    Writer,
    /// One of those that only look.
    Reader,
}

/// Page cache of the writer: its indexes' hot pages at 100 000 occurrences.
const WRITER_CACHE_KIB: i64 = 16 << 10;
/// Page cache of each reader.
const READER_CACHE_KIB: i64 = 8 << 10;
/// Mapped file per reader. Mapped pages count as resident: 2 readers × (32 + 8) + 16 = 96 MiB at most.
const READER_MAP_BYTES: i64 = 32 << 20;
/// Another process (a backup, a person with the sqlite3 shell) may hold the lock this long.
const BUSY: Duration = Duration::from_secs(5);
/// Distinct statements of this crate are fewer than 60: none is ever prepared twice.
const STATEMENTS: usize = 64;

/// Makes the file readable by its owner alone before SQLite sees it. The `-wal` and `-shm` files take over its mode.
pub(crate) fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let prepare = || {
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
    };
    prepare().map_err(|source| OpenError::File {
        path: path.to_owned(),
        source,
    })
}

/// A connection to the file, set up for its role.
pub(crate) fn open_file(path: &Path, role: Role) -> Result<Connection, rusqlite::Error> {
    // No SQLITE_OPEN_URI: a data folder called `file:…` is just a folder. No mutex: one thread, one connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, role)?;
    Ok(connection)
}

/// A database that lives and dies with its only connection.
pub(crate) fn open_memory() -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_in_memory()?;
    set_up(&connection, Role::Writer)?;
    Ok(connection)
}

fn set_up(connection: &Connection, role: Role) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Has an effect on an empty file only.
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // FULL: a commit is on disk before it is answered. NORMAL would lose the last ones in a power cut.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Deleted keys and tokens leave no bytes behind in the file.
    connection.pragma_update(None, "secure_delete", true)?;
    match role {
        Role::Writer => connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB),
        Role::Reader => {
            connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
            connection.pragma_update(None, "mmap_size", READER_MAP_BYTES)?;
            connection.pragma_update(None, "query_only", true)
        }
    }
}
