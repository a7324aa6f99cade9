//! PKIX signatures: RSA PKCS#1 v1.5, RSA PSS (salt as long as the hash) and ECDSA in strict DER.

use super::{Good, PAE_TYPE, pae};
use crate::key::{PkixKey, SignatureAlgorithm};
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

fn verification(algorithm: SignatureAlgorithm) -> &'static dyn VerificationAlgorithm {
    use SignatureAlgorithm as A;
    match algorithm {
        A::RsaPss2048Sha256 | A::RsaPss3072Sha256 | A::RsaPss4096Sha256 => {
            &signature::RSA_PSS_2048_8192_SHA256
        }
        A::RsaPss4096Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
        A::RsaPkcs1_2048Sha256 | A::RsaPkcs1_3072Sha256 | A::RsaPkcs1_4096Sha256 => {
            &signature::RSA_PKCS1_2048_8192_SHA256
        }
        A::RsaPkcs1_4096Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        A::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        A::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        A::EcdsaP521Sha512 => &signature::ECDSA_P521_SHA512_ASN1,
    }
}

/// Whether the library takes the key at all (a point on the curve, a well-formed modulus).
pub(crate) fn check_key(algorithm: SignatureAlgorithm, der: &[u8]) -> Option<()> {
    ParsedPublicKey::new(verification(algorithm), der)
        .ok()
        .map(|_| ())
}

/// Checks `signature` over `payload`, raw first, then in the one PAE form.
pub(crate) fn verify(key: &PkixKey, payload: &[u8], signature: &[u8]) -> Option<Good> {
    let parsed = ParsedPublicKey::new(verification(key.algorithm()), key.der()).ok()?;
    let verifies = |signed: &[u8]| parsed.verify_sig(signed, signature).is_ok();
    (verifies(payload) || verifies(&pae(PAE_TYPE, payload))).then_some(Good { until: None })
}
