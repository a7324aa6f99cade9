//! What can go wrong, one enum per operation.

use std::path::PathBuf;
use std::sync::Arc;

/// The store could not answer. It is not the caller's fault, and nothing was changed unless the text says so.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unavailable {
    /// The store was closed, or its thread is gone.
    #[error("the store is closed")]
    Closed,
    /// Too much work was waiting for too long.
    #[error("the store is busy: no room in its queue for {seconds} s")]
    Busy {
        /// How long the caller waited.
        seconds: u64,
    },
    /// SQLite failed.
    #[error("the database failed: {0}")]
    Database(#[source] Arc<rusqlite::Error>),
    /// PostgreSQL refused, or could not be reached.
    #[error("the database failed: {0}")]
    Postgres(#[source] Arc<PostgresError>),
    /// PostgreSQL is there and says nothing.
    #[error("the database did not answer within {seconds} s")]
    Slow {
        /// How long it was waited.
        seconds: u64,
    },
    /// The connection was cut when the commit was on its way.
    #[error("the database was lost during the commit: whether it happened is not known")]
    Unsettled,
    /// A row holds what was never written.
    #[error("a row of the database is damaged: `{column}` cannot be read")]
    Damaged {
        /// Where.
        column: String,
    },
}

/// An error of the PostgreSQL client, with what caused it.
#[derive(Debug)]
pub struct PostgresError(pub(crate) tokio_postgres::Error);

impl std::fmt::Display for PostgresError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(error) = self.0.as_db_error() {
            return write!(formatter, "{} ({})", error.message(), error.code().code());
        }
        write!(formatter, "{}", self.0)?;
        match std::error::Error::source(&self.0) {
            Some(cause) => write!(formatter, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PostgresError {}

impl From<rusqlite::Error> for Unavailable {
    fn from(error: rusqlite::Error) -> Self {
        Unavailable::Database(Arc::new(error))
    }
}

/// Why a commit did nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The name, or what must be unique, is taken.
    #[error("`{name}` already exists")]
    AlreadyExists {
        /// The one that exists.
        name: String,
    },
    /// What should be changed is not there.
    #[error("`{name}` does not exist")]
    NotFound {
        /// The one that was looked for.
        name: String,
    },
    /// It was changed since the caller read it.
    #[error("`{name}` was changed in the meantime, read it again")]
    Stale {
        /// The one that changed.
        name: String,
    },
    /// A document is longer than the store takes.
    #[error("the document of `{name}` has {length} bytes, expected at most {limit}")]
    TooLarge {
        /// Whose document.
        name: String,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The store could not answer. Only [`Unavailable::Closed`] and [`Unavailable::Unsettled`] leave it open whether the
    /// commit happened.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<rusqlite::Error> for CommitError {
    fn from(error: rusqlite::Error) -> Self {
        CommitError::Unavailable(error.into())
    }
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or read.
    #[error("cannot open the database file `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot open the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// It is a SQLite file of another program.
    #[error(
        "the file is a SQLite database of another program (application id {found:#x}), expected one of binauthz"
    )]
    Foreign {
        /// The application id found.
        found: i32,
    },
    /// A later release wrote it.
    #[error(
        "the database has schema {found} and this release knows up to schema {known}: \
         start the release that wrote it, or a later one"
    )]
    Newer {
        /// The schema of the file.
        found: i64,
        /// The last schema this release knows.
        known: i64,
    },
    /// A migration that was applied is not the one of this release.
    #[error(
        "migration {number} of the database is not the one of this release: the file comes from another build"
    )]
    Changed {
        /// The migration's number.
        number: i64,
    },
    /// PostgreSQL could not be reached, or refused.
    #[error("cannot open the database: {0}")]
    Postgres(#[from] Unavailable),
    /// The schema has tables of another program.
    #[error(
        "the schema `binauthz` of the database has tables that are not of binauthz: expected an empty one, or none"
    )]
    ForeignSchema,
    /// The threads could not be started.
    #[error("cannot start the store's thread: {0}")]
    Thread(#[source] std::io::Error),
}
