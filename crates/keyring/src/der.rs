//! The little DER that has to be read here: how long a value is, and the two integers of an RSA public key.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// Splits `input` into the contents of its first value, which must have `tag`, and what follows it.
fn take(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        // Longer than 64 KiB: nothing that is a key.
        _ => return None,
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// Whether `input` is one SEQUENCE and nothing behind it.
pub(crate) fn is_one_sequence(input: &[u8]) -> bool {
    take(SEQUENCE, input).is_some_and(|(_, rest)| rest.is_empty())
}

/// The public exponent of an `RSAPublicKey` (RFC 8017 A.1.1), when it fits 64 bits.
pub(crate) fn rsa_exponent(rsa_public_key: &[u8]) -> Option<u64> {
    let (inside, _) = take(SEQUENCE, rsa_public_key)?;
    let (_modulus, rest) = take(INTEGER, inside)?;
    let (exponent, _) = take(INTEGER, rest)?;
    if exponent.len() > 8 {
        return None;
    }
    Some(
        exponent
            .iter()
            .fold(0, |value, &byte| (value << 8) | u64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_exponent() {
        let cases: [(&[u8], Option<u64>); 6] = [
            (
                &[0x30, 0x08, 0x02, 0x01, 0x05, 0x02, 0x03, 0x01, 0x00, 0x01],
                Some(65_537),
            ),
            (&[0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x03], Some(3)),
            (&[0x30, 0x81, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x03], Some(3)),
            (&[0x30, 0x03, 0x02, 0x01, 0x05], None),
            (&[0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x04, 0x03], None),
            (&[], None),
        ];
        for (input, expected) in cases {
            assert_eq!(rsa_exponent(input), expected, "{input:02x?}");
        }
    }

    #[test]
    fn trailing_and_missing_bytes_are_seen() {
        assert!(is_one_sequence(&[0x30, 0x02, 0x05, 0x00]));
        assert!(!is_one_sequence(&[0x30, 0x02, 0x05, 0x00, 0x00]));
        assert!(!is_one_sequence(&[0x30, 0x03, 0x05, 0x00]));
        assert!(!is_one_sequence(&[0x31, 0x02, 0x05, 0x00]));
        assert!(!is_one_sequence(&[0x30, 0x83, 0x00, 0x00, 0x00]));
    }
}
