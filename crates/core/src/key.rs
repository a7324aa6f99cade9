//! Public keys: which algorithm, which bytes, and the id they are known by.

use crate::der::{Curve, SpkiKey, read_spki};
use crate::signature::pgp::Certificate;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::fmt;

/// Longest PEM accepted: an RSA-4096 SPKI is 800 characters.
pub const MAX_PEM_LEN: usize = 16 * 1024;

/// The signature algorithms of Binary Authorization, each with its hash, padding and key size.
///
/// The key decides all of them; a signature chooses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignatureAlgorithm {
    /// RSASSA-PSS, 2048-bit key, SHA-256, salt 32 bytes.
    RsaPss2048Sha256,
    /// RSASSA-PSS, 3072-bit key, SHA-256, salt 32 bytes.
    RsaPss3072Sha256,
    /// RSASSA-PSS, 4096-bit key, SHA-256, salt 32 bytes.
    RsaPss4096Sha256,
    /// RSASSA-PSS, 4096-bit key, SHA-512, salt 64 bytes.
    RsaPss4096Sha512,
    /// RSASSA-PKCS1-v1_5, 2048-bit key, SHA-256.
    RsaPkcs1_2048Sha256,
    /// RSASSA-PKCS1-v1_5, 3072-bit key, SHA-256.
    RsaPkcs1_3072Sha256,
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-256.
    RsaPkcs1_4096Sha256,
    /// RSASSA-PKCS1-v1_5, 4096-bit key, SHA-512.
    RsaPkcs1_4096Sha512,
    /// ECDSA on P-256 with SHA-256, DER signature.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384, DER signature.
    EcdsaP384Sha384,
    /// ECDSA on P-521 with SHA-512, DER signature.
    EcdsaP521Sha512,
}

/// The hash of a [`SignatureAlgorithm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl SignatureAlgorithm {
    /// Every algorithm with its number in `google.cloud.binaryauthorization.v1.PkixPublicKey.SignatureAlgorithm`,
    /// the name that is written, and the alias that is accepted besides.
    pub const TABLE: [(Self, i32, &'static str, Option<&'static str>); 11] = [
        (
            Self::RsaPss2048Sha256,
            1,
            "RSA_PSS_2048_SHA256",
            Some("RSA_SIGN_PSS_2048_SHA256"),
        ),
        (
            Self::RsaPss3072Sha256,
            2,
            "RSA_PSS_3072_SHA256",
            Some("RSA_SIGN_PSS_3072_SHA256"),
        ),
        (
            Self::RsaPss4096Sha256,
            3,
            "RSA_PSS_4096_SHA256",
            Some("RSA_SIGN_PSS_4096_SHA256"),
        ),
        (
            Self::RsaPss4096Sha512,
            4,
            "RSA_PSS_4096_SHA512",
            Some("RSA_SIGN_PSS_4096_SHA512"),
        ),
        (Self::RsaPkcs1_2048Sha256, 5, "RSA_SIGN_PKCS1_2048_SHA256", None),
        (Self::RsaPkcs1_3072Sha256, 6, "RSA_SIGN_PKCS1_3072_SHA256", None),
        (Self::RsaPkcs1_4096Sha256, 7, "RSA_SIGN_PKCS1_4096_SHA256", None),
        (Self::RsaPkcs1_4096Sha512, 8, "RSA_SIGN_PKCS1_4096_SHA512", None),
        (
            Self::EcdsaP256Sha256,
            9,
            "ECDSA_P256_SHA256",
            Some("EC_SIGN_P256_SHA256"),
        ),
        (
            Self::EcdsaP384Sha384,
            10,
            "ECDSA_P384_SHA384",
            Some("EC_SIGN_P384_SHA384"),
        ),
        (
            Self::EcdsaP521Sha512,
            11,
            "ECDSA_P521_SHA512",
            Some("EC_SIGN_P521_SHA512"),
        ),
    ];

    /// The name as it is written.
    pub fn name(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.2)
    }

    /// The proto number.
    pub fn number(self) -> i32 {
        Self::TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or(0, |row| row.1)
    }

    /// The algorithm with this name or alias.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE
            .iter()
            .find(|row| row.2 == name || row.3 == Some(name))
            .map(|row| row.0)
    }

    /// The algorithm with this proto number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::TABLE
            .iter()
            .find(|row| i64::from(row.1) == number)
            .map(|row| row.0)
    }

    /// The hash the signature is made over.
    pub const fn hash(self) -> Hash {
        match self {
            Self::RsaPss2048Sha256
            | Self::RsaPss3072Sha256
            | Self::RsaPss4096Sha256
            | Self::RsaPkcs1_2048Sha256
            | Self::RsaPkcs1_3072Sha256
            | Self::RsaPkcs1_4096Sha256
            | Self::EcdsaP256Sha256 => Hash::Sha256,
            Self::EcdsaP384Sha384 => Hash::Sha384,
            Self::RsaPss4096Sha512 | Self::RsaPkcs1_4096Sha512 | Self::EcdsaP521Sha512 => Hash::Sha512,
        }
    }

    const fn requirement(self) -> Requirement {
        match self {
            Self::RsaPss2048Sha256 | Self::RsaPkcs1_2048Sha256 => Requirement::RsaBits(2048),
            Self::RsaPss3072Sha256 | Self::RsaPkcs1_3072Sha256 => Requirement::RsaBits(3072),
            Self::RsaPss4096Sha256
            | Self::RsaPss4096Sha512
            | Self::RsaPkcs1_4096Sha256
            | Self::RsaPkcs1_4096Sha512 => Requirement::RsaBits(4096),
            Self::EcdsaP256Sha256 => Requirement::Curve(Curve::P256),
            Self::EcdsaP384Sha384 => Requirement::Curve(Curve::P384),
            Self::EcdsaP521Sha512 => Requirement::Curve(Curve::P521),
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

enum Requirement {
    RsaBits(usize),
    Curve(Curve),
}

/// Why a text is not a public key for an attestor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKey {
    /// Not one PEM block labelled `PUBLIC KEY`.
    #[error("the key is not a single PEM block labelled `PUBLIC KEY` (RFC 7468 section 13)")]
    Pem,
    /// Not an SPKI of a kind we know.
    #[error(
        "the key is not an RSA, P-256, P-384 or P-521 public key in DER (RFC 5480: with an uncompressed point)"
    )]
    Spki,
    /// The algorithm needs another size or curve.
    #[error("the key is {found}, but `{algorithm}` needs {expected}")]
    Mismatch {
        /// The declared algorithm.
        algorithm: SignatureAlgorithm,
        /// What it needs.
        expected: String,
        /// What the key is.
        found: String,
    },
    /// An RSA exponent below 65537, or even.
    #[error("the RSA public exponent is {0}; it must be odd and at least 65537")]
    Exponent(u64),
    /// The cryptographic library refused it (a point off the curve, for example).
    #[error("the key is malformed")]
    Rejected,
    /// The PGP key could not be used.
    #[error("the PGP key cannot be used: {0}")]
    Pgp(String),
}

/// A PKIX public key, checked against its algorithm.
#[derive(Clone)]
pub struct PkixKey {
    algorithm: SignatureAlgorithm,
    pem: Box<str>,
    der: Box<[u8]>,
}

impl PkixKey {
    /// Reads a PEM key for use with `algorithm`.
    pub fn from_pem(pem: &str, algorithm: SignatureAlgorithm) -> Result<Self, InvalidPublicKey> {
        let der = read_pem(pem).ok_or(InvalidPublicKey::Pem)?;
        let key = read_spki(&der).ok_or(InvalidPublicKey::Spki)?;
        let mismatch = |expected: String| InvalidPublicKey::Mismatch {
            algorithm,
            expected,
            found: describe(&key),
        };
        match (algorithm.requirement(), &key) {
            (
                Requirement::RsaBits(bits),
                SpkiKey::Rsa {
                    modulus_bits,
                    exponent,
                },
            ) => {
                if *modulus_bits != bits {
                    return Err(mismatch(format!("a {bits}-bit RSA key")));
                }
                if *exponent < 65537 || exponent % 2 == 0 {
                    return Err(InvalidPublicKey::Exponent(*exponent));
                }
            }
            (Requirement::Curve(expected), SpkiKey::Ec(curve)) if *curve == expected => {}
            (Requirement::RsaBits(bits), SpkiKey::Ec(_)) => {
                return Err(mismatch(format!("a {bits}-bit RSA key")));
            }
            (Requirement::Curve(expected), _) => return Err(mismatch(describe(&SpkiKey::Ec(expected)))),
        }
        crate::signature::pkix::check_key(algorithm, &der).ok_or(InvalidPublicKey::Rejected)?;
        Ok(Self {
            algorithm,
            pem: pem.into(),
            der: der.into(),
        })
    }

    /// The algorithm signatures by this key must have.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The PEM as it was given.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The id of RFC 6920: `ni:///sha-256;` and the unpadded URL-safe base64 of the SPKI's SHA-256.
    pub fn default_id(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        format!("ni:///sha-256;{}", URL_SAFE_NO_PAD.encode(digest))
    }
}

impl fmt::Debug for PkixKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PkixKey({}, {})", self.algorithm, self.default_id())
    }
}

impl PartialEq for PkixKey {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.der == other.der
    }
}

impl Eq for PkixKey {}

fn describe(key: &SpkiKey) -> String {
    match key {
        SpkiKey::Rsa { modulus_bits, .. } => format!("a {modulus_bits}-bit RSA key"),
        SpkiKey::Ec(Curve::P256) => "a P-256 key".to_owned(),
        SpkiKey::Ec(Curve::P384) => "a P-384 key".to_owned(),
        SpkiKey::Ec(Curve::P521) => "a P-521 key".to_owned(),
    }
}

/// The bytes of the only block of a PEM text, if it is a `PUBLIC KEY`.
fn read_pem(pem: &str) -> Option<Vec<u8>> {
    if pem.len() > MAX_PEM_LEN {
        return None;
    }
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?;
    if body.contains('-') {
        return None;
    }
    let base64: String = body
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n' | ' ' | '\t'))
        .collect();
    STANDARD.decode(base64).ok()
}

/// What an attestor verifies with.
#[derive(Clone, Debug)]
pub enum PublicKey {
    /// An RSA or ECDSA key.
    Pkix(PkixKey),
    /// An OpenPGP certificate.
    Pgp(Box<Certificate>),
}

/// The part of a key id that decides whether two ids mean the same key.
///
/// Ids are hints. Cloud KMS ids carry the host they were made through, so both forms are reduced to
/// `projects/…/cryptoKeyVersions/N`; PGP fingerprints compare without case and scheme; anything
/// else compares byte for byte.
pub fn reduced_id(id: &str) -> String {
    if let Some(rest) = id.strip_prefix("//")
        && let Some((_, path)) = rest.split_once("/v1/")
        && path.parse::<crate::name::KeyVersionName>().is_ok()
    {
        return path.to_owned();
    }
    let fingerprint = id.strip_prefix("openpgp4fpr:").unwrap_or(id);
    if fingerprint.len() == 40 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit()) {
        return fingerprint.to_ascii_uppercase();
    }
    id.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_reduce_to_what_they_mean() {
        let version = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
        for host in ["cloudkms.googleapis.com", "127.0.0.1:8787", "127.0.0.1:8787/@kms"] {
            assert_eq!(reduced_id(&format!("//{host}/v1/{version}")), version);
        }
        assert_eq!(
            reduced_id("//evil/v1/projects/p/other"),
            "//evil/v1/projects/p/other"
        );
        assert_eq!(reduced_id(&"ab".repeat(20)), "AB".repeat(20));
        assert_eq!(
            reduced_id(&format!("openpgp4fpr:{}", "aB".repeat(20))),
            "AB".repeat(20)
        );
        assert_eq!(reduced_id("ni:///sha-256;x"), "ni:///sha-256;x");
    }

    #[test]
    fn every_algorithm_has_one_row() {
        for (algorithm, number, name, alias) in SignatureAlgorithm::TABLE {
            assert_eq!(SignatureAlgorithm::from_name(name), Some(algorithm));
            assert_eq!(
                SignatureAlgorithm::from_number(i64::from(number)),
                Some(algorithm)
            );
            assert_eq!((algorithm.name(), algorithm.number()), (name, number));
            if let Some(alias) = alias {
                assert_eq!(SignatureAlgorithm::from_name(alias), Some(algorithm));
            }
        }
        assert_eq!(SignatureAlgorithm::from_name("ED25519"), None);
        assert_eq!(SignatureAlgorithm::from_number(0), None);
    }
}
