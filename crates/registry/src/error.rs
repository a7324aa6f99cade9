//! What can go wrong with a registry.

use binauthz_core::image::Digest;

/// Why a repository cannot be asked at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownRepository {
    /// The operator has not said where images of this host are asked.
    #[error("the registry `{host}` is not configured: start the server with `--registry {host}=URL`")]
    NotConfigured {
        /// The host asked for.
        host: String,
    },
    /// Not a path an image reference can have.
    #[error("`{path}` is not a repository path, expected lower-case components separated by single slashes")]
    InvalidPath {
        /// What was written.
        path: String,
    },
}

/// Why a registry gave no answer that can be used. Every variant means "not known", never "absent", but for
/// [`RegistryError::NotFound`].
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry says it does not have it.
    #[error("`{what}` was not found in the registry")]
    NotFound {
        /// Repository with tag or digest.
        what: String,
    },
    /// The registry wants a credential, or another one.
    #[error(
        "the registry `{host}` refused access ({status}): check the credential in `--registry {host}=URL`"
    )]
    Denied {
        /// Its host.
        host: String,
        /// 401 or 403.
        status: u16,
    },
    /// The registry does not do this, or not to this repository.
    #[error("the registry `{host}` answered {status} to `{request}`")]
    Refused {
        /// Its host.
        host: String,
        /// What was asked.
        request: String,
        /// What it answered.
        status: u16,
    },
    /// No connection, or it broke.
    #[error("the registry `{host}` cannot be reached")]
    Unreachable {
        /// Its host.
        host: String,
        /// The connection's error.
        #[source]
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("the registry `{host}` did not answer in {seconds} s")]
    TimedOut {
        /// Its host.
        host: String,
        /// How long it had.
        seconds: u64,
    },
    /// The answer is longer than anything legitimate.
    #[error("the answer of the registry `{host}` exceeds {limit} bytes")]
    TooLarge {
        /// Its host.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// RG-01, RG-03: the bytes are not what was asked for, or not what the registry says they are.
    #[error("the registry `{host}` returned content with digest `{found}`, expected `{expected}`")]
    DigestMismatch {
        /// Its host.
        host: String,
        /// What was asked for, or what the registry's header says.
        expected: String,
        /// The hash of the bytes.
        found: Digest,
    },
    /// Not a manifest that can be understood in one way only.
    #[error("the manifest is not usable: {problem}")]
    Manifest {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A list, token or header that does not have its documented form.
    #[error("the registry `{host}` sent a malformed {what}")]
    Malformed {
        /// Its host.
        host: String,
        /// Which part.
        what: &'static str,
    },
    /// SS-02, RG-08: it points elsewhere, and elsewhere is not followed.
    #[error("the registry `{host}` points to another host for its {what}, which is not followed")]
    Elsewhere {
        /// Its host.
        host: String,
        /// A redirect, a token, a next page.
        what: &'static str,
    },
    /// Round and round.
    #[error("the registry `{host}` redirected more than {limit} times")]
    TooManyRedirects {
        /// Its host.
        host: String,
        /// The limit.
        limit: usize,
    },
    /// More entries than are read.
    #[error("the registry `{host}` lists more than {limit} entries")]
    TooMany {
        /// Its host.
        host: String,
        /// The limit.
        limit: usize,
    },
}
