//! Keys, attestors and attestations at their edges.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::attestation::{
    Attestation, MAX_SIGNATURE_LEN, MAX_SIGNATURES, Rejected, Signature, verify,
};
use binauthz_core::attestor::{Attestor, AttestorKey, InvalidAttestor, MAX_KEYS};
use binauthz_core::evidence::{Evidence, Examination, MAX_CHECKS, Next};
use binauthz_core::key::{InvalidPublicKey, PkixKey, PublicKey, SignatureAlgorithm};
use binauthz_core::payload::MAX_PAYLOAD_LEN;
use support::{D1, D2, NOTE, NOW, Pair, attestor, claim, key, payload, pinned};

const CURVE: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const KMS: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

fn pair() -> Pair {
    Pair::ec(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING)
}

#[test]
fn a_pem_is_one_public_key_block() {
    let pem = pair().pem();
    let der = STANDARD.encode(key(&pem, CURVE).der());
    for good in [
        pem.clone(),
        pem.replace('\n', "\r\n"),
        pem.trim_end().to_owned(),
        format!("\n{pem}\n"),
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----"),
    ] {
        assert!(PkixKey::from_pem(&good, CURVE).is_ok(), "{good:?}");
    }
    let bad = [
        String::new(),
        der.clone(),
        format!("{pem}{pem}"),
        format!("text\n{pem}"),
        format!("{pem}text"),
        pem.replace("PUBLIC KEY", "PRIVATE KEY"),
        pem.replace("PUBLIC KEY", "EC PUBLIC KEY"),
        pem.replace("PUBLIC KEY", "CERTIFICATE"),
        pem.replace("-----END PUBLIC KEY-----", ""),
        pem.replace("BEGIN PUBLIC", "BEGIN  PUBLIC"),
        pem.replace(
            "-----BEGIN PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n\n",
        ),
        pem.replace(&der[..4], &der[..3]),
        pem.replace(&der[..4], "!!!!"),
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}{der}\n-----END PUBLIC KEY-----",
            "\n".repeat(20_000)
        ),
        "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----".to_owned(),
    ];
    for text in bad {
        let refused = PkixKey::from_pem(&text, CURVE).unwrap_err();
        assert!(
            matches!(refused, InvalidPublicKey::Pem | InvalidPublicKey::Spki),
            "{refused}"
        );
    }
}

/// RFC 6920 over the DER, in URL-safe base64 without padding.
#[test]
fn the_default_id_is_the_digest_of_the_der() {
    let own = key(&pair().pem(), CURVE);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, own.der());
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
    assert_eq!(own.default_id(), format!("ni:///sha-256;{encoded}"));
    assert_eq!(
        AttestorKey::new("", "", PublicKey::Pkix(own.clone())).id(),
        own.default_id()
    );
    assert_eq!(AttestorKey::new("mine", "", PublicKey::Pkix(own)).id(), "mine");
}

#[test]
fn weak_exponents_are_refused() {
    // SubjectPublicKeyInfo of RSA-2048 with modulus bits all set, but for the last: only e differs.
    let with_exponent = |exponent: &[u8]| {
        let integer = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
        let modulus = [&[2, 0x82, 1, 1, 0][..], &[0xff; 256]].concat();
        let numbers = [modulus, integer(exponent)].concat();
        let long = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82][..], &length, content].concat()
        };
        let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
        let bits = long(3, &[&[0][..], &long(0x30, &numbers)].concat());
        support::pem(&long(0x30, &[&algorithm[..], &bits].concat()))
    };
    for (bytes, exponent) in [
        (&[3][..], 3),
        (&[17], 17),
        (&[1, 0, 0], 65536),
        (&[1, 0, 2], 65538),
        (&[0, 0xff, 0xff], 65535),
    ] {
        assert_eq!(
            PkixKey::from_pem(&with_exponent(bytes), SignatureAlgorithm::RsaPkcs1_2048Sha256),
            Err(InvalidPublicKey::Exponent(exponent))
        );
    }
}

#[test]
fn ids_are_unique_within_an_attestor_however_they_are_written() {
    let build = |ids: &[&str]| {
        let keys = ids
            .iter()
            .map(|id| AttestorKey::new(id, "", PublicKey::Pkix(key(&pair().pem(), CURVE))))
            .collect();
        Attestor::new(
            "projects/p/attestors/a".parse().unwrap(),
            NOTE.parse().unwrap(),
            keys,
            1,
        )
    };
    assert!(build(&["a", "b", "A"]).is_ok());
    let (google, ours) = (
        format!("//cloudkms.googleapis.com/v1/{KMS}"),
        format!("//kms.test:8443/v1/{KMS}"),
    );
    for twice in [&["a", "a"], &[google.as_str(), &ours], &[google.as_str(), KMS]] {
        assert!(
            matches!(build(twice), Err(InvalidAttestor::DuplicateKeyId(_))),
            "{twice:?}"
        );
    }
    let own = AttestorKey::new("x", "", PublicKey::Pkix(key(&pair().pem(), CURVE)));
    let many = vec![own; MAX_KEYS + 1];
    let name = "projects/p/attestors/a".parse().unwrap();
    assert!(matches!(
        Attestor::new(name, NOTE.parse().unwrap(), many, 1),
        Err(InvalidAttestor::TooManyKeys)
    ));
}

#[test]
fn limits_are_checked_before_any_mathematics() {
    let (pair, statement) = (pair(), payload(D1));
    let attestor = attestor(vec![("k", key(&pair.pem(), CURVE))]);
    let good = Signature {
        key_id: "k".to_owned(),
        bytes: pair.sign(&statement),
    };
    let long = |length: usize| Signature {
        key_id: "k".to_owned(),
        bytes: vec![0; length],
    };
    let with = |payload: Vec<u8>, signatures: Vec<Signature>| {
        let name = "projects/p/occurrences/o".parse().unwrap();
        verify(
            &Attestation::claimed(name, NOTE.parse().unwrap(), payload, signatures),
            &attestor,
            NOW,
        )
    };
    assert!(with(statement.clone(), vec![good.clone(); MAX_SIGNATURES]).is_ok());
    assert_eq!(
        with(statement.clone(), vec![good.clone(); MAX_SIGNATURES + 1]),
        Err(Rejected::SignatureCount(MAX_SIGNATURES + 1))
    );
    assert_eq!(
        with(statement.clone(), Vec::new()),
        Err(Rejected::SignatureCount(0))
    );
    assert_eq!(
        with(statement.clone(), vec![long(MAX_SIGNATURE_LEN + 1)]),
        Err(Rejected::TooLong)
    );
    assert!(matches!(
        with(statement.clone(), vec![long(MAX_SIGNATURE_LEN)]),
        Err(Rejected::BadSignature(_))
    ));
    assert_eq!(
        with(vec![b' '; MAX_PAYLOAD_LEN + 1], vec![good.clone()]),
        Err(Rejected::TooLong)
    );
    // A long bad signature before a good one does not hide it.
    assert!(with(statement, vec![long(MAX_SIGNATURE_LEN + 1), good]).is_ok());
}

#[test]
fn an_attestor_without_keys_verifies_nothing() {
    let (pair, statement) = (pair(), payload(D1));
    let found = verify(
        &claim(&statement, "k", &pair.sign(&statement)),
        &attestor(Vec::new()),
        NOW,
    );
    assert_eq!(found, Err(Rejected::NoKeys));
}

/// A proof is about one digest, one attestor and one state of it.
#[test]
fn a_proof_covers_what_it_is_about() {
    let (pair, statement) = (pair(), payload(D1));
    let keys = || {
        vec![AttestorKey::new(
            "k",
            "",
            PublicKey::Pkix(key(&pair.pem(), CURVE)),
        )]
    };
    let named = |name: &str, revision| {
        let name = format!("projects/p/attestors/{name}").parse().unwrap();
        Attestor::new(name, NOTE.parse().unwrap(), keys(), revision).unwrap()
    };
    let own = named("a", 1);
    let proof = verify(&claim(&statement, "k", &pair.sign(&statement)), &own, NOW).unwrap();
    let image = pinned(&format!("registry.test/app/web@{D1}"));
    let elsewhere = pinned(&format!("mirror.test/x:tag@{D1}"));
    let other = pinned(&format!("registry.test/app/web@{D2}"));
    assert!(proof.covers(&own, &image, NOW) && proof.covers(&own, &elsewhere, NOW));
    assert!(!proof.covers(&own, &other, NOW));
    assert!(!proof.covers(&named("b", 1), &image, NOW));
    assert!(!proof.covers(&named("a", 2), &image, NOW));
    let binding = named("a", 1).with_match_identity(true);
    let proof = verify(&claim(&statement, "k", &pair.sign(&statement)), &binding, NOW).unwrap();
    assert!(proof.covers(&binding, &image, NOW));
    assert!(!proof.covers(&binding, &elsewhere, NOW));
}

/// The key ids that an attestation's signatures name, and whether they are good.
type Claim<'a> = (&'a [&'a str], bool);

/// Looks at attestations, each with signatures by these key ids; says after how many there was enough, and what was found.
fn examine(attestor: Attestor, pair: &Pair, claims: &[Claim<'_>]) -> (Next, usize, Evidence) {
    let payload = payload(D1);
    let (good, bad) = (pair.sign(&payload), pair.sign(b"something else"));
    let mut examination = Examination::new(std::sync::Arc::new(attestor), D1.parse().unwrap(), NOW);
    for (index, (ids, is_good)) in claims.iter().enumerate() {
        let signature = |id: &&str| Signature {
            key_id: (*id).to_owned(),
            bytes: if *is_good { good.clone() } else { bad.clone() },
        };
        let attestation = Attestation::claimed(
            format!("projects/p/occurrences/o{index}").parse().unwrap(),
            NOTE.parse().unwrap(),
            payload.clone(),
            ids.iter().map(signature).collect(),
        );
        let next = examination.look_at(&attestation);
        if next != Next::GoOn {
            return (next, index + 1, examination.finish());
        }
    }
    (Next::GoOn, claims.len(), examination.finish())
}

#[test]
fn a_heap_by_foreign_keys_hides_nothing() {
    let pair = pair();
    let ours = || attestor(vec![(KMS, key(&pair.pem(), CURVE))]);
    let foreign: Claim<'_> = (&["foreign", "projects/p/other"], true);
    let mut claims = vec![foreign; 5_000];
    let (next, _, evidence) = examine(ours(), &pair, &claims);
    assert_eq!((next, evidence.proofs.len()), (Next::GoOn, 0));
    assert!(evidence.rejected.len() <= 16, "an answer is kept in memory");

    let through_a_host = format!("//cloudkms.googleapis.com/v1/{KMS}");
    let good: Claim<'_> = (&[&through_a_host], true);
    claims.push(good);
    let (next, looked_at, evidence) = examine(ours(), &pair, &claims);
    assert_eq!((next, looked_at), (Next::Enough, 5_001));
    assert_eq!(&**evidence.proofs[0].key_id(), KMS);
}

#[test]
fn signatures_that_name_our_keys_are_checked_up_to_a_bound() {
    let pair = pair();
    let ours = || attestor(vec![(KMS, key(&pair.pem(), CURVE))]);
    let (bad, good): (Claim<'_>, Claim<'_>) = ((&[KMS], false), (&[KMS], true));
    let mut claims = vec![bad; MAX_CHECKS - 1];
    claims.push(good);
    assert_eq!(
        examine(ours(), &pair, &claims).0,
        Next::Enough,
        "the last that counts"
    );
    claims.insert(0, bad);
    let (next, looked_at, evidence) = examine(ours(), &pair, &claims);
    assert_eq!((next, looked_at), (Next::TooMany, MAX_CHECKS));
    assert!(evidence.proofs.is_empty());
    // What counts is signatures: one attestation may carry many.
    let heavy: Claim<'_> = (&[KMS; MAX_SIGNATURES], false);
    let (next, looked_at, _) = examine(ours(), &pair, &[heavy; 10]);
    assert_eq!(
        (next, looked_at),
        (Next::TooMany, MAX_CHECKS.div_ceil(MAX_SIGNATURES))
    );
    // More signatures than are looked at are turned away unchecked.
    let too_many: Claim<'_> = (&[KMS; MAX_SIGNATURES + 1], false);
    let (next, _, _) = examine(ours(), &pair, &[too_many; 2]);
    assert_eq!(next, Next::GoOn);
}

#[test]
fn what_our_own_keys_did_not_sign_is_told_before_what_others_did() {
    let pair = pair();
    let ours = attestor(vec![(KMS, key(&pair.pem(), CURVE))]);
    let foreign: Claim<'_> = (&["foreign"], true);
    let bad: Claim<'_> = (&[KMS], false);
    let (_, _, evidence) = examine(ours, &pair, &[foreign, foreign, bad]);
    let told: Vec<_> = evidence.rejected.iter().map(|(_, why)| why.clone()).collect();
    assert_eq!(
        told,
        [
            Rejected::BadSignature(KMS.to_owned()),
            Rejected::UnknownKey("foreign".to_owned()),
            Rejected::UnknownKey("foreign".to_owned()),
        ]
    );
}

#[test]
fn who_binds_the_repository_has_every_good_one_looked_at() {
    let pair = pair();
    let ours = attestor(vec![(KMS, key(&pair.pem(), CURVE))]).with_match_identity(true);
    let good: Claim<'_> = (&[KMS], true);
    let (next, _, evidence) = examine(ours, &pair, &[good; 3]);
    assert_eq!((next, evidence.proofs.len()), (Next::GoOn, 3));
}

mod validity {
    use super::*;
    use binauthz_core::evidence::Answer;
    use binauthz_core::time::UnixTime;
    use binauthz_core::validity::{Compromise, Earlier, KeyValidity, Untimely};
    use std::sync::Arc;

    const fn later(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(NOW.as_seconds() + seconds)
    }

    /// An attestor whose one key counts when `validity` says, and a good signature by it.
    fn marked(validity: KeyValidity) -> (Arc<Attestor>, Attestation) {
        let pair = pair();
        let public = key(&pair.pem(), CURVE);
        let public = AttestorKey::new("k", "", PublicKey::Pkix(public)).with_validity(Some(validity));
        let name = "projects/p/attestors/a".parse().unwrap();
        let attestor = Attestor::new(name, NOTE.parse().unwrap(), vec![public], 1).unwrap();
        let payload = payload(D1);
        (Arc::new(attestor), claim(&payload, "k", &pair.sign(&payload)))
    }

    /// What the judge is told of the attestation, if it was received at that time.
    fn examined(
        validity: KeyValidity,
        received: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, Untimely> {
        let (attestor, attestation) = marked(validity);
        let attestation = match received {
            Some(at) => attestation.received(at),
            None => attestation,
        };
        let mut examination = Examination::new(attestor, D1.parse().unwrap(), now);
        let next = examination.look_at(&attestation);
        let Answer::Found(evidence) = examination.answer(None) else {
            panic!("it was looked at")
        };
        match (evidence.proofs.as_slice(), evidence.rejected.as_slice()) {
            ([proof], []) => {
                assert_eq!(next, Next::Enough);
                Ok(proof.until())
            }
            ([], [(_, Rejected::Untimely { key_id, why })]) => {
                assert_eq!(key_id, "k");
                Err(*why)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_proof_ends_with_its_key_and_begins_with_it() {
        let window = KeyValidity::new(Some(later(10)), Some(later(20)), None).unwrap();
        assert_eq!(examined(window, Some(NOW), later(9)), Err(Untimely::NotYet));
        assert_eq!(examined(window, Some(NOW), later(10)), Ok(Some(later(20))));
        assert_eq!(examined(window, Some(NOW), later(20)), Err(Untimely::Over));
        // A proof that was kept since does not outlive the key.
        let (attestor, attestation) = marked(window);
        let proof = verify(&attestation, &attestor, later(10)).unwrap();
        let image = pinned(&format!("registry.test/app/web@{D1}"));
        assert!(proof.covers(&attestor, &image, later(19)));
        assert!(!proof.covers(&attestor, &image, later(20)));
    }

    #[test]
    fn a_compromise_ends_what_was_received_since_and_the_rest_unless_it_is_kept() {
        let compromised = |earlier| {
            let compromise = Compromise {
                since: later(10),
                earlier,
            };
            KeyValidity::new(None, None, Some(compromise)).unwrap()
        };
        let now = later(100);
        for (received, refused, kept) in [
            (Some(later(9)), Err(Untimely::BeforeCompromise), Ok(None)),
            (
                Some(later(10)),
                Err(Untimely::Compromised),
                Err(Untimely::Compromised),
            ),
            (None, Err(Untimely::Compromised), Err(Untimely::Compromised)),
        ] {
            assert_eq!(examined(compromised(Earlier::Refused), received, now), refused);
            assert_eq!(examined(compromised(Earlier::Kept), received, now), kept);
        }
        assert_eq!(examined(KeyValidity::ALWAYS, None, now), Ok(None));
    }
}
