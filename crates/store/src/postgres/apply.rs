//! One commit inside the writer's transaction: the changes in order, then the audit row.
//!
//! The writer holds the row of counters, so nobody else writes meanwhile: what a statement reads is still so when the next
//! one writes.

use super::alerts;
use super::news::Telling;
use super::row::{bytes_32, column, text};
use super::session::{Answer, Session};
use super::writer::Counters;
use crate::change::{ABSENT, Change, Commit, Committed, check_length, exactly_one};
use crate::error::CommitError;
use crate::rows::{AuditRow, Kind, MAX_AUDIT_DETAIL, MAX_DOCUMENT, NewResource, OccurrenceRow, TokenRow};

/// What every change of one commit shares.
struct Applying<'a> {
    session: &'a Session,
    revision: i64,
    time: i64,
    telling: Telling,
}

/// Applies the commit. On an error the caller rolls the savepoint back: nothing here cleans up after itself.
pub(super) async fn commit(
    (session, server): (&Session, &str),
    commit: &Commit,
    counters: &mut Counters,
) -> Result<Committed, CommitError> {
    check_length(&commit.audit.method, &commit.audit.detail, MAX_AUDIT_DETAIL)?;
    counters.revision += 1;
    counters.audit += 1;
    let mut applying = Applying {
        session,
        revision: counters.revision,
        time: commit.audit.time,
        telling: Telling::default(),
    };
    for change in &commit.changes {
        applying.apply(change).await?;
    }
    // One behind the other, without waiting in between.
    tokio::try_join!(
        biased;
        insert_audit((session, server), counters.audit, &commit.audit),
        applying.telling.write(session, counters.revision)
    )?;
    Ok(Committed {
        revision: counters.revision,
        sequence: counters.audit,
    })
}

impl Applying<'_> {
    async fn apply(&mut self, change: &Change) -> Result<(), CommitError> {
        if let Some(kind) = change.kind() {
            self.telling.kind(kind);
        }
        match change {
            Change::Insert(resource) => self.insert(resource).await,
            Change::Replace {
                kind,
                name,
                document,
                expect,
            } => {
                self.demand(*kind, name, *expect).await?;
                self.replace(*kind, name, document).await
            }
            Change::Put { resource, expect } => self.put(resource, *expect).await,
            Change::Delete { kind, name, expect } => {
                self.demand(*kind, name, *expect).await?;
                self.delete(*kind, name).await
            }
            Change::Clear { kind, name } => self.delete(*kind, name).await,
            Change::Require { kind, name, expect } => self.demand(*kind, name, *expect).await,
            Change::InsertOccurrence(row) => self.insert_occurrence(row).await,
            Change::ReplaceOccurrence(row) => self.replace_occurrence(row).await,
            Change::DeleteOccurrence { name } => self.delete_occurrence(name).await,
            Change::PutSealedKey { name, sealed } => self.put_sealed_key(name, sealed).await,
            Change::DeleteSealedKey { name } => {
                let sql = "DELETE FROM sealed_key WHERE name = $1";
                exactly_one(name, self.session.execute(sql, &[&name.as_bytes()]).await?)
            }
            Change::RetryDeadLetter { project, id } => {
                alerts::retry(self.session, (project, id), self.time).await
            }
            Change::DeleteDeadLetter { project, id } => {
                alerts::delete_dead_letter(self.session, project, id).await
            }
            Change::PruneAudit { before, most } => {
                let sql =
                    "DELETE FROM audit WHERE time < $1 AND sequence < $2 + (SELECT min(sequence) FROM audit)";
                self.session.execute(sql, &[before, &i64::from(*most)]).await?;
                Ok(())
            }
            Change::InsertToken(row) => self.insert_token(row).await,
            Change::RevokeToken { id } => {
                let sql = "UPDATE token SET revoked = coalesce(revoked, $2) WHERE id = $1";
                let rows = self.session.execute(sql, &[&id.as_bytes(), &self.time]).await?;
                exactly_one(id, rows)
            }
        }
    }

    async fn find(&self, kind: Kind, name: &str) -> Answer<Option<i64>> {
        let row = self
            .session
            .query_opt(
                "SELECT revision FROM resource WHERE kind = $1 AND name = $2",
                &[&kind.as_str().as_bytes(), &name.as_bytes()],
            )
            .await?;
        row.map(|row| column(&row, 0)).transpose()
    }

    /// A resource must exist, with the revision the caller has read.
    async fn demand(&self, kind: Kind, name: &str, expect: Option<i64>) -> Result<(), CommitError> {
        let Some(revision) = self.find(kind, name).await? else {
            return Err(missing(name));
        };
        if expect.is_some_and(|expected| expected != revision) {
            return Err(CommitError::Stale {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    async fn insert(&self, resource: &NewResource) -> Result<(), CommitError> {
        check_length(&resource.name, &resource.document, MAX_DOCUMENT)?;
        let rows = self
            .session
            .execute(
                "INSERT INTO resource (kind, name, parent, document, revision, created, updated)
                 VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING",
                &[
                    &resource.kind.as_str().as_bytes(),
                    &resource.name.as_bytes(),
                    &resource.parent.as_bytes(),
                    &resource.document.as_bytes(),
                    &self.revision,
                    &self.time,
                ],
            )
            .await?;
        if rows == 1 {
            Ok(())
        } else {
            Err(taken(&resource.name))
        }
    }

    async fn replace(&self, kind: Kind, name: &str, document: &str) -> Result<(), CommitError> {
        check_length(name, document, MAX_DOCUMENT)?;
        let rows = self
            .session
            .execute(
                "UPDATE resource SET document = $3, revision = $4, updated = $5 WHERE kind = $1 AND name = $2",
                &[
                    &kind.as_str().as_bytes(),
                    &name.as_bytes(),
                    &document.as_bytes(),
                    &self.revision,
                    &self.time,
                ],
            )
            .await?;
        exactly_one(name, rows)
    }

    async fn put(&self, resource: &NewResource, expect: Option<i64>) -> Result<(), CommitError> {
        let found = self.find(resource.kind, &resource.name).await?;
        if expect.is_some_and(|expected| expected != found.unwrap_or(ABSENT)) {
            return Err(CommitError::Stale {
                name: resource.name.clone(),
            });
        }
        match found {
            Some(_) => {
                self.replace(resource.kind, &resource.name, &resource.document)
                    .await
            }
            None => self.insert(resource).await,
        }
    }

    async fn delete(&self, kind: Kind, name: &str) -> Result<(), CommitError> {
        let sql = "DELETE FROM resource WHERE kind = $1 AND name = $2";
        self.session
            .execute(sql, &[&kind.as_str().as_bytes(), &name.as_bytes()])
            .await?;
        Ok(())
    }

    /// The name of another occurrence that stands in the way of this one.
    async fn rival(&self, row: &OccurrenceRow) -> Answer<Option<String>> {
        let found = self
            .session
            .query_opt(
                "SELECT name FROM occurrence WHERE fingerprint = $1 AND name <> $2",
                &[&row.fingerprint.as_slice(), &row.name.as_bytes()],
            )
            .await?;
        found.map(|found| text(&found, 0)).transpose()
    }

    async fn insert_occurrence(&mut self, row: &OccurrenceRow) -> Result<(), CommitError> {
        check_length(&row.name, &row.document, MAX_DOCUMENT)?;
        let digest = row.digest.as_ref().map(|digest| digest.as_slice());
        let rows = self
            .session
            .execute(
                "INSERT INTO occurrence
                 (name, project, note, digest, resource_uri, kind, document, fingerprint, created, updated)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
                &[
                    &row.name.as_bytes(),
                    &row.project.as_bytes(),
                    &row.note.as_bytes(),
                    &digest,
                    &row.resource_uri.as_bytes(),
                    &row.kind.as_bytes(),
                    &row.document.as_bytes(),
                    &row.fingerprint.as_slice(),
                    &row.created,
                    &row.updated,
                ],
            )
            .await?;
        if rows == 0 {
            let rival = self.rival(row).await?;
            return Err(taken(rival.as_ref().unwrap_or(&row.name)));
        }
        self.telling.occurrence(&row.note, row.digest);
        Ok(())
    }

    async fn replace_occurrence(&mut self, row: &OccurrenceRow) -> Result<(), CommitError> {
        check_length(&row.name, &row.document, MAX_DOCUMENT)?;
        let sql = "SELECT note, digest FROM occurrence WHERE name = $1";
        let Some(before) = self.session.query_opt(sql, &[&row.name.as_bytes()]).await? else {
            return Err(missing(&row.name));
        };
        if let Some(name) = self.rival(row).await? {
            return Err(taken(&name));
        }
        let digest = row.digest.as_ref().map(|digest| digest.as_slice());
        self.session
            .execute(
                "UPDATE occurrence SET digest = $2, resource_uri = $3, document = $4, fingerprint = $5, updated = $6
                 WHERE name = $1",
                &[
                    &row.name.as_bytes(),
                    &digest,
                    &row.resource_uri.as_bytes(),
                    &row.document.as_bytes(),
                    &row.fingerprint.as_slice(),
                    &row.updated,
                ],
            )
            .await?;
        let note = text(&before, 0)?;
        self.telling.occurrence(&note, digest_of(&before)?);
        self.telling.occurrence(&note, row.digest);
        Ok(())
    }

    async fn delete_occurrence(&mut self, name: &str) -> Result<(), CommitError> {
        let sql = "DELETE FROM occurrence WHERE name = $1 RETURNING note, digest";
        let Some(before) = self.session.query_opt(sql, &[&name.as_bytes()]).await? else {
            return Err(missing(name));
        };
        self.telling.occurrence(&text(&before, 0)?, digest_of(&before)?);
        Ok(())
    }

    async fn put_sealed_key(&self, name: &str, sealed: &[u8]) -> Result<(), CommitError> {
        let sql = "INSERT INTO sealed_key (name, sealed) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed";
        self.session.execute(sql, &[&name.as_bytes(), &sealed]).await?;
        Ok(())
    }

    async fn insert_token(&self, row: &TokenRow) -> Result<(), CommitError> {
        check_length(&row.id, &row.document, MAX_DOCUMENT)?;
        let rows = self
            .session
            .execute(
                "INSERT INTO token (id, hash, principal, document, created, expires, revoked)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                &[
                    &row.id.as_bytes(),
                    &row.hash.as_slice(),
                    &row.principal.as_bytes(),
                    &row.document.as_bytes(),
                    &row.created,
                    &row.expires,
                    &row.revoked,
                ],
            )
            .await?;
        if rows == 1 { Ok(()) } else { Err(taken(&row.id)) }
    }
}

/// The second column of a row, which is a digest or nothing.
fn digest_of(row: &tokio_postgres::Row) -> Answer<Option<[u8; 32]>> {
    let digest: Option<&[u8]> = column(row, 1)?;
    digest.map(|_| bytes_32(row, 1)).transpose()
}

fn taken(name: &str) -> CommitError {
    CommitError::AlreadyExists {
        name: name.to_owned(),
    }
}

fn missing(name: &str) -> CommitError {
    CommitError::NotFound {
        name: name.to_owned(),
    }
}

async fn insert_audit((session, server): (&Session, &str), sequence: i64, row: &AuditRow) -> Answer<()> {
    session
        .execute(
            "INSERT INTO audit (sequence, time, principal, method, resource, status_code, request_id, detail, server)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                &sequence,
                &row.time,
                &row.principal.as_bytes(),
                &row.method.as_bytes(),
                &row.resource.as_bytes(),
                &row.status_code,
                &row.request_id.as_bytes(),
                &row.detail.as_bytes(),
                &server.as_bytes(),
            ],
        )
        .await
        .map(drop)
}
