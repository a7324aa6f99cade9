//! The engine as the store calls it, and the threads behind it.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::alert::{DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow};
use crate::change::Committed;
use crate::error::{CommitError, OpenError, Unavailable};
use crate::logs::{LogCheckpointRow, MergedRow};
use crate::metric::MetricSeriesRow;
use crate::news::{Changed, News};
use crate::queue::{GROUP, QUEUE, Waiting, Work, enqueue};
use crate::rows::{
    Age, AuditOrder, AuditQuery, AuditRow, Kind, ListQuery, OccurrenceQuery, OccurrenceRow, Resource,
    TokenRow,
};
use crate::settlement::Reader;
use crate::sqlite::connection::{self, Role};
use crate::sqlite::{alerts, logs, metrics, migrations, read, settle, writer};

/// Threads that answer questions: a long listing leaves the other one to the admissions.
const READERS: usize = 2;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// A handle to the threads; clones share them. When the last is dropped, they finish what waits and end.
#[derive(Clone)]
pub(crate) struct Engine {
    commits: mpsc::Sender<Waiting>,
    questions: mpsc::Sender<Question>,
}

impl Engine {
    /// Opens the database file, makes it if it is not there, and brings its schema up to date. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Engine, OpenError> {
        connection::prepare_file(path)?;
        let mut writer = connection::open_file(path, Role::Writer)?;
        migrations::migrate(&mut writer)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            readers.push(shared(connection::open_file(path, Role::Reader)?));
        }
        Engine::start(shared(writer), readers)
    }

    /// A store that lives in memory and ends with its last handle.
    pub(crate) fn open_in_memory() -> Result<Engine, OpenError> {
        let mut connection = connection::open_memory()?;
        migrations::migrate(&mut connection)?;
        // The database is the connection: the reader takes turns with the writer, between two groups.
        let connection = shared(connection);
        Engine::start(Arc::clone(&connection), vec![connection])
    }

    /// A store that takes work and never does it, for tests of those who wait for one.
    #[cfg(any(test, feature = "test-support"))]
    pub(crate) fn stalled() -> Engine {
        let (commits, waiting) = mpsc::channel(QUEUE);
        let (questions, asked) = mpsc::channel(QUEUE);
        // The other ends stay open as long as the process lives.
        std::mem::forget((waiting, asked));
        Engine { commits, questions }
    }

    /// A store whose threads have ended, for tests of those who are told so.
    #[cfg(any(test, feature = "test-support"))]
    pub(crate) fn closed() -> Engine {
        let (commits, _) = mpsc::channel(QUEUE);
        let (questions, _) = mpsc::channel(QUEUE);
        Engine { commits, questions }
    }

    fn start(writer: Shared, readers: Vec<Shared>) -> Result<Engine, OpenError> {
        let (commits, waiting) = mpsc::channel(QUEUE);
        spawn("store-writer", move || run_writer(&writer, waiting))?;
        let (questions, asked) = mpsc::channel(QUEUE);
        let asked = Arc::new(Mutex::new(asked));
        for reader in readers {
            let asked = Arc::clone(&asked);
            spawn("store-reader", move || run_reader(&reader, &asked))?;
        }
        Ok(Engine { commits, questions })
    }

    /// Writes, and answers when it is on disk.
    pub(crate) async fn write(&self, work: Work) -> Result<Committed, CommitError> {
        let (answer, written) = oneshot::channel();
        enqueue(&self.commits, Waiting { work, answer }).await?;
        written.await.map_err(|_| Unavailable::Closed)?
    }

    pub(crate) async fn cursor(&self, reader: Reader) -> Result<Option<String>, Unavailable> {
        self.ask(move |connection| settle::cursor(connection, reader))
            .await
    }

    pub(crate) async fn log_checkpoints(&self) -> Result<Vec<LogCheckpointRow>, Unavailable> {
        self.ask(logs::checkpoints).await
    }

    pub(crate) async fn log_checkpoint(&self, origin: &str) -> Result<Option<LogCheckpointRow>, Unavailable> {
        let origin = origin.to_owned();
        self.ask(move |connection| logs::checkpoint(connection, &origin))
            .await
    }

    pub(crate) async fn merged_checkpoint(&self) -> Result<Option<MergedRow>, Unavailable> {
        self.ask(logs::merged).await
    }

    pub(crate) async fn incident(&self, project: &str, id: &str) -> Result<Option<IncidentRow>, Unavailable> {
        let (project, id) = (project.to_owned(), id.to_owned());
        self.ask(move |connection| alerts::incident(connection, &project, &id))
            .await
    }

    pub(crate) async fn incidents(&self, query: &IncidentQuery) -> Result<Vec<IncidentRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| alerts::incidents(connection, &query))
            .await
    }

    pub(crate) async fn open_incidents(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<IncidentRow>, Unavailable> {
        let after = after.to_owned();
        self.ask(move |connection| alerts::open_incidents(connection, &after, limit))
            .await
    }

    pub(crate) async fn waiting_deliveries(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, Unavailable> {
        self.ask(move |connection| alerts::waiting(connection, after, limit))
            .await
    }

    pub(crate) async fn waiting_delivery(&self, id: &str) -> Result<Option<DeliveryRow>, Unavailable> {
        let id = id.to_owned();
        self.ask(move |connection| alerts::delivery(connection, &id))
            .await
    }

    pub(crate) async fn dead_letters(
        &self,
        query: &DeadLetterQuery,
    ) -> Result<Vec<DeliveryRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| alerts::dead_letters(connection, &query))
            .await
    }

    pub(crate) async fn resource(&self, kind: Kind, name: &str) -> Result<Option<Resource>, Unavailable> {
        let name = name.to_owned();
        self.ask(move |connection| read::resource(connection, kind, &name))
            .await
    }

    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Vec<Resource>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| read::list(connection, &query)).await
    }

    pub(crate) async fn occurrence(&self, name: &str) -> Result<Option<OccurrenceRow>, Unavailable> {
        let name = name.to_owned();
        self.ask(move |connection| read::occurrence(connection, &name))
            .await
    }

    pub(crate) async fn list_occurrences(
        &self,
        query: &OccurrenceQuery,
    ) -> Result<Vec<OccurrenceRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| read::list_occurrences(connection, &query))
            .await
    }

    pub(crate) async fn occurrences_of(
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

    pub(crate) async fn sealed_names(&self, after: &str, limit: u32) -> Result<Vec<String>, Unavailable> {
        let after = after.to_owned();
        self.ask(move |connection| read::sealed_names(connection, &after, limit))
            .await
    }

    pub(crate) async fn sealed_key(&self, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let name = name.to_owned();
        self.ask(move |connection| read::sealed_key(connection, &name))
            .await
    }

    pub(crate) async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, Unavailable> {
        let hash = *hash;
        self.ask(move |connection| read::token_by_hash(connection, &hash))
            .await
    }

    pub(crate) async fn list_tokens(&self) -> Result<Vec<TokenRow>, Unavailable> {
        self.ask(read::list_tokens).await
    }

    pub(crate) async fn audit_rows(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, Unavailable> {
        let query = query.clone();
        self.ask(move |connection| read::audit_rows(connection, &query))
            .await
    }

    /// Nobody else has the file: all of it is of calls to this server.
    pub(crate) async fn own_audit_rows(
        &self,
        beyond: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, Unavailable> {
        let order = AuditOrder::OldestFirst;
        self.audit_rows(&AuditQuery { order, beyond, limit }).await
    }

    /// What a revision changed is not kept: nobody else has the file.
    pub(crate) async fn news(&self, seen: i64) -> Result<News, Unavailable> {
        let revision = self.ask(read::revision).await?;
        let changed = if revision == seen {
            Changed::These(Vec::new())
        } else {
            Changed::Everything
        };
        Ok(News { revision, changed })
    }

    pub(crate) async fn counted_metrics(&self) -> Result<Vec<String>, Unavailable> {
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

    pub(crate) async fn metric_series(&self, metric: &str) -> Result<Vec<MetricSeriesRow>, Unavailable> {
        let metric = metric.to_owned();
        self.ask(move |connection| metrics::series(connection, &metric))
            .await
    }

    pub(crate) async fn metric_points(
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
        let store = Engine::open_in_memory().unwrap();
        for _ in 0..READERS + 1 {
            let answer: Result<(), Unavailable> = store.ask(|_| panic!("for the test")).await;
            assert!(matches!(answer, Err(Unavailable::Closed)), "{answer:?}");
        }
        assert_eq!(store.sealed_key("k").await.unwrap(), None);
    }
}
