//! Our own addresses for alerts: incidents, notices that were given up, and whether a channel works.

use binauthz_core::time::UnixTime;
use binauthz_store::{Change, DeadLetterQuery, DeliveryRow, IncidentQuery, IncidentRow, IncidentState};
use binauthz_wire::json::timestamp_out;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::monitoring;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::alert::Notice;
use crate::app::App;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::Binauthz,
        name,
        permission,
        class,
        handler,
    };
    const INCIDENTS: &str = "/binauthz/v1/projects/{project}/incidents";
    const INCIDENT: &str = "/binauthz/v1/projects/{project}/incidents/{incident}";
    const LETTERS: &str = "/binauthz/v1/projects/{project}/deadLetters";
    const LETTER: &str = "/binauthz/v1/projects/{project}/deadLetters/{letter}";
    const RETRY: &str = "/binauthz/v1/projects/{project}/deadLetters/{letter}:retry";
    const VERIFY: &str = "/binauthz/v1/projects/{project}/notificationChannels/{channel}:verify";
    vec![
        row(Verb::Get, INCIDENTS, "ListIncidents", "binauthz.incidents.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, INCIDENT, "GetIncident", "binauthz.incidents.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Get, LETTERS, "ListDeadLetters", "binauthz.deadLetters.list", Class::Read, |app, call| Box::pin(list_letters(app, call))),
        row(Verb::Post, RETRY, "RetryDeadLetter", "binauthz.deadLetters.retry", Class::Write, |app, call| Box::pin(retry(app, call))),
        row(Verb::Delete, LETTER, "DeleteDeadLetter", "binauthz.deadLetters.delete", Class::Write, |app, call| Box::pin(delete(app, call))),
        row(Verb::Post, VERIFY, "VerifyNotificationChannel", "binauthz.notificationChannels.verify", Class::Write, |app, call| Box::pin(monitoring::verify(app, call))),
    ]
}

/// The newest first; `state` narrows it.
async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let (state, word) = match call.query.string("state")? {
        None => (None, ""),
        Some("open") => (Some(IncidentState::Open), "open"),
        Some("closed") => (Some(IncidentState::Closed), "closed"),
        Some(_) => {
            return Err(ApiError::invalid_argument(
                "query parameter `state`: expected `open` or `closed`",
            ));
        }
    };
    let page = Page::of(&call, format!("projects/{project}/incidents {word}"), 100, 1000)?;
    let query = IncidentQuery {
        project: project.to_string(),
        state,
        before: page.after().map(|key| key_from(&key)).transpose()?,
        limit: page.fetch(),
    };
    let mut rows = app.store.incidents(&query).await?;
    let next = page.cut(&mut rows, |row| format!("{} {}", row.started, row.id));
    let incidents = rows.iter().map(incident).collect();
    Ok(Reply::json(listing::reply("incidents", incidents, next)))
}

/// When the last incident of a page began, and its id.
fn key_from(text: &str) -> Result<(i64, String), ApiError> {
    let key = text.split_once(' ');
    key.and_then(|(started, id)| Some((started.parse().ok()?, id.to_owned())))
        .ok_or_else(|| ApiError::invalid_argument("`pageToken`: is not a token of this list"))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, id) = (call.project()?, call.param("incident"));
    match app.store.incident(project.as_str(), id).await? {
        Some(row) => Ok(Reply::json(incident(&row))),
        None => Err(not_found("incidents", &call)),
    }
}

fn not_found(collection: &str, call: &Call) -> ApiError {
    let parameter = if collection == "incidents" {
        "incident"
    } else {
        "letter"
    };
    let id: String = call
        .param(parameter)
        .chars()
        .take(63)
        .flat_map(char::escape_debug)
        .collect();
    let project = call.param("project");
    ApiError::not_found(format!("`projects/{project}/{collection}/{id}` was not found"))
}

fn time(micros: i64) -> Value {
    timestamp_out(UnixTime::from_micros(micros)).into()
}

fn labels(labels: &[(String, String)]) -> Map<String, Value> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect()
}

/// An incident as the API shows it. What cannot be read of it is left out.
fn incident(row: &IncidentRow) -> Value {
    let mut shown = json!({
        "name": format!("projects/{}/incidents/{}", row.project, row.id),
        "state": if row.ended.is_some() { "CLOSED" } else { "OPEN" },
        "policy": row.policy,
        "openTime": time(row.started),
    });
    if let Some(ended) = row.ended {
        shown["closeTime"] = time(ended);
    }
    let Ok(notice) = serde_json::from_str::<Notice>(&row.document) else {
        return shown;
    };
    let incident = &notice.incident;
    shown["policyName"] = json!(notice.policy_name);
    shown["condition"] = json!(incident.condition);
    shown["conditionName"] = json!(notice.condition_name);
    shown["renewTime"] = time(incident.renewed.as_micros());
    shown["summary"] = json!(incident.summary);
    shown["resource"] = json!({
        "type": incident.about.resource_type,
        "labels": labels(&incident.about.resource_labels),
    });
    shown["metric"] =
        json!({ "type": incident.metric_type, "labels": labels(&incident.about.metric_labels) });
    shown
}

/// The newest first.
async fn list_letters(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let page = Page::of(&call, format!("projects/{project}/deadLetters"), 100, 1000)?;
    let before = page.after().map(|sequence| sequence.parse::<i64>());
    let unreadable = |_| ApiError::invalid_argument("`pageToken`: is not a token of this list");
    let query = DeadLetterQuery {
        project: project.to_string(),
        before: before.transpose().map_err(unreadable)?,
        limit: page.fetch(),
    };
    let mut rows = app.store.dead_letters(&query).await?;
    let next = page.cut(&mut rows, |row| row.sequence.to_string());
    let letters = rows.iter().map(letter).collect();
    Ok(Reply::json(listing::reply("deadLetters", letters, next)))
}

/// A notice that was given up. What it tells is shown as a webhook would have got it.
fn letter(row: &DeliveryRow) -> Value {
    let mut shown = json!({
        "name": format!("projects/{}/deadLetters/{}", row.project, row.id),
        "channel": row.channel,
        "incident": format!("projects/{}/incidents/{}", row.project, row.incident),
        "createTime": time(row.begun),
        "attempts": row.failures,
        "reason": row.reason,
    });
    if let Some(died) = row.died {
        shown["giveUpTime"] = time(died);
    }
    if let Ok(notice) = serde_json::from_str::<Notice>(&row.document) {
        shown["notice"] = notice.to_json();
    }
    shown
}

async fn retry(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    call.body_object()?.finish()?;
    let (project, id) = (call.project()?.to_string(), call.param("letter").to_owned());
    let retried = call.commit(app, vec![Change::RetryDeadLetter { project, id }]);
    retried.await.map_err(|error| lost(error, &call))?;
    Ok(Reply::empty())
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, id) = (call.project()?.to_string(), call.param("letter").to_owned());
    let deleted = call.commit(app, vec![Change::DeleteDeadLetter { project, id }]);
    deleted.await.map_err(|error| lost(error, &call))?;
    Ok(Reply::empty())
}

/// The store knows ids, callers know names.
fn lost(error: ApiError, call: &Call) -> ApiError {
    if error.http_status() == http::StatusCode::NOT_FOUND {
        not_found("deadLetters", call)
    } else {
        error
    }
}
