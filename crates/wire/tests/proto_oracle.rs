//! The tables of `proto` compared with code that others generated from Google's definitions: every row with the
//! attribute of its field, and some messages, filled, with the bytes of that code.

#![expect(
    clippy::disallowed_methods,
    reason = "reads the sources that cargo has fetched; the crate itself opens nothing"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use binauthz_wire::proto::schema::{Block, Row, blocks};
use binauthz_wire::proto::tables::{PACKAGES, Package};
use binauthz_wire::proto::{Unlisted, message_type};
use googleapis_tonic_google_cloud_binaryauthorization_v1::google::cloud::binaryauthorization::v1 as binauthz;
use googleapis_tonic_google_cloud_kms_v1::google::cloud::kms::v1 as kms;
use googleapis_tonic_google_logging_v2::google::logging::v2 as logging;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3 as monitoring;
use googleapis_tonic_grafeas_v1::grafeas::v1 as grafeas;
use prost::Message;
use serde_json::json;

/// Packages that no published crate has; Google's own clients judge them over the wire.
const ELSEWHERE: [&str; 3] = ["google.cloud.audit", "google.cloud.location", "google.iam.v1"];

/// Fields that Google added after the crates were generated.
const NEWER: [(&str, &str); 3] = [
    ("Attestor", "etag"),
    ("PkixPublicKey", "keyId"),
    ("Policy", "etag"),
];

#[test]
fn every_row_is_as_google_has_it() {
    let mut rows = 0;
    for package in PACKAGES {
        if ELSEWHERE.contains(&package.name) {
            continue;
        }
        let oracle = Oracle::of(package);
        for block in blocks(package) {
            for row in block.rows() {
                let row = row.unwrap_or_else(|| panic!("{}: a row cannot be read", block.name));
                rows += 1;
                if NEWER.contains(&(block.name, row.name)) {
                    continue;
                }
                if block.is_enum {
                    oracle.judge_value(block, row);
                } else {
                    oracle.judge_field(block, row);
                }
            }
        }
    }
    assert!(rows > 500, "only {rows} rows were compared");
}

#[test]
fn a_wrong_row_is_found() {
    let package = |text| Package {
        name: "google.cloud.kms.v1",
        text,
    };
    for text in [
        "KeyRing { 2 name string; }",
        "KeyRing { 1 names string; }",
        "KeyRing { 1 name bytes; }",
        "KeyRing { 1 name string*; }",
        "KeyRing { 2 createTime Duration; }",
        "KeyRing { 9 unheardOf string; }",
        "CryptoKey { 2 primary CryptoKey; }",
        "CryptoKey { 10 labels string; }",
        "Digest { 1 sha256 bytes; }",
        "Digest { 1 sha256 bytes|other; }",
        "Nothing { 1 name string; }",
        "enum ProtectionLevel { 1 HSM; }",
        "enum ProtectionLevel { 1 NOTHING; }",
    ] {
        let found = std::panic::catch_unwind(|| {
            let oracle = Oracle::of(package(text));
            for block in blocks(package(text)) {
                for row in block.rows().flatten() {
                    if block.is_enum {
                        oracle.judge_value(block, row);
                    } else {
                        oracle.judge_field(block, row);
                    }
                }
            }
        });
        assert!(found.is_err(), "{text}");
    }
}

/// A field as the generated code declares it.
#[derive(Debug, Clone)]
struct Field {
    /// The parts of its attribute: `message`, `optional`, `tag`.
    attribute: String,
    name: String,
    kind: String,
}

/// The generated source of one package: fields by the path of their type, and values by the path of their enumeration.
struct Oracle {
    fields: BTreeMap<String, Vec<Field>>,
    values: BTreeMap<String, Vec<(String, i32)>>,
}

impl Oracle {
    fn of(package: Package) -> Oracle {
        let source = source(package.name);
        let mut oracle = Oracle {
            fields: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        oracle.read(&source);
        oracle
    }

    /// Reads formatted code: items open and close at the same indentation.
    fn read(&mut self, source: &str) {
        let mut path: Vec<(usize, String)> = Vec::new();
        let mut attribute = String::new();
        let mut variants: BTreeMap<String, i32> = BTreeMap::new();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let text = line.trim();
            let indent = line.len() - line.trim_start().len();
            if text == "}" {
                while path.last().is_some_and(|(at, _)| *at >= indent) {
                    path.pop();
                }
            } else if let Some(name) = opened(text) {
                if !text.ends_with('}') {
                    path.push((indent, name.to_owned()));
                }
                self.fields.entry(joined(&path)).or_default();
            } else if text.starts_with("#[prost(") {
                attribute = text.to_owned();
                while !attribute.ends_with(")]") {
                    attribute.push_str(lines.next().unwrap().trim());
                }
            } else if !attribute.is_empty() && !text.starts_with("#[") && !text.starts_with("//") {
                let mut declared = text.to_owned();
                while !declared.ends_with(',')
                    || declared.matches('<').count() > declared.matches('>').count()
                {
                    declared.push_str(lines.next().unwrap().trim());
                }
                let declared = declared.trim_start_matches("pub ").trim_start_matches("r#");
                let end = declared.find([':', '(']).unwrap();
                let (name, kind) = declared.split_at(end);
                self.fields.entry(joined(&path)).or_default().push(Field {
                    attribute: std::mem::take(&mut attribute),
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                });
            } else if let Some((name, number)) = text.trim_end_matches(',').split_once(" = ") {
                if let Ok(number) = number.parse() {
                    variants.insert(format!("{}::{name}", joined(&path)), number);
                }
            } else if let Some((name, variant)) = text.split_once(" => ") {
                // A long one stands in a block of its own.
                let variant = if variant == "{" {
                    lines.next().unwrap().trim()
                } else {
                    variant
                };
                let Some(variant) = variant.strip_prefix("Some(Self::") else {
                    continue;
                };
                let path = joined(&path);
                let variant = variant.trim_end_matches([')', ',']);
                let number = variants[&format!("{path}::{variant}")];
                let name = name.trim_matches('"').to_owned();
                self.values.entry(path).or_default().push((name, number));
            }
        }
    }

    fn judge_field(&self, block: Block, row: Row) {
        let at = format!("{} {}", block.name, row.name);
        let path = rust_path(block.name);
        let fields = self
            .fields
            .get(&path)
            .unwrap_or_else(|| panic!("{at}: no message `{path}`"));
        let tag = format!("tag = \"{}\"", row.number);
        let of_oneof = row.oneof.map(|oneof| {
            let path = rust_path(&format!("{}.{}", block.name, camel(oneof)));
            let fields = self.fields.get(&path);
            fields.unwrap_or_else(|| panic!("{at}: no oneof `{path}`"))
        });
        let field = of_oneof
            .unwrap_or(fields)
            .iter()
            .find(|field| field.attribute.contains(&tag))
            .unwrap_or_else(|| panic!("{at}: no field has number {}", row.number));
        let same = |name: &str| name.replace('_', "").to_ascii_lowercase();
        assert_eq!(same(&field.name), same(row.name), "{at}");
        assert_eq!(
            field.attribute.contains("map = \"string, "),
            row.is_map,
            "{at}: {field:?}"
        );
        assert_eq!(
            field.attribute.contains("repeated"),
            row.is_list,
            "{at}: {field:?}"
        );
        let kind = kind_of(row.kind);
        let attribute = field.attribute.replace("map = \"string, ", "");
        let first = attribute.trim_start_matches("#[prost(");
        // An enumeration of ours is written as a message is; the generated code tells which it is.
        let is_kind = first.starts_with(kind) || (kind == "message" && first.starts_with("enumeration"));
        assert!(is_kind, "{at}: {field:?} is no {kind}");
        let own_name = row.kind.rsplit('.').next().unwrap();
        let named = match own_name {
            "opaque" => true,
            "BoolValue" => field.kind.contains("Option<bool>"),
            "Int64Value" => field.kind.contains("Option<i64>"),
            _ => kind != "message" || names(&field.kind, own_name) || names(first, own_name),
        };
        assert!(named, "{at}: {field:?} is not `{own_name}`");
    }

    fn judge_value(&self, block: Block, row: Row) {
        let at = format!("{} {}", block.name, row.name);
        let path = rust_path(block.name);
        let values = self
            .values
            .get(&path)
            .unwrap_or_else(|| panic!("{at}: no enumeration `{path}`"));
        match values.iter().find(|(name, _)| name == row.name) {
            Some((_, number)) => assert_eq!(*number, row.number, "{at}"),
            // The generated code has one name for each number; a second one of ours must be a second one.
            None => assert!(
                block
                    .rows()
                    .flatten()
                    .any(|other| other.number == row.number && other.name != row.name),
                "{at}: not in {values:?}"
            ),
        }
    }
}

/// Whether a type has this name as its last part, not only within a longer name.
fn names(text: &str, name: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric())
        .any(|part| part == name)
}

/// The name of the item that a line opens. An `impl` stands for its type.
fn opened(text: &str) -> Option<&str> {
    let name = ["pub struct ", "pub enum ", "pub mod ", "impl "]
        .iter()
        .find_map(|word| text.strip_prefix(word))?;
    let name = name.split([' ', '{', '<', ';', '(']).next()?;
    text.ends_with(['{', '}']).then_some(name)
}

fn joined(path: &[(usize, String)]) -> String {
    let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).collect();
    names.join("::")
}

/// `AlertPolicy.Condition` is `alert_policy::Condition`.
fn rust_path(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let (last, modules) = parts.split_last().unwrap();
    let modules = modules.iter().map(|module| snake(module) + "::");
    modules.collect::<String>() + last
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn camel(name: &str) -> String {
    let words = name
        .split('_')
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    words.collect()
}

fn kind_of(kind: &str) -> &str {
    match kind {
        "bool" | "bytes" | "double" | "int32" | "int64" | "string" => kind,
        _ => "message",
    }
}

/// The generated file of a package, found where cargo keeps the sources.
fn source(package: &str) -> String {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let name = format!("googleapis-tonic-{}", package.replace('.', "-"));
    let manifest = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == name.as_str())
        .unwrap_or_else(|| panic!("`{name}` is not among the packages"));
    let mut path = PathBuf::from(manifest["manifest_path"].as_str().unwrap());
    path.set_file_name("src");
    path.push("vec_u8_hash_map");
    path.push(format!("{}.rs", package.replace(".type", ".r#type")));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Bytes of the generated code become the expected JSON, and that becomes bytes which the generated code reads back.
#[track_caller]
fn agree<M: Message + Default + PartialEq + std::fmt::Debug>(
    kind: &str,
    message: &M,
    expected: &serde_json::Value,
) {
    let kind = message_type(kind).unwrap();
    let decoded = kind.decode(&message.encode_to_vec()).unwrap();
    assert_eq!(&serde_json::Value::Object(decoded), expected);
    let bytes = kind.encode(expected.clone(), Unlisted::Refuse).unwrap();
    assert_eq!(&M::decode(bytes.as_slice()).unwrap(), message);
}

#[test]
fn filled_messages_agree_with_the_generated_code() {
    let rule = binauthz::AdmissionRule {
        evaluation_mode: 2,
        require_attestations_by: vec!["projects/p/attestors/a".to_owned()],
        enforcement_mode: 1,
    };
    agree(
        "google.cloud.binaryauthorization.v1.Policy",
        &binauthz::Policy {
            name: "projects/p/policy".to_owned(),
            cluster_admission_rules: [("l.c".to_owned(), rule.clone())].into(),
            default_admission_rule: Some(rule),
            update_time: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 500_000_000,
            }),
            ..Default::default()
        },
        &json!({
            "name": "projects/p/policy",
            "clusterAdmissionRules": { "l.c": {
                "evaluationMode": "REQUIRE_ATTESTATION", "requireAttestationsBy": ["projects/p/attestors/a"],
                "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
            } },
            "defaultAdmissionRule": {
                "evaluationMode": "REQUIRE_ATTESTATION", "requireAttestationsBy": ["projects/p/attestors/a"],
                "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
            },
            "updateTime": "1970-01-01T00:00:01.500Z",
        }),
    );
    agree(
        "google.cloud.kms.v1.AsymmetricSignRequest",
        &kms::AsymmetricSignRequest {
            name: "n".to_owned(),
            digest: Some(kms::Digest {
                digest: Some(kms::digest::Digest::Sha256(vec![0xab; 3])),
            }),
            digest_crc32c: Some(4_000_000_000),
            ..Default::default()
        },
        &json!({ "name": "n", "digest": { "sha256": "q6ur" }, "digestCrc32c": "4000000000" }),
    );
    let attestation = grafeas::AttestationOccurrence {
        serialized_payload: b"{}".to_vec(),
        signatures: vec![grafeas::Signature {
            signature: vec![1],
            public_key_id: "k".to_owned(),
        }],
        jwts: Vec::new(),
    };
    agree(
        "grafeas.v1.Occurrence",
        &grafeas::Occurrence {
            kind: 7,
            details: Some(grafeas::occurrence::Details::Attestation(attestation)),
            ..Default::default()
        },
        &json!({
            "kind": "ATTESTATION",
            "attestation": { "serializedPayload": "e30=", "signatures": [{ "signature": "AQ==", "publicKeyId": "k" }] },
        }),
    );
}

#[test]
fn filled_messages_of_logging_and_monitoring_agree_too() {
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    agree(
        "google.logging.v2.LogEntry",
        &logging::LogEntry {
            log_name: "projects/p/logs/l".to_owned(),
            severity: 400,
            labels: [("a".to_owned(), "b".to_owned())].into(),
            payload: Some(logging::log_entry::Payload::JsonPayload(prost_types::Struct {
                fields: [("image".to_owned(), text("i"))].into(),
            })),
            ..Default::default()
        },
        &json!({
            "logName": "projects/p/logs/l", "severity": "WARNING", "labels": { "a": "b" }, "jsonPayload": { "image": "i" },
        }),
    );
    agree(
        "google.monitoring.v3.NotificationChannel",
        &monitoring::NotificationChannel {
            r#type: "email".to_owned(),
            labels: [("email_address".to_owned(), "a@example.com".to_owned())].into(),
            enabled: Some(false),
            ..Default::default()
        },
        &json!({ "type": "email", "labels": { "email_address": "a@example.com" }, "enabled": false }),
    );
}
