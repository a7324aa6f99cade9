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
        EC_PUBLIC_KEY => {
            // A point can be written in other ways (SEC 1 §2.3.3): one key shall have one reading.
            const UNCOMPRESSED: u8 = 0x04;
            (*key.first()? == UNCOMPRESSED).then_some(())?;
            Some(SpkiKey::Ec(match whole(parameters, OBJECT_IDENTIFIER)? {
                PRIME256V1 => Curve::P256,
                SECP384R1 => Curve::P384,
                SECP521R1 => Curve::P521,
                _ => return None,
            }))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = match content.len() {
            length @ 0..=0x7f => vec![u8::try_from(length).unwrap()],
            length @ 0x80..=0xff => vec![0x81, u8::try_from(length).unwrap()],
            length => [&[0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
        };
        [&[tag][..], &length, content].concat()
    }

    fn rsa(modulus: &[u8], exponent: &[u8], parameters: &[u8]) -> Vec<u8> {
        let key = wrap(
            SEQUENCE,
            &[wrap(INTEGER, modulus), wrap(INTEGER, exponent)].concat(),
        );
        let algorithm = [wrap(OBJECT_IDENTIFIER, RSA_ENCRYPTION), parameters.to_vec()].concat();
        let bits = [&[0][..], &key].concat();
        wrap(
            SEQUENCE,
            &[wrap(SEQUENCE, &algorithm), wrap(BIT_STRING, &bits)].concat(),
        )
    }

    /// Compressed and hybrid points name the same key in other bytes.
    #[test]
    fn a_point_has_one_form() {
        let algorithm = [
            wrap(OBJECT_IDENTIFIER, EC_PUBLIC_KEY),
            wrap(OBJECT_IDENTIFIER, PRIME256V1),
        ]
        .concat();
        for (form, length, expected) in [
            (4, 64, true),
            (2, 32, false),
            (3, 32, false),
            (6, 64, false),
            (7, 64, false),
            (0, 0, false),
        ] {
            let bits = [&[0, form][..], &vec![1; length]].concat();
            let der = wrap(
                SEQUENCE,
                &[wrap(SEQUENCE, &algorithm), wrap(BIT_STRING, &bits)].concat(),
            );
            assert_eq!(read_spki(&der).is_some(), expected, "{form}");
        }
    }

    fn modulus(bytes: usize) -> Vec<u8> {
        [&[0][..], &vec![0xff; bytes]].concat()
    }

    proptest::proptest! {
        #[test]
        fn an_rsa_key_is_read_as_it_was_written(
            first in 1_u8..,
            rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..520),
            exponent in 1_u64..,
        ) {
            let positive = |magnitude: &[u8]| {
                let start = magnitude.iter().position(|byte| *byte != 0).unwrap();
                let zero: &[u8] = if magnitude[start] >= 0x80 { &[0] } else { &[] };
                [zero, &magnitude[start..]].concat()
            };
            let modulus = [&[first][..], &rest].concat();
            let null = wrap(NULL, &[]);
            let der = rsa(&positive(&modulus), &positive(&exponent.to_be_bytes()), &null);
            let modulus_bits = modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap();
            assert_eq!(read_spki(&der), Some(SpkiKey::Rsa { modulus_bits, exponent }));
            for end in [0, 1, der.len() / 2, der.len() - 1] {
                assert_eq!(read_spki(&der[..end]), None);
            }
            assert_eq!(read_spki(&[der, vec![0]].concat()), None);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
            inner in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        ) {
            let _ = read_spki(&bytes);
            let _ = read_spki(&wrap(SEQUENCE, &bytes));
            let algorithm = wrap(SEQUENCE, &[wrap(OBJECT_IDENTIFIER, RSA_ENCRYPTION), wrap(NULL, &[])].concat());
            let key = [&[0][..], &wrap(SEQUENCE, &inner)].concat();
            let _ = read_spki(&wrap(SEQUENCE, &[algorithm, wrap(BIT_STRING, &key)].concat()));
        }
    }

    #[test]
    fn sizes_are_read_to_the_bit() {
        let table = [
            (modulus(256), 2048),
            (modulus(512), 4096),
            ([&[0x7f][..], &[0xff; 255]].concat(), 2047),
            ([&[0x01][..], &[0; 256]].concat(), 2049),
            (vec![1], 1),
        ];
        for (modulus, bits) in table {
            let expected = SpkiKey::Rsa {
                modulus_bits: bits,
                exponent: 65537,
            };
            assert_eq!(
                read_spki(&rsa(&modulus, &[1, 0, 1], &[NULL, 0])),
                Some(expected),
                "{bits}"
            );
        }
    }

    #[test]
    fn hostile_structures_are_refused() {
        let good = rsa(&modulus(256), &[1, 0, 1], &[NULL, 0]);
        assert!(read_spki(&good).is_some());
        let mut longer_length = good.clone();
        longer_length[1] = 0x83;
        longer_length.insert(2, 0);
        let bad = [
            Vec::new(),
            vec![SEQUENCE],
            vec![SEQUENCE, 0x80],
            vec![SEQUENCE, 0x82, 0xff],
            vec![SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff],
            vec![SEQUENCE, 0],
            longer_length,
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            // Without the parameters, and with others.
            rsa(&modulus(256), &[1, 0, 1], &[]),
            rsa(&modulus(256), &[1, 0, 1], &[NULL, 1, 0]),
            rsa(&modulus(256), &[1, 0, 1], &[NULL, 0, NULL, 0]),
            // Zero, negative and padded integers, an exponent beyond 64 bits.
            rsa(&[0], &[1, 0, 1], &[NULL, 0]),
            rsa(&[], &[1, 0, 1], &[NULL, 0]),
            rsa(&[0xff; 256], &[1, 0, 1], &[NULL, 0]),
            rsa(&[&[0, 0][..], &[0xff; 256]].concat(), &[1, 0, 1], &[NULL, 0]),
            rsa(&modulus(256), &[0, 1, 0, 1], &[NULL, 0]),
            rsa(&modulus(256), &[0x81], &[NULL, 0]),
            rsa(&modulus(256), &[1; 9], &[NULL, 0]),
        ];
        for der in bad {
            assert_eq!(read_spki(&der), None, "{:02x?}", &der[..der.len().min(40)]);
        }
        for index in 0..good.len() {
            // No cut and no flipped bit may panic; a flip outside the numbers may not be read at all.
            assert_eq!(read_spki(&good[..index]), None, "{index}");
            let mut flipped = good.clone();
            flipped[index] ^= 0x80;
            let _ = read_spki(&flipped);
        }
    }

    #[test]
    fn unused_bits_and_other_curves_are_refused() {
        let ec = |parameters: &[u8], unused: u8| {
            let algorithm = [wrap(OBJECT_IDENTIFIER, EC_PUBLIC_KEY), parameters.to_vec()].concat();
            let bits = wrap(BIT_STRING, &[unused, 4, 1, 2]);
            wrap(SEQUENCE, &[wrap(SEQUENCE, &algorithm), bits].concat())
        };
        let curve = wrap(OBJECT_IDENTIFIER, PRIME256V1);
        assert_eq!(read_spki(&ec(&curve, 0)), Some(SpkiKey::Ec(Curve::P256)));
        assert_eq!(read_spki(&ec(&curve, 1)), None);
        // secp256k1, no curve, a curve with something behind it, explicit parameters.
        assert_eq!(
            read_spki(&ec(&wrap(OBJECT_IDENTIFIER, &[0x2b, 0x81, 4, 0, 0x0a]), 0)),
            None
        );
        assert_eq!(read_spki(&ec(&[], 0)), None);
        assert_eq!(read_spki(&ec(&[&curve[..], &[NULL, 0]].concat(), 0)), None);
        assert_eq!(read_spki(&ec(&wrap(SEQUENCE, &[2, 1, 1]), 0)), None);
    }
}
