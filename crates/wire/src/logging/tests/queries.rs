use std::time::Instant;

use super::*;
use crate::filter::{Dialect, Expression, Term};

/// The name of the entry, and whether the query wants it.
type Row = (&'static str, &'static [(&'static str, bool)]);

fn check(rows: &[Row]) {
    let entries = [
        ("E1", e1()),
        ("E2", e2()),
        ("E3a", e3a()),
        ("E3b", e3b()),
        ("E4", e4()),
        ("E5", e5()),
    ];
    for (text, expected) in rows {
        let query = query(text);
        for (name, wanted) in *expected {
            let (_, entry) = entries.iter().find(|(known, _)| known == name).unwrap();
            assert_eq!(query.test(entry), *wanted, "{text} on {name}");
        }
    }
}

#[test]
fn what_the_documentation_asks_about_images() {
    check(&[
        (
            "",
            &[
                ("E1", true),
                ("E2", true),
                ("E3a", true),
                ("E3b", true),
                ("E4", true),
                ("E5", true),
            ],
        ),
        (
            r#"resource.type="k8s_cluster" AND jsonPayload.enforcementMode="DRYRUN_AUDIT_LOG_ONLY""#,
            &[("E3b", true), ("E3a", false), ("E1", false)],
        ),
        (
            r#"resource.type="k8s_cluster" protoPayload.request.metadata.annotations."alpha.image-policy.k8s.io/break-glass" != """#,
            &[("E2", true), ("E1", false), ("E3a", false)],
        ),
        (
            r#"resource.type="k8s_cluster" protoPayload.response.status.message:"denied by attestor""#,
            &[("E1", true), ("E2", false)],
        ),
        (
            r#"resource.type="k8s_cluster"
               logName:"cloudaudit.googleapis.com%2Factivity"
               (protoPayload.methodName="io.k8s.core.v1.pods.create" OR protoPayload.methodName="io.k8s.core.v1.pods.update")
               protoPayload.response.status="Failure"
               (protoPayload.response.reason="VIOLATES_POLICY" OR protoPayload.response.reason="Forbidden")"#,
            &[("E1", true), ("E2", false), ("E3b", false)],
        ),
        (
            r#""image-policy.k8s.io/break-glass""#,
            &[("E2", true), ("E1", false), ("E3a", false)],
        ),
        (
            r#"labels."imagepolicywebhook.image-policy.k8s.io/dry-run"="true""#,
            &[("E3a", true), ("E3b", false)],
        ),
        (
            r#"resource.type=(gce_instance OR k8s_cluster)"#,
            &[("E1", true), ("E4", false)],
        ),
        (
            r#"protoPayload.request.spec.containers.image:"unattested""#,
            &[("E1", true), ("E2", false)],
        ),
        (
            r#"proto_payload.METHOD_NAME="io.k8s.core.v1.pods.create""#,
            &[("E1", true), ("E2", false)],
        ),
        (r#"protoPayload.REQUEST.METADATA.name:*"#, &[("E1", false)]),
        (
            r#"protoPayload.authorizationInfo.granted=true"#,
            &[("E1", true), ("E2", false)],
        ),
        (r#"protoPayload.status.code=3"#, &[("E1", true), ("E2", false)]),
        (
            r#"log_id("cloudaudit.googleapis.com/activity")"#,
            &[("E1", true), ("E4", false)],
        ),
        (
            r#"logName:"cloudaudit.googleapis.com%2Factivity""#,
            &[("E1", true), ("E4", false)],
        ),
        // Names of the schema are not data.
        ("principalEmail", &[("E1", false)]),
        ("podNamespace", &[("E3b", true), ("E1", false)]),
        ("cluster_name", &[("E1", true), ("E4", false)]),
    ]);
}

#[test]
fn junctions() {
    check(&[
        (r#""zzz" OR "Hello" AND "nope""#, &[("E4", false)]),
        (r#"("zzz") OR ("Hello" AND "World")"#, &[("E4", true)]),
        (
            r#"timestamp>="2026-12-01" AND severity=ERROR OR severity=WARNING"#,
            &[("E4", false)],
        ),
        ("NOT jsonPayload.nope=x", &[("E5", true)]),
        ("-textPayload:robot", &[("E4", true), ("E5", true)]),
        ("-textPayload:unicorn", &[("E4", false), ("E5", true)]),
        ("unicorn -- x OR y\nphoenix", &[("E4", true), ("E5", false)]),
        ("unicorn -- x\nrobot", &[("E4", false)]),
        (r#"insertId="x" OR "abc""#, &[("E4", true), ("E1", false)]),
        ("insertId=abc:def", &[("E4", false)]),
        ("foo and bar", &[("E4", false)]),
        ("hello and world", &[("E4", false)]),
    ]);
    let parsed = |text: &str| Expression::parse(text, Dialect::Logging).unwrap();
    let shape = |expression: &Expression| -> String {
        fn write(expression: &Expression, out: &mut String) {
            match expression {
                Expression::Everything => out.push('*'),
                Expression::All(parts) | Expression::Any(parts) => {
                    let sign = if matches!(expression, Expression::All(_)) {
                        " & "
                    } else {
                        " | "
                    };
                    out.push('(');
                    for (index, part) in parts.iter().enumerate() {
                        out.push_str(if index == 0 { "" } else { sign });
                        write(part, out);
                    }
                    out.push(')');
                }
                Expression::Not(part) => {
                    out.push('!');
                    write(part, out);
                }
                Expression::Term(_, Term::Bare(value)) => out.push_str(&value.text),
                Expression::Term(..) => out.push('?'),
            }
        }
        let mut out = String::new();
        write(expression, &mut out);
        out
    };
    assert_eq!(
        shape(&parsed(r#""a" OR NOT "b" AND NOT "c" OR "d""#)),
        "((a | !b) & (!c | d))"
    );
    assert_eq!(shape(&parsed("foo and bar")), "(foo & and & bar)");
}

#[test]
fn what_is_not_there() {
    check(&[
        ("jsonPayload.nope!=x", &[("E5", false)]),
        ("jsonPayload.nope:*", &[("E5", false)]),
        ("jsonPayload.n:*", &[("E5", true), ("E4", false)]),
        ("jsonPayload.o:*", &[("E5", true)]),
        ("jsonPayload:*", &[("E5", true), ("E4", false)]),
        (r#"trace="""#, &[("E4", true)]),
        ("trace:*", &[("E4", false)]),
        (r#"operation.id!="x""#, &[("E5", true)]),
        ("httpRequest.status=0", &[("E4", true), ("E5", false)]),
        ("httpRequest:*", &[("E4", false), ("E5", true)]),
        (r#"textPayload!~"robot""#, &[("E4", true), ("E5", false)]),
        ("labels.nope!=x", &[("E5", false)]),
        ("severity=DEFAULT", &[("E5", true), ("E4", false)]),
        ("severity:*", &[("E5", false), ("E4", true)]),
        ("traceSampled=false", &[("E4", true)]),
        ("split.index=0", &[("E4", true)]),
    ]);
}

#[test]
fn texts() {
    check(&[
        (r#"textPayload="HELLO WORLD UNICORN PHOENIX""#, &[("E4", true)]),
        (r#"textPayload="HELLO WORLD UNICORN""#, &[("E4", false)]),
        ("textPayload:(unicorn phoenix)", &[("E4", true)]),
        ("textPayload:(unicorn robot)", &[("E4", false)]),
        ("textPayload:(unicorn OR robot)", &[("E4", true)]),
        (r#"textPayload:"unicorn  phoenix""#, &[("E4", false)]),
        (r#"textPayload=~"hello""#, &[("E4", false)]),
        (r#"textPayload=~"(?i)hello""#, &[("E4", true)]),
        (r#"textPayload=~("robot" OR "uni.orn")"#, &[("E4", true)]),
        (r#"jsonPayload.msg=~"field1=\"bar.*\"""#, &[("E5", true)]),
        (r#"jsonPayload."foo.bar":apple"#, &[("E5", true)]),
        ("jsonPayload.foo.bar:apple", &[("E5", false)]),
        (r#"labels."a.b/c"=x"#, &[("E5", true)]),
        (r#"labels."A.b/c"=x"#, &[("E5", false)]),
        (r#"LABELS."a.b/c"=x"#, &[("E5", true)]),
        ("textPayload>h", &[("E4", true)]),
        ("textPayload<h", &[("E4", false)]),
        ("WARNING", &[("E4", true), ("E1", false)]),
        ("warn", &[("E4", false)]),
        ("404", &[("E5", true), ("E4", false)]),
        ("40", &[("E5", false)]),
        ("\u{ff35}\u{ff2e}\u{ff29}corn", &[("E4", true)]),
    ]);
}

#[test]
fn other_values() {
    check(&[
        ("jsonPayload.list<7", &[("E5", true)]),
        ("jsonPayload.list=7", &[("E5", false)]),
        ("jsonPayload.list!=9", &[("E5", true)]),
        (r#"jsonPayload.n="8.5""#, &[("E5", true)]),
        ("jsonPayload.n:8.5", &[("E5", true)]),
        ("jsonPayload.n:8", &[("E5", false)]),
        ("jsonPayload.n!=apple", &[("E5", false)]),
        ("jsonPayload.s>9", &[("E5", false)]),
        ("cast(jsonPayload.s, INT64)>9", &[("E5", true)]),
        ("cast(jsonPayload.s, INT64)>10", &[("E5", false)]),
        ("cast(jsonPayload.n, STRING)=8.5", &[("E5", true)]),
        ("cast(jsonPayload.foo, INT64)!=1", &[("E5", false)]),
        ("jsonPayload.t=TRUE", &[("E5", true)]),
        ("jsonPayload.t>false", &[("E5", true)]),
        ("jsonPayload.t=1", &[("E5", false)]),
        ("jsonPayload.z=NULL_VALUE", &[("E5", true)]),
        ("jsonPayload.z!=NULL_VALUE", &[("E5", false)]),
        ("jsonPayload.s!=NULL_VALUE", &[("E5", true)]),
        (r#"jsonPayload.z="""#, &[("E5", false)]),
        ("jsonPayload.z:*", &[("E5", true)]),
        (r#"jsonPayload.z="NULL_VALUE""#, &[("E5", false)]),
        ("jsonPayload.o.age>=24", &[("E5", true)]),
        (r#"jsonPayload.o="x""#, &[("E5", false)]),
        (r#"jsonPayload.o!="x""#, &[("E5", false)]),
        ("severity>=warning", &[("E4", true), ("E5", false)]),
        ("severity>=400", &[("E4", true)]),
        (r#"severity>="WARNING""#, &[("E4", true)]),
        ("severity>WARNING", &[("E4", false), ("E1", true)]),
        ("severity:WARNING", &[("E4", true), ("E1", false)]),
        (r#"timestamp>"2026-11-23""#, &[("E4", true)]),
        (r#"timestamp="2026-11-23""#, &[("E4", false)]),
        (r#"timestamp>="2026-11-23T09:00:00+0100""#, &[("E4", true)]),
        (r#"timestamp>="2026-11-23T09:00:01+01:00""#, &[("E4", false)]),
        (r#"timestamp<"2026-11-23T08:00:00.5000001Z""#, &[("E4", true)]),
        (r#"timestamp<"2026-11-23T08:00:00.5Z""#, &[("E4", false)]),
        (r#"httpRequest.latency>"1400ms""#, &[("E5", true), ("E4", false)]),
        (r#"httpRequest.latency="1.5s""#, &[("E5", true)]),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn nonsense_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "thud=x",
            "column 1: `thud` is not a field of a log entry, expected one of `logName`",
        ),
        ("operation.thud=1", "column 1: `operation.thud` is not a field"),
        ("textPayload.x=1", "column 1: `textPayload` has no fields"),
        ("severity>=EROR", "column 11: `severity`: expected a severity"),
        ("severity=(ERROR OR EROR)", "column 20: `severity`"),
        ("severity=~\"ERR\"", "column 11: `severity`"),
        ("timestamp:\"2026\"", "column 11: `timestamp`: expected"),
        ("timestamp>x", "column 11: `timestamp`"),
        ("timestamp>=\"2026-13-01\"", "column 12: `timestamp`"),
        ("traceSampled=yes", "column 14: `traceSampled`: expected `true`"),
        (
            "httpRequest.status=ok",
            "column 20: `httpRequest.status`: expected a number",
        ),
        ("httpRequest.latency>1", "column 21: `httpRequest.latency`"),
        (
            "httpRequest=x",
            "column 13: `httpRequest`: expected one of its fields",
        ),
        (
            "jsonPayload=x",
            "column 13: `jsonPayload`: expected one of its fields",
        ),
        ("(", "column 2: expected a condition"),
        ("textPayload=", "column 13: expected a value"),
        ("textPayload=\"x", "column 13: the quoted text does not end"),
        (
            "textPayload=~\"(\"",
            "column 14: expected a regular expression: unclosed group",
        ),
        (
            "textPayload=~\"(a{1000}){1000}\"",
            "column 14: the regular expression is too large",
        ),
        ("x\ny=1", "line 2, column 1: `y` is not a field"),
        ("frob(x)", "column 1: `frob` is not a function"),
        ("frob(x)=1", "column 1: `frob` cannot be compared"),
        ("cast(jsonPayload.s, INT64)", "column 1: expected a comparison"),
        (
            "cast(jsonPayload.s, INT64)=x",
            "column 28: `jsonPayload.s`: expected a number",
        ),
        (
            "cast(jsonPayload.s, INT65)=1",
            "column 21: expected a type: `INT64`",
        ),
        (
            "cast(jsonPayload.s, TIMESTAMP, TIMEZONE(\"Europe/Berlin\"))>\"2026-01-01\"",
            "column 32: time zones are not supported",
        ),
        (
            "regexp_extract(insertId,\"abc\")=1",
            "column 25: expected exactly one group in parentheses, not 0",
        ),
        (
            "regexp_extract(insertId,\"(a)(b)\")=1",
            "column 25: expected exactly one group",
        ),
    ] {
        let error = refusal(text);
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let deep = refusal(&"(".repeat(33));
    assert!(deep.starts_with("column "), "{deep}");
    let long = refusal(&"x".repeat(20_001));
    assert!(
        long.starts_with("column 1: the filter is longer than 20000"),
        "{long}"
    );
    let umlauts = "\u{e4}".repeat(20_000);
    assert!(
        Query::parse(&umlauts).is_ok(),
        "characters are counted, not bytes"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
fn hostile_queries_are_bounded() {
    let regexes = vec!["textPayload=~\"a\""; 65].join(" ");
    assert!(refusal(&regexes).contains("at most 64 regular expressions"));
    let shared = vec!["a"; 200].join(" OR ");
    assert!(Query::parse(&format!("regexp_extract(textPayload,\"(.)\")=({shared})")).is_ok());
    let shared = vec!["a"; 201].join(" OR ");
    assert!(
        refusal(&format!("regexp_extract(textPayload,\"(.)\")=({shared})")).contains("at most 200 texts")
    );
    assert!(refusal(&vec!["a"; 201].join(" ")).contains("at most 200 texts"));
    assert!(refusal(&vec!["trace=a"; 2_001].join(" ")).contains("at most 2000 conditions"));
    for pattern in [
        "a*".repeat(5_000),
        "(a|b)".repeat(2_000),
        "\\\\w".repeat(3_300),
        "((((a{9}){9}){9}){9})".repeat(400),
    ] {
        let started = Instant::now();
        let _ = Query::parse(&format!("textPayload=~\"{pattern}\""));
        assert!(started.elapsed().as_secs() < 5, "{} characters", pattern.len());
    }
}

/// Twice the text may take about twice the time, not four times.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
fn time_is_linear_in_the_entry() {
    let query = query(r#"textPayload=~"(a+)+b" OR textPayload:"zz" OR SEARCH("zz yy")"#);
    let time = |length: usize| {
        let entry = Entry::new(
            "projects/demo/logs/x",
            "1",
            binauthz_core::time::UnixTime::from_seconds(0),
        )
        .payload(Payload::Text("a".repeat(length).into()));
        let once = || {
            let started = Instant::now();
            assert!(!query.test(&entry));
            started.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    let (short, long) = (time(25_000), time(250_000));
    assert!(
        long < short * 40 + std::time::Duration::from_millis(20),
        "{short:?}, {long:?}"
    );
}

/// A character that grows elevenfold when it is folded: each text is folded once, not once per condition.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
fn long_texts_are_folded_once() {
    let text = "\u{fdfa}".repeat(MAX_ENTRY / 3);
    let time = binauthz_core::time::UnixTime::from_seconds(0);
    let entry = Entry::new("projects/demo/logs/x", "1", time).payload(Payload::Text(text.into()));
    let measured = |text: &str, expected: bool| {
        let query = query(text);
        let started = Instant::now();
        assert_eq!(query.test(&entry), expected);
        started.elapsed()
    };
    let one = measured("textPayload:zz", false);
    let many = measured(&vec!["textPayload:zz"; 100].join(" OR "), false);
    assert!(
        many < one * 20 + std::time::Duration::from_millis(20),
        "{one:?}, {many:?}"
    );
    // A text that is made on the way is not taken for one of the entry's.
    let long = "\u{fdfa}\u{fdfa}";
    measured(
        &format!("textPayload:\"{long}\" cast(textPayload, STRING):\"{long}\" NOT trace:\"{long}\""),
        true,
    );
    measured(
        &format!("regexp_extract(textPayload, \"(.{{100}})\")=\"{long}\""),
        false,
    );
}

#[test]
fn the_times_of_a_query_are_bounds() {
    let micros = |text: &str| {
        let bounds = query(text).times();
        (bounds.from.as_micros(), bounds.until.as_micros())
    };
    let always = (i64::MIN, i64::MAX);
    let second = 1_795_420_800_000_000;
    for (text, expected) in [
        ("", always),
        ("severity=ERROR", always),
        (
            r#"timestamp>="2026-11-23T08:00:00Z" AND x OR y"#,
            (second, i64::MAX),
        ),
        (r#"timestamp>"2026-11-23T08:00:00Z""#, (second + 1, i64::MAX)),
        (r#"timestamp<"2026-11-23T08:00:00Z""#, (i64::MIN, second - 1)),
        (r#"timestamp<"2026-11-23T08:00:00.0000001Z""#, (i64::MIN, second)),
        (r#"timestamp="2026-11-23T08:00:00Z""#, (second, second)),
        (
            r#"timestamp="2026-11-23T08:00:00Z" OR timestamp<="2026-11-23T08:00:01Z""#,
            (i64::MIN, second + 1_000_000),
        ),
        (r#"timestamp="2026-11-23T08:00:00Z" OR x"#, always),
        (r#"NOT timestamp="2026-11-23T08:00:00Z""#, always),
        (r#"timestamp!="2026-11-23T08:00:00Z""#, always),
    ] {
        assert_eq!(micros(text), expected, "{text}");
    }
}

#[test]
fn the_texts_that_must_be_there_are_told() {
    use Demand::{All, Any, Is, Nothing, Within};
    for (text, expected) in [
        ("", Nothing),
        (
            r#"resource.type="k8s_cluster" "Break-Glass/X""#,
            All(vec![Is("k8s_cluster"), Within("break-glass/x")]),
        ),
        ("jsonPayload.podName=Alpha", Is("alpha")),
        ("jsonPayload.podName:Alpha", Within("alpha")),
        ("jsonPayload.n=8.50", Nothing),
        ("jsonPayload.n=true", Nothing),
        ("labels.n=8.50", Is("8.50")),
        ("jsonPayload.z=NULL_VALUE", Nothing),
        (r#"trace="""#, Nothing),
        ("x OR y", Any(vec![Within("x"), Within("y")])),
        ("x OR severity=ERROR", Nothing),
        ("NOT x", Nothing),
        ("x AND NOT y", Within("x")),
        ("jsonPayload.a!=alpha", Nothing),
        ("jsonPayload.a=~alpha", Nothing),
        ("severity=ERROR", Nothing),
        ("WARNING", Nothing),
    ] {
        assert_eq!(query(text).demand(), expected, "{text}");
    }
}
