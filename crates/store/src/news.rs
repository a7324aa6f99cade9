//! What others changed: how the servers on one database learn of each other's commits.

use crate::rows::Kind;

/// What changed beyond a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The newest revision; what it and all before it changed has been told.
    pub revision: i64,
    /// What changed up to there.
    pub changed: Changed,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These; none, if nothing did.
    These(Vec<Touched>),
    /// More than is remembered: whoever keeps anything in memory has to forget it.
    Everything,
}

/// One of those that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// Resources of this kind.
    Kind(Kind),
    /// Occurrences of this note and digest.
    Occurrences {
        /// The note.
        note: String,
        /// The digest.
        digest: [u8; 32],
    },
}
