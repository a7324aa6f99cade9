//! The tutorial in a real cluster, with the `kubectl` commands it prints, and every way an image can get in.

use binauthz_conformance::cluster::USER;
use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{Cluster, Desk, Ran};
use serde_json::{Value, json};

use crate::cluster_install::{desk, install, typed};
use crate::own_commands::SIGN;
use crate::story;

pub(crate) const REFUSED: &str =
    "admission webhook \"imagepolicywebhook.image-policy.k8s.io\" denied the request: Image ";
const UNATTESTED: &str =
    "denied by attestor projects/demo/attestors/image-signing-attestor: No attestations found";
pub(crate) const BREAK_GLASS: &str = "alpha.image-policy.k8s.io/break-glass";
/// The tutorial's `emergency-deployment.yaml`, with the project filled in.
const EMERGENCY: &str = r#"# emergency-deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: emergency-fix
  annotations:
    # This annotation bypasses Binary Authorization
    alpha.image-policy.k8s.io/break-glass: "Emergency fix for incident INC-1234"
spec:
  replicas: 1
  selector:
    matchLabels:
      app: emergency-fix
  template:
    metadata:
      labels:
        app: emergency-fix
    spec:
      containers:
        - name: app
          image: us-central1-docker.pkg.dev/demo/app/hotfix:latest
"#;

fn image(digit: &str) -> String {
    format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64))
}

pub(crate) fn signed() -> String {
    image("a")
}

pub(crate) fn unsigned() -> String {
    image("b")
}

/// A guarded cluster in which [`signed`] is attested, and `kubectl` is Alice's.
pub(crate) fn guarded(cluster: &Cluster) -> Option<Desk> {
    let desk = desk(cluster, &[])?;
    install(&desk, "").ok();
    sign(&desk, &signed());
    desk.ok("kubectl config use-context alice");
    Some(desk)
}

fn sign(desk: &Desk, image: &str) {
    desk.ok(&format!("{SIGN} --artifact-url={image} {}", story::KEY_VERSION));
}

pub(crate) fn create(desk: &Desk, object: &Value) -> Ran {
    desk.write("object.json", &object.to_string());
    desk.sh("kubectl create -f object.json")
}

pub(crate) fn pod(name: &str, image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": image}]}})
}

/// Every kind with a pod template, and the way to its containers.
pub(crate) fn workloads(image: &str) -> Vec<(Value, &'static str)> {
    let template = json!({"metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "app", "image": image}]}});
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let selected = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template});
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let (in_spec, in_job) = ("/spec/template", "/spec/jobTemplate/spec/template");
    let mut none = selected.clone();
    none["replicas"] = json!(0);
    vec![
        (object("apps/v1", "Deployment", none.clone()), in_spec),
        (object("apps/v1", "ReplicaSet", none.clone()), in_spec),
        (object("apps/v1", "StatefulSet", none), in_spec),
        (object("apps/v1", "DaemonSet", selected), in_spec),
        (
            object(
                "v1",
                "ReplicationController",
                json!({"replicas": 0, "template": template}),
            ),
            in_spec,
        ),
        (
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": template}),
            "/template",
        ),
        (
            object(
                "batch/v1",
                "CronJob",
                json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": once}}}),
            ),
            in_job,
        ),
        // The template of a Job that is there cannot be changed.
        (
            object("batch/v1", "Job", json!({"suspend": true, "template": once})),
            "",
        ),
    ]
}

#[test]
fn the_tutorial_with_kubectl() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    // "Testing the Enforcement", as printed.
    desk.sh("kubectl run test-unsigned \\
    --image=us-central1-docker.pkg.dev/demo/app/unattested-image:latest")
        .refused(&[
            "Error from server (VIOLATES_POLICY): ",
            &format!("{REFUSED}{IMAGES}/unattested-image:latest {UNATTESTED}"),
        ]);
    let digest = unsigned();
    let run = format!("kubectl run test-signed --image={digest}");
    desk.sh(&run)
        .refused(&[&format!("{REFUSED}{digest} {UNATTESTED}")]);
    sign(&desk, &digest);
    desk.ok(&run).says(&["pod/test-signed created"]);
    // A system image needs no attestation.
    desk.ok("kubectl run pause --image=registry.k8s.io/pause:3.9");

    // "Break-Glass Procedure", as printed.
    desk.write("emergency-deployment.yaml", EMERGENCY);
    let hotfix = format!("{IMAGES}/hotfix:latest");
    desk.ok("kubectl apply -f emergency-deployment.yaml").says(&[
        "deployment.apps/emergency-fix created",
        &format!("Warning: admitted by break-glass; without it: Image {hotfix} denied by attestor"),
    ]);
    let found = Cluster::eventually(
        &desk,
        "kubectl get pods -l app=emergency-fix -o json | jq -e '.items[0]'",
    )
    .json();
    assert_eq!(
        found["metadata"]["annotations"][BREAK_GLASS], "Emergency fix for incident INC-1234",
        "{found:#}"
    );
    assert_eq!(found["spec"]["containers"][0]["image"], hotfix.as_str());
    opened_doors_are_on_record(&desk);

    // The same without the annotation.
    let plain: String = EMERGENCY
        .lines()
        .filter(|line| !line.contains("annotation") && !line.contains("break-glass"))
        .map(|line| format!("{line}\n"))
        .collect();
    desk.write("plain.yaml", &plain.replace("emergency-fix", "plain-fix"));
    desk.sh("kubectl apply -f plain.yaml")
        .refused(&[&format!("{REFUSED}{hotfix} denied by attestor")]);
}

fn opened_doors_are_on_record(desk: &Desk) {
    let log = desk
        .ok("binauthz logs list --effect=break-glass --format=json")
        .json();
    let entries = log.as_array().expect("a list");
    let about = |kind: &str| {
        let found = entries
            .iter()
            .find(|entry| entry["kind"] == kind && entry["dryRun"] == false);
        found.unwrap_or_else(|| panic!("no {kind} in {log:#}"))
    };
    for (kind, user) in [
        ("Deployment", USER),
        (
            "ReplicaSet",
            "system:serviceaccount:kube-system:deployment-controller",
        ),
        ("Pod", "system:serviceaccount:kube-system:replicaset-controller"),
    ] {
        let entry = about(kind);
        assert_eq!(entry["user"], user, "{entry:#}");
        assert_eq!(
            entry["justification"], "Emergency fix for incident INC-1234",
            "{entry:#}"
        );
    }
}

#[test]
fn every_kind_is_judged_when_created_and_when_changed() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    let (good, bad) = (workloads(&signed()), workloads(&unsigned()));
    for ((good, template), (bad, _)) in good.iter().zip(&bad) {
        let kind = good["kind"].as_str().expect("a kind");
        create(&desk, bad).refused(&[REFUSED, &unsigned(), "No attestations found"]);
        create(&desk, good).ok();
        desk.ok(&format!("kubectl label {kind} a team=x"));
        if template.is_empty() {
            continue;
        }
        let change = |image: &str| {
            let patch = json!([{"op": "replace", "path": format!("{template}/spec/containers/0/image"), "value": image}]);
            desk.sh(&format!("kubectl patch {kind} a --type=json -p '{patch}'"))
        };
        change(&unsigned()).refused(&[REFUSED, &unsigned(), "No attestations found"]);
        change("registry.k8s.io/pause:3.9").ok();
    }
    let kinds =
        "deployments,replicasets,statefulsets,daemonsets,replicationcontrollers,podtemplates,cronjobs,jobs";
    assert_eq!(
        desk.ok(&format!("kubectl get {kinds} -l team=x -o name"))
            .text()
            .lines()
            .count(),
        good.len()
    );
    pods(&desk);
}

/// A Pod in each of the places an image can stand, and in each of the ways it can be changed.
fn pods(desk: &Desk) {
    create(desk, &pod("p", &unsigned())).refused(&[REFUSED, &unsigned()]);
    create(desk, &pod("p", &signed())).ok();
    let change = |image: &str| desk.sh(&format!("kubectl set image pod/p app={image}"));
    change(&unsigned()).refused(&[REFUSED, &unsigned()]);
    change("registry.k8s.io/pause:3.9").ok();
    desk.ok("kubectl label pod p a=b && kubectl annotate pod p a=b");

    let mut init = pod("init", &signed());
    init["spec"]["initContainers"] = json!([{"name": "i", "image": unsigned()}]);
    let mut volume = pod("volume", &signed());
    volume["spec"]["volumes"] = json!([{"name": "v", "image": {"reference": unsigned()}}]);
    let mut owned = pod("owned", &unsigned());
    let owner = desk.ok("kubectl get replicaset a -o jsonpath='{.metadata.uid}'");
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": owner.text()}]);
    let mut generated = pod("", &unsigned());
    generated["metadata"] = json!({"generateName": "generated-"});
    for object in [&init, &volume, &owned, &generated] {
        create(desk, object).refused(&[REFUSED, &unsigned()]);
    }
    generated["spec"]["containers"][0]["image"] = json!(signed());
    create(desk, &generated).ok().says(&["pod/generated-"]);

    // A container put into a Pod that runs.
    let debug = |image: &str| {
        desk.sh(&format!(
            "kubectl debug p --image={image} --container=d --profile=general"
        ))
    };
    debug(&unsigned()).refused(&[REFUSED, &unsigned()]);
    debug(&signed()).ok();
    desk.ok("kubectl get pod p -o jsonpath='{.spec.ephemeralContainers[*].image}'")
        .says(&[&signed()]);
}

#[test]
fn every_way_to_write_is_guarded() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    desk.ok(&format!("kubectl create deployment d --image={}", signed()));
    desk.sh(&format!(
        "kubectl set image deployment/d myservice={}",
        unsigned()
    ))
    .refused(&[
        "failed to patch image update to pod template: ",
        REFUSED,
        &unsigned(),
    ]);
    desk.ok("kubectl scale deployment d --replicas=2");
    Cluster::eventually(&desk, "[ \"$(kubectl get pods -l app=d -o name | wc -l)\" = 2 ]");

    desk.write("pod.json", &pod("applied", &unsigned()).to_string());
    for apply in [
        "kubectl apply",
        "kubectl apply --server-side",
        "kubectl apply --dry-run=server",
        "kubectl replace --force",
    ] {
        desk.sh(&format!("{apply} -f pod.json"))
            .refused(&[REFUSED, &unsigned()]);
    }
    assert_eq!(desk.ok("kubectl get pods applied --ignore-not-found").text(), "");
    // A dry run is on record as one.
    let log = desk.ok("binauthz logs list --verdict=deny --format=json").json();
    let mut applied = log
        .as_array()
        .expect("a list")
        .iter()
        .filter(|entry| entry["name"] == "applied");
    assert!(applied.any(|entry| entry["dryRun"] == true), "{log:#}");

    // What came in before the guard goes on, and starts nothing new.
    desk.ok("kubectl config use-context my-cluster");
    desk.ok(&typed("uninstall"));
    Cluster::eventually(
        &desk,
        &format!("kubectl create deployment old --image={}", unsigned()),
    );
    Cluster::eventually(&desk, "kubectl get pods -l app=old -o name | grep .");
    install(&desk, "").ok();
    desk.ok("kubectl label deployment old team=x && kubectl scale deployment old --replicas=2");
    Cluster::eventually(
        &desk,
        "kubectl get events -o json | jq -e '.items[] | select(.reason == \"FailedCreate\")'",
    )
    .says(&["denied the request: Image", "No attestations found"]);
    assert_eq!(
        desk.ok("kubectl get pods -l app=old -o name")
            .text()
            .lines()
            .count(),
        1
    );
}

#[test]
fn a_server_that_is_away_admits_nothing() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(mut desk) = guarded(&cluster) else { return };
    let run = format!("kubectl run p --image={}", signed());
    desk.server.end();
    let mut workload = workloads(&signed()).swap_remove(0).0;
    for _ in 0..3 {
        desk.sh(&run)
            .refused(&["failed calling webhook", "imagepolicywebhook.image-policy.k8s.io"]);
        create(&desk, &workload).refused(&["failed calling webhook"]);
    }
    // Breaking the glass takes somebody to write it down.
    workload["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1234"});
    create(&desk, &workload).refused(&["failed calling webhook"]);
    assert_eq!(desk.ok("kubectl get pods,deployments -o name").text(), "");
}

#[test]
fn namespaces_are_left_out_by_name_and_by_nothing_else() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = desk(&cluster, &[]) else { return };
    let run = |namespace: &str| format!("kubectl -n {namespace} run p --image={}", unsigned());
    let here = desk
        .ok("kubectl config view --minify -o jsonpath='{..namespace}'")
        .text()
        .to_owned();
    install(&desk, "").ok();
    for namespace in ["kube-system", here.as_str()] {
        desk.sh(&run(namespace)).refused(&[REFUSED]);
    }
    install(&desk, "--exempt-namespace=kube-system")
        .ok()
        .says(&["not guarded: namespace kube-system"]);
    desk.ok(&typed("status"))
        .says(&["not guarded:  namespace kube-system"]);
    Cluster::eventually(&desk, &run("kube-system"));
    desk.ok("kubectl -n kube-system delete pod p --wait=false");
    // Whatever a namespace or a Pod says of itself.
    desk.ok(&format!(
        "kubectl label namespace {here} binauthz=ignore admission.policy/ignore=true control-plane=true"
    ));
    desk.sh(&format!(
        "kubectl label namespace {here} --overwrite kubernetes.io/metadata.name=kube-system"
    ));
    desk.sh(&format!(
        "{} --labels=binauthz=ignore,control-plane=true",
        run(&here)
    ))
    .refused(&[REFUSED]);
}

#[test]
fn a_server_behind_a_service_does_not_guard_its_own_namespace() {
    let Some(cluster) = Cluster::take() else { return };
    let names = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(names.path(), "serverNames: [binauthz.binauthz.svc]\n").expect("it can be written");
    let config = names.path().display().to_string();
    // Every ClusterIP of the test cluster is a loopback address.
    let options = ["--config", &config, "--webhook-listen", "127.100.0.77:0"];
    let Some(desk) = desk(&cluster, &options) else {
        return;
    };
    desk.ok("PORT=${WEBHOOK##*:}
        kubectl create namespace binauthz
        kubectl create -f - <<END
{apiVersion: v1, kind: Service, metadata: {name: binauthz, namespace: binauthz},
 spec: {clusterIP: 127.100.0.77, ports: [{port: $PORT}]}}
END");
    let install = format!(
        "{} --service=binauthz/binauthz:${{WEBHOOK##*:}}",
        typed("install")
    );
    desk.ok(&install).says(&[
        "asks Service binauthz/binauthz:",
        "not guarded: namespace binauthz",
        "is denied",
    ]);
    desk.ok(&typed("status"))
        .says(&["webhook:      Service binauthz/binauthz:", "guarded"]);
    desk.ok(&install).says(&["everything is in its place"]);
    desk.ok("kubectl -n binauthz create deployment own --image=binauthz:latest");
    Cluster::eventually(&desk, "kubectl -n binauthz get pods -l app=own -o name | grep .");
    desk.sh("kubectl create deployment other --image=binauthz:latest")
        .refused(&[REFUSED]);
    desk.ok("kubectl delete namespace binauthz --wait=false");
}
