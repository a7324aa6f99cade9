//! The steps of the tutorial up to a chosen point, for tests whose subject comes after it.

use binauthz_conformance::Desk;

pub(crate) const ATTESTOR: &str = "projects/demo/attestors/image-signing-attestor";

/// The policy file of the tutorial, with the project filled in.
pub(crate) const POLICY: &str = "\
# binauthz-policy.yaml
admissionWhitelistPatterns:
  # Allow GKE system images that GKE needs to function
  - namePattern: \"gcr.io/google_containers/*\"
  - namePattern: \"gcr.io/gke-release/*\"
  - namePattern: \"gcr.io/config-management-release/*\"
  - namePattern: \"gcr.io/stackdriver-agents/*\"
  - namePattern: \"gke.gcr.io/*\"
  - namePattern: \"registry.k8s.io/*\"

globalPolicyEvaluationMode: ENABLE

defaultAdmissionRule:
  evaluationMode: REQUIRE_ATTESTATION
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  requireAttestationsBy:
    - projects/demo/attestors/image-signing-attestor
";

/// The five flags that name the tutorial's key version.
pub(crate) const KEY_VERSION: &str = "--keyversion-project=demo --keyversion-location=global \
     --keyversion-keyring=image-signing --keyversion-key=image-signer --keyversion=1";

/// Registers the tutorial's cluster.
pub(crate) fn cluster(desk: &Desk) {
    desk.ok("gcloud container clusters create my-cluster --zone us-central1-a --num-nodes=1");
    desk.ok(
        "gcloud container clusters update my-cluster --zone us-central1-a \
             --binauthz-evaluation-mode=PROJECT_SINGLETON_POLICY_ENFORCE",
    );
}

/// Makes the tutorial's key ring and key. P-256, where RSA-4096 of the tutorial is not what is tested.
pub(crate) fn key(desk: &Desk, algorithm: &str) {
    desk.ok("gcloud kms keyrings create image-signing --location=global");
    desk.ok(&format!(
        "gcloud kms keys create image-signer --keyring=image-signing --location=global \
         --purpose=asymmetric-signing --default-algorithm={algorithm}"
    ));
}

/// Creates the note as the tutorial does, with curl.
pub(crate) fn note(desk: &Desk) {
    let reply = desk.ok(
        "curl -sS --fail-with-body -X POST \"$API/v1/projects/demo/notes?noteId=image-signing-note\" \
         -H \"Authorization: Bearer $(gcloud auth print-access-token)\" -H 'Content-Type: application/json' \
         -d '{\"attestation\": {\"hint\": {\"humanReadableName\": \"Image signing attestor\"}}}'",
    );
    assert_eq!(reply.json()["name"], "projects/demo/notes/image-signing-note");
}

/// Creates the attestor on that note.
pub(crate) fn attestor(desk: &Desk) {
    desk.ok(
        "gcloud container binauthz attestors create image-signing-attestor \
             --attestation-authority-note=image-signing-note --attestation-authority-note-project=demo",
    );
}

/// Gives the attestor the key.
pub(crate) fn attestor_key(desk: &Desk) {
    desk.ok(&format!(
        "gcloud container binauthz attestors public-keys add --attestor=image-signing-attestor {KEY_VERSION}"
    ));
}

/// Sets the tutorial's policy.
pub(crate) fn policy(desk: &Desk) {
    desk.write("binauthz-policy.yaml", POLICY);
    desk.ok("gcloud container binauthz policy import binauthz-policy.yaml");
}

/// Everything before "Signing Images", with a key that is quickly made.
pub(crate) fn ready_to_sign(desk: &Desk) {
    cluster(desk);
    key(desk, "ec-sign-p256-sha256");
    note(desk);
    attestor(desk);
    attestor_key(desk);
    policy(desk);
}

/// Signs `image@digest` as the tutorial does (in the release track where the command exists).
pub(crate) fn sign(desk: &Desk, image: &str) {
    desk.ok(&format!(
        "gcloud beta container binauthz attestations sign-and-create --artifact-url={image} \
         --attestor=image-signing-attestor --attestor-project=demo {KEY_VERSION}"
    ));
}
