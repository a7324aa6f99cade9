//! Every server is killed and the API server starts anew: nothing that the guard watches starts meanwhile, and the cluster
//! brings the server back without anybody taking the guard away.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{Cluster, Desk, Node};
use serde_json::{Value, json};

use crate::cluster_inside::{self, IMAGE};
use crate::cluster_install::typed;
use crate::own_commands::{self, SIGN};
use crate::story;

/// The namespace of the server, exempt by its name.
const OWN: &str = "binauthz";
const AWAY: &str = "failed calling webhook \"imagepolicywebhook.image-policy.k8s.io\"";
const REFUSED: &str =
    "admission webhook \"imagepolicywebhook.image-policy.k8s.io\" denied the request: Image ";
const SYSTEM: &str = "registry.k8s.io/pause:3.9";
/// What the guard is: it must be the same objects with the same contents from first to last.
const GUARD: &str = "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o json |
     jq -c '[.items[] | {uid: .metadata.uid, webhooks}]'";

fn image(digit: &str) -> String {
    format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64))
}

fn try_create(desk: &Desk, object: &Value) -> binauthz_conformance::Ran {
    desk.write("object.json", &object.to_string());
    desk.sh("kubectl create -f object.json")
}

/// Points `binauthz` at the server of a node.
fn use_server(desk: &mut Desk, node: &Node) {
    let data = desk.folder().join("node/var/lib/binauthz/data");
    let file = |name: &str| data.join(name).display().to_string();
    desk.shell.set("BINAUTHZ_SERVER", node.api.as_str());
    desk.shell.set("BINAUTHZ_CA_FILE", file("webhook-ca.pem"));
    desk.shell.set("BINAUTHZ_TOKEN_FILE", file("admin.token"));
}

#[test]
fn a_cluster_brings_killed_servers_back_and_admits_nothing_meanwhile() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(mut desk) = cluster_inside::desk(&cluster) else {
        return;
    };
    let node = Node::start(&desk, OWN);
    cluster_inside::install(&desk, IMAGE, "--exempt-namespace=kube-system").ok();
    use_server(&mut desk, &node);
    own_commands::policy(&desk);
    desk.ok(&format!(
        "{SIGN} --artifact-url={} {}",
        image("a"),
        story::KEY_VERSION
    ));
    cluster.attach(&mut desk);
    desk.ok(&format!(
        "kubectl create deployment running --image={signed}
         kubectl run alone --image={signed}",
        signed = image("a")
    ));
    Cluster::eventually(&desk, "kubectl get pods -l app=running -o name | grep .");
    let before = desk.ok(GUARD).json();

    node.cut_power();
    if !cluster.restart_api_server() {
        return;
    }
    nothing_gets_in(&desk);
    what_is_marked_gets_in_no_better(&desk);
    what_ran_waits(&desk);
    the_server_is_made_again(&desk);
    // It is made, and does not run yet.
    try_create(&desk, &pod(&json!({"name": "p"}))).refused(&[AWAY]);

    let node = Node::start(&desk, OWN);
    use_server(&mut desk, &node);
    desk.ok(&format!(
        "kubectl -n {OWN} rollout status deployment/binauthz --timeout=120s"
    ));
    everything_is_decided_again(&desk);
    assert_eq!(desk.ok(GUARD).json(), before);
    desk.ok(&typed("uninstall"));
}

/// A Pod of an image that nobody signed.
fn pod(metadata: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"containers": [{"name": "app", "image": image("b")}]}})
}

/// Neither what is signed nor what is not, new or changed, tried or in earnest.
fn nothing_gets_in(desk: &Desk) {
    let unsigned = image("b");
    for image in [unsigned.as_str(), &image("a"), SYSTEM] {
        desk.sh(&format!("kubectl run p --image={image}")).refused(&[
            "Error from server (InternalError): Internal error occurred: ",
            AWAY,
        ]);
    }
    for command in [
        "kubectl run p --dry-run=server",
        "kubectl create deployment d",
        "kubectl create job j",
        "kubectl create cronjob c --schedule='* * * * *'",
        "kubectl debug alone",
    ] {
        desk.sh(&format!("{command} --image={unsigned}")).refused(&[AWAY]);
    }
    for command in [
        "set image pod/alone alone",
        "set image deployment/running myservice",
    ] {
        desk.sh(&format!("kubectl {command}={unsigned}")).refused(&[AWAY]);
    }
}

/// Nothing that anybody can write on an object or a namespace helps.
fn what_is_marked_gets_in_no_better(desk: &Desk) {
    let break_glass = "alpha.image-policy.k8s.io/break-glass";
    let labels = json!({
        "image-policy.k8s.io/break-glass": "true",
        "app.kubernetes.io/managed-by": "binauthz",
        "app.kubernetes.io/name": "binauthz",
        "binauthz-canary": "probe",
        "kubernetes.io/metadata.name": OWN,
        "admission.binauthz/ignore": "true",
    });
    let owner = desk
        .ok("kubectl get replicasets -l app=running -o json | jq '.items[0].metadata'")
        .json();
    for metadata in [
        json!({"name": "p", "labels": labels}),
        json!({"name": "p", "annotations": {break_glass: "INC-1"}}),
        json!({"name": "binauthz-canary"}),
        json!({"generateName": "running-", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": owner["name"], "uid": owner["uid"], "controller": true}]}),
    ] {
        try_create(desk, &pod(&metadata)).refused(&[AWAY]);
    }
    // As a kubelet shows the API server what it runs of its own accord.
    let mut mirror = pod(&json!({"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}));
    mirror["spec"]["nodeName"] = json!("node");
    try_create(desk, &mirror).refused(&[AWAY]);
    // A namespace says of itself what it likes; the API server says its name.
    desk.ok(&format!(
        "NAMESPACE=$(kubectl config view --minify -o jsonpath='{{..namespace}}')
         kubectl label --overwrite namespace $NAMESPACE admission.binauthz/ignore=true control-plane=binauthz
         kubectl label --overwrite namespace $NAMESPACE kubernetes.io/metadata.name={OWN} || true"
    ));
    try_create(desk, &pod(&json!({"name": "p"}))).refused(&[AWAY]);
}

/// What ran is not replaced, and its controller says why. What the cluster itself needs is in an exempt namespace.
fn what_ran_waits(desk: &Desk) {
    desk.ok("kubectl delete pod --all --force --grace-period=0");
    Cluster::eventually(
        desk,
        "kubectl get events -o json | grep -F 'failed calling webhook'",
    );
    assert_eq!(desk.ok("kubectl get pods -o name").text(), "");
    desk.ok(&format!(
        "kubectl -n kube-system run recovery --image={SYSTEM}
         kubectl -n kube-system delete pod recovery --force --grace-period=0"
    ));
}

/// By its controllers when its Pod is gone, and from its manifest when all of it is.
fn the_server_is_made_again(desk: &Desk) {
    let waits = format!(
        "kubectl -n {OWN} get pods -o json |
         jq -e '[.items[] | select(.metadata.deletionTimestamp == null) | .status.phase] == [\"Pending\"]'"
    );
    // With the node goes what held its Pod.
    let gone = format!(
        "kubectl -n {OWN} delete pod --all --force --grace-period=0 --wait=false
         for pod in $(kubectl -n {OWN} get pods -o json | jq -r '.items[] | select(.metadata.finalizers) | .metadata.name')
         do kubectl -n {OWN} patch pod $pod --type=merge -p '{{\"metadata\": {{\"finalizers\": null}}}}'; done"
    );
    desk.ok(&gone);
    Cluster::eventually(desk, &waits);
    desk.ok(&format!(
        "kubectl -n {OWN} get deployment binauthz -o json |
             jq 'del(.status, .metadata.uid, .metadata.resourceVersion, .metadata.managedFields)' >deployment.json
         kubectl -n {OWN} delete deployment binauthz
         kubectl -n {OWN} wait --for=delete pod --all --timeout=60s
         kubectl create -f deployment.json"
    ));
    Cluster::eventually(desk, &waits);
}

#[track_caller]
fn everything_is_decided_again(desk: &Desk) {
    Cluster::eventually(desk, &typed("status")).says(&["validating:   as shipped", "guarded"]);
    desk.sh(&format!("kubectl run unsigned --image={}", image("b")))
        .refused(&[
            "Error from server (VIOLATES_POLICY): ",
            REFUSED,
            "No attestations found",
        ]);
    for image in [image("a"), SYSTEM.to_owned()] {
        desk.ok(&format!(
            "kubectl run p --image={image} && kubectl delete pod p --force --grace-period=0"
        ));
    }
    // The Deployment that waited has its Pod, as soon as its controller tries again.
    desk.ok("kubectl rollout restart deployment/running");
    Cluster::eventually(desk, "kubectl get pods -l app=running -o name | grep .");
}
