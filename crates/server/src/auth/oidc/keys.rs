//! Keys of an issuer (RFC 7517): RSA and P-256, for signatures, and nothing else.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use binauthz_wire::json::{self, InvalidJson, Limits, Value};

use super::super::assertion::Algorithm;
use super::Jws;

/// Keys of one issuer: usual sets have two or three.
const MAX_KEYS: usize = 64;
/// Bytes of a key set.
pub(super) const MAX_SET: usize = 256 << 10;
const LIMITS: Limits = Limits {
    bytes: MAX_SET,
    depth: 8,
    values: 5_000,
};
/// RSA modulus in bytes: 2 048 to 4 096 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// A public key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
}

/// Why a document is no key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidKeys {
    #[error(transparent)]
    Json(#[from] InvalidJson),
    #[error("`keys` is not a list of at most {MAX_KEYS} keys")]
    Form,
    #[error("`keys` has no key for signatures by RS256 or ES256")]
    Empty,
}

impl Key {
    /// The keys of a set that can be used here; the others are for somebody else.
    pub(super) fn read_set(document: &[u8]) -> Result<Vec<Key>, InvalidKeys> {
        let value = json::parse(document, LIMITS)?;
        let Some(Value::Array(list)) = value.member("keys") else {
            return Err(InvalidKeys::Form);
        };
        if list.len() > MAX_KEYS {
            return Err(InvalidKeys::Form);
        }
        let keys: Vec<Key> = list.iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(InvalidKeys::Empty);
        }
        Ok(keys)
    }

    fn read(value: &Value) -> Option<Key> {
        let text = |name: &str| value.member(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if text("use").is_some_and(|use_of| use_of != "sig") {
            return None;
        }
        let (material, algorithm) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let strip = |bytes: Vec<u8>| {
                    bytes
                        .into_iter()
                        .skip_while(|byte| *byte == 0)
                        .collect::<Vec<u8>>()
                };
                let (modulus, exponent) = (strip(bytes("n")?), strip(bytes("e")?));
                // 65 537 or more: smaller exponents have a history.
                let is_sound = RSA_BYTES.contains(&modulus.len()) && (3..=8).contains(&exponent.len());
                is_sound.then_some((Material::Rsa { modulus, exponent }, "RS256"))?
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                let is_sound = x.len() == 32 && y.len() == 32;
                is_sound.then(|| (Material::P256([vec![4], x, y].concat()), "ES256"))?
            }
            _ => return None,
        };
        if text("alg").is_some_and(|alg| alg != algorithm) {
            return None;
        }
        Some(Key {
            id: text("kid").map(str::to_owned),
            material,
        })
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        matches!(
            (&self.material, algorithm),
            (Material::Rsa { .. }, Algorithm::Rs256) | (Material::P256(_), Algorithm::Es256)
        )
    }

    /// The one key that a token names; without a name, the only one of its algorithm.
    pub(super) fn of<'a>(keys: &'a [Key], jws: &Jws<'_>) -> Option<&'a Key> {
        let is_named = |key: &&Key| jws.key_id.is_none() || key.id == jws.key_id;
        let mut found = keys
            .iter()
            .filter(|key| key.is_for(jws.algorithm))
            .filter(is_named);
        let key = found.next()?;
        found.next().is_none().then_some(key)
    }

    /// Whether this key made the signature. The key says how; the token only agreed.
    pub(super) fn has_signed(&self, jws: &Jws<'_>) -> bool {
        let signed = jws.signed.as_bytes();
        match &self.material {
            _ if !self.is_for(jws.algorithm) => false,
            Material::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed, &jws.signature)
            .is_ok(),
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, &jws.signature)
                .is_ok(),
        }
    }
}
