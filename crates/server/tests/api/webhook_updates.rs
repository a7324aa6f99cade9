//! What passes unjudged, what is noted all the same, and what is only advised.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::court::{CLUSTER, Court, UID, always, created, pod, require_attestation, updated};
use crate::support::{Desk, flags};

const BREAK_GLASS: &str = "image-policy.k8s.io/break-glass";
const BREAK_GLASS_REASON: &str = "alpha.image-policy.k8s.io/break-glass";
const UNREGISTERED: &str = "projects/p/locations/us-central1-a/clusters/nobody";

/// The reply for a cluster.
async fn reply(court: &Court, dialect: &str, cluster: &str, review: &Value) -> Value {
    let body = review.to_string().into_bytes();
    let (status, text) = court.raw(&format!("/{dialect}/{cluster}"), body).await;
    assert_eq!(status.as_u16(), 200, "{text}");
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["response"]["uid"], UID);
    reply["response"].clone()
}

fn workload(api_version: &str, kind: &str, image: &str, annotations: Value) -> Value {
    let template = json!({ "spec": { "containers": [{ "name": "c", "image": image }] } });
    json!({
        "apiVersion": api_version, "kind": kind, "metadata": { "name": "web", "annotations": annotations },
        "spec": { "template": template },
    })
}

fn through(sub_resource: &str, api_version: &str, kind: &str) -> Value {
    let mut review =
        created(json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "web" } }));
    review["request"]["subResource"] = sub_resource.into();
    review
}

#[tokio::test]
async fn nothing_passes_unjudged_for_a_cluster_nobody_registered_but_a_deletion() {
    let court = Court::new().await;
    let image = court.unsigned();
    let passing = [
        updated(pod(&[&image]), pod(&[&image])),
        through("scale", "autoscaling/v1", "Scale"),
        through("eviction", "policy/v1", "Eviction"),
        through("binding", "v1", "Binding"),
    ];
    for review in &passing {
        assert_eq!(reply(&court, "admit", CLUSTER, review).await["allowed"], true);
    }
    assert_eq!(court.records().await.len(), 0, "nothing was judged");
    for (index, review) in passing.iter().enumerate() {
        let denied = reply(&court, "admit", UNREGISTERED, review).await;
        assert_eq!(denied["allowed"], false, "{review}");
        let message = denied["status"]["message"].as_str().unwrap();
        assert!(message.contains("is not registered"), "{message}");
        assert_eq!(court.records().await.len(), index + 1);
        assert_eq!(court.record().await["reason"], "CLUSTER_NOT_REGISTERED");
    }
    let mut deletion = created(pod(&[&image]));
    deletion["request"]["operation"] = "DELETE".into();
    deletion["request"]["oldObject"] = deletion["request"]["object"].take();
    assert_eq!(
        reply(&court, "admit", UNREGISTERED, &deletion).await["allowed"],
        true
    );
}

#[tokio::test]
async fn a_door_opened_for_a_cluster_nobody_registered_is_patched_nowhere_and_recorded() {
    let court = Court::new().await;
    let image = court.unsigned();
    let deployment = workload(
        "apps/v1",
        "Deployment",
        &image,
        json!({ BREAK_GLASS_REASON: "INC-1" }),
    );
    let review = created(deployment);
    assert!(
        reply(&court, "mutate", CLUSTER, &review)
            .await
            .get("patch")
            .is_some()
    );
    let unpatched = reply(&court, "mutate", UNREGISTERED, &review).await;
    assert_eq!(unpatched, json!({ "uid": UID, "allowed": true }));
    assert_eq!(
        reply(&court, "admit", UNREGISTERED, &review).await["allowed"],
        true
    );
    let record = court.record().await;
    assert_eq!(
        (&record["effect"], &record["reason"]),
        (&json!("BREAK_GLASS"), &json!("CLUSTER_NOT_REGISTERED"))
    );
}

#[tokio::test]
async fn opening_the_door_in_an_update_is_recorded_and_leaving_it_open_is_not() {
    let court = Court::new().await;
    let image = court.unsigned();
    let closed = pod(&[&image]);
    for (field, key, value) in [
        ("labels", BREAK_GLASS, "true"),
        ("annotations", BREAK_GLASS_REASON, "INC-1"),
    ] {
        let mut opened = closed.clone();
        opened["metadata"][field] = json!({ key: value });
        let before = court.records().await.len();
        court
            .admit(&updated(closed.clone(), opened.clone()))
            .await
            .admitted();
        assert_eq!(court.records().await.len(), before + 1);
        let record = court.record().await;
        assert_eq!(
            (&record["effect"], &record["conforms"], &record["operation"]),
            (&json!("BREAK_GLASS"), &json!(false), &json!("UPDATE"))
        );
        // Left open, or closed again: nothing new starts and nothing is opened.
        court
            .admit(&updated(opened.clone(), opened.clone()))
            .await
            .admitted();
        court
            .admit(&updated(opened.clone(), closed.clone()))
            .await
            .admitted();
        assert_eq!(court.records().await.len(), before + 1);
        // Another image through the open door is judged and recorded as ever.
        let mut changed = pod(&[&court.unsigned()]);
        changed["metadata"][field] = json!({ key: value });
        court.admit(&updated(opened, changed)).await.admitted();
        assert_eq!(court.records().await.len(), before + 2);
    }
    let mut no_door = closed.clone();
    no_door["metadata"]["annotations"] = json!({ BREAK_GLASS_REASON: "false" });
    let before = court.records().await.len();
    court.admit(&updated(closed, no_door)).await.admitted();
    assert_eq!(court.records().await.len(), before, "saying no opens nothing");
}

#[tokio::test]
async fn a_job_that_is_there_is_not_patched() {
    let court = Court::new().await;
    let image = court.unsigned();
    let door = json!({ BREAK_GLASS_REASON: "INC-1" });
    let job = workload("batch/v1", "Job", &image, door.clone());
    assert!(
        court.ask("mutate", &created(job.clone())).await["response"]
            .get("patch")
            .is_some()
    );
    let update = court.ask("mutate", &updated(job.clone(), job)).await;
    assert_eq!(update["response"], json!({ "uid": UID, "allowed": true }));
    // Other kinds may be patched when they change.
    let deployment = workload("apps/v1", "Deployment", &image, door);
    let update = court
        .ask("mutate", &updated(deployment.clone(), deployment))
        .await;
    let patch = STANDARD
        .decode(update["response"]["patch"].as_str().unwrap())
        .unwrap();
    assert!(String::from_utf8(patch).unwrap().contains("INC-1"));
}

async fn warning_only() -> Court {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(&config, "warnOnlyForWorkloads: true\n").unwrap();
    let flags = binauthz_server::Flags {
        config: Some(config),
        ..flags(folder.path())
    };
    Court::on(Desk::with(folder, flags).await).await
}

/// The samples of `binauthz_decisions_total` with this label.
async fn counted(court: &Court, label: &str) -> Vec<String> {
    let metrics = court.desk.health("/metrics").await.1;
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("binauthz_decisions_total{"));
    lines
        .filter(|line| line.contains(label))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn workloads_can_be_warned_about_only_and_their_pods_are_denied() {
    let court = warning_only().await;
    let image = court.unsigned();
    let review = created(workload("apps/v1", "Deployment", &image, json!({})));
    let verdict = court.admit(&review).await;
    verdict.admitted();
    let response = &verdict.0["response"];
    assert!(
        response["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("its Pods will be denied: Image")
    );
    assert_eq!(response["auditAnnotations"]["advice"], "true");
    let overridden = response["auditAnnotations"]["overridden-verification-result"]
        .as_str()
        .unwrap();
    assert!(overridden.contains("No attestations found"), "{overridden}");
    assert_eq!(
        court.record().await["advice"],
        true,
        "the record says that it was advice"
    );
    assert_eq!(counted(&court, "verdict=\"deny\"").await.len(), 0);
    assert_eq!(counted(&court, "effect=\"ADVICE\"").await.len(), 1);

    court.pod(&[&image]).await.denial();
    assert!(court.record().await.get("advice").is_none());
    assert_eq!(counted(&court, "verdict=\"deny\"").await.len(), 1);
}

#[tokio::test]
async fn what_is_admitted_anyway_is_told_as_ever_where_workloads_are_only_warned_about() {
    let court = warning_only().await;
    let image = court.unsigned();
    let opened = workload(
        "apps/v1",
        "Deployment",
        &image,
        json!({ BREAK_GLASS_REASON: "INC-1" }),
    );
    let response = court.admit(&created(opened)).await.0["response"].clone();
    assert_eq!(response["auditAnnotations"]["break-glass"], "true");
    assert!(
        response["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("admitted by break-glass")
    );

    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    let plain = workload("apps/v1", "Deployment", &image, json!({}));
    let response = court.admit(&created(plain)).await.0["response"].clone();
    assert_eq!(response["auditAnnotations"]["dry-run"], "true");
    assert!(
        response["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("admitted by dry run")
    );
    assert_eq!(counted(&court, "effect=\"ADVICE\"").await.len(), 0);
}

#[tokio::test]
async fn an_unreadable_workload_is_warned_about_where_it_is_surely_no_pod() {
    let court = warning_only().await;
    court.policy(always("ALWAYS_ALLOW")).await;
    let empty = |api_version: &str, kind: &str| {
        let mut object = workload(api_version, kind, "nginx", json!({}));
        object["spec"]["template"]["spec"]["containers"] = json!([]);
        object
    };
    let advised = [
        empty("apps/v1", "Deployment"),
        json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "web" } }),
    ];
    for object in advised {
        let verdict = court.admit(&created(object)).await;
        verdict.admitted();
        assert!(
            verdict.0["response"]["warnings"][0]
                .as_str()
                .unwrap()
                .contains("its Pods will be denied")
        );
        let record = court.record().await;
        assert_eq!(
            (&record["advice"], &record["reason"]),
            (&json!(true), &json!("UNREVIEWABLE"))
        );
    }
    let mut disguised = created(workload("apps/v1", "Deployment", "nginx", json!({})));
    disguised["request"]["object"]["kind"] = "Pod".into();
    let mut nothing = created(workload("apps/v1", "Deployment", "nginx", json!({})));
    nothing["request"]["object"] = Value::Null;
    let denied = [
        disguised,
        nothing,
        created(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": { "containers": [] } })),
        created(json!({ "apiVersion": "example.com/v1", "kind": "Foo", "metadata": {} })),
    ];
    for review in denied {
        court.admit(&review).await.denial();
    }
}
