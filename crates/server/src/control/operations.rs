//! Operations of Kubernetes Engine, Service Usage and Artifact Registry. All of them are done when they are answered; the last ones of each
//! project are kept for whoever asks again.

use binauthz_core::name::{ClusterName, LocationId, ProjectId};
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, MAX_ROWS, NewResource, Resource};
use binauthz_wire::container::{self, Operation, OperationKind};
use binauthz_wire::json::{self, Limits};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing;
use super::routes::{Api, ApiVersion, Class, Handler, Route, Verb};
use crate::access::{On, denied};
use crate::app::App;

/// Operations kept of each project and API; the oldest makes room for a new one.
const KEPT: usize = 100;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |template, name, permission, handler: Handler| Route {
        verb: Verb::Get,
        template,
        versions: ApiVersion::CONTAINER,
        api: Api::Container,
        name,
        permission,
        class: Class::Read,
        handler,
    };
    let list = |template| {
        row(template, "ListOperations", "container.operations.list", |app, call| Box::pin(list(app, call)))
    };
    let read = |template| row(template, "GetOperation", "container.operations.get", |app, call| Box::pin(read(app, call)));
    vec![
        list("/{version}/projects/{project}/locations/{location}/operations"),
        list("/{version}/projects/{project}/zones/{location}/operations"),
        read("/{version}/projects/{project}/locations/{location}/operations/{operation}"),
        read("/{version}/projects/{project}/zones/{location}/operations/{operation}"),
        Route {
            versions: ApiVersion::V1_ONLY,
            api: Api::ServiceUsage,
            ..row("/{version}/operations/{operation}", "GetOperation", "serviceusage.services.get", |app, call| {
                Box::pin(read_service_operation(app, call))
            })
        },
    ]
}

/// A new operation on a cluster, and the changes that keep it.
pub(super) async fn new(
    app: &App,
    now: UnixTime,
    kind: OperationKind,
    cluster: ClusterName,
) -> Result<(Operation, Vec<Change>), ApiError> {
    let id = format!("operation-{}-{}", now.as_micros() / 1_000, unique());
    let parent = format!("projects/{}", cluster.project());
    let name = format!("{parent}/locations/{}/operations/{id}", cluster.location());
    let operation = Operation {
        id,
        kind,
        cluster,
        time: now,
    };
    let document = container::write_stored_operation(&operation).to_string();
    let changes = keep(
        app,
        NewResource {
            kind: Kind::Operation,
            name,
            parent,
            document,
        },
    )
    .await?;
    Ok((operation, changes))
}

/// The name of a new Service Usage operation, and the changes that keep what `answer` makes of it.
pub(super) async fn new_of_services(
    app: &App,
    project: &ProjectId,
    answer: impl FnOnce(&str) -> serde_json::Value,
) -> Result<(serde_json::Value, Vec<Change>), ApiError> {
    let name = format!(
        "operations/acat.p2-{}-{}",
        super::projects::number(project),
        uuid::Uuid::new_v4()
    );
    let answer = answer(&name);
    let (parent, document) = (format!("projects/{project}/services"), answer.to_string());
    let changes = keep(
        app,
        NewResource {
            kind: Kind::Operation,
            name,
            parent,
            document,
        },
    )
    .await?;
    Ok((answer, changes))
}

/// The name of a new Artifact Registry operation, and the changes that keep what `answer` makes of it. Its address is one
/// of Kubernetes Engine's, but it is in none of that API's lists.
pub(super) async fn new_of_artifacts(
    app: &App,
    project: &ProjectId,
    location: &LocationId,
    answer: impl FnOnce(&str) -> serde_json::Value,
) -> Result<(serde_json::Value, Vec<Change>), ApiError> {
    let name = format!(
        "projects/{project}/locations/{location}/operations/{}",
        uuid::Uuid::new_v4()
    );
    let answer = answer(&name);
    let (parent, document) = (artifacts(project), answer.to_string());
    let changes = keep(
        app,
        NewResource {
            kind: Kind::Operation,
            name,
            parent,
            document,
        },
    )
    .await?;
    Ok((answer, changes))
}

/// What Artifact Registry's operations are kept under.
fn artifacts(project: &ProjectId) -> String {
    format!("projects/{project}/artifacts")
}

fn unique() -> String {
    uuid::Uuid::new_v4()
        .simple()
        .to_string()
        .chars()
        .take(8)
        .collect()
}

/// Keeps an operation and forgets what is too many. Two calls at once may forget the same one, which is why it is
/// cleared and not deleted.
async fn keep(app: &App, operation: NewResource) -> Result<Vec<Change>, ApiError> {
    let mut rows = kept(app, operation.parent.clone()).await?;
    rows.sort_by_key(|row| row.created);
    let surplus = (rows.len() + 1).saturating_sub(KEPT);
    let forget = rows.into_iter().take(surplus).map(|row| Change::Clear {
        kind: Kind::Operation,
        name: row.name,
    });
    Ok(forget.chain([Change::Insert(operation)]).collect())
}

async fn kept(app: &App, parent: String) -> Result<Vec<Resource>, ApiError> {
    Ok(app
        .store
        .list(&ListQuery {
            kind: Kind::Operation,
            parent,
            after: None,
            limit: MAX_ROWS,
        })
        .await?)
}

/// How the names under the location of the call begin; `-` is every location.
pub(super) fn prefix(call: &Call) -> Result<String, ApiError> {
    let project = call.project()?;
    match call.param("location") {
        "-" => Ok(format!("projects/{project}/locations/")),
        location => Ok(format!(
            "projects/{project}/locations/{}/",
            location.parse::<LocationId>()?
        )),
    }
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let mut rows = kept(app, format!("projects/{}", call.project()?)).await?;
    let prefix = prefix(&call)?;
    rows.retain(|row| row.name.starts_with(&prefix));
    let operations = rows
        .iter()
        .map(|row| describe(&call, row))
        .collect::<Result<_, _>>()?;
    Ok(Reply::json(listing::reply("operations", operations, None)))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let location: LocationId = call.param("location").parse()?;
    let project = call.project()?;
    let name = format!(
        "projects/{project}/locations/{location}/operations/{}",
        call.param("operation")
    );
    let row = found(app, name).await?;
    if row.parent == artifacts(&project) {
        return as_kept(&row);
    }
    Ok(Reply::json(describe(&call, &row)?))
}

async fn read_service_operation(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = format!("operations/{}", call.param("operation"));
    let Some(row) = app.store.resource(Kind::Operation, &name).await? else {
        // Nobody but who may read all of them is told that it is not there.
        call.require(app, "serviceusage.services.get", &name).await?;
        return Err(missing(&name));
    };
    match call.allows(app, "serviceusage.services.get", &row.parent).await? {
        true => as_kept(&row),
        false => Err(denied(
            &call.caller,
            "serviceusage.services.get",
            On::Resource(&name),
        )),
    }
}

/// An operation that was kept as it was answered.
fn as_kept(row: &Resource) -> Result<Reply, ApiError> {
    Ok(Reply::json(
        json::parse(row.document.as_bytes(), Limits::API)?.into(),
    ))
}

async fn found(app: &App, name: String) -> Result<Resource, ApiError> {
    let row = app.store.resource(Kind::Operation, &name).await?;
    row.ok_or_else(|| missing(&name))
}

fn missing(name: &str) -> ApiError {
    ApiError::not_found(format!(
        "`{name}` was not found: the last {KEPT} operations are kept"
    ))
}

fn describe(call: &Call, row: &Resource) -> Result<serde_json::Value, ApiError> {
    let id = row.name.rsplit('/').next().unwrap_or_default();
    let value = json::parse(row.document.as_bytes(), Limits::API)?;
    let operation = container::read_operation(value, id, UnixTime::from_micros(row.created))?;
    Ok(container::write_operation(&operation, call.version.as_str()))
}
