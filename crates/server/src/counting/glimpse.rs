//! Whether a line is worth reading: most are about what was let through as it should be, and most metrics are about
//! something else.

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Entry, Node, Payload, Query, Severity, Truth, Veil};

use crate::logs::Kind;

/// What is known of a line's entries without reading it; nothing where a look tells nothing.
#[derive(Debug)]
pub(super) struct Glimpse(Option<Entry<'static>>);

impl Glimpse {
    /// Looks at a line for the two marks that a verdict has where nothing speaks against it. Within a text its quotes
    /// would be escaped, so neither mark can be made up by what a user wrote.
    pub(super) fn of(kind: Kind, time: UnixTime, line: &[u8]) -> Glimpse {
        let has = |mark: &[u8]| line.windows(mark.len()).any(|part| part == mark);
        let passed = kind == Kind::Verdict && has(br#""conforms":true"#) && !has(br#""verdict":"DENY""#);
        Glimpse(passed.then(|| passed_entry(time)))
    }

    /// Whether one of its entries may be wanted.
    pub(super) fn may_be_wanted(&self, filter: &Query) -> bool {
        match &self.0 {
            Some(entry) => filter.test_partly(entry) != Truth::False,
            None => true,
        }
    }
}

/// The one entry of a verdict that let something through as it should be, without what only the line says.
fn passed_entry(time: UnixTime) -> Entry<'static> {
    let anything = || Node::from(Veil::anything());
    let object = || {
        Node::labels([
            ("@type", Node::from(Veil::text())),
            ("apiVersion", Veil::text().into()),
            ("kind", Veil::text().into()),
            ("metadata", anything()),
            ("spec", anything()),
            ("template", anything()),
        ])
    };
    let payload = Node::labels([
        (
            "@type",
            Node::from("type.googleapis.com/google.cloud.audit.AuditLog"),
        ),
        ("serviceName", "k8s.io".into()),
        ("methodName", Veil::text().into()),
        ("resourceName", Veil::text().into()),
        ("authenticationInfo", anything()),
        ("authorizationInfo", anything()),
        ("request", object()),
        ("response", object()),
        ("metadata", anything()),
    ]);
    Entry::new(Veil::text(), Veil::text(), time)
        .severity(Severity::Notice)
        .resource("k8s_cluster", anything())
        .labels(anything())
        .operation(Veil::text(), "k8s.io")
        .payload(Payload::Proto(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str = r#"{"time":"2026-11-23T08:18:25Z","verdict":"ALLOW","conforms":true,"images":[]}"#;

    fn wanted(line: &str, filter: &str) -> bool {
        let filter = Query::parse(filter).unwrap();
        Glimpse::of(Kind::Verdict, UnixTime::from_seconds(0), line.as_bytes()).may_be_wanted(&filter)
    }

    #[test]
    fn what_passed_is_left_unread_by_metrics_on_what_did_not() {
        for filter in [
            r#"resource.type="k8s_cluster" protoPayload.response.status.message:"denied by attestor""#,
            r#"protoPayload.response.reason="VIOLATES_POLICY""#,
            "severity>=WARNING",
            r#"resource.type="audited_resource""#,
            "protoPayload.status.code>0",
            "jsonPayload.result=DENY",
        ] {
            assert!(!wanted(PASSED, filter), "{filter}");
        }
        for filter in [
            r#"resource.type="k8s_cluster""#,
            "severity<=NOTICE",
            "",
            r#"protoPayload.request.metadata.name="x""#,
            r#"labels."a/b"="true""#,
            "protoPayload.metadata.reason=ATTESTED",
            r#"resource.labels.location="x""#,
            "timestamp<\"2027-01-01T00:00:00Z\"",
        ] {
            assert!(wanted(PASSED, filter), "{filter}");
        }
    }

    #[test]
    fn what_did_not_pass_is_read() {
        let denied = PASSED.replace("ALLOW", "DENY");
        let overridden = PASSED.replace("true", "false");
        // An image was denied, whatever became of the whole.
        let image = PASSED.replace("[]", r#"[{"verdict":"DENY"}]"#);
        for line in [denied, overridden, image] {
            assert!(wanted(&line, "severity>=WARNING"), "{line}");
        }
        // What looks like a mark within a text is none.
        let text = PASSED.replace("[]", r#"[{"image":"\"verdict\":\"DENY\""}]"#);
        assert!(!wanted(&text, "severity>=WARNING"));
    }
}
