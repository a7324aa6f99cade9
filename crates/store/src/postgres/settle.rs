//! Settlements: a reader's cursor and what it found, in one savepoint.

use super::row::{column, text};
use super::session::{Answer, Session};
use super::writer::Counters;
use super::{alerts, logs, metrics};
use crate::change::check_length;
use crate::error::CommitError;
use crate::rows::MAX_DOCUMENT;
use crate::settlement::{CursorMove, Found, Lead, Reader, Settlement};

/// Settles. On an error the caller rolls the savepoint back.
pub(super) async fn settle(
    (session, server): (&Session, &str),
    settlement: &Settlement,
    counters: &mut Counters,
) -> Result<(), CommitError> {
    if let Some(lead) = settlement.lead {
        require(session, lead).await?;
    }
    if let Some(cursor) = &settlement.cursor {
        move_cursor((session, server), settlement.found.reader(), cursor).await?;
    }
    match &settlement.found {
        Found::Alerts(found) => alerts::write((session, server), found, counters).await,
        Found::Metrics(counted) => metrics::write(session, counted).await,
        Found::Logs(logged) => logs::write(session, logged).await,
    }
}

/// Nobody has taken over since, nor does before this is committed.
async fn require(session: &Session, lead: Lead) -> Result<(), CommitError> {
    let sql = "SELECT epoch FROM leadership FOR SHARE";
    let row = session.query_one(sql, &[]).await?;
    if column::<i64>(&row, 0)? == lead.epoch {
        return Ok(());
    }
    Err(CommitError::Stale {
        name: "the lead of the servers".to_owned(),
    })
}

async fn move_cursor(
    (session, server): (&Session, &str),
    reader: Reader,
    moved: &CursorMove,
) -> Result<(), CommitError> {
    let name = format!("the cursor of {}", reader.as_str());
    check_length(&name, &moved.to, MAX_DOCUMENT)?;
    let before = cursor((session, server), reader).await?;
    if before != moved.expect {
        return Err(CommitError::Stale { name });
    }
    if before.is_none() {
        forget_cursors(session).await?;
    }
    session
        .execute(
            "INSERT INTO log_cursor (server, reader, document, updated) VALUES ($1, $2, $3, now())
             ON CONFLICT (server, reader) DO UPDATE SET document = excluded.document, updated = excluded.updated",
            &[&server.as_bytes(), &reader.as_str().as_bytes(), &moved.to.as_bytes()],
        )
        .await?;
    Ok(())
}

/// Servers come and go. One that was away for longer than its log is kept has nothing to go on with.
async fn forget_cursors(session: &Session) -> Answer<()> {
    let sql = "DELETE FROM log_cursor WHERE updated < now() - interval '400 days'";
    session.execute(sql, &[]).await.map(drop)
}

/// How far a reader has come in the log of its server.
pub(super) async fn cursor((session, server): (&Session, &str), reader: Reader) -> Answer<Option<String>> {
    let row = session
        .query_opt(
            "SELECT document FROM log_cursor WHERE server = $1 AND reader = $2",
            &[&server.as_bytes(), &reader.as_str().as_bytes()],
        )
        .await?;
    row.map(|row| text(&row, 0)).transpose()
}
