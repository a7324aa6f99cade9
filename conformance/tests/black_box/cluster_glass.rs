//! A server that asks a real API server: who may break the glass, and where a refusal is told.

use std::io::Write as _;

use binauthz_conformance::cluster::CONTEXT;
use binauthz_conformance::desk::CLUSTER;
use binauthz_conformance::{Cluster, Desk};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::cluster::{BREAK_GLASS, REFUSED, create, pod, unsigned, workloads};
use crate::cluster_install::{desk, install};

const GUIDE: &str = include_str!("../../../docs/guide/6-break-glass.md");

/// A guarded cluster whose server asks it so, and `kubectl` is Alice's.
pub(crate) fn guarded(cluster: &Cluster, context: &str, asks: &str) -> Option<(Desk, NamedTempFile)> {
    let mut config = NamedTempFile::new().expect("a file can be made");
    let kubeconfig = cluster.kubeconfig().display();
    writeln!(
        config,
        "guard: {{clusters: ['{CLUSTER}={context}'], kubeconfig: {kubeconfig}, {asks}"
    )
    .expect("it can be written");
    let desk = desk(cluster, &["--config", &config.path().display().to_string()])?;
    install(&desk, "").ok();
    desk.ok("kubectl config use-context alice");
    Some((desk, config))
}

/// The role of the guide, for the group that Alice is in.
fn role() -> String {
    let (_, rest) = GUIDE
        .split_once("# break-glass-role.yaml\n")
        .expect("the guide shows it");
    let (role, _) = rest.split_once("```").expect("it ends");
    role.replace("name: oncall", "name: developers")
}

#[test]
fn the_glass_is_broken_by_those_who_may() {
    let Some(cluster) = Cluster::take() else { return };
    let Some((desk, _config)) = guarded(&cluster, CONTEXT, "reviewBreakGlass: true}") else {
        return;
    };
    let mut opened = pod("opened", &unsigned());
    opened["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1234"});
    let closed = [
        "Error from server (VIOLATES_POLICY)",
        "Denied by Binary Authorization: break-glass does not open: `alice@example.com` may not `use` `breakglass.binauthz`",
    ];
    create(&desk, &opened).refused(&closed);
    let (mut deployment, _) = workloads(&unsigned()).swap_remove(0);
    deployment["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1234"});
    deployment["spec"]["replicas"] = json!(1);
    create(&desk, &deployment).refused(&closed);

    desk.write("role.yaml", &role());
    desk.ok(&format!("kubectl --context={CONTEXT} apply -f role.yaml"));
    desk.write("opened.json", &opened.to_string());
    Cluster::eventually(&desk, "kubectl create -f opened.json").says(&["Warning: admitted by break-glass"]);
    create(&desk, &deployment)
        .ok()
        .says(&["Warning: admitted by break-glass"]);
    // The controllers of the role may, too.
    Cluster::eventually(&desk, "kubectl get pods -l app=a -o name | grep .");
    let log = desk
        .ok("binauthz logs list --effect=break-glass --format=json")
        .json();
    let users: Vec<&str> = log
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["user"].as_str())
        .collect();
    assert!(
        users.contains(&"system:serviceaccount:kube-system:replicaset-controller"),
        "{users:?}"
    );

    // What was taken away is gone.
    desk.ok(&format!("kubectl --context={CONTEXT} delete -f role.yaml"));
    opened["metadata"]["name"] = json!("again");
    desk.write("opened.json", &opened.to_string());
    Cluster::eventually(
        &desk,
        "! kubectl create -f opened.json 2>refused.txt && grep -q 'may not' refused.txt",
    );
    let denied = desk.ok("binauthz logs list --verdict=deny --format=json").json();
    let mut denied = denied.as_array().expect("a list").iter();
    assert!(denied.any(|entry| entry["name"] == "again" && entry["reason"] == "BREAK_GLASS_CLOSED"));
}

#[test]
fn a_cluster_that_does_not_let_itself_be_asked_keeps_its_glass() {
    let Some(cluster) = Cluster::take() else { return };
    // Alice may not ask about others.
    let Some((desk, _config)) = guarded(&cluster, "alice", "reviewBreakGlass: true}") else {
        return;
    };
    let mut opened = pod("opened", &unsigned());
    opened["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1234"});
    create(&desk, &opened).refused(&[
        "who may open it could not be asked: Kubernetes refused it",
        "Forbidden",
    ]);
    desk.ok("kubectl run p --image=registry.k8s.io/pause:3.9");
}

#[test]
fn a_refusal_is_an_event_where_people_look() {
    let Some(cluster) = Cluster::take() else { return };
    let Some((desk, _config)) = guarded(&cluster, CONTEXT, "events: true}\nwarnOnlyForWorkloads: true")
    else {
        return;
    };
    let refused = desk
        .sh(&format!("kubectl run p --image={}", unsigned()))
        .refused(&[REFUSED]);
    let event = Cluster::eventually(
        &desk,
        "kubectl get events -o json | jq -e '.items[] | select(.reason == \"BinaryAuthorizationDenied\")'",
    )
    .json();
    assert_eq!(
        (
            &event["involvedObject"]["kind"],
            &event["involvedObject"]["name"],
            &event["type"]
        ),
        (&json!("Pod"), &json!("p"), &json!("Warning")),
        "{event:#}"
    );
    let message = event["message"].as_str().expect("a sentence");
    assert!(
        refused.to_string().contains(message),
        "{message} is what kubectl said"
    );
    let decision = event["metadata"]["annotations"]["binauthz/decision"]
        .as_str()
        .expect("an id");
    desk.ok(&format!("binauthz explain {decision}"))
        .says(&["DENY Pod p"]);

    // A workload is warned about, and its controller is told what its Pods met; it tries again and again.
    let (mut deployment, _) = workloads(&unsigned()).swap_remove(0);
    deployment["spec"]["replicas"] = json!(1);
    create(&desk, &deployment)
        .ok()
        .says(&["Warning: its Pods will be denied: Image "]);
    let told = "kubectl get events -o json | jq '[.items[] | select(.reason == \"BinaryAuthorizationDenied\" and .involvedObject.kind == \"ReplicaSet\")]'";
    Cluster::eventually(&desk, &format!("{told} | jq -e 'length > 0'"));
    Cluster::eventually(
        &desk,
        "[ $(kubectl get events -o json | jq '[.items[] | select(.reason == \"FailedCreate\") | .count] | add') -ge 4 ]",
    );
    let told = desk.ok(told).json();
    let names: std::collections::BTreeSet<&str> = told
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["message"].as_str())
        .collect();
    assert_eq!(names.len(), 1, "the same refusal is told once: {told:#}");
    let owner = &told[0]["involvedObject"];
    let uid = desk.ok(&format!(
        "kubectl get replicaset {} -o jsonpath='{{.metadata.uid}}'",
        owner["name"].as_str().expect("a name")
    ));
    assert_eq!(owner["uid"], uid.text());
}
