//! The writer: takes whatever commits and settlements are waiting, writes them in one transaction, answers all of them
//! after the one commit. Each is a savepoint, so one that fails takes no other with it.
//!
//! The transaction locks the row of counters before anything else. So of all servers one writes at a time, in the order of
//! the revisions, and each sees what the others wrote.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::row::column;
use super::session::{Answer, Session, Values};
use super::{Address, apply, settle};
use crate::change::Committed;
use crate::error::{CommitError, Unavailable};
use crate::queue::{GROUP, NOTHING, Results, Waiting, Work, answer};

/// A group's statements, each of which has its own limit: 16 000 rows at 0.5 ms, one after the other.
const GROUP_LIMIT: Duration = Duration::from_secs(10);
/// The commit: a disk that takes longer does not answer any more.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);

/// Channel of the notifications that something was committed.
pub(super) const CHANNEL: &str = "binauthz_news";

/// The last numbers that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) revision: i64,
    pub(super) audit: i64,
    delivery: i64,
}

impl Counters {
    pub(super) fn next_delivery(&mut self) -> i64 {
        self.delivery += 1;
        self.delivery
    }
}

/// What a group needs beside its work.
pub(super) struct Writer {
    pub(super) address: Address,
    pub(super) server: Arc<str>,
    pub(super) told: Arc<Notify>,
    pub(super) session: Option<Session>,
}

/// Writes until nobody can ask any more.
pub(super) async fn run(mut writer: Writer, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = waiting.try_recv()
        {
            group.push(next);
        }
        let (address, server, told) = (writer.address.clone(), writer.server.clone(), writer.told.clone());
        // A defect in one piece of work ends its group, whose callers are told that the store is closed, and not the writer.
        writer = match tokio::spawn(writer.write(group)).await {
            Ok(writer) => writer,
            Err(error) => {
                tracing::error!(%error, "a panic in the store");
                Writer {
                    address,
                    server,
                    told,
                    session: None,
                }
            }
        };
    }
}

impl Writer {
    /// Writes a group and answers everyone in it. No answer leaves before the group is on disk: a refusal may rest on a row
    /// of the same group.
    async fn write(mut self, group: Vec<Waiting>) -> Writer {
        let works: Vec<&Work> = group.iter().map(|waiting| &waiting.work).collect();
        let written = self.transact(&works).await;
        answer(group, written);
        self
    }

    async fn transact(&mut self, works: &[&Work]) -> Answer<Results> {
        let (session, counters) = self.begin().await?;
        // Put back when all went well: a session whose transaction is open or unknown is closed, which rolls it back.
        let written = timeout(GROUP_LIMIT, self.apply(&session, works, counters)).await;
        let results = written.unwrap_or(Err(Unavailable::Slow {
            seconds: GROUP_LIMIT.as_secs(),
        }))?;
        commit(&session).await?;
        self.session = Some(session);
        Ok(results)
    }

    /// A transaction that has the counters. A connection that was cut while nobody used it is made anew, once.
    async fn begin(&mut self) -> Answer<(Session, Counters)> {
        if let Some(session) = self.session.take().filter(|session| !session.is_broken()) {
            match lock(&session).await {
                Ok(counters) => return Ok((session, counters)),
                Err(error) if !session.is_broken() => return Err(error),
                Err(_) => {}
            }
        }
        let session = Session::open(&self.address, &self.told).await?;
        let counters = lock(&session).await?;
        Ok((session, counters))
    }

    async fn apply(&self, session: &Session, works: &[&Work], before: Counters) -> Answer<Results> {
        let mut counters = before;
        let mut results = Vec::with_capacity(works.len());
        for work in works {
            results.push(self.one(session, work, &mut counters).await?);
        }
        if counters == before {
            return Ok(results);
        }
        let sql = "UPDATE counter SET revision = $1, audit = $2, delivery = $3";
        let values: Values<'_> = &[&counters.revision, &counters.audit, &counters.delivery];
        let notify = format!("NOTIFY {CHANNEL}");
        let telling = async {
            match counters.revision == before.revision {
                true => Ok(()),
                false => session.run(&notify).await,
            }
        };
        tokio::try_join!(biased; session.execute(sql, values), telling)?;
        Ok(results)
    }

    /// One piece of work in its savepoint. The outer error means that the whole transaction is lost.
    async fn one(
        &self,
        session: &Session,
        work: &Work,
        counters: &mut Counters,
    ) -> Answer<Result<Committed, CommitError>> {
        session.run("SAVEPOINT one").await?;
        let before = *counters;
        let here = (session, &*self.server);
        let result = match work {
            Work::Commit(commit) => apply::commit(here, commit, counters).await,
            Work::Settlement(settlement) => {
                settle::settle(here, settlement, counters).await.map(|()| NOTHING)
            }
        };
        match result {
            Ok(committed) => {
                session.run("RELEASE one").await?;
                Ok(Ok(committed))
            }
            Err(CommitError::Unavailable(error)) if session.is_broken() => Err(error),
            Err(error) => {
                *counters = before;
                session.run("ROLLBACK TO one; RELEASE one").await?;
                Ok(Err(error))
            }
        }
    }
}

/// Begins a transaction, and waits until no other server writes.
async fn lock(session: &Session) -> Answer<Counters> {
    let locking = async {
        let sql = "SELECT revision, audit, delivery FROM counter FOR UPDATE";
        // One behind the other, without waiting in between.
        let ((), row) = tokio::try_join!(biased; session.run("BEGIN"), session.query_one(sql, &[]))?;
        Ok(Counters {
            revision: column(&row, 0)?,
            audit: column(&row, 1)?,
            delivery: column(&row, 2)?,
        })
    };
    timeout(GROUP_LIMIT, locking).await.unwrap_or_else(|_| {
        session.give_up();
        Err(Unavailable::Slow {
            seconds: GROUP_LIMIT.as_secs(),
        })
    })
}

/// Only an answer tells what became of a commit: without one it may have happened.
async fn commit(session: &Session) -> Answer<()> {
    match timeout(COMMIT_LIMIT, session.run("COMMIT")).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if !session.is_broken() => Err(error),
        Ok(Err(_)) | Err(_) => Err(Unavailable::Unsettled),
    }
}
