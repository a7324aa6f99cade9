use binauthz_core::time::UnixTime;

use super::*;
use crate::json::{InvalidField, Object};

const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800); // 2026-11-23T08:00:00Z

fn written(value: serde_json::Value, defaults: &Defaults) -> Result<WrittenEntry, InvalidField> {
    read_entry(value.into(), "entries[0]", defaults, NOW)
}

fn defaults(value: serde_json::Value) -> Defaults {
    let mut object = Object::new(value.into(), "").unwrap();
    let defaults = Defaults::take(&mut object).unwrap();
    object.finish().unwrap();
    defaults
}

fn plain(member: &str, value: serde_json::Value) -> serde_json::Value {
    let mut entry = json!({
        "logName": "projects/demo/logs/mylog", "resource": {"type": "global"}, "textPayload": "hello",
    });
    entry[member] = value;
    entry
}

#[test]
fn an_entry_of_gcloud() {
    let entry = json!({
        "logName": "projects/demo/logs/mylog", "resource": {"type": "global"},
        "severity": "WARNING", "textPayload": "hello",
    });
    let read = written(entry, &Defaults::default()).unwrap();
    assert_eq!(read.project().as_str(), "demo");
    assert_eq!(read.timestamp(), None);
    let entry = read.into_entry("0000000000000001", NOW);
    assert_eq!(entry.time(), NOW);
    assert_eq!(entry.log_name(), Some("projects/demo/logs/mylog"));
    assert_eq!(entry.insert_id(), Some("0000000000000001"));
    let json = json!({
        "logName": "projects/demo/logs/mylog", "resource": {"type": "global"}, "severity": "WARNING",
        "textPayload": "hello", "insertId": "0000000000000001",
        "timestamp": "2026-11-23T08:00:00Z", "receiveTimestamp": "2026-11-23T08:00:00Z",
    });
    assert_eq!(entry.to_json(), json);
    assert_eq!(
        super::entry(json.clone()).to_json(),
        json,
        "what is written reads as the same"
    );
}

#[test]
fn the_request_speaks_for_entries_that_are_silent() {
    let defaults = defaults(json!({
        "log_name": "projects/demo/logs/a%2Fb", "resource": {"type": "global"}, "labels": {"x": "1", "y": "1"},
    }));
    let entry = json!({"labels": {"x": "2"}, "insert_id": "mine", "json_payload": {"a": 1},
        "timestamp": "2026-11-23T07:00:00Z", "http_request": {"status": 404, "request_size": "12", "latency": "1.5s"},
        "source_location": {"line": 7}});
    let entry = written(entry, &defaults).unwrap().into_entry("other", NOW);
    let json = json!({
        "logName": "projects/demo/logs/a%2Fb", "resource": {"type": "global"}, "labels": {"x": "2", "y": "1"},
        "insertId": "mine", "jsonPayload": {"a": 1}, "timestamp": "2026-11-23T07:00:00Z",
        "receiveTimestamp": "2026-11-23T08:00:00Z",
        "httpRequest": {"status": 404, "requestSize": "12", "latency": "1.5s"}, "sourceLocation": {"line": "7"},
    });
    assert_eq!(entry.to_json(), json);
}

#[test]
fn audit_logs_are_found_in_either_spelling() {
    let payload = json!({
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "method_name": "m",
        "authentication_info": {"principal_email": "a@example.com"}, "request": {"some_key": 1},
    });
    let entry = plain("protoPayload", payload);
    let mut entry = entry;
    entry.as_object_mut().unwrap().remove("textPayload");
    let entry = written(entry, &Defaults::default()).unwrap().into_entry("1", NOW);
    for text in [
        "protoPayload.methodName=m",
        "protoPayload.authentication_info.principalEmail=a@example.com",
        "protoPayload.request.some_key=1",
    ] {
        assert!(query(text).test(&entry), "{text}");
    }
    assert!(!query("protoPayload.request.someKey=1").test(&entry));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn entries_that_are_refused() {
    let long = "x".repeat(MAX_ENTRY);
    let many: serde_json::Map<_, _> = (0..65).map(|number| (format!("k{number}"), json!("v"))).collect();
    for (value, expected) in [
        (json!({"textPayload": "x"}), "`entries[0].logName` is required"),
        (
            json!({"logName": "projects/demo/logs/x"}),
            "`entries[0].resource.type` is required",
        ),
        (
            plain("logName", json!("projects/demo/logs/a/b")),
            "`entries[0].logName`: expected `projects/PROJECT/logs/LOG`",
        ),
        (
            plain("logName", json!("folders/1/logs/a")),
            "`entries[0].logName`: expected",
        ),
        (
            plain("logName", json!("projects/../logs/a")),
            "`entries[0].logName`: expected",
        ),
        (plain("frob", json!(1)), "`entries[0].frob` is not a known field"),
        (
            plain("resource", json!({"type": "global", "frob": 1})),
            "`entries[0].resource.frob` is not a known field",
        ),
        (
            plain("jsonPayload", json!({})),
            "`entries[0].jsonPayload`: is given beside `textPayload`",
        ),
        (
            plain("protoPayload", json!({})),
            "`entries[0].protoPayload.@type` is required",
        ),
        (
            plain("textPayload", json!(7)),
            "`entries[0].textPayload` must be a string",
        ),
        (
            plain("severity", json!("BAD")),
            "`entries[0].severity` is `BAD`, which is not one of",
        ),
        (
            plain("timestamp", json!("yesterday")),
            "`entries[0].timestamp` must be a time in RFC 3339",
        ),
        (
            plain("timestamp", json!("2026-10-23T07:59:59Z")),
            "`entries[0].timestamp`: is more than 30 days",
        ),
        (
            plain("timestamp", json!("2026-11-24T08:00:01Z")),
            "`entries[0].timestamp`: is more than 24 hours",
        ),
        (
            plain("labels", json!(many)),
            "`entries[0].labels`: has more than 64",
        ),
        (
            plain("labels", json!({"a": 1})),
            "`entries[0].labels[\"a\"]` must be a string",
        ),
        (
            plain("insertId", json!("x".repeat(513))),
            "`entries[0].insertId`: is longer than 512",
        ),
        (plain("textPayload", json!(long)), "`entries[0]`: has 262"),
        (json!([]), "`entries[0]` must be an object"),
    ] {
        let error = written(value.clone(), &Defaults::default())
            .expect_err(&value.to_string())
            .to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for accepted in [
        plain("timestamp", json!("2026-10-24T08:00:00Z")),
        plain("timestamp", json!("2026-11-24T08:00:00Z")),
        plain("severity", json!(400)),
        plain("receiveTimestamp", json!("2026-10-24T08:00:00Z")),
        plain("textPayload", json!("x".repeat(MAX_ENTRY - 200))),
    ] {
        assert!(
            written(accepted.clone(), &Defaults::default()).is_ok(),
            "{:.200}",
            accepted.to_string()
        );
    }
}
