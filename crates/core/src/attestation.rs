//! Attestations: bytes that claim something, and the proof that the claim is good.

use crate::attestor::{Attestor, AttestorKey};
use crate::image::{Digest, PinnedImage};
use crate::key::PublicKey;
use crate::name::{AttestorName, NoteName, OccurrenceName};
use crate::payload::{self, InvalidPayload, MAX_PAYLOAD_LEN};
use crate::signature::pgp::Fault;
use crate::signature::pkix;
use crate::time::UnixTime;
use crate::validity::{KeyValidity, Untimely};
use std::sync::Arc;

/// Most signatures looked at in one attestation.
pub const MAX_SIGNATURES: usize = 64;
/// Longest signature accepted: an armored PGP message around a payload of the longest length.
pub const MAX_SIGNATURE_LEN: usize = 2 * MAX_PAYLOAD_LEN;

/// One signature as stored: the id of the key it names and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The id of the key, as the signer wrote it: a hint.
    pub key_id: String,
    /// The signature bytes.
    pub bytes: Vec<u8>,
}

/// What the store holds: bytes that claim something. Nothing reads the payload but [`verify`].
#[derive(Clone, Debug)]
pub struct Attestation {
    occurrence: OccurrenceName,
    note: NoteName,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
    received: Option<UnixTime>,
}

impl Attestation {
    /// A claim, as it came in.
    pub fn claimed(
        occurrence: OccurrenceName,
        note: NoteName,
        payload: Vec<u8>,
        signatures: Vec<Signature>,
    ) -> Self {
        Self {
            occurrence,
            note,
            payload,
            signatures,
            received: None,
        }
    }

    /// The same claim, which the server received at this time. It is the server's word, never the signer's: a key that is
    /// compromised may have signed it at any time.
    #[must_use]
    pub fn received(self, at: UnixTime) -> Self {
        Self {
            received: Some(at),
            ..self
        }
    }

    /// The occurrence that carries it.
    pub fn occurrence(&self) -> &OccurrenceName {
        &self.occurrence
    }

    /// How many of its signatures name a key of `attestor`. Only these cost a check; [`verify`] turns the others away
    /// by their ids.
    pub(crate) fn signatures_naming_a_key_of(&self, attestor: &Attestor) -> usize {
        let names_one = |signature: &&Signature| attestor.key(&signature.key_id).is_some();
        self.signatures
            .iter()
            .take(MAX_SIGNATURES)
            .filter(names_one)
            .count()
    }
}

/// Proof that a key of an attestor signed a statement about a digest.
///
/// Its fields are private and [`verify`] is the only function that makes one. Writing one down does
/// not compile (E0451), so no caller can skip the check:
///
/// ```compile_fail,E0451
/// use binauthz_core::attestation::VerifiedAttestation;
/// use binauthz_core::attestor::Attestor;
/// use binauthz_core::image::Digest;
///
/// fn forge(attestor: &Attestor, digest: Digest) -> VerifiedAttestation {
///     VerifiedAttestation {
///         attestor: attestor.name().clone(),
///         attestor_revision: attestor.revision(),
///         occurrence: "projects/p/occurrences/o".parse().unwrap(),
///         digest,
///         repository: None,
///         key_id: "".into(),
///         until: None,
///     }
/// }
/// ```
///
/// Neither has it a default to start from:
///
/// ```compile_fail,E0277
/// fn default_of<T: Default>() -> T {
///     T::default()
/// }
/// let _ = default_of::<binauthz_core::attestation::VerifiedAttestation>();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAttestation {
    attestor: AttestorName,
    attestor_revision: u64,
    occurrence: OccurrenceName,
    digest: Digest,
    repository: Option<String>,
    key_id: Arc<str>,
    until: Option<UnixTime>,
}

impl VerifiedAttestation {
    /// Whether this proves, at `now`, that `attestor` as it stands vouches for `image`.
    pub fn covers(&self, attestor: &Attestor, image: &PinnedImage, now: UnixTime) -> bool {
        self.shortfall(attestor, image, now).is_none()
    }

    /// What it lacks for that, if anything.
    pub fn shortfall(&self, attestor: &Attestor, image: &PinnedImage, now: UnixTime) -> Option<Rejected> {
        if self.attestor != *attestor.name() || self.attestor_revision != attestor.revision() {
            return Some(Rejected::OtherAttestor);
        }
        if self.digest != *image.digest() {
            return Some(Rejected::OtherDigest(self.digest));
        }
        if self.has_ended(now) {
            return Some(Rejected::Ended);
        }
        match &self.repository {
            Some(repository) if repository != image.repository() => {
                Some(Rejected::OtherRepository(repository.chars().take(300).collect()))
            }
            _ => None,
        }
    }

    /// The occurrence that carried the signature.
    pub fn occurrence(&self) -> &OccurrenceName {
        &self.occurrence
    }

    /// The id of the attestor's key that made it.
    pub fn key_id(&self) -> &Arc<str> {
        &self.key_id
    }

    /// The digest that was signed for.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// When it ends by itself, if it does: its key or the signature expires.
    pub fn until(&self) -> Option<UnixTime> {
        self.until
    }

    /// Whether that time has come.
    pub fn has_ended(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// Why an attestation proves nothing for an attestor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It hangs on another note.
    #[error("it is attached to note `{0}`, not to the attestor's")]
    OtherNote(NoteName),
    /// It carries no signature, or too many.
    #[error("it carries {0} signatures; expected 1 to {MAX_SIGNATURES}")]
    SignatureCount(usize),
    /// A limit on sizes.
    #[error("its payload or signature is too long")]
    TooLong,
    /// The attestor has no keys.
    #[error("the attestor has no public keys")]
    NoKeys,
    /// No signature names a key of the attestor.
    #[error("it is signed by key `{0}`, which the attestor does not hold")]
    UnknownKey(String),
    /// A signature names a key of the attestor but does not verify with it.
    #[error("its signature does not verify with key `{0}`")]
    BadSignature(String),
    /// An OpenPGP signature that does not count.
    #[error("its signature does not count for key `{key_id}`: {fault}")]
    Pgp {
        /// The attestor's key that was named.
        key_id: String,
        /// What is wrong with the signature.
        fault: Fault,
    },
    /// A signature names a key of the attestor that does not count for it now.
    #[error("key `{key_id}` {why}")]
    Untimely {
        /// The attestor's key that was named.
        key_id: String,
        /// Why it does not count.
        why: Untimely,
    },
    /// The signature is good, what it signs is not a statement.
    #[error("signature verified, but unexpected message was signed: {0}")]
    Payload(#[from] InvalidPayload),
    /// The proof is for another attestor, or for this one as it was before a change.
    #[error("it was verified for another state of the attestor")]
    OtherAttestor,
    /// The key or the signature has expired since it was verified.
    #[error("the key that made it, or the signature itself, is expired")]
    Ended,
    /// The attestor binds the repository, and the statement is about another one.
    #[error("it was signed for repository `{0}`, and the attestor binds the repository")]
    OtherRepository(String),
    /// The statement is about another digest than the one asked for.
    #[error("it was signed for `{0}`")]
    OtherDigest(Digest),
}

/// Checks an attestation for `attestor`: signature over the stored bytes first, the same bytes
/// parsed second.
///
/// One good signature is enough. The proof says which digest was signed for; whether that is the
/// image that is to run is for [`VerifiedAttestation::covers`] to say.
pub fn verify(
    attestation: &Attestation,
    attestor: &Attestor,
    now: UnixTime,
) -> Result<VerifiedAttestation, Rejected> {
    if attestation.note != *attestor.note() {
        return Err(Rejected::OtherNote(attestation.note.clone()));
    }
    if attestor.keys().is_empty() {
        return Err(Rejected::NoKeys);
    }
    let count = attestation.signatures.len();
    if count == 0 || count > MAX_SIGNATURES {
        return Err(Rejected::SignatureCount(count));
    }
    if attestation.payload.len() > MAX_PAYLOAD_LEN {
        return Err(Rejected::TooLong);
    }
    let mut rejected = Rejected::NoKeys;
    for signature in &attestation.signatures {
        match check_signature(signature, attestation, attestor, now) {
            Ok(proof) => return Ok(proof),
            Err(why) => rejected = why,
        }
    }
    Err(rejected)
}

fn check_signature(
    signature: &Signature,
    attestation: &Attestation,
    attestor: &Attestor,
    now: UnixTime,
) -> Result<VerifiedAttestation, Rejected> {
    if signature.bytes.len() > MAX_SIGNATURE_LEN {
        return Err(Rejected::TooLong);
    }
    let key = attestor
        .key(&signature.key_id)
        .ok_or_else(|| Rejected::UnknownKey(signature.key_id.chars().take(300).collect()))?;
    let always = KeyValidity::ALWAYS;
    let ends = key
        .validity()
        .unwrap_or(&always)
        .check(attestation.received, now)
        .map_err(|why| Rejected::Untimely {
            key_id: key.id().to_owned(),
            why,
        })?;
    let good = match key.key() {
        PublicKey::Pkix(pkix) => pkix::verify(pkix, &attestation.payload, &signature.bytes)
            .ok_or_else(|| Rejected::BadSignature(key.id().to_owned())),
        PublicKey::Pgp(certificate) => certificate
            .verify(&attestation.payload, &signature.bytes, now)
            .map_err(|fault| Rejected::Pgp {
                key_id: key.id().to_owned(),
                fault,
            }),
    }?;
    let statement = payload::read(&attestation.payload)?;
    let until = good.until.into_iter().chain(ends).min();
    Ok(prove(attestation, attestor, key, (statement, until)))
}

fn prove(
    attestation: &Attestation,
    attestor: &Attestor,
    key: &AttestorKey,
    (statement, until): (payload::Statement, Option<UnixTime>),
) -> VerifiedAttestation {
    VerifiedAttestation {
        attestor: attestor.name().clone(),
        attestor_revision: attestor.revision(),
        occurrence: attestation.occurrence.clone(),
        digest: statement.digest,
        repository: attestor.match_identity().then_some(statement.docker_reference),
        key_id: key.shared_id(),
        until,
    }
}
