//! When a certificate ends: of X.509 as much as is before that, and no more.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first second at which a certificate does not count, since 1970; none if it is no certificate.
pub(super) fn end(certificate: &[u8]) -> Option<u64> {
    let (whole, _) = value(SEQUENCE, certificate)?;
    let (signed, _) = value(SEQUENCE, whole)?;
    let rest = value(VERSION, signed).map_or(signed, |(_, rest)| rest);
    let (_, rest) = value(INTEGER, rest)?;
    let (_, rest) = value(SEQUENCE, rest)?;
    let (_, rest) = value(SEQUENCE, rest)?;
    let (times, _) = value(SEQUENCE, rest)?;
    let (_, rest) = time(times)?;
    let (last, _) = time(rest)?;
    // It counts in its last second.
    u64::try_from(last).ok()?.checked_add(1)
}

/// What is in the element of this tag, and what is behind it.
fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    if *found != tag {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // 16 MiB are more than a handshake has.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time in either of its forms, as RFC 5280 has them: to the second, and of Greenwich.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest, has_century) = match value(UTC_TIME, bytes) {
        Some((text, rest)) => (text, rest, false),
        None => {
            let (text, rest) = value(GENERALIZED_TIME, bytes)?;
            (text, rest, true)
        }
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (century, text) = match has_century {
        true => (Some(text.get(..2)?), text.get(2..)?),
        false => (None, text),
    };
    if text.len() != 10 && text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| text.get(at..at + 2)?.parse::<i8>().ok();
    let year = i16::from(part(0)?);
    let year = match century {
        Some(century) => century.parse::<i16>().ok()? * 100 + year,
        None if year < 50 => 2000 + year,
        None => 1900 + year,
    };
    let second = if text.len() == 12 { part(10)? } else { 0 };
    let time = DateTime::new(year, part(2)?, part(4)?, part(6)?, part(8)?, second, 0).ok()?;
    Some((time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_the_second_behind_the_last() {
        for (year, seconds) in [
            (1999, 918_000_000),
            (2027, 1_801_612_800),
            (2049, 2_495_923_200),
            // Written in the other form.
            (2050, 2_527_459_200),
            (9998, 253_342_080_000),
        ] {
            assert_eq!(end(&certificate(year)), Some(seconds + 1), "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let good = certificate(2027);
        assert_eq!(end(b""), None);
        assert_eq!(end(b"\x30\x80\x00\x00"), None);
        for length in 0..good.len().min(40) {
            assert_eq!(end(&good[..length]), None, "{length}");
        }
        // Whatever byte is another: an answer, and no panic.
        for position in 0..good.len() {
            for byte in [0, 0x30, 0x7f, 0x83, 0xff] {
                let mut changed = good.clone();
                changed[position] = byte;
                let _ = end(&changed);
            }
        }
    }
}
