//! Attestors through the API: what they keep, and what ends with them.

use binauthz_server::Flags;
use serde_json::{Value, json};

use crate::court::{ATTESTOR, Court, KEY_ID, created, pod, require_attestation};
use crate::support::{Desk, flags};

const PATH: &str = "/v1/projects/p/attestors/image-signing-attestor";
const WEAK: &str = include_str!("../../../core/tests/vectors/security-vectors.json");

fn grafeas(note: &str) -> Value {
    json!({ "userOwnedGrafeasNote": { "noteReference": note } })
}

/// Read through one version, changed a little and written back, as gcloud does it.
async fn read_and_write(court: &Court, version: &str, change: impl FnOnce(&mut Value)) -> Value {
    let path = PATH.replace("v1", version);
    let mut attestor = court.desk.get(&path).await.ok();
    change(&mut attestor);
    court.desk.put(&path, attestor).await.ok()
}

#[tokio::test]
async fn who_does_not_know_match_identity_does_not_switch_it_off() {
    let court = Court::new().await;
    let mut strict = court.attestor(true);
    strict["matchIdentity"] = json!(true);
    assert_eq!(court.desk.put(PATH, strict).await.ok()["matchIdentity"], true);
    for version in ["v1", "v1beta1", "v1alpha2"] {
        // gcloud's messages have no such field, so it is gone from what is written.
        let forget = |attestor: &mut Value| {
            attestor.as_object_mut().unwrap().remove("matchIdentity");
            attestor["description"] = json!(version);
        };
        let written = read_and_write(&court, version, forget).await;
        assert_eq!(written["matchIdentity"], true, "{version}");
        assert_eq!(written["description"], version);
        assert_eq!(
            court.desk.get(PATH).await.ok()["matchIdentity"],
            true,
            "{version}"
        );
    }
    // Whoever knows it can switch it off; a new attestor does not have it.
    let off = |attestor: &mut Value| attestor["matchIdentity"] = json!(false);
    read_and_write(&court, "v1beta1", off).await;
    assert_eq!(court.desk.get(PATH).await.ok()["matchIdentity"], Value::Null);
    let forget = |attestor: &mut Value| attestor["description"] = json!("x");
    read_and_write(&court, "v1", forget).await;
    assert_eq!(court.desk.get(PATH).await.ok()["matchIdentity"], Value::Null);
}

#[tokio::test]
async fn match_identity_binds_the_repository_from_the_api_to_the_verdict() {
    let court = Court::new().await;
    let image = court.unsigned();
    let digest = image.split_once('@').unwrap().1;
    let elsewhere = format!("us-central1-docker.pkg.dev/p/dev/myservice@{digest}");
    court.attest(&elsewhere).await;
    court.pod(&[&image]).await.admitted();

    let mut strict = court.attestor(true);
    strict["matchIdentity"] = json!(true);
    court.desk.put(PATH, strict).await.ok();
    let review = created(pod(&[&image]));
    for _ in 0..2 {
        court.admit(&review).await.denial();
    }
    court.pod(&[&elsewhere]).await.admitted();
    court.attest(&image).await;
    // Cold, then warm: the same verdict.
    for _ in 0..3 {
        court.admit(&review).await.admitted();
        court.pod(&[&elsewhere]).await.admitted();
    }
}

#[tokio::test]
async fn an_attestor_is_one_object_in_three_versions() {
    let court = Court::new().await;
    let (desk, beta) = (&court.desk, PATH.replace("v1", "v1beta1"));
    let mut attestor = desk.get(&PATH.replace("v1", "v1alpha2")).await.ok();
    assert_eq!(attestor["userOwnedGrafeasNote"], Value::Null);
    attestor["description"] = json!("by the alpha");
    let written = desk
        .put(&PATH.replace("v1", "v1alpha2"), attestor.clone())
        .await
        .ok();
    assert_eq!(written["userOwnedDrydockNote"]["publicKeys"][0]["id"], KEY_ID);
    assert_eq!(desk.get(PATH).await.ok()["description"], "by the alpha");
    assert_eq!(desk.get(&beta).await.ok()["description"], "by the alpha");
    // The field of another version is no field of this one, and the etag of before is stale.
    desk.put(PATH, attestor.clone())
        .await
        .refused("INVALID_ARGUMENT", "userOwnedGrafeasNote");
    desk.put(&beta, attestor)
        .await
        .refused("ABORTED", "image-signing-attestor");
    let listed = desk.get("/v1beta1/projects/p/attestors").await.ok();
    assert_eq!(
        listed["attestors"][0]["userOwnedDrydockNote"]["noteReference"],
        "projects/p/notes/signed"
    );
}

#[tokio::test]
async fn older_versions_may_call_a_project_a_provider() {
    let desk = Desk::new().await;
    desk.post("/v1/projects/p/notes?noteId=n", json!({ "attestation": {} }))
        .await
        .ok();
    for version in ["v1beta1", "v1alpha2"] {
        let path = format!("/{version}/projects/p/attestors?attestorId={version}");
        let body = json!({ "userOwnedDrydockNote": { "noteReference": "providers/p/notes/n" } });
        let made = desk.post(&path, body).await.ok();
        assert_eq!(
            made["userOwnedDrydockNote"]["noteReference"],
            "projects/p/notes/n"
        );
        let written = format!("/v1/projects/p/attestors/{version}");
        desk.put(&written, grafeas("projects/p/notes/n")).await.ok();
        let body = json!({ "userOwnedDrydockNote": { "noteReference": "providers/p/occurrences/n" } });
        desk.post(&path, body)
            .await
            .refused("INVALID_ARGUMENT", "noteReference");
    }
    desk.post(
        "/v1/projects/p/attestors?attestorId=a",
        grafeas("providers/p/notes/n"),
    )
    .await
    .refused("INVALID_ARGUMENT", "noteReference");
}

#[tokio::test]
async fn what_an_attestor_cannot_be_leaves_the_one_there_is_as_it_was() {
    let court = Court::new().await;
    let before = court.desk.get(PATH).await.ok();
    let key = |id: &str, pem: &Value, algorithm: &str| json!({ "id": id, "pkixPublicKey": { "publicKeyPem": pem, "signatureAlgorithm": algorithm } });
    let vectors: Value = serde_json::from_str(WEAK).unwrap();
    let all = vectors["vectors"].as_array().unwrap();
    let weak = &all.iter().find(|vector| vector["id"] == "rsa-a7").unwrap()["key_pem"];
    let good = before["userOwnedGrafeasNote"]["publicKeys"][0]["pkixPublicKey"]["publicKeyPem"].clone();
    let ec = "ECDSA_P256_SHA256";
    for (keys, expected) in [
        (
            json!([key("//k/1", weak, "RSA_SIGN_PKCS1_2048_SHA256")]),
            "exponent",
        ),
        (
            json!([key("//k/1", &good, ec), key("//k/1", &good, ec)]),
            "`//k/1`; ids must be unique",
        ),
        (
            json!([
                key(
                    "//a/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
                    &good,
                    ec
                ),
                key(
                    "//b/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
                    &good,
                    ec
                )
            ]),
            "ids must be unique",
        ),
        (json!([key("no uri", &good, ec)]), "publicKeys[0].id"),
        (
            json!([key("", &good, "RSA_PSS_2048_SHA256")]),
            "publicKeys[0].pkixPublicKey.publicKeyPem",
        ),
    ] {
        let mut attestor = court.attestor(true);
        attestor["userOwnedGrafeasNote"]["publicKeys"] = keys;
        court
            .desk
            .put(PATH, attestor)
            .await
            .refused("INVALID_ARGUMENT", expected);
        assert_eq!(court.desk.get(PATH).await.ok(), before, "{expected}");
    }
    court
        .desk
        .put(PATH, grafeas("projects/p/notes/other"))
        .await
        .refused(
            "INVALID_ARGUMENT",
            "cannot be changed: it is `projects/p/notes/signed`",
        );
    assert_eq!(court.desk.get(PATH).await.ok(), before);
}

/// A public key of the server's own, in PEM.
async fn fresh_key(desk: &Desk, id: &str) -> Value {
    let ring = "/v1/projects/p/locations/global/keyRings";
    let body =
        json!({ "purpose": "ASYMMETRIC_SIGN", "versionTemplate": { "algorithm": "EC_SIGN_P256_SHA256" } });
    desk.post(&format!("{ring}/r/cryptoKeys?cryptoKeyId={id}"), body)
        .await
        .ok();
    let key = format!("{ring}/r/cryptoKeys/{id}/cryptoKeyVersions/1/publicKey");
    let pem = desk.get(&key).await.ok()["pem"].clone();
    json!({ "pkixPublicKey": { "publicKeyPem": pem, "signatureAlgorithm": "ECDSA_P256_SHA256" } })
}

fn with_keys(keys: &[&Value]) -> Value {
    let mut attestor = grafeas("projects/p/notes/n");
    attestor["userOwnedGrafeasNote"]["publicKeys"] = json!(keys);
    attestor
}

async fn desk_where_keys_are(unique: bool) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("binauthz.yaml");
    std::fs::write(&config, format!("uniqueAttestorKeys: {unique}\n")).unwrap();
    let flags = Flags {
        config: Some(config),
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, flags).await;
    desk.post("/v1/projects/p/locations/global/keyRings?keyRingId=r", json!({}))
        .await
        .ok();
    desk.post("/v1/projects/p/notes?noteId=n", json!({ "attestation": {} }))
        .await
        .ok();
    desk
}

#[tokio::test]
async fn a_key_may_be_held_to_one_attestor() {
    let desk = desk_where_keys_are(true).await;
    let (one, two) = (fresh_key(&desk, "one").await, fresh_key(&desk, "two").await);
    let create = async |project: &str, id: &str, keys: &[&Value]| {
        let path = format!("/v1/projects/{project}/attestors?attestorId={id}");
        desk.post(&path, with_keys(keys)).await
    };
    create("p", "qa", &[&one]).await.ok();
    // The same key under another id, and in another form of the same text.
    let mut disguised = one.clone();
    disguised["id"] = json!("//example.com/other");
    disguised["pkixPublicKey"]["publicKeyPem"] = json!(
        one["pkixPublicKey"]["publicKeyPem"]
            .as_str()
            .unwrap()
            .replace('\n', "\r\n")
    );
    for key in [&one, &disguised] {
        for project in ["p", "q"] {
            create(project, "prod", &[&two, key])
                .await
                .refused("ALREADY_EXISTS", "`projects/p/attestors/qa`");
        }
    }
    create("p", "prod", &[&two]).await.ok();
    let prod = "/v1/projects/p/attestors/prod";
    let before = desk.get(prod).await.ok();
    desk.put(prod, with_keys(&[&two, &disguised]))
        .await
        .refused("ALREADY_EXISTS", "`projects/p/attestors/qa`");
    assert_eq!(desk.get(prod).await.ok(), before);
    // What an attestor has, it keeps; what it gives up, another may have.
    desk.put(prod, before).await.ok();
    desk.put("/v1/projects/p/attestors/qa", with_keys(&[])).await.ok();
    desk.put(prod, with_keys(&[&two, &one])).await.ok();
}

#[tokio::test]
async fn a_key_of_two_attestors_is_their_business_unless_it_is_said_otherwise() {
    let desk = desk_where_keys_are(false).await;
    let one = fresh_key(&desk, "one").await;
    for id in ["qa", "prod"] {
        let path = format!("/v1/projects/p/attestors?attestorId={id}");
        desk.post(&path, with_keys(&[&one])).await.ok();
    }
}

#[tokio::test]
async fn names_are_judged_after_they_are_decoded() {
    let desk = Desk::new().await;
    for name in [
        "..%2f..%2fp2%2fattestors%2fprod",
        "..%2F..",
        "a%00b",
        "a%20b",
        "%252e%252e%252f",
        "-a",
    ] {
        for version in ["v1", "v1beta1", "v1alpha2"] {
            let path = format!("/{version}/projects/p1/attestors/{name}");
            for answer in [
                desk.get(&path).await,
                desk.put(&path, grafeas("projects/p1/notes/n")).await,
                desk.delete(&path).await,
            ] {
                assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            }
        }
        let create = format!("/v1/projects/p1/attestors?attestorId={name}");
        let answer = desk.post(&create, grafeas("projects/p1/notes/n")).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.body);
    }
    desk.get("/v1/projects/..%2fp2/attestors/a")
        .await
        .refused("INVALID_ARGUMENT", "PROJECT");
}

#[tokio::test]
async fn an_attestor_that_a_policy_requires_stays() {
    let court = Court::new().await;
    court
        .desk
        .delete(PATH)
        .await
        .refused("FAILED_PRECONDITION", "required by `projects/p/policy`");
    court.policy(crate::court::always("ALWAYS_DENY")).await;
    court.desk.delete(PATH).await.ok();
    court.desk.get(PATH).await.refused("NOT_FOUND", ATTESTOR);
    court.desk.delete(PATH).await.refused("NOT_FOUND", ATTESTOR);
    let policy = json!({ "defaultAdmissionRule": require_attestation("ENFORCED_BLOCK_AND_AUDIT_LOG") });
    court
        .desk
        .put("/v1/projects/p/policy", policy)
        .await
        .refused("INVALID_ARGUMENT", ATTESTOR);
}

#[tokio::test]
async fn an_attestor_needs_its_note() {
    let desk = Desk::new().await;
    let attestors = "/v1/projects/p/attestors?attestorId=a";
    desk.post(attestors, grafeas("projects/p/notes/n"))
        .await
        .refused("NOT_FOUND", "create the note first");
    desk.post(attestors, grafeas("n"))
        .await
        .refused("INVALID_ARGUMENT", "userOwnedGrafeasNote.noteReference");
    desk.post("/v1/projects/p/notes?noteId=n", json!({ "attestation": {} }))
        .await
        .ok();
    desk.post("/v1/projects/p/attestors", grafeas("projects/p/notes/n"))
        .await
        .refused("INVALID_ARGUMENT", "attestorId");
    desk.post(attestors, grafeas("projects/p/notes/n")).await.ok();
    desk.post(attestors, grafeas("projects/p/notes/n"))
        .await
        .refused("ALREADY_EXISTS", "attestors/a");
    for id in ["b", "c", "d", "e"] {
        let path = format!("/v1/projects/p/attestors?attestorId={id}");
        desk.post(&path, grafeas("projects/p/notes/n")).await.ok();
    }
    let listed = desk.pages("/v1/projects/p/attestors", "attestors", 2).await;
    assert_eq!(listed.len(), 5);
    let other = desk.get("/v1/projects/p/attestors?pageSize=2").await.ok();
    let token = other["nextPageToken"].as_str().unwrap();
    desk.get(&format!("/v1/projects/q/attestors?pageToken={token}"))
        .await
        .refused("INVALID_ARGUMENT", "pageToken");
}

#[tokio::test]
async fn whoever_asks_for_validation_is_judged_like_an_admission() {
    let court = Court::new().await;
    let image = court.unsigned();
    let digest = image.split_once('@').unwrap().1;
    let elsewhere = format!("us-central1-docker.pkg.dev/p/dev/myservice@{digest}");
    let question = |about: &str, signed: &str| {
        json!({
            "attestor": "ignored",
            "attestation": court.statement(signed),
            "occurrenceNote": "projects/p/notes/signed",
            "occurrenceResourceUri": about,
        })
    };
    let ask = async |question: Value| {
        let path = format!("{PATH}:validateAttestationOccurrence");
        court.desk.post(&path, question).await
    };
    let denied = async |question: Value, expected: &str| {
        let answer = ask(question).await.ok();
        assert_eq!(answer["result"], "ATTESTATION_NOT_VERIFIABLE", "{answer}");
        let reason = answer["denialReason"].as_str().unwrap();
        assert!(reason.contains(expected), "{reason}");
    };
    let verified = async |question: Value| {
        assert_eq!(ask(question).await.ok(), json!({ "result": "VERIFIED" }));
    };
    verified(question(&image, &image)).await;
    verified(question(&format!("https://{image}"), &image)).await;
    verified(question(&image, &elsewhere)).await;
    denied(question(&court.unsigned(), &image), "it was signed for").await;
    denied(
        question("us-central1-docker.pkg.dev/p/app/x:latest", &image),
        "names no digest",
    )
    .await;
    denied(question("p/app@sha256:12", &image), "occurrenceResourceUri").await;
    let mut unsigned = question(&image, &image);
    unsigned["attestation"]["signatures"] = json!([]);
    denied(unsigned, "0 signatures").await;
    let mut other_note = question(&image, &image);
    other_note["occurrenceNote"] = json!("projects/p/notes/other");
    denied(other_note, "projects/p/notes/other").await;

    let mut strict = court.attestor(true);
    strict["matchIdentity"] = json!(true);
    court.desk.put(PATH, strict).await.ok();
    verified(question(&image, &image)).await;
    denied(question(&image, &elsewhere), "the attestor binds the repository").await;

    for (field, value, expected) in [
        ("occurrenceNote", json!("n"), "occurrenceNote"),
        ("occurrenceResourceUri", json!(""), "occurrenceResourceUri"),
        ("attestation", json!({}), "attestation.serializedPayload"),
        ("extra", json!(1), "extra"),
    ] {
        let mut malformed = question(&image, &image);
        malformed[field] = value;
        ask(malformed).await.refused("INVALID_ARGUMENT", expected);
    }
    let nobody = "/v1/projects/p/attestors/nobody:validateAttestationOccurrence";
    court
        .desk
        .post(nobody, question(&image, &image))
        .await
        .refused("NOT_FOUND", "attestors/nobody");
}
