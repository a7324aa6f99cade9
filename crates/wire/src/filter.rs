//! List filters, AIP-160: comparisons and functions joined by `AND`, `OR`, `NOT` and parentheses. `NOT` binds tightest,
//! then `OR`, then `AND`; terms side by side are joined by `AND`.
//!
//! [`Expression`] is the syntax and knows no field: every API's filter language is read by it. [`Filter`] is what
//! Container Analysis makes of one.

mod lexer;
mod syntax;

pub use lexer::Operator;
pub use syntax::{Expression, Term};

use binauthz_core::time::UnixTime;

use crate::json::{InvalidField, same_field, timestamp_from};

/// The longest filter, as Google's.
const MAX_FILTER: usize = 20_000;

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
        resolve(&Expression::parse(text)?, fields)
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

fn resolve(expression: &Expression, fields: &[&str]) -> Result<Filter, InvalidField> {
    let each = |parts: &[Expression]| -> Result<Vec<Filter>, InvalidField> {
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
                path,
                operator,
                value,
            },
        ) => comparison(*column, known(*column, path, fields)?, *operator, value)?,
        Expression::Term(column, Term::Call { name, arguments }) => call(*column, name, arguments, fields)?,
        Expression::Term(column, Term::Bare(text)) => {
            let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
            return Err(refused(
                *column,
                format_args!("expected a comparison such as `{shown} = \"…\"`"),
            ));
        }
    })
}

fn comparison(column: usize, field: &str, operator: Operator, value: &str) -> Result<Filter, InvalidField> {
    if field.ends_with("Time") {
        if matches!(operator, Operator::Has | Operator::Matches | Operator::NotMatches) {
            return Err(refused(
                column,
                format_args!("`{field}` is a time: expected `=`, `!=`, `<`, `<=`, `>` or `>=`"),
            ));
        }
        let instant = timestamp_from(value).ok_or_else(|| {
            refused(
                column,
                format_args!("`{field}` is a time: expected RFC 3339 such as \"2026-11-23T08:00:00Z\""),
            )
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
        Operator::Has if value == "*" => (TextRelation::Present, false),
        Operator::Has => (TextRelation::Contains, false),
        Operator::Less => (TextRelation::Before, false),
        Operator::LessOrEqual => (TextRelation::After, true),
        Operator::Greater => (TextRelation::After, false),
        Operator::GreaterOrEqual => (TextRelation::Before, true),
        Operator::Matches | Operator::NotMatches => {
            return Err(refused(
                column,
                "regular expressions are not supported here: use `:`, `has_prefix` or `has_suffix`",
            ));
        }
    };
    let filter = Filter::Text {
        field: field.to_owned(),
        relation,
        text: value.to_owned(),
    };
    Ok(if negated {
        Filter::Not(Box::new(filter))
    } else {
        filter
    })
}

fn call(
    column: usize,
    name: &str,
    arguments: &[(usize, Vec<String>)],
    fields: &[&str],
) -> Result<Filter, InvalidField> {
    let relation = match name {
        "has_prefix" => TextRelation::Prefix,
        "has_suffix" => TextRelation::Suffix,
        _ => {
            return Err(refused(
                column,
                "expected the function `has_prefix` or `has_suffix`",
            ));
        }
    };
    let [(field_column, path), (_, text)] = arguments else {
        return Err(refused(
            column,
            format_args!("expected `{name}(FIELD, \"TEXT\")`"),
        ));
    };
    let field = known(*field_column, path, fields)?;
    if field.ends_with("Time") {
        return Err(refused(
            *field_column,
            format_args!("`{field}` is a time, not a text"),
        ));
    }
    Ok(Filter::Text {
        field: field.to_owned(),
        relation,
        text: text.join("."),
    })
}

/// The field of that name, in camelCase or snake_case; `resourceUrl` is what filters call `resourceUri`.
fn known<'a>(column: usize, path: &[String], fields: &[&'a str]) -> Result<&'a str, InvalidField> {
    let given = path.join(".");
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
            let shown: String = given.chars().take(60).flat_map(char::escape_debug).collect();
            let fields = fields
                .iter()
                .map(|field| format!("`{field}`"))
                .collect::<Vec<_>>()
                .join(", ");
            refused(
                column,
                format_args!("`{shown}` is not a field, expected one of {fields}"),
            )
        })
}

/// The error at a column, counted in characters from 1 for people.
fn refused(column: usize, why: impl std::fmt::Display) -> InvalidField {
    InvalidField::refused("filter", format_args!("column {}: {why}", column + 1))
}

#[cfg(test)]
mod tests;
