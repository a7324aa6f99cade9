//! Filters over time series: `metric.type = "…" AND metric.labels.K = "…"`.

use crate::filter::{Call, Dialect, Error, Expression, Operand, Operator, Term, Value, joined, parse, shown};
use crate::json::InvalidField;

/// A filter over time series, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    text: String,
    test: Test,
}

/// What identifies a time series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series<'a> {
    /// Its project's id.
    pub project: &'a str,
    /// Its metric.
    pub metric_type: &'a str,
    /// The metric's labels.
    pub metric_labels: &'a [(String, String)],
    /// What it is about.
    pub resource_type: &'a str,
    /// That thing's labels.
    pub resource_labels: &'a [(String, String)],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Everything,
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Compare(Field, Relation),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Project,
    MetricType,
    MetricLabel(String),
    ResourceType,
    ResourceLabel(String),
}

/// Letters count in their case, as in Monitoring.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Relation {
    OneOf(Vec<String>),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Present,
}

impl Filter {
    /// Reads a filter; the error names the column.
    pub fn parse(text: &str) -> Result<Filter, InvalidField> {
        let test = parse(text, Dialect::Monitoring)
            .and_then(|expression| resolve(&expression))
            .map_err(|error| error.in_text(text))?;
        Ok(Filter {
            text: text.to_owned(),
            test,
        })
    }

    /// The filter as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the series is wanted.
    pub fn matches(&self, series: Series<'_>) -> bool {
        self.test.holds(series)
    }

    /// The one metric it speaks of, if it says so at its top level.
    pub fn metric_type(&self) -> Option<&str> {
        self.test.metric_type()
    }
}

impl Test {
    fn holds(&self, series: Series<'_>) -> bool {
        match self {
            Test::Everything => true,
            Test::All(parts) => parts.iter().all(|part| part.holds(series)),
            Test::Any(parts) => parts.iter().any(|part| part.holds(series)),
            Test::Not(part) => !part.holds(series),
            Test::Compare(field, relation) => relation.holds(field.of(series)),
        }
    }

    fn metric_type(&self) -> Option<&str> {
        match self {
            Test::All(parts) => parts.iter().find_map(Test::metric_type),
            Test::Compare(Field::MetricType, Relation::OneOf(values)) => match values.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Field {
    /// A label that is not there is empty.
    fn of<'a>(&self, series: Series<'a>) -> &'a str {
        let label = |labels: &'a [(String, String)], key: &String| {
            let found = labels.iter().find(|(known, _)| known == key);
            found.map_or("", |(_, value)| value.as_str())
        };
        match self {
            Field::Project => series.project,
            Field::MetricType => series.metric_type,
            Field::MetricLabel(key) => label(series.metric_labels, key),
            Field::ResourceType => series.resource_type,
            Field::ResourceLabel(key) => label(series.resource_labels, key),
        }
    }

    fn resolve(operand: &Operand) -> Result<Field, Error> {
        let Operand::Path(segments) = operand else {
            return Err(Error::at(operand.column(), "expected a field, not a function"));
        };
        let (first, rest) = segments
            .split_first()
            .map_or(("", segments.as_slice()), |(first, rest)| {
                (first.text.as_str(), rest)
            });
        let second = rest.first().map_or("", |second| second.text.as_str());
        let key = joined(rest.get(1..).unwrap_or_default());
        match (first, second, key.is_empty()) {
            ("project", "", true) => Ok(Field::Project),
            ("metric", "type", true) => Ok(Field::MetricType),
            ("resource", "type", true) => Ok(Field::ResourceType),
            ("metric", "label" | "labels", false) => Ok(Field::MetricLabel(key)),
            ("resource", "label" | "labels", false) => Ok(Field::ResourceLabel(key)),
            _ => {
                let why = format_args!(
                    "`{}` is not a field of a time series, expected `project`, `metric.type`, \
                     `metric.labels.KEY`, `resource.type` or `resource.labels.KEY`",
                    shown(&joined(segments))
                );
                Err(Error::at(operand.column(), why))
            }
        }
    }
}

impl Relation {
    fn holds(&self, value: &str) -> bool {
        match self {
            Relation::OneOf(values) => values.iter().any(|known| known == value),
            Relation::Contains(text) => value.contains(text),
            Relation::StartsWith(text) => value.starts_with(text),
            Relation::EndsWith(text) => value.ends_with(text),
            Relation::Present => !value.is_empty(),
        }
    }
}

fn resolve(expression: &Expression) -> Result<Test, Error> {
    let each = |parts: &[Expression]| -> Result<Vec<Test>, Error> { parts.iter().map(resolve).collect() };
    match expression {
        Expression::Everything => Ok(Test::Everything),
        Expression::All(parts) => each(parts).map(Test::All),
        Expression::Any(parts) => each(parts).map(Test::Any),
        Expression::Not(part) => Ok(Test::Not(Box::new(resolve(part)?))),
        Expression::Term(
            _,
            Term::Comparison {
                operand,
                operator,
                value,
            },
        ) => {
            let field = Field::resolve(operand)?;
            let (relation, negated) = compared(*operator, value)?;
            Ok(negated_if(negated, Test::Compare(field, relation)))
        }
        Expression::Term(
            _,
            Term::Function {
                operand,
                operator,
                call,
            },
        ) => {
            let field = Field::resolve(operand)?;
            let negated = match operator {
                Operator::Equal => false,
                Operator::NotEqual => true,
                _ => return Err(Error::at(call.column, "expected `=` or `!=` before a function")),
            };
            Ok(negated_if(negated, Test::Compare(field, called(call)?)))
        }
        Expression::Term(column, Term::Bare(_) | Term::Call(_)) => {
            let why = "expected a comparison such as `metric.type = \"…\"`";
            Err(Error::at(*column, why))
        }
    }
}

fn negated_if(negated: bool, test: Test) -> Test {
    if negated { Test::Not(Box::new(test)) } else { test }
}

fn compared(operator: Operator, value: &Value) -> Result<(Relation, bool), Error> {
    let text = value.text.clone();
    match operator {
        Operator::Equal => Ok((Relation::OneOf(vec![text]), false)),
        Operator::NotEqual => Ok((Relation::OneOf(vec![text]), true)),
        Operator::Has if text == "*" && !value.quoted => Ok((Relation::Present, false)),
        Operator::Has => Ok((Relation::Contains(text), false)),
        _ => Err(Error::at(
            value.column,
            "expected `=`, `!=` or `:` before a value",
        )),
    }
}

fn called(call: &Call) -> Result<Relation, Error> {
    let texts: Option<Vec<String>> = call
        .arguments
        .iter()
        .map(|argument| Some(argument.value()?.text))
        .collect();
    match (call.name.as_str(), texts.as_deref()) {
        ("one_of", Some(texts @ [_, ..])) => Ok(Relation::OneOf(texts.to_vec())),
        ("starts_with", Some([text])) => Ok(Relation::StartsWith(text.clone())),
        ("ends_with", Some([text])) => Ok(Relation::EndsWith(text.clone())),
        ("has_substring", Some([text])) => Ok(Relation::Contains(text.clone())),
        ("one_of", _) => Err(Error::at(call.column, "expected `one_of(\"TEXT\", …)`")),
        ("starts_with" | "ends_with" | "has_substring", _) => Err(Error::at(
            call.column,
            format_args!("expected `{}(\"TEXT\")`", call.name),
        )),
        (name, _) => {
            let why = format_args!(
                "`{}` is not a function here: expected `starts_with`, `ends_with`, `has_substring` or `one_of`",
                shown(name)
            );
            Err(Error::at(call.column, why))
        }
    }
}
