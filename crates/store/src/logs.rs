//! How far the logs of the servers are signed for, and the statement over all of them.

/// What a log says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCheckpointRow {
    /// The log's name; unique.
    pub origin: String,
    /// What its notes verify under.
    pub verifier_key: String,
    /// Its newest signed note.
    pub note: String,
    /// When that was published.
    pub published: i64,
}

/// The newest statement over all logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedRow {
    /// Its number, which only grows.
    pub number: i64,
    /// The signed note.
    pub note: String,
}

/// What is written of logs.
#[derive(Debug, Clone)]
pub struct Logged {
    /// In place of what the log of this name said before.
    pub own: Option<LogCheckpointRow>,
    /// In place of a statement with a lower number; another one is [`CommitError::Stale`](crate::CommitError::Stale).
    pub merged: Option<MergedRow>,
}

/// What the refusal of a statement names.
pub(crate) const MERGED: &str = "the statement over all logs";
/// The longest note: one over 1 000 logs has 256 KiB at most.
pub(crate) const MAX_NOTE: usize = 256 << 10;
/// What was published that long ago is forgotten when a new log comes: 400 days, which is longer than a log is kept.
pub(crate) const FORGOTTEN_AFTER: i64 = 400 * 86_400 * 1_000_000;
