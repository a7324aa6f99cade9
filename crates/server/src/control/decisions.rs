//! Our own addresses for verdicts: the recorded ones, and the one a workload would get.

use std::sync::Arc;

use binauthz_core::name::ClusterName;
use binauthz_wire::manifest;
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::reply;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::admission::preview;
use crate::app::App;
use crate::audit::{Position, Tail};

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, handler| Route {
        verb,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::Binauthz,
        name,
        permission,
        class: Class::Read,
        handler,
    };
    const DECISIONS: &str = "/binauthz/v1/projects/{project}/decisions";
    const SETTINGS: &str = "/binauthz/v1/settings";
    const DECIDE: &str = "/binauthz/v1/projects/{project}/locations/{location}/clusters/{cluster}:decide";
    vec![
        row(Verb::Get, DECISIONS, "ListDecisions", "binauthz.decisions.list", |app, call| Box::pin(list(app, call))),
        row(Verb::Post, DECIDE, "Decide", "binauthz.decisions.preview", |app, call| Box::pin(decide(app, call))),
        row(Verb::Get, SETTINGS, "GetSettings", "binauthz.settings.get", |app, _| Box::pin(settings(app))),
    ]
}

/// Newest first.
async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let prefix = format!("projects/{}/", call.project()?);
    let limit = usize::try_from(call.page_size(50, 1000)?).unwrap_or(50);
    let before = call.query.string("pageToken")?.map(position).transpose()?;
    let journal = Arc::new(app.journal.clone());
    let query = Tail {
        before,
        ..Tail::newest(limit)
    };
    let read = tokio::task::spawn_blocking(move || {
        journal.tail(&query, |row| {
            row.record["cluster"]
                .as_str()
                .is_some_and(|name| name.starts_with(&prefix))
        })
    });
    let page = match read.await {
        Ok(Ok(page)) => page,
        Ok(Err(_)) | Err(_) => {
            return Err(ApiError::unavailable(
                "the verdict journal cannot be read; try again",
            ));
        }
    };
    let next = page.next.map(|next| format!("{}-{}", next.segment, next.offset));
    let records = page.rows.into_iter().map(|row| row.record).collect();
    Ok(Reply::json(reply("decisions", records, next)))
}

fn position(token: &str) -> Result<Position, ApiError> {
    let numbers = token
        .split_once('-')
        .and_then(|(segment, offset)| Some((segment.parse().ok()?, offset.parse().ok()?)));
    let (segment, offset) =
        numbers.ok_or_else(|| ApiError::invalid_argument("`pageToken` is not one of this list"))?;
    Ok(Position { segment, offset })
}

/// The verdict each object of the body would get. Nothing is recorded, nothing is admitted.
async fn decide(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let cluster = ClusterName::new(
        call.project()?,
        call.param("location").parse()?,
        call.param("cluster").parse()?,
    );
    let namespace = call.query.string("namespace")?.map(str::to_owned);
    let explain = call.query.boolean("explain")?;
    let text = serde_json::Value::from(call.take_body()).to_string();
    let objects =
        manifest::read(text.as_bytes()).map_err(|why| ApiError::invalid_argument(why.to_string()))?;
    let mut results = Vec::new();
    for object in &objects {
        let described = preview(app, &cluster, object, namespace.as_deref(), explain)
            .await
            .map_err(|why| ApiError::invalid_argument(why.to_string()))?;
        results.push(described);
    }
    Ok(Reply::json(json!({ "decisions": results })))
}

/// What the server was told to do that a verdict depends on and no resource says: for verdicts without the server.
async fn settings(app: &App) -> Result<Reply, ApiError> {
    Ok(Reply::json(
        json!({ "requirePolicy": app.settings.require_policy }),
    ))
}
