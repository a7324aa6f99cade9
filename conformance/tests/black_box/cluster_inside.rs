//! `binauthz cluster install --in-cluster`: a server that runs in the cluster that it guards. The test plays the node.

use binauthz_conformance::{Cluster, Desk, Node, Ran};

use crate::cluster_install::typed;
use crate::story;

pub(crate) const IMAGE: &str =
    "registry.example/binauthz@sha256:1111111111111111111111111111111111111111111111111111111111111111";
const NEXT: &str =
    "registry.example/binauthz@sha256:2222222222222222222222222222222222222222222222222222222222222222";
/// Kinds of the namespace that `install` makes.
const KINDS: &str =
    "deployment,service,networkpolicy,poddisruptionbudget,serviceaccount,configmap,secret,pvc";
const UNSIGNED: &str =
    "kubectl --namespace=default run unsigned --image=us-central1-docker.pkg.dev/demo/app/hotfix:1";

/// A desk in a cluster in which no namespace `binauthz` is left, and whose `kubectl` works in that one.
pub(crate) fn desk(cluster: &Cluster) -> Option<Desk> {
    let mut desk = Desk::with(&["jq", "curl"])?;
    desk.shell.set("BINAUTHZ_PROJECT", "demo");
    cluster.attach(&mut desk);
    desk.ok(
        "kubectl delete namespace binauthz --ignore-not-found --timeout=180s
             kubectl config set-context --current --namespace=binauthz",
    );
    desk.write("binauthz-policy.yaml", story::POLICY);
    Some(desk)
}

pub(crate) fn install(desk: &Desk, image: &str, flags: &str) -> Ran {
    desk.sh(&format!(
        "{} --in-cluster --image={image} {flags}",
        typed("install")
    ))
}

/// Everything that is there of the server and of the guard, with its versions.
fn everything(desk: &Desk) -> String {
    let versions =
        "-o jsonpath='{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}'";
    let script = format!(
        "kubectl get {KINDS} {versions}
         kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations {versions}"
    );
    desk.ok(&script).text().to_owned()
}

#[track_caller]
fn nothing_is_there(desk: &Desk) {
    Cluster::eventually(desk, "! kubectl get namespace binauthz");
    let configurations = "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o name";
    assert_eq!(desk.ok(configurations).text(), "");
}

#[test]
fn one_command_runs_the_server_and_guards_the_cluster() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = desk(&cluster) else { return };
    let plan = [
        "create Namespace binauthz",
        "create Secret binauthz/binauthz-credentials",
        "create Deployment binauthz/binauthz",
        "create ClusterRole binauthz-guard",
        "create RoleBinding default/binauthz-canary",
        "create ValidatingWebhookConfiguration binauthz",
        "not guarded: namespace binauthz",
    ];
    install(&desk, IMAGE, "--dry-run").ok().says(&plan);
    nothing_is_there(&desk);
    // The manifests for those who keep such things elsewhere: what an API server takes, in its strictest mood.
    install(&desk, IMAGE, "--dry-run --format=yaml >planned.yaml").ok();
    desk.ok("kubectl create namespace binauthz
             kubectl apply --server-side --force-conflicts --validate=strict --dry-run=server -f planned.yaml
             kubectl delete namespace binauthz --timeout=180s")
        .says(&[
            "deployment.apps/binauthz",
            "secret/binauthz-credentials",
            "validatingwebhook",
        ]);

    let node = Node::start(&desk, "binauthz");
    install(&desk, IMAGE, "").ok().says(&plan).says(&[
        "WARNING: a Pod that nobody attested is admitted",
        "Installed [projects/demo/locations/us-central1-a/clusters/my-cluster]",
    ]);
    let flags = node.flags();
    set_policy(&desk, &flags);
    desk.ok(&format!("{} {flags}", typed("status")))
        .says(&["guarded"]);
    desk.sh(UNSIGNED).refused(&["denied by attestor"]);

    let before = everything(&desk);
    install(&desk, IMAGE, "")
        .ok()
        .says(&["everything is in its place", "is denied"]);
    assert_eq!(everything(&desk), before);

    // It looks after the cluster by itself, with the rights that it was given.
    Cluster::eventually(
        &desk,
        "data=node/var/lib/binauthz/data
         curl --silent --cacert $data/webhook-ca.pem \"$(jq -r .health $data/addresses.json)/metrics\" |
             grep 'binauthz_guard_canary_failed{cluster=\".*/my-cluster\"} 0'",
    );
    comes_back(&desk, &node);
    is_upgraded(&desk, &node);
    is_taken_away(&desk);
}

fn set_policy(desk: &Desk, flags: &str) {
    desk.ok(&format!(
        "binauthz {flags} notes create image-signing-note --human-readable-name=signed
         binauthz {flags} attestors create image-signing-attestor --attestation-authority-note=image-signing-note
         binauthz {flags} policy import binauthz-policy.yaml"
    ));
}

/// Without the server nothing starts, but for the server itself.
fn comes_back(desk: &Desk, node: &Node) {
    desk.ok(
        "kubectl scale deployment binauthz --replicas=0 && kubectl wait --for=delete pod --all --timeout=60s",
    );
    Cluster::eventually(desk, &format!("! curl --silent --insecure {}", node.api));
    desk.sh("kubectl --namespace=default run p --image=registry.k8s.io/pause:3.9")
        .refused(&["failed calling webhook"]);
    // Somebody's hand is undone like any other change.
    install(desk, IMAGE, "")
        .ok()
        .says(&["update Deployment binauthz/binauthz"]);
    desk.ok("kubectl --namespace=default run p --image=registry.k8s.io/pause:3.9 --dry-run=server");
    desk.ok(&format!("{} {}", typed("status"), node.flags()))
        .says(&["guarded"]);
}

fn is_upgraded(desk: &Desk, node: &Node) {
    install(desk, NEXT, "")
        .ok()
        .says(&["update Deployment binauthz/binauthz"])
        .never_says("update Service");
    let image = "kubectl get deployment binauthz -o jsonpath='{..containers[0].image}'";
    assert_eq!(desk.ok(image).text(), NEXT);
    // Keys, policy and registration are those of before.
    desk.ok(&format!("{} {}", typed("status"), node.flags()))
        .says(&["guarded"]);
    desk.sh(UNSIGNED).refused(&["denied by attestor"]);
}

fn is_taken_away(desk: &Desk) {
    let authority = "kubectl get secret binauthz-credentials -o jsonpath='{.data.authority\\.pem}'";
    let before = desk.ok(authority).text().to_owned();
    desk.ok(&format!("{} --dry-run", typed("uninstall"))).says(&[
        "remove ValidatingWebhookConfiguration binauthz",
        "remove Deployment binauthz/binauthz",
    ]);
    desk.ok(&typed("uninstall"))
        .says(&["left: the Secret", "Uninstalled"]);
    desk.ok(&format!("{UNSIGNED} --dry-run=server"));
    assert_eq!(
        desk.ok("kubectl get clusterrole,clusterrolebinding -o name | grep binauthz || true")
            .text(),
        ""
    );
    Cluster::eventually(
        desk,
        "[ \"$(kubectl get deployment,service,pod,networkpolicy,poddisruptionbudget -o name)\" = '' ]",
    );
    desk.ok("kubectl get pvc binauthz");
    desk.ok(&typed("uninstall")).says(&["nothing is installed"]);
    // What was sealed can still be opened.
    install(desk, IMAGE, "").ok().never_says("create Secret");
    assert_eq!(desk.ok(authority).text(), before);
    desk.sh(UNSIGNED).refused(&["denied by attestor"]);
    desk.ok(&typed("uninstall"));
}

#[test]
fn what_does_not_come_to_run_is_undone() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = desk(&cluster) else { return };
    // There is no node: the Pod stays pending.
    install(&desk, IMAGE, "--wait=3").refused(&[
        "not available after 3 s",
        "MinimumReplicasUnavailable",
        "changed back",
    ]);
    nothing_is_there(&desk);
    let interrupted = format!(
        "timeout --signal=INT 3 {} --in-cluster --image={IMAGE}",
        typed("install")
    );
    desk.sh(&interrupted).refused(&["interrupted", "changed back"]);
    nothing_is_there(&desk);
    for (flags, words) in [
        ("--image=Registry", "image"),
        (
            &*format!("--image={IMAGE} --webhook-url=https://b.example"),
            "cannot be used with",
        ),
        (&format!("--image={IMAGE} --webhook-ca=x"), "cannot be used with"),
        (
            &format!("--image={IMAGE} --binauthz-evaluation-mode=disabled"),
            "cannot be used with",
        ),
        (&format!("--image={IMAGE} --wait=0"), "--wait"),
        ("", "--image"),
    ] {
        desk.sh(&format!("{} --in-cluster {flags}", typed("install")))
            .refused(&[words]);
    }
    let alice = typed("install").replace("--context=my-cluster", "--context=alice");
    desk.sh(&format!("{alice} --in-cluster --image={IMAGE}"))
        .refused(&["Forbidden"]);
    nothing_is_there(&desk);
    others_are_left_alone(&desk);
    what_ran_before_runs_again(&desk);
}

fn others_are_left_alone(desk: &Desk) {
    desk.ok(
        "kubectl create namespace binauthz && kubectl create service clusterip binauthz-webhook --tcp=8443",
    );
    let before = everything(desk);
    install(desk, IMAGE, "").refused(&["Service binauthz/binauthz-webhook", "did not make", "--service="]);
    assert_eq!(everything(desk), before);
    desk.ok("kubectl delete service binauthz-webhook && kubectl create secret generic binauthz-credentials");
    install(desk, IMAGE, "").refused(&["holds no authority.pem"]);
    desk.ok("kubectl delete secret binauthz-credentials");
    // A namespace that was there stays, and what others keep in it.
    desk.ok("kubectl create configmap others");
    install(desk, IMAGE, "--wait=1").refused(&["not available", "changed back"]);
    desk.ok("kubectl get configmap others && kubectl delete namespace binauthz --timeout=180s");
}

fn what_ran_before_runs_again(desk: &Desk) {
    let node = Node::start(desk, "binauthz");
    install(desk, IMAGE, "").ok();
    drop(node);
    install(desk, NEXT, "--wait=2").refused(&["not available after 2 s", "changed back"]);
    let image = "kubectl get deployment binauthz -o jsonpath='{..containers[0].image}'";
    assert_eq!(desk.ok(image).text(), IMAGE);
    // The guard was there before, so it is there now: it refuses until the server is back.
    desk.sh(UNSIGNED).refused(&["failed calling webhook"]);
    let _node = Node::start(desk, "binauthz");
    desk.ok("kubectl rollout status deployment binauthz --timeout=60s");
    desk.ok(&typed("uninstall"));
}
