//! The engine as the store calls it.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::listener::Listener;
use super::readers::Readers;
use super::session::{Answer, Session};
use super::writer::{self, Writer};
use super::{Address, alerts, logs, metrics, migrations, news, read, settle};
use crate::alert::{DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow};
use crate::change::Committed;
use crate::error::{CommitError, OpenError, Unavailable};
use crate::logs::{LogCheckpointRow, MergedRow};
use crate::metric::MetricSeriesRow;
use crate::news::News;
use crate::queue::{QUEUE, Waiting, Work, enqueue};
use crate::rows::{
    Age, AuditQuery, AuditRow, Kind, ListQuery, OccurrenceQuery, OccurrenceRow, Resource, TokenRow,
};
use crate::settlement::{Lead, Reader};

/// A handle to the connections; clones share them. When the last is dropped, what waits to be written is finished.
#[derive(Clone)]
pub(crate) struct Engine {
    commits: mpsc::Sender<Waiting>,
    readers: Arc<Readers>,
    listener: Arc<Listener>,
    server: Arc<str>,
    told: Arc<Notify>,
}

/// A connection to a database whose schema is up to date.
pub(crate) async fn open(address: &Address, told: &Arc<Notify>) -> Result<Session, OpenError> {
    let session = Session::open(address, told).await?;
    migrations::migrate(&session).await?;
    Ok(session)
}

impl Engine {
    /// Connects, and brings the schema up to date.
    pub(crate) async fn connect(address: &Address, server: &str) -> Result<Engine, OpenError> {
        let told = Arc::new(Notify::new());
        let session = open(address, &told).await?;
        let server: Arc<str> = server.into();
        let (commits, waiting) = mpsc::channel(QUEUE);
        let writer = Writer {
            address: address.clone(),
            server: Arc::clone(&server),
            told: Arc::clone(&told),
            session: Some(session),
        };
        tokio::spawn(writer::run(writer, waiting));
        Ok(Engine {
            commits,
            readers: Arc::new(Readers::new(address, &told)),
            listener: Arc::new(Listener::start(address.clone(), Arc::clone(&told))),
            server,
            told,
        })
    }

    /// Writes, and answers when it is on disk.
    pub(crate) async fn write(&self, work: Work) -> Result<Committed, CommitError> {
        let (answer, written) = oneshot::channel();
        enqueue(&self.commits, Waiting { work, answer }).await?;
        written.await.map_err(|_| Unavailable::Closed)?
    }

    pub(crate) fn lead(&self) -> Option<Lead> {
        self.listener.lead()
    }

    pub(crate) async fn heard(&self) {
        self.told.notified().await;
    }

    pub(crate) async fn news(&self, seen: i64) -> Answer<News> {
        self.readers
            .ask(|session| async move { news::beyond(&session, seen).await })
            .await
    }

    pub(crate) async fn cursor(&self, reader: Reader) -> Answer<Option<String>> {
        self.readers
            .ask(|session| async move { settle::cursor((&session, &self.server), reader).await })
            .await
    }

    pub(crate) async fn log_checkpoints(&self) -> Answer<Vec<LogCheckpointRow>> {
        self.readers
            .ask(|session| async move { logs::checkpoints(&session).await })
            .await
    }

    pub(crate) async fn log_checkpoint(&self, origin: &str) -> Answer<Option<LogCheckpointRow>> {
        self.readers
            .ask(|session| async move { logs::checkpoint(&session, origin).await })
            .await
    }

    pub(crate) async fn merged_checkpoint(&self) -> Answer<Option<MergedRow>> {
        self.readers
            .ask(|session| async move { logs::merged(&session).await })
            .await
    }

    pub(crate) async fn incident(&self, project: &str, id: &str) -> Answer<Option<IncidentRow>> {
        self.readers
            .ask(|session| async move { alerts::incident(&session, project, id).await })
            .await
    }

    pub(crate) async fn incidents(&self, query: &IncidentQuery) -> Answer<Vec<IncidentRow>> {
        self.readers
            .ask(|session| async move { alerts::incidents(&session, query).await })
            .await
    }

    pub(crate) async fn open_incidents(&self, after: &str, limit: u32) -> Answer<Vec<IncidentRow>> {
        self.readers
            .ask(
                |session| async move { alerts::open_incidents((&session, &self.server), after, limit).await },
            )
            .await
    }

    pub(crate) async fn waiting_deliveries(&self, after: i64, limit: u32) -> Answer<Vec<DeliveryRow>> {
        self.readers
            .ask(|session| async move { alerts::waiting(&session, after, limit).await })
            .await
    }

    pub(crate) async fn waiting_delivery(&self, id: &str) -> Answer<Option<DeliveryRow>> {
        self.readers
            .ask(|session| async move { alerts::delivery(&session, id).await })
            .await
    }

    pub(crate) async fn dead_letters(&self, query: &DeadLetterQuery) -> Answer<Vec<DeliveryRow>> {
        self.readers
            .ask(|session| async move { alerts::dead_letters(&session, query).await })
            .await
    }

    pub(crate) async fn resource(&self, kind: Kind, name: &str) -> Answer<Option<Resource>> {
        self.readers
            .ask(|session| async move { read::resource(&session, kind, name).await })
            .await
    }

    pub(crate) async fn list(&self, query: &ListQuery) -> Answer<Vec<Resource>> {
        self.readers
            .ask(|session| async move { read::list(&session, query).await })
            .await
    }

    pub(crate) async fn occurrence(&self, name: &str) -> Answer<Option<OccurrenceRow>> {
        self.readers
            .ask(|session| async move { read::occurrence(&session, name).await })
            .await
    }

    pub(crate) async fn list_occurrences(&self, query: &OccurrenceQuery) -> Answer<Vec<OccurrenceRow>> {
        self.readers
            .ask(|session| async move { read::list_occurrences(&session, query).await })
            .await
    }

    pub(crate) async fn occurrences_of(
        &self,
        note: &str,
        digest: &[u8; 32],
        older_than: Option<Age>,
        limit: u32,
    ) -> Answer<Vec<OccurrenceRow>> {
        let older_than = older_than.as_ref();
        self.readers
            .ask(|session| async move {
                read::newest_occurrences(&session, (note, digest), older_than, limit).await
            })
            .await
    }

    pub(crate) async fn sealed_names(&self, after: &str, limit: u32) -> Answer<Vec<String>> {
        self.readers
            .ask(|session| async move { read::sealed_names(&session, after, limit).await })
            .await
    }

    pub(crate) async fn sealed_key(&self, name: &str) -> Answer<Option<Vec<u8>>> {
        self.readers
            .ask(|session| async move { read::sealed_key(&session, name).await })
            .await
    }

    pub(crate) async fn token_by_hash(&self, hash: &[u8; 32]) -> Answer<Option<TokenRow>> {
        self.readers
            .ask(|session| async move { read::token_by_hash(&session, hash).await })
            .await
    }

    pub(crate) async fn list_tokens(&self) -> Answer<Vec<TokenRow>> {
        self.readers
            .ask(|session| async move { read::list_tokens(&session).await })
            .await
    }

    pub(crate) async fn audit_rows(&self, query: &AuditQuery) -> Answer<Vec<AuditRow>> {
        self.readers
            .ask(|session| async move { read::audit_rows(&session, query).await })
            .await
    }

    pub(crate) async fn own_audit_rows(&self, beyond: Option<i64>, limit: u32) -> Answer<Vec<AuditRow>> {
        self.readers
            .ask(|session| async move { read::audit_rows_of(&session, &self.server, beyond, limit).await })
            .await
    }

    pub(crate) async fn counted_metrics(&self) -> Answer<Vec<String>> {
        self.readers
            .ask(|session| async move { metrics::counted(&session).await })
            .await
    }

    pub(crate) async fn metric_series(&self, metric: &str) -> Answer<Vec<MetricSeriesRow>> {
        self.readers
            .ask(|session| async move { metrics::series(&session, metric).await })
            .await
    }

    pub(crate) async fn metric_points(
        &self,
        series: i64,
        minutes: (i64, i64),
        limit: u32,
    ) -> Answer<Vec<(i64, String)>> {
        self.readers
            .ask(|session| async move { metrics::points(&session, series, minutes, limit).await })
            .await
    }
}
