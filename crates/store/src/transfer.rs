//! Copies everything from a SQLite file to an empty PostgreSQL database, and proves that both hold the same.
//!
//! All of it is one transaction of the database: what was copied is read back before it is committed, and a difference
//! undoes everything. The file is only read.

mod table;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::Notify;

use crate::error::{OpenError, Unavailable};
use crate::postgres::{self, Address, Session};
use crate::sqlite::connection::{self, Role};
use crate::sqlite::migrations;

use table::{Sum, TABLES, Table};

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file or the database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] rusqlite::Error),
    /// The database failed.
    #[error("nothing was copied: {0}")]
    Database(#[from] Unavailable),
    /// There is something in it.
    #[error("nothing was copied: the database has been used already, expected an empty one")]
    NotEmpty,
    /// What was read back is something else.
    #[error("nothing was copied: what the database gives back of `{table}` is not what the file has")]
    Different {
        /// Of what.
        table: &'static str,
    },
}

/// What was copied of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over all of them in the order of their keys, the same on both sides.
    pub sha256: [u8; 32],
}

/// Copies. `server` is what the server of the file is known by from now on. Nobody else may use either of the two.
///
/// # Errors
/// [`TransferError`], and then the database is as it was.
pub async fn transfer(file: &Path, to: &Address, server: &str) -> Result<Vec<Transferred>, TransferError> {
    if !file.exists() {
        return Err(OpenError::File {
            path: file.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        }
        .into());
    }
    let mut from = connection::open_file(file, Role::Writer).map_err(OpenError::from)?;
    migrations::migrate(&mut from)?;
    let session = postgres::open(to, &Arc::new(Notify::new())).await?;
    session
        .run("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        .await?;
    match copy(&from, &session, server).await {
        Ok(transferred) => {
            session.run("COMMIT").await?;
            Ok(transferred)
        }
        Err(error) => {
            // It is closed in any case, which undoes what is not committed.
            let _ = session.run("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn copy(from: &Connection, to: &Session, server: &str) -> Result<Vec<Transferred>, TransferError> {
    // One moment of the file, should somebody have it open all the same.
    from.execute_batch("BEGIN")?;
    empty(to).await?;
    let mut transferred = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        let sent = table.send(from, to, server).await?;
        let received = table.received(to).await?;
        if sent != received {
            return Err(TransferError::Different { table: table.name });
        }
        transferred.push(report(table, sent));
    }
    count(from, to).await?;
    Ok(transferred)
}

fn report(table: &Table, sum: Sum) -> Transferred {
    Transferred {
        table: table.name,
        rows: sum.rows,
        sha256: sum.sha256,
    }
}

/// Nobody wrote to the database, nor will until this is over.
async fn empty(to: &Session) -> Result<(), TransferError> {
    let row = to
        .query_one(
            "SELECT revision = 0 AND audit = 0 AND delivery = 0 AND NOT EXISTS (SELECT FROM log_cursor)
             FROM counter FOR UPDATE",
            &[],
        )
        .await?;
    if postgres::column::<bool>(&row, 0)? {
        Ok(())
    } else {
        Err(TransferError::NotEmpty)
    }
}

/// The numbers that are given next.
async fn count(from: &Connection, to: &Session) -> Result<(), TransferError> {
    let number = |sql: &str| from.query_row(sql, [], |row| row.get::<_, i64>(0));
    let revision = number("SELECT revision FROM sequence WHERE id = 1")?;
    // Also those of rows that are gone: a number is never given twice.
    let audit = number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit'")?;
    let delivery = number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'alert_delivery'")?;
    to.execute(
        "UPDATE counter SET revision = $1, audit = $2, delivery = $3",
        &[&revision, &audit, &delivery],
    )
    .await?;
    to.run(
        "SELECT setval(pg_get_serial_sequence('metric_series', 'id'), max(id)) FROM metric_series;
         SELECT setval(pg_get_serial_sequence('metric_point', 'id'), max(id)) FROM metric_point",
    )
    .await?;
    Ok(())
}
