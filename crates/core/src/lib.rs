//! The judge: what an image, a signature, a policy and a decision *are*.
//!
//! Five nouns and a promise. An [`image::ImageRef`] is what a Pod asks for; an
//! [`attestation::Attestation`] is bytes that claim something about a digest; an
//! [`attestor::Attestor`] is the set of keys that may claim it; a [`policy::Policy`] says whose
//! claims are needed; a [`decision::Decision`] is the verdict with every reason for it.
//!
//! The promise: this crate is pure, synchronous and total. It has no clock, no randomness, no
//! environment, no file, no socket and no task; time is an argument. Nothing in it starts
//! "allowed": a verdict is the return value of [`decide::decide`], and a question without an
//! answer denies. An unverified attestation cannot reach `decide`, because the only constructor
//! of [`attestation::VerifiedAttestation`] is the signature check.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod attestation;
pub mod attestor;
pub mod decide;
pub mod decision;
mod der;
pub mod evidence;
pub mod image;
pub mod key;
pub mod name;
pub mod payload;
pub mod policy;
pub mod signature;
mod strict_json;
pub mod time;
pub mod validity;
pub mod workload;
