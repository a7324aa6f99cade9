//! The tutorial, step by step, with the commands it prints. Where the Google Cloud SDK itself refuses a command as
//! printed (`sign-and-create` outside `beta`, a digest that is no digest), the spelling it does accept is used.

use binauthz_conformance::desk::{CLUSTER, IMAGES};
use binauthz_conformance::{Desk, review};
use serde_json::{Value, json};

use crate::story;

#[test]
fn step_by_step() {
    let Some(desk) = Desk::with(&["gcloud", "docker-registry", "skopeo", "openssl"]) else {
        return;
    };
    enabling(&desk);
    signing_infrastructure(&desk);
    story::policy(&desk);
    let digest = desk.push("myservice", "v1", "my service");
    let signed = format!("{IMAGES}/myservice@{digest}");

    unsigned_is_refused(&desk, &signed);
    signing(&desk, &digest);
    desk.admit(&review::pod("test-signed", &signed)).admitted();
    desk.admit(&review::pod(
        "test-unsigned",
        &format!("{IMAGES}/other@{}", other_digest()),
    ))
    .denied(&[]);

    break_glass(&desk);
    auditing(&desk, &signed);
    openssl_agrees(&desk, &signed);
    dry_run(&desk);
}

fn other_digest() -> String {
    format!("sha256:{}", "0123456789abcdef".repeat(4))
}

fn enabling(desk: &Desk) {
    for service in ["binaryauthorization", "containeranalysis", "container"] {
        desk.ok(&format!("gcloud services enable {service}.googleapis.com"));
    }
    desk.ok("gcloud services list --enabled --format='value(config.name)'")
        .says(&[
            "binaryauthorization.googleapis.com",
            "containeranalysis.googleapis.com",
        ]);
    story::cluster(desk);
    let mode = "--format='value(binaryAuthorization.evaluationMode)'";
    desk.ok(&format!(
        "gcloud container clusters describe my-cluster --zone us-central1-a {mode}"
    ))
    .says(&["PROJECT_SINGLETON_POLICY_ENFORCE"]);
}

fn signing_infrastructure(desk: &Desk) {
    story::key(desk, "rsa-sign-pkcs1-4096-sha512");
    story::note(desk);
    story::attestor(desk);
    story::attestor_key(desk);
    let attestor = desk
        .ok("gcloud container binauthz attestors describe image-signing-attestor --format=json")
        .json();
    let key = &attestor["userOwnedGrafeasNote"]["publicKeys"][0];
    assert_eq!(
        key["pkixPublicKey"]["signatureAlgorithm"], "RSA_SIGN_PKCS1_4096_SHA512",
        "{attestor:#}"
    );
}

fn unsigned_is_refused(desk: &Desk, pinned: &str) {
    let by_tag = format!("{IMAGES}/unattested-image:latest");
    let attestor = "denied by attestor projects/demo/attestors/image-signing-attestor: ";
    desk.admit(&review::pod("test-unsigned", &by_tag))
        .denied(&[&format!("Image {by_tag}"), attestor]);
    let pinned_words =
        [&format!("Image {pinned}"), attestor, "No attestations found"].map(|word| word.to_owned());
    desk.admit(&review::pod("test-unsigned", pinned))
        .denied(&pinned_words.each_ref().map(String::as_str));
    // A system image is exempt, signed or not.
    desk.admit(&review::pod("pause", "registry.k8s.io/pause:3.9"))
        .admitted();
    // The refusal is seen at `kubectl apply` already, not only by the ReplicaSet.
    desk.admit(&review::deployment("app", pinned, &json!({})))
        .denied(&["No attestations found"]);
}

fn signing(desk: &Desk, digest: &str) {
    let image = format!("{IMAGES}/myservice:v1");
    let found = desk.ok(&format!(
        "gcloud artifacts docker images describe {image} --format='value(image_summary.digest)'"
    ));
    assert_eq!(found.text(), digest);
    story::sign(desk, &format!("{IMAGES}/myservice@{digest}"));
}

fn break_glass(desk: &Desk) {
    let image = format!("{IMAGES}/hotfix:latest");
    let why = "Emergency fix for incident INC-1234";
    let deployment = review::deployment(
        "emergency-fix",
        &image,
        &json!({"alpha.image-policy.k8s.io/break-glass": why}),
    );
    let verdict = desk.admit(&deployment).admitted();
    assert_eq!(verdict.annotation("break-glass"), Some("true"), "{verdict:#?}");
    assert!(
        verdict
            .annotation("overridden-verification-result")
            .is_some_and(|text| text.contains(&image))
    );

    // Its Pods must carry the annotation too: the mutating webhook copies it to the template.
    let mutated = desk
        .review("mutate", CLUSTER, &review::create(&deployment))
        .admitted();
    assert_eq!(mutated.response["patchType"], "JSONPatch", "{mutated:#?}");
    let patch = decode_base64(desk, mutated.response["patch"].as_str().unwrap_or_default());
    assert!(
        patch.contains("/spec/template/metadata/annotations") && patch.contains(why),
        "{patch}"
    );

    // Without the annotation the same Deployment stays out.
    desk.admit(&review::deployment("emergency-fix", &image, &json!({})))
        .denied(&[]);
}

fn decode_base64(desk: &Desk, text: &str) -> String {
    desk.ok(&format!("printf %s '{text}' | base64 -d")).stdout
}

fn auditing(desk: &Desk, signed: &str) {
    let attestor = "--attestor=image-signing-attestor";
    let one = desk.ok(&format!(
        "gcloud container binauthz attestations list {attestor} --artifact-url={signed} --format=json"
    ));
    let one: Value = one.json();
    assert_eq!(one.as_array().map(Vec::len), Some(1), "{one:#}");
    assert_eq!(one[0]["resourceUri"], signed);
    let table = desk.ok(&format!(
        "gcloud container binauthz attestations list {attestor} --format='table(name, createTime, resourceUri)'"
    ));
    table.says(&[
        "NAME",
        "CREATE_TIME",
        "RESOURCE_URI",
        "projects/demo/occurrences/",
        signed,
    ]);
    let none = format!("{IMAGES}/myservice@{}", other_digest());
    let empty =
        format!("gcloud container binauthz attestations list {attestor} --artifact-url={none} --format=json");
    assert_eq!(desk.ok(&empty).json(), json!([]));
}

fn openssl_agrees(desk: &Desk, signed: &str) {
    desk.ok("gcloud kms keys versions get-public-key 1 --key=image-signer --keyring=image-signing --location=global \
             --output-file=signer.pem");
    desk.ok(&format!(
        "gcloud container binauthz attestations list --attestor=image-signing-attestor --artifact-url={signed} \
           --format=json >attestation.json
         jq -j '.[0].attestation.serializedPayload' attestation.json | tr -- '-_' '+/' | base64 -d >payload.json
         jq -j '.[0].attestation.signatures[0].signature' attestation.json | tr -- '-_' '+/' | base64 -d >signature.bin
         openssl dgst -sha512 -verify signer.pem -signature signature.bin payload.json"
    ))
    .says(&["Verified OK"]);
    desk.ok(&format!(
        "gcloud container binauthz create-signature-payload --artifact-url={signed} | cmp - payload.json"
    ));
    // One changed byte, and openssl says no: it did check.
    desk.sh("sed 's/sha256:./sha256:x/' payload.json >changed.json
             openssl dgst -sha512 -verify signer.pem -signature signature.bin changed.json")
        .refused(&["Verification failure"]);
}

fn dry_run(desk: &Desk) {
    desk.ok(
        "gcloud beta container clusters update my-cluster --zone us-central1-a \
             --binauthz-evaluation-mode=POLICY_BINDINGS_AND_PROJECT_SINGLETON_POLICY_ENFORCE",
    );
    let policy = story::POLICY.replace("ENFORCED_BLOCK_AND_AUDIT_LOG", "DRYRUN_AUDIT_LOG_ONLY");
    desk.write("dry-run.yaml", &policy);
    desk.ok("gcloud container binauthz policy import dry-run.yaml");
    let verdict = desk
        .admit(&review::pod(
            "test-unsigned",
            &format!("{IMAGES}/unattested-image:latest"),
        ))
        .admitted();
    assert_eq!(verdict.annotation("dry-run"), Some("true"), "{verdict:#?}");
    assert!(verdict.warnings().contains("denied by attestor"), "{verdict:#?}");
}
