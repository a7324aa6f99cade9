//! Every question the store answers, one statement each.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::rows::{
    Age, AuditOrder, AuditQuery, AuditRow, Kind, ListQuery, MAX_ROWS, OccurrenceQuery, OccurrenceRow,
    OccurrenceScope, Resource, TokenRow,
};

type Answer<T> = Result<T, rusqlite::Error>;

/// One resource.
pub(crate) fn resource(connection: &Connection, kind: Kind, name: &str) -> Answer<Option<Resource>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, parent, document, revision, created, updated FROM resource WHERE kind = ?1 AND name = ?2",
    )?;
    statement
        .query_row([kind.as_str(), name], |row| resource_row(kind, row))
        .optional()
}

/// Resources of one kind in the order of their names.
pub(crate) fn list(connection: &Connection, query: &ListQuery) -> Answer<Vec<Resource>> {
    let ListQuery {
        kind,
        parent,
        after,
        limit,
    } = query;
    // Two statements and not one with `OR`: each walks its own index.
    let mut statement = connection.prepare_cached(if parent.is_empty() {
        "SELECT name, parent, document, revision, created, updated FROM resource
         WHERE kind = ?1 AND ?2 = '' AND name > ?3 ORDER BY name LIMIT ?4"
    } else {
        "SELECT name, parent, document, revision, created, updated FROM resource
         WHERE kind = ?1 AND parent = ?2 AND name > ?3 ORDER BY name LIMIT ?4"
    })?;
    // No name is empty: '' is before all of them.
    let after = after.as_deref().unwrap_or_default();
    let rows = statement.query_map(params![kind.as_str(), parent, after, bounded(*limit)], |row| {
        resource_row(*kind, row)
    })?;
    rows.collect()
}

/// One occurrence.
pub(crate) fn occurrence(connection: &Connection, name: &str) -> Answer<Option<OccurrenceRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
         FROM occurrence WHERE name = ?1",
    )?;
    statement.query_row([name], occurrence_row).optional()
}

/// Occurrences of a note or a project in the order of their names.
pub(crate) fn list_occurrences(
    connection: &Connection,
    query: &OccurrenceQuery,
) -> Answer<Vec<OccurrenceRow>> {
    let (sql, scope) = match (&query.scope, query.digest.is_some()) {
        (OccurrenceScope::Note(note), true) => (
            "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
             FROM occurrence WHERE note = ?1 AND digest = ?2 AND name > ?3 ORDER BY name LIMIT ?4",
            note,
        ),
        (OccurrenceScope::Note(note), false) => (
            "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
             FROM occurrence WHERE note = ?1 AND ?2 IS NULL AND name > ?3 ORDER BY name LIMIT ?4",
            note,
        ),
        // The unary plus keeps the planner on the index of digests: a project may hold all the rows, a digest few.
        (OccurrenceScope::Project(project), true) => (
            "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
             FROM occurrence WHERE +project = ?1 AND digest = ?2 AND +name > ?3 ORDER BY name LIMIT ?4",
            project,
        ),
        (OccurrenceScope::Project(project), false) => (
            "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
             FROM occurrence WHERE project = ?1 AND ?2 IS NULL AND name > ?3 ORDER BY name LIMIT ?4",
            project,
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let after = query.after.as_deref().unwrap_or_default();
    let rows = statement.query_map(
        params![scope, query.digest, after, bounded(query.limit)],
        occurrence_row,
    )?;
    rows.collect()
}

/// Occurrences of a note that speak of a digest, the newest first.
pub(crate) fn newest_occurrences(
    connection: &Connection,
    note: &str,
    digest: &[u8; 32],
    older_than: Option<&Age>,
    limit: u32,
) -> Answer<Vec<OccurrenceRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
         FROM occurrence WHERE digest = ?1 AND note = ?2 AND (created, name) < (?3, ?4)
         ORDER BY created DESC, name DESC LIMIT ?5",
    )?;
    // Nothing is created in the last microsecond there is.
    let (created, name) = older_than.map_or((i64::MAX, ""), |age| (age.created, age.name.as_str()));
    let rows = statement.query_map(
        params![digest, note, created, name, bounded(limit)],
        occurrence_row,
    )?;
    rows.collect()
}

/// Names of sealed keys, in their order.
pub(crate) fn sealed_names(connection: &Connection, after: &str, limit: u32) -> Answer<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM sealed_key WHERE name > ?1 ORDER BY name LIMIT ?2")?;
    statement
        .query_map(params![after, bounded(limit)], |row| row.get(0))?
        .collect()
}

/// A sealed private key.
pub(crate) fn sealed_key(connection: &Connection, name: &str) -> Answer<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT sealed FROM sealed_key WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

/// The token of this hash.
pub(crate) fn token_by_hash(connection: &Connection, hash: &[u8; 32]) -> Answer<Option<TokenRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, hash, principal, document, created, expires, revoked FROM token WHERE hash = ?1",
    )?;
    statement.query_row([hash], token_row).optional()
}

/// Every token in the order of the ids.
pub(crate) fn list_tokens(connection: &Connection) -> Answer<Vec<TokenRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, hash, principal, document, created, expires, revoked FROM token ORDER BY id LIMIT ?1",
    )?;
    let rows = statement.query_map([MAX_ROWS], token_row)?;
    rows.collect()
}

/// A part of the audit log.
pub(crate) fn audit_rows(connection: &Connection, query: &AuditQuery) -> Answer<Vec<AuditRow>> {
    let (sql, start) = match query.order {
        AuditOrder::OldestFirst => (
            "SELECT sequence, time, principal, method, resource, status_code, request_id, detail
             FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            i64::MIN,
        ),
        AuditOrder::NewestFirst => (
            "SELECT sequence, time, principal, method, resource, status_code, request_id, detail
             FROM audit WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2",
            i64::MAX,
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([query.beyond.unwrap_or(start), bounded(query.limit)], audit_row)?;
    rows.collect()
}

/// The revision of the last commit.
pub(crate) fn revision(connection: &Connection) -> Answer<i64> {
    connection
        .prepare_cached("SELECT revision FROM sequence WHERE id = 1")?
        .query_row([], |row| row.get(0))
}

fn bounded(limit: u32) -> i64 {
    limit.min(MAX_ROWS).into()
}

fn resource_row(kind: Kind, row: &Row<'_>) -> Answer<Resource> {
    Ok(Resource {
        kind,
        name: row.get(0)?,
        parent: row.get(1)?,
        document: row.get(2)?,
        revision: row.get(3)?,
        created: row.get(4)?,
        updated: row.get(5)?,
    })
}

fn occurrence_row(row: &Row<'_>) -> Answer<OccurrenceRow> {
    Ok(OccurrenceRow {
        name: row.get(0)?,
        project: row.get(1)?,
        note: row.get(2)?,
        digest: row.get(3)?,
        resource_uri: row.get(4)?,
        kind: row.get(5)?,
        document: row.get(6)?,
        fingerprint: row.get(7)?,
        created: row.get(8)?,
        updated: row.get(9)?,
    })
}

fn token_row(row: &Row<'_>) -> Answer<TokenRow> {
    Ok(TokenRow {
        id: row.get(0)?,
        hash: row.get(1)?,
        principal: row.get(2)?,
        document: row.get(3)?,
        created: row.get(4)?,
        expires: row.get(5)?,
        revoked: row.get(6)?,
    })
}

fn audit_row(row: &Row<'_>) -> Answer<AuditRow> {
    Ok(AuditRow {
        sequence: row.get(0)?,
        time: row.get(1)?,
        principal: row.get(2)?,
        method: row.get(3)?,
        resource: row.get(4)?,
        status_code: row.get(5)?,
        request_id: row.get(6)?,
        detail: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::sqlite::{connection, migrations};

    fn plan(sql: &str) -> String {
        let mut connection = connection::open_memory().unwrap();
        migrations::migrate(&mut connection).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = statement.parameter_count();
        let nulls = vec![rusqlite::types::Null; parameters];
        let steps = statement
            .query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3))
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        steps.join("; ")
    }

    /// Every statement that reads, cut from the source, must walk an index: none may scan a table.
    #[test]
    fn no_statement_scans_a_table() {
        let source = include_str!("read.rs").split("#[cfg(test)]").next().unwrap();
        let others = [
            include_str!("alerts.rs"),
            include_str!("metrics.rs"),
            include_str!("settle.rs"),
        ];
        let cut = |source: &'static str| {
            source.split('"').filter(|piece| {
                let reads = ["SELECT", "DELETE", "UPDATE"]
                    .iter()
                    .any(|verb| piece.starts_with(verb));
                reads && piece.contains("WHERE")
            })
        };
        let statements: Vec<&str> = cut(source).chain(others.into_iter().flat_map(cut)).collect();
        assert_eq!(statements.len(), 42);
        for sql in statements {
            let plan = plan(sql);
            assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{sql}\n{plan}");
        }
    }

    #[test]
    fn the_question_of_an_admission_needs_no_sorting() {
        let source = include_str!("read.rs");
        let sql = source
            .split('"')
            .find(|piece| piece.contains("ORDER BY created DESC"))
            .unwrap();
        assert!(
            plan(sql).contains("occurrence_by_age (digest=? AND note=? AND (created,name)<(?,?))"),
            "{}",
            plan(sql)
        );
        assert!(!plan(sql).contains("TEMP B-TREE"), "{}", plan(sql));
    }
}
