//! The schema and how it grows: numbered files in the binary, each applied once, each remembered by its SHA-256.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::OpenError;

/// `BAZ1`: says that a SQLite file is ours.
const APPLICATION_ID: i32 = 0x4241_5a31;

/// In order; the number of a migration is its place, from 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_newest_occurrences.sql"),
    include_str!("../../migrations/0003_alerts.sql"),
    include_str!("../../migrations/0004_metrics.sql"),
    include_str!("../../migrations/0005_merged_logs.sql"),
];

const REGISTER: &str = "CREATE TABLE IF NOT EXISTS schema_migration (
    number INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    applied INTEGER NOT NULL
) STRICT";

/// Brings the database to the schema of this release, or says why it cannot.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    apply(connection, MIGRATIONS)
}

fn apply(connection: &mut Connection, migrations: &[&str]) -> Result<(), OpenError> {
    // IMMEDIATE: of two processes that start on one file, the second waits and finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    claim(&transaction)?;
    transaction.execute_batch(REGISTER)?;
    let found: i64 = transaction.query_row(
        "SELECT coalesce(max(number), 0) FROM schema_migration",
        [],
        |row| row.get(0),
    )?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (number, sql) in (1_i64..).zip(migrations) {
        apply_one(&transaction, number, sql)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Refuses the file of another program, and changes nothing.
pub(crate) fn must_be_ours(connection: &Connection) -> Result<(), OpenError> {
    let found: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if found == APPLICATION_ID {
        Ok(())
    } else {
        Err(OpenError::Foreign { found })
    }
}

fn claim(connection: &Connection) -> Result<(), OpenError> {
    let found: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if found == APPLICATION_ID {
        return Ok(());
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found != 0 || tables != 0 {
        return Err(OpenError::Foreign { found });
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    Ok(())
}

fn apply_one(connection: &Connection, number: i64, sql: &str) -> Result<(), OpenError> {
    let hash = digest(&SHA256, sql.as_bytes());
    let applied: Option<Vec<u8>> = connection
        .query_row(
            "SELECT sha256 FROM schema_migration WHERE number = ?1",
            [number],
            |row| row.get(0),
        )
        .optional()?;
    match applied {
        Some(earlier) if earlier == hash.as_ref() => Ok(()),
        Some(_) => Err(OpenError::Changed { number }),
        None => {
            connection.execute_batch(sql)?;
            connection.execute(
                "INSERT INTO schema_migration (number, sha256, applied) VALUES (?1, ?2, unixepoch())",
                params![number, hash.as_ref()],
            )?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x INTEGER) STRICT";
    const SECOND: &str = "ALTER TABLE a ADD COLUMN y INTEGER";

    fn fresh() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn every_released_migration_applies_once_and_again_does_nothing() {
        let mut connection = fresh();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let rows: i64 = connection
            .query_row("SELECT count(*) FROM schema_migration", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, i64::try_from(MIGRATIONS.len()).unwrap());
    }

    #[test]
    fn a_later_release_adds_to_what_an_earlier_one_made() {
        let mut connection = fresh();
        apply(&mut connection, &[FIRST]).unwrap();
        connection.execute("INSERT INTO a (x) VALUES (7)", []).unwrap();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
        let row: (i64, Option<i64>) = connection
            .query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(row, (7, None));
    }

    /// What each earlier release made becomes what this one makes.
    #[test]
    fn every_earlier_schema_grows_into_this_one() {
        let schema = |connection: &Connection| {
            let sql =
                "SELECT group_concat(sql, ';\n' ORDER BY name) FROM sqlite_schema WHERE sql IS NOT NULL";
            let text: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
            text
        };
        let mut now = fresh();
        migrate(&mut now).unwrap();
        for known in 1..MIGRATIONS.len() {
            let mut connection = fresh();
            apply(&mut connection, &MIGRATIONS[..known]).unwrap();
            assert_ne!(schema(&connection), schema(&now), "{known}");
            migrate(&mut connection).unwrap();
            assert_eq!(schema(&connection), schema(&now), "{known}");
        }
    }

    #[test]
    fn an_earlier_release_refuses_a_newer_file_and_says_what_to_do() {
        let mut connection = fresh();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
        let error = apply(&mut connection, &[FIRST]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the database has schema 2 and this release knows up to schema 1: \
             start the release that wrote it, or a later one"
        );
    }

    #[test]
    fn an_edited_migration_is_refused() {
        let mut connection = fresh();
        apply(&mut connection, &[FIRST]).unwrap();
        let error = apply(&mut connection, &["CREATE TABLE b (x INTEGER) STRICT"]).unwrap_err();
        assert!(matches!(error, OpenError::Changed { number: 1 }), "{error}");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let mut connection = fresh();
        apply(&mut connection, &[FIRST]).unwrap();
        apply(
            &mut connection,
            &[FIRST, "CREATE TABLE b (x INTEGER) STRICT; nonsense"],
        )
        .unwrap_err();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let mut connection = fresh();
        connection
            .execute_batch("CREATE TABLE theirs (x INTEGER)")
            .unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { found: 0 }), "{error}");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }
}
