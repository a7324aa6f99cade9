use binauthz_wire::logging::Query;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::entries_of;
use super::super::record::glance;
use super::*;

/// A record of a verdict as the server writes it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) verdict: Verdict,
    pub(crate) project: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) annotation: &'static str,
    pub(crate) images: Vec<(String, bool)>,
    pub(crate) seq: u32,
}

impl Record {
    pub(crate) fn line(&self) -> String {
        let Verdict {
            effect,
            denies,
            conforms,
            advice,
            dry_run,
            door,
        } = self.verdict;
        let text = |text: &str| json!(text).to_string();
        let door = match door {
            true => format!(r#","door":{}"#, json!({"own": {"annotation": self.annotation}})),
            false => String::new(),
        };
        let images: Vec<serde_json::Value> = self
            .images
            .iter()
            .enumerate()
            .map(|(index, (image, denied))| {
                let (verdict, code) = match denied {
                    true => ("DENY", "NO_ATTESTATIONS"),
                    false => ("ALLOW", "ALWAYS_ALLOW"),
                };
                json!({"field": format!("spec.containers[{index}]"), "image": image, "verdict": verdict,
                       "reasons": [{"code": code, "message": format!("Image {image} denied by attestor a")}]})
            })
            .collect();
        format!(
            r#"{{"time":"2026-11-23T08:18:{:02}.5Z","verdict":"{}","conforms":{conforms},"effect":"{}","dryRun":{dry_run}{},"reason":"NO_ATTESTATIONS","id":"01","dialect":"AdmissionReview","cluster":"projects/{}/locations/l/clusters/c","uid":"u","operation":"CREATE","group":"","version":"v1","kind":{},"subResource":"","namespace":{},"name":{},"user":{}{door},"latencyMicros":12,"message":{},"policy":{{"name":"projects/p/policy","etag":"e"}},"attestors":{{}},"images":{},"seq":{},"chain":"AAAA"}}"#,
            self.seq % 60,
            if denies { "DENY" } else { "ALLOW" },
            effect.code(),
            if advice { r#","advice":true"# } else { "" },
            self.project,
            text(self.kind),
            text(self.namespace),
            text(&self.name),
            text(&self.user),
            text(&format!("Image denied by attestor a for {}", self.name)),
            serde_json::Value::from(images),
            self.seq,
        )
    }
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    let verdict = (
        select(Effect::ALL.to_vec()),
        any::<(bool, bool, bool, bool, bool)>(),
    )
        .prop_map(|(effect, (denies, conforms, advice, dry_run, door))| Verdict {
            effect,
            denies,
            conforms,
            advice,
            dry_run,
            door,
        });
    let image = (
        select(vec![
            "r.test/a:latest",
            "r.test/app/b@sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d",
            "us-docker.pkg.dev/p/repo/Ｆｕｌｌ",
            "x\",\"dryRun\":true,\"verdict\":\"ALLOW",
        ]),
        any::<bool>(),
    );
    let images = prop::collection::vec(image.prop_map(|(image, denied)| (image.to_owned(), denied)), 0..3);
    let names = select(vec![
        "web",
        "web-7f9c5d-abcde",
        "",
        "x\",\"namespace\":\"other",
        "ſtraße",
        "a\\b\n",
    ]);
    let users = select(vec![
        "alice@example.com",
        "",
        "system:serviceaccount:ci:deploy",
        "\",\"door\":{",
    ]);
    (
        verdict,
        select(vec!["p", "demo"]),
        select(vec!["Pod", "Deployment", ""]),
        select(vec!["default", "payments", ""]),
        names,
        users,
        select(vec!["true", "", "INC-1 \"quoted\"", "false"]),
        images,
        any::<u32>(),
    )
        .prop_map(
            |(verdict, project, kind, namespace, name, user, annotation, images, seq)| Record {
                verdict,
                project,
                kind,
                namespace,
                name: name.to_owned(),
                user: user.to_owned(),
                annotation,
                images,
                seq,
            },
        )
}

/// A call of the API, or an entry that somebody wrote.
pub(crate) fn other_line() -> impl Strategy<Value = String> {
    let call = (
        select(vec![0, 3, 7, 13]),
        select(vec!["projects/p/policy", "v1/projects/demo/notes/n", "binauthz/v1/tokens"]),
    )
        .prop_map(|(code, resource)| {
            format!(
                r#"{{"log":"call","time":"2026-11-23T08:18:25Z","auditSequence":1,"principal":"token:ci","method":"binaryauthorization.UpdatePolicy","resource":"{resource}","code":{code},"requestId":"r","detail":{{"message":"m","code":0,"version":"v1"}},"seq":5,"chain":"AAAA"}}"#
            )
        });
    let written = (
        select(vec!["p", "demo"]),
        select(vec!["text", "json"]),
        select(vec!["ERROR", "NOTICE"]),
        select(vec!["k8s_cluster", "global"]),
        select(vec![
            "hello",
            "Payments are DENIED by attestor",
            "true",
            "ſtraße",
            "a\"b\n",
            "0000000000000009",
            "ALICE@example.com",
        ]),
    )
        .prop_map(|(project, payload, severity, resource, said)| {
            let mut entry = json!({"logName": format!("projects/{project}/logs/mine"), "severity": severity,
                "resource": {"type": resource}, "timestamp": "2026-11-23T08:00:00Z"});
            if payload == "text" {
                entry["textPayload"] = said.into();
            } else {
                entry["jsonPayload"] =
                    json!({"enforcementMode": "DRYRUN_AUDIT_LOG_ONLY", "x": 1, said: {"podName": said}});
            }
            format!(
                r#"{{"log":"entry","time":"2026-11-23T08:18:25Z","entry":{entry},"seq":9,"chain":"AAAA"}}"#
            )
        });
    prop_oneof![call, written]
}

const PATHS: &[&str] = &[
    "resource.type",
    "resource.labels.project_id",
    "resource.labels",
    "severity",
    "logName",
    "insertId",
    "timestamp",
    "operation.first",
    "labels",
    r#"labels."imagepolicywebhook.image-policy.k8s.io/break-glass""#,
    r#"labels."imagepolicywebhook.image-policy.k8s.io/dry-run""#,
    r#"labels."imagepolicywebhook.image-policy.k8s.io/advice""#,
    r#"labels."imagepolicywebhook.image-policy.k8s.io/overridden-verification-result""#,
    "protoPayload.serviceName",
    "protoPayload.methodName",
    "protoPayload.resourceName",
    "protoPayload.authenticationInfo",
    "protoPayload.authenticationInfo.principalEmail",
    "protoPayload.authorizationInfo.granted",
    "protoPayload.authorizationInfo.permission",
    "protoPayload.requestMetadata.callerSuppliedUserAgent",
    "protoPayload.request",
    "protoPayload.request.kind",
    "protoPayload.request.metadata",
    "protoPayload.request.metadata.name",
    "protoPayload.request.metadata.namespace",
    "protoPayload.request.metadata.annotations",
    r#"protoPayload.request.metadata.annotations."alpha.image-policy.k8s.io/break-glass""#,
    "protoPayload.request.spec.containers.image",
    "protoPayload.request.template",
    "protoPayload.response",
    "protoPayload.response.status",
    "protoPayload.response.status.message",
    "protoPayload.response.message",
    "protoPayload.response.reason",
    "protoPayload.response.code",
    "protoPayload.response.metadata.name",
    "protoPayload.status",
    "protoPayload.status.code",
    "protoPayload.status.message",
    "protoPayload.metadata.verdict",
    "protoPayload.metadata.conforms",
    "protoPayload.metadata.effect",
    "protoPayload.metadata.reason",
    "protoPayload.metadata.justification",
    "protoPayload.metadata.dryRun",
    "protoPayload.metadata.advice",
    "protoPayload.metadata.code",
    "jsonPayload",
    "jsonPayload.enforcementMode",
    "jsonPayload.imageName",
    "jsonPayload.podName",
    "jsonPayload.podNamespace",
    "jsonPayload.principal",
    "jsonPayload.result",
    "jsonPayload.x",
    "textPayload",
];
const VALUES: &[&str] = &[
    r#""k8s_cluster""#,
    r#""audited_resource""#,
    r#""""#,
    r#""true""#,
    "true",
    "false",
    "ERROR",
    "WARNING",
    "NOTICE",
    "7",
    r#""DENY""#,
    r#""ALLOW""#,
    r#""BREAK_GLASS""#,
    r#""DRYRUN_AUDIT_LOG_ONLY""#,
    r#""denied by attestor""#,
    r#""Failure""#,
    r#""payments""#,
    r#""namespaces/payments/""#,
    r#""default""#,
    r#""web""#,
    r#""r.test/app/b""#,
    r#""sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d""#,
    r#""sha256:ebb4fc0a57d010f1a983b74238""#,
    r#""us-docker.pkg.dev/p/repo/full""#,
    r#""strasse""#,
    r#""alice@example.com""#,
    r#""alice""#,
    r#""system:serviceaccount:ci:deploy""#,
    r#""projects/p/logs/binaryauthorization.googleapis.com%2Fpolicy""#,
    r#""activity""#,
    r#""io.k8s.core.v1.pods.create""#,
    r#""core/v1/namespaces/payments/pods/web""#,
    r#""pods""#,
    r#""0000000000000005""#,
    r#""2026-11-23T08:18:25Z""#,
    "NULL_VALUE",
    "nowhere",
];
const CALLS: &[&str] = &[
    r#"log_id("cloudaudit.googleapis.com/activity")"#,
    r#"source(projects/p)"#,
    r#"SEARCH("denied attestor")"#,
    r#"SEARCH(protoPayload.response, "failure")"#,
    r#"sample(insertId, 0.5)"#,
    r#"cast(protoPayload.metadata.conforms, STRING)="true""#,
];

pub(crate) fn filter() -> impl Strategy<Value = String> {
    let operators = vec!["=", "!=", ":", "=~", "!~", ">=", "<"];
    let comparison = (select(PATHS), select(operators), select(VALUES))
        .prop_map(|(path, operator, value)| format!("{path}{operator}{value}"));
    let leaf = prop_oneof![
        8 => comparison,
        2 => select(PATHS).prop_map(|path| format!("{path}:*")),
        2 => select(VALUES).prop_map(str::to_owned),
        1 => select(CALLS).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts().prop_map(|parts| format!("({})", parts.join(" AND "))),
            parts().prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.clone().prop_map(|part| format!("NOT ({part})")),
        ]
    })
}

/// How many entries of the line the query wants.
pub(crate) fn wanted_entries(line: &str, query: &Query) -> usize {
    wanted_in(line, query, &|_| true)
}

/// How many of those in some projects.
pub(crate) fn wanted_in(line: &str, query: &Query, is_its: &dyn Fn(&str) -> bool) -> usize {
    let Some(seen) = glance(line.as_bytes()) else {
        return 0;
    };
    entries_of(seen, line.as_bytes(), is_its, |entry| {
        query.test(&entry).then_some(())
    })
    .len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_line_that_is_wanted_has_a_shape_that_can_be(
        record in record(), other in other_line(), text in filter(),
    ) {
        let Ok(query) = Query::parse(&text) else {
            // Not every comparison makes sense.
            return Ok(());
        };
        let wanted = Shapes::wanted_by(&query);
        for line in [record.line(), other] {
            if wanted_entries(&line, &query) > 0
                && let Some(shape) = Shape::of(line.as_bytes())
            {
                prop_assert!(wanted.contains(shape), "{} wants {} of {:?}", text, line, shape.form());
            }
        }
    }

    #[test]
    fn a_shape_is_what_the_record_says(record in record()) {
        let line = record.line();
        let expected =
            (!record.namespace.is_empty()).then_some((Form::Verdict(record.verdict), Some(record.project)));
        let found = Shape::with_project(line.as_bytes()).map(|(shape, project)| (shape.form(), project));
        prop_assert_eq!(found, expected, "{}", line);
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200), record in record(), cut in 0_usize..900) {
        let _ = Shape::of(&bytes);
        let line = record.line();
        let _ = Shape::of(line.as_bytes().get(..cut).unwrap_or_default());
    }
}

#[test]
fn every_shape_is_the_shape_of_its_form() {
    let mut all = Shapes::default();
    for shape in Shape::all() {
        assert_eq!(Shape::from(shape.form()), shape);
        assert!(!all.contains(shape));
        all.insert(shape);
    }
    assert_eq!(all.to_bits().count_ones(), u32::from(Shape::COUNT));
    assert_eq!(Shapes::from_bits(all.to_bits()), all);
}

#[test]
fn what_the_log_says_of_itself_has_no_shape() {
    for line in [
        "",
        r#"{"log":"segment","segment":1}"#,
        r#"{"log":"checkpoint","note":"x"}"#,
        r#"{"time":"2026-11-23T08:18:25Z","n":1}"#,
        r#"{"time":"2026-11-23T08:18:25Z","namespace":"a","dryRun":false,"latencyMicros":1,"verdict":"MAYBE""#,
    ] {
        assert_eq!(Shape::of(line.as_bytes()), None, "{line}");
    }
}

/// Of the shapes, those that the tutorial's filters leave to be read.
#[test]
fn the_tutorials_filters_leave_most_shapes_unread() {
    let break_glass = r#"resource.type="k8s_cluster" protoPayload.request.metadata.annotations."alpha.image-policy.k8s.io/break-glass" != """#;
    let denied = r#"resource.type="k8s_cluster" protoPayload.response.status.message:"denied by attestor""#;
    let dry_run = r#"resource.type="k8s_cluster" AND jsonPayload.enforcementMode="DRYRUN_AUDIT_LOG_ONLY""#;
    let verdict = |form: Form| match form {
        Form::Verdict(verdict) => Some(verdict),
        _ => None,
    };
    type Wants = fn(Verdict) -> bool;
    let table: [(&str, Wants); 3] = [
        (break_glass, |verdict| verdict.door),
        (denied, Verdict::is_denial),
        (dry_run, |verdict| {
            verdict.effect == Effect::DryRun && verdict.is_overridden()
        }),
    ];
    for (text, wants) in table {
        let query = Query::parse(text).unwrap();
        let wanted = Shapes::wanted_by(&query);
        for shape in Shape::all() {
            let form = shape.form();
            let expected = form == Form::Written || verdict(form).is_some_and(wants);
            assert_eq!(wanted.contains(shape), expected, "{text} {form:?}");
        }
    }
    // What has nothing against it may have no labels.
    let unlabelled = Query::parse("NOT (labels:*)").unwrap();
    let wanted = Shapes::wanted_by(&unlabelled);
    assert!(wanted.contains(Shape(0)) && !wanted.contains(Shape(2 * FLAGS)));
    assert!(wanted.meets(Shapes::ALL) && !wanted.meets(Shapes::default()));
    let mut more = Shapes::default();
    more.add(wanted);
    assert_eq!(more, wanted);
}
