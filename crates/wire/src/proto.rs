//! Google's messages in protobuf, read into and written from the JSON that the rest of the program speaks.
//!
//! The fields are rows of tables (`proto/tables`); descriptors are made of them once, and `prost-reflect` does the
//! translation both ways. Nothing here knows a method: which message belongs to which call is the server's table.

mod scan;
pub mod schema;
pub mod tables;

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value as Json};

use crate::json::InvalidField;
use crate::status::Status;

/// Members of ours that Google's messages have no field for: they are seen over REST only.
const OURS: [&str; 2] = ["keyValidity", "matchIdentity"];

/// The type of a message.
#[derive(Debug, Clone)]
pub struct MessageType(MessageDescriptor);

/// What to do with a member that no row of the table names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// It is left out.
    Skip,
    /// It is an error.
    Refuse,
}

/// A value that does not fit the message it should become.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a `{message}`: {problem}")]
pub struct Unfit {
    message: String,
    problem: String,
}

/// The type of that full name (`google.cloud.kms.v1.KeyRing`), if a table or Google's well-known types have it.
pub fn message_type(name: &str) -> Option<MessageType> {
    // A table that cannot be read is a failing test; here it means that no message is known.
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| schema::build(&tables::PACKAGES).unwrap_or_else(|_| DescriptorPool::global()));
    POOL.get_message_by_name(name).map(MessageType)
}

impl MessageType {
    /// Reads somebody's bytes. A field that no row names, a message nested too deeply and one with too many values are
    /// refused, as in JSON; scalars with their default value are absent, as proto3 has it.
    pub fn decode(&self, bytes: &[u8]) -> Result<Map<String, Json>, InvalidField> {
        scan::scan(&self.0, bytes)?;
        let message = DynamicMessage::decode(self.0.clone(), bytes)
            .map_err(|error| refused("is not valid protobuf", &error))?;
        match serde_json::to_value(&message) {
            Ok(Json::Object(members)) => Ok(members),
            Ok(_) => Err(InvalidField::refused("", "the message is no object")),
            Err(error) => Err(refused("cannot be read", &error)),
        }
    }

    /// Writes a value of ours.
    pub fn encode(&self, mut json: Json, unlisted: Unlisted) -> Result<Vec<u8>, Unfit> {
        remove_ours(&mut json);
        let options = DeserializeOptions::new().deny_unknown_fields(unlisted == Unlisted::Refuse);
        DynamicMessage::deserialize_with_options(self.0.clone(), json, &options)
            .map(|message| message.encode_to_vec())
            .map_err(|error| Unfit {
                message: self.0.full_name().to_owned(),
                problem: error.to_string(),
            })
    }
}

/// `google.rpc.Status` as gRPC carries it beside code and message. Details of a kind without a table are left out.
pub fn status_bytes(status: &Status) -> Vec<u8> {
    let json = |details: &[Json]| serde_json::json!({ "code": status.code.number(), "message": status.message, "details": details });
    let Some(kind) = message_type("google.rpc.Status") else {
        return Vec::new();
    };
    kind.encode(json(&status.details), Unlisted::Skip)
        .or_else(|_| kind.encode(json(&[]), Unlisted::Skip))
        .unwrap_or_default()
}

fn refused(what: &str, error: &dyn std::fmt::Display) -> InvalidField {
    InvalidField::refused("", format_args!("the message {what}: {error}"))
}

fn remove_ours(json: &mut Json) {
    match json {
        Json::Object(members) => {
            members.retain(|name, _| !OURS.contains(&name.as_str()));
            members.values_mut().for_each(remove_ours);
        }
        Json::Array(items) => items.iter_mut().for_each(remove_ours),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
