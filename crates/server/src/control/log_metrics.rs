//! Cloud Logging's log-based metrics: which entries are counted.

use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, NewResource, Resource};
use binauthz_wire::json::{self, Limits};
use binauthz_wire::logging::metric::{LogMetric, read_metric, write_metric, write_stored_metric};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use super::template;
use crate::app::App;
use crate::counting::MOST_METRICS as MOST_METRICS_EVERYWHERE;

/// Metrics of one project: every entry is held against each of them.
const MOST_METRICS: u32 = 100;

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
    const ALL: &str = "/{version}/projects/{project}/metrics";
    const ONE: &str = "/{version}/projects/{project}/metrics/{metric}";
    vec![
        row(Verb::Post, ALL, "CreateLogMetric", "logging.logMetrics.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, ALL, "ListLogMetrics", "logging.logMetrics.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, ONE, "GetLogMetric", "logging.logMetrics.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Put, ONE, "UpdateLogMetric", "logging.logMetrics.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Delete, ONE, "DeleteLogMetric", "logging.logMetrics.delete", Class::Write, |app, call| Box::pin(delete(app, call))),
    ]
}

/// The id of the path. Clients escape the `/` in it once more, so that it stays one segment.
fn id_of(call: &Call) -> Result<String, ApiError> {
    template::decode(call.param("metric"))
        .ok_or_else(|| ApiError::invalid_argument("the metric's id is not valid percent-encoded UTF-8"))
}

fn parent_of(project: &ProjectId) -> String {
    format!("projects/{project}")
}

fn name_of(project: &ProjectId, id: &str) -> String {
    let escaped = id.replace('%', "%25").replace('/', "%2F");
    format!("projects/{project}/metrics/{escaped}")
}

fn parsed(row: &Resource) -> Result<LogMetric, ApiError> {
    Ok(read_metric(json::parse(row.document.as_bytes(), Limits::API)?)?)
}

fn written(project: &ProjectId, row: &Resource) -> Result<serde_json::Value, ApiError> {
    let created = UnixTime::from_micros(row.created);
    let updated = UnixTime::from_micros(row.updated);
    Ok(write_metric(project, &parsed(row)?, created, updated))
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let metric = read_metric(call.take_body())?;
    let insert = insertion(app, &project, &metric).await?;
    call.commit(app, vec![insert]).await?;
    app.log_metrics.changed.tell();
    Ok(Reply::json(write_metric(&project, &metric, call.now, call.now)))
}

/// The change that makes a metric, if there is room for one more.
async fn insertion(app: &App, project: &ProjectId, metric: &LogMetric) -> Result<Change, ApiError> {
    let query = ListQuery {
        kind: Kind::LogMetric,
        parent: parent_of(project),
        after: None,
        limit: MOST_METRICS,
    };
    let name = name_of(project, &metric.name);
    let rows = app.store.list(&query).await?;
    let is_full = u32::try_from(rows.len()).is_ok_and(|rows| rows >= MOST_METRICS);
    if is_full && rows.iter().all(|row| row.name != name) {
        return Err(ApiError::failed_precondition(format!(
            "`projects/{project}` has {MOST_METRICS} log-based metrics, which is the most: delete one first"
        )));
    }
    let everywhere = ListQuery {
        parent: String::new(),
        limit: MOST_METRICS_EVERYWHERE,
        ..query
    };
    let rows = app.store.list(&everywhere).await?;
    if u32::try_from(rows.len()).is_ok_and(|rows| rows >= MOST_METRICS_EVERYWHERE) {
        return Err(ApiError::failed_precondition(format!(
            "this server has {MOST_METRICS_EVERYWHERE} log-based metrics, which is the most: delete one first"
        )));
    }
    Ok(Change::Insert(NewResource {
        kind: Kind::LogMetric,
        name,
        parent: parent_of(project),
        document: write_stored_metric(metric).to_string(),
    }))
}

async fn stored(app: &App, project: &ProjectId, id: &str) -> Result<Option<Resource>, ApiError> {
    Ok(app.store.resource(Kind::LogMetric, &name_of(project, id)).await?)
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (project, id) = (call.project()?, id_of(&call)?);
    match stored(app, &project, &id).await? {
        Some(row) => Ok(Reply::json(written(&project, &row)?)),
        None => Err(ApiError::not_found(format!(
            "`{}` was not found",
            name_of(&project, &id)
        ))),
    }
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let page = Page::of(&call, format!("projects/{project}/metrics"), 50, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::LogMetric, &parent_of(&project)).await?;
    let metrics = rows.iter().map(|row| written(&project, row));
    let metrics = metrics.collect::<Result<Vec<_>, _>>()?;
    Ok(Reply::json(listing::reply("metrics", metrics, next)))
}

/// Replaces a metric, or makes one that is not there yet, as Google does.
async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let (project, id) = (call.project()?, id_of(&call)?);
    let metric = read_metric(call.take_body())?;
    if metric.name != id {
        return Err(ApiError::invalid_argument(format!(
            "`name` is `{}`, expected the metric of the path, `{id}`",
            metric.name
        )));
    }
    let row = stored(app, &project, &id).await?;
    let (change, created) = match row {
        Some(row) => {
            if parsed(&row)?.distribution.is_some() != metric.distribution.is_some() {
                return Err(ApiError::invalid_argument(
                    "`valueExtractor`: a metric that counts entries stays one, and so does one that takes numbers out of \
                     them: delete it and create it anew",
                ));
            }
            let change = Change::Replace {
                kind: Kind::LogMetric,
                name: row.name,
                document: write_stored_metric(&metric).to_string(),
                expect: Some(row.revision),
            };
            (change, UnixTime::from_micros(row.created))
        }
        None => (insertion(app, &project, &metric).await?, call.now),
    };
    call.commit(app, vec![change]).await?;
    app.log_metrics.changed.tell();
    Ok(Reply::json(write_metric(&project, &metric, created, call.now)))
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call.project()?, &id_of(&call)?);
    let delete = Change::Delete {
        kind: Kind::LogMetric,
        name,
        expect: None,
    };
    call.commit(app, vec![delete]).await?;
    app.log_metrics.changed.tell();
    Ok(Reply::empty())
}
