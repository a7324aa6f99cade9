//! A server that guards a cluster by itself, judged by a real API server: what runs past it holds it back and is told of,
//! what weakens it is told of, and what mends it is seen.

use binauthz_conformance::cluster::CONTEXT;
use binauthz_conformance::desk::CLUSTER;
use binauthz_conformance::{Cluster, Desk};
use serde_json::Value;

use crate::cluster_install::{desk, install, typed};

/// A desk in a cluster whose server looks at it all the time.
fn guarding(cluster: &Cluster) -> Option<Desk> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("binauthz.yaml");
    let kubeconfig = cluster.kubeconfig().display();
    let settings = format!(
        "guard: {{clusters: ['{CLUSTER}={CONTEXT}'], everySeconds: 1, kubeconfig: '{kubeconfig}'}}\n"
    );
    std::fs::write(&file, settings).expect("a file can be written");
    // It is read once, at the start.
    let mut desk = desk(cluster, &["--config", &file.display().to_string()])?;
    desk.shell.set("HEALTH", desk.server.health.clone());
    Some(desk)
}

/// Waits until `/readyz` answers so.
#[track_caller]
fn ready(desk: &Desk, status: u16) {
    let asked =
        format!("test \"$(curl -s -o readyz.txt -w '%{{http_code}}' \"$HEALTH/readyz\")\" = {status}");
    Cluster::eventually(desk, &asked);
}

/// Waits until a number is told.
#[track_caller]
fn number(desk: &Desk, row: &str) {
    Cluster::eventually(
        desk,
        &format!("curl -s \"$HEALTH/metrics\" >metrics.txt; grep -F '{row}' metrics.txt"),
    );
}

fn finding(code: &str) -> String {
    format!("binauthz_guard_findings{{cluster=\"{CLUSTER}\",finding=\"{code}\"}}")
}

fn canary() -> String {
    format!("binauthz_guard_canary_failed{{cluster=\"{CLUSTER}\"}}")
}

/// The newest entry about a finding, once there is one of this state.
#[track_caller]
pub(crate) fn entry(desk: &Desk, code: &str, state: &str) -> Value {
    let filter = format!(
        "logName=\\\"projects/demo/logs/binaryauthorization.googleapis.com%2Fguard\\\" AND \
         jsonPayload.finding=\\\"{code}\\\" AND jsonPayload.state=\\\"{state}\\\""
    );
    let asked = format!(
        "curl -s -X POST -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \"$API/v2/entries:list\" \
         -d '{{\"resourceNames\": [\"projects/demo\"], \"orderBy\": \"timestamp desc\", \"filter\": \"{filter}\"}}' |
         jq -e '.entries[0]'"
    );
    Cluster::eventually(desk, &asked).json()
}

/// Waits for an open incident of the shipped policy, of which there is one at a time.
#[track_caller]
fn alerted(desk: &Desk) {
    Cluster::eventually(
        desk,
        "binauthz incidents list --state=open --format=json >incidents.json; grep -F binauthz-guard incidents.json",
    );
}

fn patch(field: &str, value: &str) -> String {
    format!(
        "kubectl patch validatingwebhookconfiguration binauthz --type=json \
         -p '[{{\"op\": \"add\", \"path\": \"/webhooks/0/{field}\", \"value\": {value}}}]'"
    )
}

#[test]
fn a_server_that_is_passed_by_is_not_ready_and_says_so() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarding(&cluster) else { return };
    // A cluster that is not guarded yet: told of, but `install` has to reach the server.
    number(&desk, &format!("{} 1", finding("CONFIGURATION_MISSING")));
    ready(&desk, 200);
    install(&desk, "").ok();
    number(&desk, &format!("{} 0", canary()));
    number(&desk, &format!("{} 0", finding("CONFIGURATION_MISSING")));
    entry(&desk, "CANARY_ADMITTED", "OVER");

    desk.ok(&patch(
        "matchConditions",
        r#"[{"name": "x", "expression": "false"}]"#,
    ));
    ready(&desk, 503);
    desk.ok("cat readyz.txt").says(&["admits what is denied here"]);
    number(&desk, &format!("{} 1", canary()));
    let told = entry(&desk, "CANARY_ADMITTED", "FOUND");
    assert_eq!(told["severity"], "CRITICAL", "{told:#}");
    assert_eq!(
        told["resource"]["labels"]["cluster_name"], "my-cluster",
        "{told:#}"
    );
    alerted(&desk);
    // Alive all the same, and its other answers are not held back.
    desk.ok("test \"$(curl -s \"$HEALTH/livez\")\" = ok");
    // Who mends it has to reach it: as long as the probe of `install` is there, it is in service.
    desk.ok("kubectl create -f - <<END
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: binauthz-probe, labels: {app.kubernetes.io/managed-by: binauthz}}, webhooks: []}
END");
    ready(&desk, 200);
    desk.ok("kubectl delete validatingwebhookconfiguration binauthz-probe");
    ready(&desk, 503);
    install(&desk, "").ok();
    ready(&desk, 200);
    entry(&desk, "CANARY_ADMITTED", "OVER");
    desk.ok(&typed("status"));

    // Gone after it was there.
    desk.ok("kubectl delete validatingwebhookconfiguration binauthz");
    ready(&desk, 503);
    install(&desk, "").ok();
    ready(&desk, 200);
}

#[test]
fn what_the_operator_lets_in_and_what_is_an_outage_hold_nothing_back() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarding(&cluster) else { return };
    install(&desk, "").ok();
    number(&desk, &format!("{} 0", canary()));
    let mode = |mode: &str| {
        desk.ok(&format!(
            "binauthz clusters update my-cluster --location=us-central1-a --binauthz-evaluation-mode={mode}"
        ))
    };
    mode("disabled");
    let told = entry(&desk, "CANARY_ADMITTED_BY_POLICY", "FOUND");
    assert_eq!(told["severity"], "WARNING", "{told:#}");
    ready(&desk, 200);
    mode("project-singleton-policy-enforce");
    entry(&desk, "CANARY_ADMITTED_BY_POLICY", "OVER");

    // The API server asks at a place where nobody is: everything is refused, and only a ready server can end that.
    let url = "https://127.0.0.1:1/admit/projects/demo/locations/us-central1-a/clusters/my-cluster";
    desk.ok(&patch("clientConfig/url", &format!("\"{url}\"")));
    let told = entry(&desk, "WEBHOOK_NOT_REACHED", "FOUND");
    assert_eq!(told["severity"], "ERROR", "{told:#}");
    entry(&desk, "CONFIGURATION_CHANGED", "FOUND");
    alerted(&desk);
    ready(&desk, 200);
    // A path at which somebody else answers, or nobody.
    let wrong = "\"'$WEBHOOK'/livez\"";
    desk.ok(&patch("clientConfig/url", wrong));
    entry(&desk, "CONFIGURATION_WEAKENED", "FOUND");
    install(&desk, "").ok();
    entry(&desk, "WEBHOOK_NOT_REACHED", "OVER");
    number(&desk, &format!("{} 0", canary()));
}

#[test]
fn what_weakens_the_guard_is_told_of_before_anything_runs() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarding(&cluster) else { return };
    install(&desk, "").ok();
    number(&desk, &format!("{} 0", canary()));
    for (field, value) in [
        ("failurePolicy", "\"Ignore\""),
        ("matchPolicy", "\"Exact\""),
        ("rules/0/resources", r#"["pods"]"#),
        ("timeoutSeconds", "30"),
    ] {
        desk.ok(&patch(field, value));
        number(&desk, &format!("{} 1", finding("CONFIGURATION_WEAKENED")));
        let told = entry(&desk, "CONFIGURATION_WEAKENED", "FOUND");
        let last = field.rsplit('/').next().unwrap_or(field);
        assert!(
            told["jsonPayload"]["differences"].to_string().contains(last),
            "{told:#}"
        );
        install(&desk, "").ok();
        number(&desk, &format!("{} 0", finding("CONFIGURATION_WEAKENED")));
    }
    alerted(&desk);
    // Everything was denied all the time.
    ready(&desk, 200);
    // A namespace that is left out from now on is a hole that `status` takes for meant.
    install(&desk, "--exempt-namespace=prod").ok();
    let told = entry(&desk, "CONFIGURATION_CHANGED", "FOUND");
    assert!(
        told["jsonPayload"]["differences"].to_string().contains("[prod]"),
        "{told:#}"
    );

    // Entries of this log come from the server alone.
    let forged = serde_json::json!({"entries": [{"logName":
        "projects/demo/logs/binaryauthorization.googleapis.com%2Fguard",
        "resource": {"type": "global"}, "textPayload": "all is well"}]});
    desk.api("POST", "/v2/entries:write", Some(&forged)).refused(
        403,
        "PERMISSION_DENIED",
        &["by this server only"],
    );
}
