//! What a query compares with, in every reading it has.

use std::borrow::Cow;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

use super::node::SEVERITIES;
use crate::filter::Value;
use crate::json::instant_from;

/// A value of a query. Which reading counts is decided by the field it meets.
#[derive(Debug, Clone)]
pub(super) struct Literal {
    /// The text, folded.
    pub(super) folded: String,
    pub(super) number: Option<Number>,
    pub(super) boolean: Option<bool>,
    /// Nanoseconds since 1970.
    pub(super) time: Option<i128>,
    /// Nanoseconds.
    pub(super) span: Option<i128>,
    pub(super) severity: Option<i64>,
    /// `NULL_VALUE` without quotes.
    pub(super) is_null: bool,
    /// `*` without quotes.
    pub(super) is_star: bool,
    /// For `=~` and `!~`.
    pub(super) regex: Option<Regex>,
}

/// A number as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(i64),
    Other(f64),
}

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "numbers of JSON are doubles")]
            Number::Whole(number) => number as f64,
            Number::Other(number) => number,
        }
    }
}

impl Literal {
    pub(super) fn new(value: &Value) -> Literal {
        let text = value.text.as_str();
        Literal {
            folded: fold(text).into_owned(),
            number: number_from(text),
            boolean: boolean_from(text),
            time: time_from(text),
            span: span_from(text),
            severity: severity_from(text),
            is_null: !value.quoted && text == "NULL_VALUE",
            is_star: !value.quoted && text == "*",
            regex: None,
        }
    }

    /// Whether it has no reading but as text.
    pub(super) fn is_text_only(&self) -> bool {
        let numeric = self.number.is_some() || self.time.is_some() || self.span.is_some();
        let named = self.boolean.is_some() || self.severity.is_some();
        !numeric && !named && !self.is_null && !self.is_star
    }
}

/// Text as it is compared without regard to case and width: NFKC, then every character in lower case. Full case
/// folding would also make `ß` and `ss` equal; lower case does not, and nobody's log query depends on it.
pub fn fold(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return text
            .nfkc()
            .flat_map(char::to_lowercase)
            .collect::<String>()
            .into();
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

pub(super) fn number_from(text: &str) -> Option<Number> {
    if let Ok(whole) = text.parse() {
        return Some(Number::Whole(whole));
    }
    // Rust also reads `inf`, `nan` and the like.
    let plausible = text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number: f64 = text.parse().ok().filter(|_| plausible)?;
    number.is_finite().then_some(Number::Other(number))
}

pub(super) fn boolean_from(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// RFC 3339 with `Z`, `±hh:mm` or `±hhmm`, or a date, which is its midnight in UTC.
pub(super) fn time_from(text: &str) -> Option<i128> {
    if text.len() > 40 || !text.is_ascii() {
        return None;
    }
    let full: Cow<'_, str> = match text.split_at_checked(text.len().saturating_sub(4)) {
        _ if text.len() == 10 => format!("{text}T00:00:00Z").into(),
        Some((date, offset)) if date.ends_with(['+', '-']) && offset.bytes().all(|b| b.is_ascii_digit()) => {
            let (hours, minutes) = offset.split_at_checked(2)?;
            format!("{date}{hours}:{minutes}").into()
        }
        _ => text.into(),
    };
    instant_from(&full).map(jiff::Timestamp::as_nanosecond)
}

/// A signed decimal number with a unit: `1.5s`, `-200ms`.
pub(super) fn span_from(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let find = |(unit, factor): &(&str, i128)| Some((text.strip_suffix(unit)?, *factor));
    let (number, unit) = UNITS.iter().find_map(find)?;
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let fits = |part: &str| (1..=15).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !fits(whole) || !fits(fraction) {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let numerator = whole.parse::<i128>().ok()? * scale + fraction.parse::<i128>().ok()?;
    // 10^30 hours would not fit.
    let nanoseconds = numerator.checked_mul(unit)? / scale;
    Some(if negative { -nanoseconds } else { nanoseconds })
}

/// A name in any case of letters, or a number.
pub(super) fn severity_from(text: &str) -> Option<i64> {
    let named = SEVERITIES
        .iter()
        .find(|(name, _, _)| name.eq_ignore_ascii_case(text));
    named
        .map(|(_, number, _)| i64::from(*number))
        .or_else(|| text.parse().ok())
}
