use proptest::prelude::*;

use super::*;

const FIELDS: &[&str] = &["kind", "resourceUri", "noteId", "createTime", "remediation"];

fn matches(filter: &str) -> bool {
    let field = |name: &str| {
        let value = match name {
            "kind" => "ATTESTATION",
            "resourceUri" => "https://r.test/a@sha256:ab",
            "createTime" => "2026-11-23T08:00:00.5Z",
            "noteId" => "n",
            _ => "",
        };
        value.to_owned()
    };
    Filter::parse(filter, FIELDS)
        .unwrap_or_else(|error| panic!("{filter}: {error}"))
        .matches(&field)
}

#[test]
fn what_clients_send_is_understood() {
    let table = [
        ("", true),
        (" \n", true),
        (r#"has_suffix(resourceUrl, "sha256:ab")"#, true),
        (r#"has_suffix(resourceUrl, "sha256:cd")"#, false),
        (r#"has_prefix(resource_url,"https://r.test/")"#, true),
        (r#"has_prefix(resourceUri, "https://s.test/")"#, false),
        (r#"kind="ATTESTATION" AND noteId="n""#, true),
        (r#"resourceUrl="https://r.test/a@sha256:ab""#, true),
        ("resourceUrl=https://r.test/a@sha256:ab", true),
        (
            r#"((kind = "BUILD") OR (kind = "SBOM_REFERENCE")) AND ((resourceUrl = "https://r.test/a@sha256:ab"))"#,
            false,
        ),
        (
            r#"((resourceUrl = "https://r.test/a@sha256:ab") OR (resourceUrl = "r.test/a@sha256:ab"))"#,
            true,
        ),
        (r#"NOT kind="BUILD" note_id=n"#, true),
        ("-kind=ATTESTATION", false),
        ("NOT (kind=BUILD OR noteId=n)", false),
        ("kind = ('BUILD' OR 'ATTESTATION')", true),
        ("kind = (BUILD OR IMAGE)", false),
        ("kind = (NOT BUILD)", true),
        (r#"kind != "BUILD""#, true),
        ("kind != ATTESTATION", false),
        ("kind:attest", true),
        ("kind:build", false),
        ("kind:*", true),
        ("remediation:*", false),
        (r#"remediation = """#, true),
        ("kind < B", true),
        ("kind >= ATTESTATION", true),
        ("kind > ATTESTATION", false),
        ("kind <= ATTESTATION", true),
        (r#"createTime > "2026-11-23T08:00:00Z""#, true),
        ("createTime >= 2026-11-23T10:00:00.5+02:00", true),
        ("createTime < 2026-11-23T08:00:00Z", false),
        ("createTime = 2026-11-23T08:00:00.500Z", true),
        ("createTime != 2026-11-23T08:00:00.500Z", false),
    ];
    for (filter, expected) in table {
        assert_eq!(matches(filter), expected, "{filter}");
    }
}

#[test]
fn or_binds_tighter_than_and() {
    assert!(!matches("kind=ATTESTATION OR kind=BUILD AND noteId=x"));
    assert!(matches("(kind=ATTESTATION) OR (kind=BUILD AND noteId=x)"));
    assert!(matches("noteId=n AND kind=BUILD OR kind=ATTESTATION"));
    assert!(matches("NOT kind=BUILD OR noteId=x"));
}

#[test]
fn nonsense_is_refused_with_its_column() {
    let table = [
        ("kind", "column 1: expected a comparison such as `kind = \"…\"`"),
        ("\"text\"", "column 1: expected a comparison"),
        ("kind=", "column 6: expected a value"),
        ("kind = AND", "column 8: expected a value"),
        (
            "color=1",
            "column 1: `color` is not a field, expected one of `kind`, `resourceUri`",
        ),
        ("kind=A AND Kind=B", "column 12: `Kind` is not a field"),
        (
            "has_suffix(kind)",
            "column 1: expected `has_suffix(FIELD, \"TEXT\")`",
        ),
        ("has_suffix()", "column 1: expected `has_suffix(FIELD, \"TEXT\")`"),
        ("has_suffix(color, \"x\")", "column 12: `color` is not a field"),
        (
            "has_suffix(createTime, \"x\")",
            "column 12: `createTime` is a time, not a text",
        ),
        ("f(kind, \"x\")", "column 1: expected the function"),
        ("has_suffix(kind, \"x\"", "column 21: expected `)`"),
        ("kind=\"x", "column 6: the quoted text does not end"),
        ("kind=\"\\x\"", "column 7: expected `\\\"`"),
        ("(kind=x", "column 8: expected `)`"),
        ("kind=x)", "column 7: unexpected `)`"),
        ("kind & x", "column 6: unexpected `&`"),
        ("kind ! x", "column 6: unexpected `!`"),
        ("AND", "column 1: expected a condition"),
        ("kind=x AND", "column 11: expected a condition"),
        ("kind=x OR OR kind=y", "column 11: expected a condition"),
        ("()", "column 2: expected a condition"),
        (
            "kind =~ \"x.*\"",
            "column 1: regular expressions are not supported here",
        ),
        (
            "createTime:2026",
            "column 1: `createTime` is a time: expected `=`",
        ),
        (
            "createTime > yesterday",
            "column 1: `createTime` is a time: expected RFC 3339",
        ),
        ("kind=\"\u{e4}\u{e4}\" & x", "column 11: unexpected `&`"),
    ];
    for (filter, expected) in table {
        let error = Filter::parse(filter, FIELDS).expect_err(filter);
        assert_eq!(error.path, "filter");
        assert!(
            error.description().starts_with(expected),
            "{filter}: {}",
            error.description()
        );
    }
}

#[test]
fn depth_and_length_are_bounded() {
    for deep in [
        "(".repeat(10_000),
        "NOT ".repeat(4_000),
        "-".repeat(10_000),
        "kind=(".repeat(3_000),
    ] {
        let error = Filter::parse(&deep, FIELDS).unwrap_err().to_string();
        assert!(
            error.contains("nested too deeply") || error.contains("expected"),
            "{error}"
        );
    }
    let nested = format!("{}kind=x{}", "(".repeat(31), ")".repeat(31));
    assert!(Filter::parse(&nested, FIELDS).is_ok());
    assert!(Filter::parse(&format!("({nested})"), FIELDS).is_err());
    let long = format!("kind=\"{}\"", "x".repeat(MAX_FILTER));
    assert!(
        Filter::parse(&long, FIELDS)
            .unwrap_err()
            .to_string()
            .contains("longer than 20000")
    );
    let wide = vec!["kind=x"; 1_800].join(" OR ");
    assert!(!matches(&wide));
}

#[test]
fn a_suffix_that_must_be_there_is_found() {
    let suffix = |filter: &str| {
        Filter::parse(filter, FIELDS)
            .unwrap()
            .required_suffix("resourceUri")
            .map(str::to_owned)
    };
    assert_eq!(
        suffix(r#"has_suffix(resourceUrl, "sha256:ab")"#).as_deref(),
        Some("sha256:ab")
    );
    assert_eq!(
        suffix(r#"kind=X AND resourceUrl="r@sha256:ab""#).as_deref(),
        Some("r@sha256:ab")
    );
    for filter in [
        "",
        r#"has_suffix(resourceUrl, "a") OR kind=X"#,
        r#"NOT has_suffix(resourceUrl, "a")"#,
        r#"resourceUrl != "a""#,
        r#"resourceUrl : "a""#,
        r#"has_prefix(resourceUrl, "a")"#,
    ] {
        assert_eq!(suffix(filter), None, "{filter}");
    }
}

fn word(text: &str, column: usize) -> Value {
    Value {
        text: text.to_owned(),
        raw: text.to_owned(),
        quoted: false,
        column,
    }
}

fn quoted(text: &str, column: usize) -> Value {
    Value {
        quoted: true,
        ..word(text, column)
    }
}

#[test]
fn the_syntax_alone_reads_more_than_one_api_needs() {
    let parsed = Expression::parse(r#"labels."a.b/c"=~"x" AND free text"#, Dialect::Aip).unwrap();
    let comparison = Term::Comparison {
        operand: Operand::Path(vec![word("labels", 0), quoted("a.b/c", 7)]).into(),
        operator: Operator::Matches,
        value: quoted("x", 16),
    };
    let expected = Expression::All(vec![
        Expression::Term(0, comparison),
        Expression::Term(24, Term::Bare(word("free", 24))),
        Expression::Term(29, Term::Bare(word("text", 29))),
    ]);
    assert_eq!(parsed, expected);
}

#[test]
fn logging_knows_comments_free_escapes_and_calls_in_calls() {
    let parsed = |text: &str| Expression::parse(text, Dialect::Logging).unwrap();
    let plain = parsed(r#"cast(regexp_extract(a.b,"\d\"\\"),INT64)>9"#);
    let commented = parsed("cast(regexp_extract(a.b,\"\\d\\\"\\\\\"),INT64)>9 -- ) OR \"");
    assert_eq!(plain, commented);
    let Expression::Term(0, Term::Comparison { operand, value, .. }) = plain else {
        panic!("{plain:?}");
    };
    assert_eq!(value, word("9", 41));
    let Operand::Call(cast) = operand.as_ref() else {
        panic!("{operand:?}");
    };
    let [Operand::Call(extract), kind] = cast.arguments.as_slice() else {
        panic!("{cast:?}");
    };
    assert_eq!(kind.value().unwrap().text, "INT64");
    let Some(Operand::Path(pattern)) = extract.arguments.last() else {
        panic!("{extract:?}");
    };
    let pattern = pattern.first().unwrap();
    assert_eq!(
        (pattern.text.as_str(), pattern.raw.as_str()),
        ("\\d\"\\", "\\d\"\\\\")
    );
    assert!(
        matches!(parsed("error (a OR b)"), Expression::All(parts) if parts.len() == 2),
        "a word and a group, no call"
    );
    let Expression::Any(values) = parsed("a=(2026-11-23T08:00:00Z OR x:y)") else {
        panic!("two values");
    };
    for (value, expected) in values
        .iter()
        .zip([word("2026-11-23T08:00:00Z", 3), word("x:y", 27)])
    {
        assert!(matches!(value, Expression::Term(_, Term::Comparison { value, .. }) if *value == expected));
    }
}

#[test]
fn aip_160_stays_strict() {
    for (filter, expected) in [
        ("kind=x -- more", "column 11: expected a comparison"),
        ("kind=\"\\d\"", "column 7: expected `\\\"`"),
        (
            "has_suffix(has_suffix(kind, \"a\"), \"b\")",
            "column 22: expected `)`",
        ),
        ("\"kind\"=x", "column 7: unexpected"),
        ("kind=(a:b)", "column 8: expected `)`"),
    ] {
        let error = Filter::parse(filter, FIELDS).expect_err(filter).description();
        assert!(error.starts_with(expected), "{filter}: {error}");
    }
}

#[test]
fn a_filter_of_more_lines_names_the_line() {
    let error = |filter: &str| Filter::parse(filter, FIELDS).unwrap_err().description();
    assert!(error("kind=x\n  color=1").starts_with("line 2, column 3: `color`"));
    assert!(error("kind=x &\n").starts_with("column 8: unexpected"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = Filter::parse(&text, FIELDS);
    }

    #[test]
    fn no_text_of_filter_signs_makes_the_parser_panic(text in "(kind|createTime|has_suffix|AND|OR|NOT|x|[ ()=!<>:~,\"'\\\\.-]){0,40}") {
        if let Ok(filter) = Filter::parse(&text, FIELDS) {
            let _ = filter.matches(&|_| String::new());
        }
    }

    /// Whatever text a person looks for can be written down.
    #[test]
    fn any_text_can_be_quoted(value in "\\PC{0,30}") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = Filter::parse(&format!("noteId=\"{quoted}\""), FIELDS).unwrap();
        prop_assert!(filter.matches(&|_| value.clone()));
    }
}
