//! The counts of log-based metrics: settled in the writer's transaction, read like everything else.

use super::row::{column, text};
use super::session::{Answer, Session};
use crate::change::check_length;
use crate::error::CommitError;
use crate::metric::{Counted, FORGOTTEN_AT_ONCE, Forget, MetricPoint, MetricSeriesRow};
use crate::rows::{MAX_DOCUMENT, MAX_ROWS};

const AT_ONCE: i64 = FORGOTTEN_AT_ONCE as i64;

/// Adds what was counted, and forgets what is too old or too much.
pub(super) async fn write(session: &Session, counted: &Counted) -> Result<(), CommitError> {
    for point in &counted.points {
        add(session, point, counted.merge).await?;
    }
    forget(session, &counted.forget).await
}

async fn add(
    session: &Session,
    point: &MetricPoint,
    merge: fn(&str, &str) -> String,
) -> Result<(), CommitError> {
    check_length(&point.metric, &point.series, MAX_DOCUMENT)?;
    check_length(&point.metric, &point.value, MAX_DOCUMENT)?;
    let row = session
        .query_one(
            "INSERT INTO metric_series AS known (metric, series, newest) VALUES ($1, $2, $3)
             ON CONFLICT (metric, sha256(series))
             DO UPDATE SET newest = greatest(known.newest, excluded.newest) RETURNING id",
            &[&point.metric.as_bytes(), &point.series.as_bytes(), &point.minute],
        )
        .await?;
    let series: i64 = column(&row, 0)?;
    let known = session
        .query_opt(
            "SELECT id, value FROM metric_point WHERE series = $1 AND minute = $2",
            &[&series, &point.minute],
        )
        .await?;
    match known {
        Some(row) => {
            let (id, value): (i64, String) = (column(&row, 0)?, text(&row, 1)?);
            let sql = "UPDATE metric_point SET value = $2 WHERE id = $1";
            let merged = merge(&value, &point.value);
            session.execute(sql, &[&id, &merged.as_bytes()]).await?
        }
        None => {
            let sql = "INSERT INTO metric_point (series, minute, value) VALUES ($1, $2, $3)";
            session
                .execute(sql, &[&series, &point.minute, &point.value.as_bytes()])
                .await?
        }
    };
    Ok(())
}

async fn forget(session: &Session, forget: &Forget) -> Result<(), CommitError> {
    session
        .execute(
            "DELETE FROM metric_point WHERE id IN
             (SELECT id FROM metric_point WHERE minute < $1 ORDER BY minute LIMIT $2)",
            &[&forget.before, &AT_ONCE],
        )
        .await?;
    // Ids grow: what is so far behind the last one is more than there may be.
    session
        .execute(
            "DELETE FROM metric_point WHERE id IN
             (SELECT id FROM metric_point
              WHERE id <= (SELECT max(id) FROM metric_point) - $1 ORDER BY id LIMIT $2)",
            &[&forget.most_points, &AT_ONCE],
        )
        .await?;
    session
        .execute(
            "DELETE FROM metric_series WHERE id IN
             (SELECT id FROM metric_series WHERE newest < $1 ORDER BY newest LIMIT $2)",
            &[&forget.before, &AT_ONCE],
        )
        .await?;
    for metric in &forget.metrics {
        let points = session
            .execute(
                "DELETE FROM metric_point WHERE id IN
                 (SELECT metric_point.id FROM metric_series
                  JOIN metric_point ON metric_point.series = metric_series.id
                  WHERE metric_series.metric = $1 LIMIT $2)",
                &[&metric.as_bytes(), &AT_ONCE],
            )
            .await?;
        if points < u64::from(FORGOTTEN_AT_ONCE) {
            let sql = "DELETE FROM metric_series WHERE metric = $1";
            session.execute(sql, &[&metric.as_bytes()]).await?;
        }
    }
    Ok(())
}

/// The metrics that have series.
pub(super) async fn counted(session: &Session) -> Answer<Vec<String>> {
    let rows = session
        .query("SELECT DISTINCT metric FROM metric_series ORDER BY metric", &[])
        .await?;
    rows.iter().map(|row| text(row, 0)).collect()
}

/// The series of a metric in the order of their names.
pub(super) async fn series(session: &Session, metric: &str) -> Answer<Vec<MetricSeriesRow>> {
    let rows = session
        .query(
            "SELECT id, series, newest FROM metric_series WHERE metric = $1 ORDER BY series LIMIT $2",
            &[&metric.as_bytes(), &i64::from(MAX_ROWS)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(MetricSeriesRow {
                id: column(row, 0)?,
                series: text(row, 1)?,
                newest: column(row, 2)?,
            })
        })
        .collect()
}

/// The points of a series within minutes, the last included, in their order.
pub(super) async fn points(
    session: &Session,
    series: i64,
    (from, until): (i64, i64),
    limit: u32,
) -> Answer<Vec<(i64, String)>> {
    let rows = session
        .query(
            "SELECT minute, value FROM metric_point WHERE series = $1 AND minute BETWEEN $2 AND $3
             ORDER BY minute LIMIT $4",
            &[&series, &from, &until, &i64::from(limit)],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((column(row, 0)?, text(row, 1)?)))
        .collect()
}
