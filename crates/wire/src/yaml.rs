//! YAML for files that people write: policies and manifests. The JSON subset of values, nothing clever.
//!
//! Anchors, aliases, merge keys and tags are refused: they let a small file mean a large one, and a reviewer read
//! another document than the machine.

use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use crate::json::{Limits, Value};

/// Documents in one file; a rendered chart has some hundred.
const MOST_DOCUMENTS: usize = 1000;

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
    let limit = Limits::API.bytes;
    if bytes.len() > limit {
        return Err(InvalidYaml::TooLarge {
            length: bytes.len(),
            limit,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| InvalidYaml::NotUtf8 {
        position: error.valid_up_to(),
    })?;
    serde_saphyr::from_multiple_with_options::<Value>(text, options()).map_err(|error| {
        InvalidYaml::Malformed {
            problem: error.to_string(),
        }
    })
}

/// Writes a value as YAML with sorted keys; what [`parse`] reads back is the same value.
pub fn write(value: &serde_json::Value) -> String {
    // Serialising a tree of JSON values into a String has nothing to fail on.
    serde_saphyr::to_string_with_options(value, serde_saphyr::ser_options! { prefer_block_scalars: false })
        .unwrap_or_default()
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
