//! Custom resources in a real API server: Argo Rollouts, Knative Services, Tekton Tasks and TaskRuns, judged by the file
//! that is shipped for them.

use binauthz_conformance::{Cluster, Desk};
use serde_json::{Value, json};

use crate::cluster::{BREAK_GLASS, REFUSED, create, signed, unsigned};
use crate::cluster_install::{desk, install, typed};
use crate::own_commands::SIGN;
use crate::story;

pub(crate) const DEFINITIONS: &str = include_str!("../../fixtures/crds/custom-resources.yaml");
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/custom-resources.yaml");

fn define(desk: &Desk) {
    desk.write("crds.yaml", DEFINITIONS);
    desk.ok("kubectl apply -f crds.yaml && kubectl wait --for=condition=Established -f crds.yaml");
    Cluster::eventually(
        desk,
        "kubectl get rollouts,services.serving.knative.dev,tasks.tekton.dev,taskruns,runners",
    );
}

/// A guarded cluster with the definitions in it, and a server that knows the shipped file.
fn guarded(cluster: &Cluster) -> Option<Desk> {
    let desk = desk(cluster, &["--custom-resources", SHIPPED])?;
    define(&desk);
    install(&desk, &format!("--custom-resources={SHIPPED}"))
        .ok()
        .says(&["custom resources: rollouts.argoproj.io, services.serving.knative.dev"]);
    desk.ok(&format!(
        "{SIGN} --artifact-url={} {}",
        signed(),
        story::KEY_VERSION
    ));
    Some(desk)
}

fn object(version: &str, kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

/// Each resource with an image, and the pointer to it.
fn resources(image: &str) -> Vec<(Value, &'static str)> {
    let template = json!({"spec": {"containers": [{"name": "c", "image": image}]}});
    let steps = json!([{"name": "s", "image": image}]);
    let in_template = "/spec/template/spec/containers/0/image";
    vec![
        (
            object(
                "argoproj.io/v1alpha1",
                "Rollout",
                &json!({"replicas": 0, "template": template}),
            ),
            in_template,
        ),
        (
            object(
                "serving.knative.dev/v1",
                "Service",
                &json!({"template": template}),
            ),
            in_template,
        ),
        (
            object("tekton.dev/v1", "Task", &json!({"steps": steps})),
            "/spec/steps/0/image",
        ),
        (
            object(
                "tekton.dev/v1beta1",
                "TaskRun",
                &json!({"taskSpec": {"steps": steps}}),
            ),
            "/spec/taskSpec/steps/0/image",
        ),
    ]
}

#[test]
fn custom_resources_are_judged_when_created_and_when_changed() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    for ((good, pointer), (bad, _)) in resources(&signed()).iter().zip(&resources(&unsigned())) {
        create(&desk, bad).refused(&[REFUSED, &unsigned(), "No attestations found"]);
        create(&desk, good).ok();
        desk.write("object.json", &good.to_string());
        desk.ok("kubectl label -f object.json team=x");
        let change = |image: &str, flags: &str| {
            let patch = json!([{"op": "replace", "path": pointer, "value": image}]);
            desk.sh(&format!(
                "kubectl patch -f object.json --type=json -p '{patch}' {flags}"
            ))
        };
        change(&unsigned(), "").refused(&[REFUSED, &unsigned()]);
        change(&unsigned(), "--dry-run=server").refused(&[REFUSED, &unsigned()]);
        change("registry.k8s.io/pause:3.9", "").ok();
        desk.write("bad.json", &bad.to_string());
        desk.sh("kubectl apply --server-side --force-conflicts -f bad.json")
            .refused(&[REFUSED, &unsigned()]);
        desk.ok("kubectl delete -f object.json");
    }
    every_place(&desk);
    decide_says_the_same(&desk);
    // A version that no rule names is converted to one that is named.
    let mut older = resources(&unsigned()).swap_remove(2).0;
    older["apiVersion"] = json!("tekton.dev/v1beta1");
    create(&desk, &older).refused(&[REFUSED, &unsigned()]);
    desk.ok(&format!("{} --custom-resources={SHIPPED}", typed("status")))
        .says(&["custom:       rollouts.argoproj.io, ", "guarded"]);
    desk.ok("kubectl delete -f crds.yaml");
}

/// The webhook's verdict for a manifest, by the server and by a snapshot of it.
fn decide_says_the_same(desk: &Desk) {
    desk.ok("binauthz snapshot export --output=snapshot.json");
    let decided = |object: &Value| {
        desk.write("object.json", &object.to_string());
        let by = |flags: &str| {
            desk.sh(&format!(
                "binauthz decide object.json --cluster=us-central1-a.my-cluster {flags}"
            ))
        };
        [by(""), by("--snapshot=snapshot.json")]
    };
    let named = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["name"] = json!("decided");
        object
    };
    for ((good, _), (bad, _)) in resources(&signed()).iter().zip(&resources(&unsigned())) {
        let (good, bad) = (&named(good), &named(bad));
        create(desk, good).ok();
        desk.ok("kubectl delete -f object.json");
        for ran in decided(good) {
            ran.ok().says(&["ADMITTED"]);
        }
        create(desk, bad).refused(&[REFUSED, &unsigned()]);
        for ran in decided(bad) {
            ran.exits(1)
                .says(&["DENIED", &unsigned(), "No attestations found"]);
        }
    }
    // A Rollout may leave its Pods to a Deployment; a Service of Knative may not.
    let reference = json!({"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}});
    for ran in decided(&object("argoproj.io/v1alpha1", "Rollout", &reference)) {
        ran.ok().says(&["ADMITTED"]);
    }
    for ran in decided(&object("serving.knative.dev/v1", "Service", &json!({}))) {
        ran.exits(1).says(&["DENIED", "leads to an image"]);
    }
    // The webhook is not asked about it.
    for ran in decided(&object("example.com/v1", "Other", &json!({"image": unsigned()}))) {
        ran.exits(2).says(&["not reviewed by the webhook"]);
    }
}

/// Every path of the shipped file, and what may be without an image.
fn every_place(desk: &Desk) {
    let image = unsigned();
    let step = json!([{"name": "s", "image": signed()}]);
    for (kind, spec) in [
        (
            "Task",
            json!({"steps": step, "sidecars": [{"name": "x", "image": image}]}),
        ),
        (
            "Task",
            json!({"steps": [{"name": "s"}], "stepTemplate": {"image": image}}),
        ),
        (
            "Task",
            json!({"steps": step, "volumes": [{"name": "v", "image": {"reference": image}}]}),
        ),
        (
            "TaskRun",
            json!({"taskSpec": {"steps": step, "sidecars": [{"name": "x", "image": image}]}}),
        ),
        (
            "TaskRun",
            json!({"taskSpec": {"steps": step}, "podTemplate": {"volumes": [{"name": "v", "image": {"reference": image}}]}}),
        ),
    ] {
        create(desk, &object("tekton.dev/v1", kind, &spec)).refused(&[REFUSED, &image]);
    }
    for (version, kind, spec) in [
        ("tekton.dev/v1", "TaskRun", json!({"taskRef": {"name": "t"}})),
        (
            "argoproj.io/v1alpha1",
            "Rollout",
            json!({"workloadRef": {"kind": "Deployment", "name": "d"}}),
        ),
    ] {
        create(desk, &object(version, kind, &spec)).ok();
    }
    create(desk, &object("serving.knative.dev/v1", "Service", &json!({})))
        .refused(&["no image path that is configured for `services.serving.knative.dev` leads to an image"]);
}

#[test]
fn the_door_of_a_custom_resource_reaches_its_template() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    let (mut rollout, _) = resources(&unsigned()).swap_remove(0);
    rollout["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1234"});
    create(&desk, &rollout)
        .ok()
        .says(&["Warning: admitted by break-glass"]);
    let stored = desk.ok("kubectl get rollout a -o json").json();
    assert_eq!(
        stored["spec"]["template"]["metadata"]["annotations"][BREAK_GLASS], "INC-1234",
        "{stored:#}"
    );
    desk.ok("kubectl delete -f crds.yaml");
}

#[test]
fn what_the_rules_send_and_no_path_leads_into_stays_denied() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    let runner = object("example.test/v1", "Runner", &json!({"agentImage": signed()}));
    create(&desk, &runner).ok();
    desk.ok("kubectl delete runner a");
    // The rules name it now, and the server was not told.
    let file = "customResources:\n- {group: example.test, versions: [v1], resource: runners, images: [spec.agentImage]}\n";
    desk.write("more.yaml", file);
    install(&desk, "--custom-resources=more.yaml")
        .ok()
        .says(&["update ValidatingWebhookConfiguration binauthz"]);
    Cluster::eventually(
        &desk,
        &format!("{} --custom-resources=more.yaml", typed("status")),
    );
    create(&desk, &runner).refused(&["kind `example.test/v1 Runner` is not known to carry images"]);
    desk.ok("kubectl delete -f crds.yaml");

    // A file that says nothing that can be done changes nothing.
    desk.write(
        "bad.yaml",
        "customResources:\n- {group: apps, versions: [v1], resource: deployments, images: [x]}\n",
    );
    install(&desk, "--custom-resources=bad.yaml").refused(&["bad.yaml", "`customResources[0].group`"]);
    install(&desk, "--custom-resources=missing.yaml").refused(&["missing.yaml"]);
}

#[test]
fn a_server_and_rules_of_one_file_judge_what_it_names() {
    let Some(cluster) = Cluster::take() else { return };
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    let text = "customResources:\n- {group: example.test, versions: [v1], resource: runners, images: [spec.agentImage]}\n";
    std::fs::write(file.path(), text).expect("it can be written");
    let path = file.path().display().to_string();
    let Some(desk) = desk(&cluster, &["--custom-resources", &path]) else {
        return;
    };
    define(&desk);
    install(&desk, &format!("--custom-resources={path}")).ok();
    let runner = |image: &str| object("example.test/v1", "Runner", &json!({"agentImage": image}));
    create(&desk, &runner(&unsigned())).refused(&[REFUSED, &unsigned()]);
    create(&desk, &runner("registry.k8s.io/pause:3.9")).ok();
    create(&desk, &object("example.test/v1", "Runner", &json!({"size": 1})))
        .refused(&["no image path that is configured for `runners.example.test`"]);
    let covered = desk
        .sh("binauthz cluster coverage --context=my-cluster --format=json")
        .exits(1)
        .json();
    let runner = covered
        .as_array()
        .expect("a list")
        .iter()
        .find(|row| row["kind"] == "Runner")
        .expect("it is listed");
    assert_eq!(runner["coverage"], "covered", "{runner:#}");
    desk.ok("kubectl delete -f crds.yaml");
}
