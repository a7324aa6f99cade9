//! Callers who show the token of a service account: a real API server says whose it is.

use binauthz_conformance::cluster::CONTEXT;
use binauthz_conformance::desk::CLUSTER;
use binauthz_conformance::{Cluster, Desk, review};
use serde_json::json;

use crate::cluster::unsigned;
use crate::cluster_glass::guarded;

const REFERENCE: &str = include_str!("../../../docs/reference/access.md");

/// What a signer needs, as Google has it.
const ROLES: [&str; 4] = [
    "roles/binaryauthorization.attestorsViewer",
    "roles/cloudkms.signerVerifier",
    "roles/containeranalysis.notes.attacher",
    "roles/containeranalysis.occurrences.editor",
];

/// A guarded cluster that a server asks about tokens, as whom a context says.
fn asked(cluster: &Cluster, context: &str) -> Option<(Desk, tempfile::NamedTempFile)> {
    let issuers = format!(
        "everySeconds: 60}}\nissuers: [{{issuer: 'https://kubernetes.default.svc', audiences: [binauthz], tokenReview: '{CLUSTER}'}}]"
    );
    let (mut desk, config) = guarded(cluster, context, &issuers)?;
    desk.ok(&format!("kubectl config use-context {CONTEXT}"));
    desk.shell.set("IMAGE", unsigned());
    Some((desk, config))
}

/// The commands of the reference: an account is made, its token, and a signature by it.
fn commands() -> (&'static str, &'static str) {
    let start = REFERENCE
        .find("kubectl create serviceaccount builder")
        .expect("the reference shows it");
    let (block, _) = REFERENCE[start..].split_once("```").expect("it ends");
    let sign = block.find("binauthz attestations").expect("something is signed");
    block.split_at(sign)
}

#[test]
fn a_service_account_signs_by_its_token_until_it_is_deleted() {
    let Some(cluster) = Cluster::take() else { return };
    let Some((desk, _config)) = asked(&cluster, CONTEXT) else {
        return;
    };
    let (make, sign) = commands();
    desk.ok(make);
    let namespace = desk
        .ok("kubectl config view --minify -o jsonpath='{..namespace}'")
        .text()
        .to_owned();
    let member =
        format!("principal://kubernetes.default.svc/subject/system:serviceaccount:{namespace}:builder");
    desk.sh(sign)
        .refused(&[&format!("`{member}` lacks the permission")]);
    let bindings: Vec<_> = ROLES
        .iter()
        .map(|role| json!({ "role": role, "members": [member] }))
        .collect();
    let policy = json!({ "policy": { "bindings": bindings } });
    desk.api("POST", "/v1/projects/demo:setIamPolicy", Some(&policy))
        .ok();
    desk.ok(sign);
    desk.admit(&review::pod("p", &unsigned())).admitted();
    let audit = desk.ok("binauthz logs audit --format=json").json().to_string();
    assert!(audit.contains(&member), "the audit log says who signed");

    // For somebody else, of another account, and of one that is gone.
    desk.ok("kubectl create token builder --audience=other >builder.token");
    desk.sh(sign).refused(&["UNAUTHENTICATED"]);
    desk.ok("kubectl create serviceaccount stranger
         kubectl create token stranger --audience=binauthz >builder.token");
    desk.sh(sign).refused(&["stranger` lacks the permission"]);
    desk.ok("kubectl create token builder --audience=binauthz >builder.token
         kubectl delete serviceaccount builder");
    desk.write("sign.sh", sign);
    // An API server remembers for ten seconds that a token was good.
    Cluster::eventually(
        &desk,
        "! bash sign.sh 2>refused.txt && grep -q UNAUTHENTICATED refused.txt",
    );
}

#[test]
fn a_cluster_that_does_not_let_itself_be_asked_vouches_for_nobody() {
    let Some(cluster) = Cluster::take() else { return };
    // Alice may not ask about tokens.
    let Some((desk, _config)) = asked(&cluster, "alice") else {
        return;
    };
    let (make, sign) = commands();
    desk.ok(make);
    desk.sh(sign)
        .refused(&["UNAVAILABLE", "whose this token is cannot be asked now"]);
    let log = desk.server.logged();
    assert!(log.contains("whose a token is could not be asked"), "{log}");
    assert!(log.contains("tokenreviews"), "{log}");
}
