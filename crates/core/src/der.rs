//! Just enough DER to look inside a SubjectPublicKeyInfo: which algorithm, which size, which exponent.
//!
//! Strict: definite minimal lengths only, nothing after the outer element.

/// What an SPKI says about its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SpkiKey {
    Rsa { modulus_bits: usize, exponent: u64 },
    Ec(Curve),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;

// RFC 3279 and RFC 5480.
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const SECP521R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7); `None` for anything but RSA and the NIST curves.
pub(crate) fn read_spki(der: &[u8]) -> Option<SpkiKey> {
    let spki = whole(der, SEQUENCE)?;
    let (algorithm, rest) = element(spki, SEQUENCE)?;
    let key = whole(rest, BIT_STRING)?.strip_prefix(&[0])?;
    let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    match identifier {
        RSA_ENCRYPTION => {
            whole(parameters, NULL)?.is_empty().then_some(())?;
            let (modulus, rest) = element(whole(key, SEQUENCE)?, INTEGER)?;
            let exponent = positive(whole(rest, INTEGER)?)?;
            let modulus = positive(modulus)?;
            if exponent.len() > 8 {
                return None;
            }
            let bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
            let exponent = exponent.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            Some(SpkiKey::Rsa {
                modulus_bits: bits,
                exponent,
            })
        }
        EC_PUBLIC_KEY => Some(SpkiKey::Ec(match whole(parameters, OBJECT_IDENTIFIER)? {
            PRIME256V1 => Curve::P256,
            SECP384R1 => Curve::P384,
            SECP521R1 => Curve::P521,
            _ => return None,
        })),
        _ => None,
    }
}

/// The magnitude of a positive, minimally encoded INTEGER.
fn positive(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Some(rest),
        [first, ..] if (1..0x80).contains(first) => Some(bytes),
        _ => None,
    }
}

fn whole(der: &[u8], tag: u8) -> Option<&[u8]> {
    element(der, tag).and_then(|(content, rest)| rest.is_empty().then_some(content))
}

fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(*short), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let minimal = match short {
        0x81 => length >= 0x80,
        0x82 => length >= 0x100,
        _ => true,
    };
    if !minimal || rest.len() < length {
        return None;
    }
    Some(rest.split_at(length))
}
