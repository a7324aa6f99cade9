//! Our own addresses for verdicts: the recorded ones, and the one a workload would get.

use std::sync::Arc;

use binauthz_core::name::ClusterName;
use binauthz_core::time::UnixTime;
use binauthz_wire::json::timestamp_from;
use binauthz_wire::manifest;
use serde_json::{Value, json};

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

/// Which recorded verdicts are wanted.
struct Wanted {
    /// What the cluster's name begins with.
    project: String,
    /// Members of the record and the text each must be.
    members: Vec<(&'static str, String)>,
    image: Option<String>,
    since: Option<UnixTime>,
}

impl Wanted {
    fn of(call: &Call) -> Result<Wanted, ApiError> {
        let text = |name| Ok::<_, ApiError>(call.query.string(name)?.map(str::to_owned));
        let mut members = Vec::new();
        for name in ["verdict", "namespace", "effect", "reason"] {
            members.extend(text(name)?.map(|value| (name, value)));
        }
        let since = text("since")?;
        let unreadable = || {
            ApiError::invalid_argument(
                "query parameter `since`: expected RFC 3339 such as `2026-11-23T08:00:00Z`",
            )
        };
        Ok(Wanted {
            project: format!("projects/{}/", call.project()?),
            members,
            image: text("image")?,
            since: since
                .map(|since| timestamp_from(&since).ok_or_else(unreadable))
                .transpose()?,
        })
    }

    fn is_too_old(&self, record: &Value) -> bool {
        let time = record["time"].as_str().and_then(timestamp_from);
        self.since
            .is_some_and(|since| time.is_some_and(|time| time < since))
    }

    fn wants(&self, record: &Value) -> bool {
        let is = |(name, text): &(&str, String)| record[*name].as_str() == Some(text);
        let shows = |part: &String| {
            let images = record["images"].as_array().into_iter().flatten();
            images
                .filter_map(|image| image["image"].as_str())
                .any(|image| image.contains(part.as_str()))
        };
        record["cluster"]
            .as_str()
            .is_some_and(|name| name.starts_with(&self.project))
            && self.members.iter().all(is)
            && self.image.as_ref().is_none_or(shows)
            && !self.is_too_old(record)
    }
}

/// Newest first; `verdict`, `namespace`, `effect`, `reason`, `image` (a part of one) and `since` narrow it.
async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let wanted = Wanted::of(&call)?;
    let limit = usize::try_from(call.page_size(50, 1000)?).unwrap_or(50);
    let before = call.query.string("pageToken")?.map(position).transpose()?;
    let journal = Arc::new(app.journal.clone());
    let query = Tail {
        before,
        ..Tail::newest(limit)
    };
    let read = tokio::task::spawn_blocking(move || {
        let mut past = false;
        let page = journal.tail(&query, |row| {
            past |= wanted.is_too_old(&row.record);
            wanted.wants(&row.record)
        });
        page.map(|page| (page, past))
    });
    let (page, past) = match read.await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) | Err(_) => {
            return Err(ApiError::unavailable(
                "the verdict journal cannot be read; try again",
            ));
        }
    };
    // What is older still is not wanted either.
    let next = page
        .next
        .filter(|_| !past)
        .map(|next| format!("{}-{}", next.segment, next.offset));
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
    let text = Value::from(call.take_body()).to_string();
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
