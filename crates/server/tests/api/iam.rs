//! IAM policies of everything that has one.

use serde_json::{Value, json};

use crate::court::Court;
use crate::support::Desk;

/// A resource, its version, whether its policy is read with POST.
async fn resources(court: &Court) -> Vec<(String, &'static str, bool)> {
    let desk = &court.desk;
    let rings = "/v1/projects/p/locations/global/keyRings";
    desk.post(&format!("{rings}?keyRingId=r"), json!({})).await.ok();
    let key = json!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": "EC_SIGN_ED25519" } });
    desk.post(&format!("{rings}/r/cryptoKeys?cryptoKeyId=k"), key)
        .await
        .ok();
    let occurrence = court.attest(&court.unsigned()).await;
    vec![
        ("projects/p".to_owned(), "v1", true),
        ("projects/p/policy".to_owned(), "v1", false),
        (
            "projects/p/continuousValidationConfig".to_owned(),
            "v1alpha2",
            false,
        ),
        (
            "projects/p/attestors/image-signing-attestor".to_owned(),
            "v1beta1",
            false,
        ),
        ("projects/p/notes/signed".to_owned(), "v1", true),
        (occurrence, "v1", true),
        ("projects/p/locations/global/keyRings/r".to_owned(), "v1", false),
        (
            "projects/p/locations/global/keyRings/r/cryptoKeys/k".to_owned(),
            "v1",
            false,
        ),
    ]
}

async fn policy_of(desk: &Desk, path: &str, posted: bool) -> Value {
    let path = format!("{path}:getIamPolicy");
    if posted {
        let body = json!({ "resource": "x", "options": { "requestedPolicyVersion": 3 } });
        desk.post(&path, body).await.ok()
    } else {
        desk.get(&format!("{path}?options.requestedPolicyVersion=3"))
            .await
            .ok()
    }
}

fn bindings(member: &str) -> Value {
    json!({ "policy": { "bindings": [{ "role": "roles/viewer", "members": [member] }] } })
}

fn only_member(policy: &Value) -> &Value {
    assert_eq!(policy["bindings"].as_array().unwrap().len(), 1, "{policy}");
    &policy["bindings"][0]["members"][0]
}

#[tokio::test]
async fn every_resource_has_a_policy_of_its_own() {
    let court = Court::new().await;
    let resources = resources(&court).await;
    for (name, version, posted) in &resources {
        let path = format!("/{version}/{name}");
        assert_eq!(
            policy_of(&court.desk, &path, *posted).await["bindings"],
            Value::Null,
            "{name}"
        );
        let member = format!("user:{}", name.replace('/', "."));
        let set = court
            .desk
            .post(&format!("{path}:setIamPolicy"), bindings(&member))
            .await
            .ok();
        assert_eq!(only_member(&set), &member);
        assert_eq!(court.desk.audit(1).await[0]["resource"], *name);
    }
    for (name, version, posted) in &resources {
        let path = format!("/{version}/{name}");
        let policy = policy_of(&court.desk, &path, *posted).await;
        assert_eq!(only_member(&policy), &format!("user:{}", name.replace('/', ".")));
        // The etag of another policy is stale here; the policy's own is not.
        let mut stale = bindings("user:mallory");
        stale["policy"]["etag"] = json!("AAAAAAAAAAA=");
        court
            .desk
            .post(&format!("{path}:setIamPolicy"), stale)
            .await
            .refused("ABORTED", name);
        let mut fresh = bindings("user:bob");
        fresh["policy"]["etag"] = policy["etag"].clone();
        court.desk.post(&format!("{path}:setIamPolicy"), fresh).await.ok();
        assert_eq!(
            only_member(&policy_of(&court.desk, &path, *posted).await),
            "user:bob"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_has_no_policy() {
    let court = Court::new().await;
    resources(&court).await;
    for name in [
        "projects/p/attestors/x",
        "projects/p/notes/x",
        "projects/p/occurrences/x",
        "projects/p/locations/global/keyRings/x",
        "projects/p/locations/global/keyRings/r/cryptoKeys/x",
    ] {
        let path = format!("/v1/{name}:setIamPolicy");
        court
            .desk
            .post(&path, bindings("user:a"))
            .await
            .refused("NOT_FOUND", name);
    }
    let path = "/v1/projects/p/notes/signed:setIamPolicy";
    for (body, expected) in [
        (json!({}), "policy"),
        (
            json!({ "policy": { "auditConfigs": [{}] } }),
            "policy.auditConfigs",
        ),
        (
            json!({ "policy": { "bindings": [{ "role": "owner" }] } }),
            "policy.bindings[0].role",
        ),
    ] {
        court
            .desk
            .post(path, body)
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
    for (body, expected) in [
        (
            json!({ "options": { "requestedPolicyVersion": "three" } }),
            "options.requestedPolicyVersion",
        ),
        (json!({ "options": { "version": 3 } }), "options.version"),
        (json!({ "policy": {} }), "policy"),
    ] {
        court
            .desk
            .post("/v1/projects/p/notes/signed:getIamPolicy", body)
            .await
            .refused("INVALID_ARGUMENT", expected);
    }
    // gcloud and Python write out what is empty.
    let empty = json!({ "policy": { "bindings": [], "auditConfigs": [], "etag": "", "version": 0 } });
    court.desk.post(path, empty).await.ok();
}

#[tokio::test]
async fn permissions_are_tested_against_the_role_of_the_caller() {
    let court = Court::new().await;
    let viewer = court.desk.viewer().await;
    let asked = json!({ "resource": "x", "permissions": [
        "binaryauthorization.policy.get", "binaryauthorization.policy.update",
        "containeranalysis.notes.listOccurrences", "cloudkms.cryptoKeyVersions.useToSign",
    ] });
    for (name, version, _) in resources(&court).await {
        let path = format!("/{version}/{name}:testIamPermissions");
        let all = court.desk.post(&path, asked.clone()).await.ok();
        assert_eq!(all["permissions"], asked["permissions"], "{name}");
        let request = court.desk.request_as(&viewer, reqwest::Method::POST, &path);
        let some = crate::support::answer(request.json(&asked)).await.ok();
        assert_eq!(
            some["permissions"],
            json!([
                "binaryauthorization.policy.get",
                "containeranalysis.notes.listOccurrences"
            ]),
            "{name}"
        );
        assert_eq!(court.desk.post(&path, json!({})).await.ok(), json!({}));
        court
            .desk
            .post(&path, json!({ "permissions": "x" }))
            .await
            .refused("INVALID_ARGUMENT", "permissions");
    }
}

#[tokio::test]
async fn a_policy_ends_with_its_resource() {
    let court = Court::new().await;
    let desk = &court.desk;
    court.policy(crate::court::always("ALWAYS_DENY")).await;
    let occurrence = court.attest(&court.unsigned()).await;
    let attestor = court.attestor(true);
    for (name, posted) in [
        ("projects/p/attestors/image-signing-attestor", false),
        (occurrence.as_str(), true),
        ("projects/p/notes/signed", true),
    ] {
        let path = format!("/v1/{name}");
        desk.post(&format!("{path}:setIamPolicy"), bindings("user:alice"))
            .await
            .ok();
        assert_eq!(only_member(&policy_of(desk, &path, posted).await), "user:alice");
        desk.delete(&path).await.ok();
    }
    // The next of the same name begins without one.
    desk.post("/v1/projects/p/notes?noteId=signed", json!({ "attestation": {} }))
        .await
        .ok();
    desk.post(
        "/v1/projects/p/attestors?attestorId=image-signing-attestor",
        attestor,
    )
    .await
    .ok();
    for (name, posted) in [
        ("projects/p/attestors/image-signing-attestor", false),
        ("projects/p/notes/signed", true),
    ] {
        let policy = policy_of(desk, &format!("/v1/{name}"), posted).await;
        assert_eq!(policy["bindings"], Value::Null, "{name}");
    }
}
