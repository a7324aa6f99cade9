//! The hash chain over the lines of a log.

use super::{Hash, hash};

/// The hash of the last line and, through it, of all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(Hash);

impl Chain {
    /// Before the first line. The origin is in it, so that no line of another log fits.
    pub fn genesis(origin: &str) -> Self {
        Self(hash(&[b"binauthz log\n", origin.as_bytes()]))
    }

    /// As it stands in a line or a header.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// After one more line; `covered` is that line up to where its own chain hash begins.
    #[must_use]
    pub fn extended(&self, covered: &[u8]) -> Self {
        Self(hash(&[&self.0, covered]))
    }
}
