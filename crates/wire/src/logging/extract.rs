//! What a log-based metric takes out of an entry: `EXTRACT(field)` and `REGEXP_EXTRACT(field, "re")`.

use super::entry::Entry;
use super::fields::Holds;
use super::node::Truth;
use super::query::Compiler;
use super::subject::{Subject, Transform, scalar_text};
use crate::filter::{Call, Dialect, Error, Expression, Term, parse};
use crate::json::{InvalidField, Object};

/// A value extractor or a label extractor.
#[derive(Debug, Clone)]
pub struct Extractor {
    text: String,
    subject: Subject,
}

/// Extractors are equal when they read the same.
impl PartialEq for Extractor {
    fn eq(&self, other: &Extractor) -> bool {
        self.text == other.text
    }
}

impl Eq for Extractor {}

impl Extractor {
    /// Reads an extractor; the error names the column.
    pub fn parse(text: &str) -> Result<Extractor, InvalidField> {
        let subject = parse(text, Dialect::Logging)
            .and_then(|expression| subject(&expression))
            .map_err(|error| error.in_text(text))?;
        Ok(Extractor {
            text: text.to_owned(),
            subject,
        })
    }

    /// The extractor as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it takes out of the entry: the first value as text, and the empty text when there is none.
    pub fn of(&self, entry: &Entry<'_>) -> String {
        let mut found = String::new();
        self.subject
            .any(&entry.root, &mut |node| match scalar_text(node) {
                Some(text) => {
                    found = text;
                    Truth::True
                }
                None => Truth::False,
            });
        found
    }
}

/// Takes `labelExtractors`: a name, and what fills it.
pub(crate) fn take_extractors(
    object: &mut Object,
    most: usize,
) -> Result<Vec<(String, Extractor)>, InvalidField> {
    let given = object.take_map("labelExtractors")?;
    if given.len() > most {
        return Err(object.refused("labelExtractors", format_args!("has more than {most} entries")));
    }
    given
        .into_iter()
        .map(|(key, element)| {
            let path = element.path.clone();
            let extractor = Extractor::parse(&element.into_string()?)
                .map_err(|error| InvalidField::refused(path, error.description()))?;
            Ok((key, extractor))
        })
        .collect()
}

pub(crate) fn write_extractors(extractors: &[(String, Extractor)]) -> serde_json::Value {
    extractors
        .iter()
        .map(|(key, extractor)| (key.clone(), serde_json::Value::from(extractor.text())))
        .collect()
}

fn subject(expression: &Expression) -> Result<Subject, Error> {
    let expected = || {
        let why = "expected `EXTRACT(FIELD)` or `REGEXP_EXTRACT(FIELD, \"REGULAR EXPRESSION\")`";
        Error::at(0, why)
    };
    let Expression::Term(_, Term::Call(Call { name, arguments, .. })) = expression else {
        return Err(expected());
    };
    let compiler = Compiler::new(expression)?;
    let (operand, transform) = match arguments.as_slice() {
        [operand] if name.eq_ignore_ascii_case("EXTRACT") => (operand, None),
        [operand, pattern] if name.eq_ignore_ascii_case("REGEXP_EXTRACT") => {
            (operand, Some(Transform::Extract(compiler.extraction(pattern)?)))
        }
        _ => return Err(expected()),
    };
    let mut subject = compiler.subject(operand)?;
    if subject.holds() == Holds::Message {
        let why = format_args!("`{}` is not a single value", subject.path.names.join("."));
        return Err(Error::at(operand.column(), why));
    }
    // What is matched is text, whatever the field holds.
    if transform.is_some() {
        subject
            .transforms
            .push(Transform::Cast(super::subject::Type::String));
    }
    subject.transforms.extend(transform);
    Ok(subject)
}
