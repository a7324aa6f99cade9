//! The tables' small language, read into descriptors.
//!
//! ```text
//! Digest { 1 sha256 bytes|digest; 2 sha384 bytes|digest; }
//! enum ProtectionLevel { 0 PROTECTION_LEVEL_UNSPECIFIED; 1 SOFTWARE; }
//! ```
//!
//! A row of a message is a number, the name in JSON and a kind: a scalar, a message or enumeration of the same package
//! (`AdmissionRule.EvaluationMode`) or, beginning in lower case, of any (`google.rpc.Status`), one of Google's well-known
//! types (`Timestamp`), or `opaque`: a message whose content is not looked at. `*` makes a list, `map<K>` a map from text,
//! `|name` a member of that oneof.

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, MessageOptions, OneofDescriptorProto,
};

use super::tables::Package;

/// Why a table cannot be read. Only its own test ever sees one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{package}`: {problem}")]
pub struct InvalidTable {
    package: &'static str,
    problem: String,
}

/// One block of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Whether it is an enumeration.
    pub is_enum: bool,
    /// Its name within the package, dotted where it is nested.
    pub name: &'static str,
    rows: &'static str,
}

/// One row of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The field's number.
    pub number: i32,
    /// Its name in JSON; of an enumeration's value, its name.
    pub name: &'static str,
    /// The kind, without list, map and oneof; of an enumeration's value, empty.
    pub kind: &'static str,
    /// Whether it is a list.
    pub is_list: bool,
    /// Whether it is a map from text to `kind`.
    pub is_map: bool,
    /// The oneof it belongs to.
    pub oneof: Option<&'static str>,
}

/// The blocks of a table.
pub fn blocks(package: Package) -> impl Iterator<Item = Block> {
    package.text.split('}').filter_map(|block| {
        let (head, rows) = block.split_once('{')?;
        let (is_enum, name) = match head.trim().split_once(' ') {
            Some((_, name)) => (true, name),
            None => (false, head.trim()),
        };
        Some(Block { is_enum, name, rows })
    })
}

impl Block {
    /// Its rows; `None` for one that cannot be read.
    pub fn rows(self) -> impl Iterator<Item = Option<Row>> {
        self.rows
            .split(';')
            .map(str::trim)
            .filter(|row| !row.is_empty())
            .map(row)
    }
}

fn row(text: &'static str) -> Option<Row> {
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let name = words.next()?;
    let kind = words.next().unwrap_or_default();
    let (kind, oneof) = match kind.split_once('|') {
        Some((kind, oneof)) => (kind, Some(oneof)),
        None => (kind, None),
    };
    let (kind, is_list) = match kind.strip_suffix('*') {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let (kind, is_map) = match kind.strip_prefix("map<").and_then(|kind| kind.strip_suffix('>')) {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    words.next().is_none().then_some(Row {
        number,
        name,
        kind,
        is_list,
        is_map,
        oneof,
    })
}

/// Google's well-known types and the descriptors of every table.
pub fn build(packages: &[Package]) -> Result<DescriptorPool, InvalidTable> {
    let mut pool = DescriptorPool::global();
    for package in packages {
        let file = file(*package, &pool)?;
        pool.add_file_descriptor_proto(file)
            .map_err(|error| InvalidTable {
                package: package.name,
                problem: error.to_string(),
            })?;
    }
    Ok(pool)
}

/// One file that may use everything before it.
fn file(package: Package, before: &DescriptorPool) -> Result<FileDescriptorProto, InvalidTable> {
    let mut file = FileDescriptorProto {
        name: Some(package.name.to_owned()),
        package: Some(package.name.to_owned()),
        dependency: before.files().map(|file| file.name().to_owned()).collect(),
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    let invalid = |problem: String| InvalidTable {
        package: package.name,
        problem,
    };
    let mut messages = BTreeMap::new();
    let mut enums = Vec::new();
    for block in blocks(package) {
        let rows: Vec<Row> = block
            .rows()
            .collect::<Option<_>>()
            .ok_or_else(|| invalid(format!("a row of `{}` cannot be read", block.name)))?;
        if block.is_enum {
            enums.push((block.name, enumeration(block.name, &rows)));
        } else {
            messages.insert(block.name, message(package.name, block.name, &rows));
        }
    }
    for (name, descriptor) in enums {
        match name.rsplit_once('.') {
            None => file.enum_type.push(descriptor),
            Some((parent, _)) => messages
                .get_mut(parent)
                .ok_or_else(|| invalid(format!("`{name}` stands in no message")))?
                .enum_type
                .push(descriptor),
        }
    }
    // From behind, so that what is nested has taken in what is nested in it.
    while let Some((name, descriptor)) = messages.pop_last() {
        match name.rsplit_once('.') {
            None => file.message_type.push(descriptor),
            Some((parent, _)) => messages
                .get_mut(parent)
                .ok_or_else(|| invalid(format!("`{name}` stands in no message")))?
                .nested_type
                .push(descriptor),
        }
    }
    Ok(file)
}

/// The last part of a dotted name.
fn own_name(name: &str) -> Option<String> {
    name.rsplit('.').next().map(str::to_owned)
}

fn enumeration(name: &str, rows: &[Row]) -> EnumDescriptorProto {
    let values = rows.iter().map(|row| EnumValueDescriptorProto {
        name: Some(row.name.to_owned()),
        number: Some(row.number),
        options: None,
    });
    EnumDescriptorProto {
        name: own_name(name),
        value: values.collect(),
        options: Some(EnumOptions {
            allow_alias: Some(true),
            ..EnumOptions::default()
        }),
        ..EnumDescriptorProto::default()
    }
}

fn message(package: &str, name: &str, rows: &[Row]) -> DescriptorProto {
    let mut message = DescriptorProto {
        name: own_name(name),
        ..DescriptorProto::default()
    };
    for row in rows {
        let mut field = field(package, row);
        if let Some(oneof) = row.oneof {
            let known = message.oneof_decl.iter().position(|decl| decl.name() == oneof);
            let index = known.unwrap_or_else(|| {
                message.oneof_decl.push(OneofDescriptorProto {
                    name: Some(oneof.to_owned()),
                    options: None,
                });
                message.oneof_decl.len() - 1
            });
            field.oneof_index = i32::try_from(index).ok();
        }
        if row.is_map {
            let entry = map_entry(row, field.clone());
            field.set_label(Label::Repeated);
            field.set_type(Type::Message);
            field.type_name = Some(format!(".{package}.{name}.{}", entry.name()));
            message.nested_type.push(entry);
        }
        message.field.push(field);
    }
    message
}

fn field(package: &str, row: &Row) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto {
        name: Some(proto_name(row.name)),
        json_name: Some(row.name.to_owned()),
        number: Some(row.number),
        ..FieldDescriptorProto::default()
    };
    field.set_label(if row.is_list {
        Label::Repeated
    } else {
        Label::Optional
    });
    match scalar(row.kind) {
        Some(scalar) => field.set_type(scalar),
        // Message or enumeration: the pool finds out.
        None => field.type_name = Some(full_name(package, row.kind)),
    }
    field
}

/// The message a map is a list of on the wire.
fn map_entry(row: &Row, value: FieldDescriptorProto) -> DescriptorProto {
    let mut letters = row.name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let name: String = first.into_iter().chain(letters).collect();
    let mut key = FieldDescriptorProto {
        name: Some("key".to_owned()),
        number: Some(1),
        ..FieldDescriptorProto::default()
    };
    key.set_label(Label::Optional);
    key.set_type(Type::String);
    let value = FieldDescriptorProto {
        name: Some("value".to_owned()),
        json_name: None,
        number: Some(2),
        ..value
    };
    DescriptorProto {
        name: Some(format!("{name}Entry")),
        field: vec![key, value],
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..DescriptorProto::default()
    }
}

fn scalar(kind: &str) -> Option<Type> {
    Some(match kind {
        "bool" => Type::Bool,
        // On the wire a message is its bytes.
        "bytes" | "opaque" => Type::Bytes,
        "double" => Type::Double,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "string" => Type::String,
        _ => return None,
    })
}

fn full_name(package: &str, kind: &str) -> String {
    const WELL_KNOWN: [&str; 7] = [
        "Any",
        "BoolValue",
        "Duration",
        "FieldMask",
        "Int64Value",
        "Struct",
        "Timestamp",
    ];
    if WELL_KNOWN.contains(&kind) {
        format!(".google.protobuf.{kind}")
    } else if kind.starts_with(|first: char| first.is_ascii_lowercase()) {
        format!(".{kind}")
    } else {
        format!(".{package}.{kind}")
    }
}

/// `crc32cChecksum` is `crc32c_checksum` in Google's files.
fn proto_name(json_name: &str) -> String {
    let mut name = String::with_capacity(json_name.len() + 4);
    for letter in json_name.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::super::tables::PACKAGES;
    use super::*;

    #[test]
    fn the_tables_can_be_read() {
        let pool = build(&PACKAGES).unwrap();
        let policy = pool
            .get_message_by_name("google.cloud.binaryauthorization.v1.Policy")
            .unwrap();
        let rules = policy.get_field_by_json_name("clusterAdmissionRules").unwrap();
        assert!(rules.is_map() && rules.number() == 3);
        let trigger = pool
            .get_message_by_name("google.monitoring.v3.AlertPolicy.Condition.Trigger")
            .unwrap();
        assert_eq!(trigger.oneofs().len(), 1);
    }

    #[test]
    fn a_table_that_is_wrong_is_refused() {
        for text in [
            "A { x name string; }",
            "A { 1; }",
            "A { 1 name string extra; }",
            "A { 1 name Nothing; }",
            "A { 1 name string; 1 other string; }",
            "A.B { 1 name string; }",
            "enum A.B { 0 NONE; }",
            "enum A { 1 FIRST_IS_NOT_ZERO; }",
        ] {
            let package = Package { name: "test", text };
            assert!(build(&[package]).is_err(), "{text}");
        }
    }

    #[test]
    fn rows_have_parts() {
        let parts = |text| {
            let row = row(text).unwrap();
            (row.number, row.name, row.kind, row.is_list, row.is_map, row.oneof)
        };
        assert_eq!(
            parts("1 sha256 bytes|digest"),
            (1, "sha256", "bytes", false, false, Some("digest"))
        );
        assert_eq!(
            parts("4 entries LogEntry*"),
            (4, "entries", "LogEntry", true, false, None)
        );
        assert_eq!(
            parts("3 rules map<Rule>"),
            (3, "rules", "Rule", false, true, None)
        );
        assert_eq!(parts("0 NONE"), (0, "NONE", "", false, false, None));
    }
}
