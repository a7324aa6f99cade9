//! Keys that sign, for the tests; the library itself can only verify.
#![allow(dead_code, reason = "every test uses its part of this")]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RsaSignatureEncoding};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use binauthz_core::attestation::{Attestation, Rejected, Signature, VerifiedAttestation, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::image::{Digest, ImageRef, PinnedImage};
use binauthz_core::key::{PkixKey, PublicKey, SignatureAlgorithm};
use binauthz_core::time::UnixTime;
use std::sync::OnceLock;

/// 2026-09-01T00:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_788_220_800);
pub(crate) const D1: &str = "sha256:ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";
pub(crate) const D2: &str = "sha256:97990b16df225e1c8ce8ef761d9ba937ba60d163374706526e7a0cc7cb3d2e2d";
pub(crate) const NOTE: &str = "projects/p/notes/n";

/// A key pair of the test's own.
pub(crate) enum Pair {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
}

impl Pair {
    pub(crate) fn rsa(size: KeySize) -> Self {
        Self::Rsa(rsa::KeyPair::generate(size).unwrap())
    }

    pub(crate) fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        match self {
            Self::Rsa(pair) => pem(pair.public_key().as_der().unwrap().as_ref()),
            Self::Ec(pair) => pem(pair.public_key().as_der().unwrap().as_ref()),
        }
    }

    /// An ECDSA signature; an RSA one is made with [`Pair::sign_rsa`].
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ec(pair) => pair
                .sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Rsa(_) => self.sign_rsa(&signature::RSA_PKCS1_SHA256, message),
        }
    }

    pub(crate) fn sign_rsa(&self, encoding: &'static RsaSignatureEncoding, message: &[u8]) -> Vec<u8> {
        let Self::Rsa(pair) = self else {
            panic!("not an RSA key")
        };
        let mut bytes = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut bytes)
            .unwrap();
        bytes
    }
}

/// A PEM block as OpenSSL writes it.
pub(crate) fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}

/// A block of OpenPGP's armor, without a checksum.
pub(crate) fn armor(label: &str, bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    format!("-----BEGIN PGP {label}-----\n\n{encoded}\n-----END PGP {label}-----\n")
}

/// The same three RSA keys for a whole test run: making the large one takes a second or two.
pub(crate) fn rsa_key(bits: usize) -> &'static Pair {
    static KEYS: [OnceLock<Pair>; 3] = [const { OnceLock::new() }; 3];
    match bits {
        2048 => KEYS[0].get_or_init(|| Pair::rsa(KeySize::Rsa2048)),
        3072 => KEYS[1].get_or_init(|| Pair::rsa(KeySize::Rsa3072)),
        _ => KEYS[2].get_or_init(|| Pair::rsa(KeySize::Rsa4096)),
    }
}

/// An attestor of project `p` with PKIX keys.
pub(crate) fn attestor(keys: Vec<(&str, PkixKey)>) -> Attestor {
    let keys = keys
        .into_iter()
        .map(|(id, key)| AttestorKey::new(id, "", PublicKey::Pkix(key)))
        .collect();
    Attestor::new(
        "projects/p/attestors/a".parse().unwrap(),
        NOTE.parse().unwrap(),
        keys,
        1,
    )
    .unwrap()
}

/// An attestation on the attestor's note with one signature.
pub(crate) fn claim(payload: &[u8], key_id: &str, signature: &[u8]) -> Attestation {
    let signature = Signature {
        key_id: key_id.to_owned(),
        bytes: signature.to_vec(),
    };
    Attestation::claimed(
        "projects/p/occurrences/o".parse().unwrap(),
        NOTE.parse().unwrap(),
        payload.to_vec(),
        vec![signature],
    )
}

/// Verifies one signature by one key, with the key's own id.
pub(crate) fn verify_with(
    key: &PkixKey,
    payload: &[u8],
    signature: &[u8],
) -> Result<VerifiedAttestation, Rejected> {
    let id = key.default_id();
    verify(
        &claim(payload, &id, signature),
        &attestor(vec![("", key.clone())]),
        NOW,
    )
}

pub(crate) fn key(pem: &str, algorithm: SignatureAlgorithm) -> PkixKey {
    PkixKey::from_pem(pem, algorithm).unwrap()
}

pub(crate) fn pinned(text: &str) -> PinnedImage {
    match text.parse().unwrap() {
        ImageRef::Pinned(image) => image,
        ImageRef::Tagged(image) => panic!("`{}` is not pinned", image.as_written()),
    }
}

pub(crate) fn payload(digest: &str) -> Vec<u8> {
    let digest: Digest = digest.parse().unwrap();
    binauthz_core::payload::build("registry.test/app/web", &digest)
}
