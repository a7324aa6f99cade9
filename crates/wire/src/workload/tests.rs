use serde_json::json;

use super::*;
use crate::strict;

fn object(text: &str) -> Object<'_> {
    strict::read(text.as_bytes()).unwrap()
}

fn kind(group: &'static str, version: &'static str, kind: &'static str) -> Kind<'static> {
    Kind {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
    }
}

fn pod(text: &str) -> Workload<'_> {
    Workload::extract(&kind("", "v1", "Pod"), object(text)).unwrap()
}

fn deployment(text: &str) -> Workload<'_> {
    Workload::extract(&kind("apps", "v1", "Deployment"), object(text)).unwrap()
}

#[test]
fn the_service_account_defaults() {
    let table = [
        ("", "default"),
        (r#""serviceAccountName":"","#, "default"),
        (r#""serviceAccountName":null,"#, "default"),
        (r#""serviceAccountName":"builder","#, "builder"),
        (r#""serviceAccount":"older","#, "older"),
        (r#""serviceAccountName":"","serviceAccount":"older","#, "older"),
        (
            r#""serviceAccountName":"newer","serviceAccount":"older","#,
            "newer",
        ),
    ];
    for (fields, expected) in table {
        let text = format!(r#"{{"spec":{{{fields}"containers":[{{"image":"i"}}]}}}}"#);
        assert_eq!(pod(&text).service_account(), Some(expected), "{fields}");
    }
    let template = r#"{"spec":{"serviceAccountName":"not-this","template":{"spec":{"serviceAccountName":"this","containers":[{"image":"i"}]}}}}"#;
    assert_eq!(deployment(template).service_account(), Some("this"));
}

#[test]
fn the_older_ephemeral_containers_kind_is_read() {
    let recorded = include_str!(
        "../../tests/fixtures/kubernetes/v1.20.2-admissionreview-pod-ephemeralcontainers-update.json"
    );
    let review: serde_json::Value = serde_json::from_str(recorded).unwrap();
    let mut old = review["request"]["object"].clone();
    let ephemeral = kind("", "v1", "EphemeralContainers");
    let text = old.to_string();
    assert_eq!(
        Workload::extract(&ephemeral, object(&text)).unwrap_err(),
        InvalidWorkload::NoImages("")
    );
    old["ephemeralContainers"] = json!([{ "name": "debug", "image": "U" }]);
    let text = old.to_string();
    let workload = Workload::extract(&ephemeral, object(&text)).unwrap();
    assert_eq!(workload.images()[0].location(), "ephemeralContainers[0]");
    assert_eq!(workload.service_account(), None, "the object does not say");
    assert!(workload.is_pod());
}

#[test]
fn the_door_is_read_from_the_template_and_from_the_object() {
    let open = r#"{"alpha.image-policy.k8s.io/break-glass":"INC-1"}"#;
    let spec = r#""spec":{"containers":[{"image":"i"}]}"#;
    let table = [
        (format!(r#"{{"spec":{{"template":{{{spec}}}}}}}"#), None, false),
        (
            format!(r#"{{"metadata":{{"annotations":{open}}},"spec":{{"template":{{{spec}}}}}}}"#),
            Some("INC-1"),
            false,
        ),
        (
            format!(r#"{{"spec":{{"template":{{"metadata":{{"annotations":{open}}},{spec}}}}}}}"#),
            Some("INC-1"),
            true,
        ),
        (
            format!(r#"{{"metadata":{{"labels":{open}}},"spec":{{"template":{{{spec}}}}}}}"#),
            None,
            false,
        ),
        (
            format!(
                r#"{{"metadata":{{"labels":{{"image-policy.k8s.io/break-glass":"true"}}}},"spec":{{"template":{{{spec}}}}}}}"#
            ),
            Some(""),
            false,
        ),
        (
            format!(
                r#"{{"metadata":{{"annotations":{open}}},"spec":{{"template":{{"metadata":{{"annotations":{{"alpha.image-policy.k8s.io/break-glass":"false"}}}},{spec}}}}}}}"#
            ),
            Some("INC-1"),
            false,
        ),
    ];
    for (text, expected, template) in &table {
        let workload = deployment(text);
        assert_eq!(
            workload.break_glass().as_ref().map(BreakGlass::justification),
            *expected,
            "{text}"
        );
        assert_eq!(workload.template_breaks_glass(), *template, "{text}");
    }
}

#[test]
fn what_is_written_at_a_door_is_given_whether_it_opens_or_not() {
    let spec = r#""spec":{"containers":[{"image":"i"}]}"#;
    let own = r#""metadata":{"annotations":{"alpha.image-policy.k8s.io/break-glass":"false","other":"x"}}"#;
    let template = r#""metadata":{"labels":{"image-policy.k8s.io/break-glass":"no"}}"#;
    let text = format!(r#"{{{own},"spec":{{"template":{{{template},{spec}}}}}}}"#);
    let workload = deployment(&text);
    let doors = workload.doors();
    assert_eq!((doors.own.label, doors.own.annotation), (None, Some("false")));
    assert_eq!(
        (doors.template.label, doors.template.annotation),
        (Some("no"), None)
    );
    assert!(workload.break_glass().is_none() && !doors.are_unwritten());

    let text =
        format!(r#"{{"metadata":{{"annotations":{{"other":"x"}}}},"spec":{{"template":{{{spec}}}}}}}"#);
    assert!(deployment(&text).doors().are_unwritten());
}

#[test]
fn the_patch_fits_what_is_there() {
    let spec = r#""spec":{"containers":[{"image":"i"}]}"#;
    let table = [
        (
            format!(r#"{{"spec":{{"template":{{{spec}}}}}}}"#),
            "/spec/template/metadata",
            json!({ "annotations": { "a.b/c~d": "v" } }),
        ),
        (
            format!(r#"{{"spec":{{"template":{{"metadata":{{"labels":{{}}}},{spec}}}}}}}"#),
            "/spec/template/metadata/annotations",
            json!({ "a.b/c~d": "v" }),
        ),
        (
            format!(r#"{{"spec":{{"template":{{"metadata":{{"annotations":null}},{spec}}}}}}}"#),
            "/spec/template/metadata/annotations",
            json!({ "a.b/c~d": "v" }),
        ),
        (
            format!(r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"x":"y"}}}},{spec}}}}}}}"#),
            "/spec/template/metadata/annotations/a.b~1c~0d",
            json!("v"),
        ),
    ];
    for (text, path, value) in table {
        let patch = deployment(&text)
            .template_annotation_patch("a.b/c~d", "v")
            .unwrap();
        assert_eq!(
            patch,
            json!([{ "op": "add", "path": path, "value": value }]),
            "{text}"
        );
    }
    assert_eq!(
        pod(&format!("{{{spec}}}")).template_annotation_patch("a", "b"),
        None
    );
    let job = format!(r#"{{"spec":{{"jobTemplate":{{"spec":{{"template":{{{spec}}}}}}}}}}}"#);
    let cron_job = Workload::extract(&kind("batch", "v1", "CronJob"), object(&job)).unwrap();
    let patch = cron_job.template_annotation_patch("a", "v").unwrap();
    assert_eq!(patch[0]["path"], "/spec/jobTemplate/spec/template/metadata");
}

#[test]
fn names_and_metadata_are_handed_over() {
    let text = r#"{"metadata":{"name":"n","namespace":"ns","labels":{"l":"1","gone":null},"annotations":{"a":"2"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    let workload = pod(text);
    assert_eq!((workload.name(), workload.written_namespace()), ("n", Some("ns")));
    assert_eq!(
        (workload.label("l"), workload.label("gone"), workload.label("L")),
        (Some("1"), Some(""), None)
    );
    assert_eq!(
        (workload.annotation("a"), workload.annotation("l")),
        (Some("2"), None)
    );
    assert_eq!(workload.images()[0].container(), "c");
    assert_eq!(workload.requested_images()[0].location, "spec.containers[0]");
    assert_eq!(
        pod(r#"{"metadata":{"generateName":"g-"},"spec":{"containers":[{"image":"i"}]}}"#).name(),
        "g-"
    );
}
