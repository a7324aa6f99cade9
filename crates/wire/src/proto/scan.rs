//! A look over the bytes of a message before anything is built of them.
//!
//! A few bytes of protobuf can ask for a tree a hundred times as large, and a reader that skips what it does not know
//! does not do what the sender asked. So the bytes are walked once without allocating: known fields only, as deep and
//! as many as a JSON body may have.

use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::json::{InvalidField, Limits};

/// What an `Any` of a request may carry: audit records, and the details of errors.
const IN_ANY: [&str; 4] = [
    "google.cloud.audit.AuditLog",
    "google.rpc.BadRequest",
    "google.rpc.ErrorInfo",
    "google.rpc.PreconditionFailure",
];

/// Checks the bytes of a message of this type.
pub(super) fn scan(message: &MessageDescriptor, bytes: &[u8]) -> Result<(), InvalidField> {
    if bytes.len() > Limits::API.bytes {
        let reason = format_args!(
            "has {} bytes; at most {} are read",
            bytes.len(),
            Limits::API.bytes
        );
        return Err(InvalidField::refused("", format_args!("the message {reason}")));
    }
    let mut scan = Scan {
        values: Limits::API.values,
    };
    scan.message(
        message,
        bytes,
        At {
            path: "",
            depth: Limits::API.depth,
        },
    )
}

struct Scan {
    /// How many more values may come.
    values: usize,
}

/// Where the scan is.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a str,
    /// How many more levels there may be.
    depth: usize,
}

impl Scan {
    fn message(
        &mut self,
        message: &MessageDescriptor,
        mut bytes: &[u8],
        at: At<'_>,
    ) -> Result<(), InvalidField> {
        let depth = match at.depth.checked_sub(usize::from(is_level(message))) {
            Some(depth) => depth,
            None => {
                let levels = Limits::API.depth;
                return Err(InvalidField::refused(
                    at.path,
                    format_args!("is nested deeper than {levels} levels"),
                ));
            }
        };
        while !bytes.is_empty() {
            let (number, wire) = decode_key(&mut bytes).map_err(|_| malformed(at.path))?;
            let Some(field) = message.get_field(number) else {
                let reason = format_args!("has the field number {number}, which is not known here");
                return Err(unknown(at.path, reason));
            };
            self.spend(1)?;
            match wire {
                WireType::Varint => {
                    decode_varint(&mut bytes).map_err(|_| malformed(at.path))?;
                }
                WireType::ThirtyTwoBit => {
                    take(&mut bytes, 4).ok_or_else(|| malformed(at.path))?;
                }
                WireType::SixtyFourBit => {
                    take(&mut bytes, 8).ok_or_else(|| malformed(at.path))?;
                }
                WireType::LengthDelimited => {
                    let length = decode_varint(&mut bytes)
                        .ok()
                        .and_then(|length| usize::try_from(length).ok());
                    let content = length.and_then(|length| take(&mut bytes, length));
                    let content = content.ok_or_else(|| malformed(at.path))?;
                    self.content(&field, content, At { depth, ..at })?;
                }
                WireType::StartGroup | WireType::EndGroup => return Err(malformed(at.path)),
            }
        }
        Ok(())
    }

    fn content(&mut self, field: &FieldDescriptor, content: &[u8], at: At<'_>) -> Result<(), InvalidField> {
        match field.kind() {
            Kind::String | Kind::Bytes => Ok(()),
            Kind::Message(inner) => {
                let is_in_map = field.parent_message().is_map_entry();
                let path = if is_in_map {
                    at.path.to_owned()
                } else {
                    joined(at.path, field.json_name())
                };
                let at = At { path: &path, ..at };
                if inner.full_name() == "google.protobuf.Any" {
                    self.any(&inner, content, at)
                } else {
                    self.message(&inner, content, at)
                }
            }
            // A packed list of numbers: no number is shorter than a byte.
            _ => self.spend(content.len()),
        }
    }

    /// An `Any` is built only when it is shown; by then nobody would count.
    fn any(&mut self, any: &MessageDescriptor, content: &[u8], at: At<'_>) -> Result<(), InvalidField> {
        self.message(any, content, at)?;
        let packed: prost_types::Any = prost::Message::decode(content).map_err(|_| malformed(at.path))?;
        let inner = packed
            .type_url
            .rsplit_once('/')
            .map(|(_, name)| name)
            .filter(|name| IN_ANY.contains(name))
            .and_then(|name| any.parent_pool().get_message_by_name(name));
        let Some(inner) = inner else {
            let kind: String = packed.type_url.chars().take(100).collect();
            let reason = format!("carries `{kind}`, expected one of `{}`", IN_ANY.join("`, `"));
            return Err(InvalidField::refused(at.path, reason));
        };
        self.message(&inner, &packed.value, at)
    }

    fn spend(&mut self, values: usize) -> Result<(), InvalidField> {
        match self.values.checked_sub(values) {
            Some(left) => {
                self.values = left;
                Ok(())
            }
            None => Err(InvalidField::refused(
                "",
                format_args!("the message has more than {} values", Limits::API.values),
            )),
        }
    }
}

/// Whether a message is a level in JSON too: a map's entry and a `Value` are part of what is around them.
fn is_level(message: &MessageDescriptor) -> bool {
    !message.is_map_entry() && message.full_name() != "google.protobuf.Value"
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn malformed(path: &str) -> InvalidField {
    unknown(path, format_args!("is not valid protobuf"))
}

/// A sentence about a field, or about the message itself.
fn unknown(path: &str, reason: std::fmt::Arguments<'_>) -> InvalidField {
    if path.is_empty() {
        InvalidField::refused("", format_args!("the message {reason}"))
    } else {
        InvalidField::refused(path, reason)
    }
}
