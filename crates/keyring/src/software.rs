//! Keys held in memory: made, imported, used.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{
    self as lc, EcdsaKeyPair, Ed25519KeyPair, KeyPair, PqdsaKeyPair, RsaEncoding, RsaKeyPair,
    UnparsedPublicKey, VerificationAlgorithm,
};
use zeroize::Zeroizing;

use crate::algorithm::{HashAlgorithm, KeyAlgorithm, MessageDigest, NotAvailable, Scheme};
use crate::{InvalidPem, der, pem};

/// What Cloud KMS accepts in the `data` field: 64 KiB.
pub const MAX_DATA_BYTES: usize = 64 * 1024;

/// CR-08: below this, a lax verifier somewhere can be made to accept a forgery.
const MIN_RSA_EXPONENT: u64 = 65_537;

const SELF_TEST: &[u8] = b"binauthz: a key that cannot verify its own signature is not handed out";

/// A private key in memory, bound to the one algorithm it may be used with.
pub struct SoftwareKey {
    algorithm: KeyAlgorithm,
    pair: Pair,
}

enum Pair {
    Rsa {
        pair: RsaKeyPair,
        encoding: &'static dyn RsaEncoding,
    },
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa65(PqdsaKeyPair),
}

impl SoftwareKey {
    /// Makes a new key and proves it by a signature. RSA takes up to two seconds.
    ///
    /// # Errors
    /// [`GenerateError`]: the algorithm is not available, or the library failed; nothing is retried.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, GenerateError> {
        let failed = |Unspecified| GenerateError::Failed { algorithm };
        let pair = match algorithm.scheme()? {
            Scheme::Rsa { size, encoding, .. } => Pair::Rsa {
                pair: RsaKeyPair::generate(size).map_err(failed)?,
                encoding,
            },
            Scheme::Ecdsa { signing, .. } => Pair::Ecdsa(EcdsaKeyPair::generate(signing).map_err(failed)?),
            Scheme::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            Scheme::MlDsa65 => Pair::MlDsa65(PqdsaKeyPair::generate(&lc::ML_DSA_65_SIGNING).map_err(failed)?),
        };
        let key = Self { algorithm, pair };
        if key.passes_self_test() {
            Ok(key)
        } else {
            Err(GenerateError::SelfTest { algorithm })
        }
    }

    /// Reads a PKCS#8 document.
    ///
    /// # Errors
    /// [`ImportError`]: not such a document, or not a key of `algorithm`.
    pub fn from_pkcs8(algorithm: KeyAlgorithm, document: &[u8]) -> Result<Self, ImportError> {
        Self::from_der(algorithm, document, Encoding::Pkcs8)?.tested()
    }

    /// Reads back what was sealed: its origin is authenticated, so the self-test at its making still holds.
    pub(crate) fn from_sealed_pkcs8(algorithm: KeyAlgorithm, document: &[u8]) -> Result<Self, ImportError> {
        Self::from_der(algorithm, document, Encoding::Pkcs8)
    }

    /// Reads an unencrypted private key from PEM: PKCS#8, or the older forms of RSA and EC keys.
    ///
    /// # Errors
    /// [`ImportError`]: not one such block, or not a key of `algorithm`.
    pub fn from_pem(algorithm: KeyAlgorithm, text: &str) -> Result<Self, ImportError> {
        let (label, contents) = pem::decode(text)?;
        Self::from_der(algorithm, &contents, Encoding::of_label(label)?)?.tested()
    }

    /// The algorithms a private key in PEM could be used with: one for an EC key, several for an RSA key.
    ///
    /// # Errors
    /// [`ImportError`]: the text is not a private key that can be read.
    pub fn algorithms_of_pem(text: &str) -> Result<Vec<KeyAlgorithm>, ImportError> {
        let (label, contents) = pem::decode(text)?;
        let encoding = Encoding::of_label(label)?;
        Ok(KeyAlgorithm::ALL
            .into_iter()
            .filter(|&algorithm| Self::from_der(algorithm, &contents, encoding).is_ok())
            .collect())
    }

    fn from_der(algorithm: KeyAlgorithm, document: &[u8], encoding: Encoding) -> Result<Self, ImportError> {
        if !der::is_one_sequence(document) {
            return Err(ImportError::TrailingBytes);
        }
        let rejected = |_: KeyRejected| ImportError::NotThisKind { algorithm };
        let pair = match (algorithm.scheme()?, encoding) {
            (
                Scheme::Rsa {
                    size,
                    encoding: signature,
                    ..
                },
                Encoding::Pkcs8 | Encoding::Pkcs1,
            ) => {
                let pair = match encoding {
                    Encoding::Pkcs1 => RsaKeyPair::from_der(document),
                    Encoding::Pkcs8 | Encoding::Sec1 => RsaKeyPair::from_pkcs8(document),
                };
                let pair = pair.map_err(rejected)?;
                check_rsa(&pair, size.len()).ok_or(ImportError::NotThisKind { algorithm })?;
                Pair::Rsa {
                    pair,
                    encoding: signature,
                }
            }
            (Scheme::Ecdsa { signing, .. }, Encoding::Pkcs8) => {
                Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(signing, document).map_err(rejected)?)
            }
            (Scheme::Ecdsa { signing, .. }, Encoding::Sec1) => {
                Pair::Ecdsa(EcdsaKeyPair::from_private_key_der(signing, document).map_err(rejected)?)
            }
            (Scheme::Ed25519, Encoding::Pkcs8) => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document).map_err(rejected)?)
            }
            (Scheme::MlDsa65, Encoding::Pkcs8) => {
                Pair::MlDsa65(PqdsaKeyPair::from_pkcs8(&lc::ML_DSA_65_SIGNING, document).map_err(rejected)?)
            }
            _ => return Err(ImportError::NotThisKind { algorithm }),
        };
        Ok(Self { algorithm, pair })
    }

    fn tested(self) -> Result<Self, ImportError> {
        let algorithm = self.algorithm;
        if self.passes_self_test() {
            Ok(self)
        } else {
            Err(ImportError::NotThisKind { algorithm })
        }
    }

    /// The algorithm it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Signs a digest: RSA as it is, ECDSA as DER, PSS with a salt as long as the digest.
    ///
    /// # Errors
    /// [`SignError`]: the digest is of another hash, or the algorithm signs the message itself.
    pub fn sign_digest(&self, digest: &MessageDigest) -> Result<Vec<u8>, SignError> {
        let expected = self.algorithm.hash().ok_or(SignError::NeedsData {
            algorithm: self.algorithm,
        })?;
        if digest.hash() != expected {
            return Err(SignError::WrongHash {
                algorithm: self.algorithm,
                expected,
                got: digest.hash(),
            });
        }
        self.sign_checked(digest)
            .map_err(|Unspecified| SignError::Failed {
                algorithm: self.algorithm,
            })
    }

    /// Signs a message of at most 64 KiB, hashing it first where the algorithm signs a hash.
    ///
    /// # Errors
    /// [`SignError`]: the message is too long.
    pub fn sign_data(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        if data.len() > MAX_DATA_BYTES {
            return Err(SignError::DataTooLong { length: data.len() });
        }
        self.sign_message(data).map_err(|Unspecified| SignError::Failed {
            algorithm: self.algorithm,
        })
    }

    /// The public half: SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    /// [`SignError::Failed`] when the library cannot write it, which is not expected to happen.
    pub fn public_key_der(&self) -> Result<Vec<u8>, SignError> {
        self.spki().map_err(|Unspecified| SignError::Failed {
            algorithm: self.algorithm,
        })
    }

    /// The public half as a `PUBLIC KEY` PEM block.
    ///
    /// # Errors
    /// As [`SoftwareKey::public_key_der`].
    pub fn public_key_pem(&self) -> Result<String, SignError> {
        Ok(pem::encode("PUBLIC KEY", &self.public_key_der()?).to_string())
    }

    /// The private half as a PKCS#8 document, wiped when dropped.
    ///
    /// # Errors
    /// [`SignError::Failed`] when the library cannot write it, which is not expected to happen.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SignError> {
        self.pkcs8().map_err(|Unspecified| SignError::Failed {
            algorithm: self.algorithm,
        })
    }

    /// The private half as a `PRIVATE KEY` PEM block, wiped when dropped.
    ///
    /// # Errors
    /// As [`SoftwareKey::to_pkcs8`].
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SignError> {
        Ok(pem::encode("PRIVATE KEY", &self.to_pkcs8()?))
    }

    fn sign_checked(&self, digest: &MessageDigest) -> Result<Vec<u8>, Unspecified> {
        match &self.pair {
            Pair::Rsa { pair, encoding } => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(*encoding, digest.value(), &mut signature)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => Ok(pair.sign_digest(digest.value())?.as_ref().to_vec()),
            Pair::Ed25519(_) | Pair::MlDsa65(_) => Err(Unspecified),
        }
    }

    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match &self.pair {
            Pair::Rsa { .. } | Pair::Ecdsa(_) => {
                let hash = self.algorithm.hash().ok_or(Unspecified)?;
                self.sign_checked(&MessageDigest::of(hash, message))
            }
            Pair::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Pair::MlDsa65(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let written = pair.sign(message, &mut signature)?;
                signature.truncate(written);
                Ok(signature)
            }
        }
    }

    fn spki(&self) -> Result<Vec<u8>, Unspecified> {
        let document: PublicKeyX509Der<'static> = match &self.pair {
            Pair::Rsa { pair, .. } => pair.public_key().as_der()?,
            Pair::Ecdsa(pair) => pair.public_key().as_der()?,
            Pair::Ed25519(pair) => pair.public_key().as_der()?,
            Pair::MlDsa65(pair) => pair.public_key().as_der()?,
        };
        Ok(document.as_ref().to_vec())
    }

    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let document = match &self.pair {
            Pair::Rsa { pair, .. } => {
                let document: Pkcs8V1Der<'static> = pair.as_der()?;
                return Ok(Zeroizing::new(document.as_ref().to_vec()));
            }
            Pair::Ecdsa(pair) => pair.to_pkcs8v1()?,
            Pair::Ed25519(pair) => pair.to_pkcs8v1()?,
            Pair::MlDsa65(pair) => pair.to_pkcs8v1()?,
        };
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// CR-17: sign with the private half, verify with the public half as others will see it.
    fn passes_self_test(&self) -> bool {
        let verification: &'static dyn VerificationAlgorithm = match self.algorithm.scheme() {
            Ok(Scheme::Rsa { verification, .. } | Scheme::Ecdsa { verification, .. }) => verification,
            Ok(Scheme::Ed25519) => &lc::ED25519,
            Ok(Scheme::MlDsa65) => &lc::ML_DSA_65,
            Err(NotAvailable { .. }) => return false,
        };
        let (Ok(public), Ok(signature)) = (self.spki(), self.sign_message(SELF_TEST)) else {
            return false;
        };
        UnparsedPublicKey::new(verification, public)
            .verify(SELF_TEST, &signature)
            .is_ok()
    }
}

impl fmt::Debug for SoftwareKey {
    /// The algorithm and nothing of the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SoftwareKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What is inside a PEM block, by its label.
#[derive(Clone, Copy)]
enum Encoding {
    Pkcs8,
    Pkcs1,
    Sec1,
}

impl Encoding {
    fn of_label(label: &str) -> Result<Self, ImportError> {
        match label {
            "PRIVATE KEY" => Ok(Self::Pkcs8),
            "RSA PRIVATE KEY" => Ok(Self::Pkcs1),
            "EC PRIVATE KEY" => Ok(Self::Sec1),
            "ENCRYPTED PRIVATE KEY" => Err(ImportError::Encrypted),
            _ => Err(ImportError::NotAPrivateKey {
                label: label.chars().take(64).collect(),
            }),
        }
    }
}

/// The exact size, and an exponent no lax verifier can be fooled with.
fn check_rsa(pair: &RsaKeyPair, modulus_bytes: usize) -> Option<()> {
    let exponent = der::rsa_exponent(pair.public_key().as_ref())?;
    (pair.public_modulus_len() == modulus_bytes && exponent >= MIN_RSA_EXPONENT && exponent % 2 == 1)
        .then_some(())
}

/// Why no key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The algorithm cannot be had here.
    #[error(transparent)]
    NotAvailable(#[from] NotAvailable),
    /// The library gave up.
    #[error("the cryptographic library could not generate a `{algorithm}` key")]
    Failed {
        /// What was wanted.
        algorithm: KeyAlgorithm,
    },
    /// The new key does not verify its own signature: a broken build or broken hardware.
    #[error("a freshly generated `{algorithm}` key failed its self-test")]
    SelfTest {
        /// What was wanted.
        algorithm: KeyAlgorithm,
    },
}

/// Why a private key was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Not PEM.
    #[error(transparent)]
    Pem(#[from] InvalidPem),
    /// The algorithm cannot be had here.
    #[error(transparent)]
    NotAvailable(#[from] NotAvailable),
    /// PEM, but of something else.
    #[error("expected a `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY` block, found `{label}`")]
    NotAPrivateKey {
        /// The label found.
        label: String,
    },
    /// Behind a pass phrase.
    #[error("the private key is encrypted, decrypt it first: `openssl pkcs8 -in FILE -out PLAIN`")]
    Encrypted,
    /// The document is cut short or something follows it.
    #[error("the private key is not one complete DER document")]
    TrailingBytes,
    /// A key, but not one for this algorithm; or damaged.
    #[error("not a usable private key for `{algorithm}`")]
    NotThisKind {
        /// What was expected.
        algorithm: KeyAlgorithm,
    },
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The token that holds the key did not sign.
    #[error("{0}")]
    Token(String),
    /// A digest of another hash.
    #[error("`{algorithm}` signs a {expected} digest, got a {got} digest")]
    WrongHash {
        /// The key's algorithm.
        algorithm: KeyAlgorithm,
        /// Its hash.
        expected: HashAlgorithm,
        /// The hash that came.
        got: HashAlgorithm,
    },
    /// A digest for an algorithm that hashes the message in its own way.
    #[error("`{algorithm}` signs the message itself, expected `data` instead of `digest`")]
    NeedsData {
        /// The key's algorithm.
        algorithm: KeyAlgorithm,
    },
    /// More than 64 KiB.
    #[error("the data has {length} bytes, expected at most {MAX_DATA_BYTES}")]
    DataTooLong {
        /// How much came.
        length: usize,
    },
    /// The library gave up.
    #[error("the cryptographic library failed on a `{algorithm}` key")]
    Failed {
        /// The key's algorithm.
        algorithm: KeyAlgorithm,
    },
}
