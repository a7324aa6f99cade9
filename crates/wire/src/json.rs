//! JSON read strictly: one document, UTF-8, bounded, and no key twice at any depth.
//!
//! Two parsers that disagree about the same bytes are how a policy that one program shows becomes another policy in
//! the next. So nothing is guessed here: a body either has one meaning or is refused.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

mod object;
mod scalar;

pub use object::{Element, InvalidField, Object, Problem};
pub(crate) use scalar::same_field;
pub use scalar::{
    EnumRow, bytes_from, bytes_out, duration_from, duration_out, enum_name, timestamp_from, timestamp_out,
};

/// One JSON value. An object keeps its keys in the order they came in; no key occurs twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`; read as "absent" everywhere, as proto3 JSON says.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(serde_json::Number),
    /// Text.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// Keys and values, each key once.
    Object(Vec<(String, Value)>),
}

/// How much of somebody else's text we are ready to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the text in bytes.
    pub bytes: usize,
    /// Nesting of lists and objects.
    pub depth: usize,
    /// Number of values in the whole document.
    pub values: usize,
}

impl Limits {
    /// For API requests. The largest honest body is an attestation of some hundred KiB or a policy with thousands of
    /// rules; 4 MiB and 200 000 values (about 15 MiB as a tree) leave room, 64 levels are four times what any of our
    /// messages has.
    pub const API: Limits = Limits {
        bytes: 4 << 20,
        depth: 64,
        values: 200_000,
    };
}

impl Limits {
    /// For manifests, which charts render by the thousand: 16 MiB of text, as much as the command line reads of any file,
    /// and some 60 MiB as a tree.
    pub const MANIFEST: Limits = Limits {
        bytes: 16 << 20,
        values: 800_000,
        ..Limits::API
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::API
    }
}

/// Why a text is not a JSON document we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// Longer than the limit.
    #[error("the body has {length} bytes; at most {limit} are read")]
    TooLarge {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the body is not valid UTF-8 (byte {position})")]
    NotUtf8 {
        /// Offset of the first bad byte.
        position: usize,
    },
    /// Empty where a document was expected.
    #[error("the body is empty; expected a JSON object")]
    Empty,
    /// Not JSON, or JSON with a key twice, too deep, too large, or followed by something.
    #[error("the body is not acceptable JSON: {problem}")]
    Malformed {
        /// What is wrong and where, for people.
        problem: String,
    },
}

/// Reads exactly one JSON document.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Value, InvalidJson> {
    if bytes.len() > limits.bytes {
        return Err(InvalidJson::TooLarge {
            length: bytes.len(),
            limit: limits.bytes,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| InvalidJson::NotUtf8 {
        position: error.valid_up_to(),
    })?;
    if text.trim_ascii().is_empty() {
        return Err(InvalidJson::Empty);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // serde_json's own guard is 128 levels; ours is lower and counted in `Build`.
    let budget = Cell::new(limits.values);
    Build {
        depth: limits.depth,
        budget: &budget,
    }
    .deserialize(&mut deserializer)
    .and_then(|value| deserializer.end().map(|()| value))
    .map_err(|error| InvalidJson::Malformed {
        problem: error.to_string(),
    })
}

impl Value {
    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// An object without members: what an empty body of a verb means.
    pub fn empty_object() -> Value {
        Value::Object(Vec::new())
    }

    /// The member of that exact name, if this is an object that has one.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => serde_json::Value::Bool(flag),
            Value::Number(number) => serde_json::Value::Number(number),
            Value::String(text) => serde_json::Value::String(text),
            Value::Array(items) => serde_json::Value::Array(items.into_iter().map(Into::into).collect()),
            Value::Object(members) => serde_json::Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key, value.into()))
                    .collect(),
            ),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Value {
        match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(flag) => Value::Bool(flag),
            serde_json::Value::Number(number) => Value::Number(number),
            serde_json::Value::String(text) => Value::String(text),
            serde_json::Value::Array(items) => Value::Array(items.into_iter().map(Into::into).collect()),
            serde_json::Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key, value.into()))
                    .collect(),
            ),
        }
    }
}

/// For readers of other notations (YAML): the same rules with the API's limits.
impl<'de> de::Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        let budget = Cell::new(Limits::API.values);
        Build {
            depth: Limits::API.depth,
            budget: &budget,
        }
        .deserialize(deserializer)
    }
}

/// A [`Value`] of at most [`Limits::MANIFEST`].
pub(crate) struct Large(pub(crate) Value);

impl<'de> de::Deserialize<'de> for Large {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Large, D::Error> {
        let budget = Cell::new(Limits::MANIFEST.values);
        Build {
            depth: Limits::MANIFEST.depth,
            budget: &budget,
        }
        .deserialize(deserializer)
        .map(Large)
    }
}

/// Builds a [`Value`] while counting depth and values and refusing a key that comes again.
#[derive(Clone, Copy)]
struct Build<'a> {
    depth: usize,
    budget: &'a Cell<usize>,
}

impl Build<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Build { depth, ..self }),
            None => Err(E::custom("lists and objects are nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.budget.get().checked_sub(1) {
            Some(left) => self.budget.set(left),
            None => return Err(de::Error::custom("the document has too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut seen = SeenKeys::default();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(&key, &members) {
                return Err(de::Error::custom(format_args!(
                    "the key `{}` appears twice",
                    key.escape_debug()
                )));
            }
            let value = map.next_value_seed(inner)?;
            members.push((key, value));
        }
        Ok(Value::Object(members))
    }
}

/// Small objects are searched, large ones hashed: neither case is quadratic.
#[derive(Default)]
struct SeenKeys {
    large: Option<HashSet<String>>,
}

impl SeenKeys {
    const SEARCHED: usize = 16;

    /// False when the key was there before.
    fn insert(&mut self, key: &str, members: &[(String, Value)]) -> bool {
        if members.len() < Self::SEARCHED {
            return members.iter().all(|(known, _)| known != key);
        }
        let large = self
            .large
            .get_or_insert_with(|| members.iter().map(|(known, _)| known.clone()).collect());
        large.insert(key.to_owned())
    }
}

#[cfg(test)]
#[path = "json/tests.rs"]
mod tests;
