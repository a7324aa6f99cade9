//! The schema and how it grows: numbered files in the binary, each applied once, each remembered by its SHA-256.

use aws_lc_rs::digest::{SHA256, digest};

use super::row::column;
use super::session::Session;
use crate::OpenError;

/// In order; the number of a migration is its place, from 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_initial.sql"),
    include_str!("../../migrations/postgres/0002_merged_logs.sql"),
];

/// Of servers that start at once, one migrates and the others wait and find the work done. The lock is of this database;
/// the number is `BAZ1`. A migration may take its time, but not for ever.
const BEGIN: &str = "BEGIN;
    SET LOCAL lock_timeout = '60s';
    SET LOCAL statement_timeout = '10min';
    SELECT pg_advisory_xact_lock(1111570993)";

const REGISTER: &str = "CREATE TABLE schema_migration (
    number BIGINT PRIMARY KEY,
    sha256 BYTEA NOT NULL CHECK (length(sha256) = 32),
    applied TIMESTAMPTZ NOT NULL
)";

/// Brings the database to the schema of this release, or says why it cannot.
pub(super) async fn migrate(session: &Session) -> Result<(), OpenError> {
    apply(session, MIGRATIONS).await
}

async fn apply(session: &Session, migrations: &[&str]) -> Result<(), OpenError> {
    session.run(BEGIN).await?;
    match apply_all(session, migrations).await {
        Ok(()) => Ok(session.run("COMMIT").await?),
        Err(error) => {
            // A session that cannot even do this is thrown away by the caller, which ends the transaction as well.
            let _ = session.run("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn apply_all(session: &Session, migrations: &[&str]) -> Result<(), OpenError> {
    if !is_registered(session).await? {
        claim(session).await?;
    }
    let row = session
        .query_one("SELECT coalesce(max(number), 0) FROM schema_migration", &[])
        .await?;
    let found: i64 = column(&row, 0)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (number, sql) in (1_i64..).zip(migrations) {
        apply_one(session, number, sql).await?;
    }
    Ok(())
}

async fn is_registered(session: &Session) -> Result<bool, OpenError> {
    let row = session
        .query_one("SELECT to_regclass('binauthz.schema_migration') IS NOT NULL", &[])
        .await?;
    Ok(column(&row, 0)?)
}

/// Takes an empty schema, made by us or by whoever may make schemas here, and leaves one alone that has tables of others.
async fn claim(session: &Session) -> Result<(), OpenError> {
    let row = session
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'binauthz'),
                    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('binauthz'))",
            &[],
        )
        .await?;
    let (is_there, is_used): (bool, bool) = (column(&row, 0)?, column(&row, 1)?);
    if is_used {
        return Err(OpenError::ForeignSchema);
    }
    if !is_there {
        session.run("CREATE SCHEMA binauthz").await?;
    }
    Ok(session.run(REGISTER).await?)
}

async fn apply_one(session: &Session, number: i64, sql: &str) -> Result<(), OpenError> {
    let hash = digest(&SHA256, sql.as_bytes());
    let applied = session
        .query_opt(
            "SELECT sha256 FROM schema_migration WHERE number = $1",
            &[&number],
        )
        .await?;
    match applied {
        Some(row) if column::<&[u8]>(&row, 0)? == hash.as_ref() => Ok(()),
        Some(_) => Err(OpenError::Changed { number }),
        None => {
            session.run(sql).await?;
            session
                .execute(
                    "INSERT INTO schema_migration (number, sha256, applied) VALUES ($1, $2, now())",
                    &[&number, &hash.as_ref()],
                )
                .await?;
            Ok(())
        }
    }
}
