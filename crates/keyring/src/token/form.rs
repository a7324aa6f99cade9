//! The forms in which tokens and we write the same things.

use crate::algorithm::{HashAlgorithm, KeyAlgorithm};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

const RSA_ENCRYPTION: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// How a token makes and uses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pkcs1 {
        bits: u64,
    },
    Pss {
        bits: u64,
    },
    /// The object identifier of the curve, in DER, and the bytes of a coordinate.
    Ecdsa {
        curve: &'static [u8],
        coordinate: usize,
    },
}

/// None for what tokens are not asked for.
pub(super) fn kind(algorithm: KeyAlgorithm) -> Option<Kind> {
    use KeyAlgorithm as A;
    Some(match algorithm {
        A::RsaSignPkcs12048Sha256 => Kind::Pkcs1 { bits: 2048 },
        A::RsaSignPkcs13072Sha256 => Kind::Pkcs1 { bits: 3072 },
        A::RsaSignPkcs14096Sha256 | A::RsaSignPkcs14096Sha512 => Kind::Pkcs1 { bits: 4096 },
        A::RsaSignPss2048Sha256 => Kind::Pss { bits: 2048 },
        A::RsaSignPss3072Sha256 => Kind::Pss { bits: 3072 },
        A::RsaSignPss4096Sha256 | A::RsaSignPss4096Sha512 => Kind::Pss { bits: 4096 },
        A::EcSignP256Sha256 => Kind::Ecdsa {
            curve: &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            coordinate: 32,
        },
        A::EcSignP384Sha384 => Kind::Ecdsa {
            curve: &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
            coordinate: 48,
        },
        _ => return None,
    })
}

/// What PKCS #1 v1.5 signs: the hash's name and the digest (RFC 8017 9.2, note 1).
pub(super) fn digest_info(hash: HashAlgorithm, digest: &[u8]) -> Vec<u8> {
    let last = match hash {
        HashAlgorithm::Sha256 => 0x01,
        HashAlgorithm::Sha384 => 0x02,
        HashAlgorithm::Sha512 => 0x03,
    };
    let name = [
        0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00,
    ];
    value(
        SEQUENCE,
        &[value(SEQUENCE, &name), value(OCTET_STRING, digest)].concat(),
    )
}

/// The DER of an ECDSA signature that a token gives as two numbers of one length.
pub(super) fn ecdsa_signature(raw: &[u8], coordinate: usize) -> Option<Vec<u8>> {
    if raw.len() != 2 * coordinate {
        return None;
    }
    let (r, s) = raw.split_at_checked(coordinate)?;
    Some(value(SEQUENCE, &[integer(r), integer(s)].concat()))
}

/// The SubjectPublicKeyInfo of an RSA key.
pub(super) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = value(SEQUENCE, &[integer(modulus), integer(exponent)].concat());
    value(
        SEQUENCE,
        &[value(SEQUENCE, RSA_ENCRYPTION), bit_string(&key)].concat(),
    )
}

/// The SubjectPublicKeyInfo of an EC key. A point comes in an OCTET STRING, as the standard says, or bare, as some do.
pub(super) fn ec_public_key(curve: &[u8], coordinate: usize, point: &[u8]) -> Option<Vec<u8>> {
    let bare = 1 + 2 * coordinate;
    let wrapped = value(OCTET_STRING, &vec![0; bare]).len();
    let point = match point.len() {
        length if length == wrapped => point.get(wrapped - bare..)?,
        length if length == bare => point,
        _ => return None,
    };
    let algorithm = value(SEQUENCE, &[EC_PUBLIC_KEY, curve].concat());
    Some(value(SEQUENCE, &[algorithm, bit_string(point)].concat()))
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes].concat())
}

/// A positive number in its shortest form.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = bytes.get(start..).unwrap_or_default();
    // The first bit is the sign.
    let needs_zero = digits.first().is_none_or(|first| *first >= 0x80);
    let sign: &[u8] = if needs_zero { &[0] } else { &[] };
    value(INTEGER, &[sign, digits].concat())
}

/// A DER value; nothing here is as long as 64 KiB.
fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let [.., high, low] = length.to_be_bytes();
    let head = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, contents.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::software::SoftwareKey;

    #[test]
    fn numbers_are_positive_and_shortest() {
        for (bytes, expected) in [
            (&[0, 0, 1][..], &[2, 1, 1][..]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 0x7f, 0], &[2, 2, 0x7f, 0]),
            (&[0, 0], &[2, 1, 0]),
            (&[], &[2, 1, 0]),
        ] {
            assert_eq!(integer(bytes), expected);
        }
        assert_eq!(value(4, &[7; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(value(4, &[7; 0x100])[..4], [4, 0x82, 1, 0]);
    }

    /// The library writes the same key the same way.
    #[test]
    fn public_keys_are_written_as_the_library_writes_them() {
        for (algorithm, coordinate) in [
            (KeyAlgorithm::EcSignP256Sha256, 32),
            (KeyAlgorithm::EcSignP384Sha384, 48),
        ] {
            let der = SoftwareKey::generate(algorithm)
                .unwrap()
                .public_key_der()
                .unwrap();
            let bare = &der[der.len() - 1 - 2 * coordinate..];
            let Some(Kind::Ecdsa { curve, .. }) = kind(algorithm) else {
                panic!("{algorithm}")
            };
            let wrapped = value(OCTET_STRING, bare);
            for point in [bare, &wrapped] {
                assert_eq!(ec_public_key(curve, coordinate, point).unwrap(), der);
            }
            assert_eq!(ec_public_key(curve, coordinate, &bare[1..]), None);
        }
        let der = SoftwareKey::generate(KeyAlgorithm::RsaSignPkcs12048Sha256)
            .unwrap()
            .public_key_der()
            .unwrap();
        // 256 bytes of modulus, then an exponent of three bytes with its head.
        let modulus = &der[der.len() - 5 - 256..der.len() - 5];
        assert_eq!(rsa_public_key(modulus, &[1, 0, 1]), der);
    }
}
