//! The eleven PKIX algorithms: each verifies its own signatures and nobody else's.

mod support;

use aws_lc_rs::signature as lc;
use binauthz_core::attestation::{Rejected, verify};
use binauthz_core::key::{InvalidPublicKey, PkixKey, SignatureAlgorithm};
use binauthz_core::signature::{PAE_TYPE, pae};
use std::sync::OnceLock;
use support::{D1, NOW, Pair, attestor, claim, key, payload, rsa_key, verify_with};

fn ec_keys() -> &'static [Pair; 3] {
    static KEYS: OnceLock<[Pair; 3]> = OnceLock::new();
    KEYS.get_or_init(|| {
        [
            Pair::ec(&lc::ECDSA_P256_SHA256_ASN1_SIGNING),
            Pair::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING),
            Pair::ec(&lc::ECDSA_P521_SHA512_ASN1_SIGNING),
        ]
    })
}

fn pair(algorithm: SignatureAlgorithm) -> &'static Pair {
    use SignatureAlgorithm as A;
    match algorithm {
        A::RsaPss2048Sha256 | A::RsaPkcs1_2048Sha256 => rsa_key(2048),
        A::RsaPss3072Sha256 | A::RsaPkcs1_3072Sha256 => rsa_key(3072),
        A::RsaPss4096Sha256 | A::RsaPss4096Sha512 | A::RsaPkcs1_4096Sha256 | A::RsaPkcs1_4096Sha512 => {
            rsa_key(4096)
        }
        A::EcdsaP256Sha256 => &ec_keys()[0],
        A::EcdsaP384Sha384 => &ec_keys()[1],
        A::EcdsaP521Sha512 => &ec_keys()[2],
    }
}

fn sign(algorithm: SignatureAlgorithm, message: &[u8]) -> Vec<u8> {
    use SignatureAlgorithm as A;
    let pair = pair(algorithm);
    match algorithm {
        A::RsaPss2048Sha256 | A::RsaPss3072Sha256 | A::RsaPss4096Sha256 => {
            pair.sign_rsa(&lc::RSA_PSS_SHA256, message)
        }
        A::RsaPss4096Sha512 => pair.sign_rsa(&lc::RSA_PSS_SHA512, message),
        A::RsaPkcs1_2048Sha256 | A::RsaPkcs1_3072Sha256 | A::RsaPkcs1_4096Sha256 => {
            pair.sign_rsa(&lc::RSA_PKCS1_SHA256, message)
        }
        A::RsaPkcs1_4096Sha512 => pair.sign_rsa(&lc::RSA_PKCS1_SHA512, message),
        A::EcdsaP256Sha256 | A::EcdsaP384Sha384 | A::EcdsaP521Sha512 => pair.sign(message),
    }
}

fn algorithms() -> impl Iterator<Item = SignatureAlgorithm> {
    SignatureAlgorithm::TABLE.iter().map(|row| row.0)
}

fn public(algorithm: SignatureAlgorithm) -> PkixKey {
    key(&pair(algorithm).pem(), algorithm)
}

/// Every algorithm's signature before every algorithm's key: only the diagonal verifies. That is
/// wrong padding, wrong hash, wrong size and wrong key at once.
#[test]
fn only_its_own_signature_verifies() {
    let payload = payload(D1);
    for signer in algorithms() {
        let signature = sign(signer, &payload);
        for verifier in algorithms() {
            let found = verify_with(&public(verifier), &payload, &signature);
            assert_eq!(
                found.is_ok(),
                signer == verifier,
                "{signer} by {verifier}: {found:?}"
            );
        }
    }
}

#[test]
fn raw_and_the_one_pre_authentication_encoding_verify() {
    let payload = payload(D1);
    for algorithm in algorithms() {
        let key = public(algorithm);
        let verifies = |signed: &[u8]| verify_with(&key, &payload, &sign(algorithm, signed)).is_ok();
        assert!(verifies(&payload), "{algorithm} raw");
        assert!(verifies(&pae(PAE_TYPE, &payload)), "{algorithm} PAE");
        for wrong in [
            pae("application/vnd.in-toto+json", &payload),
            pae("", &payload),
            pae(PAE_TYPE, &pae(PAE_TYPE, &payload)),
            payload.trim_ascii_end().to_vec(),
            [&payload[..], b"\n"].concat(),
            Vec::new(),
        ] {
            assert!(
                !verifies(&wrong),
                "{algorithm} {}",
                String::from_utf8_lossy(&wrong)
            );
        }
    }
}

/// Flip every byte of the signature, the message and the key, for every algorithm.
#[test]
fn any_flipped_byte_is_refused() {
    let payload = payload(D1);
    for algorithm in algorithms() {
        let own = public(algorithm);
        let signature = sign(algorithm, &payload);
        for index in 0..signature.len() {
            let mut flipped = signature.clone();
            flipped[index] ^= 1;
            assert!(
                verify_with(&own, &payload, &flipped).is_err(),
                "{algorithm} signature {index}"
            );
        }
        for index in 0..payload.len() {
            let mut flipped = payload.clone();
            flipped[index] ^= 1;
            let found = verify_with(&own, &flipped, &signature);
            assert!(
                matches!(found, Err(Rejected::BadSignature(_))),
                "{algorithm} message {index}"
            );
        }
        for index in 0..own.der().len() {
            let mut flipped = own.der().to_vec();
            flipped[index] ^= 1;
            let other = PkixKey::from_pem(&support::pem(&flipped), algorithm);
            let found = other.map(|key| verify_with(&key, &payload, &signature).is_ok());
            assert_ne!(found, Ok(true), "{algorithm} key {index}");
        }
    }
}

#[test]
fn cut_and_padded_signatures_are_refused() {
    let payload = payload(D1);
    for algorithm in algorithms() {
        let own = public(algorithm);
        let signature = sign(algorithm, &payload);
        let cut = signature[..signature.len() - 1].to_vec();
        let behind = [&signature[..], &[0]].concat();
        let before = [&[0], &signature[..]].concat();
        for wrong in [
            cut,
            behind,
            before,
            Vec::new(),
            vec![0; signature.len()],
            vec![0xff; signature.len()],
        ] {
            assert!(
                verify_with(&own, &payload, &wrong).is_err(),
                "{algorithm} {}",
                wrong.len()
            );
        }
    }
}

#[test]
fn a_signature_of_fixed_length_or_another_hash_is_not_a_der_one() {
    let payload = payload(D1);
    let rows = [
        (
            SignatureAlgorithm::EcdsaP256Sha256,
            &lc::ECDSA_P256_SHA256_FIXED_SIGNING,
        ),
        (
            SignatureAlgorithm::EcdsaP384Sha384,
            &lc::ECDSA_P384_SHA384_FIXED_SIGNING,
        ),
        (
            SignatureAlgorithm::EcdsaP384Sha384,
            &lc::ECDSA_P384_SHA3_384_ASN1_SIGNING,
        ),
        (
            SignatureAlgorithm::EcdsaP521Sha512,
            &lc::ECDSA_P521_SHA512_FIXED_SIGNING,
        ),
        (
            SignatureAlgorithm::EcdsaP521Sha512,
            &lc::ECDSA_P521_SHA256_ASN1_SIGNING,
        ),
        (
            SignatureAlgorithm::EcdsaP521Sha512,
            &lc::ECDSA_P521_SHA384_ASN1_SIGNING,
        ),
    ];
    for (algorithm, signing) in rows {
        let pair = Pair::ec(signing);
        let own = key(&pair.pem(), algorithm);
        assert!(
            verify_with(&own, &payload, &pair.sign(&payload)).is_err(),
            "{algorithm}"
        );
    }
    for (algorithm, encoding) in [
        (SignatureAlgorithm::RsaPss4096Sha512, &lc::RSA_PSS_SHA384),
        (SignatureAlgorithm::RsaPss2048Sha256, &lc::RSA_PSS_SHA512),
        (SignatureAlgorithm::RsaPkcs1_4096Sha512, &lc::RSA_PKCS1_SHA384),
        (SignatureAlgorithm::RsaPkcs1_3072Sha256, &lc::RSA_PKCS1_SHA512),
    ] {
        let signature = pair(algorithm).sign_rsa(encoding, &payload);
        assert!(
            verify_with(&public(algorithm), &payload, &signature).is_err(),
            "{algorithm}"
        );
    }
}

#[test]
fn a_key_is_taken_only_for_what_it_is() {
    for pair_of in algorithms() {
        let pem = pair(pair_of).pem();
        for declared in algorithms() {
            let same = pair(pair_of).pem() == pair(declared).pem();
            let read = PkixKey::from_pem(&pem, declared);
            assert_eq!(read.is_ok(), same, "{pair_of} as {declared}: {read:?}");
            if !same {
                assert!(matches!(read, Err(InvalidPublicKey::Mismatch { .. })), "{read:?}");
            }
        }
    }
    let curve = Pair::ec(&lc::ECDSA_P256K1_SHA256_ASN1_SIGNING).pem();
    assert_eq!(
        PkixKey::from_pem(&curve, SignatureAlgorithm::EcdsaP256Sha256),
        Err(InvalidPublicKey::Spki)
    );
}

/// Ids are hints: they choose among the attestor's keys and authenticate nothing.
#[test]
fn an_id_never_lends_a_key() {
    let payload = payload(D1);
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
    let (mine, other) = (
        Pair::ec(&lc::ECDSA_P256_SHA256_ASN1_SIGNING),
        Pair::ec(&lc::ECDSA_P256_SHA256_ASN1_SIGNING),
    );
    let attestor = attestor(vec![
        ("mine", key(&mine.pem(), algorithm)),
        ("other", key(&other.pem(), algorithm)),
    ]);
    let rows = [
        ("mine", &mine, true),
        ("other", &other, true),
        ("mine", &other, false),
        ("other", &mine, false),
        ("third", &mine, false),
        ("", &mine, false),
        ("MINE", &mine, false),
    ];
    for (id, pair, good) in rows {
        let found = verify(&claim(&payload, id, &pair.sign(&payload)), &attestor, NOW);
        assert_eq!(found.is_ok(), good, "{id}: {found:?}");
    }
}
