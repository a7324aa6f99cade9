//! `binaryauthorization.googleapis.com`: policies, attestors and the validation of one attestation, and a switch of old.
//!
//! One stored object is seen through v1, v1beta1 and v1alpha2; only the name of the note field differs.

mod attestor;
mod continuous_validation;
mod key_validity;
mod policy;

pub use attestor::{
    AttestorRequest, NoteView, ValidateRequest, read_attestor, read_validate_request, write_attestor,
    write_validate_response,
};
pub use continuous_validation::{read_continuous_validation_config, write_continuous_validation_config};
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
