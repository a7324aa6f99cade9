//! Second opinions on signatures. What decides an admission (aws-lc-rs) and an implementation that shares no line with it
//! (RustCrypto) judge the same cases: those of Project Wycheproof, and signatures of our own keys with changes. Where they
//! differ, the case is in a list, with the reason.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::attestation::{Attestation, Rejected, Signature, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::key::{PkixKey, PublicKey, SignatureAlgorithm as Algorithm};
use binauthz_core::payload;
use binauthz_core::time::UnixTime;
use binauthz_fuzz::mutate::{Numbers, input};
use binauthz_keyring::{KeyAlgorithm, SoftwareKey};
use p256::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier;
use rsa::{RsaPublicKey, pkcs1v15, pss};
use sha2::{Sha256, Sha512};
use wycheproof::{TestResult, ecdsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as psses};

/// What the judge makes of a signature; none if it takes no such key.
fn ours(algorithm: Algorithm, der: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let key = PkixKey::from_pem(&pem(der), algorithm).ok()?;
    let key = AttestorKey::new("k:k", "", PublicKey::Pkix(key));
    let signature = Signature {
        key_id: "k:k".to_owned(),
        bytes: signature.to_vec(),
    };
    let note = || "projects/p/notes/n".parse().unwrap();
    let occurrence = "projects/p/occurrences/o".parse().unwrap();
    let attestation = Attestation::claimed(occurrence, note(), message.to_vec(), vec![signature]);
    let attestor = Attestor::new("projects/p/attestors/a".parse().unwrap(), note(), vec![key], 1).unwrap();
    match verify(&attestation, &attestor, UnixTime::from_seconds(0)) {
        // The messages of others are no statements; that is found out only after the signature was good.
        Ok(_) | Err(Rejected::Payload(_)) => Some(true),
        Err(Rejected::BadSignature(_)) => Some(false),
        Err(other) => panic!("{other}"),
    }
}

/// The other opinion.
fn theirs(algorithm: Algorithm, der: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    use Algorithm as A;
    match algorithm {
        A::RsaPkcs1_2048Sha256 | A::RsaPkcs1_3072Sha256 | A::RsaPkcs1_4096Sha256 => {
            let key = pkcs1v15::VerifyingKey::<Sha256>::new(rsa_key(der)?);
            Some(holds(&key, message, pkcs1v15::Signature::try_from(signature)))
        }
        A::RsaPkcs1_4096Sha512 => {
            let key = pkcs1v15::VerifyingKey::<Sha512>::new(rsa_key(der)?);
            Some(holds(&key, message, pkcs1v15::Signature::try_from(signature)))
        }
        A::RsaPss2048Sha256 | A::RsaPss3072Sha256 | A::RsaPss4096Sha256 => {
            let key = pss::VerifyingKey::<Sha256>::new(rsa_key(der)?);
            Some(holds(&key, message, pss::Signature::try_from(signature)))
        }
        A::RsaPss4096Sha512 => {
            let key = pss::VerifyingKey::<Sha512>::new(rsa_key(der)?);
            Some(holds(&key, message, pss::Signature::try_from(signature)))
        }
        A::EcdsaP256Sha256 => {
            let key = p256::ecdsa::VerifyingKey::from(p256::PublicKey::from_public_key_der(der).ok()?);
            Some(holds(&key, message, p256::ecdsa::Signature::from_der(signature)))
        }
        A::EcdsaP384Sha384 => {
            let key = p384::ecdsa::VerifyingKey::from(p384::PublicKey::from_public_key_der(der).ok()?);
            Some(holds(&key, message, p384::ecdsa::Signature::from_der(signature)))
        }
        A::EcdsaP521Sha512 => {
            let key = p521::PublicKey::from_public_key_der(der).ok()?;
            let key = p521::ecdsa::VerifyingKey::from_affine(*key.as_affine()).ok()?;
            Some(holds(&key, message, p521::ecdsa::Signature::from_der(signature)))
        }
    }
}

fn rsa_key(der: &[u8]) -> Option<RsaPublicKey> {
    RsaPublicKey::from_public_key_der(der).ok()
}

fn holds<S, E>(key: &impl Verifier<S>, message: &[u8], signature: Result<S, E>) -> bool {
    signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    )
}

/// One case of Wycheproof.
struct Case {
    of: String,
    der: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    result: TestResult,
}

/// The cases of one set. The three kinds of sets are alike and share no type.
macro_rules! cases {
    ($module:ident, $name:ident) => {{
        let name = $module::TestName::$name;
        let set = $module::TestSet::load(name).unwrap();
        let groups = set.test_groups.into_iter();
        let cases = groups.flat_map(|group| {
            let der = group.der.to_vec();
            let case = move |test: $module::Test| Case {
                of: format!("{} {} ({})", stringify!($name), test.tc_id, test.comment),
                der: der.clone(),
                message: test.msg.to_vec(),
                signature: test.sig.to_vec(),
                result: test.result,
            };
            group.tests.into_iter().map(case).collect::<Vec<_>>()
        });
        cases.collect::<Vec<_>>()
    }};
}

/// How many cases came out how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    taken: usize,
    refused: usize,
    /// Of keys that no attestor may have.
    without_key: usize,
}

/// Judges the cases of an algorithm's own set: what is valid is taken, nothing else is, and both opinions agree.
fn own(algorithm: Algorithm, cases: &[Case]) -> Tally {
    let mut tally = Tally::default();
    for Case {
        of,
        der,
        message,
        signature,
        result,
    } in cases
    {
        let Some(taken) = ours(algorithm, der, message, signature) else {
            tally.without_key += 1;
            continue;
        };
        assert_eq!(
            theirs(algorithm, der, message, signature),
            Some(taken),
            "the two differ: {of}"
        );
        // "Acceptable" is what some take and some do not. Nothing of that is taken here.
        assert_eq!(taken, *result == TestResult::Valid, "{of}");
        *(if taken {
            &mut tally.taken
        } else {
            &mut tally.refused
        }) += 1;
    }
    tally
}

#[test]
fn wycheproof_ecdsa() {
    let p256 = own(Algorithm::EcdsaP256Sha256, &cases!(ecdsa, EcdsaSecp256r1Sha256));
    let p384 = own(Algorithm::EcdsaP384Sha384, &cases!(ecdsa, EcdsaSecp384r1Sha384));
    let p521 = own(Algorithm::EcdsaP521Sha512, &cases!(ecdsa, EcdsaSecp521r1Sha512));
    for (curve, tally) in [("P-256", p256), ("P-384", p384), ("P-521", p521)] {
        assert!(
            tally.taken > 100 && tally.refused > 300 && tally.without_key == 0,
            "{curve}: {tally:?}"
        );
    }
}

#[test]
fn wycheproof_rsa_pkcs1() {
    let tallies = [
        own(Algorithm::RsaPkcs1_2048Sha256, &cases!(pkcs1, Rsa2048Sha256)),
        own(Algorithm::RsaPkcs1_3072Sha256, &cases!(pkcs1, Rsa3072Sha256)),
        own(Algorithm::RsaPkcs1_4096Sha256, &cases!(pkcs1, Rsa4096Sha256)),
        own(Algorithm::RsaPkcs1_4096Sha512, &cases!(pkcs1, Rsa4096Sha512)),
    ];
    for tally in tallies {
        assert!(tally.taken >= 5 && tally.refused > 200, "{tally:?}");
    }
}

#[test]
fn wycheproof_rsa_pss() {
    let tallies = [
        own(
            Algorithm::RsaPss2048Sha256,
            &cases!(psses, RsaPss2048Sha256Mgf1SaltLen32),
        ),
        own(
            Algorithm::RsaPss3072Sha256,
            &cases!(psses, RsaPss3072Sha256Mgf1SaltLen32),
        ),
        own(
            Algorithm::RsaPss4096Sha256,
            &cases!(psses, RsaPss4096Sha256Mgf1SaltLen32),
        ),
        own(
            Algorithm::RsaPss4096Sha512,
            &cases!(psses, RsaPss4096Sha512Mgf1SaltLen64),
        ),
    ];
    for tally in tallies {
        assert!(tally.taken >= 30 && tally.refused > 20, "{tally:?}");
    }
}

/// Signatures that are good under other rules than the key's: another encoding, salt, mask or hash.
#[test]
fn wycheproof_of_other_rules() {
    let others = [
        (Algorithm::EcdsaP256Sha256, cases!(ecdsa, EcdsaSecp256r1Sha512)),
        (
            Algorithm::EcdsaP256Sha256,
            cases!(ecdsa, EcdsaSecp256r1Sha256P1363),
        ),
        (Algorithm::EcdsaP256Sha256, cases!(ecdsa, EcdsaSecp256r1Sha3_256)),
        (
            Algorithm::EcdsaP384Sha384,
            cases!(ecdsa, EcdsaSecp384r1Sha384P1363),
        ),
        (Algorithm::EcdsaP384Sha384, cases!(ecdsa, EcdsaSecp384r1Sha512)),
        (
            Algorithm::EcdsaP521Sha512,
            cases!(ecdsa, EcdsaSecp521r1Sha512P1363),
        ),
        (
            Algorithm::RsaPss2048Sha256,
            cases!(psses, RsaPss2048Sha256Mgf1SaltLen0),
        ),
        (
            Algorithm::RsaPss2048Sha256,
            cases!(psses, RsaPss2048Sha256Mgf1Sha1_20),
        ),
        (Algorithm::RsaPss2048Sha256, cases!(pkcs1, Rsa2048Sha256)),
        (
            Algorithm::RsaPss4096Sha512,
            cases!(psses, RsaPss4096Sha512Mgf1SaltLen32),
        ),
        (
            Algorithm::RsaPkcs1_2048Sha256,
            cases!(psses, RsaPss2048Sha256Mgf1SaltLen32),
        ),
        (Algorithm::RsaPkcs1_2048Sha256, cases!(pkcs1, Rsa2048Sha512)),
        (Algorithm::RsaPkcs1_4096Sha512, cases!(pkcs1, Rsa4096Sha384)),
    ];
    for (algorithm, cases) in others {
        let good = cases.iter().any(|case| case.result == TestResult::Valid);
        assert!(good, "{algorithm}: a set without a good signature says nothing");
        for Case {
            of,
            der,
            message,
            signature,
            result,
        } in &cases
        {
            // What is invalid under its own rules may be good under the key's.
            if *result != TestResult::Valid {
                continue;
            }
            assert_ne!(
                ours(algorithm, der, message, signature),
                Some(true),
                "{algorithm}: {of}"
            );
        }
    }
}

/// A key of ours for each algorithm; one RSA key of each size serves all that have it.
fn signers() -> Vec<(Algorithm, SoftwareKey)> {
    let mut sizes: BTreeMap<&str, SoftwareKey> = BTreeMap::new();
    let mut signers = Vec::new();
    for (algorithm, _, name, alias) in Algorithm::TABLE {
        let is_it = |kms: &KeyAlgorithm| kms.name() == alias.unwrap_or(name);
        let kms = KeyAlgorithm::ALL.into_iter().find(is_it).unwrap();
        let size = ["2048", "3072", "4096"]
            .into_iter()
            .find(|size| name.contains(size));
        let key = match size {
            Some(size) => {
                let made = sizes
                    .entry(size)
                    .or_insert_with(|| SoftwareKey::generate(kms).unwrap());
                SoftwareKey::from_pkcs8(kms, &made.to_pkcs8().unwrap()).unwrap()
            }
            None => SoftwareKey::generate(kms).unwrap(),
        };
        signers.push((algorithm, key));
    }
    signers
}

/// Cases for each of the eleven algorithms. RSA-4096 takes the other implementation milliseconds.
const ROUNDS: usize = 60;

/// Our keys, each signature under each key, whole and changed: only the key's own signature of this very message is taken,
/// and the second opinion is the same.
#[test]
fn both_agree_on_our_signatures_and_on_what_is_made_of_them() {
    let signers = signers();
    let digest = binauthz_core::image::Digest::from_bytes([5; 32]);
    let message = payload::build("registry.test/app/web", &digest);
    let publics: Vec<Vec<u8>> = signers
        .iter()
        .map(|(_, key)| key.public_key_der().unwrap())
        .collect();
    let signatures: Vec<Vec<u8>> = signers
        .iter()
        .map(|(_, key)| key.sign_data(&message).unwrap())
        .collect();
    let mut numbers = Numbers::new(2);
    let mut taken = 0;
    for (at, (algorithm, _)) in signers.iter().enumerate() {
        let der = &publics[at];
        let mut agree = |message: &[u8], signature: &[u8]| {
            let found = ours(*algorithm, der, message, signature);
            assert_eq!(
                theirs(*algorithm, der, message, signature),
                found,
                "{algorithm} {}",
                STANDARD.encode(signature)
            );
            taken += usize::from(found == Some(true));
            found == Some(true)
        };
        for (of, signature) in signatures.iter().enumerate() {
            assert_eq!(
                agree(&message, signature),
                of == at,
                "{algorithm} and the signature of {}",
                signers[of].0
            );
        }
        for _ in 0..ROUNDS {
            let changed = input(&signatures, &mut numbers);
            let is_whole = changed == signatures[at];
            assert_eq!(agree(&message, &changed), is_whole, "{algorithm}");
            let other = input(std::slice::from_ref(&message), &mut numbers);
            assert_eq!(agree(&other, &signatures[at]), other == message, "{algorithm}");
        }
    }
    assert!(taken >= signers.len());
}
