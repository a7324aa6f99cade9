//! Key rings, and the locations they are in.

use std::collections::BTreeSet;

use binauthz_core::name::{KeyRingName, LocationId};
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, MAX_ROWS, NewResource};
use binauthz_wire::cloudkms::{write_key_ring, write_location};

use super::super::call::{Call, Reply};
use super::super::error::ApiError;
use super::super::listing::{self, Page};
use super::super::routes::{Class, Route, Verb};
use super::{refuse_filters, row, stored};
use crate::app::App;

/// Always there: the tutorial's location, and the one of a registry in the same tutorial.
const LOCATIONS: [&str; 2] = ["global", "us-central1"];

#[rustfmt::skip] // A table: one route a line.
pub(super) fn routes() -> Vec<Route> {
    const LOCATIONS: &str = "/{version}/projects/{project}/locations";
    const LOCATION: &str = "/{version}/projects/{project}/locations/{location}";
    const ALL: &str = "/{version}/projects/{project}/locations/{location}/keyRings";
    const ONE: &str = "/{version}/projects/{project}/locations/{location}/keyRings/{ring}";
    vec![
        row(
            (Verb::Get, LOCATIONS),
            "ListLocations",
            "cloudkms.locations.list",
            Class::Read,
            |app, call| Box::pin(locations(app, call)),
        ),
        row(
            (Verb::Get, LOCATION),
            "GetLocation",
            "cloudkms.locations.get",
            Class::Read,
            |app, call| Box::pin(location(app, call)),
        ),
        row(
            (Verb::Post, ALL),
            "CreateKeyRing",
            "cloudkms.keyRings.create",
            Class::Write,
            |app, call| Box::pin(create(app, call)),
        ),
        row(
            (Verb::Get, ALL),
            "ListKeyRings",
            "cloudkms.keyRings.list",
            Class::Read,
            |app, call| Box::pin(list(app, call)),
        ),
        row(
            (Verb::Get, ONE),
            "GetKeyRing",
            "cloudkms.keyRings.get",
            Class::Read,
            |app, call| Box::pin(read(app, call)),
        ),
    ]
}

/// The key ring of the path.
pub(super) fn name_of(call: &Call) -> Result<KeyRingName, ApiError> {
    Ok(KeyRingName::new(
        call.project()?,
        call.param("location").parse()?,
        call.param("ring").parse()?,
    ))
}

fn parent_of(call: &Call) -> Result<String, ApiError> {
    let location: LocationId = call.param("location").parse()?;
    Ok(format!("projects/{}/locations/{location}", call.project()?))
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let parent = parent_of(&call)?;
    let location = call.param("location").parse()?;
    let name = KeyRingName::new(
        call.project()?,
        location,
        call.query_string("keyRingId")?.parse()?,
    )
    .to_string();
    let mut body = call.body_object()?;
    body.ignore("name");
    body.ignore("createTime");
    body.finish()?;
    let resource = NewResource {
        kind: Kind::KeyRing,
        name: name.clone(),
        parent,
        document: "{}".to_owned(),
    };
    call.commit(app, vec![Change::Insert(resource)]).await?;
    Ok(Reply::json(write_key_ring(&name, call.now)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    refuse_filters(&call)?;
    let parent = parent_of(&call)?;
    let page = Page::of(&call, format!("{parent}/keyRings"), 100, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::KeyRing, &parent).await?;
    let items = rows
        .iter()
        .map(|row| write_key_ring(&row.name, UnixTime::from_micros(row.created)))
        .collect();
    Ok(Reply::json(listing::reply("keyRings", items, next)))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let row = stored(app, Kind::KeyRing, name_of(&call)?).await?;
    Ok(Reply::json(write_key_ring(
        &row.name,
        UnixTime::from_micros(row.created),
    )))
}

/// The locations that are always there and those in use: any name of the grammar can be used.
async fn locations(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let query = ListQuery {
        kind: Kind::KeyRing,
        parent: String::new(),
        after: None,
        limit: MAX_ROWS,
    };
    let mut known: BTreeSet<String> = LOCATIONS.map(str::to_owned).into();
    for row in app.store.list(&query).await? {
        let ring: KeyRingName = row.name.parse()?;
        if *ring.project() == project {
            known.insert(ring.location().to_string());
        }
    }
    let items = known
        .iter()
        .map(|location| write_location(project.as_str(), location, app.token.is_some()))
        .collect();
    Ok(Reply::json(listing::reply("locations", items, None)))
}

async fn location(app: &App, call: Call) -> Result<Reply, ApiError> {
    let location: LocationId = call.param("location").parse()?;
    Ok(Reply::json(write_location(
        call.project()?.as_str(),
        location.as_str(),
        app.token.is_some(),
    )))
}
