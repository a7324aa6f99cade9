//! `binauthz cluster`, judged by a real API server: what is installed, what is left alone, and what is undone.

use binauthz_conformance::cluster::CONTEXT;
use binauthz_conformance::desk::CLUSTER;
use binauthz_conformance::{Cluster, Desk, Ran};
use serde_json::json;

use crate::own_commands;

const CONFIGURATIONS: &str =
    "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o name";
const NOWHERE: &str = "https://127.0.0.1:1";

/// A desk in a cluster, with the tutorial's policy and attestor, and nothing registered or installed.
pub(crate) fn desk(cluster: &Cluster, options: &[&str]) -> Option<Desk> {
    desk_with(cluster, options, &[])
}

/// The same, and the server has variables in its environment.
pub(crate) fn desk_with(cluster: &Cluster, options: &[&str], environment: &[(&str, String)]) -> Option<Desk> {
    let mut desk = Desk::with_environment(&["jq"], options, environment)?;
    own_commands::ready(&mut desk);
    desk.ok("binauthz clusters delete my-cluster --location=us-central1-a");
    desk.shell.set("WEBHOOK", desk.server.webhook.clone());
    cluster.attach(&mut desk);
    Some(desk)
}

/// `binauthz cluster VERB` for the tutorial's cluster.
pub(crate) fn typed(verb: &str) -> String {
    format!("binauthz cluster {verb} my-cluster --location=us-central1-a --context={CONTEXT}")
}

/// Installs, with further flags.
pub(crate) fn install(desk: &Desk, flags: &str) -> Ran {
    desk.sh(&format!(
        "{} --webhook-url=\"$WEBHOOK\" {flags}",
        typed("install")
    ))
}

fn status(desk: &Desk) -> Ran {
    desk.sh(&typed("status"))
}

#[track_caller]
fn nothing_is_installed(desk: &Desk) {
    assert_eq!(desk.ok(CONFIGURATIONS).text(), "");
}

fn is_registered(desk: &Desk) -> bool {
    desk.api("GET", &format!("/v1/{CLUSTER}"), None).status == 200
}

#[test]
fn install_says_what_it_does_does_it_once_and_uninstall_removes_just_that() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = desk(&cluster, &[]) else { return };
    let plan = [
        "register the cluster: PROJECT_SINGLETON_POLICY_ENFORCE",
        "create MutatingWebhookConfiguration binauthz",
        "create ValidatingWebhookConfiguration binauthz",
    ];
    install(&desk, "--dry-run").ok().says(&plan);
    nothing_is_installed(&desk);
    assert!(!is_registered(&desk));
    // What it would write is what an API server takes.
    install(&desk, "--dry-run --format=yaml >planned.yaml").ok();
    desk.ok("kubectl create --dry-run=server -f planned.yaml")
        .says(&["validatingwebhookconfiguration", "mutatingwebhookconfiguration"]);

    install(&desk, "").ok().says(&plan).says(&[
        "is denied: Image binauthz.invalid/canary@sha256:",
        "No attestations found",
        "Installed [projects/demo/locations/us-central1-a/clusters/my-cluster].",
    ]);
    assert!(is_registered(&desk));
    status(&desk).ok().says(&[
        "registered:   PROJECT_SINGLETON_POLICY_ENFORCE",
        "validating:   as shipped",
        "mutating:     as shipped",
        "known-bad Pod: denied",
    ]);
    // Only the two: the probe is gone.
    assert_eq!(desk.ok(CONFIGURATIONS).text().lines().count(), 2);

    let versions = format!("{CONFIGURATIONS} -o json | jq '[.items[].metadata.resourceVersion]'");
    let versions = versions.replace("-o name ", "");
    let before = desk.ok(&versions).json();
    install(&desk, "").ok().says(&["everything is in its place"]);
    assert_eq!(desk.ok(&versions).json(), before);

    desk.ok(&format!("{} --dry-run", typed("uninstall"))).says(&[
        "remove ValidatingWebhookConfiguration binauthz",
        "remove MutatingWebhookConfiguration binauthz",
        "forget the cluster",
    ]);
    status(&desk).ok();
    desk.ok(&typed("uninstall"));
    nothing_is_installed(&desk);
    assert!(!is_registered(&desk));
    desk.ok(&typed("uninstall")).says(&["nothing is installed"]);
    status(&desk).exits(1).says(&["missing", "NOT GUARDED"]);
}

#[test]
fn a_registration_and_configurations_of_others_are_left_alone() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = desk(&cluster, &[]) else { return };
    desk.ok(
        "binauthz clusters create my-cluster --location=us-central1-a --binauthz-evaluation-mode=disabled",
    );
    desk.ok("kubectl create -f - <<END
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: somebody-elses}, webhooks: []}
END");
    install(&desk, "")
        .ok()
        .says(&["WARNING: a Pod that nobody attested is admitted"]);
    install(
        &desk,
        "--binauthz-evaluation-mode=project-singleton-policy-enforce",
    )
    .ok()
    .says(&["change the evaluation mode: DISABLED to PROJECT_SINGLETON_POLICY_ENFORCE"]);
    status(&desk).ok();
    desk.ok(&typed("uninstall")).never_says("forget the cluster");
    assert!(is_registered(&desk));
    assert_eq!(
        desk.ok(CONFIGURATIONS).text(),
        "validatingwebhookconfiguration.admissionregistration.k8s.io/somebody-elses"
    );
    desk.ok("kubectl delete validatingwebhookconfiguration somebody-elses");

    // One of ours by name, made by somebody else.
    desk.ok("kubectl create -f - <<END
{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: binauthz}, webhooks: []}
END");
    for command in [
        format!("{} --webhook-url=\"$WEBHOOK\"", typed("install")),
        typed("uninstall"),
    ] {
        desk.sh(&command)
            .exits(1)
            .says(&["MutatingWebhookConfiguration `binauthz`", "did not make"]);
    }
    desk.ok("kubectl delete mutatingwebhookconfiguration binauthz");

    // One of ours, for a cluster of another name.
    install(&desk, "").ok();
    for verb in ["install", "uninstall"] {
        let other = typed(verb).replace("cluster install my-cluster", "cluster install other");
        let other = other.replace("cluster uninstall my-cluster", "cluster uninstall other");
        let flags = if verb == "install" {
            "--webhook-url=\"$WEBHOOK\""
        } else {
            ""
        };
        desk.sh(&format!("{other} {flags}"))
            .exits(1)
            .says(&["clusters/my-cluster", "clusters/other"]);
    }
    status(&desk).ok();
}

#[test]
fn what_cannot_work_is_not_begun_and_what_fails_is_undone() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = desk(&cluster, &[]) else { return };
    desk.ok("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=other -keyout other.key \
             -out other.pem");
    desk.write("no.pem", "no certificate");
    let unreached = "does not reach the webhook";
    let refusals: &[(&str, &[&str])] = &[
        (
            "--webhook-url=\"$WEBHOOK\" --webhook-ca=other.pem",
            &[unreached, "x509", "changed back"],
        ),
        (
            "--webhook-url=https://127.0.0.1:1",
            &[unreached, "refused", "changed back"],
        ),
        (
            "--webhook-url=\"$WEBHOOK/elsewhere\"",
            &[unreached, "changed back"],
        ),
        (
            "--service=nobody/nothing",
            &[unreached, "not found", "changed back"],
        ),
        (
            "--webhook-url=\"$WEBHOOK\" --webhook-ca=no.pem",
            &["`no.pem` holds no PEM certificate"],
        ),
        (
            "--webhook-url=\"$WEBHOOK\" --webhook-ca=missing.pem",
            &["missing.pem"],
        ),
        ("--webhook-url=\"$WEBHOOK\" --kubeconfig=no.pem", &["no.pem"]),
    ];
    for (flags, words) in refusals {
        desk.sh(&format!("{} {flags}", typed("install"))).refused(words);
        nothing_is_installed(&desk);
        assert!(!is_registered(&desk), "{flags}");
    }
    let nobody = typed("install").replace("--context=my-cluster", "--context=nobody");
    desk.sh(&format!("{nobody} --webhook-url={NOWHERE}"))
        .refused(&["no context `nobody`", "`my-cluster`"]);
    let alice = typed("install").replace("--context=my-cluster", "--context=alice");
    desk.sh(&format!("{alice} --webhook-url=\"$WEBHOOK\""))
        .refused(&["Forbidden", "alice@example.com"]);
    nothing_is_installed(&desk);

    // What guards already goes on guarding.
    install(&desk, "").ok();
    desk.sh(&format!("{} --webhook-url={NOWHERE}", typed("install")))
        .refused(&[unreached]);
    status(&desk).ok();
    half_way(&desk);
}

/// Somebody may change the mutating configuration and not the validating one: the first is changed back.
fn half_way(desk: &Desk) {
    desk.ok("kubectl create serviceaccount half
        kubectl create clusterrole half --verb=get,create,delete --resource=validatingwebhookconfigurations \
            --resource=mutatingwebhookconfigurations
        kubectl create clusterrole half-more --verb=update --resource=mutatingwebhookconfigurations
        kubectl create clusterrole half-tries --verb=create --resource=configmaps,pods
        namespace=$(kubectl config view --minify -o jsonpath='{..namespace}')
        for role in half half-more half-tries; do
            kubectl create clusterrolebinding $role --clusterrole=$role --serviceaccount=$namespace:half
        done
        kubectl config set-credentials half --token=\"$(kubectl create token half)\"
        kubectl config set-context half --cluster=test --user=half
        for kind in mutating validating; do
            kubectl patch ${kind}webhookconfiguration binauthz --type=json \
                -p '[{\"op\": \"replace\", \"path\": \"/webhooks/0/timeoutSeconds\", \"value\": 3}]'
        done");
    let half = typed("install").replace("--context=my-cluster", "--context=half");
    desk.sh(&format!("{half} --webhook-url=\"$WEBHOOK\"")).refused(&[
        "update MutatingWebhookConfiguration binauthz",
        "webhooks[0].timeoutSeconds is `3`, shipped is `10`",
        "Forbidden",
        "changed back",
    ]);
    let seconds =
        "kubectl get mutatingwebhookconfiguration binauthz -o jsonpath='{.webhooks[0].timeoutSeconds}'";
    assert_eq!(desk.ok(seconds).text(), "3");
    install(desk, "").ok();
    assert_eq!(desk.ok(seconds).text(), "10");
    // The way out takes no more than that.
    desk.ok(&typed("uninstall").replace("--context=my-cluster", "--context=half"))
        .says(&["may not be seen", "Uninstalled"]);
    desk.ok("kubectl delete clusterrole,clusterrolebinding half half-more half-tries");
}

#[test]
fn status_finds_every_weakening_and_install_mends_it() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(mut desk) = desk(&cluster, &[]) else {
        return;
    };
    install(&desk, "").ok();
    let set = |field: &str, value: &str| {
        format!(
            "kubectl patch validatingwebhookconfiguration binauthz --type=json \
             -p '[{{\"op\": \"add\", \"path\": \"/webhooks/0/{field}\", \"value\": {value}}}]'"
        )
    };
    let weakenings = [
        (
            set("failurePolicy", "\"Ignore\""),
            "webhooks[0].failurePolicy is `\"Ignore\"`, shipped is `\"Fail\"`",
        ),
        (set("matchPolicy", "\"Exact\""), "webhooks[0].matchPolicy"),
        (
            set("objectSelector", r#"{"matchLabels": {"guard": "on"}}"#),
            "webhooks[0].objectSelector",
        ),
        (
            set("namespaceSelector", r#"{"matchLabels": {"guard": "on"}}"#),
            "differs",
        ),
        (
            set("rules/0/resources", r#"["pods"]"#),
            "webhooks[0].rules[0].resources",
        ),
        (
            set("matchConditions", r#"[{"name": "x", "expression": "false"}]"#),
            "webhooks[0].matchConditions",
        ),
        (
            "kubectl annotate validatingwebhookconfiguration binauthz binauthz/cluster-".to_owned(),
            "metadata.annotations",
        ),
        (
            "kubectl delete mutatingwebhookconfiguration binauthz".to_owned(),
            "mutating:     missing",
        ),
        (
            "kubectl delete validatingwebhookconfiguration binauthz".to_owned(),
            "known-bad Pod: admitted",
        ),
        (
            "binauthz clusters delete my-cluster --location=us-central1-a".to_owned(),
            "registered:   no",
        ),
    ];
    weaken_and_mend(&desk, &weakenings);
    what_the_server_lets_in(&desk);

    // Without the server: it is said, nothing runs, and the way out is open.
    desk.server.end();
    desk.sh(&typed("status"))
        .exits(1)
        .says(&["registered:   not known", "known-bad Pod: webhook not reached"]);
    desk.sh("kubectl run p --image=registry.k8s.io/pause:3.9")
        .refused(&["failed calling webhook"]);
    desk.sh(&typed("uninstall")).refused(&[
        "cannot be reached",
        "nothing is guarded any more",
        "clusters delete my-cluster",
    ]);
    nothing_is_installed(&desk);
    Cluster::eventually(&desk, "kubectl run p --image=registry.k8s.io/pause:3.9");
}

fn weaken_and_mend(desk: &Desk, weakenings: &[(String, &str)]) {
    for (weakening, words) in weakenings {
        desk.ok(weakening);
        Cluster::eventually(
            desk,
            &format!(
                "{} >status.txt || grep -qF -- '{words}' status.txt",
                typed("status")
            ),
        );
        status(desk).exits(1).says(&[words, "NOT GUARDED"]);
        install(desk, "").ok();
        status(desk).ok().says(&["guarded"]);
    }
}

fn what_the_server_lets_in(desk: &Desk) {
    desk.ok(
        "binauthz clusters update my-cluster --location=us-central1-a --binauthz-evaluation-mode=disabled",
    );
    status(desk)
        .exits(1)
        .says(&["registered:   DISABLED", "known-bad Pod: admitted"]);
    desk.ok("binauthz clusters update my-cluster --location=us-central1-a \
             --binauthz-evaluation-mode=project-singleton-policy-enforce");
    let lax = json!({"defaultAdmissionRule": {"evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"}});
    desk.api("PUT", "/v1/projects/demo/policy", Some(&lax)).ok();
    status(desk).exits(1).says(&["known-bad Pod: admitted"]);
    let status = desk
        .sh(&format!("{} --format=json", typed("status")))
        .exits(1)
        .json();
    assert_eq!(status["guarded"], false, "{status:#}");
    assert_eq!(status["canary"]["outcome"], "admitted", "{status:#}");
    assert_eq!(
        status["configurations"][1]["condition"], "as shipped",
        "{status:#}"
    );
}
