//! The form of the verdict log: what makes a record impossible to change, remove or move without anybody noticing.
//!
//! ```text
//! {…the record…,"seq":41,"chain":"…"}        one line; `chain` covers this line and, through the line before, all others
//! {"log":"segment",…}                         the first line of every file: where the log stood when the file was begun
//! {"log":"checkpoint","note":"…"}             a signed statement of how long the log is and what is in it
//! ```
//!
//! The chain finds the record that does not fit. The leaves of the Merkle tree are the chain hashes: each speaks for its
//! line, and a line is hashed once. The checkpoints (C2SP tlog-checkpoint: size and RFC 6962 Merkle root in
//! a signed note) find a log that was written anew from some place on, chain and all: whoever does that has to sign it.

mod chain;
mod merged;
mod note;
mod record;
mod tree;
mod verify;

pub use chain::Chain;
pub use merged::{MOST_LOGS, Merged, Stated, WentBack};
pub use note::{Checkpoint, InvalidNote, InvalidVerifierKey, VerifierKey};
pub use record::{Header, Link, checkpoint_body};
pub use tree::Tree;
pub use verify::{Fault, Log, Summary, Verifier};

use aws_lc_rs::digest::{Context, SHA256};

/// SHA-256.
pub(crate) type Hash = [u8; 32];

/// SHA-256 of several pieces.
fn hash(pieces: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for piece in pieces {
        context.update(piece);
    }
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests;
