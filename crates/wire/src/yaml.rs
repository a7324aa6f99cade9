//! YAML for files that people write: policies and manifests. The JSON subset of values, nothing clever.
//!
//! Anchors, aliases and merge keys are refused in policies, where a reviewer must not read another document than the
//! machine; in manifests, which charts write with them, they are followed as far as the budget goes. Tags are refused.

use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use crate::json::{Large, Limits, Value};

/// Documents in one file; a rendered chart has some hundred.
const MOST_DOCUMENTS: usize = 1000;

/// Anchors, aliases or merge keys in one file: some for each of a thousand documents.
const MOST_ALIASES: usize = 10_000;

/// Why a text is not YAML we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidYaml {
    /// Longer than the limit.
    #[error("the file has {length} bytes; at most {limit} are read")]
    TooLarge {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("the file is not valid UTF-8 (byte {position})")]
    NotUtf8 {
        /// Offset of the first bad byte.
        position: usize,
    },
    /// No document in it.
    #[error("the file is empty; expected one YAML document")]
    Empty,
    /// More than one document where one was expected.
    #[error("the file has {count} YAML documents; expected one")]
    Several {
        /// How many.
        count: usize,
    },
    /// Not YAML, or YAML we refuse.
    #[error("the file is not acceptable YAML: {problem}")]
    Malformed {
        /// What and where.
        problem: String,
    },
}

/// Reads a file that holds exactly one document. JSON is YAML, so it reads both.
pub fn parse(bytes: &[u8]) -> Result<Value, InvalidYaml> {
    let mut documents = parse_documents(bytes)?;
    match (documents.pop(), documents.len()) {
        (None, _) => Err(InvalidYaml::Empty),
        (Some(only), 0) => Ok(only),
        (Some(_), before) => Err(InvalidYaml::Several { count: before + 1 }),
    }
}

/// Reads all documents of a file; empty ones are skipped.
pub fn parse_documents(bytes: &[u8]) -> Result<Vec<Value>, InvalidYaml> {
    let text = text_of(bytes, Limits::API)?;
    serde_saphyr::from_multiple_with_options(text, options()).map_err(malformed)
}

/// Reads all documents of a manifest, with anchors, aliases and merge keys.
pub(crate) fn parse_manifests(bytes: &[u8]) -> Result<Vec<Value>, InvalidYaml> {
    let text = text_of(bytes, Limits::MANIFEST)?;
    let documents: Vec<Large> =
        serde_saphyr::from_multiple_with_options(text, manifest_options()).map_err(malformed)?;
    Ok(documents.into_iter().map(|Large(value)| value).collect())
}

fn text_of(bytes: &[u8], limits: Limits) -> Result<&str, InvalidYaml> {
    let limit = limits.bytes;
    if bytes.len() > limit {
        return Err(InvalidYaml::TooLarge {
            length: bytes.len(),
            limit,
        });
    }
    std::str::from_utf8(bytes).map_err(|error| InvalidYaml::NotUtf8 {
        position: error.valid_up_to(),
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` hands over"
)]
fn malformed(error: serde_saphyr::Error) -> InvalidYaml {
    InvalidYaml::Malformed {
        problem: error.to_string(),
    }
}

/// Characters a terminal acts on or that reorder what is shown: C0, DEL, C1, line separators and the bidirectional
/// controls.
pub fn acts_on_display(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Writes a value as YAML with sorted keys and no character that acts on the display; what [`parse`] reads back is the
/// same value.
pub fn write(value: &serde_json::Value) -> String {
    let mut texts = Vec::new();
    let stand_in = stand_in(value);
    let plain = without_hostile_texts(value, &stand_in, &mut texts);
    // Serialising a tree of JSON values into a String has nothing to fail on.
    let text = serde_saphyr::to_string_with_options(
        &plain,
        serde_saphyr::ser_options! { prefer_block_scalars: false },
    )
    .unwrap_or_default();
    if texts.is_empty() {
        return text;
    }
    // `STAND-IN number _`, each a scalar of its own.
    let mut parts = text.split(stand_in.as_str());
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('_').unwrap_or((part, ""));
        let hostile = number.parse().ok().and_then(|number: usize| texts.get(number));
        out.push_str(&quoted(hostile.map_or("", String::as_str)));
        out.push_str(rest);
    }
    out
}

/// A word that occurs nowhere in the value.
fn stand_in(value: &serde_json::Value) -> String {
    let text = value.to_string();
    let mut word = "text".to_owned();
    // Each round lengthens the word, and no word is contained in a shorter text.
    while text.contains(&word) {
        word.push('x');
    }
    word
}

/// The value with stand-ins for texts that hold a character acting on the display. The writer would leave some of these
/// as they are; line ends and tabs it escapes itself.
fn without_hostile_texts(
    value: &serde_json::Value,
    stand_in: &str,
    texts: &mut Vec<String>,
) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(replaced(text, stand_in, texts)),
        Value::Array(items) => items
            .iter()
            .map(|item| without_hostile_texts(item, stand_in, texts))
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let key = replaced(key, stand_in, texts);
                (key, without_hostile_texts(value, stand_in, texts))
            })
            .collect(),
        other => other.clone(),
    }
}

fn replaced(text: &str, stand_in: &str, texts: &mut Vec<String>) -> String {
    let hostile = |c: char| acts_on_display(c) && !matches!(c, '\n' | '\t');
    if !text.contains(hostile) {
        return text.to_owned();
    }
    texts.push(text.to_owned());
    format!("{stand_in}{}_", texts.len() - 1)
}

/// As a double-quoted scalar. A JSON string is one.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in serde_json::Value::from(text).to_string().chars() {
        if acts_on_display(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// As [`options`], with room for a rendered chart and what is written once and meant often. What aliases repeat is
/// counted: all of it together is at most a quarter of what a file may hold.
fn manifest_options() -> serde_saphyr::Options {
    const NODES: usize = Limits::MANIFEST.values;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: MOST_ALIASES,
            max_anchors: MOST_ALIASES,
            max_merge_keys: MOST_ALIASES,
            max_depth: Limits::MANIFEST.depth,
            max_documents: MOST_DOCUMENTS,
            max_nodes: NODES,
            max_events: NODES * 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: NODES / 4,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_merge_keys: 0,
            max_depth: Limits::API.depth,
            max_documents: MOST_DOCUMENTS,
            max_nodes: Limits::API.values,
            max_events: Limits::API.values * 2,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    }
}

#[cfg(test)]
#[path = "yaml/tests.rs"]
mod tests;
