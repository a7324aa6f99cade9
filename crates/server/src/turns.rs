//! Who may look and then write, when what is written relies on what was seen.
//!
//! Within a server a lock sees to it. Of several servers on one store each commits a mark with what it writes, which must be
//! as it was before it looked: of two that looked at the same time the second is refused and may try again.

use binauthz_store::{ABSENT, Change, Kind, NewResource, Store, Unavailable};
use tokio::sync::{Mutex, MutexGuard};

/// A kind of writes of which one is made after the other.
#[derive(Debug)]
pub(crate) struct Turns {
    mark: &'static str,
    lock: Mutex<()>,
}

/// Held from the look to the commit.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _lock: MutexGuard<'a, ()>,
    mark: Option<Change>,
}

impl Turns {
    /// `mark` is what a refusal says was changed.
    pub(crate) fn of(mark: &'static str) -> Turns {
        Turns {
            mark,
            lock: Mutex::new(()),
        }
    }

    /// Waits for a turn. What is looked at afterwards may be relied on.
    pub(crate) async fn take(&self, store: &Store) -> Result<Turn<'_>, Unavailable> {
        let lock = self.lock.lock().await;
        let mark = if store.is_shared() {
            let before = store.resource(Kind::Setting, self.mark).await?;
            Some(Change::Put {
                resource: NewResource {
                    kind: Kind::Setting,
                    name: self.mark.to_owned(),
                    parent: String::new(),
                    document: "{}".to_owned(),
                },
                expect: Some(before.map_or(ABSENT, |row| row.revision)),
            })
        } else {
            None
        };
        Ok(Turn { _lock: lock, mark })
    }
}

impl Turn<'_> {
    /// To be committed behind what is written; none where nobody else writes.
    pub(crate) fn mark(&self) -> Option<Change> {
        self.mark.clone()
    }
}
