//! A verdict without the server is the server's own.

use crate::commands::{KEY, image, prepared, prepared_on};
use crate::common::Server;

/// The objects of one manifest each, and the namespace given.
const CASES: &[(&str, &str)] = &[
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: signed}, spec: {containers: [{name: c, image: \"SIGNED\"}]}}",
        "default",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: unsigned}, spec: {containers: [{name: c, image: \"UNSIGNED\"}]}}",
        "default",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: tag}, spec: {containers: [{name: c, image: r.example/app:v1}, {name: d, image: gke.gcr.io/x}]}}",
        "team-a",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: prod}, spec: {containers: [{name: c, image: registry.k8s.io/pause:3}]}}",
        "team-a",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: nowhere}, spec: {containers: [{name: c, image: \"SIGNED\"}]}}",
        "Not/one",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: empty}, spec: {containers: []}}",
        "default",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, annotations: {alpha.image-policy.k8s.io/break-glass: INC-1}}, \
      spec: {template: {spec: {initContainers: [{name: i, image: r.example/app:v1}], containers: [{name: c, image: \"a b\"}]}}}}",
        "default",
    ),
];

/// Every case, decided by the server and by its snapshot, comes out as the same text and the same status.
fn compare(server: &Server, cluster: &str) {
    server.done("snapshot export --output=snapshot.json");
    for (case, namespace) in CASES {
        let manifest = case
            .replace("UNSIGNED", &image("app").replace("ebb4", "0000"))
            .replace("SIGNED", &image("app"));
        server.write("m.yaml", &manifest);
        for how in ["--format=json", "--explain", "--explain --format=json", ""] {
            let typed = format!("decide m.yaml --namespace={namespace} {cluster} {how}");
            let online = server.run(&typed);
            let offline = server.run(&format!("{typed} --snapshot=snapshot.json"));
            assert!(online.code < 2, "{typed} {manifest}\n{}", online.error);
            assert_eq!(
                (offline.code, &offline.out),
                (online.code, &online.out),
                "{typed} {manifest}"
            );
        }
    }
}

#[test]
fn a_snapshot_decides_as_its_server_does() {
    let server = prepared();
    server.done(&format!(
        "attestations sign-and-create --artifact-url={} --attestor=a {KEY}",
        image("app")
    ));
    compare(&server, "");
    compare(&server, "--cluster=zone-a.unknown");
    server.done("clusters create off --location=zone-a --binauthz-evaluation-mode=DISABLED");
    compare(&server, "--cluster=zone-a.off");
    let identities = "istioServiceIdentityAdmissionRules:\n  spiffe://demo.svc.id.goog/ns/default/sa/default:\n    \
                      evaluationMode: ALWAYS_ALLOW\n    enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG\n";
    let policy = server.read("policy.yaml");
    server.write("identities.yaml", &format!("{policy}{identities}"));
    server.done("policy import identities.yaml");
    compare(&server, "--cluster=zone-a.c");
}

#[test]
fn which_cluster_has_to_be_said_where_there_are_several() {
    let server = prepared();
    server.done("clusters create d --location=zone-b");
    server.done("snapshot export --output=snapshot.json");
    server.write("m.yaml", CASES[2].0);
    for typed in ["decide m.yaml", "decide m.yaml --snapshot=snapshot.json"] {
        let run = server.run(typed);
        assert_eq!(run.code, 2, "{typed}");
        assert!(
            run.error.contains("--cluster=zone-a.c, or --cluster=zone-b.d"),
            "{}",
            run.error
        );
    }
}

#[test]
fn a_required_policy_is_required_of_a_snapshot_too() {
    let server = Server::start_with(&["--require-policy"]);
    server.done("clusters create c --location=zone-a");
    compare(&server, "");
    server.done("snapshot export --output=unset.json");
    server.write("m.yaml", CASES[2].0);
    let unset = server.run("decide m.yaml --snapshot=unset.json");
    assert_eq!(unset.code, 1);
    assert!(
        unset.out.contains("has no policy and this server requires one"),
        "{}",
        unset.out
    );
    let server = prepared_on(Server::start_with(&["--require-policy"]));
    compare(&server, "");
}

#[test]
fn an_explanation_is_data_too() {
    let server = prepared();
    server.write("m.yaml", CASES[2].0);
    let run = server.run("decide m.yaml --explain --format=json");
    let explained: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    let tried = &explained[0]["explanation"]["images"];
    assert_eq!(
        tried[0]["patterns"]["notMatching"][0]["pattern"], "gke.gcr.io/*",
        "{}",
        run.out
    );
    assert_eq!(tried[1].get("patterns"), None, "an exempt image: {}", run.out);
    let plain = server.run("decide m.yaml --format=json");
    assert!(!plain.out.contains("explanation"), "{}", plain.out);
}
