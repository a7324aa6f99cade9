use binauthz_core::time::UnixTime;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Value {
    parse(text.as_bytes(), Limits::API).unwrap()
}

fn object(value: serde_json::Value) -> Object {
    Object::new(value.into(), "").unwrap()
}

#[test]
fn hostile_documents_are_refused() {
    let deep_list = "[".repeat(100_000);
    let deep_object = "{\"a\":".repeat(65);
    let closed = format!("{}1{}", "[".repeat(65), "]".repeat(65));
    let table: &[&[u8]] = &[
        b"",
        b"  \n",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"{}x",
        b"{}\0",
        br#"{"a":1,"a":2}"#,
        br#"{"a":{"b":[{"c":1,"c":1}]}}"#,
        br#"{"a":1,"\u0061":2}"#,
        br#"{"a":"\ud800"}"#,
        br#"{"a":"\udc00\ud800"}"#,
        b"{\"a\":\"\xff\"}",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e400]",
        b"[-1e999]",
        b"[01]",
        b"[+1]",
        b"[.5]",
        b"[1.]",
        b"[0x10]",
        b"{a:1}",
        b"{'a':1}",
        b"[1,]",
        b"{\"a\":1,}",
        b"// c\n{}",
        b"[\"\t\"]",
        b"[\"\\x41\"]",
        b"True",
        b"{\"a\"}",
        b"[1 2]",
        deep_list.as_bytes(),
        deep_object.as_bytes(),
        closed.as_bytes(),
    ];
    for bytes in table {
        assert!(
            parse(bytes, Limits::API).is_err(),
            "{}",
            String::from_utf8_lossy(bytes.get(..60).unwrap_or(bytes))
        );
    }
}

#[test]
fn their_harmless_twins_are_read() {
    let closed = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    for text in [
        "{}",
        " {}\n",
        r#"{"a":1,"A":2}"#,
        r#"{"a":"\ud83d\ude00"}"#,
        "[1e30]",
        "[12345678901234567890]",
        &closed,
    ] {
        parse(text.as_bytes(), Limits::API).expect(text);
    }
}

#[test]
fn limits_hold() {
    let limits = Limits {
        bytes: 10,
        depth: 2,
        values: 3,
    };
    assert_eq!(
        parse(b"[1,2,3,4,5]", limits),
        Err(InvalidJson::TooLarge {
            length: 11,
            limit: 10
        })
    );
    assert!(
        parse(b"[1,2,3]", limits)
            .unwrap_err()
            .to_string()
            .contains("too many values")
    );
    assert!(
        parse(b"[[[]]]", limits)
            .unwrap_err()
            .to_string()
            .contains("too deeply")
    );
    assert!(parse(b"[1,2]", limits).is_ok());
}

#[test]
fn a_key_that_comes_again_is_found_in_large_objects_too() {
    let mut members: Vec<String> = (0..5000).map(|number| format!("\"k{number}\":0")).collect();
    assert!(parse(format!("{{{}}}", members.join(",")).as_bytes(), Limits::API).is_ok());
    members.push("\"k4321\":0".to_owned());
    let error = parse(format!("{{{}}}", members.join(",")).as_bytes(), Limits::API).unwrap_err();
    assert!(
        error.to_string().contains("the key `k4321` appears twice"),
        "{error}"
    );
}

#[test]
fn members_are_found_in_both_spellings() {
    let mut given = object(json!({"note_name": "a", "resourceUri": "b", "human_readable_name": null}));
    assert_eq!(given.take_string("noteName").unwrap(), "a");
    assert_eq!(given.take_string("resourceUri").unwrap(), "b");
    assert_eq!(given.take_optional_string("humanReadableName").unwrap(), None);
    given.finish().unwrap();
}

#[test]
fn both_spellings_at_once_are_refused() {
    let mut given = object(json!({"note_name": "a", "noteName": "b"}));
    let error = given.take_string("noteName").unwrap_err();
    assert!(
        error.to_string().starts_with("`noteName` is given twice"),
        "{error}"
    );
}

#[test]
fn names_are_case_exact() {
    let mut given = object(json!({"NoteName": "a"}));
    assert_eq!(given.take_optional_string("noteName").unwrap(), None);
    assert!(given.finish().is_err());
}

#[test]
fn unknown_members_are_named_with_their_path_and_a_suggestion() {
    let mut given = object(json!({"admissionWhitelistPatterns": [{"namePatern": "x"}]}));
    let mut patterns = given.take_objects("admissionWhitelistPatterns").unwrap();
    let mut pattern = patterns.remove(0);
    assert_eq!(pattern.take_optional_string("namePattern").unwrap(), None);
    let error = pattern.finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`admissionWhitelistPatterns[0].namePatern` is not a known field; did you mean `namePattern`?"
    );
    let mut given = object(json!({"entirely": 1}));
    given.ignore("updateTime");
    assert_eq!(
        given.finish().unwrap_err().to_string(),
        "`entirely` is not a known field"
    );
}

#[test]
fn the_proto3_forms_are_read() {
    let mut given = object(json!({
        "number": "2021530390", "plain": 5, "whole": 3.0, "std": "+/+/", "url": "-_-_", "unpadded": "YQ",
        "padded": "YQ==", "wait": "1.5s", "flag": true, "labels": {"a": "b"}, "names": ["x", "y"],
    }));
    assert_eq!(given.take_i64("number").unwrap(), 2_021_530_390);
    assert_eq!(given.take_i64("plain").unwrap(), 5);
    assert_eq!(given.take_i64("whole").unwrap(), 3);
    assert_eq!(given.take_bytes("std").unwrap(), given.take_bytes("url").unwrap());
    assert_eq!(given.take_bytes("unpadded").unwrap(), b"a");
    assert_eq!(given.take_bytes("padded").unwrap(), b"a");
    assert_eq!(
        given.take_optional_duration("wait").unwrap().unwrap().as_millis(),
        1500
    );
    assert_eq!(given.take_optional_bool("flag").unwrap(), Some(true));
    assert_eq!(
        given.take_string_map("labels").unwrap(),
        [("a".to_owned(), "b".to_owned())]
    );
    assert_eq!(given.take_strings("names").unwrap(), ["x", "y"]);
    given.finish().unwrap();
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn wrong_forms_are_refused_with_what_was_expected() {
    type Take = fn(&mut Object) -> Option<InvalidField>;
    let table: &[(serde_json::Value, Take, &str)] = &[
        (
            json!(1),
            |o| o.take_string("f").err(),
            "`f` must be a string, not 1",
        ),
        (
            json!(["a"]),
            |o| o.take_string("f").err(),
            "`f` must be a string, not a list",
        ),
        (json!(""), |o| o.take_string("f").err(), "`f` is required"),
        (
            json!("True"),
            |o| o.take_optional_bool("f").err(),
            "`f` must be `true` or `false`, not `True`",
        ),
        (
            json!("1.5"),
            |o| o.take_i64("f").err(),
            "`f` must be a whole number of 64 bits, not `1.5`",
        ),
        (
            json!(1.5),
            |o| o.take_i64("f").err(),
            "`f` must be a whole number of 64 bits, not 1.5",
        ),
        (
            json!("9223372036854775808"),
            |o| o.take_i64("f").err(),
            "`f` must be a whole number of 64 bits, not `9223372036854775808`",
        ),
        (
            json!("+1"),
            |o| o.take_i64("f").err(),
            "`f` must be a whole number of 64 bits, not `+1`",
        ),
        (
            json!("a+-b"),
            |o| o.take_bytes("f").err(),
            "`f` must be bytes in base64, not text that is not base64",
        ),
        (
            json!("a b="),
            |o| o.take_bytes("f").err(),
            "`f` must be bytes in base64, not text that is not base64",
        ),
        (
            json!("5m"),
            |o| o.take_optional_duration("f").err(),
            "`f` must be a duration in seconds such as `86400s`, not `5m`",
        ),
        (
            json!("-5s"),
            |o| o.take_optional_duration("f").err(),
            "`f` must be a duration in seconds such as `86400s`, not `-5s`",
        ),
        (
            json!("x"),
            |o| o.take_array("f").err(),
            "`f` must be a list, not `x`",
        ),
        (
            json!([1]),
            |o| o.take_strings("f").err(),
            "`f[0]` must be a string, not a number",
        ),
        (
            json!({"a.b": 1}),
            |o| o.take_string_map("f").err(),
            "`f[\"a.b\"]` must be a string, not a number",
        ),
        (
            json!(5),
            |o| o.take_object("f").err(),
            "`f` must be an object, not a number",
        ),
    ];
    for (value, take, expected) in table {
        let mut given = object(json!({ "f": value }));
        let error = take(&mut given).expect(expected);
        assert_eq!(error.to_string(), *expected);
    }
}

#[test]
fn enums_come_by_name_or_number_and_nothing_else() {
    const TABLE: &[EnumRow<char>] = &[("ENABLE", 1, 'e'), ("DISABLE", 2, 'd'), ("ON", 1, 'e')];
    let take = |value: serde_json::Value| object(json!({ "mode": value })).take_optional_enum("mode", TABLE);
    assert_eq!(take(json!("ENABLE")), Ok(Some('e')));
    assert_eq!(take(json!("ON")), Ok(Some('e')));
    assert_eq!(take(json!(2)), Ok(Some('d')));
    assert_eq!(take(json!(0)), Ok(None));
    assert_eq!(take(json!(null)), Ok(None));
    for value in [
        json!("enable"),
        json!("MODE_UNSPECIFIED"),
        json!(3),
        json!(-1),
        json!(1.5),
        json!(true),
        json!("1"),
    ] {
        assert!(take(value.clone()).is_err(), "{value}");
    }
    let error = take(json!("ENABLED")).unwrap_err().to_string();
    assert_eq!(
        error,
        "`mode` is `ENABLED`, which is not one of `ENABLE`, `DISABLE`, `ON`"
    );
    assert_eq!(enum_name(TABLE, 'e'), "ENABLE");
    let missing = object(json!({}))
        .take_enum("mode", TABLE)
        .unwrap_err()
        .to_string();
    assert_eq!(missing, "`mode`: is required: one of `ENABLE`, `DISABLE`, `ON`");
}

#[test]
fn timestamps_are_rfc_3339() {
    assert_eq!(
        timestamp_from("1970-01-01T00:00:01Z"),
        Some(UnixTime::from_seconds(1))
    );
    assert_eq!(
        timestamp_from("2026-11-23T10:00:00.123456+02:00"),
        timestamp_from("2026-11-23T08:00:00.123456Z")
    );
    for text in [
        "",
        "2026-11-23",
        "2026-11-23 10:00:00Z",
        "2026-11-23T10:00:00",
        "2026-13-23T10:00:00Z",
        "2026-11-23T10:00:00Z[UTC]",
        "now",
    ] {
        assert_eq!(timestamp_from(text), None, "{text}");
    }
    assert_eq!(
        timestamp_out(UnixTime::from_micros(1_000_001)),
        "1970-01-01T00:00:01.000001Z"
    );
    assert_eq!(timestamp_out(UnixTime::from_micros(0)), "1970-01-01T00:00:00Z");
    assert!(timestamp_out(UnixTime::from_micros(i64::MAX)).starts_with("9999-"));
    assert!(timestamp_out(UnixTime::from_micros(i64::MIN)).starts_with("-009999-"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, Limits::API);
    }

    #[test]
    fn no_text_of_json_signs_makes_the_parser_panic(text in "[\\[\\]{}\",:a0.eE+\\\\u-]{0,200}") {
        let _ = parse(text.as_bytes(), Limits::API);
    }

    #[test]
    fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(bytes_from(&bytes_out(&bytes)), Some(bytes.clone()));
        let url = bytes_out(&bytes).replace('+', "-").replace('/', "_").replace('=', "");
        prop_assert_eq!(bytes_from(&url), Some(bytes));
    }

    #[test]
    fn timestamps_come_back(micros in -60_000_000_000_000_000_i64..250_000_000_000_000_000) {
        let time = UnixTime::from_micros(micros);
        prop_assert_eq!(timestamp_from(&timestamp_out(time)), Some(time));
    }

    #[test]
    fn durations_come_back(seconds in 0_u64..1_000_000_000, nanoseconds in 0_u32..1_000_000_000) {
        let duration = std::time::Duration::new(seconds, nanoseconds);
        prop_assert_eq!(duration_from(&duration_out(duration)), Some(duration));
    }

    #[test]
    fn trees_come_back(text in "[a-z]{0,5}", number in any::<i64>()) {
        let value = json!({ "a": [text, number, null, true], "b": { "c": number } });
        prop_assert_eq!(serde_json::Value::from(read(&value.to_string())), value);
    }
}

#[test]
fn a_misspelt_required_field_is_called_unknown_and_a_left_out_one_missing() {
    let take = |value: serde_json::Value| object(value).take_string("namePattern").unwrap_err().to_string();
    assert_eq!(
        take(json!({ "namePatern": "a/*" })),
        "`namePatern` is not a known field; did you mean `namePattern`?"
    );
    assert_eq!(take(json!({ "comment": "a/*" })), "`namePattern` is required");
}
