//! Ed25519 in OpenPGP at its edges: points of small order, as keys and in signatures, and signatures
//! that declare another algorithm than their key's. The library takes all of them; we do not.

mod support;

use aws_lc_rs::digest;
use binauthz_core::attestation::{Rejected, verify};
use binauthz_core::attestor::{Attestor, AttestorKey};
use binauthz_core::key::PublicKey as AttestorPublicKey;
use binauthz_core::signature::pgp::{Certificate, Fault};
use pgp::crypto::Signer as _;
use pgp::crypto::ed25519::{Mode, SecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::errors::Result as PgpResult;
use pgp::packet::{
    KeyFlags, PacketHeader, PacketTrait, PublicKey, PublicSubkey, Signature, SignatureConfig, SignatureType,
    Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, PacketHeaderVersion, Password, PublicParams,
    SignatureBytes, SigningKey, Tag, Timestamp,
};
use support::{D1, NOTE, NOW, armor, claim};

/// 2026-01-01T00:00:00Z.
const MADE: u32 = 1_767_225_600;

/// The two ways OpenPGP writes an Ed25519 key: as an integer (22), and as it is (27).
const MODES: [Mode; 2] = [Mode::EdDSALegacy, Mode::Ed25519];

const IDENTITY: [u8; 32] = point("0100000000000000000000000000000000000000000000000000000000000000");
/// 1 + p: the identity in another spelling.
const IDENTITY_UNREDUCED: [u8; 32] =
    point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");

/// The points of order 1, 2, 4 and 8, and their spellings with unreduced coordinates or a sign that means nothing.
#[rustfmt::skip] // A table.
const SMALL_ORDER: [[u8; 32]; 14] = [
    IDENTITY,
    point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    point("0000000000000000000000000000000000000000000000000000000000000000"),
    point("0000000000000000000000000000000000000000000000000000000000000080"),
    point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    point("0100000000000000000000000000000000000000000000000000000000000080"),
    point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    IDENTITY_UNREDUCED,
    point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
];

const fn point(text: &str) -> [u8; 32] {
    const fn digit(digit: u8) -> u8 {
        if digit.is_ascii_digit() {
            digit - b'0'
        } else {
            digit - b'a' + 10
        }
    }
    let text = text.as_bytes();
    let mut bytes = [0; 32];
    let mut index = 0;
    while index < 32 {
        bytes[index] = digit(text[2 * index]) << 4 | digit(text[2 * index + 1]);
        index += 1;
    }
    bytes
}

/// How a key makes its signatures.
#[derive(Clone, Copy, Debug)]
enum Hand {
    /// As it should be.
    Proper([u8; 32]),
    /// With a nonce of zero: the commitment is the identity, in this spelling.
    NoNonce([u8; 32], [u8; 32]),
    /// Without a secret: the key is this point, and the signature is the identity and zero.
    Nobody([u8; 32]),
}

impl Hand {
    fn secret(self) -> Option<SecretKey> {
        match self {
            Self::Proper(seed) | Self::NoNonce(seed, _) => {
                Some(SecretKey::try_from_bytes(seed, Mode::Ed25519).unwrap())
            }
            Self::Nobody(_) => None,
        }
    }

    fn public(self) -> [u8; 32] {
        match (self, self.secret()) {
            (Self::Nobody(point), _) => point,
            (_, secret) => secret.unwrap().verifying_key().to_bytes(),
        }
    }

    fn sign(self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        match self {
            Self::Proper(seed) => {
                let secret = SecretKey::try_from_bytes(seed, Mode::Ed25519).unwrap();
                let SignatureBytes::Native(made) = secret.sign(HashAlgorithm::Sha512, message).unwrap()
                else {
                    panic!("not in the native form")
                };
                bytes.copy_from_slice(&made);
            }
            Self::NoNonce(_, commitment) => {
                bytes[..32].copy_from_slice(&commitment);
                let hashed = [&commitment[..], &self.public(), message].concat();
                let challenge = digest::digest(&digest::SHA512, &hashed);
                let scalar = self.secret().unwrap().to_scalar();
                let one = scalar.invert() * scalar;
                // The challenge is a number of 64 bytes, the least of them first.
                let minus_one = -one;
                let mut reduced = one + minus_one;
                for bit in (0..512).rev() {
                    reduced += reduced;
                    if challenge.as_ref()[bit / 8] >> (bit % 8) & 1 == 1 {
                        reduced += one;
                    }
                }
                bytes[32..].copy_from_slice((reduced * scalar).as_bytes());
            }
            Self::Nobody(_) => bytes[..32].copy_from_slice(&IDENTITY),
        }
        bytes
    }
}

/// A key of a certificate, and what makes its signatures.
#[derive(Debug)]
struct Key<P> {
    public: P,
    mode: Mode,
    hand: Hand,
}

fn algorithm(mode: Mode) -> PublicKeyAlgorithm {
    match mode {
        Mode::EdDSALegacy => PublicKeyAlgorithm::EdDSALegacy,
        Mode::Ed25519 => PublicKeyAlgorithm::Ed25519,
    }
}

/// The body of a version 4 key packet.
fn body(mode: Mode, point: [u8; 32]) -> Vec<u8> {
    let mut body = vec![4];
    body.extend(MADE.to_be_bytes());
    body.push(algorithm(mode).into());
    if mode == Mode::EdDSALegacy {
        // The curve, and 263 bits: 0x40 and the point.
        body.extend([9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1, 1, 7, 0x40]);
    }
    body.extend(point);
    body
}

fn primary(mode: Mode, hand: Hand) -> Key<PublicKey> {
    let body = body(mode, hand.public());
    let header = PacketHeader::new_fixed(Tag::PublicKey, u32::try_from(body.len()).unwrap());
    Key {
        public: PublicKey::try_from_reader(header, body.as_slice()).unwrap(),
        mode,
        hand,
    }
}

fn subkey(mode: Mode, hand: Hand) -> Key<PublicSubkey> {
    let body = body(mode, hand.public());
    let header = PacketHeader::new_fixed(Tag::PublicSubkey, u32::try_from(body.len()).unwrap());
    Key {
        public: PublicSubkey::try_from_reader(header, body.as_slice()).unwrap(),
        mode,
        hand,
    }
}

impl<P: KeyDetails> KeyDetails for Key<P> {
    fn version(&self) -> KeyVersion {
        self.public.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.public.legacy_key_id()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.public.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.public.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        None
    }

    fn public_params(&self) -> &PublicParams {
        self.public.public_params()
    }
}

impl<P: KeyDetails> SigningKey for Key<P> {
    fn sign(&self, _: &Password, _: HashAlgorithm, message: &[u8]) -> PgpResult<SignatureBytes> {
        let bytes = self.hand.sign(message);
        Ok(match self.mode {
            Mode::EdDSALegacy => {
                SignatureBytes::Mpis(vec![Mpi::from_slice(&bytes[..32]), Mpi::from_slice(&bytes[32..])])
            }
            Mode::Ed25519 => SignatureBytes::Native(bytes.to_vec().into()),
        })
    }

    fn hash_alg(&self) -> HashAlgorithm {
        HashAlgorithm::Sha512
    }
}

fn config(kind: SignatureType, issuer: &impl KeyDetails, more: Vec<SubpacketData>) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, issuer.algorithm(), HashAlgorithm::Sha512);
    let common = [
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(MADE)),
        SubpacketData::IssuerFingerprint(issuer.fingerprint()),
    ];
    config.hashed_subpackets = common
        .into_iter()
        .chain(more)
        .map(|data| Subpacket::regular(data).unwrap())
        .collect();
    config
}

fn signing() -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    SubpacketData::KeyFlags(flags)
}

/// An armored certificate: a primary key, a user id with its self-signature, and perhaps a sub-key.
fn certificate(primary: &Key<PublicKey>, subkey: Option<&Key<PublicSubkey>>) -> String {
    let user = UserId::from_str(PacketHeaderVersion::New, "a@pgp.test").unwrap();
    let certified = config(SignatureType::CertPositive, primary, vec![signing()])
        .sign_certification(primary, &primary.public, &Password::empty(), Tag::UserId, &user)
        .unwrap();
    let mut bytes = Vec::new();
    primary.public.to_writer_with_header(&mut bytes).unwrap();
    user.to_writer_with_header(&mut bytes).unwrap();
    certified.to_writer_with_header(&mut bytes).unwrap();
    if let Some(subkey) = subkey {
        let back = config(SignatureType::KeyBinding, subkey, Vec::new())
            .sign_primary_key_binding(subkey, &subkey.public, &Password::empty(), &primary.public)
            .unwrap();
        let more = vec![signing(), SubpacketData::EmbeddedSignature(Box::new(back))];
        let bound = config(SignatureType::SubkeyBinding, primary, more)
            .sign_subkey_binding(primary, &primary.public, &Password::empty(), &subkey.public)
            .unwrap();
        subkey.public.to_writer_with_header(&mut bytes).unwrap();
        bound.to_writer_with_header(&mut bytes).unwrap();
    }
    armor("PUBLIC KEY BLOCK", &bytes)
}

fn payload() -> Vec<u8> {
    support::payload(D1)
}

fn signature<P: KeyDetails>(key: &Key<P>) -> Signature {
    config(SignatureType::Binary, key, Vec::new())
        .sign(key, &Password::empty(), payload().as_slice())
        .unwrap()
}

/// What becomes of a detached signature under a certificate.
fn judged(certificate: Certificate, signature: &Signature) -> Result<(), Fault> {
    let key = AttestorKey::new("", "", AttestorPublicKey::Pgp(Box::new(certificate)));
    let id = key.id().to_owned();
    let name = "projects/p/attestors/a".parse().unwrap();
    let attestor = Attestor::new(name, NOTE.parse().unwrap(), vec![key], 1).unwrap();
    let mut bytes = Vec::new();
    signature.to_writer_with_header(&mut bytes).unwrap();
    match verify(&claim(&payload(), &id, &bytes), &attestor, NOW) {
        Ok(_) => Ok(()),
        Err(Rejected::Pgp { fault, .. }) => Err(fault),
        Err(other) => panic!("{other}"),
    }
}

fn refused(certificate: &str) -> String {
    Certificate::from_armored(certificate).unwrap_err().to_string()
}

const PROPER: Hand = Hand::Proper([7; 32]);

#[test]
fn proper_keys_of_both_kinds_sign() {
    for mode in MODES {
        let primary = primary(mode, PROPER);
        let other = subkey(mode, Hand::Proper([8; 32]));
        let certificate = Certificate::from_armored(&certificate(&primary, Some(&other))).unwrap();
        assert_eq!(
            judged(certificate.clone(), &signature(&primary)),
            Ok(()),
            "{mode:?}"
        );
        assert_eq!(judged(certificate, &signature(&other)), Ok(()), "{mode:?}");
    }
}

/// Under the identity as a key, one signature is good for every text. That the library says so is why
/// such a key may not come in.
#[test]
fn a_primary_key_of_small_order_is_refused() {
    for mode in MODES {
        for point in SMALL_ORDER {
            let forged = primary(mode, Hand::Nobody(point));
            let why = refused(&certificate(&forged, None));
            assert!(
                why.contains("primary key is too weak"),
                "{mode:?} {point:x?}: {why}"
            );
        }
        let forged = primary(mode, Hand::Nobody(IDENTITY));
        assert!(
            signature(&forged)
                .verify(&forged.public, payload().as_slice())
                .is_ok()
        );
    }
}

#[test]
fn a_sub_key_of_small_order_never_signs() {
    for mode in MODES {
        let primary = primary(mode, PROPER);
        for point in SMALL_ORDER {
            let forged = subkey(mode, Hand::Nobody(point));
            let certificate = Certificate::from_armored(&certificate(&primary, Some(&forged))).unwrap();
            assert_eq!(
                judged(certificate.clone(), &signature(&forged)),
                Err(Fault::OtherKey),
                "{mode:?} {point:x?}"
            );
            assert_eq!(
                judged(certificate, &signature(&primary)),
                Ok(()),
                "{mode:?} {point:x?}"
            );
        }
    }
}

#[test]
fn a_commitment_of_small_order_is_refused() {
    for mode in MODES {
        let proper = primary(mode, PROPER);
        let trusted = Certificate::from_armored(&certificate(&proper, None)).unwrap();
        let careless = primary(mode, Hand::NoNonce([7; 32], IDENTITY));
        let made = signature(&careless);
        assert!(
            made.verify(&proper.public, payload().as_slice()).is_ok(),
            "{mode:?}"
        );
        assert_eq!(judged(trusted.clone(), &made), Err(Fault::Bad), "{mode:?}");
        // In another spelling the library refuses it too.
        let unreduced = signature(&primary(mode, Hand::NoNonce([7; 32], IDENTITY_UNREDUCED)));
        assert!(
            unreduced.verify(&proper.public, payload().as_slice()).is_err(),
            "{mode:?}"
        );
        assert_eq!(judged(trusted, &unreduced), Err(Fault::Bad), "{mode:?}");
        // What a certificate says of itself must be signed properly as well.
        let why = refused(&certificate(&careless, None));
        assert!(why.contains("no valid self-signature"), "{mode:?}: {why}");
        let loose = subkey(mode, Hand::NoNonce([8; 32], IDENTITY));
        let certificate = Certificate::from_armored(&certificate(&proper, Some(&loose))).unwrap();
        let by_subkey = signature(&subkey(mode, Hand::Proper([8; 32])));
        assert_eq!(judged(certificate, &by_subkey), Err(Fault::Unbound), "{mode:?}");
    }
}

/// The algorithm is the key's. An Ed25519 signature that calls itself ECDSA has the same two integers.
#[test]
fn a_signature_of_another_declared_algorithm_is_refused() {
    let key = primary(Mode::EdDSALegacy, PROPER);
    let trusted = Certificate::from_armored(&certificate(&key, None)).unwrap();
    for (declared, expected) in [
        (PublicKeyAlgorithm::EdDSALegacy, Ok(())),
        (PublicKeyAlgorithm::ECDSA, Err(Fault::Bad)),
        (PublicKeyAlgorithm::DSA, Err(Fault::Bad)),
    ] {
        let mut config = config(SignatureType::Binary, &key, Vec::new());
        config.pub_alg = declared;
        let made = config
            .sign(&key, &Password::empty(), payload().as_slice())
            .unwrap();
        assert!(
            made.verify(&key.public, payload().as_slice()).is_ok(),
            "{declared:?}"
        );
        assert_eq!(judged(trusted.clone(), &made), expected, "{declared:?}");
    }
}
