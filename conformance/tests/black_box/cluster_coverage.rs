//! The ways into a cluster that are not the first one thinks of, what `cluster coverage` says of them, and how a refusal
//! is followed up. Every case is a real request to a real API server.

use binauthz_conformance::{Cluster, Desk, Ran};
use serde_json::{Value, json};

use crate::cluster::{BREAK_GLASS, REFUSED, create, guarded, pod, signed, unsigned, workloads};
use crate::cluster_install::{install, typed};
use crate::own_commands::SIGN;
use crate::story;

/// Where the pod template of a workload is, as in [`workloads`]; that of a Job is at the same place as others'.
fn template_of(object: &mut Value) -> &mut Value {
    let kind = object["kind"].as_str().expect("a kind").to_owned();
    let pointer = match kind.as_str() {
        "PodTemplate" => "/template",
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ => "/spec/template",
    };
    object.pointer_mut(pointer).expect("it has a template")
}

#[test]
fn a_template_hides_an_image_nowhere() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    for (object, _) in workloads(&signed()) {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let hidden = [
            ("initContainers", json!([{"name": "i", "image": unsigned()}])),
            (
                "volumes",
                json!([{"name": "v", "image": {"reference": unsigned()}}]),
            ),
        ];
        for (field, value) in hidden {
            let mut object = object.clone();
            template_of(&mut object)["spec"][field] = value;
            create(&desk, &object).refused(&[REFUSED, &unsigned()]);
            // With a name that is not there yet, and as a child of somebody who was let in.
            object["metadata"] = json!({"generateName": "g-", "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "00000000-0000-0000-0000-000000000000"}]});
            create(&desk, &object).refused(&[REFUSED, &unsigned()]);
        }
        desk.write("object.json", &object.to_string());
        for apply in [
            "--dry-run=server",
            "--server-side",
            "--server-side --dry-run=server",
        ] {
            desk.ok(&format!(
                "kubectl apply {apply} --force-conflicts={} -f object.json",
                apply.contains("server-side")
            ));
        }
        // The same object again with another image, by every client's way to write.
        let mut changed = object.clone();
        template_of(&mut changed)["spec"]["containers"][0]["image"] = json!(unsigned());
        desk.write("changed.json", &changed.to_string());
        for write in [
            "kubectl apply --server-side --force-conflicts",
            "kubectl apply --server-side --force-conflicts --dry-run=server",
            "kubectl apply",
            "kubectl apply --dry-run=server",
            "kubectl replace",
        ] {
            // A Job's template is fixed: Kubernetes itself refuses it, before or after.
            let refused = desk.sh(&format!("{write} -f changed.json"));
            match kind.as_str() {
                "Job" => refused.refused(&[]),
                _ => refused.refused(&[REFUSED, &unsigned()]),
            };
        }
        desk.ok(&format!("kubectl delete {kind} a --wait=false"));
    }
}

#[test]
fn what_makes_pods_anew_makes_no_others() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    // `scale` carries no image, and is open for each kind that has it.
    for (object, _) in workloads(&signed())
        .iter()
        .filter(|(object, _)| object["spec"]["replicas"] == 0)
    {
        let kind = object["kind"].as_str().expect("a kind");
        create(&desk, object).ok();
        desk.ok("kubectl config use-context my-cluster");
        desk.ok(&format!(
            "kubectl scale {kind} a --replicas=1 && kubectl scale {kind} a --replicas=0
             kubectl patch {kind} a --subresource=scale --type=merge -p '{{\"spec\": {{\"replicas\": 1}}}}'
             kubectl delete {kind} a"
        ));
        desk.ok("kubectl config use-context alice");
    }
    // A Job of a CronJob, a copy of a Pod, and the way back to what was before.
    let (cron_job, _) = workloads(&signed())
        .into_iter()
        .find(|(object, _)| object["kind"] == "CronJob")
        .expect("one");
    create(&desk, &cron_job).ok();
    desk.ok("kubectl create job once --from=cronjob/a");
    create(&desk, &pod("p", &signed())).ok();
    desk.sh(&format!(
        "kubectl debug p --copy-to=copy --set-image=app={}",
        unsigned()
    ))
    .refused(&[REFUSED, &unsigned()]);
    for query in ["", "?dryRun=All"] {
        debugged(&desk, "p", query).refused(&[REFUSED, &unsigned()]);
    }
    assert_eq!(
        desk.ok("kubectl get pod p -o jsonpath='{.spec.ephemeralContainers}'")
            .text(),
        ""
    );
    rolled_back(&desk);
}

/// An unsigned container put into a Pod that is there, by the subresource itself.
fn debugged(desk: &Desk, pod: &str, query: &str) -> Ran {
    desk.sh(&format!(
        "kubectl get pod {pod} -o json | jq '.spec.ephemeralContainers = [{{name: \"d\", image: \"{}\"}}]' >debug.json
         namespace=$(kubectl config view --minify -o jsonpath='{{..namespace}}')
         kubectl replace --raw \"/api/v1/namespaces/$namespace/pods/{pod}/ephemeralcontainers{query}\" -f debug.json",
        unsigned()
    ))
}

/// A revision from before the guard is no way past it.
fn rolled_back(desk: &Desk) {
    desk.ok("kubectl config use-context my-cluster");
    desk.ok(&typed("uninstall"));
    Cluster::eventually(
        desk,
        &format!("kubectl create deployment d --image={}", unsigned()),
    );
    Cluster::eventually(desk, "kubectl get replicasets -l app=d -o name | grep .");
    install(desk, "").ok();
    desk.ok(&format!("kubectl set image deployment/d myservice={}", signed()));
    Cluster::eventually(
        desk,
        "[ \"$(kubectl get replicasets -l app=d -o name | wc -l)\" = 2 ]",
    );
    desk.sh("kubectl rollout undo deployment/d")
        .refused(&[REFUSED, &unsigned()]);
}

#[test]
fn what_is_on_its_way_out_can_go_and_takes_nothing_in() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    // Two that nobody would let in today, held by a finalizer.
    desk.ok("kubectl config use-context my-cluster");
    desk.ok(&typed("uninstall"));
    let mut held = pod("held", &unsigned());
    held["metadata"]["finalizers"] = json!(["example.test/hold"]);
    desk.write("held.json", &held.to_string());
    Cluster::eventually(&desk, "kubectl create -f held.json");
    install(&desk, "").ok();
    desk.ok("kubectl delete pod held --wait=false");
    assert_ne!(
        desk.ok("kubectl get pod held -o jsonpath='{.metadata.deletionTimestamp}'")
            .text(),
        ""
    );
    // Being deleted excuses no other image.
    let other = unsigned().replace("myservice", "other");
    desk.sh(&format!("kubectl set image pod/held app={other}"))
        .refused(&[REFUSED, &other]);
    debugged(&desk, "held", "").refused(&[REFUSED, &unsigned()]);
    desk.ok("kubectl patch pod held --type=merge -p '{\"metadata\": {\"finalizers\": null}}'");
    Cluster::eventually(&desk, "! kubectl get pod held");
}

#[test]
fn coverage_lists_what_can_start_an_image_and_whether_it_is_guarded() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = crate::cluster_install::desk(&cluster, &[]) else {
        return;
    };
    let coverage = "binauthz cluster coverage --context=my-cluster";
    desk.sh(coverage).exits(1).says(&[
        "There is no ValidatingWebhookConfiguration `binauthz`",
        "no rule for CREATE",
    ]);
    install(&desk, "").ok();
    let rows = desk.ok(&format!("{coverage} --format=json")).json();
    let named = |version: &str| -> Vec<String> {
        let rows = rows.as_array().expect("a list").iter();
        let rows = rows.filter(|row| row["version"] == version);
        rows.map(|row| row["resource"].as_str().expect("a text").to_owned())
            .collect()
    };
    let mut found = named("v1");
    found.sort();
    assert_eq!(
        found,
        [
            "cronjobs.batch",
            "daemonsets.apps",
            "deployments.apps",
            "jobs.batch",
            "pods",
            "pods/ephemeralcontainers",
            "podtemplates",
            "replicasets.apps",
            "replicationcontrollers",
            "statefulsets.apps",
        ],
        "{rows:#}"
    );
    desk.ok(coverage)
        .says(&["deployments.apps", "spec.template (pod template)", "covered"]);

    // A weakened rule, and kinds that somebody added.
    desk.ok(
        "kubectl patch validatingwebhookconfiguration binauthz --type=json \
        -p '[{\"op\": \"replace\", \"path\": \"/webhooks/0/rules/2/operations\", \"value\": [\"CREATE\"]}]'",
    );
    desk.sh(coverage)
        .exits(1)
        .says(&["NOT COVERED", "no rule for UPDATE"]);
    install(&desk, "").ok();
    desk.ok(coverage);
    desk.write("crds.yaml", crate::cluster_custom::DEFINITIONS);
    desk.ok("kubectl apply -f crds.yaml");
    let uncovered = Cluster::eventually(
        &desk,
        &format!(
            "({coverage} --format=json || true) >rows.json; [ -s rows.json ] && jq -e '[.[] | select(.coverage != \"covered\")] | if length == 7 then . else false end' rows.json"
        ),
    );
    let uncovered = uncovered.json();
    let shown: Vec<String> = uncovered
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| format!("{} {} {}", row["resource"], row["version"], row["where"]).replace('"', ""))
        .collect();
    for row in [
        "rollouts.argoproj.io v1alpha1 spec.template.spec (pod spec)",
        "services.serving.knative.dev v1 spec.template.spec (pod spec)",
        "runners.example.test v1 spec.agentImage",
    ] {
        assert!(shown.contains(&row.to_owned()), "{row} in {shown:#?}");
    }
    assert!(!shown.iter().any(|row| row.starts_with("notes.")), "{shown:#?}");
    desk.ok("kubectl delete -f crds.yaml");
}

#[test]
fn the_evaluation_mode_of_the_cluster_is_what_its_api_server_meets() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    let mode = |mode: &str| {
        desk.ok(&format!(
            "binauthz clusters update my-cluster --location=us-central1-a --binauthz-evaluation-mode={mode}"
        ));
    };
    let run = |name: &str| format!("kubectl run {name} --image={}", unsigned());
    desk.sh(&run("a")).refused(&[REFUSED]);
    for (at, (name, enforced)) in [
        ("disabled", false),
        ("policy-bindings", false),
        ("policy-bindings-and-project-singleton-policy-enforce", true),
        ("disabled", false),
        ("project-singleton-policy-enforce", true),
    ]
    .into_iter()
    .enumerate()
    {
        mode(name);
        let ran = desk.sh(&run(&format!("p{at}")));
        match enforced {
            true => ran.refused(&[REFUSED]),
            false => ran.ok().never_says("Warning"),
        };
    }
}

#[test]
fn a_refusal_says_what_to_do_next_and_what_was_let_through_is_warned_about() {
    let Some(cluster) = Cluster::take() else { return };
    let Some(desk) = guarded(&cluster) else { return };
    let refused = desk
        .sh(&format!("kubectl run p --image={}", unsigned()))
        .refused(&[
            &unsigned(),
            "denied by attestor projects/demo/attestors/image-signing-attestor: No attestations found",
            "By the default admission rule of projects/demo/policy",
        ]);
    // The command is the one that the sentence ends with.
    let text = refused.to_string();
    let (_, command) = text.split_once("To see why: ").expect("it says what to type");
    let command = command.lines().next().expect("a line").to_owned();
    assert!(
        command.starts_with("binauthz explain ") && command.ends_with(" --project=demo"),
        "{command}"
    );
    desk.ok(&command).says(&[
        "DENY Pod p in namespace test-",
        "asked by alice@example.com",
        "policy projects/demo/policy (etag ",
        "rule: default admission rule",
        "not exempt: 6 patterns tried",
        "✗ NO_ATTESTATIONS",
        "no attestation of this digest",
    ]);
    desk.ok(&format!(
        "{SIGN} --artifact-url={} {}",
        unsigned(),
        story::KEY_VERSION
    ));
    desk.ok(&command).says(&["DENY Pod p", "today: ALLOW (ATTESTED)"]);
    desk.sh("binauthz explain nonsense")
        .refused(&["is not the id of a decision"]);
    desk.sh("binauthz explain 019b0a5e-3c11-7d62-8f0e-5d1c2b7a9e10")
        .refused(&["no decision"]);

    let other = format!(
        "{}@sha256:{}",
        "us-central1-docker.pkg.dev/demo/app/other",
        "c".repeat(64)
    );
    let mut opened = pod("opened", &other);
    opened["metadata"]["annotations"] = json!({BREAK_GLASS: "INC-1234"});
    create(&desk, &opened).ok().says(&[&format!(
        "Warning: admitted by break-glass; without it: Image {other}"
    )]);
    desk.ok(
        "sed 's/ENFORCED_BLOCK_AND_AUDIT_LOG/DRYRUN_AUDIT_LOG_ONLY/' binauthz-policy.yaml >dry.yaml
             binauthz policy import dry.yaml",
    );
    desk.ok(&format!("kubectl run dry --image={other}")).says(&[
        &format!("Warning: admitted by dry run; when enforced: Image {other}"),
        "pod/dry created",
    ]);
    desk.ok(&format!("kubectl run fine --image={}", unsigned()))
        .never_says("Warning");
}
