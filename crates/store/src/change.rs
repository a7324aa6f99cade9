//! What a caller asks the store to do, all of it or nothing.

use crate::error::CommitError;
use crate::rows::{AuditRow, Kind, NewResource, OccurrenceRow, TokenRow};

/// As an expected revision: the resource must not exist. Revisions start at 1.
pub const ABSENT: i64 = 0;

/// Changes and the audit row that reports them: one transaction.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The row that reports the changes. Its time is the time of the changes.
    pub audit: AuditRow,
    /// In order; the first that fails undoes all. May be empty: some calls are only reported.
    pub changes: Vec<Change>,
}

/// What a commit was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The revision of every resource that this commit wrote.
    pub revision: i64,
    /// The place of the audit row in the log.
    pub sequence: i64,
}

/// One change. `expect` is the revision the caller has read: another one is
/// [`CommitError::Stale`](crate::CommitError::Stale); `None` does not look.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new resource; fails when the name is taken.
    Insert(NewResource),
    /// A new document for an existing resource.
    Replace {
        /// The resource's kind.
        kind: Kind,
        /// The resource's name.
        name: String,
        /// The new document.
        document: String,
        /// The revision read before.
        expect: Option<i64>,
    },
    /// Insert or replace. `expect: Some(ABSENT)` demands that it does not exist yet.
    Put {
        /// The resource as it shall be.
        resource: NewResource,
        /// The revision read before.
        expect: Option<i64>,
    },
    /// Delete an existing resource.
    Delete {
        /// The resource's kind.
        kind: Kind,
        /// The resource's name.
        name: String,
        /// The revision read before.
        expect: Option<i64>,
    },
    /// Delete a resource if it exists.
    Clear {
        /// The resource's kind.
        kind: Kind,
        /// The resource's name.
        name: String,
    },
    /// Change nothing, but fail when the resource is gone (or has another revision) by the time of the commit.
    Require {
        /// The resource's kind.
        kind: Kind,
        /// The resource's name.
        name: String,
        /// The revision read before.
        expect: Option<i64>,
    },
    /// A new occurrence; fails when its name or its fingerprint is taken, and names the existing one.
    InsertOccurrence(OccurrenceRow),
    /// Another document, digest, resource and fingerprint for the occurrence of this name. Project, note and
    /// the time of creation stay.
    ReplaceOccurrence(OccurrenceRow),
    /// Delete an existing occurrence.
    DeleteOccurrence {
        /// The occurrence's name.
        name: String,
    },
    /// Keep a sealed private key, in place of an earlier one.
    PutSealedKey {
        /// The key version's full name.
        name: String,
        /// The sealed bytes.
        sealed: Vec<u8>,
    },
    /// Forget a sealed private key. The pages that held it are overwritten with zeros.
    DeleteSealedKey {
        /// The key version's full name.
        name: String,
    },
    /// A new token; fails when its id or its hash is taken.
    InsertToken(TokenRow),
    /// Send a dead letter again.
    RetryDeadLetter {
        /// The project it is of.
        project: String,
        /// The delivery's id.
        id: String,
    },
    /// Forget a dead letter.
    DeleteDeadLetter {
        /// The project it is of.
        project: String,
        /// The delivery's id.
        id: String,
    },
    /// Forget the oldest rows of the audit log, as many of them at the most.
    PruneAudit {
        /// Only rows from before this time, in microseconds.
        before: i64,
        /// How many.
        most: u32,
    },
    /// End a token. A second revocation keeps the first time.
    RevokeToken {
        /// The token's id.
        id: String,
    },
}

impl Change {
    /// The kind of the resource that it writes, if it writes one.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Change::Insert(resource) | Change::Put { resource, .. } => Some(resource.kind),
            Change::Replace { kind, .. } | Change::Delete { kind, .. } | Change::Clear { kind, .. } => {
                Some(*kind)
            }
            _ => None,
        }
    }
}

/// Refuses a document above the limit.
pub(crate) fn check_length(name: &str, document: &str, limit: usize) -> Result<(), CommitError> {
    let length = document.len();
    if length <= limit {
        return Ok(());
    }
    Err(CommitError::TooLarge {
        name: name.to_owned(),
        length,
        limit,
    })
}

/// Refuses to have changed nothing.
pub(crate) fn exactly_one<N: PartialEq + From<u8>>(name: &str, rows: N) -> Result<(), CommitError> {
    if rows == N::from(1) {
        Ok(())
    } else {
        Err(CommitError::NotFound {
            name: name.to_owned(),
        })
    }
}
