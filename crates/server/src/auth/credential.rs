//! Credentials: public keys whose owners may sign for access tokens. The private half never comes here.

use binauthz_core::key::{PkixKey, SignatureAlgorithm};
use binauthz_core::time::UnixTime;
use binauthz_store::{Kind, Store, Unavailable};
use binauthz_wire::json::{self, InvalidField, Limits, Object, timestamp_out};
use serde_json::json;

use super::Role;

/// The algorithms of keys that may sign assertions, as tried on a PEM.
const ALGORITHMS: [SignatureAlgorithm; 4] = [
    SignatureAlgorithm::RsaPkcs1_2048Sha256,
    SignatureAlgorithm::RsaPkcs1_3072Sha256,
    SignatureAlgorithm::RsaPkcs1_4096Sha256,
    SignatureAlgorithm::EcdsaP256Sha256,
];

/// Somebody's public key, and what its owner may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    id: String,
    role: Role,
    description: String,
    key: PkixKey,
    expires: Option<UnixTime>,
}

impl Credential {
    /// What follows the id in the address that stands for a credential where Google's files have a service account's. Nobody
    /// can have mail there (RFC 2606).
    pub(crate) const EMAIL_DOMAIN: &str = "@binauthz.invalid";

    /// A new one. `id` is one of [`super::is_plain_id`].
    pub(crate) fn new(id: String, role: Role, key: PkixKey, expires: Option<UnixTime>) -> Credential {
        Credential {
            id,
            role,
            description: String::new(),
            key,
            expires,
        }
    }

    #[must_use]
    pub(crate) fn described(mut self, description: String) -> Credential {
        self.description = description;
        self
    }

    /// The key of a PEM, if it is one that may sign assertions.
    pub(crate) fn read_key(pem: &str) -> Option<PkixKey> {
        ALGORITHMS
            .into_iter()
            .find_map(|algorithm| PkixKey::from_pem(pem, algorithm).ok())
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    pub(crate) fn key(&self) -> &PkixKey {
        &self.key
    }

    pub(crate) fn expires(&self) -> Option<UnixTime> {
        self.expires
    }

    /// Ended the moment it ends.
    pub(crate) fn has_ended(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What tells this key from any other of the same id: 40 hexadecimal digits of the SHA-256 of its SPKI, the length
    /// that key ids have in Google's files.
    pub(crate) fn key_id(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.key.der());
        hex::encode(digest).chars().take(40).collect()
    }

    /// The name it is stored under.
    pub(crate) fn name_of(id: &str) -> String {
        format!("credentials/{id}")
    }

    /// The address that Google's files and assertions name it by.
    pub(crate) fn email(&self) -> String {
        format!("{}{}", self.id, Credential::EMAIL_DOMAIN)
    }

    /// The id behind such an address.
    pub(crate) fn id_of_email(email: &str) -> Option<&str> {
        email
            .strip_suffix(Credential::EMAIL_DOMAIN)
            .filter(|id| super::is_plain_id(id))
    }

    /// As it is stored.
    pub(crate) fn to_document(&self) -> String {
        json!({
            "role": self.role.as_str(),
            "description": self.description,
            "publicKey": self.key.pem(),
            "expires": self.expires.map(timestamp_out),
        })
        .to_string()
    }

    /// As it was stored; none if this release cannot read it, which is nobody's credential.
    pub(crate) fn from_document(id: &str, document: &str) -> Option<Credential> {
        let value = json::parse(document.as_bytes(), Limits::API).ok()?;
        let read = || -> Result<Option<Credential>, InvalidField> {
            let mut object = Object::new(value, "")?;
            let role = Role::from_name(&object.take_string("role")?);
            let description = object.take_optional_string("description")?.unwrap_or_default();
            let key = Credential::read_key(&object.take_string("publicKey")?);
            let expires = object.take_optional_timestamp("expires")?;
            object.finish()?;
            Ok(role
                .zip(key)
                .map(|(role, key)| Credential::new(id.to_owned(), role, key, expires).described(description)))
        };
        read().ok()?
    }

    /// The credential of this id.
    pub(crate) async fn find(store: &Store, id: &str) -> Result<Option<Credential>, Unavailable> {
        let stored = store.resource(Kind::Credential, &Credential::name_of(id)).await?;
        Ok(stored.and_then(|stored| Credential::from_document(id, &stored.document)))
    }
}
