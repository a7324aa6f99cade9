use super::*;
use crate::json::{Limits, parse};

fn value(text: &str) -> Value {
    parse(text.as_bytes(), Limits::API).unwrap()
}

const OCCURRENCE: &str = r#"{"kind":"ATTESTATION","noteName":"projects/p/notes/n","resourceUri":"https://r.test/a@sha256:00",
    "attestation":{"serializedPayload":"eyJ9","signatures":[{"publicKeyId":"k","signature":"_-8="}]}}"#;

#[test]
fn notes_round_trip_in_either_spelling() {
    let camel = read_note(value(
        r#"{"attestation":{"hint":{"humanReadableName":"Image signing attestor"}}}"#,
    ))
    .unwrap();
    let snake = read_note(value(
        r#"{"attestation":{"hint":{"human_readable_name":"Image signing attestor"}}}"#,
    ))
    .unwrap();
    assert_eq!(camel, snake);
    let time = UnixTime::from_seconds(0);
    let written = write_note("projects/p/notes/n", &camel, time, time).to_string();
    assert_eq!(read_note(value(&written)).unwrap(), camel);
    assert!(written.contains("\"kind\":\"ATTESTATION\""));
}

#[test]
fn occurrences_round_trip() {
    let occurrence = read_occurrence(value(OCCURRENCE)).unwrap();
    assert_eq!(occurrence.attestation.signatures[0].bytes, [0xff, 0xef]);
    let time = UnixTime::from_seconds(0);
    let written = write_occurrence("projects/p/occurrences/o", &occurrence, time, time).to_string();
    assert_eq!(read_occurrence(value(&written)).unwrap(), occurrence);
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_path() {
    let table = [
        (r#"{"vulnerability":{}}"#.to_owned(), "vulnerability"),
        (OCCURRENCE.replace("\"ATTESTATION\"", "\"BUILD\""), "kind"),
        (OCCURRENCE.replace("\"ATTESTATION\"", "2"), "kind"),
        (OCCURRENCE.replace("projects/p/notes/n", "n"), "noteName"),
        (
            OCCURRENCE.replace("publicKeyId", "publicKeyID"),
            "attestation.signatures[0].publicKeyID",
        ),
        (
            OCCURRENCE.replace("_-8=", "_+8="),
            "attestation.signatures[0].signature",
        ),
        (
            OCCURRENCE.replace("\"kind\"", "\"envelope\":{},\"kind\""),
            "envelope",
        ),
        (OCCURRENCE.replace("\"kind\"", "\"extra\":1,\"kind\""), "extra"),
        (
            OCCURRENCE.replace("[{\"publicKeyId\":\"k\",\"signature\":\"_-8=\"}]", "[]"),
            "attestation.signatures",
        ),
        (
            OCCURRENCE.replace("\"signatures\"", "\"jwts\":[{}],\"signatures\""),
            "attestation.jwts",
        ),
    ];
    for (text, path) in table {
        assert_eq!(read_occurrence(value(&text)).unwrap_err().path, path, "{text}");
    }
    assert_eq!(read_note(value("{}")).unwrap_err().path, "attestation");
    assert_eq!(
        read_note(value(r#"{"attestation":{"hint":{"name":"x"}}}"#))
            .unwrap_err()
            .path,
        "attestation.hint.name"
    );
}
