//! Cloud KMS: key rings, asymmetric signing keys and their versions. Private keys are made and used here and are never
//! outside of `binauthz-keyring` unsealed.

mod documents;
mod keys;
mod signing;
mod versions;

use binauthz_core::name::{CryptoKeyName, KeyRingName, KeyVersionName};
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, NewResource, Resource};
use binauthz_wire::json::timestamp_out;
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Handler, Route, Verb};
use crate::app::App;

pub(crate) fn routes() -> Vec<Route> {
    const LOCATIONS: &str = "/{version}/projects/{project}/locations";
    const RINGS: &str = "/{version}/projects/{project}/locations/{location}/keyRings";
    const RING: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}";
    vec![
        row(Verb::Get, LOCATIONS, "ListLocations", "cloudkms.locations.list", Class::Read, |_, call| Box::pin(async move { locations(&call) })),
        row(Verb::Post, RINGS, "CreateKeyRing", "cloudkms.keyRings.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, RINGS, "ListKeyRings", "cloudkms.keyRings.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, RING, "GetKeyRing", "cloudkms.keyRings.get", Class::Read, |app, call| Box::pin(read(app, call))),
    ]
    .into_iter()
    .chain(keys::routes())
    .chain(versions::routes())
    .chain(signing::routes())
    .collect()
}

fn row(
    verb: Verb,
    template: &'static str,
    name: &'static str,
    permission: &'static str,
    class: Class,
    handler: Handler,
) -> Route {
    Route { verb, template, versions: ApiVersion::V1_ONLY, api: Api::CloudKms, name, permission, class, handler }
}

fn ring_name(call: &Call) -> Result<KeyRingName, ApiError> {
    Ok(KeyRingName::new(call.project()?, call.param("location").parse()?, call.param("ring").parse()?))
}

fn key_name(call: &Call) -> Result<CryptoKeyName, ApiError> {
    Ok(format!("{}/cryptoKeys/{}", ring_name(call)?, call.param("key")).parse()?)
}

fn version_name(call: &Call) -> Result<KeyVersionName, ApiError> {
    Ok(format!("{}/cryptoKeyVersions/{}", key_name(call)?, call.param("number")).parse()?)
}

async fn stored(app: &App, kind: Kind, name: &str) -> Result<Resource, ApiError> {
    let row = app.store.resource(kind, name).await?;
    row.ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))
}

fn locations(call: &Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let name = format!("projects/{project}/locations/global");
    Ok(Reply::json(json!({ "locations": [{ "name": name, "locationId": "global" }] })))
}

fn shown(name: &str, created: UnixTime) -> serde_json::Value {
    json!({ "name": name, "createTime": timestamp_out(created) })
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let location = call.param("location").parse()?;
    let name = KeyRingName::new(call.project()?, location, call.query_string("keyRingId")?.parse()?);
    let mut body = call.body_object()?;
    body.ignore("name");
    body.finish()?;
    let parent = format!("projects/{}/locations/{}", name.project(), name.location());
    let resource = NewResource { kind: Kind::KeyRing, name: name.to_string(), parent, document: "{}".to_owned() };
    call.commit(app, vec![Change::Insert(resource)]).await?;
    Ok(Reply::json(shown(&name.to_string(), call.now)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let location: binauthz_core::name::LocationId = call.param("location").parse()?;
    let parent = format!("projects/{}/locations/{location}", call.project()?);
    let page = Page::of(&call, format!("{parent}/keyRings"), 100, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::KeyRing, &parent).await?;
    let rings = rows.iter().map(|row| shown(&row.name, UnixTime::from_micros(row.created))).collect();
    Ok(Reply::json(listing::reply("keyRings", rings, next)))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let row = stored(app, Kind::KeyRing, &ring_name(&call)?.to_string()).await?;
    Ok(Reply::json(shown(&row.name, UnixTime::from_micros(row.created))))
}
