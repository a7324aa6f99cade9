use super::*;

#[test]
fn functions_that_are_conditions() {
    for (text, on, expected) in [
        (r#"log_id("mylog")"#, e4(), true),
        (r#"log_id("MyLog")"#, e4(), true),
        (r#"log_id("mylog2")"#, e4(), false),
        (r#"log_id("cloudaudit.googleapis.com/activity")"#, e1(), true),
        (r#"log_id("cloudaudit.googleapis.com%2Factivity")"#, e1(), false),
        ("source(projects/demo)", e4(), true),
        ("source(projects/dem)", e4(), false),
        ("source(folders/1)", e4(), false),
        ("sample(insertId,1)", e4(), true),
        ("sample(jsonPayload.nope,1)", e4(), false),
        ("sample(insertId,0.0000000001)", e4(), false),
        (r#"ip_in_net(jsonPayload.ip,"10.1.2.0/24")"#, e5(), true),
        (r#"ip_in_net(jsonPayload.ip,"10.1.3.0/24")"#, e5(), false),
        (r#"ip_in_net(jsonPayload.ip,"10.1.2.3")"#, e5(), true),
        (r#"ip_in_net(jsonPayload.ip,"10.1.2.192/24")"#, e5(), true),
        (r#"ip_in_net(jsonPayload.ip,"10.1.2.0/31")"#, e5(), false),
        (r#"ip_in_net(jsonPayload.ip,"10.1.2.2/31")"#, e5(), true),
        (r#"ip_in_net(jsonPayload.ip,"0.0.0.0/0")"#, e5(), true),
        (r#"ip_in_net(jsonPayload.ip,"::/0")"#, e5(), false),
        (r#"ip_in_net(jsonPayload.nope,"10.1.2.0/24")"#, e5(), false),
        (r#"ip_in_net(jsonPayload.msg,"10.1.2.0/24")"#, e5(), false),
        (r#"SEARCH("phoenix hello")"#, e4(), true),
        (r#"SEARCH("phoen")"#, e4(), false),
        ("SEARCH(\"`hello world`\")", e4(), true),
        ("SEARCH(\"`world hello`\")", e4(), false),
        (r#"SEARCH("mylog phoenix")"#, e4(), true),
        (r#"SEARCH(textPayload,"mylog phoenix")"#, e4(), false),
        (r#"SEARCH(textPayload,"apple")"#, e5(), false),
        (r#"SEARCH(jsonPayload,"apple")"#, e5(), true),
        (r#"search(jsonPayload,"24")"#, e5(), true),
        (r#"regexp_extract(insertId,"abc-(\d+)")="1""#, e4(), true),
        (r#"regexp_extract(insertId,"abc-(\d+)")="2""#, e4(), false),
        (r#"regexp_extract(insertId,"xyz-(\d+)")!="1""#, e4(), false),
        (
            r#"cast(regexp_extract(insertId,"abc-(\d+)"),INT64)<2"#,
            e4(),
            true,
        ),
        (r#"regexp_extract(insertId,"abc-(\d+)"):*"#, e4(), true),
        (r#"regexp_extract(insertId,"xyz-(\d+)"):*"#, e4(), false),
        (r#"cast(jsonPayload.s, DURATION)>"1s""#, e5(), false),
    ] {
        assert_eq!(query(text).test(&on), expected, "{text}");
    }
}

#[test]
fn functions_with_wrong_arguments() {
    for (text, expected) in [
        ("sample(insertId,2)", "column 17: expected a share"),
        ("sample(insertId,0)", "column 17: expected a share"),
        ("sample(insertId)", "column 1: expected `sample(FIELD, SHARE)`"),
        ("sample(labels,1)", "column 8: `labels` is not a single value"),
        ("sample(nope,1)", "column 8: `nope` is not a field"),
        (
            r#"ip_in_net(jsonPayload.ip,"10.1")"#,
            "column 26: expected addresses",
        ),
        (
            r#"ip_in_net(jsonPayload.ip,"10.1.2.0/33")"#,
            "column 26: expected addresses",
        ),
        (
            "source(projects)",
            "column 8: expected `source(projects/PROJECT)`",
        ),
        ("source(projects/a/b)", "column 8: expected"),
        ("SEARCH(\"\")", "column 8: expected at least one word"),
        ("SEARCH(\"`a\")", "column 8: a backtick is not closed"),
        ("SEARCH(nope, \"a\")", "column 8: `nope` is not a field"),
        ("log_id()", "column 1: expected `log_id(\"ID\")`"),
        (
            "log_id(cast(trace, STRING))",
            "column 8: expected a text, not a function",
        ),
    ] {
        let error = refusal(text);
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

/// The share is one of texts: about a tenth of many ids, and the same ones each time.
#[test]
fn a_sample_is_a_share_of_all_values() {
    let (tenth, fifth) = (query("sample(insertId,0.1)"), query("sample(insertId,0.2)"));
    let mut count = 0;
    for number in 0..2_000 {
        let time = binauthz_core::time::UnixTime::from_seconds(0);
        let entry = Entry::new("projects/demo/logs/x", format!("{number:016x}"), time);
        if tenth.test(&entry) {
            count += 1;
            assert!(fifth.test(&entry), "a larger share has all of a smaller one");
        }
    }
    assert!((150..250).contains(&count), "{count}");
}

#[test]
fn extractors_take_text_out_of_entries() {
    for (text, on, expected) in [
        ("EXTRACT(jsonPayload.podName)", e3b(), "test-unsigned"),
        ("EXTRACT(jsonPayload.podName)", e4(), ""),
        ("EXTRACT(jsonPayload.n)", e5(), "8.5"),
        ("EXTRACT(severity)", e4(), "WARNING"),
        ("EXTRACT(httpRequest.status)", e5(), "404"),
        (
            r#"REGEXP_EXTRACT(jsonPayload.imageName, "([^/:]+):")"#,
            e3b(),
            "a",
        ),
        (r#"REGEXP_EXTRACT(jsonPayload.imageName, "x(y)")"#, e3b(), ""),
        (r#"REGEXP_EXTRACT(httpRequest.status, "^(\d)")"#, e5(), "4"),
    ] {
        let extractor = Extractor::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(extractor.of(&on), expected, "{text}");
        assert_eq!(extractor.text(), text);
    }
    for (text, expected) in [
        ("", "column 1: expected `EXTRACT(FIELD)`"),
        ("jsonPayload.n", "column 1: expected `EXTRACT(FIELD)`"),
        ("EXTRACT(nope)", "column 9: `nope` is not a field"),
        (
            "EXTRACT(jsonPayload)",
            "column 9: `jsonPayload` is not a single value",
        ),
        ("EXTRACT(trace) AND x", "column 1: expected"),
        (
            "REGEXP_EXTRACT(trace, \"x\")",
            "column 23: expected exactly one group",
        ),
        ("REGEXP_EXTRACT(trace)", "column 1: expected"),
    ] {
        let error = Extractor::parse(text).expect_err(text).description();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}
