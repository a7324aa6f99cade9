use std::collections::BTreeMap;
use std::sync::Arc;

use binauthz_core::attestation::Rejected;
use binauthz_core::attestor::Attestor;
use binauthz_core::decide::{decide, plan};
use binauthz_core::evidence::{Answer, Answers, Evidence};
use binauthz_core::policy::{Evaluation, PolicyLabel, Standing, SystemPolicy};
use binauthz_core::time::UnixTime;
use binauthz_core::workload::{BreakGlass, Request, RequestedImage};

use super::*;
use crate::binaryauthorization::{NoteView, read_attestor, read_policy};
use crate::yaml;

const PINNED: &str = "r.example/app@sha256:1111111111111111111111111111111111111111111111111111111111111111";
const ATTESTOR: &str = "projects/p/attestors/a";
const RULE: &str = "{evaluationMode: REQUIRE_ATTESTATION, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG, \
                    requireAttestationsBy: [projects/p/attestors/a]}";

fn snapshot(policy: &str) -> Snapshot {
    let policy = format!("globalPolicyEvaluationMode: ENABLE\ndefaultAdmissionRule: {RULE}\n{policy}");
    let attestor = "name: projects/p/attestors/a\nuserOwnedGrafeasNote: {noteReference: projects/p/notes/n, publicKeys: [{id: '//k', \
        pkixPublicKey: {signatureAlgorithm: ECDSA_P256_SHA256, publicKeyPem: \"-----BEGIN PUBLIC KEY-----\\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnjycwWXBybTroWy6Sq7UivudnUkp\\n\
        dg+bcuk6QcPqj99qL4enT4qDVQOzw4uPAfpmlUP/HieA1BhLqFzT2TFUUA==\\n-----END PUBLIC KEY-----\\n\"}}]}\n";
    let read = read_attestor(yaml::parse(attestor.as_bytes()).unwrap(), NoteView::Grafeas).unwrap();
    let name: binauthz_core::name::AttestorName = ATTESTOR.parse().unwrap();
    let attestor = Attestor::new(name.clone(), read.note, read.keys, 0).unwrap();
    Snapshot {
        label: Arc::new(PolicyLabel {
            name: "projects/p/policy".to_owned(),
            etag: "\"e\"".to_owned(),
        }),
        policy: read_policy(yaml::parse(policy.as_bytes()).unwrap())
            .unwrap()
            .policy,
        system: SystemPolicy::shipped(),
        attestors: BTreeMap::from([(name, Arc::new(attestor))]),
        evaluation: Evaluation::Enforced,
    }
}

fn subject(service_account: Option<&str>) -> Subject {
    let cluster = "projects/p/locations/z/clusters/c".parse().unwrap();
    Subject::new(cluster, "default".parse().unwrap(), service_account, "d").unwrap()
}

/// Described and explained; `rejected` attestations were found for whatever was asked.
fn judged(policy: &str, subject: &Subject, image: &str, rejected: usize) -> (Value, Value) {
    let snapshot = snapshot(policy);
    let request = Request {
        subject: subject.clone(),
        images: vec![RequestedImage::new("spec.containers[0]", image)],
        break_glass: None,
    };
    let standing = Standing::Registered(Arc::new(snapshot.clone()));
    let plan = plan(&standing, request);
    let mut answers = Answers::new();
    for question in plan.questions() {
        let mut evidence = Evidence::default();
        for number in 0..rejected {
            let name = format!("projects/p/occurrences/o{number}").parse().unwrap();
            evidence.rejected.push((name, Rejected::NoKeys));
        }
        answers.insert(&question, Answer::Found(Arc::new(evidence)));
    }
    let decision = decide(plan, &answers, UnixTime::from_seconds(0));
    let explained = explain(&decision, Some(&snapshot), Some(subject));
    (describe(&decision), explained)
}

#[test]
fn a_denial_says_by_which_rule_and_why() {
    let (described, explained) = judged("", &subject(Some("default")), PINNED, 0);
    let sentence = format!("Image {PINNED} denied by attestor {ATTESTOR}: No attestations found");
    assert_eq!(
        described,
        json!({
            "verdict": "DENY", "conforms": false, "reason": "NO_ATTESTATIONS", "effect": "ENFORCED",
            "message": sentence, "rule": "default admission rule",
            "policy": {"name": "projects/p/policy", "etag": "\"e\""},
            "images": [{"field": "spec.containers[0]", "image": PINNED, "verdict": "DENY",
                        "reasons": [{"code": "NO_ATTESTATIONS", "message": sentence}]}],
        })
    );
    let image = json!({"field": "spec.containers[0]", "image": PINNED,
                       "patterns": {"count": 0, "systemCount": 3, "notMatching": []}});
    assert_eq!(explained, json!({"images": [image]}));
}

#[test]
fn an_exempt_image_was_not_tried_further() {
    let (described, explained) = judged("", &subject(None), "registry.k8s.io/pause:3", 0);
    assert_eq!(described["verdict"], "ALLOW");
    assert_eq!(explained["images"][0].get("patterns"), None);
}

#[test]
fn broken_glass_carries_its_justification_and_other_effects_none() {
    let opened = BreakGlass::read(None, Some("INC-1"));
    let why = || Reason::Unreviewable("w".to_owned());
    let open = describe(&binauthz_core::decide::refuse(why(), opened.as_ref()));
    assert_eq!(
        (&open["effect"], &open["justification"]),
        (&json!("BREAK_GLASS"), &json!("INC-1"))
    );
    let shut = describe(&binauthz_core::decide::refuse(why(), None));
    assert_eq!((shut.get("justification"), shut.get("policy")), (None, None));
}

#[test]
fn the_scope_says_why_a_rule_applies_or_none() {
    let known = subject(Some("builder"));
    let table = [
        (
            "kubernetesNamespaceAdmissionRules",
            "default",
            "has a rule for `default`",
        ),
        (
            "kubernetesNamespaceAdmissionRules",
            "prod",
            "has 1 rules and none for `default`",
        ),
        ("clusterAdmissionRules", "z.c", "has a rule for `z.c`"),
        ("clusterAdmissionRules", "z.d", "none for `z.c`"),
        (
            "kubernetesServiceAccountAdmissionRules",
            "default:builder",
            "has a rule for `default:builder`",
        ),
        (
            "kubernetesServiceAccountAdmissionRules",
            "default:other",
            "none for `default:builder`",
        ),
        (
            "istioServiceIdentityAdmissionRules",
            "spiffe://e/ns/default/sa/builder",
            "none for `spiffe://d/ns/default/sa/builder`",
        ),
    ];
    for (map, key, expected) in table {
        let policy = format!("{map}: {{\"{key}\": {RULE}}}\n");
        let scope = judged(&policy, &known, PINNED, 0).1["scope"].to_string();
        assert!(
            scope.contains(expected) && scope.contains(map),
            "{map} {key}: {scope}"
        );
    }
    let policy = format!("kubernetesServiceAccountAdmissionRules: {{\"a:b\": {RULE}}}\n");
    let (described, explained) = judged(&policy, &subject(None), PINNED, 0);
    assert_eq!(described["reason"], "SUBJECT_UNKNOWN");
    assert!(
        explained["scope"]
            .as_str()
            .unwrap()
            .contains("who asks is not known")
    );
    assert_eq!(judged("", &known, PINNED, 0).1.get("scope"), None);
}

#[test]
fn patterns_for_the_same_repository_come_first_and_all_are_counted() {
    let mut policy = "admissionWhitelistPatterns:\n".to_owned();
    for number in 0..PATTERNS_NAMED {
        policy += &format!("- namePattern: other.example/p{number}/*\n");
    }
    policy += "- namePattern: r.example/app\n";
    let (_, explained) = judged(&policy, &subject(None), "r.example/app:v1", 0);
    let patterns = &explained["images"][0]["patterns"];
    assert_eq!(patterns["count"], PATTERNS_NAMED + 1);
    let named = patterns["notMatching"].as_array().unwrap();
    assert_eq!(named.len(), PATTERNS_NAMED);
    assert_eq!(named[0]["pattern"], "r.example/app");
    assert!(
        named[0]["note"]
            .as_str()
            .is_some_and(|note| note.starts_with("it ")),
        "{named:?}"
    );
    assert_eq!(named[1].get("note"), None);
}

#[test]
fn attestations_that_prove_nothing_are_named_up_to_a_number() {
    for count in [1, REJECTED_NAMED + 5] {
        let (_, explained) = judged("", &subject(None), PINNED, count);
        let rejected = &explained["images"][0]["rejected"][0];
        assert_eq!(
            (&rejected["reason"], &rejected["count"]),
            (&json!(0), &json!(count))
        );
        assert_eq!(
            rejected["attestations"].as_array().unwrap().len(),
            count.min(REJECTED_NAMED)
        );
        assert_eq!(
            rejected["attestations"][0]["why"],
            "the attestor has no public keys"
        );
    }
    assert_eq!(
        judged("", &subject(None), PINNED, 0).1["images"][0].get("rejected"),
        None
    );
}
