"""Key, note, attestor, policy and attestation through Google's client libraries.

Environment: API (base URL), TOKEN, IMAGE (pinned), TRANSPORT (rest, grpc, grpc-insecure). The policy of the project
requires `image-signing-attestor`.
"""

import hashlib
import os

import grpc
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import binaryauthorization_v1 as binauthz
from google.cloud import kms_v1 as kms
from google.cloud.devtools import containeranalysis_v1 as containeranalysis
from google.iam.v1 import iam_policy_pb2
from google.oauth2.credentials import Credentials
from grafeas import grafeas_v1 as grafeas

API, TOKEN, IMAGE, TRANSPORT = (os.environ[name] for name in ("API", "TOKEN", "IMAGE", "TRANSPORT"))
HOST = API.split("://")[1]
ATTESTOR = "projects/demo/attestors/image-signing-attestor"
NOTE = "projects/demo/notes/image-signing-note"


class WithToken(grpc.UnaryUnaryClientInterceptor):
    """On a channel without TLS the libraries send no credential."""

    def intercept_unary_unary(self, continuation, details, request):
        metadata = [*(details.metadata or []), ("authorization", "Bearer " + TOKEN)]
        return continuation(details._replace(metadata=metadata), request)


def client_of(kind):
    """A client of this kind that speaks to the server by the transport under test."""
    if TRANSPORT == "rest":
        transport = kind.get_transport_class("rest")(host=API, credentials=Credentials(TOKEN))
    elif TRANSPORT == "grpc":
        transport = kind.get_transport_class()(host=HOST, credentials=Credentials(TOKEN))
        assert transport.kind == "grpc", transport.kind
    else:
        channel = grpc.intercept_channel(grpc.insecure_channel(HOST), WithToken())
        transport = kind.get_transport_class("grpc")(channel=channel)
    return kind(transport=transport)


def refused(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{call} should have raised {error}")


def make_key():
    client = client_of(kms.KeyManagementServiceClient)
    ring = client.create_key_ring(parent="projects/demo/locations/global", key_ring_id="python", key_ring=kms.KeyRing())
    key = client.create_crypto_key(
        parent=ring.name,
        crypto_key_id="signer",
        crypto_key=kms.CryptoKey(
            purpose=kms.CryptoKey.CryptoKeyPurpose.ASYMMETRIC_SIGN,
            version_template=kms.CryptoKeyVersionTemplate(
                algorithm=kms.CryptoKeyVersion.CryptoKeyVersionAlgorithm.EC_SIGN_P256_SHA256
            ),
        ),
    )
    version = key.name + "/cryptoKeyVersions/1"
    assert client.get_crypto_key_version(name=version).state == kms.CryptoKeyVersion.CryptoKeyVersionState.ENABLED
    assert [v.name for v in client.list_crypto_key_versions(parent=key.name)] == [version]
    refused(Conflict, client.create_key_ring, parent="projects/demo/locations/global", key_ring_id="python",
            key_ring=kms.KeyRing())
    return client, version


def trust_key(client, version):
    attestors = client_of(binauthz.BinauthzManagementServiceV1Client)
    attestor = attestors.get_attestor(name=ATTESTOR)
    pem = client.get_public_key(name=version).pem
    algorithm = binauthz.PkixPublicKey.SignatureAlgorithm.ECDSA_P256_SHA256
    key = binauthz.AttestorPublicKey(
        id="//cloudkms.googleapis.com/v1/" + version,
        pkix_public_key=binauthz.PkixPublicKey(public_key_pem=pem, signature_algorithm=algorithm),
    )
    attestor.user_owned_grafeas_note.public_keys.append(key)
    updated = attestors.update_attestor(attestor=attestor)
    assert updated.user_owned_grafeas_note.public_keys[0].id == key.id, updated
    assert [a.name for a in attestors.list_attestors(parent="projects/demo")] == [ATTESTOR]
    refused(NotFound, attestors.get_attestor, name="projects/demo/attestors/nobody-made-it")

    policy = attestors.get_policy(name="projects/demo/policy")
    assert policy.default_admission_rule.require_attestations_by == [ATTESTOR], policy
    policy.description = "set by Python"
    assert attestors.update_policy(policy=policy).description == "set by Python"
    policy.default_admission_rule.require_attestations_by.append("projects/demo/attestors/nobody-made-it")
    policy.etag = ""
    refused(BadRequest, attestors.update_policy, policy=policy)
    assert client_of(binauthz.SystemPolicyV1Client).get_system_policy(name="locations/global/policy").name


def attest(client, version):
    repository, digest = IMAGE.split("@")
    payload = (
        '{\n  "critical": {\n    "identity": {\n      "docker-reference": "%s"\n    },\n    "image": {\n'
        '      "docker-manifest-digest": "%s"\n    },\n    "type": "Google cloud binauthz container signature"\n  }\n}\n'
        % (repository, digest)
    ).encode()
    signed = client.asymmetric_sign(name=version, digest=kms.Digest(sha256=hashlib.sha256(payload).digest()))
    signature = grafeas.Signature(public_key_id="//cloudkms.googleapis.com/v1/" + version, signature=signed.signature)
    attestation = grafeas.AttestationOccurrence(serialized_payload=payload, signatures=[signature])

    validator = client_of(binauthz.ValidationHelperV1Client)
    request = binauthz.ValidateAttestationOccurrenceRequest(
        attestor=ATTESTOR, attestation=grafeas.AttestationOccurrence.pb(attestation), occurrence_note=NOTE,
        occurrence_resource_uri="https://" + IMAGE,
    )
    answer = validator.validate_attestation_occurrence(request=request)
    assert answer.result == binauthz.ValidateAttestationOccurrenceResponse.Result.VERIFIED, answer
    request.attestation.serialized_payload = payload + b" "
    answer = validator.validate_attestation_occurrence(request=request)
    assert answer.result == binauthz.ValidateAttestationOccurrenceResponse.Result.ATTESTATION_NOT_VERIFIABLE, answer
    assert answer.denial_reason

    store = client_of(grafeas.GrafeasClient)
    occurrence = grafeas.Occurrence(note_name=NOTE, resource_uri="https://" + IMAGE, attestation=attestation)
    stored = store.create_occurrence(parent="projects/demo", occurrence=occurrence)
    assert stored.kind == grafeas.NoteKind.ATTESTATION, stored
    assert store.get_occurrence(name=stored.name).attestation.serialized_payload == payload
    found = store.list_note_occurrences(name=NOTE, filter=f'resourceUrl="https://{IMAGE}"')
    assert [o.name for o in found] == [stored.name]
    refused(Conflict, store.create_occurrence, parent="projects/demo", occurrence=occurrence)
    assert store.get_note(name=NOTE).attestation.hint.human_readable_name == "Image signing attestor"
    assert NOTE in [note.name for note in store.list_notes(parent="projects/demo")]


def note_policy():
    client = client_of(containeranalysis.ContainerAnalysisClient)
    policy = client.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=NOTE))
    binding = policy.bindings.add()
    binding.role = "roles/containeranalysis.notes.attacher"
    binding.members.append("user:jane@example.com")
    client.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=NOTE, policy=policy))
    policy = client.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=NOTE))
    assert policy.bindings[0].members == ["user:jane@example.com"], policy


def main():
    client, version = make_key()
    trust_key(client, version)
    attest(client, version)
    note_policy()
    print("signed and verified")


main()
