//! The signed vectors of the security catalogue, each row accepted or refused as it says.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::attestation::{Attestation, Signature, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::image::PinnedImage;
use binauthz_core::key::{PkixKey, PublicKey, SignatureAlgorithm};
use binauthz_core::signature::pgp::Certificate;
use serde_json::Value;
use std::collections::BTreeSet;
use support::NOW;

const FILE: &str = include_str!("vectors/security-vectors.json");

/// What is not checked, because the product does not have it.
const SKIPPED: &[(&str, &str)] = &[
    (
        "ed-",
        "Ed25519 is none of the eleven algorithms of Binary Authorization; no key of it can be added",
    ),
    (
        "ds-",
        "DSSE envelopes and in-toto statements are not read: Binary Authorization looks at simple signing only",
    ),
    ("no-", "Notary Project signatures are not read"),
    (
        "id-",
        "identity tokens are no attestations; signing in is the server's matter",
    ),
];

/// Rows that we settle in another way than the catalogue.
const OTHERWISE: &[(&str, bool, &str)] = &[(
    "gp-a2",
    true,
    "clear-signed messages are accepted when their text is exactly the payload",
)];

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field]
        .as_str()
        .unwrap_or_else(|| panic!("{}: no `{field}`", row["id"]))
}

fn bytes(row: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(text(row, field)).unwrap()
}

fn pkix(row: &Value, vectors: &Value) -> Option<PublicKey> {
    let algorithm = SignatureAlgorithm::from_name(text(row, "alg"))?;
    let pem = match row["key_pem"].as_str() {
        Some(pem) => pem,
        None => text(&vectors["keys"][text(row, "key")], "pub"),
    };
    Some(PublicKey::Pkix(PkixKey::from_pem(pem, algorithm).ok()?))
}

/// Whether `key` proves with `signature` over `payload` that the image may run.
fn proves(key: PublicKey, payload: Vec<u8>, signature: Vec<u8>, image: &PinnedImage) -> bool {
    let key = AttestorKey::new("", "", key);
    let signature = Signature {
        key_id: key.id().to_owned(),
        bytes: signature,
    };
    let note = support::NOTE.parse().unwrap();
    let attestation = Attestation::claimed(
        "projects/p/occurrences/o".parse().unwrap(),
        note,
        payload,
        vec![signature],
    );
    let name = "projects/p/attestors/a".parse().unwrap();
    let attestor = Attestor::new(name, support::NOTE.parse().unwrap(), vec![key], 1).unwrap();
    verify(&attestation, &attestor, NOW).is_ok_and(|proof| proof.covers(&attestor, image, NOW))
}

fn accepted(row: &Value, vectors: &Value) -> bool {
    let image = || support::pinned(text(row, "image"));
    match text(row, "kind") {
        "raw-signature" => {
            let image = support::pinned(&format!("registry.test/app/web@{}", support::D1));
            pkix(row, vectors).is_some_and(|key| {
                proves(
                    key,
                    bytes(row, "message_b64"),
                    bytes(row, "signature_b64"),
                    &image,
                )
            })
        }
        "signed-payload" => pkix(row, vectors).is_some_and(|key| {
            proves(
                key,
                bytes(row, "payload_b64"),
                bytes(row, "signature_b64"),
                &image(),
            )
        }),
        "key-import" => SignatureAlgorithm::TABLE
            .iter()
            .any(|(algorithm, ..)| PkixKey::from_pem(text(row, "key_pem"), *algorithm).is_ok()),
        "pgp" => {
            let key = Certificate::from_armored(text(row, "public_key")).unwrap();
            assert_eq!(text(row, "verify_time"), "2026-09-01T00:00:00Z");
            let signature = text(row, "signature").as_bytes().to_vec();
            proves(
                PublicKey::Pgp(Box::new(key)),
                bytes(row, "serialized_payload_b64"),
                signature,
                &image(),
            )
        }
        kind => panic!("{}: no check for `{kind}`", row["id"]),
    }
}

#[test]
fn every_vector_comes_out_as_it_says() {
    let vectors: Value = serde_json::from_str(FILE).unwrap();
    let rows = vectors["vectors"].as_array().unwrap();
    assert_eq!(rows.len(), 56);
    let mut skipped = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for row in rows {
        let id = text(row, "id");
        if let Some((prefix, _)) = SKIPPED.iter().find(|(prefix, _)| id.starts_with(prefix)) {
            skipped.insert(*prefix);
            continue;
        }
        let otherwise = OTHERWISE.iter().find(|(other, ..)| *other == id);
        let expected = otherwise.map_or(text(row, "expect") == "accept", |(_, expected, _)| *expected);
        checked += 1;
        if accepted(row, &vectors) != expected {
            wrong.push(format!("{id}: {}", text(row, "why")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(skipped.len(), SKIPPED.len(), "a row of the list is not needed");
    assert_eq!(checked, 34);
}

/// What is skipped cannot come in through another door.
#[test]
fn skipped_algorithms_cannot_be_declared() {
    for name in [
        "ED25519",
        "EC_SIGN_ED25519",
        "ECDSA_P256_SHA256\0",
        "",
        "RSA_SIGN_RAW_PKCS1_2048",
        "none",
        "HS256",
    ] {
        assert_eq!(SignatureAlgorithm::from_name(name), None, "{name:?}");
    }
    let vectors: Value = serde_json::from_str(FILE).unwrap();
    let ed25519 = text(&vectors["keys"]["ed25519"], "pub");
    for (algorithm, ..) in SignatureAlgorithm::TABLE {
        assert!(PkixKey::from_pem(ed25519, algorithm).is_err());
    }
}
