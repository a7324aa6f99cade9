//! Crypto keys.

use std::collections::BTreeMap;

use binauthz_core::name::{CryptoKeyName, KeyVersionName};
use binauthz_core::time::UnixTime;
use binauthz_keyring::{DestroyDelay, KeyAlgorithm, SoftwareKey};
use binauthz_store::{Change, Kind, NewResource};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::json::{EnumRow, Object};

use super::documents::{KeyDocument, VersionDocument};
use super::{key_name, ring_name, row, stored};
use crate::app::App;
use crate::control::call::{Call, Reply};
use crate::control::error::ApiError;
use crate::control::listing::{self, Page};
use crate::control::routes::{Class, Route, Verb};

const MAX_LABELS: usize = 64;

pub(super) fn routes() -> Vec<Route> {
    const KEYS: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys";
    const KEY: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}";
    vec![
        row(Verb::Post, KEYS, "CreateCryptoKey", "cloudkms.cryptoKeys.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, KEYS, "ListCryptoKeys", "cloudkms.cryptoKeys.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, KEY, "GetCryptoKey", "cloudkms.cryptoKeys.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Patch, KEY, "UpdateCryptoKey", "cloudkms.cryptoKeys.update", Class::Write, |app, call| Box::pin(update(app, call))),
    ]
}

const PURPOSES: &[EnumRow<bool>] = &[
    ("ASYMMETRIC_SIGN", 5, true),
    ("ENCRYPT_DECRYPT", 1, false),
    ("ASYMMETRIC_DECRYPT", 6, false),
    ("RAW_ENCRYPT_DECRYPT", 7, false),
    ("MAC", 9, false),
];

const LEVELS: &[EnumRow<bool>] =
    &[("SOFTWARE", 1, true), ("HSM", 2, false), ("EXTERNAL", 3, false), ("EXTERNAL_VPC", 4, false)];

fn algorithms() -> Vec<EnumRow<KeyAlgorithm>> {
    KeyAlgorithm::cloud_kms()
        .map(|algorithm| {
            let number = algorithm.number().and_then(|number| i32::try_from(number).ok()).unwrap_or(-1);
            (algorithm.name(), number, algorithm)
        })
        .collect()
}

fn read_template(object: &mut Object) -> Result<Option<KeyAlgorithm>, ApiError> {
    let Some(mut template) = object.take_optional_object("versionTemplate")? else { return Ok(None) };
    if template.take_optional_enum("protectionLevel", LEVELS)? == Some(false) {
        return Err(template.refused("protectionLevel", "must be `SOFTWARE`: this server has no other keys").into());
    }
    let algorithm = template.take_optional_enum("algorithm", &algorithms())?;
    if let Some(Err(why)) = algorithm.map(KeyAlgorithm::check_available) {
        return Err(template.refused("algorithm", why).into());
    }
    template.finish()?;
    Ok(algorithm)
}

fn read_labels(object: &mut Object) -> Result<Option<BTreeMap<String, String>>, ApiError> {
    if !object.has("labels") {
        object.ignore("labels");
        return Ok(None);
    }
    let labels = object.take_string_map("labels")?;
    let long = labels.iter().any(|(key, value)| key.is_empty() || key.len() > 63 || value.len() > 63);
    if labels.len() > MAX_LABELS || long {
        let why = format_args!("expected at most {MAX_LABELS} labels of at most 63 characters each");
        return Err(object.refused("labels", why).into());
    }
    Ok(Some(labels.into_iter().collect()))
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let ring = ring_name(&call)?;
    let name: CryptoKeyName = format!("{ring}/cryptoKeys/{}", call.query_string("cryptoKeyId")?).parse()?;
    let skip = call.query.boolean("skipInitialVersionCreation")?;
    let mut body = call.body_object()?;
    body.ignore("name");
    if !body.take_enum("purpose", PURPOSES)? {
        return Err(body.refused("purpose", "must be `ASYMMETRIC_SIGN`: this server keeps signing keys only").into());
    }
    let algorithm = read_template(&mut body)?.ok_or_else(|| body.refused("versionTemplate.algorithm", "is required"))?;
    let labels = read_labels(&mut body)?.unwrap_or_default();
    let delay = match body.take_optional_duration("destroyScheduledDuration")? {
        None => DestroyDelay::DEFAULT,
        Some(duration) => {
            let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
            DestroyDelay::from_seconds(seconds).map_err(|why| body.refused("destroyScheduledDuration", why))?
        }
    };
    body.finish()?;
    stored(app, Kind::KeyRing, &ring.to_string()).await?;
    if app.store.resource(Kind::CryptoKey, &name.to_string()).await?.is_some() {
        return Err(ApiError::already_exists(format!("`{name}` already exists")));
    }
    let document = KeyDocument {
        algorithm: algorithm.name().to_owned(),
        labels,
        destroy_delay_seconds: delay.seconds(),
        next_version: if skip { 1 } else { 2 },
    };
    let key = NewResource {
        kind: Kind::CryptoKey,
        name: name.to_string(),
        parent: ring.to_string(),
        document: document.text(),
    };
    let mut changes = vec![Change::Insert(key)];
    if !skip {
        let version: KeyVersionName = format!("{name}/cryptoKeyVersions/1").parse()?;
        changes.extend(generate(app, &version, algorithm).await?.1);
    }
    call.commit(app, changes).await?;
    Ok(Reply::json(document.shown(&name.to_string(), call.now)))
}

/// Makes a key and the changes that store it. RSA takes up to seconds, so it happens on a thread of its own and one at a
/// time; nobody else waits for it.
pub(super) async fn generate(
    app: &App,
    version: &KeyVersionName,
    algorithm: KeyAlgorithm,
) -> Result<(VersionDocument, Vec<Change>), ApiError> {
    let unavailable = || ApiError::unavailable("the key could not be generated; try again");
    let permit = app.generations.acquire().await.map_err(|_| unavailable())?;
    let made = tokio::task::spawn_blocking(move || {
        let key = SoftwareKey::generate(algorithm).ok()?;
        let pem = key.public_key_pem().ok()?;
        Some((key, pem))
    })
    .await;
    drop(permit);
    let (key, pem) = made.ok().flatten().ok_or_else(unavailable)?;
    let name = version.to_string();
    let sealed = app.master_key.seal(&name, &key).map_err(|_| unavailable())?;
    let document = VersionDocument::new(algorithm, pem);
    let parent = version.crypto_key_name().to_string();
    let resource =
        NewResource { kind: Kind::CryptoKeyVersion, name: name.clone(), parent, document: document.text() };
    Ok((document, vec![Change::Insert(resource), Change::PutSealedKey { name, sealed }]))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let parent = ring_name(&call)?.to_string();
    stored(app, Kind::KeyRing, &parent).await?;
    let page = Page::of(&call, format!("{parent}/cryptoKeys"), 100, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::CryptoKey, &parent).await?;
    let keys = rows
        .iter()
        .map(|row| Ok(KeyDocument::of(row)?.shown(&row.name, UnixTime::from_micros(row.created))))
        .collect::<Result<_, ApiError>>()?;
    Ok(Reply::json(listing::reply("cryptoKeys", keys, next)))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let row = stored(app, Kind::CryptoKey, &key_name(&call)?.to_string()).await?;
    Ok(Reply::json(KeyDocument::of(&row)?.shown(&row.name, UnixTime::from_micros(row.created))))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mask = call.query_string("updateMask")?.to_owned();
    let mask = FieldMask::parse(&mask, &["labels", "versionTemplate", "versionTemplate.algorithm"])?;
    let mut body = call.body_object()?;
    for field in ["name", "purpose", "createTime", "primary", "destroyScheduledDuration"] {
        body.ignore(field);
    }
    let labels = read_labels(&mut body)?;
    let algorithm = read_template(&mut body)?;
    body.finish()?;
    let row = stored(app, Kind::CryptoKey, &key_name(&call)?.to_string()).await?;
    let mut document = KeyDocument::of(&row)?;
    if mask.covers("labels") {
        document.labels = labels.unwrap_or_default();
    }
    if let Some(algorithm) = algorithm.filter(|_| mask.covers("versionTemplate.algorithm")) {
        document.algorithm = algorithm.name().to_owned();
    }
    let change = Change::Replace {
        kind: Kind::CryptoKey,
        name: row.name.clone(),
        document: document.text(),
        expect: Some(row.revision),
    };
    call.commit(app, vec![change]).await?;
    Ok(Reply::json(document.shown(&row.name, UnixTime::from_micros(row.created))))
}
