//! What follows from the log: settled in the writer's transaction, and read.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::alert::{
    Alerted, Attempt, DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow, IncidentState,
    KEEP_CLOSED_INCIDENTS, KEEP_DEAD_LETTERS, MAX_CLOSED_INCIDENTS, MAX_DEAD_LETTERS, MAX_WAITING,
};
use crate::change::{check_length, exactly_one};
use crate::error::CommitError;
use crate::rows::{MAX_DOCUMENT, MAX_ROWS};

type Answer<T> = Result<T, rusqlite::Error>;

/// Writes what was found.
pub(crate) fn write(connection: &Connection, found: &Alerted) -> Result<(), CommitError> {
    for row in &found.incidents {
        put_incident(connection, row)?;
    }
    for row in &found.deliveries {
        insert_delivery(connection, row)?;
    }
    for attempt in &found.attempts {
        apply(connection, attempt, found.now)?;
    }
    if !found.incidents.is_empty() {
        forget_incidents(connection, found.now)?;
    }
    if !found.deliveries.is_empty() {
        give_up_oldest(connection, found.now)?;
    }
    if !found.deliveries.is_empty() || !found.attempts.is_empty() {
        forget_dead_letters(connection, found.now)?;
    }
    Ok(())
}

fn put_incident(connection: &Connection, row: &IncidentRow) -> Result<(), CommitError> {
    check_length(&row.id, &row.document, MAX_DOCUMENT)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO alert_incident (id, project, policy, started, ended, document)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, document = excluded.document",
    )?;
    statement.execute(params![
        row.id,
        row.project,
        row.policy,
        row.started,
        row.ended,
        row.document
    ])?;
    Ok(())
}

fn insert_delivery(connection: &Connection, row: &DeliveryRow) -> Result<(), CommitError> {
    check_length(&row.id, &row.document, MAX_DOCUMENT)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO alert_delivery
         (id, project, channel, incident, begun, failures, due, document, died, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        row.id,
        row.project,
        row.channel,
        row.incident,
        row.begun,
        row.failures,
        row.due,
        row.document,
        row.died,
        row.reason
    ])?;
    Ok(())
}

fn apply(connection: &Connection, attempt: &Attempt, now: i64) -> Answer<()> {
    match attempt {
        Attempt::Delivered { id } => connection
            .prepare_cached("DELETE FROM alert_delivery WHERE id = ?1 AND died IS NULL")?
            .execute([id])?,
        Attempt::Again {
            id,
            failures,
            due,
            reason,
        } => connection
            .prepare_cached(
                "UPDATE alert_delivery SET failures = ?2, due = ?3, reason = ?4 WHERE id = ?1 AND died IS NULL",
            )?
            .execute(params![id, failures, due, reason])?,
        Attempt::Dead { id, failures, reason } => connection
            .prepare_cached(
                "UPDATE alert_delivery SET failures = ?2, died = ?3, reason = ?4 WHERE id = ?1 AND died IS NULL",
            )?
            .execute(params![id, failures, now, reason])?,
    };
    Ok(())
}

/// Of too many that wait the oldest become dead letters.
fn give_up_oldest(connection: &Connection, now: i64) -> Answer<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE alert_delivery SET died = ?1, reason = ?2 WHERE sequence IN
         (SELECT sequence FROM alert_delivery WHERE died IS NULL AND sequence > 0 ORDER BY sequence DESC LIMIT -1 OFFSET ?3)",
    )?;
    let reason = format!("given up unsent: {MAX_WAITING} newer notices were waiting");
    statement.execute(params![now, reason, MAX_WAITING])?;
    Ok(())
}

fn forget_dead_letters(connection: &Connection, now: i64) -> Answer<()> {
    connection
        .prepare_cached("DELETE FROM alert_delivery WHERE died IS NOT NULL AND died < ?1")?
        .execute([now.saturating_sub(KEEP_DEAD_LETTERS)])?;
    connection
        .prepare_cached(
            "DELETE FROM alert_delivery WHERE sequence IN
             (SELECT sequence FROM alert_delivery WHERE died IS NOT NULL AND died > ?1
              ORDER BY died DESC, sequence DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![i64::MIN, MAX_DEAD_LETTERS])?;
    Ok(())
}

fn forget_incidents(connection: &Connection, now: i64) -> Answer<()> {
    connection
        .prepare_cached("DELETE FROM alert_incident WHERE ended IS NOT NULL AND ended < ?1")?
        .execute([now.saturating_sub(KEEP_CLOSED_INCIDENTS)])?;
    connection
        .prepare_cached(
            "DELETE FROM alert_incident WHERE rowid IN
             (SELECT rowid FROM alert_incident WHERE ended IS NOT NULL AND ended > ?1
              ORDER BY ended DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![i64::MIN, MAX_CLOSED_INCIDENTS])?;
    Ok(())
}

/// A dead letter is sent again, as if it had just come up.
pub(crate) fn retry(
    connection: &Connection,
    (project, id): (&str, &str),
    now: i64,
) -> Result<(), CommitError> {
    let mut statement = connection.prepare_cached(
        "UPDATE alert_delivery SET died = NULL, failures = 0, begun = ?3, due = ?3
         WHERE id = ?1 AND project = ?2 AND died IS NOT NULL",
    )?;
    exactly_one(id, statement.execute(params![id, project, now])?)
}

/// A dead letter is forgotten.
pub(crate) fn delete_dead_letter(
    connection: &Connection,
    project: &str,
    id: &str,
) -> Result<(), CommitError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM alert_delivery WHERE id = ?1 AND project = ?2 AND died IS NOT NULL")?;
    exactly_one(id, statement.execute(params![id, project])?)
}

/// One incident.
pub(crate) fn incident(connection: &Connection, project: &str, id: &str) -> Answer<Option<IncidentRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, project, policy, started, ended, document FROM alert_incident WHERE id = ?1 AND project = ?2",
    )?;
    statement.query_row([id, project], incident_row).optional()
}

/// Incidents that go on, in the order of their ids.
pub(crate) fn open_incidents(connection: &Connection, after: &str, limit: u32) -> Answer<Vec<IncidentRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, project, policy, started, ended, document FROM alert_incident
         WHERE ended IS NULL AND id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![after, bounded(limit)], incident_row)?;
    rows.collect()
}

/// Incidents of a project, the newest first.
pub(crate) fn incidents(connection: &Connection, query: &IncidentQuery) -> Answer<Vec<IncidentRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, project, policy, started, ended, document FROM alert_incident
         WHERE project = ?1 AND (started, id) < (?2, ?3) AND (?4 IS NULL OR ?4 = (ended IS NULL))
         ORDER BY started DESC, id DESC LIMIT ?5",
    )?;
    // Nothing begins in the last microsecond there is.
    let (started, id) = query
        .before
        .as_ref()
        .map_or((i64::MAX, ""), |(started, id)| (*started, id.as_str()));
    let open = query.state.map(|state| state == IncidentState::Open);
    let rows = statement.query_map(
        params![query.project, started, id, open, bounded(query.limit)],
        incident_row,
    )?;
    rows.collect()
}

/// Deliveries that wait, in the order in which they came up.
pub(crate) fn waiting(connection: &Connection, after: i64, limit: u32) -> Answer<Vec<DeliveryRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, id, project, channel, incident, begun, failures, due, '', died, reason
         FROM alert_delivery WHERE died IS NULL AND sequence > ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let rows = statement.query_map(params![after, bounded(limit)], delivery_row)?;
    rows.collect()
}

/// One delivery that waits.
pub(crate) fn delivery(connection: &Connection, id: &str) -> Answer<Option<DeliveryRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, id, project, channel, incident, begun, failures, due, document, died, reason
         FROM alert_delivery WHERE id = ?1 AND died IS NULL",
    )?;
    statement.query_row([id], delivery_row).optional()
}

/// Dead letters of a project, the newest first.
pub(crate) fn dead_letters(connection: &Connection, query: &DeadLetterQuery) -> Answer<Vec<DeliveryRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, id, project, channel, incident, begun, failures, due, document, died, reason
         FROM alert_delivery WHERE died IS NOT NULL AND project = ?1 AND sequence < ?2
         ORDER BY sequence DESC LIMIT ?3",
    )?;
    let before = query.before.unwrap_or(i64::MAX);
    let rows = statement.query_map(params![query.project, before, bounded(query.limit)], delivery_row)?;
    rows.collect()
}

fn bounded(limit: u32) -> i64 {
    limit.min(MAX_ROWS).into()
}

fn incident_row(row: &Row<'_>) -> Answer<IncidentRow> {
    Ok(IncidentRow {
        id: row.get(0)?,
        project: row.get(1)?,
        policy: row.get(2)?,
        started: row.get(3)?,
        ended: row.get(4)?,
        document: row.get(5)?,
    })
}

fn delivery_row(row: &Row<'_>) -> Answer<DeliveryRow> {
    Ok(DeliveryRow {
        sequence: row.get(0)?,
        id: row.get(1)?,
        project: row.get(2)?,
        channel: row.get(3)?,
        incident: row.get(4)?,
        begun: row.get(5)?,
        failures: row.get(6)?,
        due: row.get(7)?,
        document: row.get(8)?,
        died: row.get(9)?,
        reason: row.get(10)?,
    })
}
