//! Cloud Logging: the recorded verdicts and calls as log entries.

use std::sync::Arc;
use std::time::Duration;

use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;
use binauthz_wire::json::{Object, duration_from};
use binauthz_wire::logging::Query;
use binauthz_wire::page::{PageToken, page_size};
use serde_json::json;

use super::call::{Call, Reply, require_project};
use super::error::ApiError;
use super::listing;
use super::log_entries::{self, deleted};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::access::{self, On};
use crate::app::App;
use crate::audit::Position;
use crate::auth::Caller;
use crate::logs::{At, Deleted, Journals, List, NO_PROJECT, Order, Place, Places, Wanted, names};

/// As at Google: entries are held back so long, by default and at most.
const DEFAULT_WINDOW: Duration = Duration::from_secs(2);
const LONGEST_WINDOW: Duration = Duration::from_secs(60);
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
    const LOG: &str = "/{version}/projects/{project}/logs/{log}";
    const VIEW: &str = "/{version}/projects/{project}/locations/{location}/buckets/{bucket}/views/{view}/logs";
    vec![
        row(Verb::Post, "/{version}/entries:list", "ListLogEntries", "logging.logEntries.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, LOGS, "ListLogs", "logging.logs.list", Class::Read, |app, call| Box::pin(list_logs(app, call))),
        row(Verb::Get, VIEW, "ListLogs", "logging.logs.list", Class::Read, |app, call| Box::pin(list_logs(app, call))),
        row(Verb::Post, "/{version}/entries:write", "WriteLogEntries", "logging.logEntries.create", Class::Ingest, |app, call| Box::pin(log_entries::write(app, call))),
        row(Verb::Delete, LOG, "DeleteLog", "logging.logs.delete", Class::Write, |app, call| Box::pin(log_entries::delete(app, call))),
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
    let projects = readable(app, &call.caller, &resources, call.now).await?;
    let name = format!("entries {order:?} {} {filter}", resources.join(","));
    let start = Places {
        verdicts: At::Start,
        written: At::Start,
    };
    let from = token.map(|token| places(&name, &token)).transpose()?;
    let hidden = hidden(app, &projects).await?;
    let list = List {
        wanted: Wanted {
            projects,
            query,
            deleted: hidden,
        },
        order,
        size,
        from: from.unwrap_or(start),
    };
    let (entries, next) = blocking(app, move |journals| list.read(journals)).await?;
    let next = next.map(|places| PageToken::encode(&name, &written(places)));
    Ok(Reply::json(listing::reply("entries", entries, next)))
}

/// The logs of the projects that were deleted.
async fn hidden(app: &App, projects: &[String]) -> Result<Vec<Deleted>, ApiError> {
    let mut hidden = Vec::new();
    for project in projects.iter().filter(|project| *project != NO_PROJECT) {
        hidden.extend(deleted(app, &project.parse()?).await?);
    }
    Ok(hidden)
}

/// What somebody wants to follow.
#[derive(Debug, Clone)]
pub(crate) struct Tailed {
    pub(crate) wanted: Arc<Wanted>,
    /// How long entries are held back so that they come in order.
    pub(crate) window: Duration,
}

/// Reads what a `TailLogEntriesRequest` asks for.
pub(crate) async fn tailed(
    app: &App,
    caller: &Caller,
    request: serde_json::Value,
) -> Result<Tailed, ApiError> {
    let mut request = Object::new(request.into(), "")?;
    let resources = request.take_strings("resourceNames")?;
    let filter = request.take_optional_string("filter")?.unwrap_or_default();
    let window = request.take_optional_string("bufferWindow")?;
    let window = match window.as_deref().map(duration_from) {
        None => DEFAULT_WINDOW,
        Some(Some(window)) if window <= LONGEST_WINDOW => window,
        Some(_) => {
            return Err(request
                .refused("bufferWindow", "must be a duration from 0 s to 60 s")
                .into());
        }
    };
    request.finish()?;
    let query = Query::parse(&filter)?;
    let projects = readable(app, caller, &resources, (app.clock)()).await?;
    let deleted = hidden(app, &projects).await?;
    let wanted = Arc::new(Wanted {
        projects,
        query,
        deleted,
    });
    Ok(Tailed { wanted, window })
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

/// A place in each journal: `4-1024-0.end`.
fn written(places: Places) -> String {
    let written = |at: At| match at {
        At::Start => "start".to_owned(),
        At::Place(Place { position, given }) => {
            format!("{}-{}-{given}", position.segment, position.offset)
        }
        At::End => "end".to_owned(),
    };
    format!("{}.{}", written(places.verdicts), written(places.written))
}

fn places(list: &str, token: &str) -> Result<Places, ApiError> {
    let token = PageToken::decode(list, token)?;
    let at = |text: &str| match text {
        "start" => Some(At::Start),
        "end" => Some(At::End),
        text => {
            let numbers: Option<Vec<u64>> = text.split('-').map(|number| number.parse().ok()).collect();
            let [segment, offset, given] = numbers?.try_into().ok()?;
            let position = Position { segment, offset };
            let given = usize::try_from(given).ok()?;
            Some(At::Place(Place { position, given }))
        }
    };
    let places = token.after().split_once('.').and_then(|(verdicts, written)| {
        Some(Places {
            verdicts: at(verdicts)?,
            written: at(written)?,
        })
    });
    places.ok_or_else(|| ApiError::invalid_argument("`pageToken` is not one of this list"))
}

/// The projects of the resources, each of which must be the caller's to read, and be there.
async fn readable(
    app: &App,
    caller: &Caller,
    resources: &[String],
    now: UnixTime,
) -> Result<Vec<String>, ApiError> {
    if resources.is_empty() || resources.len() > MOST_NAMES {
        return Err(ApiError::invalid_argument(format!(
            "`resourceNames` has {} names, expected 1 to {MOST_NAMES} such as `projects/PROJECT`",
            resources.len()
        )));
    }
    let mut projects = Vec::with_capacity(resources.len());
    for (index, resource) in resources.iter().enumerate() {
        let project = project_of(resource, index)?;
        projects.push(project.to_owned());
    }
    may_read(app, caller, &projects, now).await?;
    for project in projects.iter().filter(|project| *project != NO_PROJECT) {
        require_project(app, &project.parse::<ProjectId>()?).await?;
    }
    Ok(projects)
}

/// Refuses a caller who may not read the log of one of the projects.
pub(crate) async fn may_read(
    app: &App,
    caller: &Caller,
    projects: &[String],
    now: UnixTime,
) -> Result<(), ApiError> {
    for project in projects {
        if project != NO_PROJECT {
            let name = format!("projects/{project}");
            access::require(app, caller, "logging.logEntries.list", On::Resource(&name), now).await?;
        } else if !caller.is_administrator() {
            return Err(ApiError::permission_denied(
                "`projects/_`: calls that are about no project are for administrators to read",
            ));
        }
    }
    Ok(())
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
    let project = call.project()?;
    let hidden = deleted(app, &project).await?;
    let projects = vec![project.to_string()];
    let names = blocking(app, move |journals| names(journals, &projects, &hidden)).await?;
    if names.is_empty() {
        return Ok(Reply::empty());
    }
    Ok(Reply::json(json!({ "logNames": names })))
}

/// Reads the journals where waiting for a disk holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&Journals) -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let journals = Journals::of(app);
    match tokio::task::spawn_blocking(move || read(&journals)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) | Err(_) => Err(ApiError::unavailable("the journal cannot be read; try again")),
    }
}
