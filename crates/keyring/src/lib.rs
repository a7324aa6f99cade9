//! The only place that ever sees a private key.
//!
//! A [`SoftwareKey`] signs; it exists in memory alone. At rest there are only sealed bytes: AES-256-GCM under
//! a [`MasterKey`] that is kept outside the database, with the full name of the key version as associated
//! data. What a version may be used for is decided by its [`Lifecycle`]: unsealing takes a [`SigningPermit`],
//! and only an enabled version hands one out.
//!
//! Or it never is in memory: a [`TokenKey`] is made and used in a PKCS #11 token. Both are [`Signer`]s.
//!
//! No I/O but that with a token, no clock: names, bytes and the time are arguments.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

mod algorithm;
mod der;
mod lifecycle;
mod log_signer;
mod pem;
mod seal;
mod signer;
mod software;
mod token;

pub use algorithm::{HashAlgorithm, KeyAlgorithm, MessageDigest, NotAvailable, WrongDigestLength};
pub use lifecycle::{
    DestroyDelay, Destruction, IllegalDelay, IllegalTransition, Lifecycle, NotEnabled, SigningPermit,
    Transition,
};
pub use log_signer::LogSigner;
pub use pem::InvalidPem;
pub use seal::{MasterKey, OpenError, ResealError, SealFailed};
pub use signer::Signer;
pub use software::{GenerateError, ImportError, MAX_DATA_BYTES, SignError, SoftwareKey};
pub use token::{Token, TokenError, TokenKey};
