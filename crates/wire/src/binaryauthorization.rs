//! `binaryauthorization.googleapis.com`: policies and attestors, and the validation of one attestation.
//!
//! One stored object is seen through v1, v1beta1 and v1alpha2; only the name of the note field differs.

mod attestor;
mod policy;

pub use attestor::{
    AttestorRequest, NoteView, ValidateRequest, read_attestor, read_validate_request, write_attestor,
    write_validate_response,
};
pub use policy::{PolicyRequest, read_policy, write_policy};

use binauthz_core::time::UnixTime;

/// What the server keeps beside an object and shows with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// When it was last changed; absent for an object nobody stored.
    pub updated: Option<UnixTime>,
    /// Its etag; empty for an object nobody stored.
    pub etag: String,
}

#[cfg(test)]
mod tests;
