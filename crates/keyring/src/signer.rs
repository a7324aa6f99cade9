//! What signs, wherever the private key is.

use crate::algorithm::{KeyAlgorithm, MessageDigest};
use crate::software::{SignError, SoftwareKey};

/// A private key that can be used: in memory, or in a token. All of them pass the same tests (`tests/signers.rs`).
pub trait Signer {
    /// The one algorithm it signs with.
    fn algorithm(&self) -> KeyAlgorithm;

    /// Signs a digest: RSA as it is, ECDSA as DER, PSS with a salt as long as the digest.
    ///
    /// # Errors
    /// [`SignError`]: the digest is of another hash, or the algorithm signs the message itself, or nothing was signed.
    fn sign_digest(&self, digest: &MessageDigest) -> Result<Vec<u8>, SignError>;

    /// Signs a message of at most 64 KiB, hashing it first where the algorithm signs a hash.
    ///
    /// # Errors
    /// [`SignError`]: the message is too long, or nothing was signed.
    fn sign_data(&self, data: &[u8]) -> Result<Vec<u8>, SignError>;
}

impl Signer for SoftwareKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm()
    }

    fn sign_digest(&self, digest: &MessageDigest) -> Result<Vec<u8>, SignError> {
        self.sign_digest(digest)
    }

    fn sign_data(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign_data(data)
    }
}
