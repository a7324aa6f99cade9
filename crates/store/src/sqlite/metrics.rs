//! The counts of log-based metrics: settled in the writer's transaction, read like everything else.

use rusqlite::{Connection, OptionalExtension, params};

use crate::change::check_length;
use crate::error::CommitError;
use crate::metric::{Counted, FORGOTTEN_AT_ONCE, Forget, MetricPoint, MetricSeriesRow};
use crate::rows::{MAX_DOCUMENT, MAX_ROWS};

type Answer<T> = Result<T, rusqlite::Error>;

/// Adds what was counted, and forgets what is too old or too much.
pub(crate) fn write(connection: &Connection, counted: &Counted) -> Result<(), CommitError> {
    for point in &counted.points {
        add(connection, point, counted.merge)?;
    }
    forget(connection, &counted.forget)
}

fn add(
    connection: &Connection,
    point: &MetricPoint,
    merge: fn(&str, &str) -> String,
) -> Result<(), CommitError> {
    check_length(&point.metric, &point.series, MAX_DOCUMENT)?;
    check_length(&point.metric, &point.value, MAX_DOCUMENT)?;
    let series: i64 = connection
        .prepare_cached(
            "INSERT INTO metric_series (metric, series, newest) VALUES (?1, ?2, ?3)
             ON CONFLICT (metric, series) DO UPDATE SET newest = max(newest, excluded.newest) RETURNING id",
        )?
        .query_row(params![point.metric, point.series, point.minute], |row| {
            row.get(0)
        })?;
    let known: Option<(i64, String)> = connection
        .prepare_cached("SELECT id, value FROM metric_point WHERE series = ?1 AND minute = ?2")?
        .query_row([series, point.minute], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        Some((id, value)) => connection
            .prepare_cached("UPDATE metric_point SET value = ?2 WHERE id = ?1")?
            .execute(params![id, merge(&value, &point.value)])?,
        None => connection
            .prepare_cached("INSERT INTO metric_point (series, minute, value) VALUES (?1, ?2, ?3)")?
            .execute(params![series, point.minute, point.value])?,
    };
    Ok(())
}

fn forget(connection: &Connection, forget: &Forget) -> Result<(), CommitError> {
    connection
        .prepare_cached(
            "DELETE FROM metric_point WHERE id IN
             (SELECT id FROM metric_point WHERE minute < ?1 ORDER BY minute LIMIT ?2)",
        )?
        .execute(params![forget.before, FORGOTTEN_AT_ONCE])?;
    // Ids grow: what is so far behind the last one is more than there may be.
    connection
        .prepare_cached(
            "DELETE FROM metric_point WHERE id IN
             (SELECT id FROM metric_point
              WHERE id <= (SELECT max(id) FROM metric_point) - ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute(params![forget.most_points, FORGOTTEN_AT_ONCE])?;
    connection
        .prepare_cached(
            "DELETE FROM metric_series WHERE id IN
             (SELECT id FROM metric_series WHERE newest < ?1 ORDER BY newest LIMIT ?2)",
        )?
        .execute(params![forget.before, FORGOTTEN_AT_ONCE])?;
    for metric in &forget.metrics {
        let points = connection
            .prepare_cached(
                "DELETE FROM metric_point WHERE id IN
                 (SELECT metric_point.id FROM metric_series
                  JOIN metric_point ON metric_point.series = metric_series.id
                  WHERE metric_series.metric = ?1 LIMIT ?2)",
            )?
            .execute(params![metric, FORGOTTEN_AT_ONCE])?;
        if u32::try_from(points).is_ok_and(|points| points < FORGOTTEN_AT_ONCE) {
            connection
                .prepare_cached("DELETE FROM metric_series WHERE metric = ?1")?
                .execute([metric])?;
        }
    }
    Ok(())
}

/// The first metric behind `after` that has series.
pub(crate) fn metric_behind(connection: &Connection, after: &str) -> Answer<Option<String>> {
    connection
        .prepare_cached("SELECT metric FROM metric_series WHERE metric > ?1 ORDER BY metric LIMIT 1")?
        .query_row([after], |row| row.get(0))
        .optional()
}

/// The series of a metric in the order of their names.
pub(crate) fn series(connection: &Connection, metric: &str) -> Answer<Vec<MetricSeriesRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, series, newest FROM metric_series WHERE metric = ?1 ORDER BY series LIMIT ?2",
    )?;
    let rows = statement.query_map(params![metric, MAX_ROWS], |row| {
        Ok(MetricSeriesRow {
            id: row.get(0)?,
            series: row.get(1)?,
            newest: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// The points of a series within minutes, the last included, in their order.
pub(crate) fn points(
    connection: &Connection,
    series: i64,
    (from, until): (i64, i64),
    limit: u32,
) -> Answer<Vec<(i64, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT minute, value FROM metric_point WHERE series = ?1 AND minute BETWEEN ?2 AND ?3
         ORDER BY minute LIMIT ?4",
    )?;
    let rows = statement.query_map(params![series, from, until, limit], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use crate::sqlite::{connection, migrations};

    /// Every statement of this file that looks for rows must walk an index.
    #[test]
    fn no_statement_scans_a_table() {
        let mut connection = connection::open_memory().unwrap();
        migrations::migrate(&mut connection).unwrap();
        let source = include_str!("metrics.rs").split("#[cfg(test)]").next().unwrap();
        let statements: Vec<&str> = source
            .split('"')
            .filter(|piece| piece.contains("WHERE"))
            .collect();
        assert_eq!(statements.len(), 10);
        for sql in statements {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let steps = statement
                .query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3))
                .unwrap()
                .collect::<Result<Vec<_>, _>>()
                .unwrap();
            let plan = steps.join("; ");
            assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{sql}\n{plan}");
        }
    }
}
