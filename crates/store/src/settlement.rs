//! What follows from the log. Nobody asked for it, so it leaves no audit row: it follows from records and from resources,
//! whose changes left theirs.

use crate::alert::Alerted;
use crate::logs::Logged;
use crate::metric::Counted;

/// A job that reads the log forward and remembers how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The one that looks for what is alerted.
    Alerts,
    /// The one that counts log-based metrics.
    Metrics,
    /// The one that publishes how far the log is signed for. It needs no cursor: the note is one.
    Logs,
}

impl Reader {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reader::Alerts => "alerts",
            Reader::Metrics => "metrics",
            Reader::Logs => "logs",
        }
    }
}

/// How far a reader has come, in its own form: opaque JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorMove {
    /// The cursor as it was read before; another one is [`CommitError::Stale`](crate::CommitError::Stale), so nothing is
    /// found twice.
    pub expect: Option<String>,
    /// The cursor from now on.
    pub to: String,
}

/// The right to do what only one of the servers on a store does. It ends when another one takes it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    pub(crate) epoch: i64,
}

impl Lead {
    /// Of a store that nobody shares.
    pub(crate) const ALONE: Lead = Lead { epoch: 0 };
}

/// What a reader found, and how far it has come: all of it or nothing.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Written only if this has not ended; whoever does what every server does for itself needs none.
    pub lead: Option<Lead>,
    /// Where its reader goes on; nothing if that stays.
    pub cursor: Option<CursorMove>,
    /// What is written.
    pub found: Found,
}

/// What follows from the log.
#[derive(Debug, Clone)]
pub enum Found {
    /// Incidents, and notices on their way.
    Alerts(Alerted),
    /// What metrics counted.
    Metrics(Counted),
    /// How far logs are signed for.
    Logs(Logged),
}

impl Found {
    pub(crate) fn reader(&self) -> Reader {
        match self {
            Found::Alerts(_) => Reader::Alerts,
            Found::Metrics(_) => Reader::Metrics,
            Found::Logs(_) => Reader::Logs,
        }
    }
}
