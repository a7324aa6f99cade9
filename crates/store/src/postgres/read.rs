//! Every question the store answers, one statement each.

use super::row;
use super::session::{Answer, Session};
use crate::rows::{
    Age, AuditOrder, AuditQuery, AuditRow, Kind, ListQuery, MAX_ROWS, OccurrenceQuery, OccurrenceRow,
    OccurrenceScope, Resource, TokenRow,
};

/// One resource.
pub(super) async fn resource(session: &Session, kind: Kind, name: &str) -> Answer<Option<Resource>> {
    let found = session
        .query_opt(
            "SELECT name, parent, document, revision, created, updated FROM resource WHERE kind = $1 AND name = $2",
            &[&kind.as_str().as_bytes(), &name.as_bytes()],
        )
        .await?;
    found.map(|found| row::resource(kind, &found)).transpose()
}

/// Resources of one kind in the order of their names.
pub(super) async fn list(session: &Session, query: &ListQuery) -> Answer<Vec<Resource>> {
    // No name is empty: '' is before all of them.
    let after = query.after.as_deref().unwrap_or_default().as_bytes();
    let (kind, parent) = (query.kind.as_str().as_bytes(), query.parent.as_bytes());
    let limit = bounded(query.limit);
    // Two statements and not one with `OR`: each walks its own index.
    let rows = if parent.is_empty() {
        let sql = "SELECT name, parent, document, revision, created, updated FROM resource
             WHERE kind = $1 AND name > $2 ORDER BY name LIMIT $3";
        session.query(sql, &[&kind, &after, &limit]).await?
    } else {
        let sql = "SELECT name, parent, document, revision, created, updated FROM resource
             WHERE kind = $1 AND parent = $2 AND name > $3 ORDER BY name LIMIT $4";
        session.query(sql, &[&kind, &parent, &after, &limit]).await?
    };
    rows.iter()
        .map(|found| row::resource(query.kind, found))
        .collect()
}

/// One occurrence.
pub(super) async fn occurrence(session: &Session, name: &str) -> Answer<Option<OccurrenceRow>> {
    let found = session
        .query_opt(
            "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
             FROM occurrence WHERE name = $1",
            &[&name.as_bytes()],
        )
        .await?;
    found.map(|found| row::occurrence(&found)).transpose()
}

/// Occurrences of a note or a project in the order of their names.
pub(super) async fn list_occurrences(
    session: &Session,
    query: &OccurrenceQuery,
) -> Answer<Vec<OccurrenceRow>> {
    let after = query.after.as_deref().unwrap_or_default().as_bytes();
    let limit = bounded(query.limit);
    let digest = query.digest.as_ref().map(|digest| digest.as_slice());
    let rows = match (&query.scope, digest) {
        (OccurrenceScope::Note(note), Some(digest)) => {
            let sql =
                "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
                 FROM occurrence WHERE note = $1 AND digest = $2 AND name > $3 ORDER BY name LIMIT $4";
            session
                .query(sql, &[&note.as_bytes(), &digest, &after, &limit])
                .await?
        }
        (OccurrenceScope::Note(note), None) => {
            let sql =
                "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
                 FROM occurrence WHERE note = $1 AND name > $2 ORDER BY name LIMIT $3";
            session.query(sql, &[&note.as_bytes(), &after, &limit]).await?
        }
        // First by the digest, whatever the planner thinks: a project may hold all the rows, a digest few.
        (OccurrenceScope::Project(project), Some(digest)) => {
            let sql = "WITH found AS MATERIALIZED (SELECT * FROM occurrence WHERE digest = $2)
                 SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
                 FROM found WHERE project = $1 AND name > $3 ORDER BY name LIMIT $4";
            session
                .query(sql, &[&project.as_bytes(), &digest, &after, &limit])
                .await?
        }
        (OccurrenceScope::Project(project), None) => {
            let sql =
                "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
                 FROM occurrence WHERE project = $1 AND name > $2 ORDER BY name LIMIT $3";
            session.query(sql, &[&project.as_bytes(), &after, &limit]).await?
        }
    };
    rows.iter().map(row::occurrence).collect()
}

/// Occurrences of a note that speak of a digest, the newest first.
pub(super) async fn newest_occurrences(
    session: &Session,
    (note, digest): (&str, &[u8; 32]),
    older_than: Option<&Age>,
    limit: u32,
) -> Answer<Vec<OccurrenceRow>> {
    // Nothing is created in the last microsecond there is.
    let (created, name) = older_than.map_or((i64::MAX, ""), |age| (age.created, age.name.as_str()));
    let rows = session
        .query(
            "SELECT name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated
             FROM occurrence WHERE digest = $1 AND note = $2 AND (created, name) < ($3, $4)
             ORDER BY created DESC, name DESC LIMIT $5",
            &[
                &digest.as_slice(),
                &note.as_bytes(),
                &created,
                &name.as_bytes(),
                &bounded(limit),
            ],
        )
        .await?;
    rows.iter().map(row::occurrence).collect()
}

/// Names of sealed keys, in their order.
pub(super) async fn sealed_names(session: &Session, after: &str, limit: u32) -> Answer<Vec<String>> {
    let rows = session
        .query(
            "SELECT name FROM sealed_key WHERE name > $1 ORDER BY name LIMIT $2",
            &[&after.as_bytes(), &bounded(limit)],
        )
        .await?;
    rows.iter().map(|row| row::text(row, 0)).collect()
}

/// A sealed private key.
pub(super) async fn sealed_key(session: &Session, name: &str) -> Answer<Option<Vec<u8>>> {
    let found = session
        .query_opt(
            "SELECT sealed FROM sealed_key WHERE name = $1",
            &[&name.as_bytes()],
        )
        .await?;
    found.map(|found| row::column(&found, 0)).transpose()
}

/// The token of this hash.
pub(super) async fn token_by_hash(session: &Session, hash: &[u8; 32]) -> Answer<Option<TokenRow>> {
    let found = session
        .query_opt(
            "SELECT id, hash, principal, document, created, expires, revoked FROM token WHERE hash = $1",
            &[&hash.as_slice()],
        )
        .await?;
    found.map(|found| row::token(&found)).transpose()
}

/// Every token in the order of the ids.
pub(super) async fn list_tokens(session: &Session) -> Answer<Vec<TokenRow>> {
    let rows = session
        .query(
            "SELECT id, hash, principal, document, created, expires, revoked FROM token ORDER BY id LIMIT $1",
            &[&i64::from(MAX_ROWS)],
        )
        .await?;
    rows.iter().map(row::token).collect()
}

/// A part of the audit log.
pub(super) async fn audit_rows(session: &Session, query: &AuditQuery) -> Answer<Vec<AuditRow>> {
    let (sql, start) = match query.order {
        AuditOrder::OldestFirst => (
            "SELECT sequence, time, principal, method, resource, status_code, request_id, detail
             FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            i64::MIN,
        ),
        AuditOrder::NewestFirst => (
            "SELECT sequence, time, principal, method, resource, status_code, request_id, detail
             FROM audit WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2",
            i64::MAX,
        ),
    };
    let beyond = query.beyond.unwrap_or(start);
    let rows = session.query(sql, &[&beyond, &bounded(query.limit)]).await?;
    rows.iter().map(row::audit).collect()
}

/// A part of the rows of calls that one server answered, oldest first.
pub(super) async fn audit_rows_of(
    session: &Session,
    server: &str,
    beyond: Option<i64>,
    limit: u32,
) -> Answer<Vec<AuditRow>> {
    let rows = session
        .query(
            "SELECT sequence, time, principal, method, resource, status_code, request_id, detail
             FROM audit WHERE server = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
            &[&server.as_bytes(), &beyond.unwrap_or(i64::MIN), &bounded(limit)],
        )
        .await?;
    rows.iter().map(row::audit).collect()
}

pub(super) fn bounded(limit: u32) -> i64 {
    limit.min(MAX_ROWS).into()
}
