//! Signing keys: what their versions are made like.

use std::time::Duration;

use binauthz_core::name::CryptoKeyName;
use binauthz_core::time::UnixTime;
use binauthz_keyring::{DestroyDelay, KeyAlgorithm};
use binauthz_store::{Change, Kind, NewResource, Resource};
use binauthz_wire::cloudkms::{self, CryptoKey, ProtectionLevel, read_crypto_key_patch, read_new_crypto_key};
use binauthz_wire::field_mask::FieldMask;
use serde::{Deserialize, Serialize};

use super::super::call::{Call, Reply};
use super::super::error::ApiError;
use super::super::listing::{self, Page};
use super::super::routes::{Class, Route, Verb};
use super::{damaged, key_rings, key_versions, refuse_filters, row, stored};
use crate::app::App;

#[rustfmt::skip] // A table: one route a line.
pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys";
    const ONE: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}";
    const PRIMARY: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}:updatePrimaryVersion";
    vec![
        row(
            (Verb::Post, ALL),
            "CreateCryptoKey",
            "cloudkms.cryptoKeys.create",
            Class::Write,
            |app, call| Box::pin(create(app, call)),
        ),
        row(
            (Verb::Get, ALL),
            "ListCryptoKeys",
            "cloudkms.cryptoKeys.list",
            Class::Read,
            |app, call| Box::pin(list(app, call)),
        ),
        row(
            (Verb::Get, ONE),
            "GetCryptoKey",
            "cloudkms.cryptoKeys.get",
            Class::Read,
            |app, call| Box::pin(read(app, call)),
        ),
        row(
            (Verb::Patch, ONE),
            "UpdateCryptoKey",
            "cloudkms.cryptoKeys.update",
            Class::Write,
            |app, call| Box::pin(update(app, call)),
        ),
        row(
            (Verb::Post, PRIMARY),
            "UpdateCryptoKeyPrimaryVersion",
            "cloudkms.cryptoKeys.update",
            Class::Write,
            |app, call| Box::pin(update_primary(app, call)),
        ),
    ]
}

/// What is stored of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct KeyDocument {
    algorithm: String,
    labels: Vec<(String, String)>,
    destroy_delay_seconds: i64,
    /// Whether its versions live in a token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_token: bool,
}

impl KeyDocument {
    pub(super) fn of(row: &Resource) -> Result<Self, ApiError> {
        serde_json::from_str(&row.document).map_err(|problem| damaged(&row.name, &problem))
    }

    /// What the next version is made with.
    pub(super) fn algorithm(&self, name: &str) -> Result<KeyAlgorithm, ApiError> {
        KeyAlgorithm::from_name(&self.algorithm).ok_or_else(|| damaged(name, &self.algorithm))
    }

    /// Where its versions live.
    pub(super) fn protection(&self) -> ProtectionLevel {
        if self.in_token {
            ProtectionLevel::Hsm
        } else {
            ProtectionLevel::Software
        }
    }

    /// How long a version waits for its destruction.
    pub(super) fn destroy_delay(&self, name: &str) -> Result<DestroyDelay, ApiError> {
        DestroyDelay::from_seconds(self.destroy_delay_seconds).map_err(|problem| damaged(name, &problem))
    }

    fn write(&self) -> Result<String, ApiError> {
        serde_json::to_string(self).map_err(|problem| damaged("a new key", &problem))
    }

    fn shown(&self, name: &str, created: UnixTime) -> Reply {
        let seconds = u64::try_from(self.destroy_delay_seconds).unwrap_or_default();
        Reply::json(self.json(name, created, Duration::from_secs(seconds)))
    }

    fn json(&self, name: &str, created: UnixTime, destroy_scheduled_duration: Duration) -> serde_json::Value {
        let (algorithm, labels) = (self.algorithm.as_str(), self.labels.as_slice());
        cloudkms::write_crypto_key(&CryptoKey {
            name,
            algorithm,
            protection: self.protection(),
            labels,
            destroy_scheduled_duration,
            created,
        })
    }
}

/// The key of the path.
pub(super) fn name_of(call: &Call) -> Result<CryptoKeyName, ApiError> {
    let (location, ring) = (call.param("location").parse()?, call.param("ring").parse()?);
    Ok(CryptoKeyName::new(
        call.project()?,
        location,
        ring,
        call.param("key").parse()?,
    ))
}

/// An algorithm this build has, from one the API knows.
fn available(name: &str) -> Result<KeyAlgorithm, ApiError> {
    let unknown = || ApiError::invalid_argument(format!("`{name}` is not a signing algorithm"));
    let algorithm = KeyAlgorithm::from_name(name).ok_or_else(unknown)?;
    algorithm
        .check_available()
        .map_err(|why| ApiError::invalid_argument(format!("`versionTemplate.algorithm`: {why}")))?;
    Ok(algorithm)
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let ring = key_rings::name_of(&call)?;
    let (project, location) = (ring.project().clone(), ring.location().clone());
    let id = call.query_string("cryptoKeyId")?.parse()?;
    let name = CryptoKeyName::new(project, location, ring.key_ring().clone(), id).to_string();
    let skip_version = call.query.boolean("skipInitialVersionCreation")?;
    let request = read_new_crypto_key(call.take_body())?;
    let algorithm = available(request.algorithm)?;
    let delay = match request.destroy_scheduled_duration {
        Some(duration) => {
            DestroyDelay::from_seconds(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
                .map_err(|why| ApiError::invalid_argument(format!("`destroyScheduledDuration`: {why}")))?
        }
        None => DestroyDelay::DEFAULT,
    };
    if request.protection == ProtectionLevel::Hsm {
        key_versions::token_of(app)?;
    }
    // Seconds of work must not come before what one look can refuse; the commit checks both again.
    stored(app, Kind::KeyRing, &ring).await?;
    if app.store.resource(Kind::CryptoKey, &name).await?.is_some() {
        return Err(ApiError::already_exists(format!("`{name}` already exists")));
    }
    let document = KeyDocument {
        algorithm: algorithm.name().to_owned(),
        labels: request.labels,
        destroy_delay_seconds: delay.seconds(),
        in_token: request.protection == ProtectionLevel::Hsm,
    };
    let key = NewResource {
        kind: Kind::CryptoKey,
        name: name.clone(),
        parent: ring.to_string(),
        document: document.write()?,
    };
    let require = Change::Require {
        kind: Kind::KeyRing,
        name: ring.to_string(),
        expect: None,
    };
    let mut changes = vec![Change::Insert(key), require];
    let generated = match skip_version {
        true => None,
        false => Some(key_versions::generate(app, &call, algorithm, request.protection).await?),
    };
    let master = app.master.hold().await;
    if let Some(generated) = &generated {
        changes.extend(generated.changes(&master, &call, &name, 1)?);
    }
    let committed = call.commit(app, changes).await;
    if let (Err(_), Some(generated)) = (&committed, generated) {
        generated.discard().await;
    }
    committed?;
    Ok(document.shown(&name, call.now))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    refuse_filters(&call)?;
    let ring = stored(app, Kind::KeyRing, key_rings::name_of(&call)?).await?;
    let page = Page::of(&call, format!("{}/cryptoKeys", ring.name), 100, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::CryptoKey, &ring.name).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let document = KeyDocument::of(&row)?;
        let seconds = u64::try_from(document.destroy_delay_seconds).unwrap_or_default();
        items.push(document.json(
            &row.name,
            UnixTime::from_micros(row.created),
            Duration::from_secs(seconds),
        ));
    }
    Ok(Reply::json(listing::reply("cryptoKeys", items, next)))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let row = stored(app, Kind::CryptoKey, name_of(&call)?).await?;
    Ok(KeyDocument::of(&row)?.shown(&row.name, UnixTime::from_micros(row.created)))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mask = FieldMask::parse(
        call.query_string("updateMask")?,
        &["labels", "versionTemplate.algorithm"],
    )?;
    let row = stored(app, Kind::CryptoKey, name_of(&call)?).await?;
    let mut document = KeyDocument::of(&row)?;
    let patch = read_crypto_key_patch(call.take_body())?;
    if patch
        .protection
        .is_some_and(|asked| asked != document.protection())
    {
        let message = "`versionTemplate.protectionLevel` cannot be changed: make another key";
        return Err(ApiError::invalid_argument(message));
    }
    if mask.covers("labels") {
        document.labels = patch.labels;
    }
    if mask.covers("versionTemplate.algorithm") {
        let missing =
            || ApiError::invalid_argument("`versionTemplate.algorithm` is required by the update mask");
        document.algorithm = available(patch.algorithm.ok_or_else(missing)?)?.name().to_owned();
    }
    let change = Change::Replace {
        kind: Kind::CryptoKey,
        name: row.name.clone(),
        document: document.write()?,
        expect: Some(row.revision),
    };
    call.commit(app, vec![change]).await?;
    Ok(document.shown(&row.name, UnixTime::from_micros(row.created)))
}

/// A primary version is what encrypts; a signing key has none, and whoever signs names the version.
async fn update_primary(app: &App, call: Call) -> Result<Reply, ApiError> {
    let key = stored(app, Kind::CryptoKey, name_of(&call)?).await?;
    Err(ApiError::failed_precondition(format!(
        "`{}` has the purpose ASYMMETRIC_SIGN: only a key of the purpose ENCRYPT_DECRYPT has a primary version",
        key.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wire has names and numbers of its own, because it knows nothing of the keyring.
    #[test]
    fn wire_and_keyring_mean_the_same_algorithms() {
        let wire: Vec<_> = cloudkms::SIGNING_ALGORITHMS
            .iter()
            .map(|(name, number, _)| (*name, Some(i64::from(*number))))
            .collect();
        let keyring: Vec<_> = KeyAlgorithm::cloud_kms()
            .map(|algorithm| (algorithm.name(), algorithm.number()))
            .collect();
        assert_eq!(wire, keyring);
    }
}
