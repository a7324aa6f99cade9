//! What a certificate says about its keys: which may sign, from when, until when, and which are revoked.

use super::Fault;
use super::packet::{self, Packet};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    PublicKey, PublicSubkey, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData,
};
use pgp::packet::{SignatureVersion, UserId};
use pgp::types::{
    EcdsaPublicParams, Ed25519PublicParams, EddsaLegacyPublicParams, KeyDetails, PublicParams,
    SignatureBytes, Tag,
};

/// Keys of a size or kind that forgeries are known for are refused: see [`is_strong`].
const MIN_RSA_BITS: usize = 2048;

/// A primary key with its sub-keys, every statement about them verified.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) primary: PublicKey,
    by_user: Vec<Binding>,
    direct: Vec<Binding>,
    revoked: bool,
    pub(super) subkeys: Vec<Subkey>,
}

#[derive(Clone, Debug)]
pub(super) struct Subkey {
    pub(super) key: PublicSubkey,
    bindings: Vec<Binding>,
    revoked: bool,
}

/// What one verified self-signature says. Times are seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Binding {
    created: u64,
    /// When the statement itself ends.
    ends: Option<u64>,
    /// When the key it is about ends.
    key_ends: Option<u64>,
    signs: Option<bool>,
}

/// A key that may sign at some time, and until when that stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) until: Option<u64>,
    signs: bool,
}

/// The earlier of two ends, where "none" is never.
pub(super) fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Keys {
    /// Reads the packets of one certificate. The error is a sentence for the person who gave it.
    pub(super) fn read(packets: &[Packet<'_>]) -> Result<Self, &'static str> {
        let (first, rest) = packets.split_first().ok_or("it is empty")?;
        if matches!(first.tag, packet::SECRET_KEY | packet::SECRET_SUBKEY) {
            return Err("it holds a secret key; give the public key (`gpg --armor --export`)");
        }
        if first.tag != packet::PUBLIC_KEY || first.body.first() != Some(&4) {
            return Err("expected a version 4 public key");
        }
        let primary = packet::public_key(&first.body).ok_or("its primary key is malformed")?;
        if !is_strong(primary.public_params()) {
            return Err(
                "its primary key is too weak or of an unknown kind; expected RSA of 2048 bits or more, Ed25519, or ECDSA on P-256, P-384 or P-521",
            );
        }
        let mut keys = Self {
            primary,
            by_user: Vec::new(),
            direct: Vec::new(),
            revoked: false,
            subkeys: Vec::new(),
        };
        let mut component = Component::Primary;
        for packet in rest {
            component = keys.take(component, packet)?;
        }
        keys.end_user(&component);
        if keys.by_user.is_empty() && keys.direct.is_empty() && !keys.revoked {
            return Err("it has no valid self-signature made with SHA-256, SHA-384 or SHA-512");
        }
        Ok(keys)
    }

    fn take(&mut self, component: Component, packet: &Packet<'_>) -> Result<Component, &'static str> {
        if packet.tag == packet::SIGNATURE {
            let mut component = component;
            self.take_signature(&mut component, &packet.body);
            return Ok(component);
        }
        match packet.tag {
            packet::MARKER | packet::TRUST | packet::PADDING => return Ok(component),
            packet::PUBLIC_KEY => return Err("it holds more than one key"),
            packet::SECRET_KEY | packet::SECRET_SUBKEY => return Err("it holds a secret key"),
            _ => {}
        }
        self.end_user(&component);
        Ok(match packet.tag {
            packet::USER_ID => match packet::user_id(&packet.body) {
                Some(id) => Component::User(Box::new(id), Vec::new(), false),
                None => Component::Skipped,
            },
            packet::USER_ATTRIBUTE => Component::Skipped,
            // A sub-key that cannot be read can never sign.
            packet::PUBLIC_SUBKEY => match packet::public_subkey(&packet.body) {
                Some(key) if packet.body.first() == Some(&4) && is_strong(key.public_params()) => {
                    self.subkeys.push(Subkey {
                        key,
                        bindings: Vec::new(),
                        revoked: false,
                    });
                    Component::Subkey
                }
                _ => Component::Skipped,
            },
            _ => return Err("it holds a packet that does not belong into a public key"),
        })
    }

    fn take_signature(&mut self, component: &mut Component, body: &[u8]) {
        // A revocation counts whether or not it verifies, and so does what might be one: whoever gives
        // us the certificate decides what stands in it, and the only harm of believing is a refusal.
        let revokes = claims_revocation(body);
        let signature = packet::signature(body).filter(is_sound);
        match component {
            Component::Skipped => {}
            Component::Primary if revokes => self.revoked = true,
            Component::Primary => self.direct.extend(signature.and_then(|s| self.direct(&s))),
            Component::User(_, _, withdrawn) if revokes => {
                *withdrawn |= signature.is_none_or(|s| is_issued_by(&s, &self.primary));
            }
            Component::User(id, bindings, _) => {
                bindings.extend(signature.and_then(|s| self.certification(&s, id)));
            }
            Component::Subkey => {
                let primary = &self.primary;
                if let Some(subkey) = self.subkeys.last_mut() {
                    subkey.revoked |= revokes;
                    let binding = signature.and_then(|s| subkey_binding(&s, primary, &subkey.key));
                    subkey.bindings.extend(binding);
                }
            }
        }
    }

    /// The self-certifications of a user id count unless the id is revoked.
    fn end_user(&mut self, component: &Component) {
        if let Component::User(_, bindings, false) = component {
            self.by_user.extend(bindings);
        }
    }

    fn direct(&self, signature: &Signature) -> Option<Binding> {
        (signature.typ() == Some(SignatureType::Key) && fits(signature, &self.primary)).then_some(())?;
        signature.verify_key(&self.primary).ok()?;
        Binding::read(signature, &self.primary)
    }

    fn certification(&self, signature: &Signature, id: &UserId) -> Option<Binding> {
        use SignatureType as T;
        let kinds = [T::CertGeneric, T::CertPersona, T::CertCasual, T::CertPositive];
        if !kinds.contains(&signature.typ()?) || !is_issued_by(signature, &self.primary) {
            return None;
        }
        fits(signature, &self.primary).then_some(())?;
        signature
            .verify_certification(&self.primary, Tag::UserId, id)
            .ok()?;
        Binding::read(signature, &self.primary)
    }

    /// Whether the primary key counts at `at`, and until when.
    pub(super) fn standing(&self, at: u64) -> Result<Standing, Fault> {
        if self.revoked {
            return Err(Fault::Revoked);
        }
        let users = latest(&self.by_user, at);
        let direct = latest(&self.direct, at);
        let all = || self.by_user.iter().chain(&self.direct);
        // Both kinds restrict; neither can widen what the other says.
        let binding = match (users, direct) {
            (Some(users), Some(direct)) => Some(users.and(direct)),
            (users, direct) => users.or(direct),
        };
        let created = seconds(&self.primary);
        binding.ok_or(Fault::Expired)?.standing(created, at, all())
    }

    /// Whether the primary key may sign at `at`.
    pub(super) fn signing(&self, at: u64) -> Result<Standing, Fault> {
        let standing = self.standing(at)?;
        if standing.signs {
            Ok(standing)
        } else {
            Err(Fault::CannotSign)
        }
    }

    /// Whether a sub-key may sign at `at`: it and the primary key count, and it was made for signing.
    pub(super) fn subkey_signing(&self, subkey: &Subkey, at: u64) -> Result<Standing, Fault> {
        let primary = self.standing(at)?;
        if subkey.revoked {
            return Err(Fault::Revoked);
        }
        if subkey.bindings.is_empty() {
            return Err(Fault::Unbound);
        }
        let binding = latest(&subkey.bindings, at).ok_or(Fault::Expired)?;
        let standing = binding.standing(seconds(&subkey.key), at, subkey.bindings.iter())?;
        if !standing.signs {
            return Err(Fault::CannotSign);
        }
        Ok(Standing {
            until: earlier(primary.until, standing.until),
            signs: true,
        })
    }
}

/// Where in a certificate we are. A user id keeps its bindings until its last signature was seen.
enum Component {
    Primary,
    User(Box<UserId>, Vec<Binding>, bool),
    Subkey,
    Skipped,
}

impl Binding {
    fn read(signature: &Signature, key: &impl KeyDetails) -> Option<Self> {
        let created = u64::from(signature.created()?.as_secs());
        let key_ends = signature
            .key_expiration_time()
            .map(|after| u64::from(after.as_secs()));
        let config = signature.config()?;
        let flags = config
            .hashed_subpackets()
            .any(|subpacket| matches!(subpacket.data, SubpacketData::KeyFlags(_)));
        Some(Self {
            created,
            ends: signature_end(signature),
            key_ends: key_ends
                .filter(|after| *after > 0)
                .map(|after| seconds(key) + after),
            signs: flags.then(|| signature.key_flags().sign()),
        })
    }

    /// What two statements that both hold allow.
    fn and(self, other: Self) -> Self {
        Self {
            created: self.created.max(other.created),
            ends: earlier(self.ends, other.ends),
            key_ends: earlier(self.key_ends, other.key_ends),
            signs: match (self.signs, other.signs) {
                (Some(one), Some(other)) => Some(one && other),
                (one, other) => one.or(other),
            },
        }
    }

    fn standing<'a>(
        self,
        key_created: u64,
        at: u64,
        all: impl Iterator<Item = &'a Self>,
    ) -> Result<Standing, Fault> {
        if at < key_created {
            return Err(Fault::BeforeKey);
        }
        if self.key_ends.is_some_and(|end| at >= end) {
            return Err(Fault::Expired);
        }
        // A statement dated ahead changes things when its time comes: what is proven holds until then.
        let next = all
            .map(|binding| binding.created)
            .filter(|created| *created > at)
            .min();
        Ok(Standing {
            until: earlier(earlier(self.key_ends, self.ends), next),
            signs: self.signs.unwrap_or(false),
        })
    }
}

/// The newest statement that holds at `at`; of several from one second, what all of them allow.
///
/// Before the first statement there is, that one holds: GnuPG replaces a self-signature when it
/// extends a key's life, and what was signed under the old one must not fall with it.
fn latest(bindings: &[Binding], at: u64) -> Option<Binding> {
    let first = bindings.iter().map(|binding| binding.created).min()?;
    let at = at.max(first);
    let holds = |binding: &&Binding| binding.created <= at && binding.ends.is_none_or(|end| at < end);
    let newest = bindings
        .iter()
        .filter(holds)
        .map(|binding| binding.created)
        .max()?;
    bindings
        .iter()
        .filter(|binding| holds(binding) && binding.created == newest)
        .copied()
        .reduce(Binding::and)
}

fn subkey_binding(signature: &Signature, primary: &PublicKey, subkey: &PublicSubkey) -> Option<Binding> {
    (signature.typ() == Some(SignatureType::SubkeyBinding) && fits(signature, primary)).then_some(())?;
    signature.verify_subkey_binding(primary, subkey).ok()?;
    let mut binding = Binding::read(signature, subkey)?;
    if binding.signs == Some(true) {
        // The sub-key must say in turn that it belongs to the primary key: without that, anybody could
        // claim another's signing key, and its signatures, as his own.
        let back = signature
            .embedded_signature()
            .filter(|back| is_sound(back) && fits(back, subkey))?;
        back.verify_primary_key_binding(subkey, primary).ok()?;
        binding.ends = earlier(binding.ends, signature_end(back));
        binding.created = binding.created.max(u64::from(back.created()?.as_secs()));
    }
    Some(binding)
}

/// When a signature itself ends, if it does.
pub(super) fn signature_end(signature: &Signature) -> Option<u64> {
    let after = signature.signature_expiration_time()?.as_secs();
    let created = signature.created()?.as_secs();
    (after > 0).then(|| u64::from(created) + u64::from(after))
}

pub(super) fn seconds(key: &impl KeyDetails) -> u64 {
    u64::from(key.created_at().as_secs())
}

/// Version 4, a hash of the SHA-2 family, one creation time, and nothing critical that we do not know.
pub(super) fn is_sound(signature: &Signature) -> bool {
    let Some(config) = signature.config() else {
        return false;
    };
    let sha2 = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ];
    signature.version() == SignatureVersion::V4
        && sha2.contains(&config.hash_alg)
        && count(config, |data| {
            matches!(data, SubpacketData::SignatureCreationTime(_))
        }) == 1
        && count(config, |data| {
            matches!(data, SubpacketData::SignatureExpirationTime(_))
        }) <= 1
        && count(config, |data| matches!(data, SubpacketData::KeyExpirationTime(_))) <= 1
        && count(config, |data| matches!(data, SubpacketData::KeyFlags(_))) <= 1
        && !config.hashed_subpackets().any(is_unknown_and_critical)
}

fn count(config: &SignatureConfig, kind: impl Fn(&SubpacketData) -> bool) -> usize {
    config
        .hashed_subpackets()
        .filter(|subpacket| kind(&subpacket.data))
        .count()
}

fn is_unknown_and_critical(subpacket: &Subpacket) -> bool {
    let unknown = matches!(
        subpacket.data,
        SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_)
    );
    subpacket.is_critical && unknown
}

/// Every issuer that a signature names, in either area, is this key; and it names one.
pub(super) fn is_issued_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let ids = signature.issuer_key_id();
    let fingerprints = signature.issuer_fingerprint();
    (!ids.is_empty() || !fingerprints.is_empty())
        && ids.into_iter().all(|id| *id == key.legacy_key_id())
        && fingerprints
            .into_iter()
            .all(|fingerprint| *fingerprint == key.fingerprint())
}

/// Whether the signature is of the key's own algorithm and, for Ed25519, commits to a point outside
/// the small subgroup. The library asks for neither; it does ask that the point is written in the one
/// canonical way, for it compares the bytes.
pub(super) fn fits(signature: &Signature, key: &impl KeyDetails) -> bool {
    let algorithm = key.algorithm();
    let same = signature
        .config()
        .is_some_and(|config| config.pub_alg == algorithm);
    let is_ed25519 = matches!(
        algorithm,
        PublicKeyAlgorithm::EdDSALegacy | PublicKeyAlgorithm::Ed25519
    );
    let commits = || {
        let point = signature.signature().and_then(first_point)?;
        // A public key is such a point too, which lends its reader.
        let point = Ed25519PublicParams::try_from_reader(point.as_slice()).ok()?;
        Some(!point.key.is_weak())
    };
    same && (!is_ed25519 || commits().unwrap_or(false))
}

/// The first half of an Ed25519 signature. As an integer it is written without its leading zeros.
fn first_point(signature: &SignatureBytes) -> Option<[u8; 32]> {
    let mut point = [0; 32];
    match signature {
        SignatureBytes::Mpis(integers) => {
            let written = integers.first()?.as_ref();
            let zeros = point.len().checked_sub(written.len())?;
            point.get_mut(zeros..)?.copy_from_slice(written);
        }
        SignatureBytes::Native(bytes) => point.copy_from_slice(bytes.get(..32)?),
    }
    Some(point)
}

/// Whether a signature packet is a revocation, or of a version whose meaning we cannot read.
fn claims_revocation(body: &[u8]) -> bool {
    let kind = match body.first() {
        Some(2 | 3) => body.get(2),
        Some(4) => body.get(1),
        _ => None,
    };
    // Key, sub-key and certification revocation.
    kind.is_none_or(|kind| matches!(kind, 0x20 | 0x28 | 0x30))
}

/// RSA of 2048 bits or more with an odd exponent of at least 65537, Ed25519 outside the small
/// subgroup, or ECDSA on a NIST curve.
fn is_strong(parameters: &PublicParams) -> bool {
    use pgp::ser::Serialize;
    match parameters {
        PublicParams::RSA(_) => {
            let mut written = Vec::new();
            parameters.to_writer(&mut written).is_ok() && is_strong_rsa(&written).unwrap_or(false)
        }
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { key }) => !key.is_weak(),
        PublicParams::Ed25519(parameters) => !parameters.key.is_weak(),
        PublicParams::ECDSA(parameters) => matches!(
            parameters,
            EcdsaPublicParams::P256 { .. } | EcdsaPublicParams::P384 { .. } | EcdsaPublicParams::P521 { .. }
        ),
        _ => false,
    }
}

/// Modulus and exponent as OpenPGP writes them: a bit count of two bytes before each.
fn is_strong_rsa(written: &[u8]) -> Option<bool> {
    let (bits, rest) = written.split_first_chunk::<2>()?;
    let modulus_bits = usize::from(u16::from_be_bytes(*bits));
    let (_, rest) = rest.split_at_checked(modulus_bits.div_ceil(8))?;
    let (_, exponent) = rest.split_first_chunk::<2>()?;
    if exponent.len() > 8 {
        return None;
    }
    let exponent = exponent
        .iter()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    Some(modulus_bits >= MIN_RSA_BITS && exponent >= 65537 && exponent % 2 == 1)
}
