//! Settlements: a reader's cursor and what it found, in one savepoint.

use rusqlite::{Connection, OptionalExtension};

use crate::change::check_length;
use crate::error::CommitError;
use crate::rows::MAX_DOCUMENT;
use crate::settlement::{CursorMove, Found, Lead, Reader, Settlement};

use crate::sqlite::{alerts, logs, metrics};

/// Settles. On an error the caller rolls the savepoint back.
pub(crate) fn settle(connection: &Connection, settlement: &Settlement) -> Result<(), CommitError> {
    if settlement.lead.is_some_and(|lead| lead != Lead::ALONE) {
        return Err(CommitError::Stale {
            name: "the lead of the servers".to_owned(),
        });
    }
    if let Some(cursor) = &settlement.cursor {
        move_cursor(connection, settlement.found.reader(), cursor)?;
    }
    match &settlement.found {
        Found::Alerts(found) => alerts::write(connection, found),
        Found::Metrics(counted) => metrics::write(connection, counted),
        Found::Logs(logged) => logs::write(connection, logged),
    }
}

fn move_cursor(connection: &Connection, reader: Reader, moved: &CursorMove) -> Result<(), CommitError> {
    let name = format!("the cursor of {}", reader.as_str());
    check_length(&name, &moved.to, MAX_DOCUMENT)?;
    if cursor(connection, reader)? != moved.expect {
        return Err(CommitError::Stale { name });
    }
    connection
        .prepare_cached(
            "INSERT INTO log_cursor (reader, document) VALUES (?1, ?2)
             ON CONFLICT (reader) DO UPDATE SET document = excluded.document",
        )?
        .execute([reader.as_str(), &moved.to])?;
    Ok(())
}

/// How far a reader has come.
pub(crate) fn cursor(connection: &Connection, reader: Reader) -> Result<Option<String>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT document FROM log_cursor WHERE reader = ?1")?
        .query_row([reader.as_str()], |row| row.get(0))
        .optional()
}
