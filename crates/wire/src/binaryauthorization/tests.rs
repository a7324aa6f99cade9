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

mod properties {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::str::FromStr;

    use binauthz_core::policy::{
        AdmissionRule, Attestors, Enforcement, GlobalEvaluation, Policy, Rule, Scoped,
    };
    use proptest::prelude::*;

    use super::*;

    fn rule() -> impl Strategy<Value = AdmissionRule> {
        let attestors = prop::collection::btree_set("[a-z][a-z0-9-]{0,8}", 1..4).prop_map(|names| {
            let names = names
                .iter()
                .map(|name| format!("projects/p/attestors/{name}").parse().unwrap());
            Rule::RequireAttestations(Attestors::new(names.collect()).unwrap())
        });
        let rule = prop_oneof![Just(Rule::AlwaysAllow), Just(Rule::AlwaysDeny), attestors];
        let enforcement = prop_oneof![Just(Enforcement::Block), Just(Enforcement::DryRun)];
        (rule, enforcement).prop_map(|(rule, enforcement)| AdmissionRule { rule, enforcement })
    }

    fn rules<K>(keys: &'static str) -> impl Strategy<Value = BTreeMap<K, AdmissionRule>>
    where
        K: FromStr<Err: Debug> + Ord + Debug,
    {
        let entry = (keys, rule()).prop_map(|(key, rule)| (key.parse().unwrap(), rule));
        prop::collection::vec(entry, 1..5).prop_map(|entries| entries.into_iter().collect())
    }

    fn policy() -> impl Strategy<Value = Policy> {
        // Names that YAML would read as something else belong among the keys.
        let scoped = prop_oneof![
            Just(Scoped::None),
            rules("[a-z][a-z0-9-]{0,9}\\.[a-z0-9][a-z0-9-]{0,5}").prop_map(Scoped::ByCluster),
            rules("[a-z0-9]{1,9}|no|on|true|null|1e3|0x1f|12").prop_map(Scoped::ByNamespace),
            rules("[a-z0-9]{1,9}:[a-z0-9]{1,9}").prop_map(Scoped::ByServiceAccount),
            rules("(spiffe://)?p\\.svc\\.id\\.goog/ns/[a-z]{1,5}/sa/[a-z]{1,5}")
                .prop_map(Scoped::ByMeshIdentity),
        ];
        let pattern =
            "gcr\\.io/[a-z0-9]{1,9}(/|:v1\\.|@sha256:ab)?\\*{1,2}".prop_map(|text| text.parse().unwrap());
        let global = prop_oneof![Just(GlobalEvaluation::Enable), Just(GlobalEvaluation::Disable)];
        let description = prop_oneof![Just(String::new()), "\\PC{1,60}", "( |#|- |: |'|\"|\n|a){1,20}"];
        (
            description,
            global,
            prop::collection::vec(pattern, 0..4),
            scoped,
            rule(),
        )
            .prop_map(
                |(description, global_evaluation, allowlist, scoped, default_rule)| Policy {
                    description,
                    global_evaluation,
                    allowlist: allowlist.into(),
                    scoped,
                    default_rule,
                },
            )
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        const NAMES: &str = "name|description|etag|defaultAdmissionRule|evaluationMode|enforcementMode|admissionWhitelistPatterns|\
            namePattern|clusterAdmissionRules|requireAttestationsBy|userOwnedGrafeasNote|noteReference|publicKeys|pkixPublicKey|\
            publicKeyPem|signatureAlgorithm|id|attestation|hint|serializedPayload|signatures|resourceUri|noteName|kind|x";
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            "ALWAYS_ALLOW|ALWAYS_DENY|REQUIRE_ATTESTATION|projects/p/notes/n|ATTESTATION|YQ==|\\PC{0,9}"
                .prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                prop::collection::hash_map(NAMES, inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn export_and_import_lose_nothing(policy in policy(), etag in "\"[A-Za-z0-9+/]{0,12}\"") {
            let stamp = Stamp { updated: Some(UnixTime::from_seconds(1)), etag: etag.clone() };
            let exported = yaml::write(&write_policy("projects/p/policy", &policy, &stamp));
            let imported = read_policy(yaml::parse(exported.as_bytes()).unwrap()).unwrap();
            prop_assert_eq!(&imported.policy, &policy, "{}", exported);
            prop_assert_eq!(imported.etag, Some(etag));
            let again = yaml::write(&write_policy("projects/p/policy", &imported.policy, &stamp));
            prop_assert_eq!(again, exported);
        }

        #[test]
        fn no_message_makes_a_reader_panic(message in any_json()) {
            let message = Value::from(message);
            let _ = read_policy(message.clone());
            let _ = read_attestor(message.clone(), NoteView::Grafeas);
            let _ = read_validate_request(message.clone());
            let _ = crate::containeranalysis::read_note(message.clone());
            let _ = crate::containeranalysis::read_occurrence(message.clone());
            let _ = crate::iam::read_set_request(message);
        }
    }
}
