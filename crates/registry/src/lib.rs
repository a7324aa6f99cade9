//! Asks OCI registries: which digest a tag names, what is in a manifest, which tags there are; and sets a tag.
//!
//! A registry is the other side. Only hosts the operator configured are ever asked, every byte is hashed before
//! it is believed, and credentials never leave the origin they were configured for. Nothing here runs while an
//! admission request waits.
//!
//! The process needs a default TLS provider before a [`Registries`] is made: rustls takes none by itself.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod client;
mod endpoint;
mod error;
#[cfg(any(test, feature = "test-support"))]
pub mod fake;
mod manifest;
mod transport;

pub use client::{InvalidTag, MAX_LISTED, Registries, Repository, Tag};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::{RegistryError, UnknownRepository};
pub use manifest::Manifest;
