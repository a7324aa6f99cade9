//! `binauthz bench`: what it measures is there, what is wrong it says, against a server and through a real API server.

use binauthz_conformance::cluster::CONTEXT;
use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::{Cluster, Desk};
use serde_json::Value;

use crate::{cluster_install, own_commands, story};

fn image(digit: &str) -> String {
    format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64))
}

/// The way of this name in a report.
#[track_caller]
fn way<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut ways = report.as_array().into_iter().flatten();
    ways.find(|way| way["way"] == name)
        .unwrap_or_else(|| panic!("no `{name}` in {report}"))
}

/// A whole report of a measurement without errors.
#[track_caller]
fn good(report: &Value) {
    for name in ["without", "with"] {
        let way = way(report, name);
        assert!(
            way["requests"].as_u64().is_some_and(|count| count > 20),
            "{report}"
        );
        assert_eq!(way["errors"], 0, "{report}");
        let figure = |name: &str| way[name].as_f64().expect("a number");
        let figures = [
            "p50Milliseconds",
            "p90Milliseconds",
            "p99Milliseconds",
            "maxMilliseconds",
        ];
        let figures = figures.map(figure);
        assert!(figures[0] > 0.0 && figures.is_sorted(), "{report}");
    }
    let added = way(report, "added")["p50Milliseconds"]
        .as_f64()
        .expect("a number");
    let p50 = |name| way(report, name)["p50Milliseconds"].as_f64().expect("a number");
    assert!((added - (p50("with") - p50("without"))).abs() < 0.002, "{report}");
}

#[test]
fn a_webhook_is_measured_and_every_verdict_counts() {
    let Some(mut desk) = Desk::with(&["jq"]) else {
        return;
    };
    own_commands::ready(&mut desk);
    let signed = image("a");
    desk.ok(&format!(
        "{} --artifact-url={signed} {}",
        own_commands::SIGN,
        story::KEY_VERSION
    ));
    let bench = format!("binauthz bench --image={signed}");
    let report = desk.ok(&format!(
        "{bench} --expect=admitted --duration=2s --concurrency=4 --format=json --plot=plot.svg"
    ));
    good(&report.json());
    report.says(&["4 at once, 2s each by turns", "expected to be `admitted`"]);
    desk.ok("cat plot.svg")
        .says(&["<svg ", "with the webhook", "</svg>"]);
    // What was asked is on record, as a dry run.
    let found = desk.ok(
        "binauthz logs list --limit=5 --format=json | jq '[.[] | .. | objects | .dryRun? // empty] | length'",
    );
    assert_eq!(found.text(), "5");
    // The table, at a steady rate: ten a second are twenty.
    desk.ok(&format!("{bench} --duration=2s --rate=10"))
        .says(&["WAY", "P99_MS", "without", "with", "added"]);
    let report = desk
        .ok(&format!("{bench} --duration=2s --rate=10 --format=json"))
        .json();
    assert_eq!(way(&report, "with")["requests"], 20, "{report}");

    // A manifest that is denied is measured as well.
    desk.write(
        "pod.json",
        &binauthz_conformance::review::pod("p", &image("b")).to_string(),
    );
    let denied = "binauthz bench --manifest=pod.json --duration=2s --format=json";
    let report = desk.ok(&format!("{denied} --expect=denied"));
    good(&report.json());
    desk.sh(&format!("{denied} --expect=admitted"))
        .exits(1)
        .says(&["the Pod was denied, expected admitted", "No attestations found"]);
    // And one whose verdict changes meanwhile is not measured as if it had not.
    desk.write(
        "open.yaml",
        "defaultAdmissionRule: {evaluationMode: ALWAYS_ALLOW, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}\n",
    );
    let changed = desk.sh(&format!(
        "{denied} >report.json & bench=$!; sleep 1; binauthz policy import open.yaml; wait $bench"
    ));
    changed
        .exits(1)
        .says(&["wrong verdict", "admitted what was denied before"]);
    let report = desk.ok("cat report.json").json();
    assert!(
        way(&report, "with")["errorsByKind"]["wrong verdict"].as_u64() > Some(0),
        "{report}"
    );
}

#[test]
fn what_cannot_be_measured_is_said_beforehand() {
    let Some(mut desk) = Desk::with(&[]) else { return };
    own_commands::ready(&mut desk);
    desk.shell.set("WEBHOOK", desk.server.webhook.clone());
    desk.shell
        .set("CA", desk.server.webhook_ca().display().to_string());
    let given = format!("binauthz bench --webhook-url=\"$WEBHOOK\" --ca-file=\"$CA\" --cluster={CLUSTER}");
    desk.ok(&format!("env -u BINAUTHZ_DATA_DIR {given} --duration=1s"));
    for (typed, words) in [
        (
            "env -u BINAUTHZ_DATA_DIR binauthz bench",
            "no webhook: the command needs one",
        ),
        (
            "binauthz bench --webhook-url=http://127.0.0.1:1",
            "is not the address of a webhook",
        ),
        (
            "binauthz bench --webhook-url=https://127.0.0.1:1",
            "cannot be reached",
        ),
        (
            "binauthz bench --cluster=my-cluster",
            "does not say where the cluster is",
        ),
        ("binauthz bench --manifest=missing.yaml", "missing.yaml"),
        (
            "binauthz bench --plot=missing/plot.svg",
            "is not a folder to draw into",
        ),
        ("binauthz bench --context=missing", "error: "),
        ("binauthz bench --duration=2h", "at most 1h"),
    ] {
        desk.sh(typed).exits(2).says(&[words]);
    }
    desk.ok("binauthz clusters delete my-cluster --location=us-central1-a");
    desk.sh("binauthz bench")
        .exits(2)
        .says(&["has no cluster that could ask"]);
}

#[test]
fn a_cluster_is_measured_through_its_api_server() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(mut desk) = cluster_install::desk(&cluster, &[]) else {
        return;
    };
    let namespace = desk
        .ok("kubectl config view --minify -o jsonpath={..namespace}")
        .text()
        .to_owned();
    desk.shell.set("NS", namespace.clone());
    let bench =
        format!("binauthz bench --context={CONTEXT} --namespace=\"$NS\" --duration=2s --concurrency=2");
    desk.sh(&bench)
        .exits(2)
        .says(&["no webhook is installed in this cluster"]);
    cluster_install::install(&desk, "").ok();
    desk.sh(&bench)
        .exits(2)
        .says(&["no namespace is exempt from the webhook"]);

    desk.ok(
        "kubectl create namespace \"$NS-free\"
         for i in $(seq 300); do kubectl -n \"$NS-free\" get serviceaccount default && exit; sleep 0.1; done; exit 1",
    );
    cluster_install::install(&desk, "--exempt-namespace=\"$NS-free\"").ok();
    // The API server hears of the change within a second.
    Cluster::eventually(
        &desk,
        "kubectl -n \"$NS-free\" run probe --image=nobody/attested --dry-run=server",
    );
    let report = desk.ok(&format!("{bench} --expect=denied --format=json --plot=plot.svg"));
    good(&report.json());
    report.says(&[&format!("namespace {namespace}")]);
    desk.ok("cat plot.svg").says(&["</svg>"]);
    desk.sh(&format!("{bench} --expect=admitted"))
        .exits(1)
        .says(&["expected admitted"]);
    desk.sh(&format!("{bench} --exempt-namespace=default"))
        .exits(2)
        .says(&["`default` is not exempt"]);
    desk.sh(&format!(
        "binauthz bench --context={CONTEXT} --namespace=\"$NS-free\""
    ))
    .exits(2)
    .says(&["is exempt from the webhook"]);
    // Nothing was kept.
    let pods = desk.ok("kubectl get pods -o name; kubectl -n \"$NS-free\" get pods -o name");
    assert_eq!(pods.text(), "");
    desk.ok(&cluster_install::typed("uninstall"));
    desk.ok("kubectl delete namespace \"$NS-free\" --wait=false");
}
