//! One commit inside the writer's transaction: the changes in order, then the audit row.

use rusqlite::{Connection, OptionalExtension, params};

use crate::change::{ABSENT, Change, Commit, Committed, check_length, exactly_one};
use crate::error::CommitError;
use crate::rows::{AuditRow, Kind, MAX_AUDIT_DETAIL, MAX_DOCUMENT, NewResource, OccurrenceRow, TokenRow};
use crate::sqlite::alerts;

/// What every change of one commit shares.
#[derive(Clone, Copy)]
struct Stamp {
    revision: i64,
    time: i64,
}

/// Applies the commit. On an error the caller rolls the savepoint back: nothing here cleans up after itself.
pub(crate) fn commit(connection: &Connection, commit: &Commit) -> Result<Committed, CommitError> {
    check_length(&commit.audit.method, &commit.audit.detail, MAX_AUDIT_DETAIL)?;
    let revision = next_revision(connection)?;
    let stamp = Stamp {
        revision,
        time: commit.audit.time,
    };
    for change in &commit.changes {
        apply(connection, change, stamp)?;
    }
    let sequence = insert_audit(connection, &commit.audit)?;
    Ok(Committed { revision, sequence })
}

fn next_revision(connection: &Connection) -> Result<i64, CommitError> {
    let mut statement = connection
        .prepare_cached("UPDATE sequence SET revision = revision + 1 WHERE id = 1 RETURNING revision")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

fn apply(connection: &Connection, change: &Change, stamp: Stamp) -> Result<(), CommitError> {
    match change {
        Change::Insert(resource) => insert(connection, resource, stamp),
        Change::Replace {
            kind,
            name,
            document,
            expect,
        } => {
            let id = demand(connection, *kind, name, *expect)?;
            replace(connection, id, (name, document), stamp)
        }
        Change::Put { resource, expect } => put(connection, resource, *expect, stamp),
        Change::Delete { kind, name, expect } => {
            let id = demand(connection, *kind, name, *expect)?;
            delete(connection, id)
        }
        Change::Clear { kind, name } => match find(connection, *kind, name)? {
            Some((id, _)) => delete(connection, id),
            None => Ok(()),
        },
        Change::Require { kind, name, expect } => demand(connection, *kind, name, *expect).map(|_| ()),
        Change::InsertOccurrence(row) => insert_occurrence(connection, row),
        Change::ReplaceOccurrence(row) => replace_occurrence(connection, row),
        Change::DeleteOccurrence { name } => exactly_one(
            name,
            connection
                .prepare_cached("DELETE FROM occurrence WHERE name = ?1")?
                .execute([name])?,
        ),
        Change::PutSealedKey { name, sealed } => put_sealed_key(connection, name, sealed),
        Change::DeleteSealedKey { name } => exactly_one(
            name,
            connection
                .prepare_cached("DELETE FROM sealed_key WHERE name = ?1")?
                .execute([name])?,
        ),
        Change::RetryDeadLetter { project, id } => alerts::retry(connection, (project, id), stamp.time),
        Change::DeleteDeadLetter { project, id } => alerts::delete_dead_letter(connection, project, id),
        Change::PruneAudit { before, most } => {
            let mut statement = connection.prepare_cached(
                "DELETE FROM audit WHERE time < ?1 AND sequence < ?2 + (SELECT min(sequence) FROM audit)",
            )?;
            statement.execute(params![before, most])?;
            Ok(())
        }
        Change::InsertToken(row) => insert_token(connection, row),
        Change::RevokeToken { id } => {
            let mut statement = connection
                .prepare_cached("UPDATE token SET revoked = coalesce(revoked, ?2) WHERE id = ?1")?;
            exactly_one(id, statement.execute(params![id, stamp.time])?)
        }
    }
}

/// The row id and revision of a resource.
fn find(connection: &Connection, kind: Kind, name: &str) -> Result<Option<(i64, i64)>, CommitError> {
    let mut statement =
        connection.prepare_cached("SELECT id, revision FROM resource WHERE kind = ?1 AND name = ?2")?;
    Ok(statement
        .query_row([kind.as_str(), name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

/// The row id of a resource that must exist, with the revision the caller has read.
fn demand(connection: &Connection, kind: Kind, name: &str, expect: Option<i64>) -> Result<i64, CommitError> {
    let Some((id, revision)) = find(connection, kind, name)? else {
        return Err(CommitError::NotFound {
            name: name.to_owned(),
        });
    };
    if expect.is_some_and(|expected| expected != revision) {
        return Err(CommitError::Stale {
            name: name.to_owned(),
        });
    }
    Ok(id)
}

fn insert(connection: &Connection, resource: &NewResource, stamp: Stamp) -> Result<(), CommitError> {
    check_length(&resource.name, &resource.document, MAX_DOCUMENT)?;
    if find(connection, resource.kind, &resource.name)?.is_some() {
        return Err(CommitError::AlreadyExists {
            name: resource.name.clone(),
        });
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO resource (kind, name, parent, document, revision, created, updated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
    )?;
    let NewResource {
        kind,
        name,
        parent,
        document,
    } = resource;
    statement.execute(params![
        kind.as_str(),
        name,
        parent,
        document,
        stamp.revision,
        stamp.time
    ])?;
    Ok(())
}

fn replace(
    connection: &Connection,
    id: i64,
    (name, document): (&str, &str),
    stamp: Stamp,
) -> Result<(), CommitError> {
    check_length(name, document, MAX_DOCUMENT)?;
    let mut statement = connection
        .prepare_cached("UPDATE resource SET document = ?2, revision = ?3, updated = ?4 WHERE id = ?1")?;
    statement.execute(params![id, document, stamp.revision, stamp.time])?;
    Ok(())
}

fn put(
    connection: &Connection,
    resource: &NewResource,
    expect: Option<i64>,
    stamp: Stamp,
) -> Result<(), CommitError> {
    let found = find(connection, resource.kind, &resource.name)?;
    let revision = found.map_or(ABSENT, |(_, revision)| revision);
    if expect.is_some_and(|expected| expected != revision) {
        return Err(CommitError::Stale {
            name: resource.name.clone(),
        });
    }
    match found {
        Some((id, _)) => replace(connection, id, (&resource.name, &resource.document), stamp),
        None => insert(connection, resource, stamp),
    }
}

fn delete(connection: &Connection, id: i64) -> Result<(), CommitError> {
    connection
        .prepare_cached("DELETE FROM resource WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// The name of another occurrence that stands in the way of this one.
fn rival(connection: &Connection, row: &OccurrenceRow) -> Result<Option<String>, CommitError> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM occurrence WHERE fingerprint = ?1 AND name <> ?2")?;
    Ok(statement
        .query_row(params![row.fingerprint, row.name], |found| found.get(0))
        .optional()?)
}

fn occurrence_exists(connection: &Connection, name: &str) -> Result<bool, CommitError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM occurrence WHERE name = ?1")?
        .exists([name])?)
}

fn insert_occurrence(connection: &Connection, row: &OccurrenceRow) -> Result<(), CommitError> {
    check_length(&row.name, &row.document, MAX_DOCUMENT)?;
    if let Some(name) = rival(connection, row)? {
        return Err(CommitError::AlreadyExists { name });
    }
    if occurrence_exists(connection, &row.name)? {
        return Err(CommitError::AlreadyExists {
            name: row.name.clone(),
        });
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO occurrence
         (name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        row.name,
        row.project,
        row.note,
        row.digest,
        row.resource_uri,
        row.kind,
        row.document,
        row.fingerprint,
        row.created,
        row.updated
    ])?;
    Ok(())
}

fn replace_occurrence(connection: &Connection, row: &OccurrenceRow) -> Result<(), CommitError> {
    check_length(&row.name, &row.document, MAX_DOCUMENT)?;
    if !occurrence_exists(connection, &row.name)? {
        return Err(CommitError::NotFound {
            name: row.name.clone(),
        });
    }
    if let Some(name) = rival(connection, row)? {
        return Err(CommitError::AlreadyExists { name });
    }
    let mut statement = connection.prepare_cached(
        "UPDATE occurrence SET digest = ?2, resource_uri = ?3, document = ?4, fingerprint = ?5, updated = ?6
         WHERE name = ?1",
    )?;
    statement.execute(params![
        row.name,
        row.digest,
        row.resource_uri,
        row.document,
        row.fingerprint,
        row.updated
    ])?;
    Ok(())
}

fn put_sealed_key(connection: &Connection, name: &str, sealed: &[u8]) -> Result<(), CommitError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO sealed_key (name, sealed) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
    )?;
    statement.execute(params![name, sealed])?;
    Ok(())
}

fn insert_token(connection: &Connection, row: &TokenRow) -> Result<(), CommitError> {
    check_length(&row.id, &row.document, MAX_DOCUMENT)?;
    let taken = connection
        .prepare_cached("SELECT 1 FROM token WHERE id = ?1 OR hash = ?2")?
        .exists(params![row.id, row.hash])?;
    if taken {
        return Err(CommitError::AlreadyExists { name: row.id.clone() });
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO token (id, hash, principal, document, created, expires, revoked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        row.id,
        row.hash,
        row.principal,
        row.document,
        row.created,
        row.expires,
        row.revoked
    ])?;
    Ok(())
}

fn insert_audit(connection: &Connection, row: &AuditRow) -> Result<i64, CommitError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit (time, principal, method, resource, status_code, request_id, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    Ok(statement.insert(params![
        row.time,
        row.principal,
        row.method,
        row.resource,
        row.status_code,
        row.request_id,
        row.detail
    ])?)
}
