use binauthz_core::time::UnixTime;

use super::*;

/// A denied Pod as an index may know it: the message and the object are not at hand.
fn shape() -> Entry<'static> {
    let message = Veil::text()
        .containing(" denied by attestor ")
        .containing("denied the request: Image ");
    let response = Node::labels([
        ("status", Node::from("Failure")),
        ("reason", "VIOLATES_POLICY".into()),
        ("message", message.into()),
        ("details", Veil::anything().into()),
    ]);
    let payload = Node::labels([
        (
            "@type",
            Node::from("type.googleapis.com/google.cloud.audit.AuditLog"),
        ),
        ("methodName", "io.k8s.core.v1.pods.create".into()),
        ("resourceName", Veil::plain_text().into()),
        ("request", Veil::anything().into()),
        ("response", response),
    ]);
    Entry::new(
        "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
        "1",
        UnixTime::from_seconds(1_795_420_800),
    )
    .severity(Severity::Error)
    .resource("k8s_cluster", Node::labels([("location", "us-central1-a")]))
    .payload(Payload::Proto(payload))
}

#[test]
fn what_is_known_settles_what_it_can() {
    use Truth::{False, True, Unknown};
    for (text, expected) in [
        (
            r#"resource.type="k8s_cluster" protoPayload.response.status.message:"denied by attestor""#,
            True,
        ),
        (r#"protoPayload.response.message:"robot""#, Unknown),
        (r#"protoPayload.response.message="robot""#, False),
        (r#"protoPayload.response.message!="robot""#, True),
        (r#"protoPayload.response.message:*"#, True),
        (r#"protoPayload.response.message=~"robot""#, Unknown),
        (r#"protoPayload.response.message=NULL_VALUE"#, False),
        (r#"protoPayload.response.message.x:*"#, False),
        (r#"protoPayload.resourceName:"a b""#, False),
        (r#"protoPayload.resourceName:"ab""#, Unknown),
        (r#"protoPayload.resourceName="ab""#, Unknown),
        (r#"protoPayload.resourceName!="ab""#, Unknown),
        (r#"protoPayload.resourceName!="a b""#, True),
        (r#"protoPayload.request.metadata.name=x"#, Unknown),
        (r#"protoPayload.request:*"#, Unknown),
        (
            r#"severity=ERROR AND protoPayload.request.metadata.name=x"#,
            Unknown,
        ),
        (r#"severity=INFO AND protoPayload.request.metadata.name=x"#, False),
        (r#"severity=ERROR OR protoPayload.request.metadata.name=x"#, True),
        (r#"NOT protoPayload.request.metadata.name=x"#, Unknown),
        (r#""denied by attestor""#, True),
        (r#""robot""#, Unknown),
        // A key whose value may be nothing may not be there.
        (r#""details""#, Unknown),
        (r#""message""#, True),
        (r#"SEARCH("failure")"#, True),
        (r#"SEARCH("robot")"#, Unknown),
        (r#"SEARCH(protoPayload.request.metadata.name,"robot")"#, Unknown),
        (r#"SEARCH(protoPayload.response.reason,"robot")"#, False),
        (r#"log_id("mylog")"#, False),
        (r#"sample(protoPayload.response.message,0.5)"#, Unknown),
        (r#"cast(protoPayload.response.message,INT64)=1"#, Unknown),
    ] {
        let query = query(text);
        assert_eq!(query.test_partly(&shape()), expected, "{text}");
        assert_eq!(query.test(&shape()), expected == True, "{text}");
    }
}

#[test]
fn without_a_date_no_question_of_time_is_settled() {
    let undated = Entry::veiled("projects/demo/logs/x").severity(Severity::Error);
    for text in [
        "timestamp>=\"2020-01-01\"",
        "NOT timestamp>\"2020-01-01\"",
        "receiveTimestamp<\"2020-01-01\"",
    ] {
        assert_eq!(query(text).test_partly(&undated), Truth::Unknown, "{text}");
        assert_ne!(query(text).test_partly(&shape()), Truth::Unknown, "{text}");
    }
    assert_eq!(query("severity=ERROR").test_partly(&undated), Truth::True);
}

/// A letter at the end of a fragment may be half of another one.
#[test]
fn the_end_of_a_fragment_is_not_taken_for_granted() {
    let with = |veil: Veil<'static>| {
        Entry::new("projects/demo/logs/x", "1", UnixTime::from_seconds(0)).payload(Payload::Text(veil.into()))
    };
    let query = query("textPayload:cafe");
    let text = |text: &'static str| {
        Entry::new("projects/demo/logs/x", "1", UnixTime::from_seconds(0)).payload(Payload::Text(text.into()))
    };
    assert!(!query.test(&text("cafe\u{301}")), "that is another letter");
    assert_eq!(
        query.test_partly(&with(Veil::text().containing("cafe"))),
        Truth::Unknown
    );
    assert_eq!(
        query.test_partly(&with(Veil::text().containing("cafe "))),
        Truth::True
    );
    assert_eq!(
        query.test_partly(&with(Veil::plain_text().containing("Cafe"))),
        Truth::True
    );
}
