//! Attestors: the people and pipelines whose signatures count, by their keys.

use crate::key::{InvalidPublicKey, PublicKey, reduced_id};
use crate::name::{AttestorName, NoteName};
use crate::validity::KeyValidity;
use std::sync::Arc;

/// Most keys one attestor may hold: room for many years of rotation, and a bound on one verification.
pub const MAX_KEYS: usize = 200;

/// One key of an attestor.
#[derive(Clone, Debug)]
pub struct AttestorKey {
    id: Arc<str>,
    /// The id as signatures are matched by it, made once: an attestation may bring many ids to compare.
    reduced_id: String,
    comment: String,
    key: PublicKey,
    /// Absent says nothing: it always counts.
    validity: Option<KeyValidity>,
}

impl AttestorKey {
    /// A key under `id`, or under its own id when `id` is empty. A PGP key's id is always its fingerprint.
    pub fn new(id: &str, comment: &str, key: PublicKey) -> Self {
        let id: Arc<str> = match &key {
            PublicKey::Pgp(certificate) => certificate.fingerprint().into(),
            PublicKey::Pkix(pkix) if id.is_empty() => pkix.default_id().into(),
            PublicKey::Pkix(_) => id.into(),
        };
        Self {
            reduced_id: reduced_id(&id),
            id,
            comment: comment.to_owned(),
            key,
            validity: None,
        }
    }

    /// The same key, counting when `validity` says (an extension).
    #[must_use]
    pub fn with_validity(self, validity: Option<KeyValidity>) -> Self {
        Self { validity, ..self }
    }

    /// When it counts, where that was said.
    pub fn validity(&self) -> Option<&KeyValidity> {
        self.validity.as_ref()
    }

    /// The id signatures name this key by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id for a proof to share.
    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// The comment given with the key.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The key itself.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// Why a set of keys is not an attestor's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttestor {
    /// Two keys under one id.
    #[error("two public keys have the id `{0}`; ids must be unique within an attestor")]
    DuplicateKeyId(String),
    /// More than [`MAX_KEYS`].
    #[error("an attestor holds at most {MAX_KEYS} public keys")]
    TooManyKeys,
    /// A key is not one.
    #[error(transparent)]
    Key(#[from] InvalidPublicKey),
}

/// An attestor as the judge sees it.
///
/// An attestor without keys exists (gcloud makes one before it adds the first key) and never
/// verifies anything.
#[derive(Clone, Debug)]
pub struct Attestor {
    name: AttestorName,
    note: NoteName,
    keys: Vec<AttestorKey>,
    match_identity: bool,
    revision: u64,
}

impl Attestor {
    /// An attestor at `revision`, which changes whenever anything about it does.
    pub fn new(
        name: AttestorName,
        note: NoteName,
        keys: Vec<AttestorKey>,
        revision: u64,
    ) -> Result<Self, InvalidAttestor> {
        if keys.len() > MAX_KEYS {
            return Err(InvalidAttestor::TooManyKeys);
        }
        for (index, key) in keys.iter().enumerate() {
            if keys
                .iter()
                .take(index)
                .any(|earlier| earlier.reduced_id == key.reduced_id)
            {
                return Err(InvalidAttestor::DuplicateKeyId(key.id.as_ref().to_owned()));
            }
        }
        Ok(Self {
            name,
            note,
            keys,
            match_identity: false,
            revision,
        })
    }

    /// The same attestor, counting a statement only for the repository it names (an extension:
    /// by default, as in Google's product, only the digest binds).
    #[must_use]
    pub fn with_match_identity(self, match_identity: bool) -> Self {
        Self {
            match_identity,
            ..self
        }
    }

    /// The resource name.
    pub fn name(&self) -> &AttestorName {
        &self.name
    }

    /// The note its attestations hang on.
    pub fn note(&self) -> &NoteName {
        &self.note
    }

    /// Its keys.
    pub fn keys(&self) -> &[AttestorKey] {
        &self.keys
    }

    /// The key that a signature's key id names.
    pub(crate) fn key(&self, id: &str) -> Option<&AttestorKey> {
        let named = reduced_id(id);
        self.keys.iter().find(|key| key.reduced_id == named)
    }

    /// Whether the statement's repository must be the image's.
    pub fn match_identity(&self) -> bool {
        self.match_identity
    }

    /// The revision proofs are bound to.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
