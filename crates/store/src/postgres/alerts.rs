//! What follows from the log: settled in the writer's transaction, and read.

use tokio_postgres::Row;

use super::read::bounded;
use super::row::{column, count, text};
use super::session::{Answer, Session};
use super::writer::Counters;
use crate::alert::{
    Alerted, Attempt, DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow, IncidentState,
    KEEP_CLOSED_INCIDENTS, KEEP_DEAD_LETTERS, MAX_CLOSED_INCIDENTS, MAX_DEAD_LETTERS, MAX_WAITING,
};
use crate::change::{check_length, exactly_one};
use crate::error::CommitError;
use crate::rows::MAX_DOCUMENT;

/// Writes what was found.
pub(super) async fn write(
    (session, server): (&Session, &str),
    found: &Alerted,
    counters: &mut Counters,
) -> Result<(), CommitError> {
    for row in &found.incidents {
        put_incident((session, server), row).await?;
    }
    for rows in found.deliveries.chunks(AT_ONCE) {
        insert_deliveries(session, rows, counters).await?;
    }
    for attempt in &found.attempts {
        apply(session, attempt, found.now).await?;
    }
    if !found.incidents.is_empty() {
        forget_incidents(session, found.now).await?;
    }
    if !found.deliveries.is_empty() {
        give_up_oldest(session, found.now).await?;
    }
    if !found.deliveries.is_empty() || !found.attempts.is_empty() {
        forget_dead_letters(session, found.now).await?;
    }
    Ok(())
}

async fn put_incident((session, server): (&Session, &str), row: &IncidentRow) -> Result<(), CommitError> {
    check_length(&row.id, &row.document, MAX_DOCUMENT)?;
    session
        .execute(
            "INSERT INTO alert_incident (id, project, policy, started, ended, document, server)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, document = excluded.document",
            &[
                &row.id.as_bytes(),
                &row.project.as_bytes(),
                &row.policy.as_bytes(),
                &row.started,
                &row.ended,
                &row.document.as_bytes(),
                &server.as_bytes(),
            ],
        )
        .await?;
    Ok(())
}

/// Rows of one statement: 16 000 notices one by one would hold everybody up for as many round trips.
const AT_ONCE: usize = 500;

async fn insert_deliveries(
    session: &Session,
    rows: &[DeliveryRow],
    counters: &mut Counters,
) -> Result<(), CommitError> {
    for row in rows {
        check_length(&row.id, &row.document, MAX_DOCUMENT)?;
    }
    let sequences: Vec<i64> = rows.iter().map(|_| counters.next_delivery()).collect();
    fn texts<'a>(rows: &'a [DeliveryRow], field: fn(&'a DeliveryRow) -> &'a str) -> Vec<&'a [u8]> {
        rows.iter().map(|row| field(row).as_bytes()).collect()
    }
    let failures: Vec<i64> = rows.iter().map(|row| row.failures.into()).collect();
    let begun: Vec<i64> = rows.iter().map(|row| row.begun).collect();
    let due: Vec<i64> = rows.iter().map(|row| row.due).collect();
    let died: Vec<Option<i64>> = rows.iter().map(|row| row.died).collect();
    session
        .execute(
            "INSERT INTO alert_delivery
             (sequence, id, project, channel, incident, begun, failures, due, document, died, reason)
             SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[],
                                  $7::bigint[], $8::bigint[], $9::bytea[], $10::bigint[], $11::bytea[])",
            &[
                &sequences,
                &texts(rows, |row| &row.id),
                &texts(rows, |row| &row.project),
                &texts(rows, |row| &row.channel),
                &texts(rows, |row| &row.incident),
                &begun,
                &failures,
                &due,
                &texts(rows, |row| &row.document),
                &died,
                &texts(rows, |row| &row.reason),
            ],
        )
        .await?;
    Ok(())
}

async fn apply(session: &Session, attempt: &Attempt, now: i64) -> Answer<()> {
    match attempt {
        Attempt::Delivered { id } => {
            let sql = "DELETE FROM alert_delivery WHERE id = $1 AND died IS NULL";
            session.execute(sql, &[&id.as_bytes()]).await?
        }
        Attempt::Again {
            id,
            failures,
            due,
            reason,
        } => {
            let sql = "UPDATE alert_delivery SET failures = $2, due = $3, reason = $4 WHERE id = $1 AND died IS NULL";
            let failures = i64::from(*failures);
            session
                .execute(sql, &[&id.as_bytes(), &failures, due, &reason.as_bytes()])
                .await?
        }
        Attempt::Dead { id, failures, reason } => {
            let sql = "UPDATE alert_delivery SET failures = $2, died = $3, reason = $4 WHERE id = $1 AND died IS NULL";
            let failures = i64::from(*failures);
            session
                .execute(sql, &[&id.as_bytes(), &failures, &now, &reason.as_bytes()])
                .await?
        }
    };
    Ok(())
}

/// Of too many that wait the oldest become dead letters.
async fn give_up_oldest(session: &Session, now: i64) -> Answer<()> {
    let reason = format!("given up unsent: {MAX_WAITING} newer notices were waiting");
    session
        .execute(
            "UPDATE alert_delivery SET died = $1, reason = $2 WHERE sequence IN
             (SELECT sequence FROM alert_delivery WHERE died IS NULL ORDER BY sequence DESC OFFSET $3)",
            &[&now, &reason.as_bytes(), &i64::from(MAX_WAITING)],
        )
        .await?;
    Ok(())
}

async fn forget_dead_letters(session: &Session, now: i64) -> Answer<()> {
    session
        .execute(
            "DELETE FROM alert_delivery WHERE died IS NOT NULL AND died < $1",
            &[&now.saturating_sub(KEEP_DEAD_LETTERS)],
        )
        .await?;
    session
        .execute(
            "DELETE FROM alert_delivery WHERE sequence IN
             (SELECT sequence FROM alert_delivery WHERE died IS NOT NULL
              ORDER BY died DESC, sequence DESC OFFSET $1)",
            &[&i64::from(MAX_DEAD_LETTERS)],
        )
        .await?;
    Ok(())
}

async fn forget_incidents(session: &Session, now: i64) -> Answer<()> {
    session
        .execute(
            "DELETE FROM alert_incident WHERE ended IS NOT NULL AND ended < $1",
            &[&now.saturating_sub(KEEP_CLOSED_INCIDENTS)],
        )
        .await?;
    session
        .execute(
            "DELETE FROM alert_incident WHERE id IN
             (SELECT id FROM alert_incident WHERE ended IS NOT NULL ORDER BY ended DESC OFFSET $1)",
            &[&i64::from(MAX_CLOSED_INCIDENTS)],
        )
        .await?;
    Ok(())
}

/// A dead letter is sent again, as if it had just come up.
pub(super) async fn retry(
    session: &Session,
    (project, id): (&str, &str),
    now: i64,
) -> Result<(), CommitError> {
    let rows = session
        .execute(
            "UPDATE alert_delivery SET died = NULL, failures = 0, begun = $3, due = $3
             WHERE id = $1 AND project = $2 AND died IS NOT NULL",
            &[&id.as_bytes(), &project.as_bytes(), &now],
        )
        .await?;
    exactly_one(id, rows)
}

/// A dead letter is forgotten.
pub(super) async fn delete_dead_letter(
    session: &Session,
    project: &str,
    id: &str,
) -> Result<(), CommitError> {
    let sql = "DELETE FROM alert_delivery WHERE id = $1 AND project = $2 AND died IS NOT NULL";
    let rows = session
        .execute(sql, &[&id.as_bytes(), &project.as_bytes()])
        .await?;
    exactly_one(id, rows)
}

/// One incident.
pub(super) async fn incident(session: &Session, project: &str, id: &str) -> Answer<Option<IncidentRow>> {
    let row = session
        .query_opt(
            "SELECT id, project, policy, started, ended, document FROM alert_incident WHERE id = $1 AND project = $2",
            &[&id.as_bytes(), &project.as_bytes()],
        )
        .await?;
    row.map(|row| incident_row(&row)).transpose()
}

/// Incidents of a server that go on, in the order of their ids.
pub(super) async fn open_incidents(
    (session, server): (&Session, &str),
    after: &str,
    limit: u32,
) -> Answer<Vec<IncidentRow>> {
    let rows = session
        .query(
            "SELECT id, project, policy, started, ended, document FROM alert_incident
             WHERE ended IS NULL AND server = $1 AND id > $2 ORDER BY id LIMIT $3",
            &[&server.as_bytes(), &after.as_bytes(), &bounded(limit)],
        )
        .await?;
    rows.iter().map(incident_row).collect()
}

/// Incidents of a project, the newest first.
pub(super) async fn incidents(session: &Session, query: &IncidentQuery) -> Answer<Vec<IncidentRow>> {
    // Nothing begins in the last microsecond there is.
    let (started, id) = query
        .before
        .as_ref()
        .map_or((i64::MAX, ""), |(started, id)| (*started, id.as_str()));
    let open = query.state.map(|state| state == IncidentState::Open);
    let rows = session
        .query(
            "SELECT id, project, policy, started, ended, document FROM alert_incident
             WHERE project = $1 AND (started, id) < ($2, $3)
             AND ($4::boolean IS NULL OR $4::boolean = (ended IS NULL))
             ORDER BY started DESC, id DESC LIMIT $5",
            &[
                &query.project.as_bytes(),
                &started,
                &id.as_bytes(),
                &open,
                &bounded(query.limit),
            ],
        )
        .await?;
    rows.iter().map(incident_row).collect()
}

/// Deliveries that wait, in the order in which they came up.
pub(super) async fn waiting(session: &Session, after: i64, limit: u32) -> Answer<Vec<DeliveryRow>> {
    let rows = session
        .query(
            "SELECT sequence, id, project, channel, incident, begun, failures, due, ''::bytea, died, reason
             FROM alert_delivery WHERE died IS NULL AND sequence > $1 ORDER BY sequence LIMIT $2",
            &[&after, &bounded(limit)],
        )
        .await?;
    rows.iter().map(delivery_row).collect()
}

/// One delivery that waits.
pub(super) async fn delivery(session: &Session, id: &str) -> Answer<Option<DeliveryRow>> {
    let row = session
        .query_opt(
            "SELECT sequence, id, project, channel, incident, begun, failures, due, document, died, reason
             FROM alert_delivery WHERE id = $1 AND died IS NULL",
            &[&id.as_bytes()],
        )
        .await?;
    row.map(|row| delivery_row(&row)).transpose()
}

/// Dead letters of a project, the newest first.
pub(super) async fn dead_letters(session: &Session, query: &DeadLetterQuery) -> Answer<Vec<DeliveryRow>> {
    let before = query.before.unwrap_or(i64::MAX);
    let rows = session
        .query(
            "SELECT sequence, id, project, channel, incident, begun, failures, due, document, died, reason
             FROM alert_delivery WHERE died IS NOT NULL AND project = $1 AND sequence < $2
             ORDER BY sequence DESC LIMIT $3",
            &[&query.project.as_bytes(), &before, &bounded(query.limit)],
        )
        .await?;
    rows.iter().map(delivery_row).collect()
}

fn incident_row(row: &Row) -> Answer<IncidentRow> {
    Ok(IncidentRow {
        id: text(row, 0)?,
        project: text(row, 1)?,
        policy: text(row, 2)?,
        started: column(row, 3)?,
        ended: column(row, 4)?,
        document: text(row, 5)?,
    })
}

fn delivery_row(row: &Row) -> Answer<DeliveryRow> {
    Ok(DeliveryRow {
        sequence: column(row, 0)?,
        id: text(row, 1)?,
        project: text(row, 2)?,
        channel: text(row, 3)?,
        incident: text(row, 4)?,
        begun: column(row, 5)?,
        failures: count(row, 6)?,
        due: column(row, 7)?,
        document: text(row, 8)?,
        died: column(row, 9)?,
        reason: text(row, 10)?,
    })
}
