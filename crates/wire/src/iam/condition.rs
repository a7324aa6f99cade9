//! Conditions on time: the part of the Common Expression Language that says when a binding applies.
//!
//! `request.time` is compared with `timestamp("2030-01-01T00:00:00Z")`, and its parts (`request.time.getHours("UTC")`) with
//! numbers; `&&`, `||`, `!` and parentheses join them. Everything else is refused when the condition is written, because a
//! condition that is not understood would have to be taken for true or for false.

use binauthz_core::time::UnixTime;

use crate::json::timestamp_from;

/// The longest expression in bytes. Google has 12 operators, which is less.
const MAX_EXPRESSION: usize = 1_024;
/// How deep parentheses and `!` go: each level is a call on the stack.
const MAX_DEPTH: usize = 16;

/// When a binding applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeCondition(Expression);

/// Why an expression is not one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCondition {
    /// Too long to be read.
    #[error("is longer than {MAX_EXPRESSION} bytes")]
    TooLong,
    /// Too many levels.
    #[error("has more than {MAX_DEPTH} levels of parentheses and `!`")]
    TooDeep,
    /// Something else was expected.
    #[error("has {found} at byte {at}, expected {expected}")]
    Unexpected {
        /// What is there.
        found: String,
        /// Where.
        at: usize,
        /// What could be.
        expected: &'static str,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Constant(bool),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Compared(Number, Comparison, Number),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Now,
    Time(UnixTime),
    Part(Part, i64),
    Literal(i64),
}

/// A part of the time of day or of the calendar, as the language counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    FullYear,
    Month,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
}

const PARTS: [(&str, Part); 8] = [
    ("getFullYear", Part::FullYear),
    ("getMonth", Part::Month),
    ("getDayOfMonth", Part::DayOfMonth),
    ("getDate", Part::Date),
    ("getDayOfWeek", Part::DayOfWeek),
    ("getHours", Part::Hours),
    ("getMinutes", Part::Minutes),
    ("getSeconds", Part::Seconds),
];

impl TimeCondition {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<TimeCondition, InvalidCondition> {
        if text.len() > MAX_EXPRESSION {
            return Err(InvalidCondition::TooLong);
        }
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
        };
        let expression = reader.any()?;
        reader.space();
        match reader.rest() {
            "" => Ok(TimeCondition(expression)),
            _ => Err(reader.unexpected("`&&`, `||` or the end")),
        }
    }

    /// Whether it holds at this time.
    pub fn holds(&self, now: UnixTime) -> bool {
        self.0.holds(now)
    }
}

impl Expression {
    fn holds(&self, now: UnixTime) -> bool {
        match self {
            Expression::Constant(value) => *value,
            Expression::Not(inner) => !inner.holds(now),
            Expression::All(parts) => parts.iter().all(|part| part.holds(now)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(now)),
            Expression::Compared(left, comparison, right) => {
                let (left, right) = (left.value(now), right.value(now));
                match comparison {
                    Comparison::Less => left < right,
                    Comparison::LessOrEqual => left <= right,
                    Comparison::Greater => left > right,
                    Comparison::GreaterOrEqual => left >= right,
                    Comparison::Equal => left == right,
                    Comparison::NotEqual => left != right,
                }
            }
        }
    }
}

impl Number {
    fn is_time(self) -> bool {
        matches!(self, Number::Now | Number::Time(_))
    }

    fn value(self, now: UnixTime) -> i64 {
        match self {
            Number::Now => now.as_micros(),
            Number::Time(time) => time.as_micros(),
            Number::Literal(number) => number,
            Number::Part(part, offset) => part.of(now.as_seconds().saturating_add(offset)),
        }
    }
}

impl Part {
    fn of(self, seconds: i64) -> i64 {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        match self {
            Part::Hours => second / 3_600,
            Part::Minutes => second / 60 % 60,
            Part::Seconds => second % 60,
            // 1970-01-01 was a Thursday, and Sunday is 0.
            Part::DayOfWeek => (days.rem_euclid(7) + 4) % 7,
            Part::FullYear => civil(days).0,
            Part::Month => civil(days).1 - 1,
            Part::Date => civil(days).2,
            Part::DayOfMonth => civil(days).2 - 1,
        }
    }
}

/// Year, month and day of the proleptic Gregorian calendar, by eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let date = day - (153 * shifted + 2) / 5 + 1;
    (year + era * 400 + i64::from(month <= 2), month, date)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn unexpected(&self, expected: &'static str) -> InvalidCondition {
        let rest: String = self.rest().chars().take(20).collect();
        let found = match rest.as_str() {
            "" => "its end".to_owned(),
            rest => format!("`{rest}`"),
        };
        InvalidCondition::Unexpected {
            found,
            at: self.at,
            expected,
        }
    }

    /// Takes the symbol if it is next.
    fn takes(&mut self, symbol: &str) -> bool {
        self.space();
        let is_next = self.rest().starts_with(symbol);
        if is_next {
            self.at += symbol.len();
        }
        is_next
    }

    fn demand(&mut self, symbol: &'static str) -> Result<(), InvalidCondition> {
        if self.takes(symbol) {
            return Ok(());
        }
        Err(self.unexpected(match symbol {
            "(" => "`(`",
            _ => "`)`",
        }))
    }

    fn any(&mut self) -> Result<Expression, InvalidCondition> {
        let mut parts = vec![self.all()?];
        while self.takes("||") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression, InvalidCondition> {
        let mut parts = vec![self.one()?];
        while self.takes("&&") {
            parts.push(self.one()?);
        }
        Ok(Expression::All(parts))
    }

    fn one(&mut self) -> Result<Expression, InvalidCondition> {
        let is_not = self.takes("!");
        if !is_not && !self.takes("(") {
            return self.compared();
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(InvalidCondition::TooDeep);
        }
        let inner = if is_not {
            Expression::Not(Box::new(self.one()?))
        } else {
            let inner = self.any()?;
            self.demand(")")?;
            inner
        };
        self.depth -= 1;
        Ok(inner)
    }

    fn compared(&mut self) -> Result<Expression, InvalidCondition> {
        for (word, value) in [("true", true), ("false", false)] {
            if self.takes(word) {
                return Ok(Expression::Constant(value));
            }
        }
        let left = self.number()?;
        let comparison = self.comparison()?;
        let (before, right) = (self.at, self.number()?);
        if left.is_time() != right.is_time() {
            self.at = before;
            return Err(self.unexpected(if left.is_time() {
                "a time: `request.time` or `timestamp(\"…\")`"
            } else {
                "a number"
            }));
        }
        Ok(Expression::Compared(left, comparison, right))
    }

    fn comparison(&mut self) -> Result<Comparison, InvalidCondition> {
        const COMPARISONS: [(&str, Comparison); 6] = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        COMPARISONS
            .into_iter()
            .find_map(|(symbol, comparison)| self.takes(symbol).then_some(comparison))
            .ok_or_else(|| self.unexpected("`<`, `<=`, `>`, `>=`, `==` or `!=`"))
    }

    fn number(&mut self) -> Result<Number, InvalidCondition> {
        if self.takes("request.time") {
            return if self.rest().starts_with('.') {
                self.part()
            } else {
                Ok(Number::Now)
            };
        }
        if self.takes("timestamp") {
            self.demand("(")?;
            let before = self.at;
            let time = self.quoted().and_then(timestamp_from);
            let Some(time) = time else {
                self.at = before;
                return Err(self.unexpected("a time in quotes, such as `\"2030-01-01T00:00:00Z\"`"));
            };
            self.demand(")")?;
            return Ok(Number::Time(time));
        }
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest().get(..digits).and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| {
            self.unexpected("`request.time`, `timestamp(\"…\")`, a part of `request.time`, or a number")
        })?;
        self.at += digits;
        Ok(Number::Literal(number))
    }

    /// `.getHours("UTC")`, with an offset in place of the zone, or with nothing.
    fn part(&mut self) -> Result<Number, InvalidCondition> {
        const KNOWN: &str = "`.getFullYear`, `.getMonth`, `.getDayOfMonth`, `.getDate`, `.getDayOfWeek`, `.getHours`, `.getMinutes` or `.getSeconds`";
        let name = self.rest().strip_prefix('.').unwrap_or_default();
        let length = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let name = name.get(..length).unwrap_or_default();
        let part = PARTS.into_iter().find(|(known, _)| *known == name);
        let (_, part) = part.ok_or_else(|| self.unexpected(KNOWN))?;
        self.at += 1 + length;
        self.demand("(")?;
        self.space();
        let mut offset = 0;
        if self.rest().starts_with('"') {
            let before = self.at;
            let zone = self.quoted().and_then(offset_of);
            let Some(seconds) = zone else {
                self.at = before;
                return Err(self.unexpected("`\"UTC\"` or an offset such as `\"+02:00\"`"));
            };
            offset = seconds;
        }
        self.demand(")")?;
        Ok(Number::Part(part, offset))
    }

    /// A text in double or single quotes, without escapes.
    fn quoted(&mut self) -> Option<&'a str> {
        self.space();
        let rest = self.rest();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (inner, _) = rest.get(1..)?.split_once(quote)?;
        self.at += inner.len() + 2;
        Some(inner)
    }
}

/// Seconds east of Greenwich. Zones with names need a database that changes, so there is only `UTC`.
fn offset_of(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "Z") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, most: i64| {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = text.parse().ok()?;
        (is_plain && number <= most).then_some(number)
    };
    Some(sign * (number(hours, 14)? * 3_600 + number(minutes, 59)? * 60))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> UnixTime {
        timestamp_from(text).unwrap()
    }

    #[test]
    fn conditions_hold_when_they_say_so() {
        // A Saturday.
        let now = at("2026-11-28T22:30:15Z");
        for (text, expected) in [
            ("true", true),
            ("false", false),
            ("!false", true),
            ("request.time < timestamp(\"2026-11-28T22:30:15.000001Z\")", true),
            ("request.time < timestamp(\"2026-11-28T22:30:15Z\")", false),
            ("request.time <= timestamp('2026-11-28T22:30:15Z')", true),
            ("request.time >= timestamp(\"2026-11-28T23:30:15+01:00\")", true),
            ("timestamp(\"2026-01-01T00:00:00Z\")<request.time", true),
            ("request.time.getHours(\"UTC\") == 22", true),
            ("request.time.getHours(\"+02:00\") == 0", true),
            ("request.time.getDayOfWeek() == 6", true),
            ("request.time.getDayOfWeek(\"+02:00\") == 0", true),
            (
                "request.time.getFullYear() == 2026 && request.time.getMonth() == 10",
                true,
            ),
            (
                "request.time.getDate() == 28 && request.time.getDayOfMonth() == 27",
                true,
            ),
            (
                "request.time.getMinutes() != 30 || request.time.getSeconds() > 15",
                false,
            ),
            ("true || false && false", true),
            ("(true || false) && false", false),
            (
                "!(request.time.getHours() >= 9 && request.time.getHours() < 17)",
                true,
            ),
        ] {
            let condition = TimeCondition::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(condition.holds(now), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "has its end at byte 0"),
            ("request.time", "`<`, `<=`"),
            ("resource.name == \"x\"", "has `resource.name == \"x\"` at byte 0"),
            ("request.time < 5", "a time: `request.time`"),
            ("request.time.getHours() < request.time", "a number"),
            ("request.time < timestamp(\"soon\")", "a time in quotes"),
            ("request.time < timestamp(5)", "a time in quotes"),
            (
                "request.time.getHours(\"Europe/Zurich\") < 5",
                "`\"UTC\"` or an offset",
            ),
            ("request.time.getHours(\"+2:00\") < 5", "`\"UTC\"` or an offset"),
            ("request.time.getEons() < 5", "`.getFullYear`"),
            ("request.timestamp < 5", "`<`, `<=`"),
            ("true true", "`&&`, `||` or the end"),
            ("(true", "`)`"),
            ("1 < 99999999999999999999", "a number"),
            ("true && é", "has `é` at byte 8"),
        ] {
            let why = TimeCondition::parse(text).unwrap_err().to_string();
            assert!(why.contains(expected), "{text}: {why}");
        }
        let deep = format!("{}true{}", "(".repeat(17), ")".repeat(17));
        assert_eq!(TimeCondition::parse(&deep), Err(InvalidCondition::TooDeep));
        let just = format!("{}true", "!".repeat(16));
        assert!(
            TimeCondition::parse(&just)
                .unwrap()
                .holds(at("2026-01-01T00:00:00Z"))
        );
        let long = " ".repeat(1_025);
        assert_eq!(TimeCondition::parse(&long), Err(InvalidCondition::TooLong));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ -~é]{0,60}", seconds in any::<i64>()) {
            if let Ok(condition) = TimeCondition::parse(&text) {
                condition.holds(UnixTime::from_micros(seconds));
            }
        }

        #[test]
        fn pieces_in_any_order_do_not_panic(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just("request.time"), Just("timestamp(\"2030-01-01T00:00:00Z\")"), Just("<"), Just("&&"), Just("||"),
                    Just("!"), Just("("), Just(")"), Just(".getHours()"), Just("7"), Just("true"),
                ],
                0..12,
            ),
            micros in any::<i64>(),
        ) {
            if let Ok(condition) = TimeCondition::parse(&pieces.join(" ")) {
                condition.holds(UnixTime::from_micros(micros));
            }
        }

        #[test]
        fn the_calendar_is_that_of_the_library(seconds in -60_000_000_000_i64..250_000_000_000) {
            let time = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            prop_assert_eq!(Part::FullYear.of(seconds), i64::from(time.year()));
            prop_assert_eq!(Part::Month.of(seconds), i64::from(time.month()) - 1);
            prop_assert_eq!(Part::Date.of(seconds), i64::from(time.day()));
            prop_assert_eq!(Part::DayOfWeek.of(seconds), i64::from(time.weekday().to_sunday_zero_offset()));
            prop_assert_eq!(Part::Hours.of(seconds), i64::from(time.hour()));
        }
    }
}
