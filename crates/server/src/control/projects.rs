//! Projects: made here, or, with `--dev`, existing because somebody names them.

use aws_lc_rs::digest;
use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, MAX_ROWS, NewResource, Resource};
use binauthz_wire::filter::Filter;
use binauthz_wire::json::{self, timestamp_out};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::access::On;
use crate::app::App;
use crate::auth::Role;

/// The longest display name, as Resource Manager has it.
const MAX_DISPLAY_NAME: usize = 30;

/// What a filter may ask about; `gcloud projects list` always asks for `lifecycleState:ACTIVE`.
const FIELDS: &[&str] = &["lifecycleState", "projectId", "id", "name", "projectNumber"];

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let versions = ApiVersion::V1_ONLY;
    vec![
        Route {
            verb: Verb::Post,
            template: "/binauthz/v1/projects",
            versions,
            api: Api::Binauthz,
            name: "CreateProject",
            permission: "resourcemanager.projects.create",
            class: Class::Write,
            handler: |app, call| Box::pin(create(app, call)),
        },
        Route {
            verb: Verb::Get,
            template: "/binauthz/v1/projects",
            versions,
            api: Api::Binauthz,
            name: "ListProjects",
            permission: "resourcemanager.projects.list",
            class: Class::Read,
            handler: |app, call| Box::pin(list(app, call)),
        },
        Route {
            verb: Verb::Get,
            template: "/{version}/projects",
            versions,
            api: Api::ResourceManager,
            name: "ListProjects",
            permission: "resourcemanager.projects.list",
            class: Class::Read,
            handler: |app, call| Box::pin(list(app, call)),
        },
        Route {
            verb: Verb::Get,
            template: "/{version}/projects/{project}",
            versions,
            api: Api::ResourceManager,
            name: "GetProject",
            permission: "resourcemanager.projects.get",
            class: Class::Read,
            handler: |app, call| Box::pin(read(app, call)),
        },
    ]
}

/// The number Google would have given a project: twelve digits, always the same for the same id. It appears in names of
/// service accounts and guards nothing.
pub(crate) fn number(project: &ProjectId) -> u64 {
    let hash = digest::digest(&digest::SHA256, project.as_str().as_bytes());
    let seed = hash
        .as_ref()
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    100_000_000_000 + seed % 900_000_000_000
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let project: ProjectId = call.query_string("projectId")?.parse()?;
    let mut body = call.body_object()?;
    let display_name = body.take_optional_string("displayName")?;
    body.ignore("projectId");
    body.finish()?;
    if display_name
        .as_ref()
        .is_some_and(|name| name.chars().count() > MAX_DISPLAY_NAME)
    {
        return Err(ApiError::invalid_argument(format!(
            "`displayName` is longer than {MAX_DISPLAY_NAME} characters"
        )));
    }
    let display_name = display_name.unwrap_or_else(|| project.to_string());
    let resource = NewResource {
        kind: Kind::Project,
        name: format!("projects/{project}"),
        parent: String::new(),
        document: json!({ "displayName": display_name }).to_string(),
    };
    call.commit(app, vec![Change::Insert(resource)]).await?;
    Ok(Reply::json(describe(&project, &display_name, Some(call.now))))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let text = call.query.string("filter")?.unwrap_or_default();
    let filter = Filter::parse(text, FIELDS)?;
    let page = Page::of(&call, format!("projects {text}"), 100, 500)?;
    let query = ListQuery {
        kind: Kind::Project,
        parent: String::new(),
        after: page.after(),
        limit: page.scan(&filter),
    };
    let rows = app.store.list(&query).await?;
    let (rows, query) = match call.caller.role() {
        Role::Admin | Role::Viewer
            if call
                .caller
                .reaches("resourcemanager.projects.get", On::Installation) =>
        {
            (rows, query)
        }
        _ => of_caller(app, &call, query).await?,
    };
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let project = from_row(&row)?;
        shown.push((row.name, project));
    }
    let wanted = |(_, project): &(String, serde_json::Value)| {
        filter.matches(&|field| {
            // Filters call the id either way.
            let field = if field == "id" { "projectId" } else { field };
            project[field].as_str().unwrap_or_default().to_owned()
        })
    };
    let (found, next) = page.filtered(shown, query.limit, |(name, _)| name.clone(), wanted);
    let projects = found.into_iter().map(|(_, project)| project).collect();
    Ok(Reply::json(listing::reply("projects", projects, next)))
}

/// All that are the caller's to see, behind the page: its token must not name one that is not.
async fn of_caller(
    app: &App,
    call: &Call,
    mut query: ListQuery,
) -> Result<(Vec<Resource>, ListQuery), ApiError> {
    query.limit = MAX_ROWS;
    let mut seen = Vec::new();
    loop {
        let rows = app.store.list(&query).await?;
        query.after = rows.last().map(|row| row.name.clone());
        for row in rows {
            if call
                .allows(app, "resourcemanager.projects.get", &row.name)
                .await?
            {
                seen.push(row);
            }
        }
        if query.after.is_none() {
            // No page is the last of a scan that was cut off.
            query.limit = u32::MAX;
            return Ok((seen, query));
        }
    }
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    // The wrapper has seen to it that the project exists; with `--dev` it may do so without a row.
    match app
        .store
        .resource(Kind::Project, &format!("projects/{project}"))
        .await?
    {
        Some(row) => Ok(Reply::json(from_row(&row)?)),
        None => Ok(Reply::json(describe(&project, project.as_str(), None))),
    }
}

fn from_row(row: &Resource) -> Result<serde_json::Value, ApiError> {
    let project: ProjectId = row.name.strip_prefix("projects/").unwrap_or_default().parse()?;
    let document = json::parse(row.document.as_bytes(), json::Limits::API)?;
    let display_name = document
        .member("displayName")
        .and_then(|name| name.as_str())
        .unwrap_or(project.as_str());
    Ok(describe(
        &project,
        display_name,
        Some(UnixTime::from_micros(row.created)),
    ))
}

fn describe(project: &ProjectId, display_name: &str, created: Option<UnixTime>) -> serde_json::Value {
    let mut answer = json!({
        "projectId": project.as_str(),
        "projectNumber": number(project).to_string(),
        "name": display_name,
        "lifecycleState": "ACTIVE",
    });
    if let (Some(created), Some(members)) = (created, answer.as_object_mut()) {
        members.insert("createTime".to_owned(), timestamp_out(created).into());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_twelve_digits_and_stay() {
        for id in ["demo", "p1", "example.com:my-project"] {
            let project: ProjectId = id.parse().unwrap();
            assert_eq!(number(&project).to_string().len(), 12, "{id}");
            assert_eq!(number(&project), number(&project.clone()));
        }
        assert_ne!(number(&"p1".parse().unwrap()), number(&"p2".parse().unwrap()));
    }
}
