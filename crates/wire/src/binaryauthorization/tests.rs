use super::*;
use crate::json::{Limits, Value, parse};
use crate::yaml;

fn value(text: &str) -> Value {
    parse(text.as_bytes(), Limits::API).unwrap()
}

const TUTORIAL: &str = r#"
admissionWhitelistPatterns:
  # Images a cluster needs
  - namePattern: "gcr.io/google_containers/*"
  - namePattern: "registry.k8s.io/*"
globalPolicyEvaluationMode: ENABLE
defaultAdmissionRule:
  evaluationMode: REQUIRE_ATTESTATION
  enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
  requireAttestationsBy:
    - projects/YOUR_PROJECT/attestors/image-signing-attestor
"#;

const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnjycwWXBybTroWy6Sq7UivudnUkp\ndg+bcuk6QcPqj99qL4enT4qDVQOzw4uPAfpmlUP/HieA1BhLqFzT2TFUUA==\n-----END PUBLIC KEY-----\n";

#[test]
fn the_tutorials_policy_survives_yaml_and_json() {
    let read = read_policy(yaml::parse(TUTORIAL.as_bytes()).unwrap()).unwrap();
    let stamp = Stamp {
        updated: None,
        etag: "\"GDXq/WrZN7Kp\"".to_owned(),
    };
    let written = write_policy("projects/YOUR_PROJECT/policy", &read.policy, &stamp);
    let again = read_policy(yaml::parse(yaml::write(&written).as_bytes()).unwrap()).unwrap();
    assert_eq!(again.policy, read.policy);
    assert_eq!(again.etag.as_deref(), Some("\"GDXq/WrZN7Kp\""));
    assert_eq!(
        read_policy(value(&written.to_string())).unwrap().policy,
        read.policy
    );
}

#[test]
fn every_kind_of_rule_round_trips() {
    let rule = r#"{"evaluationMode":3,"enforcementMode":"DRYRUN_AUDIT_LOG_ONLY"}"#;
    let maps = [
        ("clusterAdmissionRules", "us-central1-a.my-cluster"),
        ("kubernetesNamespaceAdmissionRules", "team-b2"),
        ("kubernetesServiceAccountAdmissionRules", "ns:default"),
        (
            "istioServiceIdentityAdmissionRules",
            "spiffe://p.svc.id.goog/ns/a/sa/b",
        ),
    ];
    for (field, key) in maps {
        let text = format!(r#"{{"{field}":{{"{key}":{rule}}},"defaultAdmissionRule":{rule}}}"#);
        let read = read_policy(value(&text)).unwrap();
        let written = write_policy("projects/p/policy", &read.policy, &Stamp::default());
        assert!(written[field].get(key).is_some(), "{written}");
        assert_eq!(read_policy(value(&written.to_string())).unwrap(), read);
    }
}

#[test]
fn mistakes_in_a_policy_are_named() {
    let rule = |members: &str| format!(r#"{{"defaultAdmissionRule":{{{members}}}}}"#);
    let good = r#""evaluationMode":"ALWAYS_ALLOW","enforcementMode":"ENFORCED_BLOCK_AND_AUDIT_LOG""#;
    let table = [
        ("{}".to_owned(), "defaultAdmissionRule"),
        (
            rule(r#""evaluationMode":"REQUIRE_ATTESTATIONS""#),
            "defaultAdmissionRule.evaluationMode",
        ),
        (
            rule(r#""evaluationMode":"ALWAYS_ALLOW""#),
            "defaultAdmissionRule.enforcementMode",
        ),
        (
            rule(&good.replace("enforcementMode", "enforcmentMode")),
            "defaultAdmissionRule.enforcmentMode",
        ),
        (
            rule(&good.replace("ALWAYS_ALLOW", "REQUIRE_ATTESTATION")),
            "defaultAdmissionRule.requireAttestationsBy",
        ),
        (
            rule(&format!(
                r#"{good},"requireAttestationsBy":["projects/p/attestors/a"]"#
            )),
            "defaultAdmissionRule.requireAttestationsBy",
        ),
        (
            rule(&format!(r#"{good},"requireAttestationsBy":["a"]"#)),
            "defaultAdmissionRule.requireAttestationsBy[0]",
        ),
        (rule(&format!("{good},\"extra\":1")), "defaultAdmissionRule.extra"),
        (
            format!(
                r#"{{"admissionWhitelistPatterns":[{{"namePatern":"x"}}],"defaultAdmissionRule":{{{good}}}}}"#
            ),
            "admissionWhitelistPatterns[0].namePatern",
        ),
        (
            format!(
                r#"{{"admissionWhitelistPatterns":[{{"namePattern":"gcr.*/x"}}],"defaultAdmissionRule":{{{good}}}}}"#
            ),
            "admissionWhitelistPatterns[0].namePattern",
        ),
        (
            format!(r#"{{"globalPolicyEvaluationMode":"ON","defaultAdmissionRule":{{{good}}}}}"#),
            "globalPolicyEvaluationMode",
        ),
        (
            format!(
                r#"{{"clusterAdmissionRules":{{"a.b":{{{good}}}}},"kubernetesNamespaceAdmissionRules":{{"n":{{{good}}}}},"defaultAdmissionRule":{{{good}}}}}"#
            ),
            "kubernetesNamespaceAdmissionRules",
        ),
        (
            format!(
                r#"{{"clusterAdmissionRules":{{"nodot":{{{good}}}}},"defaultAdmissionRule":{{{good}}}}}"#
            ),
            "clusterAdmissionRules[\"nodot\"]",
        ),
    ];
    for (text, path) in table {
        assert_eq!(read_policy(value(&text)).unwrap_err().path, path, "{text}");
    }
}

#[test]
fn an_attestor_is_one_object_under_two_names() {
    let keys = format!(
        r#"[{{"pkixPublicKey":{{"publicKeyPem":{},"signatureAlgorithm":"EC_SIGN_P256_SHA256"}}}}]"#,
        serde_json::json!(PEM)
    );
    let body = |field: &str| {
        format!(r#"{{"{field}":{{"noteReference":"projects/p/notes/n","publicKeys":{keys}}}}}"#)
    };
    let v1 = read_attestor(value(&body("userOwnedGrafeasNote")), NoteView::Grafeas).unwrap();
    let written = write_attestor(
        "projects/p/attestors/a",
        &v1,
        NoteView::Drydock,
        "s@x",
        &Stamp::default(),
    );
    let beta = read_attestor(value(&written.to_string()), NoteView::Drydock).unwrap();
    assert_eq!(beta.keys[0].id(), v1.keys[0].id());
    assert!(v1.keys[0].id().starts_with("ni:///sha-256;"));
    assert_eq!(
        written["userOwnedDrydockNote"]["publicKeys"][0]["pkixPublicKey"]["signatureAlgorithm"],
        "ECDSA_P256_SHA256"
    );
    let wrong = read_attestor(value(&body("userOwnedDrydockNote")), NoteView::Grafeas).unwrap_err();
    assert_eq!(wrong.path, "userOwnedGrafeasNote");
}

#[test]
fn mistakes_in_a_key_are_named() {
    let pem = serde_json::json!(PEM).to_string();
    let keys = [
        (
            r#"{"pkixPublicKey":{"signatureAlgorithm":9}}"#.to_owned(),
            "pkixPublicKey.publicKeyPem",
        ),
        (
            format!(r#"{{"pkixPublicKey":{{"publicKeyPem":{pem},"signatureAlgorithm":10}}}}"#),
            "pkixPublicKey.publicKeyPem",
        ),
        (
            format!(r#"{{"pkixPublicKey":{{"publicKeyPem":{pem},"signatureAlgorithm":"ED25519"}}}}"#),
            "pkixPublicKey.signatureAlgorithm",
        ),
        (
            format!(
                r#"{{"id":"not a uri","pkixPublicKey":{{"publicKeyPem":{pem},"signatureAlgorithm":9}}}}"#
            ),
            "id",
        ),
        (
            format!(
                r#"{{"id":"x:1","pkixPublicKey":{{"publicKeyPem":{pem},"signatureAlgorithm":9,"keyId":"x:2"}}}}"#
            ),
            "pkixPublicKey.keyId",
        ),
        (
            format!(
                r#"{{"asciiArmoredPgpPublicKey":"x","pkixPublicKey":{{"publicKeyPem":{pem},"signatureAlgorithm":9}}}}"#
            ),
            "pkixPublicKey",
        ),
        (
            r#"{"asciiArmoredPgpPublicKey":"x"}"#.to_owned(),
            "asciiArmoredPgpPublicKey",
        ),
        ("{}".to_owned(), "pkixPublicKey"),
    ];
    for (key, path) in keys {
        let text = format!(
            r#"{{"userOwnedGrafeasNote":{{"noteReference":"projects/p/notes/n","publicKeys":[{key}]}}}}"#
        );
        let error = read_attestor(value(&text), NoteView::Grafeas).unwrap_err();
        assert_eq!(
            error.path,
            format!("userOwnedGrafeasNote.publicKeys[0].{path}"),
            "{text}"
        );
    }
}
