//! Columns read back.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::session::Answer;
use crate::error::{PostgresError, Unavailable};
use crate::rows::Resource;
use crate::rows::{AuditRow, Kind, OccurrenceRow, TokenRow};

/// One column.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Answer<T> {
    row.try_get(index)
        .map_err(|error| Unavailable::Postgres(std::sync::Arc::new(PostgresError(error))))
}

/// Text, which is kept as bytes.
pub(super) fn text(row: &Row, index: usize) -> Answer<String> {
    let bytes: &[u8] = column(row, index)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| damaged(row, index))
}

/// A digest.
pub(super) fn bytes_32(row: &Row, index: usize) -> Answer<[u8; 32]> {
    let bytes: &[u8] = column(row, index)?;
    bytes.try_into().map_err(|_| damaged(row, index))
}

/// A number that is not negative.
pub(super) fn count(row: &Row, index: usize) -> Answer<u32> {
    let number: i64 = column(row, index)?;
    u32::try_from(number).map_err(|_| damaged(row, index))
}

fn damaged(row: &Row, index: usize) -> Unavailable {
    let name = row.columns().get(index).map_or("?", tokio_postgres::Column::name);
    Unavailable::Damaged {
        column: name.to_owned(),
    }
}

pub(super) fn resource(kind: Kind, row: &Row) -> Answer<Resource> {
    Ok(Resource {
        kind,
        name: text(row, 0)?,
        parent: text(row, 1)?,
        document: text(row, 2)?,
        revision: column(row, 3)?,
        created: column(row, 4)?,
        updated: column(row, 5)?,
    })
}

pub(super) fn occurrence(row: &Row) -> Answer<OccurrenceRow> {
    let digest: Option<&[u8]> = column(row, 3)?;
    Ok(OccurrenceRow {
        name: text(row, 0)?,
        project: text(row, 1)?,
        note: text(row, 2)?,
        digest: digest.map(|_| bytes_32(row, 3)).transpose()?,
        resource_uri: text(row, 4)?,
        kind: text(row, 5)?,
        document: text(row, 6)?,
        fingerprint: bytes_32(row, 7)?,
        created: column(row, 8)?,
        updated: column(row, 9)?,
    })
}

pub(super) fn token(row: &Row) -> Answer<TokenRow> {
    Ok(TokenRow {
        id: text(row, 0)?,
        hash: bytes_32(row, 1)?,
        principal: text(row, 2)?,
        document: text(row, 3)?,
        created: column(row, 4)?,
        expires: column(row, 5)?,
        revoked: column(row, 6)?,
    })
}

pub(super) fn audit(row: &Row) -> Answer<AuditRow> {
    Ok(AuditRow {
        sequence: column(row, 0)?,
        time: column(row, 1)?,
        principal: text(row, 2)?,
        method: text(row, 3)?,
        resource: text(row, 4)?,
        status_code: column(row, 5)?,
        request_id: text(row, 6)?,
        detail: text(row, 7)?,
    })
}
