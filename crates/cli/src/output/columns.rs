//! The projections of `--format`: `table(name, createTime:label=CREATED)`, `value(note.keys[].id)`.

use serde_json::Value;

/// No projection names more columns.
const COLUMNS_MAX: usize = 64;

/// Why a `--format` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFormat {
    /// Neither a format nor a projection.
    #[error(
        "expected json, yaml, table, table(FIELD, …), value(FIELD, …), csv(FIELD, …), markdown or none, not `{name}`"
    )]
    UnknownFormat {
        /// The word used.
        name: String,
    },
    /// A field path that cannot be read.
    #[error("expected a field such as `name`, `note.keys[].id` or `name.basename():label=ID`, not `{field}`")]
    BadField {
        /// The field as typed.
        field: String,
    },
    /// Something between the brackets after `table` that is not known.
    #[error("expected [no-heading] or [box], not `[{attribute}]`")]
    UnknownAttribute {
        /// The attribute as typed.
        attribute: String,
    },
    /// Far too many fields.
    #[error("expected at most {COLUMNS_MAX} fields")]
    TooMany,
}

/// The fields of a projection, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    pub(super) columns: Vec<Column>,
    pub(super) heading: bool,
}

impl Columns {
    /// The default columns of a command, written in its source.
    pub(super) fn fixed(fields: &str) -> Columns {
        // A wrong one shows as an empty table in the test of that command.
        parse_columns(fields, true).unwrap_or(Columns {
            columns: Vec::new(),
            heading: true,
        })
    }
}

/// One field: where it is, what is made of it, what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    path: Vec<Step>,
    transform: Option<Transform>,
    label: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Each,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Transform {
    Basename,
    Segment(usize),
    Len,
    Join(String),
}

impl Column {
    /// The heading: the label, or the last key in capitals with underscores, as gcloud forms it.
    pub(super) fn heading(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.key().to_uppercase())
    }

    /// The last key in snake case, as gcloud's CSV headings are.
    pub(super) fn key(&self) -> String {
        let last = self.path.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            _ => None,
        });
        snake_case(last.unwrap_or(""))
    }

    /// The field's text: empty where it is absent; several values are joined by `separator`.
    pub(super) fn text(&self, resource: &Value, separator: &str) -> String {
        let mut found = vec![resource];
        for step in &self.path {
            found = found
                .into_iter()
                .flat_map(|value| take_step(value, step))
                .collect();
        }
        match &self.transform {
            Some(Transform::Len) => {
                let each = matches!(self.path.last(), Some(Step::Each));
                match found.first() {
                    Some(Value::Array(items)) if !each => items.len().to_string(),
                    Some(Value::Object(fields)) if !each => fields.len().to_string(),
                    _ => found.len().to_string(),
                }
            }
            Some(Transform::Join(with)) => join(&found, with),
            Some(Transform::Basename) => map_each(&found, separator, |text| text.rsplit('/').next()),
            Some(Transform::Segment(number)) => {
                map_each(&found, separator, |text| text.split('/').nth(*number))
            }
            None => join(&found, separator),
        }
    }
}

fn take_step<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Key(key), Value::Object(fields)) => {
            let exact = fields.get(key);
            let other = || {
                fields
                    .iter()
                    .find(|(name, _)| snake_case(name) == snake_case(key))
                    .map(|(_, v)| v)
            };
            exact.or_else(other).into_iter().collect()
        }
        (Step::Index(index), Value::Array(items)) => items.get(*index).into_iter().collect(),
        (Step::Each, Value::Array(items)) => items.iter().collect(),
        (Step::Each, Value::Object(fields)) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn map_each(found: &[&Value], separator: &str, map: impl Fn(&str) -> Option<&str>) -> String {
    let texts: Vec<String> = found.iter().map(|value| scalar(value, separator)).collect();
    texts
        .iter()
        .map(|text| map(text).unwrap_or(""))
        .collect::<Vec<_>>()
        .join(separator)
}

fn join(found: &[&Value], separator: &str) -> String {
    found
        .iter()
        .map(|value| scalar(value, separator))
        .collect::<Vec<_>>()
        .join(separator)
}

fn scalar(value: &Value, separator: &str) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => items
            .iter()
            .map(|item| scalar(item, separator))
            .collect::<Vec<_>>()
            .join(separator),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| format!("{key}={}", scalar(value, ",")))
            .collect::<Vec<_>>()
            .join(separator),
    }
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut previous_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && previous_lower {
            out.push('_');
        }
        previous_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(c.to_lowercase());
    }
    out
}

/// Reads `name[attributes](fields)`.
pub(super) fn parse_projection(text: &str) -> Result<(&str, Columns), InvalidFormat> {
    let unknown = || InvalidFormat::UnknownFormat {
        name: text.to_owned(),
    };
    let (head, rest) = text.split_once('(').ok_or_else(unknown)?;
    let fields = rest.trim_end().strip_suffix(')').ok_or_else(unknown)?;
    let (name, heading) = match head.split_once('[') {
        None => (head, true),
        Some((name, attributes)) => {
            let attributes = attributes.strip_suffix(']').ok_or_else(unknown)?;
            let mut heading = true;
            for attribute in attributes.split(',').map(str::trim) {
                match attribute {
                    "no-heading" => heading = false,
                    // Boxes are drawn by gcloud; here every table is plain.
                    "box" => {}
                    _ => {
                        return Err(InvalidFormat::UnknownAttribute {
                            attribute: attribute.to_owned(),
                        });
                    }
                }
            }
            (name, heading)
        }
    };
    Ok((name.trim(), parse_columns(fields, heading)?))
}

fn parse_columns(fields: &str, heading: bool) -> Result<Columns, InvalidFormat> {
    let columns = split_outside_parentheses(fields)
        .into_iter()
        .map(parse_column)
        .collect::<Result<Vec<Column>, InvalidFormat>>()?;
    match columns.len() {
        1..=COLUMNS_MAX => Ok(Columns { columns, heading }),
        _ => Err(InvalidFormat::TooMany),
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let separators = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    text.split(separators).map(str::trim).collect()
}

fn parse_column(field: &str) -> Result<Column, InvalidFormat> {
    let bad = || InvalidFormat::BadField {
        field: field.to_owned(),
    };
    let (path, label) = match field.split_once(':') {
        None => (field, None),
        Some((path, attributes)) => {
            let label = attributes
                .split(':')
                .find_map(|attribute| attribute.strip_prefix("label="));
            (
                path,
                Some(label.ok_or_else(bad)?.trim_matches(['\'', '"']).to_owned()),
            )
        }
    };
    let (path, transform) = match path.strip_suffix(')') {
        None => (path, None),
        Some(call) => {
            let (path_and_name, argument) = call.split_once('(').ok_or_else(bad)?;
            let (path, name) = path_and_name.rsplit_once('.').ok_or_else(bad)?;
            (path, Some(parse_transform(name, argument).ok_or_else(bad)?))
        }
    };
    let mut steps = Vec::new();
    for part in path.split('.') {
        parse_part(part, &mut steps).ok_or_else(bad)?;
    }
    Ok(Column {
        path: steps,
        transform,
        label,
    })
}

fn parse_transform(name: &str, argument: &str) -> Option<Transform> {
    let argument = argument
        .trim()
        .trim_start_matches("separator=")
        .trim_matches(['\'', '"']);
    match name {
        "basename" if argument.is_empty() => Some(Transform::Basename),
        "len" if argument.is_empty() => Some(Transform::Len),
        "segment" => argument.parse().ok().map(Transform::Segment),
        "list" | "join" => Some(Transform::Join(
            if argument.is_empty() { "," } else { argument }.to_owned(),
        )),
        _ => None,
    }
}

/// `keys`, `keys[]`, `keys[0]`, `keys[].x` split before; several brackets may follow one key.
fn parse_part(part: &str, steps: &mut Vec<Step>) -> Option<()> {
    let (key, mut brackets) = match part.find('[') {
        None => (part, ""),
        Some(at) => part.split_at(at),
    };
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '@');
    if key.is_empty() || !key.chars().all(good) {
        return None;
    }
    steps.push(Step::Key(key.to_owned()));
    while !brackets.is_empty() {
        let (inner, rest) = brackets.strip_prefix('[')?.split_once(']')?;
        steps.push(match inner {
            "" => Step::Each,
            number => Step::Index(number.parse().ok()?),
        });
        brackets = rest;
    }
    Some(())
}
