//! Signed things and keys: statements, tokens, PGP, PEM, checkpoints.

use std::sync::LazyLock;

use binauthz_core::attestation::{Attestation, Signature, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::key::{PkixKey, PublicKey, SignatureAlgorithm};
use binauthz_core::payload;
use binauthz_core::signature::pgp::Certificate;
use binauthz_core::time::UnixTime;
use binauthz_keyring::SoftwareKey;
use binauthz_wire::json::Limits;
use binauthz_wire::tlog::{Checkpoint, Header, Link, Merged, VerifierKey};
use serde_json::Value;

use crate::Outcome;

/// The key and the statement of the messages in the corpus, and a time at which they hold.
const PGP_KEY: &str = include_str!("../corpus/pgp_certificate/good-signer");
const PGP_PAYLOAD: &[u8] = include_bytes!("../corpus/simple_signing/good-tutorial");
const PGP_TIME: UnixTime = UnixTime::from_seconds(1_788_220_800);

/// The key of the corpus's checkpoints.
const LOG_KEY: &str = "log.test+71cdc260+ATAWc07TCDsMRHLc7Gy0PZxbwKumU110VmOSffLGLB9e";

/// What is taken names its digest in the one place where another reader finds it.
pub(crate) fn simple_signing(bytes: &[u8]) -> Outcome {
    let read = payload::unverified_digest(bytes);
    if let Ok(digest) = &read {
        let document: Value = serde_json::from_slice(bytes).expect("what was read is JSON");
        let named = &document["critical"]["image"]["docker-manifest-digest"];
        assert_eq!(
            named.as_str(),
            Some(digest.to_string().as_str()),
            "two readers, two digests"
        );
    }
    Outcome::of(&read)
}

pub(crate) fn jwt(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let read = binauthz_wire::jwt::read(text, Limits::API);
        if let Ok(token) = &read {
            assert_eq!(text.matches('.').count(), 2, "three parts");
            assert!(text.starts_with(token.signed) && text[token.signed.len()..].starts_with('.'));
        }
        Outcome::of(&read)
    })
}

/// A key is taken for algorithms of its own type alone, and written as it was read.
pub(crate) fn public_key_pem(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let mut der: Option<Vec<u8>> = None;
        for (algorithm, ..) in SignatureAlgorithm::TABLE {
            let Ok(key) = PkixKey::from_pem(text, algorithm) else {
                continue;
            };
            assert_eq!((key.algorithm(), key.pem()), (algorithm, text));
            assert!(key.default_id().starts_with("ni:///sha-256;"));
            let is_rsa = !algorithm.name().starts_with("ECDSA");
            assert_eq!(
                is_rsa,
                key.der().len() > 200,
                "{} is no key of {algorithm}",
                key.der().len()
            );
            assert!(
                der.as_deref().is_none_or(|der| der == key.der()),
                "one text, two keys"
            );
            der = Some(key.der().to_vec());
        }
        der.map_or(Outcome::Refused, |_| Outcome::Read)
    })
}

/// A private key that is taken signs, and its public half is one that an attestor can hold.
pub(crate) fn private_key_pem(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let Ok(algorithms) = SoftwareKey::algorithms_of_pem(text) else {
            return Outcome::Refused;
        };
        for algorithm in &algorithms {
            let Ok(key) = SoftwareKey::from_pem(*algorithm, text) else {
                continue;
            };
            let public = key.public_key_pem().expect("a key has a public half");
            assert!(!public.contains("PRIVATE"));
            if let Some(declared) = SignatureAlgorithm::from_name(algorithm.name()) {
                let public = PkixKey::from_pem(&public, declared).expect("an attestor can hold it");
                let signature = key.sign_data(PGP_PAYLOAD).expect("a key signs");
                assert!(
                    proves(PublicKey::Pkix(public), PGP_PAYLOAD, &signature),
                    "{algorithm} does not verify"
                );
            }
        }
        if algorithms.is_empty() {
            Outcome::Refused
        } else {
            Outcome::Read
        }
    })
}

/// A certificate proves nothing by itself, whatever is in it.
pub(crate) fn pgp_certificate(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let read = Certificate::from_armored(text);
        if let Ok(certificate) = &read {
            let fingerprint = certificate.fingerprint();
            assert!(fingerprint.len() == 40 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert_eq!(certificate.armored(), text);
            assert!(!proves(
                PublicKey::Pgp(Box::new(certificate.clone())),
                PGP_PAYLOAD,
                text.as_bytes()
            ));
        }
        Outcome::of(&read)
    })
}

/// A message of one signer about one statement: good for that statement, and never for another.
pub(crate) fn pgp_message(bytes: &[u8]) -> Outcome {
    static SIGNER: LazyLock<Certificate> =
        LazyLock::new(|| Certificate::from_armored(PGP_KEY).expect("the certificate of the corpus"));
    let signer = || PublicKey::Pgp(Box::new(SIGNER.clone()));
    let proven = proves(signer(), PGP_PAYLOAD, bytes);
    let other = payload::build("registry.test/app/web", &OTHER_DIGEST);
    assert!(
        !proves(signer(), &other, bytes),
        "it was signed for another digest"
    );
    if proven { Outcome::Read } else { Outcome::Refused }
}

static OTHER_DIGEST: LazyLock<binauthz_core::image::Digest> =
    LazyLock::new(|| binauthz_core::image::Digest::from_bytes([7; 32]));

/// Whether `key` proves with `signature` that `payload` was signed.
fn proves(key: PublicKey, payload: &[u8], signature: &[u8]) -> bool {
    let key = AttestorKey::new("", "", key);
    let signature = Signature {
        key_id: key.id().to_owned(),
        bytes: signature.to_vec(),
    };
    let note = || "projects/p/notes/n".parse().expect("a name");
    let occurrence = "projects/p/occurrences/o".parse().expect("a name");
    let attestation = Attestation::claimed(occurrence, note(), payload.to_vec(), vec![signature]);
    let name = "projects/p/attestors/a".parse().expect("a name");
    let attestor = Attestor::new(name, note(), vec![key], 1).expect("one key");
    verify(&attestation, &attestor, PGP_TIME).is_ok()
}

/// Notes, verifier keys, and the lines of a log.
pub(crate) fn checkpoint(bytes: &[u8]) -> Outcome {
    let _ = (Link::of(bytes), Header::read(bytes));
    Outcome::of_text(bytes, |text| {
        let _ = text.parse::<VerifierKey>();
        let key: VerifierKey = LOG_KEY.parse().expect("the key of the corpus");
        let read = Checkpoint::open(text, &key);
        if let Ok(checkpoint) = &read {
            assert!(
                text.starts_with(&checkpoint.text()),
                "what is signed is what is read"
            );
        }
        if let Ok(merged) = Merged::open(text, &key) {
            assert!(text.starts_with(&merged.text()), "what is signed is what is read");
        }
        Outcome::of(&read)
    })
}
