//! Who signed it, as far as the webhook is concerned: an attestation made by `gpg` admits, a broken one does not,
//! and every change of keys, attestations and policies counts for the very next request.

use binauthz_conformance::desk::IMAGES;
use binauthz_conformance::{Desk, review};
use serde_json::{Value, json};

use crate::gcloud_binauthz::pgp_key;
use crate::story;

const NOTE: &str = "projects/demo/notes/image-signing-note";

/// Note, attestor, cluster and policy, made over HTTP: what is tested here is not gcloud.
pub(crate) fn prepared(programs: &[&str]) -> Option<Desk> {
    let desk = Desk::with(programs)?;
    prepare(&desk);
    Some(desk)
}

pub(crate) fn prepare(desk: &Desk) {
    let cluster = json!({"cluster": {"name": "my-cluster", "binaryAuthorization": {"evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE"}}});
    desk.api(
        "POST",
        "/v1/projects/demo/locations/us-central1-a/clusters",
        Some(&cluster),
    )
    .ok();
    let note = json!({"attestation": {"hint": {"humanReadableName": "Image signing attestor"}}});
    desk.api(
        "POST",
        "/v1/projects/demo/notes?noteId=image-signing-note",
        Some(&note),
    )
    .ok();
    put_keys(desk, &json!([]));
    desk.api(
        "PUT",
        "/v1/projects/demo/policy",
        Some(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG")),
    )
    .ok();
}

pub(crate) fn policy(enforcement: &str) -> Value {
    json!({"defaultAdmissionRule": {
        "evaluationMode": "REQUIRE_ATTESTATION",
        "enforcementMode": enforcement,
        "requireAttestationsBy": [story::ATTESTOR]
    }})
}

/// Creates the attestor, or replaces its keys.
pub(crate) fn put_keys(desk: &Desk, keys: &Value) {
    let attestor = json!({"userOwnedGrafeasNote": {"noteReference": NOTE, "publicKeys": keys}});
    let path = "/v1/projects/demo/attestors";
    if desk
        .api("GET", &format!("{path}/image-signing-attestor"), None)
        .status
        == 404
    {
        desk.api(
            "POST",
            &format!("{path}?attestorId=image-signing-attestor"),
            Some(&attestor),
        )
        .ok();
    } else {
        desk.api("PUT", &format!("{path}/image-signing-attestor"), Some(&attestor))
            .ok();
    }
}

pub(crate) fn image(digit: &str) -> String {
    format!("{IMAGES}/myservice@sha256:{}", digit.repeat(64))
}

/// Writes the statement about an image to `payload.json`.
pub(crate) fn payload(desk: &Desk, image: &str) {
    let (repository, digest) = image.split_once('@').expect("the image is pinned");
    desk.write(
        "payload.json",
        &format!(
            "{{\n  \"critical\": {{\n    \"identity\": {{\n      \"docker-reference\": \"{repository}\"\n    }},\n    \
             \"image\": {{\n      \"docker-manifest-digest\": \"{digest}\"\n    }},\n    \
             \"type\": \"Google cloud binauthz container signature\"\n  }}\n}}\n"
        ),
    );
}

/// Stores `payload.json` with the signature in `signature`; returns the occurrence's name.
pub(crate) fn store(desk: &Desk, image: &str, key: &str) -> String {
    let base64 = |file: &str| desk.ok(&format!("base64 -w0 {file}")).text().to_owned();
    let occurrence = json!({
        "kind": "ATTESTATION", "noteName": NOTE, "resourceUri": image,
        "attestation": {
            "serializedPayload": base64("payload.json"),
            "signatures": [{"publicKeyId": key, "signature": base64("signature")}]
        }
    });
    let stored = desk
        .api("POST", "/v1/projects/demo/occurrences", Some(&occurrence))
        .ok();
    stored["name"]
        .as_str()
        .expect("an occurrence has a name")
        .to_owned()
}

#[test]
fn gpg_signs_and_the_webhook_admits() {
    let Some(desk) = prepared(&["gpg"]) else { return };
    let fingerprint = pgp_key(&desk, "rsa3072");
    let armored = desk.ok("cat pgp.asc").stdout;
    put_keys(&desk, &json!([{"asciiArmoredPgpPublicKey": armored}]));
    for (digit, how) in [("a", "--armor --sign"), ("b", "--clear-sign"), ("c", "--sign")] {
        payload(&desk, &image(digit));
        desk.admit(&review::pod("p", &image(digit)))
            .denied(&["No attestations found"]);
        desk.ok(&format!(
            "rm -f signature && gpg --batch {how} --output signature payload.json"
        ));
        store(&desk, &image(digit), &fingerprint);
        desk.admit(&review::pod("p", &image(digit))).admitted();
    }
    // gpg signed something else than what is stored beside it.
    payload(&desk, &image("d"));
    desk.ok("echo other >other && rm -f signature && gpg --batch --armor --sign --output signature other");
    store(&desk, &image("d"), &fingerprint);
    desk.admit(&review::pod("p", &image("d")))
        .denied(&[story::ATTESTOR]);
}

#[test]
fn every_change_counts_for_the_next_request() {
    let Some(desk) = prepared(&["openssl"]) else {
        return;
    };
    desk.ok("openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl pkey -in key.pem -pubout -out public.pem");
    let pem = desk.ok("cat public.pem").stdout;
    let key = json!([{"id": "urn:test:key", "pkixPublicKey": {"publicKeyPem": pem, "signatureAlgorithm": "ECDSA_P256_SHA256"}}]);
    payload(&desk, &image("a"));
    desk.ok("openssl dgst -sha256 -sign key.pem -out signature payload.json");
    let signed = review::pod("p", &image("a"));

    let name = store(&desk, &image("a"), "urn:test:key");
    desk.admit(&signed).denied(&[story::ATTESTOR]);
    put_keys(&desk, &key);
    desk.admit(&signed).admitted();
    put_keys(&desk, &json!([]));
    desk.admit(&signed).denied(&[story::ATTESTOR]);
    put_keys(&desk, &key);
    desk.admit(&signed).admitted();
    desk.api("DELETE", &format!("/v1/{name}"), None).ok();
    desk.admit(&signed).denied(&["No attestations found"]);
    desk.api(
        "PUT",
        "/v1/projects/demo/policy",
        Some(&policy("DRYRUN_AUDIT_LOG_ONLY")),
    )
    .ok();
    desk.admit(&signed).admitted();
    desk.api(
        "PUT",
        "/v1/projects/demo/policy",
        Some(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG")),
    )
    .ok();
    desk.admit(&signed).denied(&[]);
    // The same image under another name is the same image: what is attested is the digest.
    store(&desk, &image("a"), "urn:test:key");
    desk.admit(&review::pod("p", &image("a").replace("myservice", "copy")))
        .admitted();
    desk.admit(&review::pod("p", &image("b"))).denied(&[]);
}
