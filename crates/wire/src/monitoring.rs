//! `monitoring.googleapis.com`: what to watch, whom to tell, and what was counted.

pub mod align;
pub mod channel;
pub mod descriptor;
pub mod distribution;
mod filter;
pub mod policy;
pub mod query;
pub mod time_series;

pub use filter::{Filter, Series};

use binauthz_core::time::UnixTime;
use serde_json::json;

use crate::json::{InvalidField, Object, timestamp_out};

/// Google's limits on what people write about a resource.
const MAX_NAME: usize = 512;
const MAX_LABELS: usize = 64;

/// Who changed something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// When.
    pub time: UnixTime,
    /// Who.
    pub by: String,
}

impl Mutation {
    fn to_json(&self) -> serde_json::Value {
        json!({ "mutateTime": timestamp_out(self.time), "mutatedBy": self.by })
    }
}

fn take_text(object: &mut Object, field: &'static str, longest: usize) -> Result<String, InvalidField> {
    let text = object.take_optional_string(field)?.unwrap_or_default();
    if text.len() > longest {
        return Err(object.refused(field, format_args!("is longer than {longest} bytes")));
    }
    Ok(text)
}

fn take_labels(object: &mut Object, field: &'static str) -> Result<Vec<(String, String)>, InvalidField> {
    let labels = object.take_string_map(field)?;
    if labels.len() > MAX_LABELS {
        return Err(object.refused(field, format_args!("has more than {MAX_LABELS} entries")));
    }
    Ok(labels)
}

fn labels_out(labels: &[(String, String)]) -> serde_json::Value {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), serde_json::Value::from(value.as_str())))
        .collect()
}

#[cfg(test)]
mod tests;
