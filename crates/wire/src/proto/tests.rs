use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::Limits;
use crate::status::{self, Code};

fn kind(name: &str) -> MessageType {
    message_type(name).unwrap_or_else(|| panic!("no message `{name}`"))
}

fn create_note() -> MessageType {
    kind("grafeas.v1.CreateNoteRequest")
}

/// A field of bytes: its number, then its length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

#[test]
fn bytes_become_json_and_json_becomes_bytes() {
    let message = json!({
        "parent": "projects/p", "noteId": "n",
        "note": { "kind": "ATTESTATION", "attestation": { "hint": { "humanReadableName": "h" } } },
    });
    let bytes = create_note().encode(message.clone(), Unlisted::Refuse).unwrap();
    assert_eq!(&bytes[..12], b"\x0a\x0aprojects/p");
    assert_eq!(Json::Object(create_note().decode(&bytes).unwrap()), message);
    assert_eq!(create_note().decode(&[]).unwrap(), Map::new());
}

#[test]
fn what_is_not_understood_is_named() {
    let cases: [(&str, Vec<u8>, &str); 8] = [
        (
            "grafeas.v1.CreateNoteRequest",
            field(9, b"x"),
            "the message has the field number 9, which is not known here",
        ),
        (
            "grafeas.v1.CreateNoteRequest",
            field(3, &field(16, &field(1, &field(5, b"")))[1..]),
            "`note`: is not valid protobuf",
        ),
        (
            "grafeas.v1.CreateOccurrenceRequest",
            field(2, &field(14, &field(2, &field(3, b"x")))),
            "`occurrence.attestation.signatures`: has the field number 3, which is not known here",
        ),
        (
            "grafeas.v1.CreateNoteRequest",
            vec![0x0a, 5, b'x'],
            "the message is not valid protobuf",
        ),
        (
            "grafeas.v1.CreateNoteRequest",
            vec![0x0b],
            "the message is not valid protobuf",
        ),
        (
            "grafeas.v1.CreateNoteRequest",
            vec![0xff; 12],
            "the message is not valid protobuf",
        ),
        (
            "google.logging.v2.LogEntry",
            field(2, &field(1, b"type.googleapis.com/google.rpc.Status")),
            "`protoPayload`: carries `type.googleapis.com/google.rpc.Status`, expected one of `google.cloud.audit.AuditLog`, \
             `google.rpc.BadRequest`, `google.rpc.ErrorInfo`, `google.rpc.PreconditionFailure`",
        ),
        (
            "google.cloud.binaryauthorization.v1.UpdatePolicyRequest",
            field(1, &field(3, &field(2, &field(9, b"")))),
            "`policy.clusterAdmissionRules`: has the field number 9, which is not known here",
        ),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(kind(name).decode(&bytes).unwrap_err().to_string(), expected);
    }
    // Valid at first sight: a wrong wire type, text that is none, a time that is none.
    for (name, bytes) in [
        ("grafeas.v1.CreateNoteRequest", vec![0x08, 1]),
        ("grafeas.v1.CreateNoteRequest", field(1, &[0xff])),
        (
            "google.cloud.kms.v1.KeyRing",
            field(2, &[8, 255, 255, 255, 255, 255, 255, 255, 255, 127]),
        ),
    ] {
        assert!(kind(name).decode(&bytes).is_err(), "{name} {bytes:?}");
    }
}

#[test]
fn an_audit_record_may_be_carried_and_is_looked_into() {
    let entry = kind("google.logging.v2.LogEntry");
    let message = json!({ "protoPayload": {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "methodName": "m",
        "status": { "code": 7 }, "request": { "a": [1.0, null, { "b": true }] },
    } });
    let bytes = entry.encode(message.clone(), Unlisted::Refuse).unwrap();
    assert_eq!(Json::Object(entry.decode(&bytes).unwrap()), message);
    let unknown = [
        field(1, b"a/google.cloud.audit.AuditLog"),
        field(2, &field(15, b"")),
    ]
    .concat();
    let error = entry.decode(&field(2, &unknown)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`protoPayload`: has the field number 15, which is not known here"
    );
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    // Struct { fields: { "": Value { struct_value: … } } }
    let nested = |levels: usize| {
        let inner = (1..levels).fold(Vec::new(), |inner, _| field(1, &field(2, &field(5, &inner))));
        kind("google.logging.v2.LogEntry").decode(&field(6, &inner))
    };
    assert!(nested(20).is_ok());
    let error = nested(Limits::API.depth + 1).unwrap_err().to_string();
    assert!(error.ends_with("is nested deeper than 64 levels"), "{error}");
    let many = |count: usize| field(2, b"").repeat(count);
    let list = kind("google.cloud.binaryauthorization.v1.Policy");
    assert!(list.decode(&many(1_000)).is_ok());
    let error = list
        .decode(&many(Limits::API.values + 1))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the message has more than 200000 values");
    let error = list
        .decode(&vec![0; Limits::API.bytes + 1])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the message has 4194305 bytes; at most 4194304 are read");
    // A packed list counts what may be in it.
    let strategy = kind("google.monitoring.v3.AlertPolicy.AlertStrategy");
    assert!(strategy.decode(&field(2, &[1; 1_000])).is_ok());
    assert!(
        strategy
            .decode(&field(2, &vec![1; Limits::API.values + 1]))
            .is_err()
    );
}

#[test]
fn replies_have_a_row_for_every_member_or_say_so() {
    let attestor = kind("google.cloud.binaryauthorization.v1.Attestor");
    let reply = json!({ "name": "n", "futureField": 1 });
    let error = attestor
        .encode(reply.clone(), Unlisted::Refuse)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("futureField") && error.contains("v1.Attestor"),
        "{error}"
    );
    assert_eq!(attestor.encode(reply, Unlisted::Skip).unwrap(), field(1, b"n"));
    // What is ours has no number and is not missed.
    let ours = json!({ "name": "n", "matchIdentity": true });
    assert_eq!(attestor.encode(ours, Unlisted::Refuse).unwrap(), field(1, b"n"));
}

#[test]
fn a_status_carries_its_details() {
    let status = Status::new(Code::InvalidArgument, "m")
        .with(status::bad_request(&[("name", "is required")]))
        .with(status::precondition_failure("t", "s", "d"))
        .with(status::error_info("r", "d", &[("k", "v")]));
    let decoded = kind("google.rpc.Status").decode(&status_bytes(&status)).unwrap();
    assert_eq!(
        Json::Object(decoded),
        json!({ "code": 3, "message": "m", "details": status.details })
    );
    let unlisted =
        Status::new(Code::Internal, "m").with(json!({ "@type": "type.googleapis.com/some.Thing" }));
    let decoded = kind("google.rpc.Status")
        .decode(&status_bytes(&unlisted))
        .unwrap();
    assert_eq!(Json::Object(decoded), json!({ "code": 13, "message": "m" }));
}

const SOME: [&str; 6] = [
    "google.cloud.binaryauthorization.v1.UpdatePolicyRequest",
    "google.cloud.kms.v1.CreateCryptoKeyRequest",
    "google.iam.v1.SetIamPolicyRequest",
    "google.logging.v2.WriteLogEntriesRequest",
    "google.monitoring.v3.CreateAlertPolicyRequest",
    "grafeas.v1.BatchCreateOccurrencesRequest",
];

proptest! {
    #[test]
    fn no_bytes_make_it_panic(which in 0..SOME.len(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = kind(SOME[which]).decode(&bytes);
    }

    /// Random bytes are mostly nonsense; damaged messages are mostly not.
    #[test]
    fn no_damage_makes_it_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let mut bytes = filled().encode_to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let _ = kind("google.logging.v2.WriteLogEntriesRequest").decode(&bytes);
    }

    /// What was read and written again reads the same.
    #[test]
    fn what_is_read_can_be_written(which in 0..SOME.len(), bytes in prop::collection::vec(0_u8..40, 0..60)) {
        let kind = kind(SOME[which]);
        if let Ok(json) = kind.decode(&bytes) {
            let json = Json::Object(json);
            let written = kind.encode(json.clone(), Unlisted::Refuse).unwrap();
            prop_assert_eq!(Json::Object(kind.decode(&written).unwrap()), json);
        }
    }

    #[test]
    fn no_reply_makes_it_panic(name in "[a-z]{1,8}", text in ".{0,40}", number: i64) {
        for some in SOME {
            let _ = kind(some).encode(json!({ name.clone(): text, "policy": number }), Unlisted::Skip);
        }
    }
}

fn filled() -> DynamicMessage {
    let json = json!({
        "logName": "projects/p/logs/l", "labels": { "a": "b" },
        "entries": [{
            "severity": "ERROR", "timestamp": "2024-01-01T00:00:00Z", "insertId": "i",
            "protoPayload": {
                "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "methodName": "m",
                "authorizationInfo": [{ "permission": "p", "granted": true }],
                "metadata": { "list": [1, 2, { "deep": null }], "text": "t" },
            },
            "httpRequest": { "latency": "1.5s", "requestSize": "7" },
        }],
    });
    let MessageType(descriptor) = kind("google.logging.v2.WriteLogEntriesRequest");
    DynamicMessage::deserialize(descriptor, json).unwrap()
}
