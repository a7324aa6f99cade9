//! Cloud Logging: the recorded verdicts and calls as log entries.

use binauthz_core::name::ProjectId;
use binauthz_wire::json::Object;
use binauthz_wire::logging::Query;
use binauthz_wire::page::{PageToken, page_size};
use serde_json::json;

use super::call::{Call, Reply, require_project};
use super::error::ApiError;
use super::listing;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;
use crate::audit::{Journal, Position};
use crate::logs::{List, NO_PROJECT, Order, Place, names};

/// Resource names of one list, as at Google.
const MOST_NAMES: usize = 100;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::V2_ONLY,
        api: Api::Logging,
        name,
        permission,
        class,
        handler,
    };
    const LOGS: &str = "/{version}/projects/{project}/logs";
    const VIEW: &str = "/{version}/projects/{project}/locations/{location}/buckets/{bucket}/views/{view}/logs";
    vec![
        row(Verb::Post, "/{version}/entries:list", "ListLogEntries", "logging.logEntries.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, LOGS, "ListLogs", "logging.logs.list", Class::Read, |app, call| Box::pin(list_logs(app, call))),
        row(Verb::Get, VIEW, "ListLogs", "logging.logs.list", Class::Read, |app, call| Box::pin(list_logs(app, call))),
    ]
}

async fn list(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mut body = call.body_object()?;
    let mut resources = body.take_strings("resourceNames")?;
    let projects = body.take_strings("projectIds")?;
    resources.extend(projects.iter().map(|project| format!("projects/{project}")));
    let filter = body.take_optional_string("filter")?.unwrap_or_default();
    let order = order(&mut body)?;
    let size = page_size(body.take_optional_i64("pageSize")?, 50, 1000)?;
    let token = body
        .take_optional_string("pageToken")?
        .filter(|token| !token.is_empty());
    body.finish()?;
    let query = Query::parse(&filter)?;
    let projects = readable(app, &call, &resources).await?;
    let name = format!("entries {order:?} {} {filter}", resources.join(","));
    let list = List {
        projects,
        query,
        order,
        size,
        from: token.map(|token| place(&name, &token)).transpose()?,
    };
    let found = blocking(app, move |journal| list.read(journal)).await?;
    let next = found.next.map(|Place { position, given }| {
        PageToken::encode(
            &name,
            &format!("{}-{}-{given}", position.segment, position.offset),
        )
    });
    Ok(Reply::json(listing::reply("entries", found.entries, next)))
}

/// `timestamp desc` and the like; without it, as Google, the oldest first.
fn order(body: &mut Object) -> Result<Order, ApiError> {
    let text = body.take_optional_string("orderBy")?.unwrap_or_default();
    match text.split_whitespace().collect::<Vec<&str>>().as_slice() {
        [] | ["timestamp"] | ["timestamp", "asc"] => Ok(Order::OldestFirst),
        ["timestamp", "desc"] => Ok(Order::NewestFirst),
        _ => Err(body
            .refused("orderBy", "must be `timestamp asc` or `timestamp desc`")
            .into()),
    }
}

fn place(list: &str, token: &str) -> Result<Place, ApiError> {
    let refused = || ApiError::invalid_argument("`pageToken` is not one of this list");
    let token = PageToken::decode(list, token)?;
    let numbers: Option<Vec<u64>> = token
        .after()
        .split('-')
        .map(|number| number.parse().ok())
        .collect();
    let Some([segment, offset, given]) = numbers.as_deref() else {
        return Err(refused());
    };
    Ok(Place {
        position: Position {
            segment: *segment,
            offset: *offset,
        },
        given: usize::try_from(*given).map_err(|_| refused())?,
    })
}

/// The projects of the resources, each of which must be there.
async fn readable(app: &App, call: &Call, resources: &[String]) -> Result<Vec<String>, ApiError> {
    if resources.is_empty() || resources.len() > MOST_NAMES {
        return Err(ApiError::invalid_argument(format!(
            "`resourceNames` has {} names, expected 1 to {MOST_NAMES} such as `projects/PROJECT`",
            resources.len()
        )));
    }
    let mut projects = Vec::with_capacity(resources.len());
    for (index, resource) in resources.iter().enumerate() {
        let project = project_of(resource, index)?;
        if project == NO_PROJECT {
            if !call.caller.may(Class::Write) {
                return Err(ApiError::permission_denied(
                    "`projects/_`: calls that are about no project are for administrators to read",
                ));
            }
        } else {
            require_project(app, &project.parse::<ProjectId>()?).await?;
        }
        projects.push(project.to_owned());
    }
    Ok(projects)
}

fn project_of(resource: &str, index: usize) -> Result<&str, ApiError> {
    match resource.split('/').collect::<Vec<&str>>().as_slice() {
        ["projects", project] | ["projects", project, "locations", _, "buckets", _, "views", _] => {
            Ok(project)
        }
        ["folders" | "organizations" | "billingAccounts", ..] => Err(ApiError::permission_denied(format!(
            "`resourceNames[{index}]`: this server has projects only, expected `projects/PROJECT`"
        ))),
        _ => Err(ApiError::invalid_argument(format!(
            "`resourceNames[{index}]`: expected `projects/PROJECT` or \
             `projects/PROJECT/locations/LOCATION/buckets/BUCKET/views/VIEW`"
        ))),
    }
}

async fn list_logs(app: &App, call: Call) -> Result<Reply, ApiError> {
    let projects = vec![call.project()?.to_string()];
    let names = blocking(app, move |journal| names(journal, &projects)).await?;
    if names.is_empty() {
        return Ok(Reply::empty());
    }
    Ok(Reply::json(json!({ "logNames": names })))
}

/// Reads the journal where waiting for a disk holds nobody up.
async fn blocking<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&Journal) -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let journal = app.journal.clone();
    match tokio::task::spawn_blocking(move || read(&journal)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) | Err(_) => Err(ApiError::unavailable(
            "the verdict journal cannot be read; try again",
        )),
    }
}
