//! The store as callers see it: one handle, whichever engine is behind it.

use std::path::Path;

use crate::alert::{DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow};
use crate::change::{Commit, Committed};
use crate::error::{CommitError, OpenError, Unavailable};
use crate::logs::{LogCheckpointRow, MergedRow};
use crate::metric::MetricSeriesRow;
use crate::news::News;
use crate::queue::Work;
use crate::rows::{
    Age, AuditQuery, AuditRow, Kind, ListQuery, OccurrenceQuery, OccurrenceRow, Resource, TokenRow,
};
use crate::settlement::{Lead, Reader, Settlement};
use crate::{postgres, sqlite};

/// A handle to the store; clones share it. When the last is dropped, what waits is finished and everything is closed.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
}

/// Each passes the whole acceptance suite. An enum and no trait object: both are known here, and an answer is not boxed.
#[derive(Clone)]
enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

/// Asks whichever engine it is. A question to a database across a network has a large state, which is kept apart: whoever may
/// have to ask, and mostly need not, would carry it about.
macro_rules! by_engine {
    ($store:ident, $engine:ident => $question:expr) => {
        match &$store.engine {
            Engine::Sqlite($engine) => $question.await,
            Engine::Postgres($engine) => Box::pin($question).await,
        }
    };
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Store")
    }
}

impl From<sqlite::Engine> for Store {
    fn from(engine: sqlite::Engine) -> Store {
        Store {
            engine: Engine::Sqlite(engine),
        }
    }
}

impl Store {
    /// Opens the database file, makes it if it is not there, and brings its schema up to date. Blocks.
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        sqlite::Engine::open(path).map(Store::from)
    }

    /// A store that lives in memory and ends with its last handle.
    pub fn open_in_memory() -> Result<Store, OpenError> {
        sqlite::Engine::open_in_memory().map(Store::from)
    }

    /// Connects to a PostgreSQL database, which other servers may use as well, and brings its schema up to date. `server` is
    /// what this one is known by, and no other. Needs a runtime, which also keeps the connections.
    pub async fn connect(address: &postgres::Address, server: &str) -> Result<Store, OpenError> {
        let engine = postgres::Engine::connect(address, server).await?;
        Ok(Store {
            engine: Engine::Postgres(engine),
        })
    }

    /// A store that takes work and never does it, for tests of those who wait for one.
    #[cfg(any(test, feature = "test-support"))]
    pub fn stalled() -> Store {
        sqlite::Engine::stalled().into()
    }

    /// A store whose threads have ended, for tests of those who are told so.
    #[cfg(any(test, feature = "test-support"))]
    pub fn closed() -> Store {
        sqlite::Engine::closed().into()
    }

    /// Writes the audit row and all the changes, or nothing. Answers when they are on disk. If the caller stops
    /// waiting, the commit may still happen.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        by_engine!(self, engine => engine.write(Work::Commit(commit)))
    }

    /// Writes what follows from the log, all of it or nothing, without an audit row: it is derived from what has one. Answers
    /// when it is on disk. If the caller stops waiting, it may still happen.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), CommitError> {
        by_engine!(self, engine => engine.write(Work::Settlement(settlement))).map(drop)
    }

    /// Whether other servers may write to it, too.
    pub fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// The right to do what only one of the servers does, while this one has it. It may have ended by the time it is used:
    /// what is written by it says so in its [`Settlement`].
    pub fn lead(&self) -> Option<Lead> {
        match &self.engine {
            Engine::Sqlite(_) => Some(Lead::ALONE),
            Engine::Postgres(engine) => engine.lead(),
        }
    }

    /// Comes back when another server may have committed something; what, is to be asked. It may also come back for
    /// nothing, and a cut connection may keep it from coming back at all: ask now and then without it. For one caller.
    pub async fn heard(&self) {
        match &self.engine {
            Engine::Sqlite(_) => std::future::pending().await,
            Engine::Postgres(engine) => engine.heard().await,
        }
    }

    /// What was committed beyond a revision, by whomever.
    pub async fn news(&self, seen: i64) -> Result<News, Unavailable> {
        by_engine!(self, engine => engine.news(seen))
    }

    /// How far a reader has come in the log of this server, as [`Settlement::cursor`] last said.
    pub async fn cursor(&self, reader: Reader) -> Result<Option<String>, Unavailable> {
        by_engine!(self, engine => engine.cursor(reader))
    }

    /// What the logs of all servers said last of themselves, the most recent first; at most [`MAX_ROWS`](crate::MAX_ROWS).
    pub async fn log_checkpoints(&self) -> Result<Vec<LogCheckpointRow>, Unavailable> {
        by_engine!(self, engine => engine.log_checkpoints())
    }

    /// What the log of this name said last of itself.
    pub async fn log_checkpoint(&self, origin: &str) -> Result<Option<LogCheckpointRow>, Unavailable> {
        by_engine!(self, engine => engine.log_checkpoint(origin))
    }

    /// The newest statement over all logs.
    pub async fn merged_checkpoint(&self) -> Result<Option<MergedRow>, Unavailable> {
        by_engine!(self, engine => engine.merged_checkpoint())
    }

    /// The incident of this project and id.
    pub async fn incident(&self, project: &str, id: &str) -> Result<Option<IncidentRow>, Unavailable> {
        by_engine!(self, engine => engine.incident(project, id))
    }

    /// Incidents of a project, the newest first.
    pub async fn incidents(&self, query: &IncidentQuery) -> Result<Vec<IncidentRow>, Unavailable> {
        by_engine!(self, engine => engine.incidents(query))
    }

    /// Incidents of all projects that this server found and that go on, in the order of their ids, from the one after `after` on.
    pub async fn open_incidents(&self, after: &str, limit: u32) -> Result<Vec<IncidentRow>, Unavailable> {
        by_engine!(self, engine => engine.open_incidents(after, limit))
    }

    /// Deliveries that wait, without their documents, in the order in which they came up, from the one after `after` on.
    pub async fn waiting_deliveries(&self, after: i64, limit: u32) -> Result<Vec<DeliveryRow>, Unavailable> {
        by_engine!(self, engine => engine.waiting_deliveries(after, limit))
    }

    /// The delivery of this id, if it still waits.
    pub async fn waiting_delivery(&self, id: &str) -> Result<Option<DeliveryRow>, Unavailable> {
        by_engine!(self, engine => engine.waiting_delivery(id))
    }

    /// Dead letters of a project, the newest first.
    pub async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Vec<DeliveryRow>, Unavailable> {
        by_engine!(self, engine => engine.dead_letters(query))
    }

    /// The resource of this kind and name.
    pub async fn resource(&self, kind: Kind, name: &str) -> Result<Option<Resource>, Unavailable> {
        by_engine!(self, engine => engine.resource(kind, name))
    }

    /// Resources of one kind, in the order of their names.
    pub async fn list(&self, query: &ListQuery) -> Result<Vec<Resource>, Unavailable> {
        by_engine!(self, engine => engine.list(query))
    }

    /// The occurrence of this name.
    pub async fn occurrence(&self, name: &str) -> Result<Option<OccurrenceRow>, Unavailable> {
        by_engine!(self, engine => engine.occurrence(name))
    }

    /// Occurrences of a note or a project, in the order of their names.
    pub async fn list_occurrences(&self, query: &OccurrenceQuery) -> Result<Vec<OccurrenceRow>, Unavailable> {
        by_engine!(self, engine => engine.list_occurrences(query))
    }

    /// The occurrences attached to the note that speak of the digest, the newest first: the question of an admission.
    pub async fn occurrences_of(
        &self,
        note: &str,
        digest: &[u8; 32],
        older_than: Option<Age>,
        limit: u32,
    ) -> Result<Vec<OccurrenceRow>, Unavailable> {
        by_engine!(self, engine => engine.occurrences_of(note, digest, older_than, limit))
    }

    /// The names under which something is kept sealed, in their order, from the one after `after` on.
    pub async fn sealed_names(&self, after: &str, limit: u32) -> Result<Vec<String>, Unavailable> {
        by_engine!(self, engine => engine.sealed_names(after, limit))
    }

    /// The sealed private key of a key version.
    pub async fn sealed_key(&self, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        by_engine!(self, engine => engine.sealed_key(name))
    }

    /// The token whose SHA-256 this is, also when it has expired or was revoked.
    pub async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Unavailable> {
        by_engine!(self, engine => engine.token_by_hash(hash))
    }

    /// Every token, in the order of the ids; at most [`MAX_ROWS`](crate::MAX_ROWS).
    pub async fn list_tokens(&self) -> Result<Vec<TokenRow>, Unavailable> {
        by_engine!(self, engine => engine.list_tokens())
    }

    /// A part of the audit log.
    pub async fn audit_rows(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, Unavailable> {
        by_engine!(self, engine => engine.audit_rows(query))
    }

    /// The part of the audit log beyond a place that is of calls to this server, as it was written.
    pub async fn own_audit_rows(
        &self,
        beyond: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, Unavailable> {
        by_engine!(self, engine => engine.own_audit_rows(beyond, limit))
    }

    /// The metrics that have series, in the order of their names.
    pub async fn counted_metrics(&self) -> Result<Vec<String>, Unavailable> {
        by_engine!(self, engine => engine.counted_metrics())
    }

    /// The series of a metric, in the order of their names; at most [`MAX_ROWS`](crate::MAX_ROWS).
    pub async fn metric_series(&self, metric: &str) -> Result<Vec<MetricSeriesRow>, Unavailable> {
        by_engine!(self, engine => engine.metric_series(metric))
    }

    /// The minutes and values of a series from one minute to another, both included, in their order.
    pub async fn metric_points(
        &self,
        series: i64,
        minutes: (i64, i64),
        limit: u32,
    ) -> Result<Vec<(i64, String)>, Unavailable> {
        by_engine!(self, engine => engine.metric_points(series, minutes, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An admission that knows everything carries the questions it does not ask: their state has to be small. A build for
    /// tests lays it out with less care than a release, and takes some 560 bytes.
    #[tokio::test]
    async fn a_question_that_is_not_asked_weighs_little() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store.db")).unwrap();
        let question = store.resource(Kind::Policy, "projects/p/policy");
        assert!(size_of_val(&question) <= 640, "{}", size_of_val(&question));
        let question = store.occurrences_of("projects/p/notes/n", &[0; 32], None, 1);
        assert!(size_of_val(&question) <= 640, "{}", size_of_val(&question));
    }
}
