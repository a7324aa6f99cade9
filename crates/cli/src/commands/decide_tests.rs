use std::path::Path;

use binauthz_core::{key::SignatureAlgorithm, payload};
use binauthz_keyring::{KeyAlgorithm, SoftwareKey};

use super::*;
use crate::args::GlobalFlags;

const SIGNED: &str = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
const OTHER: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const HOST: &str = "us-central1-docker.pkg.dev/demo/app";

/// A snapshot with one attestor whose key signed one digest, and a second attestation that a stranger signed.
fn snapshot(policy: &Value) -> Value {
    let algorithm = KeyAlgorithm::EcSignP256Sha256;
    let key = SoftwareKey::generate(algorithm).expect("a key");
    let stranger = SoftwareKey::generate(algorithm).expect("a key");
    let occurrence = |id: &str, digest: &str, signer: &SoftwareKey| {
        let statement = payload::build(&format!("{HOST}/myservice"), &digest.parse().expect("a digest"));
        let signature = signer.sign_data(&statement).expect("signed");
        json!({
            "name": format!("projects/demo/occurrences/{id}"), "kind": "ATTESTATION",
            "noteName": "projects/demo/notes/n", "resourceUri": format!("{HOST}/myservice@{digest}"),
            "attestation": {
                "serializedPayload": binauthz_wire::json::bytes_out(&statement),
                "signatures": [{"publicKeyId": "//k", "signature": binauthz_wire::json::bytes_out(&signature)}],
            },
        })
    };
    json!({
        "format": "binauthz.snapshot/v1",
        "project": "demo",
        "policy": policy,
        "attestors": [{
            "name": "projects/demo/attestors/a",
            "userOwnedGrafeasNote": {"noteReference": "projects/demo/notes/n", "publicKeys": [{
                "id": "//k",
                "pkixPublicKey": {
                    "publicKeyPem": key.public_key_pem().expect("PEM"),
                    "signatureAlgorithm": SignatureAlgorithm::EcdsaP256Sha256.name(),
                },
            }]},
        }],
        "occurrences": [occurrence("good", SIGNED, &key), occurrence("bad", OTHER, &stranger)],
        "clusters": [
            {"name": "on", "location": "zone-a", "binaryAuthorization": {"evaluationMode": "PROJECT_SINGLETON_POLICY_ENFORCE"}},
            {"name": "off", "location": "zone-a", "binaryAuthorization": {"evaluationMode": "DISABLED"}},
        ],
    })
}

fn policy(enforcement: &str) -> Value {
    json!({
        "name": "projects/demo/policy",
        "etag": "\"e1\"",
        "globalPolicyEvaluationMode": "ENABLE",
        "admissionWhitelistPatterns": [{"namePattern": "gke.gcr.io/*"}],
        "defaultAdmissionRule": {
            "evaluationMode": "REQUIRE_ATTESTATION",
            "enforcementMode": enforcement,
            "requireAttestationsBy": ["projects/demo/attestors/a"],
        },
    })
}

fn pod(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: \"{image}\"}}]}}\n"
    )
}

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, annotations: {{\
         alpha.image-policy.k8s.io/break-glass: \"INC-1234\"}}}}\n\
         spec: {{template: {{spec: {{containers: [{{name: c, image: \"{image}\"}}]}}}}}}\n"
    )
}

/// Runs the command against files, as a person would.
fn decide(snapshot: &Value, manifest: &str, cluster: Option<&str>) -> Result<Exit, Failure> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let flags = Flags {
        manifest: file("m.yaml", manifest),
        snapshot: Some(file("s.json", &snapshot.to_string())),
        cluster: cluster.map(str::to_owned),
        namespace: "default".to_owned(),
        explain: true,
    };
    let settings = Settings::new(GlobalFlags {
        format: Some(output::Format::None),
        ..GlobalFlags::default()
    });
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(flags.run(&settings))
}

#[test]
fn the_exit_code_is_the_verdict() {
    let snapshot = snapshot(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG"));
    let signed = pod(&format!("{HOST}/myservice@{SIGNED}"));
    let stranger = pod(&format!("{HOST}/myservice@{OTHER}"));
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}\n",
        serde_json::to_string(&crate::yaml::read(stranger.as_bytes(), Path::new("p")).expect("YAML"))
            .expect("JSON")
    );
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let table = [
        (signed.clone(), None, Exit::Done),
        (stranger.clone(), None, Exit::Refused),
        (pod(&format!("{HOST}/myservice:latest")), None, Exit::Refused),
        (pod("gke.gcr.io/pause"), None, Exit::Done),
        (pod("registry.k8s.io/pause:3.9"), None, Exit::Done),
        (deployment(&format!("{HOST}/hotfix:latest")), None, Exit::Done),
        (format!("{signed}---\n{config}"), None, Exit::Done),
        (format!("{signed}---\n{stranger}"), None, Exit::Refused),
        (list, None, Exit::Refused),
        (stranger.clone(), Some("zone-a.on"), Exit::Refused),
        (stranger.clone(), Some("zone-a.off"), Exit::Done),
        (signed, Some("zone-a.unknown"), Exit::Refused),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: empty}\nspec: {containers: []}\n".to_owned(),
            None,
            Exit::Refused,
        ),
    ];
    for (manifest, cluster, expected) in table {
        assert_eq!(
            decide(&snapshot, &manifest, cluster).expect("decided"),
            expected,
            "{cluster:?} {manifest}"
        );
    }
}

#[test]
fn what_cannot_be_decided_is_neither_admitted_nor_denied() {
    let good = snapshot(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG"));
    let signed = pod(&format!("{HOST}/myservice@{SIGNED}"));
    let mut no_form = good.clone();
    no_form["format"] = json!("something else");
    let mut bad_policy = good.clone();
    bad_policy["policy"]["defaultAdmissionRule"]["evaluationMode"] = json!("SOMETIMES");
    let mut bad_attestor = good.clone();
    bad_attestor["attestors"][0]["name"] = json!("projects/demo/notes/a");
    let table = [
        (&no_form, signed.as_str(), None),
        (&bad_policy, &signed, None),
        (&bad_attestor, &signed, None),
        (&good, "", None),
        (&good, "a: [", None),
        (
            &good,
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
            None,
        ),
        (&good, &signed, Some("zone-a")),
    ];
    for (snapshot, manifest, cluster) in table {
        let failure = decide(snapshot, manifest, cluster).expect_err(manifest);
        assert_eq!(failure.exit(), Exit::Error, "{failure}");
    }
}

#[test]
fn an_attestor_that_is_gone_denies() {
    let mut snapshot = snapshot(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG"));
    snapshot["attestors"] = json!([]);
    let signed = pod(&format!("{HOST}/myservice@{SIGNED}"));
    assert_eq!(decide(&snapshot, &signed, None).expect("decided"), Exit::Refused);
}

fn judged(flags: &Flags, manifest: &Manifest, snapshot: Snapshot) -> Verdict {
    let judge = Judge::Snapshot {
        snapshot: Box::new(snapshot),
        cluster: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime
        .block_on(flags.verdict(manifest, &judge))
        .expect("judged")
        .expect("a workload")
}

#[test]
fn an_answer_without_a_verdict_admits_nothing() {
    let verdict = Verdict {
        title: "Pod/p".to_owned(),
        described: json!({"conforms": true}),
        decision: None,
    };
    assert!(!verdict.admitted());
}

#[test]
fn a_dry_run_admits_and_says_so() {
    let text = snapshot(&policy("DRYRUN_AUDIT_LOG_ONLY"));
    let snapshot = Snapshot::from_server(&text).expect("a snapshot");
    let manifests = manifest::read(pod(&format!("{HOST}/myservice:latest")).as_bytes()).expect("a manifest");
    let flags = Flags {
        manifest: PathBuf::new(),
        snapshot: None,
        cluster: None,
        namespace: "default".to_owned(),
        explain: true,
    };
    let verdict = judged(&flags, &manifests[0], snapshot);
    assert!(
        verdict
            .sentence()
            .starts_with("ADMITTED  Pod/p (dry run): Image "),
        "{}",
        verdict.sentence()
    );
}

#[test]
fn the_explanation_shows_what_was_tried() {
    let text = snapshot(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG"));
    let snapshot = Snapshot::from_server(&text).expect("a snapshot");
    let manifests = manifest::read(pod(&format!("{HOST}/myservice@{OTHER}")).as_bytes()).expect("a manifest");
    let flags = Flags {
        manifest: PathBuf::new(),
        snapshot: None,
        cluster: None,
        namespace: "default".to_owned(),
        explain: true,
    };
    let verdict = judged(&flags, &manifests[0], snapshot);
    let decision = verdict.decision.as_ref().expect("judged here");
    let policy = Snapshot::from_server(&text).expect("a snapshot");
    let tree = explain::tree(&verdict.line(), decision, policy.policy()).draw();
    for expected in [
        "DENIED    Pod/p",
        "policy projects/demo/policy (etag \"e1\")",
        "rule: default admission rule",
        "✗ spec.containers[0]",
        "not exempt: 1 patterns tried",
        "gke.gcr.io/* does not match",
        "NO_VALID_ATTESTATIONS",
        "✗ projects/demo/occurrences/bad: its signature does not verify with key `//k`",
    ] {
        assert!(tree.contains(expected), "{expected}\n{tree}");
    }
}

/// A heap of attestations that are none, and a good one: found if it is the newest, or if the heap is by foreign keys.
#[test]
fn attestations_are_looked_at_from_the_newest_on() {
    let signed = pod(&format!("{HOST}/myservice@{SIGNED}"));
    for (key_id, good_at, expected) in [
        ("//k", 9, Exit::Done),
        ("//k", 0, Exit::Refused),
        ("//foreign", 9, Exit::Done),
        ("//foreign", 0, Exit::Done),
    ] {
        let mut snapshot = snapshot(&policy("ENFORCED_BLOCK_AND_AUDIT_LOG"));
        let occurrences = snapshot["occurrences"].as_array_mut().expect("a list");
        let mut good = occurrences[0].clone();
        occurrences.clear();
        for number in 0..250 {
            let mut junk = good.clone();
            junk["name"] = format!("projects/demo/occurrences/junk{number}").into();
            junk["createTime"] = "2026-01-05T00:00:00.5Z".into();
            junk["attestation"]["signatures"] = json!([{"publicKeyId": key_id, "signature": "anVuaw=="}]);
            occurrences.push(junk);
        }
        good["createTime"] = format!("2026-01-0{}T00:00:00Z", good_at.max(1)).into();
        occurrences.push(good);
        let exit = decide(&snapshot, &signed, None).expect("decided");
        assert_eq!(exit, expected, "{key_id} {good_at}");
    }
}
