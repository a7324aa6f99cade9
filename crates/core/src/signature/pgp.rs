//! OpenPGP signatures: attached (`gpg --armor --sign`), clear-signed (`gpg --clearsign`) and detached.
//!
//! Exactly one signature over exactly the stored payload, by the primary key or a bound sub-key that may sign, with
//! SHA-2, made and judged while the key is neither expired nor revoked.

use std::fmt;
use std::io::Read as _;

use pgp::composed::{
    CleartextSignedMessage, Deserializable, DetachedSignature, Message, SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, KeyVersion, Tag, VerifyingKey};

use super::Good;
use crate::key::InvalidPublicKey;
use crate::payload::MAX_PAYLOAD_LEN;
use crate::time::UnixTime;

/// Longest armored certificate accepted: room for many sub-keys, none for a key-server dump.
pub const MAX_ARMOR_LEN: usize = 64 * 1024;
/// Most sub-keys looked at.
const MAX_SUBKEYS: usize = 16;
/// How far a signer's clock may be ahead of ours.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// One OpenPGP certificate: a primary key and its sub-keys, their bindings verified.
#[derive(Clone)]
pub struct Certificate {
    armored: Box<str>,
    fingerprint: String,
    key: SignedPublicKey,
}

impl Certificate {
    /// Reads one armored public key block of version 4.
    pub fn from_armored(text: &str) -> Result<Self, InvalidPublicKey> {
        let bad = |why: &str| InvalidPublicKey::Pgp(why.to_owned());
        let block = text.trim();
        if text.len() > MAX_ARMOR_LEN {
            return Err(bad("the armored block is too long"));
        }
        let one = block.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----")
            && block.ends_with("-----END PGP PUBLIC KEY BLOCK-----")
            && block.matches("-----BEGIN").count() == 1;
        if !one {
            return Err(bad("expected one armored public key block"));
        }
        let (keys, _headers) = SignedPublicKey::from_string_many(block)
            .map_err(|_| bad("expected one armored public key block"))?;
        let mut keys: Vec<SignedPublicKey> = keys
            .collect::<Result<_, _>>()
            .map_err(|_| bad("the key block is malformed"))?;
        let key = keys
            .pop()
            .filter(|_| keys.is_empty())
            .ok_or_else(|| bad("expected exactly one key in the block"))?;
        if key.primary_key.version() != KeyVersion::V4 {
            return Err(bad("only version 4 keys are supported"));
        }
        if key.public_subkeys.len() > MAX_SUBKEYS {
            return Err(bad("too many sub-keys"));
        }
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
    pub(crate) fn verify(&self, payload: &[u8], message: &[u8], now: UnixTime) -> Option<Good> {
        let primary = self.primary(now)?;
        if let Some(signature) = verified(payload, message, &self.key.primary_key)
            && primary.may_sign
        {
            return primary.validity.admit(&signature, now);
        }
        self.key.public_subkeys.iter().find_map(|subkey| {
            let validity = self.bound(subkey, now)?;
            let signature = verified(payload, message, &subkey.key)?;
            let good = validity.admit(&signature, now)?;
            // A sub-key is worth nothing beyond its primary key.
            let primary = primary.validity.admit(&signature, now)?;
            Some(Good {
                until: earlier(good.until, primary.until),
            })
        })
    }

    /// The primary key by its newest self-signature; nothing if it is revoked, expired or not bound to anybody.
    fn primary(&self, now: UnixTime) -> Option<Primary> {
        if !self.key.details.revocation_signatures.is_empty() {
            return None;
        }
        let key = &self.key.primary_key;
        let of_users = self.key.details.users.iter().flat_map(|user| {
            let own = move |signature: &&Signature| {
                signature.verify_certification(key, Tag::UserId, &user.id).is_ok()
            };
            let revoked = user
                .signatures
                .iter()
                .filter(|signature| signature.typ() == Some(SignatureType::CertRevocation))
                .any(|signature| own(&signature));
            user.signatures
                .iter()
                .filter(move |signature| !revoked && signature.is_certification() && own(signature))
        });
        let direct = self
            .key
            .details
            .direct_signatures
            .iter()
            .filter(|signature| signature.verify_key(key).is_ok());
        let newest = of_users
            .chain(direct)
            .filter(|signature| is_sha2(signature))
            .max_by_key(|signature| created(signature))?;
        let flags = newest.key_flags();
        let validity = Validity::of(seconds_of(key), newest, now)?;
        Some(Primary {
            validity,
            may_sign: flags.sign(),
        })
    }

    /// How long a sub-key is valid; nothing if it may not sign, is not bound both ways, or is revoked.
    fn bound(&self, subkey: &SignedPublicSubKey, now: UnixTime) -> Option<Validity> {
        let primary = &self.key.primary_key;
        let revoked = subkey
            .signatures
            .iter()
            .any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
        if revoked {
            return None;
        }
        let newest = subkey
            .signatures
            .iter()
            .filter(|signature| signature.typ() == Some(SignatureType::SubkeyBinding) && is_sha2(signature))
            .filter(|signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok())
            .max_by_key(|signature| created(signature))?;
        let back = newest.embedded_signature().filter(|back| is_sha2(back))?;
        if !newest.key_flags().sign() || back.verify_primary_key_binding(&subkey.key, primary).is_err() {
            return None;
        }
        Validity::of(seconds_of(&subkey.key), newest, now)
    }
}

struct Primary {
    validity: Validity,
    may_sign: bool,
}

/// When a key may have signed, in seconds since 1970.
struct Validity {
    from: i64,
    until: Option<i64>,
}

impl Validity {
    fn of(key_created: i64, binding: &Signature, now: UnixTime) -> Option<Self> {
        let lifetime = binding
            .key_expiration_time()
            .map(|duration| i64::from(duration.as_secs()))
            .filter(|secs| *secs > 0);
        let key_end = lifetime.map(|lifetime| key_created.saturating_add(lifetime));
        let binding_end = lasting(binding);
        let until = match (key_end, binding_end) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        until
            .is_none_or(|until| now.as_seconds() < until)
            .then_some(Self {
                from: key_created,
                until,
            })
    }

    /// The signature was made while the key was valid, and neither has ended since.
    fn admit(&self, signature: &Signature, now: UnixTime) -> Option<Good> {
        let made = created(signature)?;
        let ends = lasting(signature);
        let in_time = made >= self.from
            && made <= now.as_seconds().saturating_add(CLOCK_SKEW_SECONDS)
            && self.until.is_none_or(|until| made < until)
            && ends.is_none_or(|ends| now.as_seconds() < ends);
        let until = earlier(
            self.until.map(UnixTime::from_seconds),
            ends.map(UnixTime::from_seconds),
        );
        in_time.then_some(Good { until })
    }
}

fn earlier(one: Option<UnixTime>, other: Option<UnixTime>) -> Option<UnixTime> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// When a signature itself expires.
fn lasting(signature: &Signature) -> Option<i64> {
    let seconds = i64::from(signature.signature_expiration_time()?.as_secs());
    (seconds > 0).then(|| created(signature).unwrap_or_default().saturating_add(seconds))
}

fn created(signature: &Signature) -> Option<i64> {
    signature.created().map(|time| i64::from(time.as_secs()))
}

fn seconds_of(key: &impl KeyDetails) -> i64 {
    i64::from(key.created_at().as_secs())
}

fn is_sha2(signature: &Signature) -> bool {
    matches!(
        signature.hash_alg(),
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512)
    )
}

/// The one signature of a message, if `key` made it over exactly `payload`. The form is the message's own; each is
/// taken only whole, with nothing before or after it.
fn verified(payload: &[u8], message: &[u8], key: &impl VerifyingKey) -> Option<Signature> {
    let text = std::str::from_utf8(message).map(str::trim).unwrap_or_default();
    let signature = if text.starts_with("-----BEGIN PGP SIGNED MESSAGE-----") {
        clear_signed(payload, text, key)?
    } else if text.starts_with("-----BEGIN PGP MESSAGE-----") {
        let whole = text.ends_with("-----END PGP MESSAGE-----") && text.matches("-----BEGIN").count() == 1;
        let (message, _headers) = whole.then(|| Message::from_string(text).ok())??;
        attached(payload, message, key)?
    } else if text.starts_with("-----BEGIN PGP SIGNATURE-----") {
        let whole = text.ends_with("-----END PGP SIGNATURE-----") && text.matches("-----BEGIN").count() == 1;
        let (signatures, _headers) = whole.then(|| DetachedSignature::from_string_many(text).ok())??;
        detached(payload, signatures, key)?
    } else if text.starts_with("-----") {
        return None;
    } else {
        // Binary: a bare signature packet, or a message.
        match detached(payload, DetachedSignature::from_bytes_many(message).ok()?, key) {
            Some(signature) => signature,
            None => attached(payload, Message::from_bytes(message).ok()?, key)?,
        }
    };
    let kind = matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text));
    (kind && is_sha2(&signature)).then_some(signature)
}

/// One literal and one signature, perhaps compressed once. What comes out is read no further than any payload goes.
fn attached(payload: &[u8], message: Message<'_>, key: &impl VerifyingKey) -> Option<Signature> {
    let mut message = if message.is_compressed() {
        message.decompress().ok()?
    } else {
        message
    };
    match &message {
        Message::Signed { reader, .. } if reader.num_signatures() == 1 => {}
        _ => return None,
    }
    let mut content = Vec::new();
    let most = u64::try_from(MAX_PAYLOAD_LEN).ok()?.saturating_add(1);
    (&mut message).take(most).read_to_end(&mut content).ok()?;
    if content != payload {
        return None;
    }
    // Reads the end of the message: trailing packets are an error, and the signature follows the text.
    let mut rest = [0; 1];
    if message.read(&mut rest).ok()? != 0 {
        return None;
    }
    message.verify(key).ok().cloned()
}

fn detached(
    payload: &[u8],
    signatures: impl Iterator<Item = pgp::errors::Result<DetachedSignature>>,
    key: &impl VerifyingKey,
) -> Option<Signature> {
    let all: Vec<DetachedSignature> = signatures.take(2).collect::<Result<_, _>>().ok()?;
    match all.as_slice() {
        [one] if one.verify(key, payload).is_ok() => Some(one.signature.clone()),
        _ => None,
    }
}

fn clear_signed(payload: &[u8], text: &str, key: &impl VerifyingKey) -> Option<Signature> {
    let (message, _headers) = CleartextSignedMessage::from_string(text).ok()?;
    if message.signed_text() != as_clear_signed(payload)? {
        return None;
    }
    match message.signatures() {
        [one] => message
            .verify(key)
            .ok()
            .filter(|verified| *verified == one)
            .cloned(),
        _ => None,
    }
}

/// The payload as clear-signing hashes it: the last line ending belongs to the frame, trailing blanks are not signed,
/// lines end in CRLF.
fn as_clear_signed(payload: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(payload).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<&str> = text
        .split('\n')
        .map(|line| line.trim_end_matches([' ', '\t', '\r']))
        .collect();
    Some(lines.join("\r\n"))
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
