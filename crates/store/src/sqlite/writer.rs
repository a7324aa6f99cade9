//! The writer: takes whatever commits and settlements are waiting, writes them in one transaction, answers all of them
//! after the one fsync. Each is a savepoint, so one that fails takes no other with it.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

use crate::change::Committed;
use crate::error::{CommitError, Unavailable};
use crate::queue::{NOTHING, Results, Waiting, Work, answer};
use crate::sqlite::{apply, settle};

/// Writes a group and answers everyone in it. No answer leaves before the group is on disk: a refusal may
/// rest on a row of the same group.
pub(crate) fn write(connection: &mut Connection, group: Vec<Waiting>) {
    let works: Vec<&Work> = group.iter().map(|waiting| &waiting.work).collect();
    let written = transact(connection, &works);
    answer(group, written);
}

fn transact(connection: &mut Connection, works: &[&Work]) -> Result<Results, Unavailable> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut results = Vec::with_capacity(works.len());
    for work in works {
        let result = one(&transaction, work)?;
        results.push(result);
    }
    transaction.commit()?;
    Ok(results)
}

/// One piece of work in its savepoint. The outer error means that the whole transaction is lost: SQLite ends it by
/// itself when the disk is full or fails, and what was written before in this group is then gone too.
fn one(connection: &Connection, work: &Work) -> Result<Result<Committed, CommitError>, Unavailable> {
    connection.prepare_cached("SAVEPOINT one")?.execute([])?;
    let result = match work {
        Work::Commit(commit) => apply::commit(connection, commit),
        Work::Settlement(settlement) => settle::settle(connection, settlement).map(|()| NOTHING),
    };
    if connection.is_autocommit() {
        return Err(match result {
            Err(CommitError::Unavailable(error)) => error,
            _ => Unavailable::Database(Arc::new(rusqlite::Error::InvalidQuery)),
        });
    }
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO one")?.execute([])?;
    }
    connection.prepare_cached("RELEASE one")?.execute([])?;
    Ok(result)
}
