//! Every signing algorithm Cloud KMS names, and which of them this build can do.

use std::fmt;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as lc, EcdsaSigningAlgorithm, RsaSignatureEncoding, VerificationAlgorithm};

/// A signing algorithm: key type, size, padding and hash in one value, so that a key is never used under two
/// schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyAlgorithm {
    /// RSASSA-PSS, 2048 bits, SHA-256.
    RsaSignPss2048Sha256,
    /// RSASSA-PSS, 3072 bits, SHA-256.
    RsaSignPss3072Sha256,
    /// RSASSA-PSS, 4096 bits, SHA-256.
    RsaSignPss4096Sha256,
    /// RSASSA-PSS, 4096 bits, SHA-512.
    RsaSignPss4096Sha512,
    /// RSASSA-PKCS1-v1_5, 2048 bits, SHA-256.
    RsaSignPkcs12048Sha256,
    /// RSASSA-PKCS1-v1_5, 3072 bits, SHA-256.
    RsaSignPkcs13072Sha256,
    /// RSASSA-PKCS1-v1_5, 4096 bits, SHA-256.
    RsaSignPkcs14096Sha256,
    /// RSASSA-PKCS1-v1_5, 4096 bits, SHA-512.
    RsaSignPkcs14096Sha512,
    /// RSASSA-PKCS1-v1_5 without digest information, 2048 bits.
    RsaSignRawPkcs12048,
    /// RSASSA-PKCS1-v1_5 without digest information, 3072 bits.
    RsaSignRawPkcs13072,
    /// RSASSA-PKCS1-v1_5 without digest information, 4096 bits.
    RsaSignRawPkcs14096,
    /// ECDSA on NIST P-256, SHA-256.
    EcSignP256Sha256,
    /// ECDSA on NIST P-384, SHA-384.
    EcSignP384Sha384,
    /// ECDSA on NIST P-521, SHA-512. Not a Cloud KMS algorithm: attestors accept it, so a key kept in a local
    /// file may have it.
    EcSignP521Sha512,
    /// ECDSA on secp256k1, SHA-256.
    EcSignSecp256k1Sha256,
    /// Ed25519 over the message itself.
    EcSignEd25519,
    /// ML-DSA-65 over the message itself.
    PqSignMlDsa65,
    /// SLH-DSA-SHA2-128s over the message itself.
    PqSignSlhDsaSha2128s,
    /// SLH-DSA-SHA2-128s over a SHA-256 digest.
    PqSignHashSlhDsaSha2128sSha256,
}

/// How a signature is made.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Rsa {
        size: KeySize,
        encoding: &'static RsaSignatureEncoding,
        verification: &'static dyn VerificationAlgorithm,
    },
    Ecdsa {
        signing: &'static EcdsaSigningAlgorithm,
        verification: &'static dyn VerificationAlgorithm,
    },
    Ed25519,
    MlDsa65,
}

impl KeyAlgorithm {
    /// All of them, in the order of the documentation of Cloud KMS.
    pub const ALL: [Self; 19] = [
        Self::RsaSignPss2048Sha256,
        Self::RsaSignPss3072Sha256,
        Self::RsaSignPss4096Sha256,
        Self::RsaSignPss4096Sha512,
        Self::RsaSignPkcs12048Sha256,
        Self::RsaSignPkcs13072Sha256,
        Self::RsaSignPkcs14096Sha256,
        Self::RsaSignPkcs14096Sha512,
        Self::RsaSignRawPkcs12048,
        Self::RsaSignRawPkcs13072,
        Self::RsaSignRawPkcs14096,
        Self::EcSignP256Sha256,
        Self::EcSignP384Sha384,
        Self::EcSignP521Sha512,
        Self::EcSignSecp256k1Sha256,
        Self::EcSignEd25519,
        Self::PqSignMlDsa65,
        Self::PqSignSlhDsaSha2128s,
        Self::PqSignHashSlhDsaSha2128sSha256,
    ];

    /// The enum name, as Cloud KMS writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaSignPss2048Sha256 => "RSA_SIGN_PSS_2048_SHA256",
            Self::RsaSignPss3072Sha256 => "RSA_SIGN_PSS_3072_SHA256",
            Self::RsaSignPss4096Sha256 => "RSA_SIGN_PSS_4096_SHA256",
            Self::RsaSignPss4096Sha512 => "RSA_SIGN_PSS_4096_SHA512",
            Self::RsaSignPkcs12048Sha256 => "RSA_SIGN_PKCS1_2048_SHA256",
            Self::RsaSignPkcs13072Sha256 => "RSA_SIGN_PKCS1_3072_SHA256",
            Self::RsaSignPkcs14096Sha256 => "RSA_SIGN_PKCS1_4096_SHA256",
            Self::RsaSignPkcs14096Sha512 => "RSA_SIGN_PKCS1_4096_SHA512",
            Self::RsaSignRawPkcs12048 => "RSA_SIGN_RAW_PKCS1_2048",
            Self::RsaSignRawPkcs13072 => "RSA_SIGN_RAW_PKCS1_3072",
            Self::RsaSignRawPkcs14096 => "RSA_SIGN_RAW_PKCS1_4096",
            Self::EcSignP256Sha256 => "EC_SIGN_P256_SHA256",
            Self::EcSignP384Sha384 => "EC_SIGN_P384_SHA384",
            Self::EcSignP521Sha512 => "EC_SIGN_P521_SHA512",
            Self::EcSignSecp256k1Sha256 => "EC_SIGN_SECP256K1_SHA256",
            Self::EcSignEd25519 => "EC_SIGN_ED25519",
            Self::PqSignMlDsa65 => "PQ_SIGN_ML_DSA_65",
            Self::PqSignSlhDsaSha2128s => "PQ_SIGN_SLH_DSA_SHA2_128S",
            Self::PqSignHashSlhDsaSha2128sSha256 => "PQ_SIGN_HASH_SLH_DSA_SHA2_128S_SHA256",
        }
    }

    /// The enum number of Cloud KMS; none for the one algorithm it does not have.
    #[must_use]
    pub const fn number(self) -> Option<i64> {
        Some(match self {
            Self::RsaSignPss2048Sha256 => 2,
            Self::RsaSignPss3072Sha256 => 3,
            Self::RsaSignPss4096Sha256 => 4,
            Self::RsaSignPss4096Sha512 => 15,
            Self::RsaSignPkcs12048Sha256 => 5,
            Self::RsaSignPkcs13072Sha256 => 6,
            Self::RsaSignPkcs14096Sha256 => 7,
            Self::RsaSignPkcs14096Sha512 => 16,
            Self::RsaSignRawPkcs12048 => 28,
            Self::RsaSignRawPkcs13072 => 29,
            Self::RsaSignRawPkcs14096 => 30,
            Self::EcSignP256Sha256 => 12,
            Self::EcSignP384Sha384 => 13,
            Self::EcSignP521Sha512 => return None,
            Self::EcSignSecp256k1Sha256 => 31,
            Self::EcSignEd25519 => 40,
            Self::PqSignMlDsa65 => 56,
            Self::PqSignSlhDsaSha2128s => 57,
            Self::PqSignHashSlhDsaSha2128sSha256 => 60,
        })
    }

    /// The algorithm Cloud KMS calls `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::cloud_kms().find(|algorithm| algorithm.name() == name)
    }

    /// The algorithm Cloud KMS numbers `number`.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::cloud_kms().find(|algorithm| algorithm.number() == Some(number))
    }

    /// The algorithms a Cloud KMS key may name, available here or not.
    pub fn cloud_kms() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|algorithm| algorithm.number().is_some())
    }

    /// The hash the algorithm signs; none when it signs the message itself.
    #[must_use]
    pub const fn hash(self) -> Option<HashAlgorithm> {
        match self {
            Self::RsaSignPss2048Sha256
            | Self::RsaSignPss3072Sha256
            | Self::RsaSignPss4096Sha256
            | Self::RsaSignPkcs12048Sha256
            | Self::RsaSignPkcs13072Sha256
            | Self::RsaSignPkcs14096Sha256
            | Self::EcSignP256Sha256
            | Self::EcSignSecp256k1Sha256
            | Self::PqSignHashSlhDsaSha2128sSha256 => Some(HashAlgorithm::Sha256),
            Self::EcSignP384Sha384 => Some(HashAlgorithm::Sha384),
            Self::RsaSignPss4096Sha512 | Self::RsaSignPkcs14096Sha512 | Self::EcSignP521Sha512 => {
                Some(HashAlgorithm::Sha512)
            }
            Self::RsaSignRawPkcs12048
            | Self::RsaSignRawPkcs13072
            | Self::RsaSignRawPkcs14096
            | Self::EcSignEd25519
            | Self::PqSignMlDsa65
            | Self::PqSignSlhDsaSha2128s => None,
        }
    }

    /// Whether making a key takes long enough (RSA: a second or two) to need a worker thread of its own.
    #[must_use]
    pub fn is_slow_to_generate(self) -> bool {
        matches!(self.scheme(), Ok(Scheme::Rsa { .. }))
    }

    /// Refuses an algorithm this build cannot sign with.
    ///
    /// # Errors
    /// [`NotAvailable`] names the algorithms that can be had instead.
    pub fn check_available(self) -> Result<(), NotAvailable> {
        self.scheme().map(|_| ())
    }

    pub(crate) fn scheme(self) -> Result<Scheme, NotAvailable> {
        use KeySize::{Rsa2048, Rsa3072, Rsa4096};
        use lc::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256};
        let rsa = |size, encoding, verification| {
            Ok(Scheme::Rsa {
                size,
                encoding,
                verification,
            })
        };
        match self {
            Self::RsaSignPss2048Sha256 => rsa(Rsa2048, &lc::RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
            Self::RsaSignPss3072Sha256 => rsa(Rsa3072, &lc::RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
            Self::RsaSignPss4096Sha256 => rsa(Rsa4096, &lc::RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
            Self::RsaSignPss4096Sha512 => rsa(Rsa4096, &lc::RSA_PSS_SHA512, &lc::RSA_PSS_2048_8192_SHA512),
            Self::RsaSignPkcs12048Sha256 => rsa(Rsa2048, &lc::RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
            Self::RsaSignPkcs13072Sha256 => rsa(Rsa3072, &lc::RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
            Self::RsaSignPkcs14096Sha256 => rsa(Rsa4096, &lc::RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
            Self::RsaSignPkcs14096Sha512 => rsa(Rsa4096, &lc::RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512),
            Self::EcSignP256Sha256 => Ok(Scheme::Ecdsa {
                signing: &lc::ECDSA_P256_SHA256_ASN1_SIGNING,
                verification: &lc::ECDSA_P256_SHA256_ASN1,
            }),
            Self::EcSignP384Sha384 => Ok(Scheme::Ecdsa {
                signing: &lc::ECDSA_P384_SHA384_ASN1_SIGNING,
                verification: &lc::ECDSA_P384_SHA384_ASN1,
            }),
            Self::EcSignP521Sha512 => Ok(Scheme::Ecdsa {
                signing: &lc::ECDSA_P521_SHA512_ASN1_SIGNING,
                verification: &lc::ECDSA_P521_SHA512_ASN1,
            }),
            Self::EcSignSecp256k1Sha256 => Ok(Scheme::Ecdsa {
                signing: &lc::ECDSA_P256K1_SHA256_ASN1_SIGNING,
                verification: &lc::ECDSA_P256K1_SHA256_ASN1,
            }),
            Self::EcSignEd25519 => Ok(Scheme::Ed25519),
            Self::PqSignMlDsa65 => Ok(Scheme::MlDsa65),
            // The library signs a message or a digest, never bytes that are already encoded.
            Self::RsaSignRawPkcs12048
            | Self::RsaSignRawPkcs13072
            | Self::RsaSignRawPkcs14096
            | Self::PqSignSlhDsaSha2128s
            | Self::PqSignHashSlhDsaSha2128sSha256 => Err(NotAvailable { algorithm: self }),
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The algorithm exists in Cloud KMS but not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "algorithm `{algorithm}` is not available on this server, expected one of {}",
    available_names()
)]
pub struct NotAvailable {
    /// What was asked for.
    pub algorithm: KeyAlgorithm,
}

fn available_names() -> String {
    let names: Vec<_> = KeyAlgorithm::cloud_kms()
        .filter(|algorithm| algorithm.check_available().is_ok())
        .map(|algorithm| format!("`{algorithm}`"))
        .collect();
    names.join(", ")
}

/// The hashes a signature can be made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// The name as the digest field of a Cloud KMS request writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn implementation(self) -> &'static aws_lc_rs::digest::Algorithm {
        match self {
            Self::Sha256 => &aws_lc_rs::digest::SHA256,
            Self::Sha384 => &aws_lc_rs::digest::SHA384,
            Self::Sha512 => &aws_lc_rs::digest::SHA512,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A digest somebody else computed, of the length its hash demands.
#[derive(Clone, Copy, Debug)]
pub struct MessageDigest {
    hash: HashAlgorithm,
    value: aws_lc_rs::digest::Digest,
}

impl MessageDigest {
    /// Takes the bytes of a digest of kind `hash`.
    ///
    /// # Errors
    /// [`WrongDigestLength`] when the bytes cannot be such a digest.
    pub fn new(hash: HashAlgorithm, bytes: &[u8]) -> Result<Self, WrongDigestLength> {
        aws_lc_rs::digest::Digest::import_less_safe(bytes, hash.implementation())
            .map(|value| Self { hash, value })
            .map_err(|_| WrongDigestLength {
                hash,
                length: bytes.len(),
            })
    }

    /// Hashes `message`.
    #[must_use]
    pub fn of(hash: HashAlgorithm, message: &[u8]) -> Self {
        Self {
            hash,
            value: aws_lc_rs::digest::digest(hash.implementation(), message),
        }
    }

    /// The hash that made it.
    #[must_use]
    pub const fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.value.as_ref()
    }

    pub(crate) const fn value(&self) -> &aws_lc_rs::digest::Digest {
        &self.value
    }
}

/// The bytes are not a digest of the named kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {hash} digest has {} bytes, got {length}", hash.length())]
pub struct WrongDigestLength {
    /// The hash that was named.
    pub hash: HashAlgorithm,
    /// How many bytes came.
    pub length: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique_and_read_back() {
        for algorithm in KeyAlgorithm::cloud_kms() {
            assert_eq!(KeyAlgorithm::from_name(algorithm.name()), Some(algorithm));
            let number = algorithm.number().unwrap_or_default();
            assert_eq!(KeyAlgorithm::from_number(number), Some(algorithm));
        }
        assert_eq!(KeyAlgorithm::cloud_kms().count(), 18);
    }

    #[test]
    fn what_is_not_a_signing_algorithm_is_not_found() {
        for name in [
            "",
            "GOOGLE_SYMMETRIC_ENCRYPTION",
            "rsa_sign_pss_2048_sha256",
            "EC_SIGN_P521_SHA512",
        ] {
            assert_eq!(KeyAlgorithm::from_name(name), None, "{name}");
        }
        for number in [0, 1, 8, 11, 14, -2, 999] {
            assert_eq!(KeyAlgorithm::from_number(number), None, "{number}");
        }
    }

    #[test]
    fn the_hash_is_the_one_the_name_says() {
        for algorithm in KeyAlgorithm::ALL {
            let named = [
                HashAlgorithm::Sha256,
                HashAlgorithm::Sha384,
                HashAlgorithm::Sha512,
            ]
            .into_iter()
            .find(|hash| algorithm.name().ends_with(&hash.name().to_uppercase()));
            assert_eq!(algorithm.hash(), named, "{algorithm}");
        }
    }

    #[test]
    fn an_unavailable_algorithm_says_what_can_be_had() {
        let refused: Vec<_> = KeyAlgorithm::ALL
            .into_iter()
            .filter(|algorithm| algorithm.check_available().is_err())
            .collect();
        assert_eq!(refused.len(), 5);
        let message = KeyAlgorithm::RsaSignRawPkcs12048
            .check_available()
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("`RSA_SIGN_RAW_PKCS1_2048` is not available"),
            "{message}"
        );
        assert!(message.contains("`EC_SIGN_P256_SHA256`"), "{message}");
        assert!(!message.contains("P521"), "{message}");
    }

    #[test]
    fn a_digest_has_the_length_of_its_hash() {
        for hash in [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512,
        ] {
            assert!(MessageDigest::new(hash, &vec![7; hash.length()]).is_ok());
            for length in [0, 20, hash.length() - 1, hash.length() + 1] {
                let error = MessageDigest::new(hash, &vec![7; length]).unwrap_err();
                assert_eq!(error, WrongDigestLength { hash, length });
            }
        }
    }
}
