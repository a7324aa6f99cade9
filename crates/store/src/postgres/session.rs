//! One connection: opened with the same settings every time, with its prepared statements, and given up once it failed.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row, Statement};

use super::Address;
use crate::error::{PostgresError, Unavailable};

/// What a question or a piece of work comes to.
pub(crate) type Answer<T> = Result<T, Unavailable>;
/// The values of a statement.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// From the first packet to a session that is set up, all hosts together.
const CONNECT: Duration = Duration::from_secs(8);

/// What every session is set to. A statement or a lock takes 5 s at most, and a transaction whose server fell silent ends
/// after 10 s, so that no server that hangs stops the others. The database finds out within 20 s that we are gone, which frees
/// the lead. `synchronous_commit`: a commit is on disk before it is
/// answered; whoever set more than `on` (a standby has applied it) keeps that.
const SET_UP: &str = "
    SET search_path = binauthz;
    SET statement_timeout = '5s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 3;
    SET tcp_keepalives_count = 3;
    SET client_min_messages = warning;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// A connection that is set up.
pub(crate) struct Session {
    client: Client,
    /// Those of this crate, some 60: none is prepared twice.
    statements: Mutex<HashMap<&'static str, Statement>>,
    broken: AtomicBool,
    ended: Arc<Notify>,
}

impl Session {
    /// Connects. `told` hears of every notification.
    pub(super) async fn open(address: &Address, told: &Arc<Notify>) -> Answer<Session> {
        match timeout(CONNECT, connect(address, told)).await {
            Ok(opened) => opened,
            Err(_) => Err(Unavailable::Slow {
                seconds: CONNECT.as_secs(),
            }),
        }
    }

    /// Whether it can be asked no more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || self.client.is_closed()
    }

    /// Whoever gave up waiting does not know what the session is at: nobody else shall wait behind it.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Comes back when the connection has ended.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Every row.
    pub(super) async fn query(&self, sql: &'static str, values: Values<'_>) -> Answer<Vec<Row>> {
        let statement = self.prepared(sql).await?;
        let rows = self.client.query(&statement, values).await;
        rows.map_err(|error| self.failed(error))
    }

    /// The only row, if there is one.
    pub(super) async fn query_opt(&self, sql: &'static str, values: Values<'_>) -> Answer<Option<Row>> {
        let statement = self.prepared(sql).await?;
        let row = self.client.query_opt(&statement, values).await;
        row.map_err(|error| self.failed(error))
    }

    /// The only row, which must be there.
    pub(crate) async fn query_one(&self, sql: &'static str, values: Values<'_>) -> Answer<Row> {
        let statement = self.prepared(sql).await?;
        let row = self.client.query_one(&statement, values).await;
        row.map_err(|error| self.failed(error))
    }

    /// How many rows were written.
    pub(crate) async fn execute(&self, sql: &'static str, values: Values<'_>) -> Answer<u64> {
        let statement = self.prepared(sql).await?;
        let rows = self.client.execute(&statement, values).await;
        rows.map_err(|error| self.failed(error))
    }

    /// Prepares a statement that is made of parts and that nobody else asks for.
    pub(crate) async fn prepare(&self, sql: &str) -> Answer<Statement> {
        let prepared = self.client.prepare(sql).await;
        prepared.map_err(|error| self.failed(error))
    }

    /// How many rows such a statement wrote.
    pub(crate) async fn execute_prepared(&self, statement: &Statement, values: Values<'_>) -> Answer<u64> {
        let rows = self.client.execute(statement, values).await;
        rows.map_err(|error| self.failed(error))
    }

    /// Every row of such a statement.
    pub(crate) async fn query_prepared(&self, statement: &Statement) -> Answer<Vec<Row>> {
        let rows = self.client.query(statement, &[]).await;
        rows.map_err(|error| self.failed(error))
    }

    /// Statements without values.
    pub(crate) async fn run(&self, sql: &str) -> Answer<()> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|error| self.failed(error))
    }

    async fn prepared(&self, sql: &'static str) -> Answer<Statement> {
        let known = self.statements().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let prepared = self.client.prepare(sql).await;
        let statement = prepared.map_err(|error| self.failed(error))?;
        self.statements().insert(sql, statement.clone());
        Ok(statement)
    }

    fn statements(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: tokio_postgres::Error) -> Unavailable {
        if ends_a_session(&error) {
            self.give_up();
        }
        Unavailable::Postgres(Arc::new(PostgresError(error)))
    }
}

/// Errors after which another connection may do better: it was cut, the database goes down, or it does not write any more.
fn ends_a_session(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return true };
    *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || ["08", "57P"].iter().any(|class| code.code().starts_with(class))
}

async fn connect(address: &Address, told: &Arc<Notify>) -> Answer<Session> {
    let ended = Arc::new(Notify::new());
    let failed = |error| Unavailable::Postgres(Arc::new(PostgresError(error)));
    let client = match &address.tls {
        Some(tls) => {
            let (client, connection) = address.config.connect(tls.clone()).await.map_err(failed)?;
            drive(connection, Arc::clone(told), Arc::clone(&ended));
            client
        }
        None => {
            let (client, connection) = address.config.connect(NoTls).await.map_err(failed)?;
            drive(connection, Arc::clone(told), Arc::clone(&ended));
            client
        }
    };
    let session = Session {
        client,
        statements: Mutex::default(),
        broken: AtomicBool::new(false),
        ended,
    };
    session.run(SET_UP).await?;
    Ok(session)
}

/// Moves bytes until the client is dropped or the connection ends.
fn drive<S, T>(mut connection: Connection<S, T>, told: Arc<Notify>, ended: Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notification(_)) => told.notify_one(),
                Ok(_) => {}
                // Whoever asked is told; between two questions nobody needs to know.
                Err(error) => {
                    tracing::debug!(error = %PostgresError(error), "a connection to the database ended");
                    break;
                }
            }
        }
        drop(connection);
        ended.notify_one();
    });
}
