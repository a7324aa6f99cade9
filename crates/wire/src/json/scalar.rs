//! The single values of proto3 JSON: bytes, times, durations, enumerations, 64-bit integers, field names.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};

use binauthz_core::time::UnixTime;

use super::Value;

/// One row of an enumeration: the name, its number, the value. A value may have several names; the first row is the
/// one written.
pub type EnumRow<T> = (&'static str, i32, T);

/// Padding is optional on input: gcloud pads, others do not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Bytes from base64, standard or URL-safe, padded or not; a mix of both alphabets is refused.
pub fn bytes_from(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode(text).ok()
}

/// Bytes as standard padded base64, as Google's servers write them.
pub fn bytes_out(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

/// The name to write for a value of an enumeration; empty when the table lacks it.
pub fn enum_name<T: Copy + PartialEq>(table: &[EnumRow<T>], value: T) -> &'static str {
    table
        .iter()
        .find(|(_, _, known)| *known == value)
        .map_or("", |(name, _, _)| name)
}

/// An instant from RFC 3339 text with any offset; what is finer than a microsecond is cut off.
pub fn timestamp_from(text: &str) -> Option<UnixTime> {
    instant_from(text).map(|instant| UnixTime::from_micros(instant.as_microsecond()))
}

/// An instant from RFC 3339 text with any offset, to the nanosecond.
pub(crate) fn instant_from(text: &str) -> Option<jiff::Timestamp> {
    // jiff accepts more than RFC 3339 (RFC 9557 annotations, spaces); proto JSON does not.
    let plausible = text.len() <= 40
        && text
            .as_bytes()
            .get(10)
            .is_some_and(|byte| matches!(byte, b'T' | b't'))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-+:.TtZz".contains(&byte));
    if !plausible {
        return None;
    }
    text.parse().ok()
}

/// RFC 3339 in UTC with `Z`, with microseconds when there are any; the nearest representable instant when out of range.
pub fn timestamp_out(time: UnixTime) -> String {
    let microseconds = time.as_micros();
    let limit = if microseconds < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    };
    let timestamp = jiff::Timestamp::from_microsecond(microseconds).unwrap_or(limit);
    format!("{timestamp}")
}

/// A duration from text such as `86400s` or `0.5s`. Negative ones are refused: nothing here lasts less than nothing.
pub fn duration_from(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let bare_point = number.ends_with('.');
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || bare_point || fraction.len() > 9 {
        return None;
    }
    let seconds: u64 = whole.parse().ok()?;
    // proto's limit: about 10 000 years.
    if seconds > 315_576_000_000 {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds, nanoseconds))
}

/// A duration as text: `86400s`, `1.5s`.
pub fn duration_out(duration: Duration) -> String {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    if nanoseconds == 0 {
        return format!("{seconds}s");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// A 64-bit integer written as a JSON number or as a decimal string. `3.0` is 3, as in proto3 JSON.
pub(super) fn i64_from(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten()
        }
        _ => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    // Beyond 2^53 a float no longer says which integer was meant.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let fits = number.fract() == 0.0 && number.abs() <= EXACT;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    fits.then_some(number as i64)
}

/// Whether `key` is `field` in camelCase or in the snake_case of its proto name.
pub(crate) fn same_field(key: &str, field: &str) -> bool {
    key == field || (key.contains('_') && snake_equals(key, field))
}

fn snake_equals(key: &str, field: &str) -> bool {
    let mut key = key.bytes();
    for byte in field.bytes() {
        if byte.is_ascii_uppercase() && key.next() != Some(b'_') {
            return false;
        }
        if key.next() != Some(byte.to_ascii_lowercase()) {
            return false;
        }
    }
    key.next().is_none()
}

/// The known name closest in spelling, if it is close enough to have been meant.
pub(super) fn nearest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    if given.len() > 64 {
        return None;
    }
    let distances = known.iter().map(|name| (edits(given, name), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.len() / 6).then_some(name)
}

/// Levenshtein distance; both texts are short names.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut previous = index + 1;
        let mut next_row = vec![previous];
        for (above, other) in row.iter().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *above;
            previous = replaced.min(above + 1).min(previous + 1);
            next_row.push(previous);
        }
        row = next_row;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
