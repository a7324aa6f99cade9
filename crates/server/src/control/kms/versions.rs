//! Key versions and their life.

use binauthz_core::time::UnixTime;
use binauthz_keyring::{IllegalTransition, Lifecycle};
use binauthz_store::{Change, Kind, Resource};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::json::EnumRow;
use binauthz_wire::status;

use super::documents::{KeyDocument, VersionDocument};
use super::keys::generate;
use super::{key_name, row, stored, version_name};
use crate::app::App;
use crate::control::call::{Call, Reply};
use crate::control::error::ApiError;
use crate::control::listing::{self, Page};
use crate::control::routes::{Class, Route, Verb};

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions";
    const ONE: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{number}";
    const DESTROY: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{number}:destroy";
    const RESTORE: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}/cryptoKeyVersions/{number}:restore";
    vec![
        row(Verb::Post, ALL, "CreateCryptoKeyVersion", "cloudkms.cryptoKeyVersions.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, ALL, "ListCryptoKeyVersions", "cloudkms.cryptoKeyVersions.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, ONE, "GetCryptoKeyVersion", "cloudkms.cryptoKeyVersions.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Patch, ONE, "UpdateCryptoKeyVersion", "cloudkms.cryptoKeyVersions.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Post, DESTROY, "DestroyCryptoKeyVersion", "cloudkms.cryptoKeyVersions.destroy", Class::Write, |app, call| Box::pin(destroy(app, call))),
        row(Verb::Post, RESTORE, "RestoreCryptoKeyVersion", "cloudkms.cryptoKeyVersions.restore", Class::Write, |app, call| Box::pin(restore(app, call))),
    ]
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mut body = call.body_object()?;
    for field in ["name", "state"] {
        body.ignore(field);
    }
    body.finish()?;
    let key = stored(app, Kind::CryptoKey, &key_name(&call)?.to_string()).await?;
    let mut document = KeyDocument::of(&key)?;
    let name = format!("{}/cryptoKeyVersions/{}", key.name, document.next_version).parse()?;
    document.next_version = document.next_version.saturating_add(1);
    let (version, mut changes) = generate(app, &name, document.algorithm()?).await?;
    // Two at once get one number: the second is told to try again.
    changes.push(Change::Replace {
        kind: Kind::CryptoKey,
        name: key.name,
        document: document.text(),
        expect: Some(key.revision),
    });
    call.commit(app, changes).await?;
    Ok(Reply::json(version.shown(&name.to_string(), call.now, call.now)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let parent = key_name(&call)?.to_string();
    stored(app, Kind::CryptoKey, &parent).await?;
    let page = Page::of(&call, format!("{parent}/cryptoKeyVersions"), 100, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::CryptoKeyVersion, &parent).await?;
    let versions = rows
        .iter()
        .map(|row| Ok(VersionDocument::of(row)?.shown(&row.name, UnixTime::from_micros(row.created), call.now)))
        .collect::<Result<_, ApiError>>()?;
    Ok(Reply::json(listing::reply("cryptoKeyVersions", versions, next)))
}

/// The version, its key material deleted first if its time has come.
pub(super) async fn current(app: &App, call: &Call) -> Result<(Resource, VersionDocument), ApiError> {
    let row = stored(app, Kind::CryptoKeyVersion, &version_name(call)?.to_string()).await?;
    let document = VersionDocument::of(&row)?;
    Ok((row, document))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (row, document) = current(app, &call).await?;
    Ok(Reply::json(document.shown(&row.name, UnixTime::from_micros(row.created), call.now)))
}

const STATES: &[EnumRow<bool>] = &[("ENABLED", 1, true), ("DISABLED", 2, false)];

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mask = call.query_string("updateMask")?.to_owned();
    FieldMask::parse(&mask, &["state"])?;
    let mut body = call.body_object()?;
    let enable = body.take_enum("state", STATES)?;
    for field in ["name", "createTime", "generateTime", "protectionLevel", "algorithm", "destroyTime"] {
        body.ignore(field);
    }
    body.finish()?;
    change(app, &call, |state| if enable { state.enable() } else { state.disable() }).await
}

async fn destroy(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    call.body_object()?.finish()?;
    let key = stored(app, Kind::CryptoKey, &key_name(&call)?.to_string()).await?;
    let delay = KeyDocument::of(&key)?.delay();
    let now = call.now.as_micros();
    change(app, &call, |state| state.schedule_destruction(now, delay)).await
}

async fn restore(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    call.body_object()?.finish()?;
    let now = call.now.as_micros();
    change(app, &call, |state| state.restore(now)).await
}

async fn change(
    app: &App,
    call: &Call,
    transition: impl Fn(Lifecycle) -> Result<Lifecycle, IllegalTransition>,
) -> Result<Reply, ApiError> {
    let (row, document) = current(app, call).await?;
    if document.is_overdue(call.now) {
        bury(app, call, &row, document).await?;
        return Err(refused(&row.name, "DESTROYED", "its time to be destroyed has come"));
    }
    let before = document.lifecycle(call.now);
    let after = transition(before).map_err(|why| refused(&row.name, before.name(), &why.to_string()))?;
    let document = document.with(after);
    let replace = Change::Replace {
        kind: Kind::CryptoKeyVersion,
        name: row.name.clone(),
        document: document.text(),
        expect: Some(row.revision),
    };
    call.commit(app, vec![replace]).await?;
    Ok(Reply::json(document.shown(&row.name, UnixTime::from_micros(row.created), call.now)))
}

/// Carries out a destruction that is due: the material and the state together.
pub(super) async fn bury(app: &App, call: &Call, row: &Resource, document: VersionDocument) -> Result<(), ApiError> {
    let destroyed = document.lifecycle(call.now);
    let changes = vec![
        Change::Replace {
            kind: Kind::CryptoKeyVersion,
            name: row.name.clone(),
            document: document.with(destroyed).text(),
            expect: Some(row.revision),
        },
        Change::DeleteSealedKey { name: row.name.clone() },
    ];
    call.commit(app, changes).await.map(|_| ())
}

/// Google's form of "not in this state".
pub(super) fn refused(name: &str, state: &str, why: &str) -> ApiError {
    let kind = match state {
        "DISABLED" => "KEY_DISABLED",
        "DESTROYED" | "DESTROY_SCHEDULED" => "KEY_DESTROYED",
        _ => "KEY_STATE",
    };
    ApiError::failed_precondition(format!("{name}: {why}; current state is: {state}."))
        .with_detail(status::precondition_failure(kind, name, why))
}
