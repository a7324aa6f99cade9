//! Mistakes people make in the tutorial. Each is answered with what to do about it.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{Desk, review};
use serde_json::json;

use crate::signatures::{policy, prepared};
use crate::story;

fn policy_path() -> &'static str {
    "/v1/projects/demo/policy"
}

#[test]
fn a_tag_where_a_digest_is_needed() {
    let Some(desk) = prepared(&[]) else { return };
    let image = format!("{IMAGES}/myservice:v1");
    // The sentence names the command that finds the digest.
    desk.admit(&review::pod("p", &image))
        .denied(&[&image, "digest", "images describe"]);
    let occurrence = json!({"noteName": "projects/demo/notes/image-signing-note", "resourceUri": image, "kind": "ATTESTATION",
        "attestation": {"serializedPayload": "e30=", "signatures": [{"publicKeyId": "a:b", "signature": "AA=="}]}});
    desk.api("POST", "/v1/projects/demo/occurrences", Some(&occurrence))
        .refused(400, "INVALID_ARGUMENT", &["resourceUri", "digest"]);
}

#[test]
fn a_short_digest() {
    let Some(desk) = prepared(&[]) else { return };
    let image = format!("{IMAGES}/myservice@sha256:abc123");
    desk.admit(&review::pod("p", &image)).denied(&["abc123"]);
    let occurrence = json!({"noteName": "projects/demo/notes/image-signing-note", "resourceUri": image, "kind": "ATTESTATION",
        "attestation": {"serializedPayload": "e30=", "signatures": [{"publicKeyId": "a:b", "signature": "AA=="}]}});
    desk.api("POST", "/v1/projects/demo/occurrences", Some(&occurrence))
        .refused(400, "INVALID_ARGUMENT", &["resourceUri", "64"]);
}

#[test]
fn a_missing_note() {
    let Some(desk) = prepared(&[]) else { return };
    let attestor = json!({"userOwnedGrafeasNote": {"noteReference": "projects/demo/notes/nobody-made-it"}});
    desk.api(
        "POST",
        "/v1/projects/demo/attestors?attestorId=a",
        Some(&attestor),
    )
    .refused(404, "NOT_FOUND", &["projects/demo/notes/nobody-made-it"]);
    let payload = desk.ok(&format!(
        "binauthz create-signature-payload --artifact-url={IMAGES}/a@sha256:{} | base64 -w0",
        "a".repeat(64)
    ));
    let occurrence = json!({"noteName": "projects/demo/notes/nobody-made-it", "kind": "ATTESTATION",
        "resourceUri": format!("{IMAGES}/a@sha256:{}", "a".repeat(64)),
        "attestation": {"serializedPayload": payload.text(), "signatures": [{"publicKeyId": "a:b", "signature": "AA=="}]}});
    desk.api("POST", "/v1/projects/demo/occurrences", Some(&occurrence))
        .refused(404, "NOT_FOUND", &["projects/demo/notes/nobody-made-it"]);
}

#[test]
fn policies_that_cannot_be_meant() {
    let Some(desk) = prepared(&[]) else { return };
    let rule = json!({"evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG"});
    let put = |policy: serde_json::Value| desk.api("PUT", policy_path(), Some(&policy));

    let mut unknown = policy("ENFORCED_BLOCK_AND_AUDIT_LOG");
    unknown["defaultAdmissionRule"]["requireAttestationsBy"] =
        json!(["projects/demo/attestors/nobody-made-it"]);
    put(unknown).refused(
        400,
        "INVALID_ARGUMENT",
        &["projects/demo/attestors/nobody-made-it"],
    );

    put(
        json!({"defaultAdmissionRule": rule, "clusterAdmissionRules": {"us-central1-a.c": rule},
        "kubernetesNamespaceAdmissionRules": {"n": rule}}),
    )
    .refused(
        400,
        "INVALID_ARGUMENT",
        &["clusterAdmissionRules", "kubernetesNamespaceAdmissionRules"],
    );

    put(policy("ENFORCED_BLOCK")).refused(
        400,
        "INVALID_ARGUMENT",
        &["enforcementMode", "ENFORCED_BLOCK", "DRYRUN_AUDIT_LOG_ONLY"],
    );
    put(json!({"defaultAdmissionRule": rule, "admissionWhitelistPatterns": [{"namePatern": "a/*"}]}))
        .refused(
            400,
            "INVALID_ARGUMENT",
            &["admissionWhitelistPatterns[0].namePatern"],
        );
    put(json!({"defaultAdmissionRule": rule, "admissionWhitelistPatterns": [{"namePattern": "*"}]})).refused(
        400,
        "INVALID_ARGUMENT",
        &["admissionWhitelistPatterns[0]"],
    );
    put(json!({})).refused(400, "INVALID_ARGUMENT", &["defaultAdmissionRule"]);
    let mut empty = policy("ENFORCED_BLOCK_AND_AUDIT_LOG");
    empty["defaultAdmissionRule"]["requireAttestationsBy"] = json!([]);
    put(empty).refused(400, "INVALID_ARGUMENT", &["requireAttestationsBy"]);
    // None of them took effect.
    assert_eq!(
        desk.api("GET", policy_path(), None).ok()["defaultAdmissionRule"]["evaluationMode"],
        "REQUIRE_ATTESTATION"
    );
}

#[test]
fn a_key_that_is_not_what_it_is_said_to_be() {
    let Some(desk) = prepared(&["openssl"]) else {
        return;
    };
    let put = |pem: &str, algorithm: &str| {
        let attestor = json!({"userOwnedGrafeasNote": {"noteReference": "projects/demo/notes/image-signing-note", "publicKeys": [
            {"pkixPublicKey": {"publicKeyPem": pem, "signatureAlgorithm": algorithm}}]}});
        desk.api(
            "PUT",
            "/v1/projects/demo/attestors/image-signing-attestor",
            Some(&attestor),
        )
    };
    let public = |options: &str| {
        desk.ok(&format!(
            "openssl genpkey -algorithm {options} 2>/dev/null | openssl pkey -pubout"
        ))
        .stdout
    };
    let small = public("RSA -pkeyopt rsa_keygen_bits:1024");
    put(&small, "RSA_SIGN_PKCS1_2048_SHA256").refused(400, "INVALID_ARGUMENT", &["2048", "1024"]);
    let curve = public("EC -pkeyopt ec_paramgen_curve:P-384");
    put(&curve, "ECDSA_P256_SHA256").refused(400, "INVALID_ARGUMENT", &["P-256"]);
    put(&public("ed25519"), "ECDSA_P256_SHA256").refused(400, "INVALID_ARGUMENT", &[]);
    put(
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "ECDSA_P256_SHA256",
    )
    .refused(400, "INVALID_ARGUMENT", &["publicKeyPem"]);
    put(&curve, "ECDSA_P384_SHA384").ok();
}

#[test]
fn the_same_mistakes_through_gcloud() {
    let Some(desk) = Desk::with(&["gcloud"]) else {
        return;
    };
    story::ready_to_sign(&desk);
    let image = format!("{IMAGES}/myservice@sha256:{}", "a".repeat(64));

    desk.ok(
        "gcloud kms keys versions disable 1 --key=image-signer --keyring=image-signing --location=global",
    );
    let sign = format!(
        "gcloud beta container binauthz attestations sign-and-create --artifact-url={image} \
         --attestor=image-signing-attestor --attestor-project=demo {}",
        story::KEY_VERSION
    );
    desk.sh(&sign).refused(&["not enabled", "DISABLED"]);
    desk.ok("gcloud kms keys versions enable 1 --key=image-signer --keyring=image-signing --location=global");
    desk.ok(&sign);

    duplicate(&desk, &image);
    desk.write("two.yaml", "defaultAdmissionRule: {evaluationMode: ALWAYS_DENY, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}\n\
        clusterAdmissionRules:\n  a.b: {evaluationMode: ALWAYS_ALLOW, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}\n\
        kubernetesNamespaceAdmissionRules:\n  n: {evaluationMode: ALWAYS_ALLOW, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}\n");
    desk.sh("gcloud container binauthz policy import two.yaml")
        .refused(&["INVALID_ARGUMENT", "kubernetesNamespaceAdmissionRules"]);
    desk.write(
        "missing.yaml",
        &story::POLICY.replace("image-signing-attestor", "nobody-made-it"),
    );
    desk.sh("gcloud container binauthz policy import missing.yaml")
        .refused(&["nobody-made-it"]);
    desk.sh(
        "gcloud container binauthz attestors create x --attestation-authority-note=nobody-made-it \
             --attestation-authority-note-project=demo",
    )
    .refused(&["nobody-made-it"]);
    desk.sh("CLOUDSDK_AUTH_ACCESS_TOKEN=wrong gcloud container binauthz policy export")
        .refused(&[]);
}

fn duplicate(desk: &Desk, image: &str) {
    let listed = desk
        .ok(&format!(
            "gcloud container binauthz attestations list --artifact-url={image} --format=json"
        ))
        .json();
    let mut again = listed[0].clone();
    let name = again["name"].as_str().unwrap_or_default().to_owned();
    for output_only in ["name", "createTime", "updateTime"] {
        again
            .as_object_mut()
            .and_then(|object| object.remove(output_only));
    }
    desk.api("POST", "/v1/projects/demo/occurrences", Some(&again))
        .refused(
            409,
            "ALREADY_EXISTS",
            &[name.rsplit('/').next().unwrap_or_default()],
        );
}

#[test]
fn nobody_gets_in_without_a_token() {
    let Some(desk) = prepared(&[]) else { return };
    for path in [
        policy_path(),
        "/v1/projects/demo/attestors",
        "/v1/projects/demo/locations/global/keyRings",
        "/v1/nothing/here",
    ] {
        for token in [None, Some("wrong")] {
            desk.api_as(token, "GET", path, None)
                .refused(401, "UNAUTHENTICATED", &[]);
        }
    }
    desk.api("GET", "/v1/nothing/here", None)
        .refused(404, "NOT_FOUND", &[]);
}
