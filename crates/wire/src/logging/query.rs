//! A filter over log entries, read once and asked often.

use std::sync::Arc;

use binauthz_core::time::UnixTime;
use regex::{Regex, RegexBuilder};

use super::compare::compare;
use super::demand::Demand;
use super::entry::Entry;
use super::fields::{Holds, Path};
use super::functions::{Function, Net, share, source};
use super::literal::{Literal, fold};
use super::node::Truth;
use super::search::{Search, anywhere};
use super::subject::{Subject, TYPES, Transform};
use super::view::View;
use crate::filter::{Call, Dialect, Error, Expression, Operand, Operator, Term, Value, parse, shown};
use crate::json::InvalidField;

/// Conditions of one query. Each may look through a folded text of 256 KiB: 0.05 ms, so an entry takes a tenth of a
/// second at most.
const MOST_CONDITIONS: usize = 2_000;
/// Those of them that look through the whole entry or make another text of it first, and words of `SEARCH`: up to 10 ms.
const MOST_TEXTS: usize = 200;
/// Regular expressions of one query; together their programs have at most `REGEX_BYTES`.
const MOST_REGEXES: usize = 64;
const REGEX_BYTES: usize = 8 << 20;
/// The largest program of one of them.
const MAX_REGEX: usize = 1 << 20;

/// A query in Google's logging language, ready to be asked about entries.
#[derive(Debug, Clone)]
pub struct Query {
    text: String,
    test: Test,
}

/// Queries are equal when they read the same.
impl PartialEq for Query {
    fn eq(&self, other: &Query) -> bool {
        self.text == other.text
    }
}

impl Eq for Query {}

/// The times between which every entry that a query wants lies, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    /// Not before this.
    pub from: UnixTime,
    /// Not after this.
    pub until: UnixTime,
}

impl TimeBounds {
    /// All of time.
    pub const ALWAYS: TimeBounds = TimeBounds {
        from: UnixTime::from_micros(i64::MIN),
        until: UnixTime::from_micros(i64::MAX),
    };
    /// No time at all.
    const NEVER: TimeBounds = TimeBounds {
        from: UnixTime::from_micros(i64::MAX),
        until: UnixTime::from_micros(i64::MIN),
    };
}

#[derive(Debug, Clone)]
enum Test {
    Everything,
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Compare(Arc<Subject>, Operator, Literal),
    Present(Arc<Subject>),
    Anywhere(Literal),
    Function(Function),
}

impl Query {
    /// Reads a query; the error names the column, and the line when there is more than one.
    pub fn parse(text: &str) -> Result<Query, InvalidField> {
        let compiled = parse(text, Dialect::Logging).and_then(|expression| {
            let mut compiler = Compiler::new(&expression)?;
            compiler.test(&expression)
        });
        Ok(Query {
            text: text.to_owned(),
            test: compiled.map_err(|error| error.in_text(text))?,
        })
    }

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the entry is wanted. Of an entry with veils, only if it is wanted whatever they hide.
    pub fn test(&self, entry: &Entry<'_>) -> bool {
        self.test_partly(entry) == Truth::True
    }

    /// Whether the entry is wanted, as far as that can be told from what is known of it.
    pub fn test_partly(&self, entry: &Entry<'_>) -> Truth {
        self.test.holds(&View::new(&entry.root))
    }

    /// The times outside of which nothing is wanted.
    pub fn times(&self) -> TimeBounds {
        self.test.times()
    }

    /// The texts that every wanted entry has.
    pub fn demand(&self) -> Demand<'_> {
        self.test.demand()
    }
}

impl Test {
    fn holds(&self, view: &View<'_>) -> Truth {
        match self {
            Test::Everything => Truth::True,
            Test::All(parts) => Truth::all(parts.iter().map(|part| part.holds(view))),
            Test::Any(parts) => Truth::any(parts.iter().map(|part| part.holds(view))),
            Test::Not(part) => part.holds(view).not(),
            Test::Compare(subject, operator, literal) => {
                subject.any(view.root, &mut |node| compare(view, node, *operator, literal))
            }
            Test::Present(subject) => subject.is_present(view.root),
            Test::Anywhere(literal) => anywhere(view, literal),
            Test::Function(function) => function.test(view),
        }
    }

    fn times(&self) -> TimeBounds {
        match self {
            Test::All(parts) => parts
                .iter()
                .map(Test::times)
                .fold(TimeBounds::ALWAYS, |all, part| TimeBounds {
                    from: all.from.max(part.from),
                    until: all.until.min(part.until),
                }),
            Test::Any(parts) => parts
                .iter()
                .map(Test::times)
                .fold(TimeBounds::NEVER, |any, part| TimeBounds {
                    from: any.from.min(part.from),
                    until: any.until.max(part.until),
                }),
            Test::Compare(subject, operator, literal)
                if subject.path.is("timestamp") && subject.transforms.is_empty() =>
            {
                literal
                    .time
                    .map_or(TimeBounds::ALWAYS, |instant| times_of(*operator, instant))
            }
            _ => TimeBounds::ALWAYS,
        }
    }

    fn demand(&self) -> Demand<'_> {
        match self {
            Test::All(parts) => Demand::all(parts.iter().map(Test::demand)),
            Test::Any(parts) => Demand::any(parts.iter().map(Test::demand)),
            Test::Compare(subject, operator, literal) => {
                let as_text = match subject.holds() {
                    Holds::Text => !literal.is_null,
                    Holds::Anything => literal.is_text_only(),
                    _ => false,
                };
                let said = as_text && subject.transforms.is_empty() && !literal.folded.is_empty();
                match operator {
                    Operator::Equal if said => Demand::Is(&literal.folded),
                    Operator::Has if said => Demand::Within(&literal.folded),
                    _ => Demand::Nothing,
                }
            }
            Test::Anywhere(literal) if literal.is_text_only() && !literal.folded.is_empty() => {
                Demand::Within(&literal.folded)
            }
            _ => Demand::Nothing,
        }
    }
}

/// `instant` in nanoseconds; entries have microseconds.
fn times_of(operator: Operator, instant: i128) -> TimeBounds {
    let micros = |micros: i128| {
        let saturated = micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        UnixTime::from_micros(i64::try_from(saturated).unwrap_or(i64::MAX))
    };
    let down = instant.div_euclid(1_000);
    let up = (instant + 999).div_euclid(1_000);
    let mut bounds = TimeBounds::ALWAYS;
    match operator {
        Operator::Greater => bounds.from = micros(down + 1),
        Operator::GreaterOrEqual => bounds.from = micros(up),
        Operator::Less => bounds.until = micros(up - 1),
        Operator::LessOrEqual => bounds.until = micros(down),
        Operator::Equal => (bounds.from, bounds.until) = (micros(up), micros(down)),
        _ => {}
    }
    bounds
}

/// From what was written to what can be asked.
pub(super) struct Compiler {
    regex_bytes: usize,
    conditions: usize,
    texts: usize,
    /// `f = (a OR b)` has one subject, read once.
    last: Option<(Arc<Operand>, Arc<Subject>)>,
}

impl Compiler {
    pub(super) fn new(expression: &Expression) -> Result<Compiler, Error> {
        let regexes = regexes(expression, &mut None);
        if regexes > MOST_REGEXES {
            let why = format_args!("expected at most {MOST_REGEXES} regular expressions, not {regexes}");
            return Err(Error::at(0, why));
        }
        Ok(Compiler {
            regex_bytes: MAX_REGEX.min(REGEX_BYTES / regexes.max(1)),
            conditions: 0,
            texts: 0,
            last: None,
        })
    }

    fn test(&mut self, expression: &Expression) -> Result<Test, Error> {
        let mut each = |parts: &[Expression]| -> Result<Vec<Test>, Error> {
            parts.iter().map(|part| self.test(part)).collect()
        };
        match expression {
            Expression::Everything => Ok(Test::Everything),
            Expression::All(parts) => each(parts).map(Test::All),
            Expression::Any(parts) => each(parts).map(Test::Any),
            Expression::Not(part) => self.test(part).map(Box::new).map(Test::Not),
            Expression::Term(column, term) => {
                self.conditions += 1;
                if self.conditions > MOST_CONDITIONS {
                    let why = format_args!("expected at most {MOST_CONDITIONS} conditions");
                    return Err(Error::at(*column, why));
                }
                self.term(*column, term)
            }
        }
    }

    fn term(&mut self, column: usize, term: &Term) -> Result<Test, Error> {
        match term {
            Term::Comparison {
                operand,
                operator,
                value,
            } => self.comparison(operand, *operator, value),
            Term::Function { call, .. } => Err(Error::at(call.column, "expected a value, not a function")),
            Term::Call(call) => self.function(call).map(Test::Function),
            Term::Bare(value) => {
                self.count_texts(column, 1)?;
                Ok(Test::Anywhere(Literal::new(value)))
            }
        }
    }

    fn count_texts(&mut self, column: usize, count: usize) -> Result<(), Error> {
        self.texts += count;
        if self.texts > MOST_TEXTS {
            let why = format_args!(
                "expected at most {MOST_TEXTS} texts to look for everywhere and calls to compare with"
            );
            return Err(Error::at(column, why));
        }
        Ok(())
    }

    fn comparison(
        &mut self,
        operand: &Arc<Operand>,
        operator: Operator,
        value: &Value,
    ) -> Result<Test, Error> {
        let subject = match &self.last {
            Some((last, subject)) if Arc::ptr_eq(last, operand) => Arc::clone(subject),
            _ => {
                let subject = Arc::new(self.subject(operand)?);
                self.last = Some((Arc::clone(operand), Arc::clone(&subject)));
                subject
            }
        };
        if !subject.transforms.is_empty() {
            self.count_texts(value.column, 1)?;
        }
        let mut literal = Literal::new(value);
        if operator == Operator::Has && literal.is_star {
            return Ok(Test::Present(subject));
        }
        fits(&subject, operator, &literal, value)?;
        if matches!(operator, Operator::Matches | Operator::NotMatches) {
            literal.regex = Some(self.regex(value)?);
        }
        Ok(Test::Compare(subject, operator, literal))
    }

    /// What a comparison, or a function of one field, looks at.
    pub(super) fn subject(&self, operand: &Operand) -> Result<Subject, Error> {
        let call = match operand {
            Operand::Path(segments) => {
                let path = Path::resolve(segments)?;
                return Ok(Subject {
                    path,
                    transforms: Vec::new(),
                });
            }
            Operand::Call(call) => call,
        };
        let column = call.column;
        match (call.name.to_ascii_lowercase().as_str(), call.arguments.as_slice()) {
            ("cast", [inner, kind]) => {
                let mut subject = self.subject(inner)?;
                subject.transforms.push(Transform::Cast(cast_type(kind)?));
                Ok(subject)
            }
            ("cast", [_, _, zone]) => Err(Error::at(
                zone.column(),
                "time zones are not supported: write the offset in the text, such as `+01:00`",
            )),
            ("regexp_extract", [inner, pattern]) => {
                let mut subject = self.subject(inner)?;
                subject
                    .transforms
                    .push(Transform::Extract(self.extraction(pattern)?));
                Ok(subject)
            }
            ("cast", _) => Err(Error::at(column, "expected `cast(FIELD, TYPE)`")),
            ("regexp_extract", _) => Err(Error::at(
                column,
                "expected `regexp_extract(FIELD, \"REGULAR EXPRESSION\")`",
            )),
            _ => Err(Error::at(
                column,
                format_args!(
                    "`{}` cannot be compared: expected `cast` or `regexp_extract`",
                    shown(&call.name)
                ),
            )),
        }
    }

    /// A regular expression with one group.
    pub(super) fn extraction(&self, pattern: &Operand) -> Result<Regex, Error> {
        let value = text_of(pattern)?;
        let regex = self.regex(&value)?;
        let groups = regex.captures_len().saturating_sub(1);
        if groups != 1 {
            let why = format_args!("expected exactly one group in parentheses, not {groups}");
            return Err(Error::at(value.column, why));
        }
        Ok(regex)
    }

    fn regex(&self, value: &Value) -> Result<Regex, Error> {
        let built = RegexBuilder::new(&value.raw)
            .size_limit(self.regex_bytes)
            .dfa_size_limit(MAX_REGEX)
            .build();
        built.map_err(|error| {
            let why = match error {
                regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
                other => {
                    // The last line says what; those above draw the place, which the column tells.
                    let text = other.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    format!(
                        "expected a regular expression: {}",
                        last.trim_start_matches("error: ")
                    )
                }
            };
            Error::at(value.column, why)
        })
    }

    fn function(&mut self, call: &Call) -> Result<Function, Error> {
        let column = call.column;
        match (call.name.to_ascii_lowercase().as_str(), call.arguments.as_slice()) {
            ("log_id", [id]) => Ok(Function::LogId(fold(&text_of(id)?.text).into_owned())),
            ("source", [origin]) => source(&text_of(origin)?),
            ("sample", [field, part]) => {
                let share = share(&text_of(part)?)?;
                Ok(Function::Sample(self.value_subject(field)?, share))
            }
            ("ip_in_net", [field, net]) => {
                let net = Net::parse(&text_of(net)?)?;
                Ok(Function::InNet(self.value_subject(field)?, net))
            }
            ("search", [text]) => Ok(Function::Search(None, self.search(text)?)),
            ("search", [Operand::Path(path), text]) => {
                let path = Path::resolve(path)?;
                Ok(Function::Search(Some(path), self.search(text)?))
            }
            ("log_id", _) => Err(Error::at(column, "expected `log_id(\"ID\")`")),
            ("source", _) => Err(Error::at(column, "expected `source(projects/PROJECT)`")),
            ("sample", _) => Err(Error::at(column, "expected `sample(FIELD, SHARE)`")),
            ("ip_in_net", _) => Err(Error::at(column, "expected `ip_in_net(FIELD, \"ADDRESSES\")`")),
            ("search", _) => Err(Error::at(
                column,
                "expected `SEARCH(\"WORDS\")` or `SEARCH(FIELD, \"WORDS\")`",
            )),
            ("cast" | "regexp_extract", _) => Err(Error::at(
                column,
                format_args!("expected a comparison such as `{}(…) = \"…\"`", call.name),
            )),
            _ => Err(Error::at(
                column,
                format_args!(
                    "`{}` is not a function: expected `log_id`, `source`, `sample`, `ip_in_net`, `SEARCH`, \
                     `cast` or `regexp_extract`",
                    shown(&call.name)
                ),
            )),
        }
    }

    fn search(&mut self, text: &Operand) -> Result<Search, Error> {
        let value = text_of(text)?;
        let search = Search::parse(&value.text, value.column)?;
        self.count_texts(value.column, search.len())?;
        Ok(search)
    }

    /// A field with single values.
    fn value_subject(&self, operand: &Operand) -> Result<Subject, Error> {
        let subject = self.subject(operand)?;
        if subject.holds() == Holds::Message {
            let why = format_args!("`{}` is not a single value", subject.path.names.join("."));
            return Err(Error::at(operand.column(), why));
        }
        Ok(subject)
    }
}

/// How many regular expressions there are; what several values are compared with counts once.
fn regexes<'a>(expression: &'a Expression, last: &mut Option<&'a Arc<Operand>>) -> usize {
    match expression {
        Expression::All(parts) | Expression::Any(parts) => parts.iter().map(|part| regexes(part, last)).sum(),
        Expression::Not(part) => regexes(part, last),
        Expression::Term(
            _,
            Term::Comparison {
                operand, operator, ..
            },
        ) => {
            let own = usize::from(matches!(operator, Operator::Matches | Operator::NotMatches));
            let seen = last
                .replace(operand)
                .is_some_and(|last| Arc::ptr_eq(last, operand));
            match operand.as_ref() {
                Operand::Call(call) if !seen => own + extractions(call),
                _ => own,
            }
        }
        Expression::Term(_, Term::Call(call) | Term::Function { call, .. }) => extractions(call),
        Expression::Everything | Expression::Term(_, Term::Bare(_)) => 0,
    }
}

fn extractions(call: &Call) -> usize {
    let nested = call.arguments.iter().map(|argument| match argument {
        Operand::Call(call) => extractions(call),
        Operand::Path(_) => 0,
    });
    usize::from(call.name.eq_ignore_ascii_case("regexp_extract")) + nested.sum::<usize>()
}

fn text_of(operand: &Operand) -> Result<Value, Error> {
    operand
        .value()
        .ok_or_else(|| Error::at(operand.column(), "expected a text, not a function"))
}

fn cast_type(operand: &Operand) -> Result<super::subject::Type, Error> {
    let value = text_of(operand)?;
    let known = TYPES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&value.text));
    known.map(|(_, kind)| *kind).ok_or_else(|| {
        let names: Vec<String> = TYPES.iter().map(|(name, _)| format!("`{name}`")).collect();
        Error::at(
            value.column,
            format_args!("expected a type: {}", names.join(", ")),
        )
    })
}

/// Refuses what can never match: an alert on it would stay silent for ever.
fn fits(subject: &Subject, operator: Operator, literal: &Literal, value: &Value) -> Result<(), Error> {
    let is_regex = matches!(operator, Operator::Matches | Operator::NotMatches);
    let (reads, expected) = match subject.holds() {
        Holds::Text | Holds::Anything => return Ok(()),
        Holds::Message => (false, "one of its fields, or `:*` for its presence"),
        Holds::Bool => (literal.boolean.is_some() && !is_regex, "`true` or `false`"),
        Holds::Number => (literal.number.is_some() && !is_regex, "a number"),
        Holds::Severity => (
            literal.severity.is_some() && !is_regex,
            "a severity such as `WARNING`",
        ),
        Holds::Time => (
            literal.time.is_some() && !is_regex && operator != Operator::Has,
            "`=`, `!=`, `<`, `<=`, `>` or `>=` and a time such as \"2026-11-23T08:00:00Z\" or \"2026-11-23\"",
        ),
        Holds::Span => (
            literal.span.is_some() && !is_regex && operator != Operator::Has,
            "`=`, `!=`, `<`, `<=`, `>` or `>=` and a duration such as \"1.5s\"",
        ),
    };
    if reads {
        return Ok(());
    }
    let name = subject.path.names.join(".");
    Err(Error::at(
        value.column,
        format_args!("`{name}`: expected {expected}"),
    ))
}
