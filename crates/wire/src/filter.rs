//! List filters, AIP-160: comparisons and functions joined by `AND`, `OR`, `NOT` and parentheses. `NOT` binds tightest,
//! then `OR`, then `AND`; terms side by side are joined by `AND`.
//!
//! [`Expression`] is the syntax and knows no field: every API's filter language is read by it. [`Filter`] is what
//! Container Analysis makes of one.

mod lexer;
mod syntax;

pub use lexer::{Operator, Value};
pub use syntax::{Call, Expression, Operand, Term};

use std::fmt;

use binauthz_core::time::UnixTime;

use crate::json::{InvalidField, same_field, timestamp_from};
pub(crate) use syntax::{joined, parse};

/// The longest filter in characters, as Google's.
const MAX_FILTER: usize = 20_000;

/// The small differences between the languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// AIP-160, read strictly.
    Aip,
    /// Cloud Logging: comments, escapes that mean nothing are kept, calls as arguments.
    Logging,
    /// Cloud Monitoring: calls to the right of an operator.
    Monitoring,
}

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// From 0.
    column: usize,
    why: String,
}

impl Error {
    pub(crate) fn at(column: usize, why: impl fmt::Display) -> Error {
        Error {
            column,
            why: why.to_string(),
        }
    }

    /// The error for people, who count lines and characters from 1.
    pub(crate) fn in_text(&self, text: &str) -> InvalidField {
        let before: Vec<char> = text.chars().take(self.column).collect();
        let line = before.iter().filter(|character| **character == '\n').count() + 1;
        let column = before
            .iter()
            .rev()
            .take_while(|character| **character != '\n')
            .count()
            + 1;
        let why = &self.why;
        if text.trim_end().contains('\n') {
            InvalidField::refused("filter", format_args!("line {line}, column {column}: {why}"))
        } else {
            InvalidField::refused("filter", format_args!("column {column}: {why}"))
        }
    }
}

/// Somebody's text as a message can show it.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// A filter over fields of text and of time, ready to be asked about items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The empty filter: everything.
    Everything,
    /// All of these.
    All(Vec<Filter>),
    /// One of these at least.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// One field against one text.
    Text {
        /// The field.
        field: String,
        /// How it must relate.
        relation: TextRelation,
        /// The text.
        text: String,
    },
    /// One field of time against one instant.
    Time {
        /// The field.
        field: String,
        /// `=`, `!=`, `<`, `<=`, `>` or `>=`.
        operator: Operator,
        /// The instant.
        instant: UnixTime,
    },
}

/// How a text must relate to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRelation {
    /// `=`
    Equal,
    /// `:`, in any case of letters.
    Contains,
    /// `field:*`
    Present,
    /// `has_prefix(field, "text")`
    Prefix,
    /// `has_suffix(field, "text")`
    Suffix,
    /// `<`
    Before,
    /// `>`
    After,
}

impl Filter {
    /// Reads a filter over the given fields; the error names the column. A field whose name ends in `Time` is an
    /// instant, as everywhere in Google's APIs.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Filter, InvalidField> {
        parse(text, Dialect::Aip)
            .and_then(|expression| resolve(&expression, fields))
            .map_err(|error| error.in_text(text))
    }

    /// Whether an item is wanted; `field` gives the values of its fields, times in RFC 3339.
    pub fn matches(&self, field: &dyn Fn(&str) -> String) -> bool {
        match self {
            Filter::Everything => true,
            Filter::All(parts) => parts.iter().all(|part| part.matches(field)),
            Filter::Any(parts) => parts.iter().any(|part| part.matches(field)),
            Filter::Not(part) => !part.matches(field),
            Filter::Text {
                field: name,
                relation,
                text,
            } => relation.holds(&field(name), text),
            Filter::Time {
                field: name,
                operator,
                instant,
            } => timestamp_from(&field(name)).is_some_and(|value| operator.holds(&value, instant)),
        }
    }

    /// A text that `name` must end in for anything to match, if the filter says so at its top level.
    pub fn required_suffix(&self, name: &str) -> Option<&str> {
        match self {
            Filter::Text {
                field,
                relation: TextRelation::Suffix | TextRelation::Equal,
                text,
            } if field == name => Some(text),
            Filter::All(parts) => parts.iter().find_map(|part| part.required_suffix(name)),
            _ => None,
        }
    }
}

impl TextRelation {
    fn holds(self, value: &str, text: &str) -> bool {
        match self {
            TextRelation::Equal => value == text,
            TextRelation::Contains => value.to_lowercase().contains(&text.to_lowercase()),
            TextRelation::Present => !value.is_empty(),
            TextRelation::Prefix => value.starts_with(text),
            TextRelation::Suffix => value.ends_with(text),
            TextRelation::Before => value < text,
            TextRelation::After => value > text,
        }
    }
}

fn resolve(expression: &Expression, fields: &[&str]) -> Result<Filter, Error> {
    let each = |parts: &[Expression]| -> Result<Vec<Filter>, Error> {
        parts.iter().map(|part| resolve(part, fields)).collect()
    };
    Ok(match expression {
        Expression::Everything => Filter::Everything,
        Expression::All(parts) => Filter::All(each(parts)?),
        Expression::Any(parts) => Filter::Any(each(parts)?),
        Expression::Not(part) => Filter::Not(Box::new(resolve(part, fields)?)),
        Expression::Term(
            column,
            Term::Comparison {
                operand,
                operator,
                value,
            },
        ) => comparison(*column, known(operand, fields)?, *operator, value)?,
        Expression::Term(_, Term::Call(call) | Term::Function { call, .. }) => function(call, fields)?,
        Expression::Term(column, Term::Bare(value)) => {
            let why = format_args!("expected a comparison such as `{} = \"…\"`", shown(&value.text));
            return Err(Error::at(*column, why));
        }
    })
}

fn comparison(column: usize, field: &str, operator: Operator, value: &Value) -> Result<Filter, Error> {
    if field.ends_with("Time") {
        if matches!(operator, Operator::Has | Operator::Matches | Operator::NotMatches) {
            let why = format_args!("`{field}` is a time: expected `=`, `!=`, `<`, `<=`, `>` or `>=`");
            return Err(Error::at(column, why));
        }
        let instant = timestamp_from(&value.text).ok_or_else(|| {
            let why = format_args!("`{field}` is a time: expected RFC 3339 such as \"2026-11-23T08:00:00Z\"");
            Error::at(column, why)
        })?;
        return Ok(Filter::Time {
            field: field.to_owned(),
            operator,
            instant,
        });
    }
    let (relation, negated) = match operator {
        Operator::Equal => (TextRelation::Equal, false),
        Operator::NotEqual => (TextRelation::Equal, true),
        Operator::Has if value.text == "*" => (TextRelation::Present, false),
        Operator::Has => (TextRelation::Contains, false),
        Operator::Less => (TextRelation::Before, false),
        Operator::LessOrEqual => (TextRelation::After, true),
        Operator::Greater => (TextRelation::After, false),
        Operator::GreaterOrEqual => (TextRelation::Before, true),
        Operator::Matches | Operator::NotMatches => {
            let why = "regular expressions are not supported here: use `:`, `has_prefix` or `has_suffix`";
            return Err(Error::at(column, why));
        }
    };
    let filter = Filter::Text {
        field: field.to_owned(),
        relation,
        text: value.text.clone(),
    };
    Ok(if negated {
        Filter::Not(Box::new(filter))
    } else {
        filter
    })
}

fn function(call: &Call, fields: &[&str]) -> Result<Filter, Error> {
    let name = call.name.as_str();
    let relation = match name {
        "has_prefix" => TextRelation::Prefix,
        "has_suffix" => TextRelation::Suffix,
        _ => {
            let why = "expected the function `has_prefix` or `has_suffix`";
            return Err(Error::at(call.column, why));
        }
    };
    let [operand, Operand::Path(text)] = call.arguments.as_slice() else {
        let why = format_args!("expected `{name}(FIELD, \"TEXT\")`");
        return Err(Error::at(call.column, why));
    };
    let field = known(operand, fields)?;
    if field.ends_with("Time") {
        let why = format_args!("`{field}` is a time, not a text");
        return Err(Error::at(operand.column(), why));
    }
    Ok(Filter::Text {
        field: field.to_owned(),
        relation,
        text: joined(text),
    })
}

/// The field of that name, in camelCase or snake_case; `resourceUrl` is what filters call `resourceUri`.
fn known<'a>(operand: &Operand, fields: &[&'a str]) -> Result<&'a str, Error> {
    let given = match operand {
        Operand::Path(path) => joined(path),
        Operand::Call(call) => format!("{}(", call.name),
    };
    let asked = if same_field(&given, "resourceUrl") {
        "resourceUri"
    } else {
        &given
    };
    fields
        .iter()
        .find(|field| same_field(asked, field))
        .copied()
        .ok_or_else(|| {
            let fields = fields
                .iter()
                .map(|field| format!("`{field}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let why = format_args!("`{}` is not a field, expected one of {fields}", shown(&given));
            Error::at(operand.column(), why)
        })
}

#[cfg(test)]
mod tests;
