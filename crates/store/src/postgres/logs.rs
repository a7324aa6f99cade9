//! How far the logs of the servers are signed for: settled in the writer's transaction, read like everything else.

use tokio_postgres::Row;

use super::row::{column, text};
use super::session::{Answer, Session};
use crate::change::check_length;
use crate::error::CommitError;
use crate::logs::{FORGOTTEN_AFTER, LogCheckpointRow, Logged, MAX_NOTE, MERGED, MergedRow};
use crate::rows::MAX_ROWS;

pub(super) async fn write(session: &Session, logged: &Logged) -> Result<(), CommitError> {
    if let Some(own) = &logged.own {
        check_length(&own.origin, &own.note, MAX_NOTE)?;
        put(session, own).await?;
    }
    if let Some(merged) = &logged.merged {
        check_length(MERGED, &merged.note, MAX_NOTE)?;
        put_merged(session, merged).await?;
    }
    Ok(())
}

async fn put(session: &Session, own: &LogCheckpointRow) -> Result<(), CommitError> {
    if checkpoint(session, &own.origin).await?.is_none() {
        let sql = "DELETE FROM log_checkpoint WHERE published < $1";
        let before = own.published.saturating_sub(FORGOTTEN_AFTER);
        session.execute(sql, &[&before]).await?;
    }
    session
        .execute(
            "INSERT INTO log_checkpoint (origin, verifier_key, note, published) VALUES ($1, $2, $3, $4)
             ON CONFLICT (origin) DO UPDATE SET verifier_key = excluded.verifier_key, note = excluded.note,
             published = excluded.published",
            &[
                &own.origin.as_bytes(),
                &own.verifier_key.as_bytes(),
                &own.note.as_bytes(),
                &own.published,
            ],
        )
        .await?;
    Ok(())
}

async fn put_merged(session: &Session, row: &MergedRow) -> Result<(), CommitError> {
    let before = merged(session).await?.map_or(0, |merged| merged.number);
    if row.number <= before {
        return Err(CommitError::Stale {
            name: MERGED.to_owned(),
        });
    }
    session
        .execute(
            "INSERT INTO merged_checkpoint (id, number, note) VALUES (1, $1, $2)
             ON CONFLICT (id) DO UPDATE SET number = excluded.number, note = excluded.note",
            &[&row.number, &row.note.as_bytes()],
        )
        .await?;
    Ok(())
}

/// The statement over all logs, if there is one.
pub(super) async fn merged(session: &Session) -> Answer<Option<MergedRow>> {
    let row = session
        .query_opt("SELECT number, note FROM merged_checkpoint", &[])
        .await?;
    let read = |row: Row| -> Answer<MergedRow> {
        Ok(MergedRow {
            number: column(&row, 0)?,
            note: text(&row, 1)?,
        })
    };
    row.map(read).transpose()
}

/// What the logs said last, the most recent first.
pub(super) async fn checkpoints(session: &Session) -> Answer<Vec<LogCheckpointRow>> {
    let rows = session
        .query(
            "SELECT origin, verifier_key, note, published FROM log_checkpoint
             ORDER BY published DESC, origin LIMIT $1",
            &[&i64::from(MAX_ROWS)],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// What the log of this name said last.
pub(super) async fn checkpoint(session: &Session, origin: &str) -> Answer<Option<LogCheckpointRow>> {
    let row = session
        .query_opt(
            "SELECT origin, verifier_key, note, published FROM log_checkpoint WHERE origin = $1",
            &[&origin.as_bytes()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Answer<LogCheckpointRow> {
    Ok(LogCheckpointRow {
        origin: text(row, 0)?,
        verifier_key: text(row, 1)?,
        note: text(row, 2)?,
        published: column(row, 3)?,
    })
}
