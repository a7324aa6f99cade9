//! OpenPGP signatures, as `gpg --armor --sign`, `gpg --clearsign` and `gpg --detach-sign` make them.
//!
//! The library does the mathematics and reads single packets. What a message and a certificate may
//! look like is decided here, and it is little: version 4, SHA-2, one signature, nothing around it.
//! The bytes that are checked are the stored payload's; what a message carries besides must equal them.

mod armor;
mod certificate;
mod message;
mod packet;

use super::Good;
use crate::key::InvalidPublicKey;
use crate::time::UnixTime;
use armor::{Label, dearmor};
use certificate::{Keys, Standing, earlier, fits, is_issued_by, is_sound, seconds, signature_end};
use pgp::packet::{Signature, SubpacketData};
use pgp::types::{KeyDetails, VerifyingKey};
use std::fmt;

/// Longest armored certificate accepted: room for many sub-keys, none for a key-server dump.
pub const MAX_ARMOR_LEN: usize = 64 * 1024;

/// Why an OpenPGP signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not one of the three shapes, or not to the last byte.
    #[error("it is not a well-formed signed message, clear-signed message or detached signature")]
    Malformed,
    /// Several signatures or none, or several texts.
    #[error("it does not hold exactly one signature")]
    NotOneSignature,
    /// A signature of a type that does not belong to its shape.
    #[error("its signature is of a type that does not sign data of this form")]
    OtherType,
    /// The message is about another text than the stored payload.
    #[error("the text it signs is not the attestation's payload")]
    OtherText,
    /// SHA-1, an old version, or something critical that is unknown.
    #[error("its signature is not a version 4 signature with SHA-256, SHA-384 or SHA-512")]
    Unsound,
    /// No key of the certificate made it.
    #[error("it was made by another key")]
    OtherKey,
    /// The mathematics say no.
    #[error("it does not verify")]
    Bad,
    /// The key may not sign.
    #[error("the key that made it is not for signing")]
    CannotSign,
    /// No valid binding signature ties the sub-key to the primary key.
    #[error("the sub-key that made it is not bound to the primary key")]
    Unbound,
    /// The key was revoked.
    #[error("the key that made it is revoked")]
    Revoked,
    /// The key was expired when it signed, or is now.
    #[error("the key that made it is expired")]
    Expired,
    /// The signature is older than the key.
    #[error("it is dated before the key that made it")]
    BeforeKey,
    /// The signature is from the future.
    #[error("it is dated in the future")]
    InFuture,
    /// The signature's own time is over.
    #[error("it is expired")]
    SignatureExpired,
}

/// One OpenPGP certificate: a primary key and its sub-keys.
#[derive(Clone)]
pub struct Certificate {
    armored: Box<str>,
    fingerprint: String,
    keys: Keys,
}

impl Certificate {
    /// Reads one armored public key block: a version 4 primary key with at least one valid
    /// self-signature, no secrets, nothing else.
    ///
    /// An expired or revoked certificate can be read, for that is how one is withdrawn; it verifies nothing.
    pub fn from_armored(text: &str) -> Result<Self, InvalidPublicKey> {
        let bad = |why: &str| InvalidPublicKey::Pgp(why.to_owned());
        if text.len() > MAX_ARMOR_LEN {
            return Err(bad("the armored block is too long"));
        }
        if text.contains("PRIVATE KEY BLOCK") {
            return Err(bad(
                "it holds a secret key; give the public key (`gpg --armor --export`)",
            ));
        }
        let bytes = dearmor(text, Label::PublicKey)
            .ok_or_else(|| bad("expected exactly one armored public key block"))?;
        let packets = packet::split(&bytes).ok_or_else(|| bad("its packets are malformed"))?;
        let keys = Keys::read(&packets).map_err(bad)?;
        let fingerprint = hex::encode_upper(keys.primary.fingerprint().as_bytes());
        Ok(Self {
            armored: text.into(),
            fingerprint,
            keys,
        })
    }

    /// The armored text as it was given.
    pub fn armored(&self) -> &str {
        &self.armored
    }

    /// The primary key's fingerprint in upper-case hexadecimal; also the key's id.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Checks `message` (a signature as stored) against `payload`.
    pub(crate) fn verify(&self, payload: &[u8], message: &[u8], now: UnixTime) -> Result<Good, Fault> {
        let claim = message::read(message, payload)?;
        let signature = &claim.signature;
        if !is_sound(signature) || has_loose_parts(signature) {
            return Err(Fault::Unsound);
        }
        let now = u64::try_from(now.as_seconds()).map_err(|_| Fault::InFuture)?;
        let signed_at = u64::from(signature.created().ok_or(Fault::Unsound)?.as_secs());
        let (created, standing) = self.check(&claim, signed_at, now)?;
        if signed_at < created {
            return Err(Fault::BeforeKey);
        }
        if signed_at > now {
            return Err(Fault::InFuture);
        }
        let end = signature_end(signature);
        if end.is_some_and(|end| now >= end) {
            return Err(Fault::SignatureExpired);
        }
        let until = earlier(standing.until, end)
            .map(|end| UnixTime::from_seconds(i64::try_from(end).unwrap_or(i64::MAX)));
        Ok(Good { until })
    }

    /// The key that made the signature: it verifies, and it stood both when it was made and now.
    fn check(&self, claim: &message::Claim<'_>, signed_at: u64, now: u64) -> Result<(u64, Standing), Fault> {
        let signature = &claim.signature;
        let keys = &self.keys;
        if is_issued_by(signature, &keys.primary) {
            verifies(claim, &keys.primary)?;
            keys.signing(signed_at)?;
            return Ok((seconds(&keys.primary), keys.signing(now)?));
        }
        let subkey = keys
            .subkeys
            .iter()
            .find(|subkey| is_issued_by(signature, &subkey.key))
            .ok_or(Fault::OtherKey)?;
        verifies(claim, &subkey.key)?;
        keys.subkey_signing(subkey, signed_at)?;
        Ok((seconds(&subkey.key), keys.subkey_signing(subkey, now)?))
    }
}

fn verifies(claim: &message::Claim<'_>, key: &impl VerifyingKey) -> Result<(), Fault> {
    if !fits(&claim.signature, key) {
        return Err(Fault::Bad);
    }
    let verified = claim.signature.verify(key, claim.signed);
    verified.map_err(|_| Fault::Bad)
}

/// The unsigned part of a data signature has room for naming its issuer and for nothing else.
fn has_loose_parts(signature: &Signature) -> bool {
    let Some(config) = signature.config() else {
        return true;
    };
    config.unhashed_subpackets().any(|subpacket| {
        !matches!(
            subpacket.data,
            SubpacketData::IssuerKeyId(_) | SubpacketData::IssuerFingerprint(_)
        )
    })
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.armored == other.armored
    }
}

impl Eq for Certificate {}
