use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> serde_json::Value {
    parse(text.as_bytes()).unwrap().into()
}

fn refused(text: &str) -> String {
    parse(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn a_policy_as_gcloud_exports_it_reads() {
    let text = "\
admissionWhitelistPatterns:
- namePattern: gcr.io/google_containers/*
defaultAdmissionRule:
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  evaluationMode: ALWAYS_ALLOW
etag: '\"GDXq/WrZN7Kp\"'
globalPolicyEvaluationMode: ENABLE
";
    let value = read(text);
    assert_eq!(value["etag"], "\"GDXq/WrZN7Kp\"");
    assert_eq!(
        write(&value),
        text.replace("'\"GDXq/WrZN7Kp\"'", r#""\"GDXq/WrZN7Kp\"""#)
    );
}

#[test]
fn scalars_mean_what_yaml_1_2_says() {
    let value = read("a: yes\nb: 0755\nc: 1_000\nd: true\ne: 12\nf: ~\ng: \"12\"\nh: 1.5\ni: on\n");
    let expected = json!({"a": "yes", "b": "0755", "c": "1_000", "d": true, "e": 12, "f": null, "g": "12", "h": 1.5, "i": "on"});
    assert_eq!(value, expected);
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    for text in [
        "a: 1\na: 2\n",
        "a: {b: 1, b: 2}\n",
        "a: &x 1\nb: *x\n",
        "a: &x 1\n",
        "a: *x\n",
        "base: {a: 1}\nc:\n  <<: {b: 2}\n",
        "a: !custom 1\n",
        "a: .nan\n",
        "a: [1\n",
        "\"a\": 1\n'a': 2\n",
    ] {
        refused(text);
    }
    assert_eq!(parse(b"\xff"), Err(InvalidYaml::NotUtf8 { position: 0 }));
}

#[test]
fn one_document_means_one() {
    assert_eq!(parse(b""), Err(InvalidYaml::Empty));
    assert_eq!(parse(b"# nothing\n"), Err(InvalidYaml::Empty));
    assert_eq!(
        parse(b"a: 1\n---\nb: 2\n"),
        Err(InvalidYaml::Several { count: 2 })
    );
    assert_eq!(parse_documents(b"---\na: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
}

#[test]
fn direction_marks_are_written_as_escapes_and_read_back() {
    let value = json!({"a\u{202e}b": "x\u{2066}y\\", "plain": "ü 🦀", "text0_": ["\u{200f}", "textx0_"]});
    let text = write(&value);
    assert_eq!(
        text,
        "plain: ü 🦀\ntext0_:\n- \"\\u200f\"\n- textx0_\n\"a\\u202eb\": \"x\\u2066y\\\\\"\n"
    );
    assert_eq!(read(&text), value);
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let laughs = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n";
    refused(laughs);
    refused(&"[".repeat(100_000));
    refused(&"- ".repeat(5_000));
    refused(&"{a: ".repeat(1_000));
    let large = vec![b'a'; Limits::API.bytes + 1];
    assert!(matches!(parse(&large), Err(InvalidYaml::TooLarge { .. })));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![
        "\\PC{0,40}",
        "[a-z0-9_.:/@*\"' #-]{0,20}",
        Just("yes".to_owned()),
        Just("null".to_owned()),
        Just("0x1F".to_owned()),
        Just("line one\nline two\n".to_owned()),
        Just(" leading and trailing ".to_owned()),
        Just("-----BEGIN X-----\nabc\n-----END X-----\n".to_owned()),
        Just("2026-11-23T00:00:00Z".to_owned()),
        Just("\u{feff}\u{85}\u{2028}\u{7}".to_owned()),
        "[a\\\\'\"text0_\u{1b}\u{7f}\u{9b}\u{61c}\u{200e}\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}\n\t]{0,12}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        text.clone().prop_map(serde_json::Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec((text.clone(), inner), 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(value in prop::collection::btree_map("\\PC{1,10}", any_json(), 1..4)) {
        let value = serde_json::Value::Object(value.into_iter().collect());
        let text = write(&value);
        let read: serde_json::Value = parse(text.as_bytes()).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?.into();
        prop_assert_eq!(read, value, "{}", text);
        let shown = text.chars().find(|c| acts_on_display(*c) && *c != '\n');
        prop_assert_eq!(shown, None, "{}", text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_documents(&bytes);
    }

    #[test]
    fn no_text_of_yaml_signs_makes_the_reader_panic(text in "[-:?\\[\\]{},&*!|>'\"%@` #a0\n~<=]{0,200}") {
        let _ = parse_documents(text.as_bytes());
    }
}
