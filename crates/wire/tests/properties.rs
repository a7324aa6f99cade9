//! What holds for every message: no reader panics, and what is written is read back the same.

use binauthz_core::attestation::Signature;
use binauthz_core::name::NoteName;
use binauthz_core::time::UnixTime;
use binauthz_wire::binaryauthorization::NoteView;
use binauthz_wire::container::{
    self, BinaryAuthorization, BindingMode, Cluster, EvaluationMode, Operation, OperationKind, PolicyBinding,
};
use binauthz_wire::containeranalysis::{self, Note, Occurrence, SignedPayload};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::filter::Filter;
use binauthz_wire::iam::{self, Binding, Condition, TimeCondition};
use binauthz_wire::json::{self, Limits, Value};
use binauthz_wire::page::{self, PageToken};
use binauthz_wire::serviceusage::{self, ServiceName, ServiceState};
use binauthz_wire::{admission_review, artifactregistry, binaryauthorization, cloudkms, image_review, yaml};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Members that some reader asks for, and one that none does.
#[rustfmt::skip] // A table.
const NAMES: &str = "name|description|etag|kind|x|defaultAdmissionRule|evaluationMode|enforcementMode|namePattern|\
    admissionWhitelistPatterns|clusterAdmissionRules|istioServiceIdentityAdmissionRules|requireAttestationsBy|\
    globalPolicyEvaluationMode|userOwnedGrafeasNote|userOwnedDrydockNote|noteReference|publicKeys|pkixPublicKey|\
    publicKeyPem|signatureAlgorithm|asciiArmoredPgpPublicKey|id|comment|keyId|attestation|hint|humanReadableName|\
    serializedPayload|signatures|signature|publicKeyId|resourceUri|noteName|occurrenceNote|occurrenceResourceUri|\
    relatedUrl|url|label|relatedNoteNames|expirationTime|createTime|purpose|versionTemplate|algorithm|labels|state|\
    protectionLevel|destroyScheduledDuration|digest|sha256|sha384|sha512|data|digestCrc32c|dataCrc32c|cluster|update|\
    desiredBinaryAuthorization|binaryAuthorization|enabled|policyBindings|workloadIdentityConfig|workloadPool|endpoint|\
    masterAuth|clusterCaCertificate|initialClusterVersion|operationType|serviceIds|disableDependentServices|policy|\
    bindings|role|members|condition|expression|title|version|permissions|resource_uri|note_name|public_key_id";

const TEXTS: &str = "ALWAYS_ALLOW|ALWAYS_DENY|REQUIRE_ATTESTATION|ENFORCED_BLOCK_AND_AUDIT_LOG|ENABLE|ATTESTATION|\
    ASYMMETRIC_SIGN|EC_SIGN_P256_SHA256|ECDSA_P256_SHA256|SOFTWARE|DISABLED|PROJECT_SINGLETON_POLICY_ENFORCE|\
    projects/p/notes/n|projects/p/attestors/a|projects/p/locations/l/clusters/c|roles/viewer|user:a@b.test|YQ==|\
    86400s|2026-01-01T00:00:00Z|r.test/a/\\*|-1|1|true|l.c|\\PC{0,9}";

fn messages() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        // Fractions that every reader reads alike: serde_json rounds the last digit of others.
        any::<i32>().prop_map(|number| json!(f64::from(number) / 4.0)),
        TEXTS.prop_map(Into::into),
        TEXTS.prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 80, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            prop::collection::hash_map(NAMES, inner, 0..7)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// The message as it is, and inside the members where others expect it.
fn placed(message: &Json) -> Vec<Value> {
    let around = [
        "policy",
        "cluster",
        "update",
        "attestation",
        "versionTemplate",
        "digest",
        "userOwnedGrafeasNote",
        "binaryAuthorization",
        "bindings",
        "publicKeys",
        "signatures",
    ];
    let mut all = vec![message.clone()];
    all.extend(around.map(|name| json!({ name: message })));
    all.extend(["bindings", "publicKeys", "signatures"].map(|name| json!({ name: [message] })));
    all.into_iter().map(Value::from).collect()
}

proptest! {
    // Each case is some three hundred readings.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_message_makes_a_reader_panic(message in messages()) {
        let repository = artifactregistry::RepositoryName {
            project: "p".to_owned(),
            location: "l".to_owned(),
            repository: "r".to_owned(),
        };
        for value in placed(&message) {
            let again = || value.clone();
            let _ = binaryauthorization::read_policy(again());
            let _ = binaryauthorization::read_attestor(again(), NoteView::Grafeas);
            let _ = binaryauthorization::read_attestor(again(), NoteView::Drydock);
            let _ = binaryauthorization::read_validate_request(again());
            let _ = containeranalysis::read_note(again());
            let _ = containeranalysis::read_occurrence(again());
            let _ = cloudkms::read_new_crypto_key(again());
            let _ = cloudkms::read_crypto_key_patch(again());
            let _ = cloudkms::read_version_patch(again());
            let _ = cloudkms::read_new_version(again());
            let _ = cloudkms::read_sign_request(again());
            let _ = container::read_create_request(again());
            let _ = container::read_update_request(again());
            let _ = container::read_stored_cluster(again());
            let _ = container::read_operation(again(), "o", UnixTime::from_seconds(0));
            let _ = iam::read_policy(again());
            let _ = iam::read_set_request(again());
            let _ = iam::read_test_request(again());
            let _ = serviceusage::read_enable_request(again());
            let _ = serviceusage::read_batch_enable_request(again());
            let _ = serviceusage::read_disable_request(again());
            let _ = serviceusage::read_stored_service(again());
            let _ = artifactregistry::read_tag(again(), &repository, "a/b");
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_small_reader_panic(text in "\\PC{0,60}|[a-zA-Z0-9_.,:;=/%*@-]{0,60}") {
        let _ = cloudkms::read_public_key_format(Some(&text));
        let _ = serviceusage::read_filter(Some(&text));
        let _ = text.parse::<ServiceName>();
        let _ = artifactregistry::package_from(&text);
        let _ = json::timestamp_from(&text);
        let _ = json::duration_from(&text);
        let _ = json::bytes_from(&text);
    }

    #[test]
    fn every_tree_comes_back(message in messages()) {
        let text = message.to_string();
        let read = json::parse(text.as_bytes(), Limits::API).unwrap();
        prop_assert_eq!(Json::from(read), message);
    }

    #[test]
    fn every_tree_comes_back_from_yaml(message in messages()) {
        let written = yaml::write(&message);
        let read = yaml::parse(written.as_bytes());
        // A document that is nothing is no document.
        if !message.is_null() {
            prop_assert_eq!(read.map(Json::from), Ok(message), "{}", written);
        }
    }
}

/// Text that fits every limit; `lines` may not have control characters anyway.
const TEXT: &str = "\\PC{0,20}";

fn times() -> impl Strategy<Value = UnixTime> {
    (0_i64..4_000_000_000_000_000).prop_map(UnixTime::from_micros)
}

fn notes() -> impl Strategy<Value = Note> {
    let texts = || prop::collection::vec(TEXT, 0..3);
    let links = prop::collection::vec((TEXT, TEXT), 0..3);
    (TEXT, TEXT, links, prop::option::of(times()), texts(), TEXT).prop_map(
        |(
            short_description,
            long_description,
            related_url,
            expiration_time,
            related_note_names,
            human_readable_name,
        )| {
            Note {
                short_description,
                long_description,
                related_url,
                expiration_time,
                related_note_names,
                human_readable_name,
            }
        },
    )
}

fn occurrences() -> impl Strategy<Value = Occurrence> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..60);
    let signatures = prop::collection::vec(("\\PC{1,20}", bytes()), 1..4);
    let note =
        "[a-z][a-z0-9-]{0,10}".prop_map(|id| format!("projects/p/notes/{id}").parse::<NoteName>().unwrap());
    (note, "\\PC{1,40}", TEXT, bytes(), signatures).prop_map(
        |(note, resource_uri, remediation, payload, signatures)| {
            let signatures = signatures
                .into_iter()
                .map(|(key_id, bytes)| Signature { key_id, bytes })
                .collect();
            Occurrence {
                note,
                resource_uri,
                remediation,
                attestation: SignedPayload { payload, signatures },
            }
        },
    )
}

fn clusters() -> impl Strategy<Value = Cluster> {
    use EvaluationMode as Mode;
    let mode = prop::sample::select(vec![
        Mode::Disabled,
        Mode::ProjectSingleton,
        Mode::PolicyBindings,
        Mode::PolicyBindingsAndProjectSingleton,
    ]);
    let does = prop::sample::select(vec![
        BindingMode::Audit,
        BindingMode::AuditAndDryRun,
        BindingMode::AuditAndEnforce,
    ]);
    let binding = ("[A-Za-z0-9_-]{1,10}", prop::option::of(does)).prop_map(|(id, mode)| PolicyBinding {
        name: format!("projects/p/platforms/gke/policies/{id}"),
        mode,
    });
    let line = || prop::option::of("\\PC{1,20}");
    let pool = prop::option::of("[a-z0-9._-]{1,20}");
    let certificate = prop::option::of(prop::collection::vec(any::<u8>(), 1..60));
    (
        mode,
        prop::collection::vec(binding, 0..3),
        pool,
        line(),
        certificate,
        line(),
    )
        .prop_map(
            |(mode, bindings, workload_pool, endpoint, certificate_authority, version)| {
                let takes = matches!(
                    mode,
                    Mode::PolicyBindings | Mode::PolicyBindingsAndProjectSingleton
                );
                let bindings = if takes { bindings } else { Vec::new() };
                Cluster {
                    binary_authorization: BinaryAuthorization { mode, bindings },
                    workload_pool,
                    endpoint,
                    certificate_authority,
                    version,
                    ..Cluster::default()
                }
            },
        )
}

/// Conditions as they may be written.
const EXPRESSION: &str =
    r#"request\.time (<|<=|>|>=|==|!=) timestamp\("20[0-9]{2}-0[13-9]-[12][0-9]T00:00:00Z"\)"#;

/// Policies with conditions of this form.
fn bindings(expression: &'static str) -> impl Strategy<Value = Vec<Binding>> {
    let condition = (expression, TEXT, TEXT).prop_map(|(expression, title, description)| Condition {
        expression,
        title,
        description,
    });
    let role = "roles/[a-z.]{1,12}|projects/p/roles/[a-z]{1,5}";
    let members = prop::collection::vec("(user|group|serviceAccount):[a-z@.]{1,12}|allUsers", 0..4);
    let binding =
        (role, members, prop::option::of(condition)).prop_map(|(role, members, condition)| Binding {
            role,
            members,
            condition,
        });
    prop::collection::vec(binding, 0..4)
}

proptest! {
    #[test]
    fn notes_come_back(note in notes(), created in times()) {
        let written = containeranalysis::write_note("projects/p/notes/n", &note, created, created);
        prop_assert_eq!(containeranalysis::read_note(written.clone().into()), Ok(note), "{}", written);
    }

    #[test]
    fn occurrences_come_back(occurrence in occurrences(), created in times()) {
        let written = containeranalysis::write_occurrence("projects/p/occurrences/o", &occurrence, created, created);
        prop_assert_eq!(containeranalysis::read_occurrence(written.clone().into()), Ok(occurrence), "{}", written);
    }

    #[test]
    fn clusters_come_back(cluster in clusters()) {
        let written = Json::from(container::write_stored_cluster(&cluster));
        prop_assert_eq!(container::read_stored_cluster(written.clone().into()), Ok(cluster), "{}", written);
    }

    #[test]
    fn iam_policies_come_back(bindings in bindings(EXPRESSION), etag in prop::collection::vec(any::<u8>(), 1..20)) {
        let written = iam::write_policy(&bindings, &etag);
        let read = iam::read_policy(written.clone().into()).unwrap();
        prop_assert_eq!((&read.bindings, read.etag.as_ref()), (&bindings, Some(&etag)), "{}", written);
        prop_assert_eq!(iam::read_set_request(json!({ "policy": written }).into()), Ok(read));
    }

    /// What was stored is read as it is; what is written now is understood, or refused with the field's path.
    #[test]
    fn conditions_that_are_not_understood_are_not_taken(bindings in bindings("\\PC{1,20}"), etag in prop::collection::vec(any::<u8>(), 1..20)) {
        let written = iam::write_policy(&bindings, &etag);
        let read = iam::read_policy(written.clone().into()).unwrap();
        prop_assert_eq!(&read.bindings, &bindings);
        let conditions = bindings.iter().filter_map(|binding| binding.condition.as_ref());
        let unknown = conditions.map(|condition| TimeCondition::parse(&condition.expression)).find(Result::is_err);
        match (iam::read_set_request(json!({ "policy": written }).into()), unknown) {
            (Ok(set), None) => prop_assert_eq!(set, read),
            (Err(error), Some(_)) => prop_assert!(error.to_string().contains(".condition.expression"), "{}", error),
            (set, unknown) => prop_assert!(false, "{:?} {:?}", set, unknown),
        }
    }

    #[test]
    fn operations_come_back(
        kind in prop::sample::select(vec![OperationKind::Create, OperationKind::Update, OperationKind::Delete]),
        id in "[a-z0-9-]{1,20}",
        time in times(),
    ) {
        let cluster = "projects/p/locations/l/clusters/c".parse().unwrap();
        let operation = Operation { id: id.clone(), kind, cluster, time };
        let written = container::write_stored_operation(&operation);
        prop_assert_eq!(container::read_operation(written.into(), &id, time), Ok(operation));
    }

    #[test]
    fn tokens_come_back_for_their_own_list(list in "\\PC{0,40}", other in "\\PC{0,40}", after in "\\PC{1,100}") {
        let token = PageToken::encode(&list, &after);
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        let read = PageToken::decode(&list, &token).unwrap();
        prop_assert_eq!(read.after(), &after);
        prop_assert_eq!(PageToken::decode(&other, &token).is_ok(), list == other);
    }

    #[test]
    fn a_damaged_token_never_panics(text in "[A-Za-z0-9_=-]{0,40}|\\PC{0,40}", at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_=-]") {
        let _ = PageToken::decode("l", &text);
        let mut token = PageToken::encode("l", "projects/p/attestors/a");
        let at = at.index(token.len());
        token.replace_range(at..=at, &letter);
        if let Ok(read) = PageToken::decode("l", &token) {
            prop_assert_eq!(PageToken::encode("l", read.after()), token);
        }
    }

    #[test]
    fn sizes_of_pages_are_bounded(requested in any::<i64>()) {
        let size = page::page_size(Some(requested), 20, 1000);
        prop_assert_eq!(size.is_err(), requested < 0);
        prop_assert!(size.is_ok_and(|size| (1..=1000).contains(&size)) || requested < 0);
    }
}

#[test]
fn states_of_services_come_back() {
    for state in [ServiceState::Enabled, ServiceState::Disabled] {
        let written = serviceusage::write_stored_service(state);
        assert_eq!(serviceusage::read_stored_service(written.into()), Ok(state));
    }
}

const UPDATABLE: &[&str] = &[
    "state",
    "labels",
    "versionTemplate.algorithm",
    "versionTemplate.level",
];

fn snake(path: &str) -> String {
    path.chars()
        .flat_map(|letter| match letter.is_ascii_uppercase() {
            true => vec!['_', letter.to_ascii_lowercase()],
            false => vec![letter],
        })
        .collect()
}

proptest! {
    #[test]
    fn no_text_makes_a_mask_panic(text in "\\PC{0,60}|[a-zA-Z_.,* ]{0,60}") {
        if let Ok(mask) = FieldMask::parse(&text, UPDATABLE) {
            let _ = mask.covers(&text);
        }
    }

    /// A mask covers what it names, in either spelling, and nothing else.
    #[test]
    fn a_mask_covers_what_it_names(
        named in prop::sample::subsequence(UPDATABLE.to_vec(), 1..=UPDATABLE.len()),
        in_snake_case in any::<bool>(),
    ) {
        let paths: Vec<String> = named
            .iter()
            .map(|path| if in_snake_case { snake(path) } else { (*path).to_owned() })
            .collect();
        let mask = FieldMask::parse(&paths.join(","), UPDATABLE).unwrap();
        for field in UPDATABLE {
            prop_assert_eq!(mask.covers(field), named.contains(field), "{}", field);
        }
        prop_assert!(!mask.is_all());
    }
}

/// A filter as a tree.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(&'static str, &'static str, String),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

impl Tree {
    fn written(&self) -> String {
        let joined = |parts: &[Tree], word: &str| {
            let parts: Vec<String> = parts.iter().map(Tree::written).collect();
            format!("({})", parts.join(word))
        };
        match self {
            Self::Leaf(field, operator, text) => {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                match *operator {
                    "has_prefix" | "has_suffix" => format!("{operator}({field}, \"{text}\")"),
                    operator => format!("{field}{operator}\"{text}\""),
                }
            }
            Self::Not(tree) => format!("NOT {}", tree.written()),
            Self::All(parts) => joined(parts, " AND "),
            Self::Any(parts) => joined(parts, " OR "),
        }
    }

    fn matches(&self, value: &dyn Fn(&str) -> String) -> bool {
        match self {
            Self::Leaf(field, operator, text) => {
                let value = value(field);
                match *operator {
                    "=" => value == *text,
                    "!=" => value != *text,
                    "<" => value < *text,
                    ">" => value > *text,
                    "has_prefix" => value.starts_with(text.as_str()),
                    _ => value.ends_with(text.as_str()),
                }
            }
            Self::Not(tree) => !tree.matches(value),
            Self::All(parts) => parts.iter().all(|part| part.matches(value)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(value)),
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = (
        prop::sample::select(vec![
            "noteId",
            "note_id",
            "resourceUri",
            "resource_uri",
            "resourceUrl",
        ]),
        prop::sample::select(vec!["=", "!=", "<", ">", "has_prefix", "has_suffix"]),
        "[ab]{1,3}|[\"\\\\ ()a]{1,4}|\\PC{1,5}",
    )
        .prop_map(|(field, operator, text)| Tree::Leaf(field, operator, text));
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::All),
            prop::collection::vec(inner, 1..4).prop_map(Tree::Any),
        ]
    })
}

proptest! {
    #[test]
    fn a_filter_means_what_was_written(tree in trees(), items in prop::collection::vec(("[ab]{0,3}", "[ab]{0,3}"), 1..6)) {
        let written = tree.written();
        let filter = Filter::parse(&written, &["noteId", "resourceUri"]);
        let filter = filter.map_err(|why| TestCaseError::fail(format!("{written}: {why}")))?;
        for (note, url) in items {
            let value = |field: &str| if field.starts_with("note") { note.clone() } else { url.clone() };
            prop_assert_eq!(filter.matches(&value), tree.matches(&value), "{} for {} {}", written, note, url);
        }
    }
}

/// A Pod of these lists: containers, init containers, ephemeral containers, image volumes.
fn pod(lists: &[Vec<String>; 4]) -> Json {
    let containers = |images: &[String]| -> Vec<Json> {
        images
            .iter()
            .map(|image| json!({ "name": "c", "image": image, "env": [{ "name": "image", "value": "x" }] }))
            .collect()
    };
    let [main, init, ephemeral, volumes] = lists;
    let volumes: Vec<Json> = volumes
        .iter()
        .map(|image| json!({ "name": "v", "image": { "reference": image } }))
        .collect();
    json!({
        "metadata": { "name": "p", "annotations": { "image": "x" }, "ownerReferences": [] },
        "spec": {
            "containers": containers(main),
            "initContainers": containers(init),
            "ephemeralContainers": containers(ephemeral),
            "volumes": volumes,
        },
    })
}

fn review(operation: &str, object: &Json) -> Vec<u8> {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "namespace": "n",
            "operation": operation,
            "object": object,
        },
    })
    .to_string()
    .into_bytes()
}

fn images_of(body: &[u8]) -> Option<Vec<String>> {
    match admission_review::read(body).ok()?.into_matter().ok()? {
        admission_review::Matter::Judge { workload, .. } => Some(
            workload
                .requested_images()
                .iter()
                .map(|image| image.written.to_string())
                .collect(),
        ),
        admission_review::Matter::Deletion | admission_review::Matter::NoImage => None,
    }
}

fn written_images() -> impl Strategy<Value = String> {
    "[a-z]{1,5}\\.test/[a-z/]{1,10}(:[a-z]{1,3})?|\\PC{1,20}"
}

proptest! {
    /// Every image that is written into a Pod is asked about, in every list, at every place.
    #[test]
    fn a_review_names_every_image(
        main in prop::collection::vec(written_images(), 1..4),
        init in prop::collection::vec(written_images(), 0..4),
        ephemeral in prop::collection::vec(written_images(), 0..4),
        volumes in prop::collection::vec(written_images(), 0..4),
        operation in "CREATE|UPDATE|CONNECT|[A-Z]{1,6}",
    ) {
        let lists = [main, init, ephemeral, volumes];
        let found = images_of(&review(&operation, &pod(&lists)));
        let mut expected = lists.concat();
        if operation == "DELETE" {
            prop_assert_eq!(found, None);
        } else {
            let mut found = found.unwrap();
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn no_object_makes_the_extractor_panic(object in messages(), kind in "Pod|Deployment|CronJob|\\PC{0,5}") {
        let body = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": { "uid": "u", "kind": { "version": "v1", "kind": kind }, "operation": "UPDATE",
                "object": { "spec": object, "metadata": object }, "oldObject": object },
        });
        let _ = images_of(body.to_string().as_bytes());
    }

    #[test]
    fn an_image_review_names_every_image(images in prop::collection::vec(written_images(), 1..8), namespace in "[a-z-]{0,8}", reason in "\\PC{1,10}") {
        let body = json!({
            "apiVersion": "imagepolicy.k8s.io/v1alpha1",
            "kind": "ImageReview",
            "spec": {
                "containers": images.iter().map(|image| json!({ "image": image })).collect::<Vec<_>>(),
                "annotations": { "alpha.image-policy.k8s.io/break-glass": reason },
                "namespace": namespace,
            },
        })
        .to_string();
        let read = image_review::read(body.as_bytes()).unwrap();
        let found: Vec<String> = read.requested_images().iter().map(|image| image.written.to_string()).collect();
        prop_assert_eq!(found, images);
        prop_assert_eq!(read.namespace(), &namespace);
        let expected = binauthz_core::workload::BreakGlass::read(None, Some(&reason));
        prop_assert_eq!(read.break_glass(), expected);
    }

    /// A policy with one byte changed is refused or is a policy that is written back the same.
    #[test]
    fn a_damaged_policy_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut text = POLICY.as_bytes().to_vec();
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => { text.remove(at); }
            _ => text.insert(at, byte),
        }
        let Some(policy) = yaml::parse(&text).ok().and_then(|value| binaryauthorization::read_policy(value).ok()) else {
            return Ok(());
        };
        let stamp = binaryauthorization::Stamp::default();
        let written = yaml::write(&binaryauthorization::write_policy("projects/p/policy", &policy.policy, &stamp));
        let again = binaryauthorization::read_policy(yaml::parse(written.as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(again.policy, policy.policy, "{}", written);
    }
}

const POLICY: &str = "\
admissionWhitelistPatterns:
- namePattern: gcr.io/google_containers/*
- namePattern: registry.test/app/web:v1
clusterAdmissionRules:
  us-central1-a.prod:
    evaluationMode: REQUIRE_ATTESTATION
    enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG
    requireAttestationsBy:
    - projects/p/attestors/a
defaultAdmissionRule:
  enforcementMode: DRYRUN_AUDIT_LOG_ONLY
  evaluationMode: ALWAYS_DENY
description: a policy
globalPolicyEvaluationMode: ENABLE
name: projects/p/policy
";
