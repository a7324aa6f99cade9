//! A project's policy, the system's, and the configuration of continuous validation.

use serde_json::{Value, json};

use crate::support::Desk;

const POLICY: &str = "/v1/projects/p/policy";
const CONFIG: &str = "/v1alpha2/projects/p/continuousValidationConfig";

fn rule(mode: &str) -> Value {
    json!({ "defaultAdmissionRule": { "evaluationMode": mode, "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG" } })
}

#[tokio::test]
async fn a_policy_is_written_over_only_by_who_has_read_it() {
    let desk = Desk::new().await;
    let default = desk.get(POLICY).await.ok();
    assert_eq!(default["defaultAdmissionRule"]["evaluationMode"], "ALWAYS_ALLOW");
    assert_eq!(default["etag"], Value::Null);
    let first = desk.put(POLICY, rule("ALWAYS_DENY")).await.ok();
    let mut second = first.clone();
    second["description"] = json!("two");
    let second = desk.put("/v1alpha2/projects/p/policy", second).await.ok();
    desk.put(POLICY, first.clone())
        .await
        .refused("ABORTED", "projects/p/policy");
    let mut foreign = first;
    foreign["etag"] = json!("\"GDXq/WrZN7Kp\"");
    desk.put(POLICY, foreign)
        .await
        .refused("ABORTED", "projects/p/policy");
    assert_eq!(desk.get(POLICY).await.ok(), second);
    // Without an etag: whatever is there.
    desk.put(POLICY, rule("ALWAYS_ALLOW")).await.ok();
    desk.put(POLICY, json!({}))
        .await
        .refused("INVALID_ARGUMENT", "defaultAdmissionRule");
}

#[tokio::test]
async fn the_system_policy_is_read_and_not_written() {
    let desk = Desk::new().await;
    let policy = desk.get("/v1alpha2/locations/global/policy").await.ok();
    assert_eq!(policy["name"], "locations/global/policy");
    assert!(
        !policy["admissionWhitelistPatterns"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    desk.get("/v1/locations/No%20where/policy")
        .await
        .refused("INVALID_ARGUMENT", "LOCATION");
    desk.put("/v1/locations/global/policy", policy)
        .await
        .refused("NOT_FOUND", "expected GET");
}

#[tokio::test]
async fn continuous_validation_is_kept_as_gcloud_alpha_writes_it() {
    let desk = Desk::new().await;
    let name = "projects/p/continuousValidationConfig";
    let unset = json!({ "name": name, "enforcementPolicyConfig": {} });
    assert_eq!(desk.get(CONFIG).await.ok(), unset);
    let on = json!({ "name": "x", "updateTime": "x", "enforcementPolicyConfig": { "enabled": true } });
    let written = desk.put(CONFIG, on).await.ok();
    assert_eq!(written["name"], name);
    assert_eq!(written["enforcementPolicyConfig"], json!({ "enabled": true }));
    assert!(written["updateTime"].as_str().unwrap().ends_with('Z'));
    assert_eq!(desk.get(CONFIG).await.ok(), written);
    let off = desk
        .put(CONFIG, json!({ "enforcementPolicyConfig": { "enabled": false } }))
        .await
        .ok();
    assert_eq!(off["enforcementPolicyConfig"], json!({}));
    assert_eq!(
        desk.get("/v1alpha2/projects/q/continuousValidationConfig")
            .await
            .ok()["updateTime"],
        Value::Null
    );
    for (body, expected) in [
        (
            json!({ "enforcementPolicyConfig": { "enabled": "yes" } }),
            "enforcementPolicyConfig.enabled",
        ),
        (
            json!({ "enforcementPolicyConfig": { "on": true } }),
            "enforcementPolicyConfig.on",
        ),
        (json!({ "enabled": true }), "enabled"),
    ] {
        desk.put(CONFIG, body).await.refused("INVALID_ARGUMENT", expected);
    }
    for version in ["v1", "v1beta1"] {
        desk.get(&CONFIG.replace("v1alpha2", version))
            .await
            .refused("NOT_FOUND", "is not an address");
    }
}
