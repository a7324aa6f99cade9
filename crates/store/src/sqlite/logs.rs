//! How far logs are signed for: settled in the writer's transaction, read like everything else.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::change::check_length;
use crate::error::CommitError;
use crate::logs::{FORGOTTEN_AFTER, LogCheckpointRow, Logged, MAX_NOTE, MERGED, MergedRow};
use crate::rows::MAX_ROWS;

type Answer<T> = Result<T, rusqlite::Error>;

pub(crate) fn write(connection: &Connection, logged: &Logged) -> Result<(), CommitError> {
    if let Some(own) = &logged.own {
        check_length(&own.origin, &own.note, MAX_NOTE)?;
        put(connection, own)?;
    }
    if let Some(merged) = &logged.merged {
        check_length(MERGED, &merged.note, MAX_NOTE)?;
        put_merged(connection, merged)?;
    }
    Ok(())
}

fn put(connection: &Connection, own: &LogCheckpointRow) -> Result<(), CommitError> {
    let is_known: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM log_checkpoint WHERE origin = ?1)")?
        .query_row([&own.origin], |row| row.get(0))?;
    if !is_known {
        connection
            .prepare_cached("DELETE FROM log_checkpoint WHERE published < ?1")?
            .execute([own.published.saturating_sub(FORGOTTEN_AFTER)])?;
    }
    connection
        .prepare_cached(
            "INSERT INTO log_checkpoint (origin, verifier_key, note, published) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (origin) DO UPDATE SET verifier_key = excluded.verifier_key, note = excluded.note,
             published = excluded.published",
        )?
        .execute(params![own.origin, own.verifier_key, own.note, own.published])?;
    Ok(())
}

fn put_merged(connection: &Connection, row: &MergedRow) -> Result<(), CommitError> {
    let before = merged(connection)?.map_or(0, |merged| merged.number);
    if row.number <= before {
        return Err(CommitError::Stale {
            name: MERGED.to_owned(),
        });
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO merged_checkpoint (id, number, note) VALUES (1, ?1, ?2)")?
        .execute(params![row.number, row.note])?;
    Ok(())
}

/// The statement over all logs, if there is one.
pub(crate) fn merged(connection: &Connection) -> Answer<Option<MergedRow>> {
    connection
        .prepare_cached("SELECT number, note FROM merged_checkpoint")?
        .query_row([], |row| {
            Ok(MergedRow {
                number: row.get(0)?,
                note: row.get(1)?,
            })
        })
        .optional()
}

/// What the logs said last, the most recent first.
pub(crate) fn checkpoints(connection: &Connection) -> Answer<Vec<LogCheckpointRow>> {
    connection
        .prepare_cached(
            "SELECT origin, verifier_key, note, published FROM log_checkpoint
             ORDER BY published DESC, origin LIMIT ?1",
        )?
        .query_map([MAX_ROWS], read)?
        .collect()
}

/// What the log of this name said last.
pub(crate) fn checkpoint(connection: &Connection, origin: &str) -> Answer<Option<LogCheckpointRow>> {
    connection
        .prepare_cached("SELECT origin, verifier_key, note, published FROM log_checkpoint WHERE origin = ?1")?
        .query_row([origin], read)
        .optional()
}

fn read(row: &Row<'_>) -> Answer<LogCheckpointRow> {
    Ok(LogCheckpointRow {
        origin: row.get(0)?,
        verifier_key: row.get(1)?,
        note: row.get(2)?,
        published: row.get(3)?,
    })
}
