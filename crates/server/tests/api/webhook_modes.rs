//! What the evaluation mode of a registered cluster means at the webhook.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::court::{CLUSTER, Court, created, pod, require_attestation};

const BINDING: &str = "projects/p/platforms/gke/policies/watch";

fn bound(mode: &str, binding: Option<&str>) -> Value {
    let mut binary_authorization = json!({"evaluationMode": mode});
    if let Some(binding) = binding {
        binary_authorization["policyBindings"] = json!([{"name": BINDING, "enforcementMode": binding}]);
    }
    json!({"update": {"desiredBinaryAuthorization": binary_authorization}})
}

async fn set(court: &Court, mode: &str, binding: Option<&str>) {
    court
        .desk
        .put(&format!("/v1/{CLUSTER}"), bound(mode, binding))
        .await
        .ok();
}

#[tokio::test]
async fn each_mode_takes_effect_with_the_next_request() {
    let court = Court::new().await;
    let (signed, unsigned) = (court.signed().await, court.unsigned());
    let table = [
        ("PROJECT_SINGLETON_POLICY_ENFORCE", None, true),
        ("DISABLED", None, false),
        ("PROJECT_SINGLETON_POLICY_ENFORCE", None, true),
        // Bindings monitor: alone they switch the project's policy off.
        ("POLICY_BINDINGS", Some("AUDIT"), false),
        (
            "POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE",
            Some("AUDIT"),
            true,
        ),
        ("POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE", None, true),
        ("POLICY_BINDINGS", None, false),
    ];
    for (mode, binding, enforced) in table {
        set(&court, mode, binding).await;
        court.pod(&[&signed]).await.admitted();
        let verdict = court.pod(&[&unsigned]).await;
        assert_eq!(verdict.allowed(), !enforced, "{mode}: {}", verdict.0);
        let record = court.record().await;
        let reason = if enforced {
            "NO_ATTESTATIONS"
        } else {
            "EVALUATION_DISABLED"
        };
        assert_eq!(
            (&record["reason"], &record["effect"]),
            (&json!(reason), &json!("ENFORCED")),
            "{mode}"
        );
        let metrics = court.desk.health("/metrics").await.1;
        let state = format!("\nbinauthz_enforcement_state {}\n", u8::from(enforced));
        assert!(metrics.contains(&state), "{mode}");
    }
}

#[tokio::test]
async fn what_is_disabled_is_disabled_for_every_dialect_and_still_recorded() {
    let court = Court::new().await;
    set(&court, "DISABLED", None).await;
    let unsigned = court.unsigned();
    let image_review = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": {"containers": [{"image": unsigned}], "namespace": "default"}});
    let answer = court.ask("imagepolicy", &image_review).await;
    assert_eq!(answer["status"]["allowed"], true, "{answer}");
    assert_eq!(court.record().await["reason"], "EVALUATION_DISABLED");
    // A rule that denies everything, and one for this very cluster, are not asked either.
    court
        .policy(json!({"evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"}))
        .await;
    court.pod(&[&unsigned]).await.admitted();
    // What cannot be judged at all is no matter of a policy.
    let mut unknown = pod(&[&unsigned]);
    unknown["kind"] = json!("Thing");
    court.admit(&created(unknown)).await.denial();
    set(&court, "PROJECT_SINGLETON_POLICY_ENFORCE", None).await;
    court.pod(&[&unsigned]).await.denial();
}

#[tokio::test]
async fn a_dry_run_of_the_policy_stays_one_in_the_mode_with_bindings() {
    let court = Court::new().await;
    let unsigned = court.unsigned();
    set(
        &court,
        "POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE",
        Some("AUDIT"),
    )
    .await;
    court.policy(require_attestation("DRYRUN_AUDIT_LOG_ONLY")).await;
    let verdict = court.pod(&[&unsigned]).await;
    verdict.admitted();
    let warning = verdict.0["response"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("admitted by dry run; when enforced: Image "),
        "{warning}"
    );
    assert_eq!(court.record().await["effect"], "DRY_RUN");
}

#[tokio::test]
async fn a_mode_that_is_none_is_refused_and_changes_nothing() {
    let court = Court::new().await;
    let unsigned = court.unsigned();
    for (body, words) in [
        (bound("SOMETIMES", None), "evaluationMode"),
        (bound("DISABLED", Some("AUDIT")), "policyBindings"),
        (bound("POLICY_BINDINGS", Some("BLOCK")), "enforcementMode"),
        // A promise that nobody here keeps.
        (
            bound("POLICY_BINDINGS", Some("AUDIT_AND_ENFORCE")),
            "this server evaluates no platform policies",
        ),
    ] {
        let answer = court.desk.put(&format!("/v1/{CLUSTER}"), body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{words}");
        assert!(answer.body.to_string().contains(words), "{}", answer.body);
        court.pod(&[&unsigned]).await.denial();
    }
}
