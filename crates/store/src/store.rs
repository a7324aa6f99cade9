//! The store as callers see it, and the threads behind it.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::alert::{DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow};
use crate::change::{Commit, Committed};
use crate::error::{CommitError, OpenError, Unavailable};
use crate::metric::MetricSeriesRow;
use crate::rows::{
    Age, AuditQuery, AuditRow, Kind, ListQuery, OccurrenceQuery, OccurrenceRow, Resource, TokenRow,
};
use crate::settlement::{Reader, Settlement};
use crate::sqlite::connection::{self, Role};
use crate::sqlite::writer::{GROUP, Waiting, Work};
use crate::sqlite::{alerts, metrics, migrations, read, settle, writer};

/// Threads that answer questions: a long listing leaves the other one to the admissions.
const READERS: usize = 2;
/// Waiting work. At about 3 000 single commits or 40 000 look-ups a second, a full queue is 0.3 s of work;
/// with documents of 1 KB it holds 1 MB.
const QUEUE: usize = 1024;
/// How long a caller waits for room in a full queue.
const PATIENCE: Duration = Duration::from_secs(5);

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// A handle to the store; clones share it. When the last is dropped, the threads finish what waits and end.
#[derive(Clone)]
pub struct Store {
    commits: mpsc::Sender<Waiting>,
    questions: mpsc::Sender<Question>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Store")
    }
}

impl Store {
    /// Opens the database file, makes it if it is not there, and brings its schema up to date. Blocks.
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        connection::prepare_file(path)?;
        let mut writer = connection::open_file(path, Role::Writer)?;
        migrations::migrate(&mut writer)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            readers.push(shared(connection::open_file(path, Role::Reader)?));
        }
        Store::start(shared(writer), readers)
    }

    /// A store that lives in memory and ends with its last handle.
    pub fn open_in_memory() -> Result<Store, OpenError> {
        let mut connection = connection::open_memory()?;
        migrations::migrate(&mut connection)?;
        // The database is the connection: the reader takes turns with the writer, between two groups.
        let connection = shared(connection);
        Store::start(Arc::clone(&connection), vec![connection])
    }

    /// A store that takes work and never does it, for tests of those who wait for one.
    #[cfg(any(test, feature = "test-support"))]
    pub fn stalled() -> Store {
        let (commits, waiting) = mpsc::channel(QUEUE);
        let (questions, asked) = mpsc::channel(QUEUE);
        // The other ends stay open as long as the process lives.
        std::mem::forget((waiting, asked));
        Store { commits, questions }
    }

    /// A store whose threads have ended, for tests of those who are told so.
    #[cfg(any(test, feature = "test-support"))]
    pub fn closed() -> Store {
        let (commits, _) = mpsc::channel(QUEUE);
        let (questions, _) = mpsc::channel(QUEUE);
        Store { commits, questions }
    }

    fn start(writer: Shared, readers: Vec<Shared>) -> Result<Store, OpenError> {
        let (commits, waiting) = mpsc::channel(QUEUE);
        spawn("store-writer", move || run_writer(&writer, waiting))?;
        let (questions, asked) = mpsc::channel(QUEUE);
        let asked = Arc::new(Mutex::new(asked));
        for reader in readers {
            let asked = Arc::clone(&asked);
            spawn("store-reader", move || run_reader(&reader, &asked))?;
        }
        Ok(Store { commits, questions })
    }

    /// Writes the audit row and all the changes, or nothing. Answers when they are on disk. If the caller stops
    /// waiting, the commit may still happen.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.write(Work::Commit(commit)).await
    }

    async fn write(&self, work: Work) -> Result<Committed, CommitError> {
        let (answer, written) = oneshot::channel();
        enqueue(&self.commits, Waiting { work, answer }).await?;
        written.await.map_err(|_| Unavailable::Closed)?
    }

    /// Writes what follows from the log, all of it or nothing, without an audit row: it is derived from what has one. Answers
    /// when it is on disk. If the caller stops waiting, it may still happen.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), CommitError> {
        self.write(Work::Settlement(settlement)).await.map(drop)
    }

    /// How far a reader has come in the log, as [`Settlement::cursor`] last said.
    pub async fn cursor(&self, reader: Reader) -> Result<Option<String>, Unavailable> {
        self.ask(move |connection| settle::cursor(connection, reader))
            .await
    }

    /// The incident of this project and id.
    pub async fn incident(&self, project: &str, id: &str) -> Result<Option<IncidentRow>, Unavailable> {
        let (project, id) = (project.to_owned(), id.to_owned());
        self.ask(move |connection| alerts::incident(connection, &project, &id))
            .await
    }

    /// Incidents of a project, the newest first.
    pub async fn incidents(&self, query: &IncidentQuery) -> Result<Vec<IncidentRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| alerts::incidents(connection, &query))
            .await
    }

    /// Incidents of all projects that go on, in the order of their ids, from the one after `after` on.
    pub async fn open_incidents(&self, after: &str, limit: u32) -> Result<Vec<IncidentRow>, Unavailable> {
        let after = after.to_owned();
        self.ask(move |connection| alerts::open_incidents(connection, &after, limit))
            .await
    }

    /// Deliveries that wait, without their documents, in the order in which they came up, from the one after `after` on.
    pub async fn waiting_deliveries(&self, after: i64, limit: u32) -> Result<Vec<DeliveryRow>, Unavailable> {
        self.ask(move |connection| alerts::waiting(connection, after, limit))
            .await
    }

    /// The delivery of this id, if it still waits.
    pub async fn waiting_delivery(&self, id: &str) -> Result<Option<DeliveryRow>, Unavailable> {
        let id = id.to_owned();
        self.ask(move |connection| alerts::delivery(connection, &id))
            .await
    }

    /// Dead letters of a project, the newest first.
    pub async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Vec<DeliveryRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| alerts::dead_letters(connection, &query))
            .await
    }

    /// The resource of this kind and name.
    pub async fn resource(&self, kind: Kind, name: &str) -> Result<Option<Resource>, Unavailable> {
        let name = name.to_owned();
        self.ask(move |connection| read::resource(connection, kind, &name))
            .await
    }

    /// Resources of one kind, in the order of their names.
    pub async fn list(&self, query: &ListQuery) -> Result<Vec<Resource>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| read::list(connection, &query)).await
    }

    /// The occurrence of this name.
    pub async fn occurrence(&self, name: &str) -> Result<Option<OccurrenceRow>, Unavailable> {
        let name = name.to_owned();
        self.ask(move |connection| read::occurrence(connection, &name))
            .await
    }

    /// Occurrences of a note or a project, in the order of their names.
    pub async fn list_occurrences(&self, query: &OccurrenceQuery) -> Result<Vec<OccurrenceRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| read::list_occurrences(connection, &query))
            .await
    }

    /// The occurrences attached to the note that speak of the digest, the newest first: the question of an admission.
    pub async fn occurrences_of(
        &self,
        note: &str,
        digest: &[u8; 32],
        older_than: Option<Age>,
        limit: u32,
    ) -> Result<Vec<OccurrenceRow>, Unavailable> {
        let (note, digest) = (note.to_owned(), *digest);
        self.ask(move |connection| {
            read::newest_occurrences(connection, &note, &digest, older_than.as_ref(), limit)
        })
        .await
    }

    /// The names under which something is kept sealed, in their order, from the one after `after` on.
    pub async fn sealed_names(&self, after: &str, limit: u32) -> Result<Vec<String>, Unavailable> {
        let after = after.to_owned();
        self.ask(move |connection| read::sealed_names(connection, &after, limit))
            .await
    }

    /// The sealed private key of a key version.
    pub async fn sealed_key(&self, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let name = name.to_owned();
        self.ask(move |connection| read::sealed_key(connection, &name))
            .await
    }

    /// The token whose SHA-256 this is, also when it has expired or was revoked.
    pub async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Unavailable> {
        let hash = *hash;
        self.ask(move |connection| read::token_by_hash(connection, &hash))
            .await
    }

    /// Every token, in the order of the ids; at most [`MAX_ROWS`](crate::MAX_ROWS).
    pub async fn list_tokens(&self) -> Result<Vec<TokenRow>, Unavailable> {
        self.ask(read::list_tokens).await
    }

    /// A part of the audit log.
    pub async fn audit_rows(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| read::audit_rows(connection, &query))
            .await
    }

    /// The metrics that have series, in the order of their names.
    pub async fn counted_metrics(&self) -> Result<Vec<String>, Unavailable> {
        let mut found: Vec<String> = Vec::new();
        loop {
            let after = found.last().cloned().unwrap_or_default();
            let next = self
                .ask(move |connection| metrics::metric_behind(connection, &after))
                .await?;
            match next {
                Some(next) => found.push(next),
                None => return Ok(found),
            }
        }
    }

    /// The series of a metric, in the order of their names; at most [`MAX_ROWS`](crate::MAX_ROWS).
    pub async fn metric_series(&self, metric: &str) -> Result<Vec<MetricSeriesRow>, Unavailable> {
        let metric = metric.to_owned();
        self.ask(move |connection| metrics::series(connection, &metric))
            .await
    }

    /// The minutes and values of a series from one minute to another, both included, in their order.
    pub async fn metric_points(
        &self,
        series: i64,
        minutes: (i64, i64),
        limit: u32,
    ) -> Result<Vec<(i64, String)>, Unavailable> {
        self.ask(move |connection| metrics::points(connection, series, minutes, limit))
            .await
    }

    async fn ask<T, F>(&self, question: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Question = Box::new(move |connection| {
            // Nobody waits any more: the work is not worth doing.
            if !answer.is_closed() {
                let _ = answer.send(question(connection));
            }
        });
        enqueue(&self.questions, job).await?;
        Ok(answered.await.map_err(|_| Unavailable::Closed)??)
    }
}

type Shared = Arc<Mutex<Connection>>;

fn shared(connection: Connection) -> Shared {
    Arc::new(Mutex::new(connection))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(OpenError::Thread)
}

async fn enqueue<T>(queue: &mpsc::Sender<T>, work: T) -> Result<(), Unavailable> {
    match tokio::time::timeout(PATIENCE, queue.reserve()).await {
        Ok(Ok(room)) => {
            room.send(work);
            Ok(())
        }
        Ok(Err(_)) => Err(Unavailable::Closed),
        Err(_) => Err(Unavailable::Busy {
            seconds: PATIENCE.as_secs(),
        }),
    }
}

fn run_writer(connection: &Shared, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = waiting.try_recv()
        {
            group.push(next);
        }
        // Poisoned means that earlier work panicked; its transaction was rolled back on the way out.
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        outlive(|| writer::write(&mut connection, group));
    }
}

fn run_reader(connection: &Shared, asked: &Mutex<mpsc::Receiver<Question>>) {
    loop {
        // The lock is held while waiting and released before the work: readers take turns at the queue.
        let question = asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(question) = question else { return };
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        outlive(|| question(&connection));
    }
}

/// A defect in one piece of work ends that piece, whose caller is told that the store is closed, and not the thread.
fn outlive(work: impl FnOnce()) {
    if panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("a panic in the store");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_question_and_not_the_store() {
        let store = Store::open_in_memory().unwrap();
        for _ in 0..READERS + 1 {
            let answer: Result<(), Unavailable> = store.ask(|_| panic!("for the test")).await;
            assert!(matches!(answer, Err(Unavailable::Closed)), "{answer:?}");
        }
        assert_eq!(store.sealed_key("k").await.unwrap(), None);
    }
}
