//! Spans of time as gcloud takes them: `24h`, `1d12h`, `90m`, `86400s`.

use std::time::Duration;

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
const EXPECTED: &str = "expected a span of time such as 24h, 1d12h, 90m or 86400s";

/// Reads one, in whole seconds; a number without a unit is refused, because nobody can tell what was meant.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    let mut seconds = 0_u64;
    let mut rest = text;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next().ok_or(EXPECTED)?;
        let (_, worth) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or(EXPECTED)?;
        // Each unit once, the larger first: `30m1d` is a slip of the pen.
        if *worth >= smallest {
            return Err(EXPECTED);
        }
        smallest = *worth;
        let number: u64 = number.parse().map_err(|_| EXPECTED)?;
        let more = number.checked_mul(*worth).ok_or(EXPECTED)?;
        seconds = seconds.checked_add(more).ok_or(EXPECTED)?;
        rest = tail.get(unit.len_utf8()..).unwrap_or_default();
    }
    match seconds {
        0 => Err(EXPECTED),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

/// As Google's JSON writes it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_gcloud_reads_them() {
        for (text, expected) in [
            ("24h", "86400s"),
            ("1d", "86400s"),
            ("90m", "5400s"),
            ("86400s", "86400s"),
            ("1d12h", "129600s"),
            ("2w", "1209600s"),
            ("1h30m5s", "5405s"),
        ] {
            assert_eq!(seconds(parse(text).expect(text)), expected);
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "24",
            "h",
            "0s",
            "0d",
            "-1h",
            "1.5h",
            "1h ",
            " 1h",
            "1y",
            "1h1h",
            "30m1d",
            "99999999999999999999s",
            "99999999999999999w",
            "1ü",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
