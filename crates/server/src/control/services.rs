//! Service Usage: every API of this server is there; what a project enabled or disabled is kept and shown.

use binauthz_core::name::ProjectId;
use binauthz_store::{Change, Kind, ListQuery, NewResource};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;

/// The services there are.
const SERVICES: [(&str, &str); 9] = [
    ("artifactregistry.googleapis.com", "Artifact Registry API"),
    ("binaryauthorization.googleapis.com", "Binary Authorization API"),
    ("cloudkms.googleapis.com", "Cloud Key Management Service (KMS) API"),
    ("cloudresourcemanager.googleapis.com", "Cloud Resource Manager API"),
    ("container.googleapis.com", "Kubernetes Engine API"),
    ("containeranalysis.googleapis.com", "Container Analysis API"),
    ("logging.googleapis.com", "Cloud Logging API"),
    ("monitoring.googleapis.com", "Cloud Monitoring API"),
    ("serviceusage.googleapis.com", "Service Usage API"),
];

const MAX_BATCH: usize = 20;

pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::ServiceUsage,
        name,
        permission,
        class,
        handler,
    };
    const SERVICE: &str = "/{version}/projects/{project}/services/{service}";
    const ALL: &str = "/{version}/projects/{project}/services";
    vec![
        row(Verb::Post, "/{version}/projects/{project}/services/{service}:enable", "EnableService", "serviceusage.services.enable", Class::Write, |app, call| Box::pin(set(app, call, true))),
        row(Verb::Post, "/{version}/projects/{project}/services/{service}:disable", "DisableService", "serviceusage.services.disable", Class::Write, |app, call| Box::pin(set(app, call, false))),
        row(Verb::Post, "/{version}/projects/{project}/services:batchEnable", "BatchEnableServices", "serviceusage.services.enable", Class::Write, |app, call| Box::pin(batch(app, call))),
        row(Verb::Get, SERVICE, "GetService", "serviceusage.services.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Get, ALL, "ListServices", "serviceusage.services.list", Class::Read, |app, call| Box::pin(list(app, call))),
    ]
}

fn known(id: &str) -> Result<(&'static str, &'static str), ApiError> {
    SERVICES.into_iter().find(|(name, _)| *name == id).ok_or_else(|| {
        let names: Vec<&str> = SERVICES.iter().map(|(name, _)| *name).collect();
        let id: String = id.chars().take(100).collect();
        ApiError::not_found(format!("service `{id}` is not served here, expected one of {}", names.join(", ")))
    })
}

fn describe(project: &ProjectId, (id, title): (&str, &str), enabled: bool) -> serde_json::Value {
    json!({
        "name": format!("projects/{project}/services/{id}"),
        "parent": format!("projects/{project}"),
        "config": { "name": id, "title": title },
        "state": if enabled { "ENABLED" } else { "DISABLED" },
    })
}

fn change(project: &ProjectId, id: &str, enabled: bool) -> Change {
    let name = format!("projects/{project}/services/{id}");
    let parent = format!("projects/{project}");
    let document = json!({ "enabled": enabled }).to_string();
    Change::Put { resource: NewResource { kind: Kind::Service, name, parent, document }, expect: None }
}

fn done(kind: &str, members: serde_json::Value) -> Reply {
    let mut response = members;
    response["@type"] = format!("type.googleapis.com/google.api.serviceusage.v1.{kind}").into();
    Reply::json(json!({ "name": "operations/acat.done", "done": true, "response": response }))
}

async fn set(app: &App, mut call: Call, enabled: bool) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let service = known(call.param("service"))?;
    let mut body = call.body_object()?;
    body.ignore("checkIfServiceHasUsage");
    body.ignore("disableDependentServices");
    body.finish()?;
    call.commit(app, vec![change(&project, service.0, enabled)]).await?;
    let kind = if enabled { "EnableServiceResponse" } else { "DisableServiceResponse" };
    Ok(done(kind, json!({ "service": describe(&project, service, enabled) })))
}

async fn batch(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let mut body = call.body_object()?;
    let ids = body.take_strings("serviceIds")?;
    body.finish()?;
    if ids.is_empty() || ids.len() > MAX_BATCH {
        return Err(ApiError::invalid_argument(format!("`serviceIds` has {} entries, expected 1 to {MAX_BATCH}", ids.len())));
    }
    let services = ids.iter().map(|id| known(id)).collect::<Result<Vec<_>, _>>()?;
    let changes = services.iter().map(|(id, _)| change(&project, id, true)).collect();
    call.commit(app, changes).await?;
    let described: Vec<_> = services.into_iter().map(|service| describe(&project, service, true)).collect();
    Ok(done("BatchEnableServicesResponse", json!({ "services": described })))
}

async fn enabled(app: &App, project: &ProjectId) -> Result<Vec<String>, ApiError> {
    let query = ListQuery { kind: Kind::Service, parent: format!("projects/{project}"), after: None, limit: 100 };
    let rows = app.store.list(&query).await?;
    Ok(rows
        .into_iter()
        .filter(|row| row.document.contains("true"))
        .filter_map(|row| row.name.rsplit('/').next().map(str::to_owned))
        .collect())
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let service = known(call.param("service"))?;
    let enabled = enabled(app, &project).await?.iter().any(|id| id == service.0);
    Ok(Reply::json(describe(&project, service, enabled)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let wanted = match call.query.string("filter")? {
        None => None,
        Some("state:ENABLED") => Some(true),
        Some("state:DISABLED") => Some(false),
        Some(_) => return Err(ApiError::invalid_argument("`filter` must be `state:ENABLED` or `state:DISABLED`")),
    };
    let on = enabled(app, &project).await?;
    let services: Vec<_> = SERVICES
        .into_iter()
        .map(|service| (service, on.iter().any(|id| id == service.0)))
        .filter(|(_, state)| wanted.is_none_or(|wanted| wanted == *state))
        .map(|(service, state)| describe(&project, service, state))
        .collect();
    Ok(Reply::json(json!({ "services": services })))
}
