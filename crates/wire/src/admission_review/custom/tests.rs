use serde_json::json;

use super::*;
use crate::{custom_resources, workload};

fn shipped() -> CustomResources {
    custom_resources::read(include_bytes!("../../../../../deploy/custom-resources.yaml")).unwrap()
}

fn review(resource: (&str, &str, &str), kind: &str, object: &Value) -> Value {
    let (group, version, resource) = resource;
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "namespace": "n",
        "kind": {"group": group, "version": version, "kind": kind},
        "resource": {"group": group, "version": version, "resource": resource},
        "object": object,
    }})
}

const ROLLOUT: (&str, &str, &str) = ("argoproj.io", "v1alpha1", "rollouts");
const TASK: (&str, &str, &str) = ("tekton.dev", "v1", "tasks");
const RUN: (&str, &str, &str) = ("tekton.dev", "v1", "taskruns");

/// Every image and its field, or the refusal; nothing if the review is not about a configured resource.
fn images(review: &Value) -> Option<Result<Vec<String>, String>> {
    let (resources, body) = (shipped(), review.to_string());
    let custom = CustomReview::read(body.as_bytes(), &resources).ok()??;
    Some(match custom.matter() {
        Err(why) => Err(why.to_string()),
        Ok(Matter::NoImage) => Ok(vec!["none".to_owned()]),
        Ok(Matter::Deletion) => Ok(vec!["deletion".to_owned()]),
        Ok(Matter::Judge { workload, .. }) => {
            let shown = |image: &workload::NamedImage<'_>| format!("{} {}", image.location(), image.image());
            Ok(workload.images().iter().map(shown).collect())
        }
    })
}

fn of(resource: (&str, &str, &str), kind: &str, object: &Value) -> Result<Vec<String>, String> {
    images(&review(resource, kind, object)).unwrap()
}

fn rollout(template: &Value) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "r"},
        "spec": {"replicas": 1, "strategy": {"canary": {"steps": [{"setWeight": 20}]}}, "template": template}})
}

#[test]
fn a_pod_template_gives_every_image_of_its_pods() {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {
        "containers": [{"name": "c", "image": "C"}], "initContainers": [{"name": "i", "image": "I"}],
        "volumes": [{"name": "v", "image": {"reference": "V"}}]}});
    assert_eq!(
        of(ROLLOUT, "Rollout", &rollout(&template)).unwrap(),
        [
            "spec.template.spec.containers[0] C",
            "spec.template.spec.initContainers[0] I",
            "spec.template.spec.volumes[0].image.reference V",
        ]
    );
    let unnamed = json!({"spec": {"containers": [{"name": "c"}]}});
    assert_eq!(
        of(ROLLOUT, "Rollout", &rollout(&unnamed)).unwrap(),
        ["spec.template.spec.containers[0] "],
        "a container without an image is one with a bad reference"
    );
}

#[test]
fn paths_give_images_in_lists_and_fields() {
    let task = json!({"apiVersion": "tekton.dev/v1", "kind": "Task", "spec": {
        "steps": [{"name": "a", "image": "A"}, {"name": "b"}, {"ref": {"name": "x"}}],
        "stepTemplate": {"image": "T"}, "sidecars": [{"image": "S"}]}});
    assert_eq!(
        of(TASK, "Task", &task).unwrap(),
        [
            "spec.steps[0].image A",
            "spec.stepTemplate.image T",
            "spec.sidecars[0].image S"
        ]
    );
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "spec": {"serviceAccountName": "builder", "taskSpec": {"steps": [{"image": "A"}]}}});
    assert_eq!(
        of(RUN, "TaskRun", &run).unwrap(),
        ["spec.taskSpec.steps[0].image A"]
    );
}

#[test]
fn what_names_no_image_passes_only_where_it_may() {
    let reference =
        json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "spec": {"taskRef": {"name": "t"}}});
    assert_eq!(of(RUN, "TaskRun", &reference).unwrap(), ["none"]);
    let service = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": {}});
    let refused = of(("serving.knative.dev", "v1", "services"), "Service", &service).unwrap_err();
    assert!(
        refused.contains("no image path that is configured for `services.serving.knative.dev`"),
        "{refused}"
    );
    for object in [Value::Null, json!({})] {
        let refused = of(("serving.knative.dev", "v1", "services"), "Service", &object);
        assert!(refused.is_err(), "{object}");
    }
}

#[test]
fn what_is_of_another_type_than_the_paths_say_is_refused() {
    for (template, words) in [
        (
            json!("text"),
            "`spec.template` is not a pod template, as the image paths of `rollouts.argoproj.io` say",
        ),
        (json!([{}]), "`spec.template` is not a pod template"),
        (
            json!({"spec": {"containers": {"image": "U"}}}),
            "`spec.template` is not a pod template",
        ),
        (
            json!({"spec": {"containers": [{"image": 5}]}}),
            "`spec.template` is not a pod template",
        ),
    ] {
        let refused = of(ROLLOUT, "Rollout", &rollout(&template)).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    for (spec, words) in [
        (json!("text"), "`spec` is not an object"),
        (json!({"steps": {"image": "U"}}), "`spec.steps` is not a list"),
        (json!({"steps": ["U"]}), "`spec.steps[0]` is not an object"),
        (
            json!({"steps": [{"image": ["U"]}]}),
            "`spec.steps[0].image` is not a string",
        ),
    ] {
        let task = json!({"apiVersion": "tekton.dev/v1", "kind": "Task", "spec": spec});
        let refused = of(TASK, "Task", &task).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    let many = json!({"apiVersion": "tekton.dev/v1", "kind": "Task", "spec": {"steps": vec![json!({"image": "U"}); 501]}});
    assert!(
        of(TASK, "Task", &many)
            .unwrap_err()
            .contains("more than 500 images")
    );
}

#[test]
fn only_what_is_configured_is_read_by_paths() {
    let template = json!({"spec": {"containers": [{"image": "U"}]}});
    let good = review(ROLLOUT, "Rollout", &rollout(&template));
    assert!(images(&good).is_some());
    for (pointer, value) in [
        ("/request/resource/version", json!("v2")),
        ("/request/resource/resource", json!("experiments")),
        ("/request/resource/group", json!("evil.io")),
        ("/request/kind/group", json!("evil.io")),
        ("/request/kind/version", json!("v1")),
        ("/request/resource", Value::Null),
    ] {
        let mut other = good.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_eq!(images(&other), None, "{pointer}");
    }
    let mut scaled = good.clone();
    scaled["request"]["subResource"] = json!("scale");
    assert_eq!(images(&scaled), None);
    let mut deleted = good.clone();
    deleted["request"]["operation"] = json!("DELETE");
    assert_eq!(images(&deleted), Some(Ok(vec!["deletion".to_owned()])));
    // The object's own idea of what it is must be the request's.
    let mut mismatched = good;
    mismatched["request"]["object"]["kind"] = json!("ConfigMap");
    assert!(
        images(&mismatched)
            .unwrap()
            .unwrap_err()
            .contains("but the object says it is")
    );
}

#[test]
fn a_key_twice_is_refused_in_a_custom_resource_too() {
    let template = json!({"spec": {"containers": [{"image": "S"}]}});
    let text = review(ROLLOUT, "Rollout", &rollout(&template)).to_string();
    let resources = shipped();
    for (from, to) in [
        (r#""image":"S""#, r#""image":"S","image":"U""#),
        (r#""setWeight":20"#, r#""setWeight":20,"setWeight":30"#),
        (r#""uid":"u""#, r#""uid":"u","uid":"v""#),
    ] {
        let body = text.replace(from, to);
        assert_ne!(body, text);
        let read = CustomReview::read(body.as_bytes(), &resources);
        assert!(matches!(read, Err(InvalidReview::Malformed(_))), "{to}");
    }
    let without = text.replace(r#""uid":"u""#, r#""x":"u""#);
    assert!(matches!(
        CustomReview::read(without.as_bytes(), &resources),
        Err(InvalidReview::NoUid)
    ));
}

fn with_workload<T>(
    object: &Value,
    resource: (&str, &str, &str),
    kind: &str,
    look: impl FnOnce(&Workload<'_>) -> T,
) -> T {
    let (resources, body) = (shipped(), review(resource, kind, object).to_string());
    let custom = CustomReview::read(body.as_bytes(), &resources).unwrap().unwrap();
    match custom.matter().unwrap() {
        Matter::Judge { workload, .. } => look(&workload),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_account_is_the_template_s_or_what_the_path_leads_to() {
    let account = |object: &Value, resource, kind| {
        with_workload(object, resource, kind, |workload| {
            workload.service_account().map(str::to_owned)
        })
    };
    let mut template = json!({"spec": {"containers": [{"image": "U"}]}});
    assert_eq!(
        account(&rollout(&template), ROLLOUT, "Rollout").as_deref(),
        Some("default")
    );
    template["spec"]["serviceAccountName"] = json!("web");
    assert_eq!(
        account(&rollout(&template), ROLLOUT, "Rollout").as_deref(),
        Some("web")
    );
    let mut run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "spec": {"taskSpec": {"steps": [{"image": "A"}]}}});
    assert_eq!(account(&run, RUN, "TaskRun"), None, "its controller chooses one");
    run["spec"]["serviceAccountName"] = json!("builder");
    assert_eq!(account(&run, RUN, "TaskRun").as_deref(), Some("builder"));
}

#[test]
fn an_update_that_brings_nothing_new_is_known_as_one() {
    let adds_nothing = |old: &Value, new: &Value| {
        let mut review = review(RUN, "TaskRun", new);
        review["request"]["operation"] = json!("UPDATE");
        review["request"]["oldObject"] = old.clone();
        let (resources, body) = (shipped(), review.to_string());
        let custom = CustomReview::read(body.as_bytes(), &resources).unwrap().unwrap();
        match custom.matter().unwrap() {
            Matter::Judge { workload, old } => old.is_some_and(|old| workload.adds_nothing_to(&old)),
            other => panic!("{other:?}"),
        }
    };
    let run = |account: &str, image: &str, sidecar: &str| {
        json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"labels": {"l": sidecar}}, "spec": {
            "serviceAccountName": account, "taskSpec": {"steps": [{"image": image}]}}})
    };
    let old = run("a", "A", "x");
    assert!(adds_nothing(&old, &run("a", "A", "y")));
    assert!(!adds_nothing(&old, &run("a", "B", "x")));
    assert!(!adds_nothing(&old, &run("b", "A", "x")));
    assert!(!adds_nothing(&json!({"spec": 5}), &old));
    let mut moved = old.clone();
    moved["spec"]["taskSpec"] = json!({"sidecars": [{"image": "A"}]});
    assert!(!adds_nothing(&old, &moved));
}

#[test]
fn the_door_of_a_custom_resource_is_copied_to_its_template() {
    use binauthz_core::workload::BREAK_GLASS_ANNOTATION as DOOR;
    let template = json!({"spec": {"containers": [{"image": "U"}]}});
    let mut object = rollout(&template);
    with_workload(&object, ROLLOUT, "Rollout", |workload| {
        assert!(workload.break_glass().is_none() && workload.doors().are_unwritten());
    });
    object["metadata"]["annotations"] = json!({DOOR: "INC-1"});
    with_workload(&object, ROLLOUT, "Rollout", |workload| {
        assert!(workload.break_glass().is_some() && !workload.template_breaks_glass() && !workload.is_pod());
        assert_eq!(
            workload.template_annotation_patch(DOOR, "INC-1").unwrap(),
            json!([{"op": "add", "path": "/spec/template/metadata", "value": {"annotations": {DOOR: "INC-1"}}}])
        );
    });
    object["spec"]["template"]["metadata"] = json!({"annotations": {DOOR: "INC-2"}});
    with_workload(&object, ROLLOUT, "Rollout", |workload| {
        assert!(workload.template_breaks_glass());
        assert_eq!(workload.doors().template.annotation, Some("INC-2"));
        assert_eq!(workload.template_annotation_patch(DOOR, "x"), None);
    });
    let mut run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"annotations": {DOOR: "INC-1"}},
        "spec": {"taskSpec": {"steps": [{"image": "A"}]}}});
    with_workload(&run, RUN, "TaskRun", |workload| {
        assert!(workload.break_glass().is_some() && workload.template_annotation_patch(DOOR, "x").is_none());
    });
    run["metadata"] = json!({"annotations": []});
    assert!(
        of(RUN, "TaskRun", &run)
            .unwrap_err()
            .contains("`metadata` is not")
    );
}
