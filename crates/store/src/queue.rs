//! Work that waits for an engine's writer.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::change::{Commit, Committed};
use crate::error::{CommitError, Unavailable};
use crate::settlement::Settlement;

/// Waiting work. At about 3 000 single commits or 40 000 look-ups a second, a full queue is 0.3 s of work;
/// with documents of 1 KB it holds 1 MB.
pub(crate) const QUEUE: usize = 1024;
/// How long a caller waits for room in a full queue.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Commits per fsync. At 0.25 ms for a fsync and 60 µs for a row, 64 rows wait 4 ms: more would only make the
/// first wait for the last.
pub(crate) const GROUP: usize = 64;

/// What is to be written.
pub(crate) enum Work {
    Commit(Commit),
    /// Gets no revision and no place in the log.
    Settlement(Settlement),
}

/// What a settlement is given.
pub(crate) const NOTHING: Committed = Committed {
    revision: 0,
    sequence: 0,
};

/// Work and where its answer goes.
pub(crate) struct Waiting {
    pub(crate) work: Work,
    pub(crate) answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// Puts work into a queue, and waits for room within limits.
pub(crate) async fn enqueue<T>(queue: &mpsc::Sender<T>, work: T) -> Result<(), Unavailable> {
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

/// What became of each piece of a group.
pub(crate) type Results = Vec<Result<Committed, CommitError>>;

/// Answers everyone in a group. A caller that has gone away is no error: what it asked for stands.
pub(crate) fn answer(group: Vec<Waiting>, written: Result<Results, Unavailable>) {
    match written {
        Ok(results) => {
            for (waiting, result) in group.into_iter().zip(results) {
                let _ = waiting.answer.send(result);
            }
        }
        Err(error) => {
            tracing::error!(%error, commits = group.len(), "the store could not write");
            for waiting in group {
                let _ = waiting.answer.send(Err(error.clone().into()));
            }
        }
    }
}
