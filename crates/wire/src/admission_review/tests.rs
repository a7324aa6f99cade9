use std::sync::Arc;

use binauthz_core::decide::{decide, plan, refuse};
use binauthz_core::decision::Reason;
use binauthz_core::evidence::Answers;
use binauthz_core::policy::{
    AdmissionRule, Enforcement, Evaluation, Policy, PolicyLabel, Rule, Snapshot, Standing, SystemPolicy,
};
use binauthz_core::time::UnixTime;
use binauthz_core::workload::{BreakGlass, Request as Asked, RequestedImage, Subject};
use proptest::prelude::*;
use serde_json::json;

use super::*;

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/fixtures/kubernetes/", $name, ".json")).as_slice()
    };
}

const POD_UPDATE: &[u8] = recorded!("v1.36.2-admissionreview-pod-update-image");

/// Every image of a review with where it stands, or the reason there are none.
fn images(body: &[u8]) -> Result<Vec<String>, String> {
    match read(body)
        .map_err(|error| error.to_string())?
        .into_matter()
        .map_err(|error| error.to_string())?
    {
        Matter::Deletion => Ok(Vec::new()),
        Matter::NoImage => Err("a known kind names images".to_owned()),
        Matter::Judge { workload, .. } => Ok(workload
            .images()
            .iter()
            .map(|image| format!("{} {}", image.location(), image.image()))
            .collect()),
    }
}

/// A review around an object, as text so that tests can be as wrong as they like.
fn review(kind: &str, operation: &str, object: &str) -> String {
    let (version, kind) = kind.rsplit_once(' ').unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u1","kind":{{"group":"{group}","version":"{version}","kind":"{kind}"}},"namespace":"prod","operation":"{operation}","object":{object}}}}}"#
    )
}

fn pod(spec: &str) -> String {
    review("v1 Pod", "CREATE", &format!(r#"{{"spec":{spec}}}"#))
}

#[test]
fn what_a_real_api_server_sends_is_understood() {
    let table: &[(&[u8], &[&str])] = &[
        (
            recorded!("v1.36.2-admissionreview-pod-create"),
            &["spec.containers[0] registry.example.com/app:1.0"],
        ),
        (
            recorded!("v1.36.2-admissionreview-pod-create-initcontainer-digest"),
            &[
                "spec.containers[0] registry.example.com/app@sha256:0000000000000000000000000000000000000000000000000000000000000007",
                "spec.initContainers[0] busybox",
            ],
        ),
        (
            recorded!("v1.36.2-admissionreview-deployment-create"),
            &["spec.template.spec.containers[0] registry.example.com/app:1.0"],
        ),
        (
            recorded!("v1.36.2-admissionreview-deployment-update-image"),
            &["spec.template.spec.containers[0] nginx:latest"],
        ),
        (
            recorded!("v1.36.2-admissionreview-job-create"),
            &["spec.template.spec.containers[0] registry.example.com/app:1.0"],
        ),
        (
            recorded!("v1.36.2-admissionreview-cronjob-create"),
            &["spec.jobTemplate.spec.template.spec.containers[0] nginx"],
        ),
        (
            recorded!("v1.36.2-admissionreview-pod-update-image"),
            &["spec.containers[0] registry.example.com/app:2.0"],
        ),
        (
            recorded!("v1.36.2-admissionreview-pod-ephemeralcontainers-update"),
            &[
                "spec.containers[0] registry.example.com/app:2.0",
                "spec.ephemeralContainers[0] registry.example.com/dbg:1.0",
            ],
        ),
        (recorded!("v1.36.2-admissionreview-pod-delete"), &[]),
    ];
    for (body, expected) in table {
        assert_eq!(images(body).unwrap(), *expected);
    }
}

#[test]
fn who_and_where_come_from_the_request() {
    let asked = read(recorded!(
        "v1.36.2-admissionreview-pod-create-by-replicaset-controller"
    ))
    .unwrap();
    assert_eq!(
        asked.username(),
        "system:serviceaccount:kube-system:replicaset-controller"
    );
    assert!(asked.groups().any(|group| group == "system:serviceaccounts"));
    assert_eq!(
        (asked.operation(), asked.namespace(), asked.dry_run()),
        ("CREATE", "team-c", false)
    );
    assert!(
        read(recorded!("v1.36.2-admissionreview-pod-create-dryrun"))
            .unwrap()
            .dry_run()
    );
    let asked = read(recorded!(
        "v1.36.2-admissionreview-pod-ephemeralcontainers-update"
    ))
    .unwrap();
    assert_eq!(
        (asked.sub_resource(), asked.name()),
        ("ephemeralcontainers", "ok")
    );

    // AD-13: an object cannot move itself into another namespace.
    let elsewhere = review(
        "v1 Pod",
        "CREATE",
        r#"{"metadata":{"namespace":"exempt"},"spec":{"containers":[{"image":"i"}]}}"#,
    );
    assert_eq!(read(elsewhere.as_bytes()).unwrap().namespace(), "prod");
}

#[test]
fn every_list_of_a_pod_spec_counts() {
    // AD-01, AD-02, AD-03, AD-17: one unsigned image at each position of each list is seen there.
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    for list in lists {
        for position in 0..3 {
            let items: Vec<String> = (0..3)
                .map(|index| {
                    format!(
                        r#"{{"name":"c{index}","image":"{}"}}"#,
                        if index == position { "U" } else { "S" }
                    )
                })
                .collect();
            let body = pod(&format!(r#"{{"{list}":[{}]}}"#, items.join(",")));
            let found = images(body.as_bytes()).unwrap();
            assert_eq!(found.len(), 3);
            assert_eq!(found[position], format!("spec.{list}[{position}] U"));
        }
    }
    let body = pod(
        r#"{"containers":[{"image":"S"}],"volumes":[{"name":"a","emptyDir":{}},{"name":"v","image":{"reference":"U"}}]}"#,
    );
    assert_eq!(
        images(body.as_bytes()).unwrap(),
        ["spec.containers[0] S", "spec.volumes[1].image.reference U"]
    );
    // An image volume or a container without a reference is still there to be refused.
    let body = pod(r#"{"containers":[{"name":"c"}],"volumes":[{"name":"v","image":{}}]}"#);
    assert_eq!(
        images(body.as_bytes()).unwrap(),
        ["spec.containers[0] ", "spec.volumes[0].image.reference "]
    );
}

#[test]
fn every_kind_of_decision_13_is_read_and_no_other() {
    let template = r#"{"spec":{"template":{"spec":{"containers":[{"image":"U"}]}}}}"#;
    let known = [
        "v1 ReplicationController",
        "apps/v1 Deployment",
        "apps/v1 ReplicaSet",
        "apps/v1 StatefulSet",
        "apps/v1 DaemonSet",
        "apps/v1beta1 Deployment",
        "apps/v1beta2 StatefulSet",
        "extensions/v1beta1 DaemonSet",
        "batch/v1 Job",
    ];
    for kind in known {
        let found = images(review(kind, "CREATE", template).as_bytes()).unwrap();
        assert_eq!(found, ["spec.template.spec.containers[0] U"], "{kind}");
    }
    let pod_template = r#"{"template":{"spec":{"containers":[{"image":"U"}]}}}"#;
    assert_eq!(
        images(review("v1 PodTemplate", "CREATE", pod_template).as_bytes()).unwrap(),
        ["template.spec.containers[0] U"]
    );
    for version in ["v1", "v1beta1"] {
        let job = r#"{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"image":"U"}]}}}}}}"#;
        let found = images(review(&format!("batch/{version} CronJob"), "CREATE", job).as_bytes()).unwrap();
        assert_eq!(found, ["spec.jobTemplate.spec.template.spec.containers[0] U"]);
    }
    // AD-04: a kind that is not in the table is an error, whatever it looks like.
    for kind in [
        "evil/v9 Foo",
        "evil/v1 Deployment",
        "v1 Deployment",
        "apps/v1 Pod",
        "apps/v1 deployment",
        "v1 ConfigMap",
    ] {
        let error = images(review(kind, "CREATE", template).as_bytes()).unwrap_err();
        assert!(error.contains("is not known to carry images"), "{kind}: {error}");
    }
    for kind in ["v9 Pod", "batch/v9 Job"] {
        let error = images(review(kind, "CREATE", template).as_bytes()).unwrap_err();
        assert!(
            error.contains("is of a version that is not known"),
            "{kind}: {error}"
        );
    }
}

#[test]
fn nothing_to_judge_is_an_error_where_something_must_be() {
    // AD-09, AD-10: null, empty objects, empty lists, and the wrong place for a pod spec.
    let objects = [
        ("v1 Pod", "null"),
        ("v1 Pod", "{}"),
        ("v1 Pod", r#"{"spec":null}"#),
        ("v1 Pod", r#"{"spec":{}}"#),
        ("v1 Pod", r#"{"spec":{"containers":[]}}"#),
        ("v1 Pod", r#"{"spec":{"containers":null}}"#),
        ("v1 Pod", r#"{"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}"#),
        (
            "v1 Pod",
            r#"{"spec":{"template":{"spec":{"containers":[{"image":"S"}]}}}}"#,
        ),
        ("apps/v1 Deployment", r#"{"spec":{"containers":[{"image":"S"}]}}"#),
        ("apps/v1 Deployment", r#"{"spec":{"template":{}}}"#),
        (
            "batch/v1 CronJob",
            r#"{"spec":{"template":{"spec":{"containers":[{"image":"S"}]}}}}"#,
        ),
        (
            "v1 Pod",
            r#"{"kind":"ConfigMap","apiVersion":"v1","spec":{"containers":[{"image":"S"}]}}"#,
        ),
        (
            "v1 Pod",
            r#"{"kind":"Pod","apiVersion":"v2","spec":{"containers":[{"image":"S"}]}}"#,
        ),
    ];
    for (kind, object) in objects {
        for operation in ["CREATE", "UPDATE", "CONNECT", "", "delete"] {
            assert!(
                images(review(kind, operation, object).as_bytes()).is_err(),
                "{operation} {object}"
            );
        }
    }
    let many: Vec<&str> = vec![r#"{"image":"S"}"#; workload::MAX_IMAGES + 1];
    assert!(images(pod(&format!(r#"{{"containers":[{}]}}"#, many.join(","))).as_bytes()).is_err());
}

#[test]
fn nothing_inside_the_object_excuses_it() {
    // AD-05, AD-06, AD-07, AD-12: owners, annotations of other verifiers, deletion, mirror Pods.
    let metadata = [
        r#"{"ownerReferences":[]}"#,
        r#"{"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"x","controller":true}]}"#,
        r#"{"annotations":{"kyverno.io/verify-images":"{\"U\":\"pass\"}"}}"#,
        r#"{"deletionTimestamp":"2026-11-23T00:00:00Z"}"#,
        r#"{"annotations":{"kubernetes.io/config.mirror":"abc"}}"#,
    ];
    for metadata in metadata {
        let object = format!(r#"{{"metadata":{metadata},"spec":{{"containers":[{{"image":"U"}}]}}}}"#);
        assert_eq!(
            images(review("v1 Pod", "CREATE", &object).as_bytes()).unwrap(),
            ["spec.containers[0] U"]
        );
    }
}

#[test]
fn a_body_with_two_readings_is_refused() {
    // AD-18, PA-08, DO-09.
    let good = pod(r#"{"containers":[{"image":"S"}]}"#);
    let deep = format!(r#"{{"x":{}}}"#, "[".repeat(200_000));
    let closed = format!(
        r#"{{"x":{}{},"containers":[{{"image":"S"}}]}}"#,
        "[".repeat(130),
        "]".repeat(130)
    );
    let many_keys: Vec<String> = (0..40).map(|index| format!(r#""k{index}":1"#)).collect();
    let spec = [
        r#"{"containers":[{"image":"S","image":"U"}]}"#.to_owned(),
        r#"{"containers":[{"image":"S","\u0069mage":"U"}]}"#.to_owned(),
        r#"{"containers":[{"image":"S"}],"containers":[{"image":"U"}]}"#.to_owned(),
        r#"{"containers":[{"image":"S"}],"other":{"deep":[{"a":1,"a":2}]}}"#.to_owned(),
        r#"{"containers":[{"image":"S","env":[{"name":"x","name":"y"}]}]}"#.to_owned(),
        format!(
            r#"{{"containers":[{{"image":"S"}}],"x":{{{},"k39":2}}}}"#,
            many_keys.join(",")
        ),
        r#"{"containers":[{"image":"\ud800"}]}"#.to_owned(),
        r#"{"containers":[{"image":"S"}],"x":"\udfff"}"#.to_owned(),
        r#"{"containers":[{"image":5}]}"#.to_owned(),
        r#"{"containers":{"image":"S"}}"#.to_owned(),
        r#"{"containers":[{"image":"S"}],"x":NaN}"#.to_owned(),
        r#"{"containers":[{"image":"S"}],"x":1e999}"#.to_owned(),
        deep,
        closed,
    ];
    for spec in &spec {
        assert!(
            read(pod(spec).as_bytes()).is_err(),
            "{}",
            spec.get(..100).unwrap_or(spec)
        );
    }
    let raw: &[&[u8]] = &[
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xef\xbb\xbf{}",
        b"\xff",
        &[good.as_bytes(), b"{}"].concat(),
        &[good.as_bytes(), b"x"].concat(),
    ];
    for body in raw {
        assert!(
            matches!(
                read(body),
                Err(InvalidReview::Malformed(_)) | Err(InvalidReview::OtherKind { .. })
            ),
            "{body:?}"
        );
    }
    assert!(read(good.as_bytes()).is_ok());
    assert!(read(format!("{good}\n").as_bytes()).is_ok());
    // A key in other letters is another key: the image is U.
    let body = pod(r#"{"containers":[{"Image":"S","image":"U"}],"Containers":[{"image":"S"}]}"#);
    assert_eq!(images(body.as_bytes()).unwrap(), ["spec.containers[0] U"]);
    // Escapes are read like any text.
    let body = pod(r#"{"containers":[{"image":"\u0055"}]}"#);
    assert_eq!(images(body.as_bytes()).unwrap(), ["spec.containers[0] U"]);
}

#[test]
fn lists_are_bounded_while_they_are_read() {
    let long = vec!["{}"; 100_000].join(",");
    let error = read(pod(&format!(r#"{{"containers":[{long}]}}"#)).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn a_body_that_is_no_question_is_refused() {
    let table = [
        (
            r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"u"}}"#,
            "expected `admission.k8s.io/v1`",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"ImageReview","request":{"uid":"u"}}"#,
            "got `admission.k8s.io/v1` `ImageReview`",
        ),
        ("{}", "got `` ``"),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#,
            "no `request`",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}"#,
            "no `request`",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":""}}"#,
            "no `uid`",
        ),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}"#,
            "no `uid`",
        ),
    ];
    for (body, expected) in table {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn old_and_new(body: &[u8]) -> (Workload<'_>, Option<Workload<'_>>) {
    match read(body).unwrap().into_matter().unwrap() {
        Matter::Judge { workload, old } => (workload, old),
        Matter::Deletion | Matter::NoImage => panic!("expected something to judge"),
    }
}

#[test]
fn an_update_is_compared_with_what_was_there() {
    // AD-08, AD-15.
    let (new, old) = old_and_new(POD_UPDATE);
    assert!(!new.adds_nothing_to(&old.unwrap()));
    let (new, old) = old_and_new(recorded!("v1.36.2-admissionreview-pod-update-label"));
    assert!(new.adds_nothing_to(&old.unwrap()));
    let (new, old) = old_and_new(recorded!(
        "v1.36.2-admissionreview-pod-ephemeralcontainers-update"
    ));
    assert!(!new.adds_nothing_to(&old.unwrap()));
}

#[test]
fn the_old_object_can_only_narrow() {
    let update = |object: &str, old: &str| {
        review("v1 Pod", "UPDATE", object).replace("\"object\":", &format!("\"oldObject\":{old},\"object\":"))
    };
    let with = |image: &str| format!(r#"{{"spec":{{"containers":[{{"name":"c","image":"{image}"}}]}}}}"#);
    for unreadable in [
        "null",
        "{}",
        r#"{"kind":"ConfigMap","spec":{"containers":[{"name":"c","image":"U"}]}}"#,
    ] {
        let body = update(&with("U"), unreadable);
        assert!(old_and_new(body.as_bytes()).1.is_none(), "{unreadable}");
    }
    let created = update(&with("U"), &with("U")).replace("UPDATE", "CREATE");
    assert!(
        old_and_new(created.as_bytes()).1.is_none(),
        "an old object on CREATE means nothing"
    );
    let table = [
        (with("U"), with("U"), true),
        (with("U"), with("S"), false),
        // The same image in another list, or under another name, is judged again.
        (
            r#"{"spec":{"initContainers":[{"name":"c","image":"U"}]}}"#.to_owned(),
            with("U"),
            false,
        ),
        (
            r#"{"spec":{"containers":[{"name":"d","image":"U"}]}}"#.to_owned(),
            with("U"),
            false,
        ),
        (
            r#"{"spec":{"serviceAccountName":"x","containers":[{"name":"c","image":"U"}]}}"#.to_owned(),
            with("U"),
            false,
        ),
    ];
    for (object, old, expected) in table {
        let body = update(&object, &old);
        let (new, old) = old_and_new(body.as_bytes());
        assert_eq!(new.adds_nothing_to(&old.unwrap()), expected, "{object}");
    }
}

fn decision(rule: Rule, enforcement: Enforcement, break_glass: Option<BreakGlass>) -> Decision {
    decision_on(&["nginx:1.25".to_owned()], rule, enforcement, break_glass)
}

fn decision_on(
    images: &[String],
    rule: Rule,
    enforcement: Enforcement,
    break_glass: Option<BreakGlass>,
) -> Decision {
    let cluster = "projects/p/locations/l/clusters/c".parse().unwrap();
    let request = Asked {
        subject: Subject::new(cluster, "prod".parse().unwrap(), Some("default"), "p.svc.id.goog").unwrap(),
        images: images
            .iter()
            .map(|image| RequestedImage::new("spec.containers[0]", image.as_str()))
            .collect(),
        break_glass,
    };
    let policy = Policy {
        default_rule: AdmissionRule { rule, enforcement },
        ..Policy::google_default()
    };
    let snapshot = Snapshot {
        label: Arc::new(PolicyLabel {
            name: "projects/p/policy".to_owned(),
            etag: String::new(),
        }),
        policy,
        system: SystemPolicy::shipped(),
        attestors: std::collections::BTreeMap::new(),
        evaluation: Evaluation::Enforced,
    };
    let plan = plan(&Standing::Registered(Arc::new(snapshot)), request);
    decide(plan, &Answers::default(), UnixTime::from_seconds(0))
}

fn reply(bytes: &[u8]) -> serde_json::Value {
    let reply: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(
        (&reply["apiVersion"], &reply["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    assert_eq!(reply["response"]["uid"], "u1", "AD-19");
    reply["response"].clone()
}

fn address() -> Address {
    read(review("v1 Pod", "CREATE", r#"{"spec":{"containers":[{"image":"i"}]}}"#).as_bytes())
        .unwrap()
        .address()
}

#[test]
fn a_denial_reads_as_googles() {
    let denied = reply(&address().verdict(&decision(Rule::AlwaysDeny, Enforcement::Block, None), None));
    let message = "Image nginx:1.25 denied by Binary Authorization default admission rule. Denied by always_deny admission rule";
    let expected = json!({
        "uid": "u1",
        "allowed": false,
        "status": {
            "status": "Failure",
            "reason": "VIOLATES_POLICY",
            "message": message,
            "details": {
                "name": "", "group": "", "kind": "Pod",
                "causes": [{ "reason": "ALWAYS_DENY", "message": message, "field": "spec.containers[0]" }],
            },
        },
    });
    assert_eq!(denied, expected);
}

#[test]
fn an_admission_says_no_more_than_that() {
    let allowed = reply(&address().verdict(&decision(Rule::AlwaysAllow, Enforcement::Block, None), None));
    assert_eq!(allowed, json!({ "uid": "u1", "allowed": true }));
    assert_eq!(
        reply(&address().nothing_to_judge()),
        json!({ "uid": "u1", "allowed": true })
    );
}

#[test]
fn what_was_let_through_is_noted_and_shown() {
    let dry_run = reply(&address().verdict(&decision(Rule::AlwaysDeny, Enforcement::DryRun, None), None));
    let overridden = "'nginx:1.25' : Denied by an ALWAYS_DENY admission rule\n";
    assert_eq!(dry_run["allowed"], true);
    assert_eq!(
        dry_run["auditAnnotations"],
        json!({ "dry-run": "true", "overridden-verification-result": overridden })
    );
    assert!(
        dry_run["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("admitted by dry run; when enforced: Image nginx:1.25")
    );

    let opened = BreakGlass::read(None, Some("INC-1"));
    let broken = reply(&address().verdict(
        &decision(Rule::AlwaysDeny, Enforcement::Block, opened.clone()),
        None,
    ));
    assert_eq!(broken["allowed"], true);
    assert_eq!(
        broken["auditAnnotations"],
        json!({ "break-glass": "true", "overridden-verification-result": overridden })
    );

    // Noted also where it was not needed.
    let needless = reply(&address().verdict(&decision(Rule::AlwaysAllow, Enforcement::Block, opened), None));
    assert_eq!(
        needless,
        json!({ "uid": "u1", "allowed": true, "auditAnnotations": { "break-glass": "true" } })
    );
    let conforming = reply(&address().verdict(&decision(Rule::AlwaysAllow, Enforcement::DryRun, None), None));
    assert_eq!(conforming, json!({ "uid": "u1", "allowed": true }));
}

#[test]
fn advice_lets_through_and_warns() {
    let advice = reply(&address().advice(&decision(Rule::AlwaysDeny, Enforcement::Block, None), None));
    assert_eq!(advice["allowed"], true);
    assert!(
        advice["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("its Pods will be denied: Image nginx:1.25")
    );
    assert_eq!(
        advice["auditAnnotations"],
        json!({
            "advice": "true",
            "overridden-verification-result": "'nginx:1.25' : Denied by an ALWAYS_DENY admission rule\n",
        })
    );
    assert!(
        reply(&address().advice(&decision(Rule::AlwaysAllow, Enforcement::Block, None), None))
            .get("warnings")
            .is_none()
    );
}

#[test]
fn advice_on_what_is_admitted_is_the_verdict() {
    let opened = BreakGlass::read(None, Some("INC-1"));
    for decision in [
        decision(Rule::AlwaysAllow, Enforcement::Block, None),
        decision(Rule::AlwaysDeny, Enforcement::DryRun, None),
        decision(Rule::AlwaysDeny, Enforcement::Block, opened.clone()),
        decision(Rule::AlwaysAllow, Enforcement::Block, opened),
    ] {
        let (advice, verdict) = (
            address().advice(&decision, None),
            address().verdict(&decision, None),
        );
        assert_eq!(reply(&advice), reply(&verdict));
        assert!(!String::from_utf8(advice).unwrap().contains("Pods will be denied"));
    }
}

fn warnings(reply: &serde_json::Value) -> Vec<&str> {
    reply["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning.as_str().unwrap())
        .collect()
}

#[test]
fn a_warning_is_one_line_that_moves_no_cursor() {
    for filler in ["y", "é", "💣", "\u{202e}", "\u{2066}", "\u{1b}[2J", "\u{9b}"] {
        let why = format!("line\r\nSet-Cookie: x{}", filler.repeat(5_000));
        let advice = reply(&address().advice(&refuse(Reason::Unreviewable(why), None), None));
        let warnings = warnings(&advice);
        assert_eq!(warnings.len(), 1, "{filler:?}");
        assert!(
            warnings[0].len() <= LONGEST_WARNING + '…'.len_utf8() && !warnings[0].contains(is_unprintable),
            "{filler:?} {}",
            warnings[0]
        );
        assert!(warnings[0].contains("line  Set-Cookie: x"));
    }
}

/// A dry-run verdict on Pods that run these images.
fn dry_run_of(images: &[String]) -> serde_json::Value {
    reply(&address().verdict(
        &decision_on(images, Rule::AlwaysDeny, Enforcement::DryRun, None),
        None,
    ))
}

#[test]
fn whole_sentences_are_warned_about_and_the_rest_is_counted() {
    let images = |count: usize| {
        (0..count)
            .map(|number| format!("registry.test/app/web-{number}:1"))
            .collect::<Vec<_>>()
    };
    let few = dry_run_of(&images(20));
    assert_eq!(warnings(&few).len(), 20, "all of them, where they fit");
    assert!(
        warnings(&few)
            .iter()
            .all(|warning| warning.ends_with("admission rule"))
    );

    let many = dry_run_of(&images(300));
    let shown = warnings(&many);
    let (last, whole) = shown.split_last().unwrap();
    assert_eq!(*last, format!("and {} more", 300 - whole.len()));
    assert!(whole.iter().all(|warning| warning.ends_with("admission rule")));
    let total: usize = shown.iter().map(|warning| warning.len()).sum();
    assert!((3_500..=WARNING_BYTES).contains(&total), "{total}");

    let same = dry_run_of(&vec!["nginx".to_owned(); 300]);
    assert_eq!(warnings(&same).len(), 1, "the same sentence once");
}

#[test]
fn a_mutation_patches_or_passes() {
    let body = recorded!("v1.36.2-admissionreview-deployment-create");
    let (deployment, _) = old_and_new(body);
    let patch = deployment
        .template_annotation_patch("alpha.image-policy.k8s.io/break-glass", "INC-1")
        .unwrap();
    let patched = reply(&address().patched(Some(&patch)));
    assert_eq!(
        (&patched["allowed"], &patched["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let sent = STANDARD.decode(patched["patch"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&sent).unwrap(), patch);
    assert_eq!(
        reply(&address().patched(None)),
        json!({ "uid": "u1", "allowed": true })
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = images(&bytes);
    }

    /// A real review with one byte changed, removed or doubled is refused or still names its image.
    #[test]
    fn a_damaged_review_is_never_empty(position in 0..POD_UPDATE.len(), byte in any::<u8>(), how in 0..3) {
        let mut body = POD_UPDATE.to_vec();
        match how {
            0 => body[position] = byte,
            1 => { body.remove(position); }
            _ => body.insert(position, byte),
        }
        // Changing CREATE/UPDATE into DELETE takes more than one byte.
        if let Ok(found) = images(&body) {
            prop_assert_eq!(found.len(), 1);
        }
    }
}
