//! Custom resources at the webhook: judged where the operator said where their images stand, denied everywhere else.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::court::{ATTESTOR, Court, created, require_attestation, updated};
use crate::support::{Desk, flags};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/custom-resources.yaml");
const DOOR: &str = "alpha.image-policy.k8s.io/break-glass";

async fn court(extra: &str) -> Court {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(&config, format!("customResources: {SHIPPED}\n{extra}")).unwrap();
    let flags = binauthz_server::Flags {
        config: Some(config),
        ..flags(folder.path())
    };
    Court::on(Desk::with(folder, flags).await).await
}

fn with_resource(mut review: Value, resource: &str) -> Value {
    let kind = review["request"]["kind"].clone();
    review["request"]["resource"] =
        json!({"group": kind["group"], "version": kind["version"], "resource": resource});
    review
}

fn rollout(image: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "r"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn task(spec: &Value) -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "t"}, "spec": spec})
}

#[tokio::test]
async fn a_custom_resource_is_judged_by_the_images_it_names() {
    let court = court("").await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    let rollouts = |image: &str| with_resource(created(rollout(image)), "rollouts");
    court.admit(&rollouts(&signed)).await.admitted();
    let verdict = court.admit(&rollouts(&unsigned)).await;
    let sentence = format!("Image {unsigned} denied by attestor {ATTESTOR}: No attestations found");
    assert!(verdict.denial().starts_with(&sentence), "{}", verdict.denial());
    let cause = &verdict.0["response"]["status"]["details"]["causes"][0];
    assert_eq!(cause["field"], "spec.template.spec.containers[0]");
    let record = court.record().await;
    assert_eq!(
        (&record["kind"], &record["group"], &record["name"]),
        (&json!("Rollout"), &json!("argoproj.io"), &json!("r"))
    );

    // What the fields of a Pod would be is here text and lists: no form of ours.
    let tasks = |spec: &Value| with_resource(created(task(spec)), "tasks");
    let steps = |image: &str| json!({"steps": [{"name": "s", "image": image}], "containers": "text", "template": [1]});
    court.admit(&tasks(&steps(&signed))).await.admitted();
    let verdict = court.admit(&tasks(&steps(&unsigned))).await;
    assert!(verdict.denial().contains(&unsigned), "{}", verdict.denial());
    let parameter = court.admit(&tasks(&steps("$(params.image)"))).await;
    assert!(
        parameter.denial().contains("$(params.image)"),
        "{}",
        parameter.denial()
    );
    // A Task may leave the image to a StepAction.
    court
        .admit(&tasks(&json!({"steps": [{"ref": {"name": "x"}}]})))
        .await
        .admitted();
    for astray in [
        json!({"steps": "text"}),
        json!({"steps": [{"image": 5}]}),
        json!([]),
    ] {
        let verdict = court.admit(&tasks(&astray)).await;
        assert!(
            verdict
                .denial()
                .contains("as the image paths of `tasks.tekton.dev` say"),
            "{}",
            verdict.denial()
        );
    }
}

#[tokio::test]
async fn what_no_path_is_configured_for_stays_denied() {
    let court = court("").await;
    court
        .policy(json!({"evaluationMode": "ALWAYS_ALLOW", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"}))
        .await;
    let good = with_resource(created(rollout("nginx")), "rollouts");
    court.admit(&good).await.admitted();
    let mut others = vec![
        with_resource(created(rollout("nginx")), "experiments"),
        created(rollout("nginx")),
    ];
    let mut sub = good.clone();
    sub["request"]["subResource"] = json!("scale");
    others.push(sub);
    let mut version = rollout("nginx");
    version["apiVersion"] = json!("argoproj.io/v1");
    others.push(with_resource(created(version), "rollouts"));
    let mut config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    others.push(with_resource(created(config_map.clone()), "configmaps"));
    config_map["apiVersion"] = json!("argoproj.io/v1alpha1");
    others.push(with_resource(created(config_map), "workflows"));
    for review in &others {
        let verdict = court.admit(review).await;
        assert!(
            verdict.denial().contains("is not known to carry images"),
            "{}",
            verdict.denial()
        );
    }
    // A server that was told nothing denies all of them.
    let plain = Court::new().await;
    let verdict = plain.admit(&good).await;
    assert!(
        verdict
            .denial()
            .contains("or a custom resource whose image paths are configured"),
        "{}",
        verdict.denial()
    );
}

#[tokio::test]
async fn an_unregistered_cluster_gets_no_custom_resource_in_either() {
    let court = court("").await;
    let reference = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "t"},
        "spec": {"taskRef": {"name": "t"}}});
    let review = with_resource(created(reference), "taskruns");
    court.admit(&review).await.admitted();
    let path = "/admit/projects/p/locations/us-central1-a/clusters/other";
    let (_, answer) = court.raw(path, review.to_string().into_bytes()).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], false, "{answer}");
}

#[tokio::test]
async fn updates_doors_and_dry_runs_are_as_for_every_workload() {
    let court = court("").await;
    let unsigned = court.unsigned();
    let old = rollout(&unsigned);
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({"team": "x"});
    court
        .admit(&with_resource(updated(old.clone(), labelled), "rollouts"))
        .await
        .admitted();
    let changed = with_resource(updated(old.clone(), rollout(&court.unsigned())), "rollouts");
    court.admit(&changed).await.denial();

    let mut opened = old.clone();
    opened["metadata"]["annotations"] = json!({DOOR: "INC-1234"});
    let review = with_resource(created(opened), "rollouts");
    court.admit(&review).await.admitted();
    let record = court.record().await;
    assert_eq!(
        (&record["effect"], &record["justification"]),
        (&json!("BREAK_GLASS"), &json!("INC-1234"))
    );
    let mutated = court.ask("mutate", &review).await;
    let patch = STANDARD
        .decode(mutated["response"]["patch"].as_str().unwrap())
        .unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(
        patch,
        json!([{"op": "add", "path": "/spec/template/metadata", "value": {"annotations": {DOOR: "INC-1234"}}}])
    );
    let plain = court
        .ask("mutate", &with_resource(created(old.clone()), "rollouts"))
        .await;
    assert_eq!(plain["response"].get("patch"), None, "{plain}");

    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    let verdict = court.admit(&with_resource(created(old), "rollouts")).await;
    verdict.admitted();
    let warning = verdict.0["response"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("admitted by dry run; when enforced: "),
        "{warning}"
    );
}

#[tokio::test]
async fn custom_resources_can_be_warned_about_only() {
    let court = court("warnOnlyForWorkloads: true\n").await;
    let unsigned = court.unsigned();
    let verdict = court
        .admit(&with_resource(created(rollout(&unsigned)), "rollouts"))
        .await;
    verdict.admitted();
    let warning = verdict.0["response"]["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("its Pods will be denied: "), "{warning}");
    let mut lying = with_resource(created(rollout(&unsigned)), "rollouts");
    lying["request"]["object"]["kind"] = json!("Pod");
    court.admit(&lying).await.denial();
}

#[tokio::test]
async fn a_file_that_cannot_be_used_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let with = |path: &Path| binauthz_server::Flags {
        custom_resources: Some(path.to_owned()),
        ..flags(folder.path())
    };
    let path = folder.path().join("custom.yaml");
    let missing = binauthz_server::Settings::new(with(&path))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("custom.yaml"), "{missing}");
    std::fs::write(
        &path,
        "customResources:\n- {group: a.b, versions: [v1], resource: cs}\n",
    )
    .unwrap();
    let refused = binauthz_server::Settings::new(with(&path))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("custom.yaml") && refused.contains("`customResources[0]`: expected a path"),
        "{refused}"
    );
    let settings = binauthz_server::Settings::new(with(Path::new(SHIPPED))).unwrap();
    assert!(
        settings
            .to_string()
            .contains(&format!("customResources: {SHIPPED}\n"))
    );
}
