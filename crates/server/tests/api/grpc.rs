//! gRPC on the API port: every method once, by clients generated from Google's definitions.

use aws_lc_rs::digest;
use binauthz_core::payload;
use binauthz_server::Flags;
use binauthz_wire::proto::{Unlisted, message_type};
use googleapis_tonic_google_cloud_binaryauthorization_v1::google::cloud::binaryauthorization::v1 as binauthz;
use googleapis_tonic_google_cloud_kms_v1::google::cloud::kms::v1 as kms;
use googleapis_tonic_grafeas_v1::grafeas::v1 as grafeas;
use prost_types::FieldMask;
use serde_json::{Value, json};

use crate::support::{Desk, flags};
use crate::wire::Channel;

use binauthz::binauthz_management_service_v1_client::BinauthzManagementServiceV1Client as Attestors;
use grafeas::grafeas_client::GrafeasClient;
use kms::key_management_service_client::KeyManagementServiceClient as Keys;

const ATTESTOR: &str = "projects/p/attestors/a";
const NOTE: &str = "projects/p/notes/n";
const LOCATION: &str = "projects/p/locations/global";
const KEY: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
const VERSION: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
const IMAGE: &str = "us-central1-docker.pkg.dev/p/app/web";
const DIGEST: &str = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";

#[tokio::test]
async fn every_method_without_tls() {
    let desk = Desk::new().await;
    every_method(&Channel::plain(&desk).await).await;
}

#[tokio::test]
async fn every_method_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        dev: false,
        config: Some(crate::support::with_a_lasting_token(folder.path())),
        ..flags(folder.path())
    };
    let desk = Desk::with(folder, flags).await;
    let channel = Channel::secure(&desk).await;
    // REST and gRPC share the connection as they share the port.
    let create = http::Request::post("/binauthz/v1/projects?projectId=p")
        .body(tonic::body::Body::empty())
        .unwrap();
    assert_eq!(channel.send(create).await.unwrap().status(), 200);
    every_method(&channel).await;
}

async fn every_method(channel: &Channel) {
    keys(channel).await;
    versions(channel).await;
    notes(channel).await;
    attestors(channel).await;
    let signature = attest(channel).await;
    validate(channel, signature).await;
    policies(channel).await;
    shared(channel).await;
    goodbye(channel).await;
}

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec![path.to_owned()],
    })
}

async fn keys(channel: &Channel) {
    let mut client = Keys::new(channel.clone());
    let ring = kms::CreateKeyRingRequest {
        parent: LOCATION.to_owned(),
        key_ring_id: "r".to_owned(),
        key_ring: Some(kms::KeyRing::default()),
    };
    let ring = client.create_key_ring(ring).await.unwrap().into_inner();
    assert!(ring.create_time.is_some(), "{ring:?}");
    let name = ring.name.clone();
    assert_eq!(
        client
            .get_key_ring(kms::GetKeyRingRequest { name })
            .await
            .unwrap()
            .into_inner(),
        ring
    );
    let all = kms::ListKeyRingsRequest {
        parent: LOCATION.to_owned(),
        page_size: 5,
        ..Default::default()
    };
    let all = client.list_key_rings(all).await.unwrap().into_inner();
    assert_eq!(all.key_rings, std::slice::from_ref(&ring));
    let key = kms::CreateCryptoKeyRequest {
        parent: ring.name.clone(),
        crypto_key_id: "k".to_owned(),
        crypto_key: Some(kms::CryptoKey {
            purpose: kms::crypto_key::CryptoKeyPurpose::AsymmetricSign.into(),
            version_template: Some(kms::CryptoKeyVersionTemplate {
                algorithm: kms::crypto_key_version::CryptoKeyVersionAlgorithm::EcSignP256Sha256.into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let key = client.create_crypto_key(key).await.unwrap().into_inner();
    assert_eq!(key.name, KEY);
    let changed = kms::UpdateCryptoKeyRequest {
        crypto_key: Some(kms::CryptoKey {
            labels: [("team".to_owned(), "web".to_owned())].into(),
            ..key
        }),
        update_mask: mask("labels"),
    };
    let changed = client.update_crypto_key(changed).await.unwrap().into_inner();
    assert_eq!(changed.labels["team"], "web");
    let name = KEY.to_owned();
    let read = client
        .get_crypto_key(kms::GetCryptoKeyRequest { name })
        .await
        .unwrap();
    assert_eq!(read.into_inner(), changed);
    let all = kms::ListCryptoKeysRequest {
        parent: ring.name,
        ..Default::default()
    };
    assert_eq!(
        client
            .list_crypto_keys(all)
            .await
            .unwrap()
            .into_inner()
            .crypto_keys,
        [changed]
    );
}

async fn versions(channel: &Channel) {
    use kms::crypto_key_version::CryptoKeyVersionState as State;
    let mut client = Keys::new(channel.clone());
    let second = kms::CreateCryptoKeyVersionRequest {
        parent: KEY.to_owned(),
        crypto_key_version: Some(kms::CryptoKeyVersion::default()),
    };
    let second = client
        .create_crypto_key_version(second)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (second.state(), second.name.ends_with("/2")),
        (State::Enabled, true)
    );
    let name = second.name.clone();
    let changed = kms::UpdateCryptoKeyVersionRequest {
        crypto_key_version: Some(kms::CryptoKeyVersion {
            name: name.clone(),
            state: State::Disabled.into(),
            ..Default::default()
        }),
        update_mask: mask("state"),
    };
    let changed = client
        .update_crypto_key_version(changed)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(changed.state(), State::Disabled);
    let read = kms::GetCryptoKeyVersionRequest { name: name.clone() };
    assert_eq!(
        client.get_crypto_key_version(read).await.unwrap().into_inner(),
        changed
    );
    let destroy = kms::DestroyCryptoKeyVersionRequest { name: name.clone() };
    let destroyed = client
        .destroy_crypto_key_version(destroy)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (destroyed.state(), destroyed.destroy_time.is_some()),
        (State::DestroyScheduled, true)
    );
    let restore = kms::RestoreCryptoKeyVersionRequest { name };
    let restored = client
        .restore_crypto_key_version(restore)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(restored.state(), State::Disabled);
    version_pages(client).await;
}

async fn version_pages(mut client: Keys<Channel>) {
    let all = kms::ListCryptoKeyVersionsRequest {
        parent: KEY.to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let page = client
        .list_crypto_key_versions(all.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.crypto_key_versions.len(), 1);
    let rest = kms::ListCryptoKeyVersionsRequest {
        page_token: page.next_page_token,
        ..all
    };
    let rest = client.list_crypto_key_versions(rest).await.unwrap().into_inner();
    assert_ne!(rest.crypto_key_versions, page.crypto_key_versions);
}

async fn notes(channel: &Channel) {
    let mut client = GrafeasClient::new(channel.clone());
    let note = |name: &str| grafeas::Note {
        r#type: Some(grafeas::note::Type::Attestation(grafeas::AttestationNote {
            hint: Some(grafeas::attestation_note::Hint {
                human_readable_name: name.to_owned(),
            }),
        })),
        ..Default::default()
    };
    let parent = "projects/p".to_owned();
    let create = grafeas::CreateNoteRequest {
        parent: parent.clone(),
        note_id: "n".to_owned(),
        note: Some(note("signed")),
    };
    let created = client.create_note(create).await.unwrap().into_inner();
    assert_eq!(
        (created.name.as_str(), created.kind()),
        (NOTE, grafeas::NoteKind::Attestation)
    );
    let batch = grafeas::BatchCreateNotesRequest {
        parent: parent.clone(),
        notes: [("m".to_owned(), note("other"))].into(),
    };
    let batch = client.batch_create_notes(batch).await.unwrap().into_inner();
    assert_eq!(batch.notes[0].name, "projects/p/notes/m");
    let update = grafeas::UpdateNoteRequest {
        name: NOTE.to_owned(),
        note: Some(grafeas::Note {
            short_description: "short".to_owned(),
            ..created.clone()
        }),
        update_mask: mask("short_description"),
    };
    let updated = client.update_note(update).await.unwrap().into_inner();
    assert_eq!(
        (updated.short_description.as_str(), &updated.r#type),
        ("short", &created.r#type)
    );
    let read = client
        .get_note(grafeas::GetNoteRequest {
            name: NOTE.to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(read.into_inner(), updated);
    let all = grafeas::ListNotesRequest {
        parent,
        ..Default::default()
    };
    assert_eq!(client.list_notes(all).await.unwrap().into_inner().notes.len(), 2);
}

async fn attestors(channel: &Channel) {
    let key = kms::GetPublicKeyRequest {
        name: VERSION.to_owned(),
        ..Default::default()
    };
    let key = Keys::new(channel.clone())
        .get_public_key(key)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(key.pem_crc32c, Some(crc32c::crc32c(key.pem.as_bytes()).into()));
    let mut client = Attestors::new(channel.clone());
    let note = binauthz::UserOwnedGrafeasNote {
        note_reference: NOTE.to_owned(),
        ..Default::default()
    };
    let with = |note| {
        Some(binauthz::Attestor {
            name: ATTESTOR.to_owned(),
            attestor_type: Some(binauthz::attestor::AttestorType::UserOwnedGrafeasNote(note)),
            ..Default::default()
        })
    };
    let create = binauthz::CreateAttestorRequest {
        parent: "projects/p".to_owned(),
        attestor_id: "a".to_owned(),
        attestor: with(note.clone()),
    };
    assert_eq!(
        client.create_attestor(create).await.unwrap().into_inner().name,
        ATTESTOR
    );
    let key = binauthz::AttestorPublicKey {
        id: format!("//cloudkms.googleapis.com/v1/{VERSION}"),
        public_key: Some(binauthz::attestor_public_key::PublicKey::PkixPublicKey(
            binauthz::PkixPublicKey {
                public_key_pem: key.pem,
                signature_algorithm: binauthz::pkix_public_key::SignatureAlgorithm::EcdsaP256Sha256.into(),
            },
        )),
        ..Default::default()
    };
    let update = binauthz::UpdateAttestorRequest {
        attestor: with(binauthz::UserOwnedGrafeasNote {
            public_keys: vec![key.clone()],
            ..note
        }),
    };
    let updated = client.update_attestor(update).await.unwrap().into_inner();
    let name = ATTESTOR.to_owned();
    let read = client
        .get_attestor(binauthz::GetAttestorRequest { name })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read, updated);
    let Some(binauthz::attestor::AttestorType::UserOwnedGrafeasNote(note)) = read.attestor_type else {
        panic!("{updated:?}");
    };
    assert_eq!(note.public_keys, [key]);
    let all = binauthz::ListAttestorsRequest {
        parent: "projects/p".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        client.list_attestors(all).await.unwrap().into_inner().attestors,
        [updated]
    );
}

/// Signs a statement and stores it; gives the attestation.
async fn attest(channel: &Channel) -> grafeas::AttestationOccurrence {
    let payload = payload::build(IMAGE, &DIGEST.parse().unwrap());
    let hash = digest::digest(&digest::SHA256, &payload).as_ref().to_vec();
    let sign = kms::AsymmetricSignRequest {
        name: VERSION.to_owned(),
        digest_crc32c: Some(crc32c::crc32c(&hash).into()),
        digest: Some(kms::Digest {
            digest: Some(kms::digest::Digest::Sha256(hash)),
        }),
        ..Default::default()
    };
    let signed = Keys::new(channel.clone())
        .asymmetric_sign(sign)
        .await
        .unwrap()
        .into_inner();
    assert!(signed.verified_digest_crc32c && signed.name == VERSION);
    let attestation = grafeas::AttestationOccurrence {
        serialized_payload: payload,
        signatures: vec![grafeas::Signature {
            signature: signed.signature,
            public_key_id: format!("//cloudkms.googleapis.com/v1/{VERSION}"),
        }],
        ..Default::default()
    };
    occurrences(channel, &attestation).await;
    attestation
}

async fn occurrences(channel: &Channel, attestation: &grafeas::AttestationOccurrence) {
    let mut client = GrafeasClient::new(channel.clone());
    let parent = "projects/p".to_owned();
    let occurrence = |remediation: &str| grafeas::Occurrence {
        note_name: NOTE.to_owned(),
        resource_uri: format!("https://{IMAGE}@{DIGEST}"),
        remediation: remediation.to_owned(),
        details: Some(grafeas::occurrence::Details::Attestation(attestation.clone())),
        ..Default::default()
    };
    let create = grafeas::CreateOccurrenceRequest {
        parent: parent.clone(),
        occurrence: Some(occurrence("")),
    };
    let created = client
        .create_occurrence(create.clone())
        .await
        .unwrap()
        .into_inner();
    let twice = client.create_occurrence(create).await.unwrap_err();
    assert_eq!(twice.code(), tonic::Code::AlreadyExists, "{twice}");
    let name = created.name.clone();
    let read = client
        .get_occurrence(grafeas::GetOccurrenceRequest { name: name.clone() })
        .await
        .unwrap();
    assert_eq!(read.into_inner(), created);
    let note = client
        .get_occurrence_note(grafeas::GetOccurrenceNoteRequest { name: name.clone() })
        .await
        .unwrap();
    assert_eq!(note.into_inner().name, NOTE);
    let update = grafeas::UpdateOccurrenceRequest {
        name: name.clone(),
        occurrence: Some(occurrence("none needed")),
        update_mask: mask("remediation"),
    };
    let updated = client.update_occurrence(update).await.unwrap().into_inner();
    assert_eq!(updated.remediation, "none needed");
    listed(channel, &updated).await;
    client
        .delete_occurrence(grafeas::DeleteOccurrenceRequest { name })
        .await
        .unwrap();
    let batch = grafeas::BatchCreateOccurrencesRequest {
        parent,
        occurrences: vec![occurrence("")],
    };
    let batch = client.batch_create_occurrences(batch).await.unwrap().into_inner();
    assert_eq!(batch.occurrences[0].details, created.details);
}

/// The one occurrence there is, among those of its project and of its note.
async fn listed(channel: &Channel, occurrence: &grafeas::Occurrence) {
    let mut client = GrafeasClient::new(channel.clone());
    let of_project = grafeas::ListOccurrencesRequest {
        parent: "projects/p".to_owned(),
        filter: format!("resourceUrl=\"https://{IMAGE}@{DIGEST}\" AND kind=\"ATTESTATION\""),
        ..Default::default()
    };
    let of_project = client.list_occurrences(of_project).await.unwrap().into_inner();
    assert_eq!(of_project.occurrences, std::slice::from_ref(occurrence));
    let of_note = grafeas::ListNoteOccurrencesRequest {
        name: NOTE.to_owned(),
        page_size: 10,
        ..Default::default()
    };
    assert_eq!(
        client
            .list_note_occurrences(of_note)
            .await
            .unwrap()
            .into_inner()
            .occurrences,
        std::slice::from_ref(occurrence)
    );
}

async fn validate(channel: &Channel, attestation: grafeas::AttestationOccurrence) {
    use binauthz::validate_attestation_occurrence_response::Result as Verdict;
    let mut client = binauthz::validation_helper_v1_client::ValidationHelperV1Client::new(channel.clone());
    let mut question = binauthz::ValidateAttestationOccurrenceRequest {
        attestor: ATTESTOR.to_owned(),
        attestation: Some(attestation),
        occurrence_note: NOTE.to_owned(),
        occurrence_resource_uri: format!("https://{IMAGE}@{DIGEST}"),
    };
    let answer = client
        .validate_attestation_occurrence(question.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.result(), Verdict::Verified, "{answer:?}");
    question
        .attestation
        .as_mut()
        .unwrap()
        .serialized_payload
        .push(b' ');
    let answer = client
        .validate_attestation_occurrence(question)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.result(), Verdict::AttestationNotVerifiable);
    assert!(!answer.denial_reason.is_empty());
}

async fn policies(channel: &Channel) {
    use binauthz::admission_rule::{EnforcementMode, EvaluationMode};
    let mut client = Attestors::new(channel.clone());
    let read = binauthz::GetPolicyRequest {
        name: "projects/p/policy".to_owned(),
    };
    let mut policy = client.get_policy(read.clone()).await.unwrap().into_inner();
    let rule = binauthz::AdmissionRule {
        evaluation_mode: EvaluationMode::RequireAttestation.into(),
        require_attestations_by: vec![ATTESTOR.to_owned()],
        enforcement_mode: EnforcementMode::EnforcedBlockAndAuditLog.into(),
    };
    policy.cluster_admission_rules = [("us-central1-a.c".to_owned(), rule)].into();
    policy.update_time = None;
    let update = binauthz::UpdatePolicyRequest {
        policy: Some(policy.clone()),
    };
    let updated = client.update_policy(update).await.unwrap().into_inner();
    assert_eq!(updated.cluster_admission_rules, policy.cluster_admission_rules);
    assert_eq!(client.get_policy(read).await.unwrap().into_inner(), updated);
    let system = binauthz::GetSystemPolicyRequest {
        name: "locations/global/policy".to_owned(),
    };
    let mut client = binauthz::system_policy_v1_client::SystemPolicyV1Client::new(channel.clone());
    let system = client.get_system_policy(system).await.unwrap().into_inner();
    assert_eq!(system.name, "locations/global/policy");
}

/// A method of `google.iam.v1`, which no published crate has, in JSON.
async fn call(channel: &Channel, path: &str, kinds: [&str; 2], request: Value) -> Value {
    let [request_kind, response_kind] = kinds.map(|kind| message_type(kind).unwrap());
    let bytes = request_kind.encode(request, Unlisted::Refuse).unwrap();
    let raw = channel.call(path, &bytes).await;
    assert_eq!(raw.status.code(), tonic::Code::Ok, "{path}: {}", raw.status);
    Value::Object(response_kind.decode(&raw.message).unwrap())
}

async fn shared(channel: &Channel) {
    const POLICY: &str = "google.iam.v1.Policy";
    for service in [
        "google.iam.v1.IAMPolicy",
        "google.devtools.containeranalysis.v1.ContainerAnalysis",
    ] {
        for resource in ["projects/p", ATTESTOR, NOTE, KEY] {
            let at = |method: &str| format!("/{service}/{method}");
            let kinds = ["google.iam.v1.GetIamPolicyRequest", POLICY];
            let read = json!({ "resource": resource });
            let policy = call(channel, &at("GetIamPolicy"), kinds, read.clone()).await;
            let mut changed = policy.clone();
            changed["bindings"] = json!([{ "role": "roles/viewer", "members": ["user:a@example.com"] }]);
            let set = json!({ "resource": resource, "policy": changed });
            let kinds = ["google.iam.v1.SetIamPolicyRequest", POLICY];
            call(channel, &at("SetIamPolicy"), kinds, set).await;
            let kinds = ["google.iam.v1.GetIamPolicyRequest", POLICY];
            let policy = call(channel, &at("GetIamPolicy"), kinds, read).await;
            assert_eq!(policy["bindings"], changed["bindings"], "{resource}");
            let test = json!({ "resource": resource, "permissions": ["a.b.get"] });
            let kinds = [
                "google.iam.v1.TestIamPermissionsRequest",
                "google.iam.v1.TestIamPermissionsResponse",
            ];
            let held = call(channel, &at("TestIamPermissions"), kinds, test).await;
            assert_eq!(held, json!({ "permissions": ["a.b.get"] }));
        }
    }
    locations(channel).await;
}

/// Their metadata is an `Any`, which is not read here but compared.
async fn locations(channel: &Channel) {
    let location = message_type("google.cloud.location.Location").unwrap();
    let metadata = json!({ "@type": "type.googleapis.com/google.cloud.kms.v1.LocationMetadata" });
    let expected = json!({ "name": LOCATION, "locationId": "global", "metadata": metadata });
    let expected = location.encode(expected, Unlisted::Refuse).unwrap();
    for (method, name) in [("GetLocation", LOCATION), ("ListLocations", "projects/p")] {
        let request = message_type(&format!("google.cloud.location.{method}Request")).unwrap();
        let bytes = request.encode(json!({ "name": name }), Unlisted::Refuse).unwrap();
        let raw = channel
            .call(&format!("/google.cloud.location.Locations/{method}"), &bytes)
            .await;
        assert_eq!(raw.status.code(), tonic::Code::Ok, "{}", raw.status);
        let is_in = raw.message.windows(expected.len()).any(|part| part == expected);
        assert!(is_in, "{method}: {:?}", raw.message);
    }
}

/// What can be deleted is; a note that is referred to stays until nothing does.
async fn goodbye(channel: &Channel) {
    let mut attestors = Attestors::new(channel.clone());
    let delete = binauthz::DeleteAttestorRequest {
        name: ATTESTOR.to_owned(),
    };
    let error = attestors.delete_attestor(delete.clone()).await.unwrap_err();
    assert_eq!(
        error.code(),
        tonic::Code::FailedPrecondition,
        "the policy requires it: {error}"
    );
    let open = binauthz::Policy {
        name: "projects/p/policy".to_owned(),
        default_admission_rule: Some(binauthz::AdmissionRule {
            evaluation_mode: binauthz::admission_rule::EvaluationMode::AlwaysAllow.into(),
            enforcement_mode: 1,
            ..Default::default()
        }),
        ..Default::default()
    };
    attestors
        .update_policy(binauthz::UpdatePolicyRequest { policy: Some(open) })
        .await
        .unwrap();
    attestors.delete_attestor(delete).await.unwrap();
    let name = "projects/p/notes/m".to_owned();
    let mut notes = GrafeasClient::new(channel.clone());
    notes
        .delete_note(grafeas::DeleteNoteRequest { name: name.clone() })
        .await
        .unwrap();
    let gone = notes
        .get_note(grafeas::GetNoteRequest { name })
        .await
        .unwrap_err();
    assert_eq!(gone.code(), tonic::Code::NotFound);
}
