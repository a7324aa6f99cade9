//! Passing over the lines that no filter can want, without reading them.
//!
//! Most lines say that something was admitted as it should be. What the entry of such a line looks like is known
//! beforehand, so each filter is asked once whether it could want one, and not at every line.

use std::collections::BTreeMap;

use binauthz_core::time::UnixTime;
use binauthz_wire::logging::{Demand, Entry, Node, Payload, Query, Severity, Truth, Veil};

use super::ACTIVITY;
use super::record::Kind;

/// What is looked for in the log.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    /// The projects somebody looks at, and whether a plain admission there may be wanted.
    projects: BTreeMap<String, bool>,
    /// One of these texts is in each entry of others that is wanted; nothing if any entry may be wanted.
    texts: Option<Vec<String>>,
}

impl Wants {
    /// What these filters of projects look for.
    pub(crate) fn new<'a>(filters: impl IntoIterator<Item = (&'a str, &'a Query)>) -> Wants {
        let mut projects = BTreeMap::new();
        let mut texts: Option<Vec<String>> = Some(Vec::new());
        for (project, filter) in filters {
            let may_be_plain = filter.test_partly(&plain(project)) != Truth::False;
            *projects.entry(project.to_owned()).or_default() |= may_be_plain;
            match (
                &mut texts,
                text_of(&filter.demand()).filter(|text| is_written(text)),
            ) {
                (Some(texts), Some(text)) if !texts.iter().any(|known| known == text) => {
                    texts.push(text.to_owned());
                }
                (Some(_), Some(_)) => {}
                _ => texts = None,
            }
        }
        Wants { projects, texts }
    }

    /// Whether anybody looks at the project.
    pub(crate) fn looks_at(&self, project: &str) -> bool {
        self.projects.contains_key(project)
    }

    /// Whether an entry of the line may be wanted. This is the check that spares the reading of a line, and never more
    /// than that: in doubt the line is read.
    pub(super) fn may_want(&self, kind: Kind, line: &[u8]) -> bool {
        if self.projects.is_empty() {
            return false;
        }
        match kind {
            Kind::Verdict => match cluster_project(line).map(|project| self.projects.get(project)) {
                Some(Some(may_be_plain)) => *may_be_plain || !is_plain(line),
                Some(None) => false,
                None => true,
            },
            Kind::Call => true,
            Kind::Entry => match &self.texts {
                Some(texts) if is_simple(line) => {
                    let line = line.to_ascii_lowercase();
                    texts.iter().any(|text| find(&line, text.as_bytes()).is_some())
                }
                _ => true,
            },
        }
    }
}

/// The longest text that is in every entry of which so much is demanded.
fn text_of<'q>(demand: &Demand<'q>) -> Option<&'q str> {
    match demand {
        Demand::Within(text) | Demand::Is(text) => Some(text),
        Demand::All(parts) => parts.iter().filter_map(text_of).max_by_key(|text| text.len()),
        Demand::Any(_) | Demand::Nothing => None,
    }
}

/// Whether the text, being in an entry, is in its line: not part of what is added when an entry is read.
fn is_written(text: &str) -> bool {
    const ADDED: [&str; 3] = ["insertid", "receivetimestamp", "timestamp"];
    let like_id_or_time = |byte: u8| byte.is_ascii_hexdigit() || b"-:.tz+".contains(&byte);
    text.is_ascii() && !text.bytes().all(like_id_or_time) && !ADDED.iter().any(|added| added.contains(text))
}

/// Whether the line says its texts as they are.
fn is_simple(line: &[u8]) -> bool {
    line.iter().all(|byte| byte.is_ascii() && *byte != b'\\')
}

fn find(line: &[u8], text: &[u8]) -> Option<usize> {
    line.windows(text.len().max(1)).position(|window| window == text)
}

/// The project of the cluster that a verdict is about.
fn cluster_project(line: &[u8]) -> Option<&str> {
    const CLUSTER: &[u8] = br#","cluster":"projects/"#;
    let rest = line.get(find(line, CLUSTER)? + CLUSTER.len()..)?;
    let end = rest.iter().position(|byte| *byte == b'/')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// Whether a verdict admitted what conforms, and no glass was broken. Within a text of a record every `"` has a `\`
/// before it, so no text can look like these members.
fn is_plain(line: &[u8]) -> bool {
    const ADMITTED: &[u8] = br#","verdict":"ALLOW","conforms":true"#;
    const REASON: &[u8] = br#","reason":""#;
    const EFFECTS: [&[u8]; 2] = [br#","effect":"ENFORCED""#, br#","effect":"DRY_RUN""#];
    let effect = || {
        let rest = line.get(find(line, ADMITTED)? + ADMITTED.len()..)?;
        // Earlier servers wrote the reason between the two.
        let Some(reason) = rest.strip_prefix(REASON) else {
            return Some(rest);
        };
        let end = reason.iter().position(|byte| *byte == b'"')?;
        reason.get(end + 1..)
    };
    effect().is_some_and(|rest| EFFECTS.iter().any(|effect| rest.starts_with(effect)))
}

/// What is known of the entry of a plain admission before its line is read.
fn plain(project: &str) -> Entry<'static> {
    let anything = || Node::from(Veil::anything());
    let object = || {
        let members = ["@type", "apiVersion", "kind", "metadata", "spec", "template"];
        Node::labels(members.map(|name| (name, anything())))
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
    let labels = Node::labels([
        ("project_id", Node::from(project.to_owned())),
        ("location", anything()),
        ("cluster_name", anything()),
    ]);
    let name = format!("projects/{project}/logs/{ACTIVITY}");
    Entry::new(name, Veil::text(), UnixTime::from_seconds(0))
        .undated()
        .severity(Severity::Notice)
        .resource("k8s_cluster", labels)
        .operation(Veil::text(), "k8s.io")
        .payload(Payload::Proto(payload))
}

#[cfg(test)]
mod tests {
    use super::super::record::glance;
    use super::super::{entries_of, record};
    use super::*;

    /// As this server writes it.
    fn line(verdict: &str, effect: &str, name: &str) -> Vec<u8> {
        format!(
            r#"{{"time":"2026-11-23T08:18:25.234686Z","verdict":{verdict},"effect":"{effect}","dryRun":false,"reason":"ATTESTED","id":"x","dialect":"AdmissionReview",{},"latencyMicros":120,"message":"","attestors":{{}},{}}}"#,
            about(name),
            images(verdict)
        )
        .into_bytes()
    }

    /// As earlier servers did.
    fn old_line(verdict: &str, effect: &str, name: &str) -> Vec<u8> {
        format!(
            r#"{{"time":"2026-11-23T08:18:25.234686Z","id":"x",{},"dryRun":false,"latencyMicros":120,"verdict":{verdict},"reason":"ATTESTED","effect":"{effect}","message":"","attestors":{{}},{}}}"#,
            about(name),
            images(verdict)
        )
        .into_bytes()
    }

    fn about(name: &str) -> String {
        format!(
            r#""cluster":"projects/p/locations/l/clusters/c","uid":"u","operation":"CREATE","group":"","version":"v1","kind":"Pod","subResource":"","namespace":"n","name":"{name}","user":"alice""#
        )
    }

    fn images(verdict: &str) -> String {
        let denied = verdict.starts_with("\"DENY\"");
        let code = if denied { "NO_ATTESTATIONS" } else { "ATTESTED" };
        format!(
            r#""images":[{{"field":"spec.containers[0]","image":"i@sha256:0","verdict":"ALLOW","reasons":[{{"code":"{code}","message":"m"}}]}}],"seq":7"#
        )
    }

    const ALLOW: &str = r#""ALLOW","conforms":true"#;
    const OVERRIDDEN: &str = r#""ALLOW","conforms":false"#;
    const DENY: &str = r#""DENY","conforms":false"#;

    fn wants(filters: &[&str]) -> Wants {
        let filters: Vec<Query> = filters.iter().map(|text| Query::parse(text).unwrap()).collect();
        Wants::new(filters.iter().map(|filter| ("p", filter)))
    }

    #[test]
    fn a_plain_admission_is_told_from_all_others() {
        for (verdict, effect, name, plain) in [
            (ALLOW, "ENFORCED", "web", true),
            (ALLOW, "DRY_RUN", "web", true),
            (ALLOW, "BREAK_GLASS", "web", false),
            (OVERRIDDEN, "DRY_RUN", "web", false),
            (OVERRIDDEN, "BREAK_GLASS", "web", false),
            (DENY, "ENFORCED", "web", false),
            // What somebody calls a Pod changes nothing.
            (
                DENY,
                "ENFORCED",
                r#"x\",\"verdict\":\"ALLOW\",\"conforms\":true,\"effect\":\"ENFORCED\""#,
                false,
            ),
        ] {
            for line in [line(verdict, effect, name), old_line(verdict, effect, name)] {
                assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
                assert_eq!(is_plain(&line), plain, "{verdict} {effect} {name}");
                assert_eq!(cluster_project(&line), Some("p"));
            }
        }
        assert!(!is_plain(b"{}"));
    }

    /// What is said of plain admissions beforehand holds for one that is read.
    #[test]
    fn what_no_filter_can_want_is_wanted_by_none() {
        let line = line(ALLOW, "ENFORCED", "web");
        let at = glance(&line).unwrap();
        for (text, passed_over) in [
            (
                "labels.\"imagepolicywebhook.image-policy.k8s.io/break-glass\"=\"true\"",
                true,
            ),
            ("protoPayload.response.status=\"Failure\"", true),
            (
                "protoPayload.response.status.message:\"denied by attestor\"",
                true,
            ),
            ("protoPayload.response.reason=\"VIOLATES_POLICY\"", true),
            ("severity>=WARNING", true),
            ("logName:\"other\"", true),
            ("jsonPayload.x=1", true),
            ("severity=NOTICE", false),
            ("protoPayload.request.metadata.name=\"web\"", false),
            ("protoPayload.request.metadata.name=\"other\"", false),
            ("protoPayload.authenticationInfo.principalEmail=\"alice\"", false),
            ("protoPayload.metadata.verdict=\"ALLOW\"", false),
            ("protoPayload.metadata.dryRun=true", false),
            ("protoPayload.response.spec.containers.image:\"i@\"", false),
            ("resource.labels.cluster_name=\"c\"", false),
            ("operation.producer=\"k8s.io\"", false),
            ("timestamp>\"2020-01-01\"", false),
            ("\"web\"", false),
            ("NOT severity>=WARNING", false),
        ] {
            let wants = wants(&[text]);
            assert_eq!(!wants.may_want(Kind::Verdict, &line), passed_over, "{text}");
            let query = Query::parse(text).unwrap();
            let wanted = entries_of(at, &line, &|project| wants.looks_at(project), |entry| {
                query.test(&entry).then_some(())
            });
            assert!(
                wanted.is_empty() || !passed_over,
                "{text} wants what was passed over"
            );
        }
    }

    #[test]
    fn lines_of_projects_that_nobody_looks_at_are_passed_over() {
        let wants = wants(&["severity>=WARNING"]);
        let denied = line(DENY, "ENFORCED", "web");
        assert!(wants.may_want(Kind::Verdict, &denied));
        let other = String::from_utf8(denied.clone()).unwrap();
        let other = other.replace("projects/p/", "projects/q/").into_bytes();
        assert!(!wants.may_want(Kind::Verdict, &other));
        assert!(
            wants.may_want(Kind::Verdict, b"{\"time\":\"\"}"),
            "in doubt it is read"
        );
        assert!(!Wants::new([]).may_want(Kind::Verdict, &denied));
        assert!(!Wants::new([]).may_want(Kind::Call, record::CALL));
    }

    #[test]
    fn entries_of_others_are_read_if_they_say_what_is_looked_for() {
        let may = |filters: &[&str], line: &str| wants(filters).may_want(Kind::Entry, line.as_bytes());
        let said = r#"{"log":"entry","time":"t","entry":{"textPayload":"Robot arm"},"seq":7}"#;
        assert!(may(&["textPayload:robot"], said));
        assert!(may(&["textPayload:robot", "textPayload:other"], said));
        assert!(!may(&["textPayload:other"], said));
        assert!(!may(&["textPayload:robots"], said));
        // No text, or one that may come from elsewhere.
        for text in [
            "severity>=ERROR",
            "\"beef\"",
            "insertId:7",
            "\"timestamp\"",
            "textPayload:rüst",
        ] {
            assert!(may(&[text], said), "{text}");
            assert!(may(&["textPayload:other", text], said), "{text}");
        }
        assert!(may(&["textPayload:other"], r#"{"textPayload":"\u006fther"}"#));
        assert!(may(&["textPayload:other"], r#"{"textPayload":"ﬀ"}"#));
    }
}
