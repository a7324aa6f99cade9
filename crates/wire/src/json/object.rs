//! Reading the members of an object by name, and saying precisely which one is wrong.

use std::fmt;
use std::time::Duration;

use binauthz_core::time::UnixTime;

use super::Value;
use super::scalar::{self, EnumRow};

/// A member of a request that cannot be accepted: where it is, and what is wrong with it.
///
/// `Display` is the sentence for people; it names the full path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// Full path, for example `admissionWhitelistPatterns[0].namePattern`; empty for the message itself.
    pub path: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Needed and not there.
    Missing,
    /// Not a member of this message.
    Unknown {
        /// A member of similar spelling.
        suggestion: Option<&'static str>,
    },
    /// Given in camelCase and in snake_case at once.
    Twice {
        /// The other spelling.
        other: String,
    },
    /// Of another type or form than needed.
    Expected {
        /// What was expected, with its article.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// Not one of the values of an enumeration.
    NotOneOf {
        /// The value given.
        given: String,
        /// The values there are.
        allowed: Vec<&'static str>,
    },
    /// Well-formed, but refused by the meaning of the field.
    Refused {
        /// Why, as a clause that follows the path: "`path`: why".
        reason: String,
    },
}

impl InvalidField {
    /// A member whose meaning is refused.
    pub fn refused(path: impl Into<String>, reason: impl fmt::Display) -> InvalidField {
        InvalidField {
            path: path.into(),
            problem: Problem::Refused {
                reason: reason.to_string(),
            },
        }
    }

    /// A member that is needed and absent.
    pub fn missing(path: impl Into<String>) -> InvalidField {
        InvalidField {
            path: path.into(),
            problem: Problem::Missing,
        }
    }

    fn expected(path: String, expected: &'static str, found: impl Into<String>) -> InvalidField {
        InvalidField {
            path,
            problem: Problem::Expected {
                expected,
                found: found.into(),
            },
        }
    }

    /// The problem without the path, for error forms that carry the path beside it.
    pub fn description(&self) -> String {
        match &self.problem {
            Problem::Missing => "is required".to_owned(),
            Problem::Unknown { suggestion: None } => "is not a known field".to_owned(),
            Problem::Unknown {
                suggestion: Some(name),
            } => {
                format!("is not a known field; did you mean `{name}`?")
            }
            Problem::Twice { other } => format!("is given twice, also as `{other}`"),
            Problem::Expected { expected, found } => format!("must be {expected}, not {found}"),
            Problem::NotOneOf { given, allowed } => {
                format!("is {given}, which is not one of {}", quoted_list(allowed))
            }
            Problem::Refused { reason } => reason.clone(),
        }
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(self.problem, Problem::Refused { .. }) {
            ": "
        } else {
            " "
        };
        match (self.path.is_empty(), separator) {
            (true, ": ") => formatter.write_str(&self.description()),
            (true, _) => write!(formatter, "the message {}", self.description()),
            (false, separator) => write!(formatter, "`{}`{separator}{}", self.path, self.description()),
        }
    }
}

impl std::error::Error for InvalidField {}

/// One item of a list or one value of a map, with its path.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// The value.
    pub value: Value,
    /// Its full path.
    pub path: String,
}

impl Element {
    /// The element as an object to read members from.
    pub fn into_object(self) -> Result<Object, InvalidField> {
        Object::new(self.value, self.path)
    }

    /// The element as one of a table's values.
    pub fn into_enum<T: Copy>(self, table: &[EnumRow<T>]) -> Result<T, InvalidField> {
        let names: Vec<&str> = table.iter().map(|(name, _, _)| *name).collect();
        let why = format_args!("expected one of {}", quoted_list(&names)).to_string();
        enum_from(&self.value, self.path.clone(), table)?.ok_or_else(|| InvalidField::refused(self.path, why))
    }

    /// The element as an int64, written as a number or as a string.
    pub fn into_i64(self) -> Result<i64, InvalidField> {
        scalar::i64_from(&self.value)
            .ok_or_else(|| InvalidField::expected(self.path, "a whole number of 64 bits", self.value.kind()))
    }

    /// The element as text.
    pub fn into_string(self) -> Result<String, InvalidField> {
        match self.value {
            Value::String(text) => Ok(text),
            other => Err(InvalidField::expected(self.path, "a string", other.kind())),
        }
    }
}

/// An object whose members are taken one by one; what is left at [`Object::finish`] was not expected.
///
/// Names are given in camelCase; the snake_case spelling of proto is accepted as well. `null`, as well as the empty
/// string, list, object and enum number 0, means "absent", as in proto3.
#[derive(Debug)]
pub struct Object {
    members: Vec<(String, Value)>,
    path: String,
    known: Vec<&'static str>,
}

impl Object {
    /// Starts reading; `path` is empty for the message itself.
    pub fn new(value: Value, path: impl Into<String>) -> Result<Object, InvalidField> {
        let path = path.into();
        match value {
            Value::Object(members) => Ok(Object {
                members,
                path,
                known: Vec::new(),
            }),
            other => Err(InvalidField::expected(path, "an object", other.kind())),
        }
    }

    /// The path of this object; empty for the message itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The full path of a member.
    pub fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    /// The error of a member's own language, such as a filter, in its place in this object.
    pub fn within(&self, field: &str, error: &InvalidField) -> InvalidField {
        self.refused(field, error.description())
    }

    /// The error for a member whose meaning is refused.
    pub fn refused(&self, field: &str, reason: impl fmt::Display) -> InvalidField {
        InvalidField::refused(self.path_of(field), reason)
    }

    /// True when nothing is left to take.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What has not been taken, as a value again.
    pub fn into_value(self) -> Value {
        Value::Object(self.members)
    }

    /// Whether the member is there without taking it. `null`, the empty text and the empty list are "absent" in proto3;
    /// an object without members is not.
    pub fn has(&self, field: &str) -> bool {
        let means_absent = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        self.members
            .iter()
            .any(|(key, value)| scalar::same_field(key, field) && !means_absent(value))
    }

    /// Takes the member as it is; `None` when absent or `null`.
    pub fn take_optional_value(&mut self, field: &'static str) -> Result<Option<Value>, InvalidField> {
        self.known.push(field);
        let Some(position) = self
            .members
            .iter()
            .position(|(key, _)| scalar::same_field(key, field))
        else {
            return Ok(None);
        };
        let (_, value) = self.members.remove(position);
        if let Some((other, _)) = self
            .members
            .iter()
            .find(|(key, _)| scalar::same_field(key, field))
        {
            let problem = Problem::Twice { other: other.clone() };
            return Err(InvalidField {
                path: self.path_of(field),
                problem,
            });
        }
        Ok((value != Value::Null).then_some(value))
    }

    /// Drops a member that clients echo and that means nothing in a request (output only).
    pub fn ignore(&mut self, field: &'static str) {
        self.known.push(field);
        self.members.retain(|(key, _)| !scalar::same_field(key, field));
    }

    /// Ends the reading: anything left is an unknown field.
    pub fn finish(self) -> Result<(), InvalidField> {
        let Some((left, _)) = self.members.first() else {
            return Ok(());
        };
        let suggestion = scalar::nearest(left, &self.known);
        Err(InvalidField {
            path: self.path_of(left),
            problem: Problem::Unknown { suggestion },
        })
    }

    /// Takes text; absent or empty gives `None`.
    pub fn take_optional_string(&mut self, field: &'static str) -> Result<Option<String>, InvalidField> {
        match self.take_optional_value(field)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(other) => Err(self.wrong(field, "a string", &other)),
        }
    }

    /// Takes text that must be there and not empty.
    pub fn take_string(&mut self, field: &'static str) -> Result<String, InvalidField> {
        let taken = self.take_optional_string(field)?;
        self.required(field, taken)
    }

    /// Takes text and turns it into a domain value; absent or empty gives `None`.
    pub fn take_optional_parsed<T>(&mut self, field: &'static str) -> Result<Option<T>, InvalidField>
    where
        T: std::str::FromStr<Err: fmt::Display>,
    {
        match self.take_optional_string(field)? {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|error| self.refused(field, error)),
        }
    }

    /// Takes text that must be there and turns it into a domain value.
    pub fn take_parsed<T>(&mut self, field: &'static str) -> Result<T, InvalidField>
    where
        T: std::str::FromStr<Err: fmt::Display>,
    {
        let taken = self.take_optional_parsed(field)?;
        self.required(field, taken)
    }

    /// Takes a boolean; `None` when absent.
    pub fn take_optional_bool(&mut self, field: &'static str) -> Result<Option<bool>, InvalidField> {
        match self.take_optional_value(field)? {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(field, "`true` or `false`", &other)),
        }
    }

    /// Takes an int64, written as a number or as a string.
    pub fn take_optional_i64(&mut self, field: &'static str) -> Result<Option<i64>, InvalidField> {
        match self.take_optional_value(field)? {
            None => Ok(None),
            Some(value) => {
                let number = scalar::i64_from(&value);
                number
                    .map(Some)
                    .ok_or_else(|| self.wrong(field, "a whole number of 64 bits", &value))
            }
        }
    }

    /// Takes an int64 that must be there.
    pub fn take_i64(&mut self, field: &'static str) -> Result<i64, InvalidField> {
        let taken = self.take_optional_i64(field)?;
        self.required(field, taken)
    }

    /// Takes a finite number; `None` when absent. proto3 JSON allows it as text.
    pub fn take_optional_f64(&mut self, field: &'static str) -> Result<Option<f64>, InvalidField> {
        let Some(value) = self.take_optional_value(field)? else {
            return Ok(None);
        };
        let number = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| number.is_finite())
            .map(Some)
            .ok_or_else(|| self.wrong(field, "a finite number", &value))
    }

    /// Takes bytes in base64, standard or URL-safe, padded or not; absent or empty gives `None`.
    pub fn take_optional_bytes(&mut self, field: &'static str) -> Result<Option<Vec<u8>>, InvalidField> {
        match self.take_optional_string(field)? {
            None => Ok(None),
            Some(text) => scalar::bytes_from(&text).map(Some).ok_or_else(|| {
                InvalidField::expected(self.path_of(field), "bytes in base64", "text that is not base64")
            }),
        }
    }

    /// Takes bytes that must be there and not empty.
    pub fn take_bytes(&mut self, field: &'static str) -> Result<Vec<u8>, InvalidField> {
        let taken = self.take_optional_bytes(field)?;
        self.required(field, taken)
    }

    /// Takes one of a table's values, by name or by number; absent, or 0 when no row has it, gives `None`.
    pub fn take_optional_enum<T: Copy>(
        &mut self,
        field: &'static str,
        table: &[EnumRow<T>],
    ) -> Result<Option<T>, InvalidField> {
        match self.take_optional_value(field)? {
            None => Ok(None),
            Some(value) => enum_from(&value, self.path_of(field), table),
        }
    }

    /// Takes one of a table's values, which must be there.
    pub fn take_enum<T: Copy>(
        &mut self,
        field: &'static str,
        table: &[EnumRow<T>],
    ) -> Result<T, InvalidField> {
        match self.take_optional_enum(field, table)? {
            Some(value) => Ok(value),
            None => {
                if let Some(misspelt) = self.misspelt(field) {
                    return Err(misspelt);
                }
                let names: Vec<&str> = table.iter().map(|(name, _, _)| *name).collect();
                Err(self.refused(field, format_args!("is required: one of {}", quoted_list(&names))))
            }
        }
    }

    /// Takes a duration such as `86400s` or `1.5s`.
    pub fn take_optional_duration(&mut self, field: &'static str) -> Result<Option<Duration>, InvalidField> {
        const EXPECTED: &str = "a duration in seconds such as `86400s`";
        match self.take_optional_string(field)? {
            None => Ok(None),
            Some(text) => scalar::duration_from(&text).map(Some).ok_or_else(|| {
                InvalidField::expected(
                    self.path_of(field),
                    EXPECTED,
                    format!("`{}`", text.escape_debug()),
                )
            }),
        }
    }

    /// Takes an instant in RFC 3339 such as `2026-11-23T08:00:00Z`.
    pub fn take_optional_timestamp(&mut self, field: &'static str) -> Result<Option<UnixTime>, InvalidField> {
        const EXPECTED: &str = "a time in RFC 3339 such as `2026-11-23T08:00:00Z`";
        match self.take_optional_string(field)? {
            None => Ok(None),
            Some(text) => scalar::timestamp_from(&text).map(Some).ok_or_else(|| {
                InvalidField::expected(
                    self.path_of(field),
                    EXPECTED,
                    format!("`{}`", text.escape_debug()),
                )
            }),
        }
    }

    /// Takes a nested object; `None` when absent.
    pub fn take_optional_object(&mut self, field: &'static str) -> Result<Option<Object>, InvalidField> {
        match self.take_optional_value(field)? {
            None => Ok(None),
            Some(value) => Object::new(value, self.path_of(field)).map(Some),
        }
    }

    /// Takes a nested object that must be there.
    pub fn take_object(&mut self, field: &'static str) -> Result<Object, InvalidField> {
        let taken = self.take_optional_object(field)?;
        self.required(field, taken)
    }

    /// Takes a list; absent gives the empty list.
    pub fn take_array(&mut self, field: &'static str) -> Result<Vec<Element>, InvalidField> {
        match self.take_optional_value(field)? {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let path = self.path_of(field);
                let element = |(index, value)| Element {
                    value,
                    path: format!("{path}[{index}]"),
                };
                Ok(items.into_iter().enumerate().map(element).collect())
            }
            Some(other) => Err(self.wrong(field, "a list", &other)),
        }
    }

    /// Takes a list of texts; absent gives the empty list.
    pub fn take_strings(&mut self, field: &'static str) -> Result<Vec<String>, InvalidField> {
        self.take_array(field)?
            .into_iter()
            .map(Element::into_string)
            .collect()
    }

    /// Takes a list of objects; absent gives the empty list.
    pub fn take_objects(&mut self, field: &'static str) -> Result<Vec<Object>, InvalidField> {
        self.take_array(field)?
            .into_iter()
            .map(Element::into_object)
            .collect()
    }

    /// Takes a map with free keys; absent gives the empty map. Paths read `field["key"]`.
    pub fn take_map(&mut self, field: &'static str) -> Result<Vec<(String, Element)>, InvalidField> {
        match self.take_optional_value(field)? {
            None => Ok(Vec::new()),
            Some(Value::Object(members)) => {
                let path = self.path_of(field);
                let element = |(key, value): (String, Value)| {
                    let path = format!("{path}[\"{}\"]", key.escape_debug());
                    (key, Element { value, path })
                };
                Ok(members.into_iter().map(element).collect())
            }
            Some(other) => Err(self.wrong(field, "an object", &other)),
        }
    }

    /// Takes a map from text to text, such as labels; absent gives the empty map.
    pub fn take_string_map(&mut self, field: &'static str) -> Result<Vec<(String, String)>, InvalidField> {
        let pair = |(key, element): (String, Element)| Ok((key, element.into_string()?));
        self.take_map(field)?.into_iter().map(pair).collect()
    }

    fn required<T>(&self, field: &'static str, taken: Option<T>) -> Result<T, InvalidField> {
        taken.ok_or_else(|| match self.misspelt(field) {
            Some(misspelt) => misspelt,
            None => InvalidField::missing(self.path_of(field)),
        })
    }

    /// A required member that is there under a name nearly right: its author looks for what they wrote.
    fn misspelt(&self, field: &'static str) -> Option<InvalidField> {
        let suggests = |key: &str| scalar::nearest(key, &[field]).is_some();
        let (written, _) = self.members.iter().find(|(key, _)| suggests(key))?;
        let suggestion = Some(field);
        Some(InvalidField {
            path: self.path_of(written),
            problem: Problem::Unknown { suggestion },
        })
    }

    pub(crate) fn wrong(&self, field: &str, expected: &'static str, found: &Value) -> InvalidField {
        let found = match found {
            Value::String(text) if text.len() <= 80 => format!("`{}`", text.escape_debug()),
            Value::Number(number) => number.to_string(),
            other => other.kind().to_owned(),
        };
        InvalidField::expected(self.path_of(field), expected, found)
    }
}

/// One of a table's values, by name or by number; `None` for 0 when no row has it.
fn enum_from<T: Copy>(value: &Value, path: String, table: &[EnumRow<T>]) -> Result<Option<T>, InvalidField> {
    let row = match value {
        Value::String(name) => table.iter().find(|(known, _, _)| known == name),
        Value::Number(number) => {
            let number = number.as_i64();
            table
                .iter()
                .find(|(_, known, _)| Some(i64::from(*known)) == number)
        }
        other => {
            let expected = "the name of an enum value";
            return Err(InvalidField::expected(path, expected, other.kind()));
        }
    };
    if let Some((_, _, found)) = row {
        return Ok(Some(*found));
    }
    let given = match value {
        Value::String(name) => format!("`{}`", name.escape_debug()),
        Value::Number(number) if number.as_i64() == Some(0) => return Ok(None),
        Value::Number(number) if number.is_f64() => "a number that is no integer".to_owned(),
        other => serde_json::Value::from(other.clone()).to_string(),
    };
    let allowed = table.iter().map(|(name, _, _)| *name).collect();
    Err(InvalidField {
        path,
        problem: Problem::NotOneOf { given, allowed },
    })
}

fn quoted_list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
