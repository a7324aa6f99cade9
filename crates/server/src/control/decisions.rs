//! Our own addresses for verdicts: the recorded ones, and the one a workload would get.

use std::io;
use std::ops::ControlFlow;
use std::time::UNIX_EPOCH;

use binauthz_core::decide::refuse;
use binauthz_core::decision::Reason;
use binauthz_core::name::ClusterName;
use binauthz_core::time::UnixTime;
use binauthz_wire::json::{timestamp_from, timestamp_out};
use binauthz_wire::logging::Query;
use binauthz_wire::manifest::{self, InvalidObject};
use binauthz_wire::page::PageToken;
use binauthz_wire::verdict;
use binauthz_wire::workload::InvalidWorkload;
use serde_json::{Value, json};
use uuid::Uuid;

use super::break_glass;
use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::reply;
use super::logging::blocking;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::admission::{again, judged, preview};
use crate::app::App;
use crate::audit::Position;
use crate::logs::{Indexed, Verdicts};

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
    const DECISION: &str = "/binauthz/v1/projects/{project}/decisions/{decision}";
    const FOLLOW: &str = "/binauthz/v1/projects/{project}/decisions:follow";
    const REPORT: &str = "/binauthz/v1/projects/{project}/decisions:reportBreakGlass";
    const SETTINGS: &str = "/binauthz/v1/settings";
    const DECIDE: &str = "/binauthz/v1/projects/{project}/locations/{location}/clusters/{cluster}:decide";
    vec![
        row(Verb::Get, DECISIONS, "ListDecisions", "binauthz.decisions.list", |app, call| Box::pin(list(app, call))),
        row(Verb::Get, DECISION, "GetDecision", "binauthz.decisions.list", |app, call| Box::pin(read(app, call))),
        row(Verb::Get, FOLLOW, "FollowDecisions", "binauthz.decisions.list", |app, call| Box::pin(follow(app, call))),
        row(Verb::Get, REPORT, "ReportBreakGlass", "binauthz.decisions.list", |app, call| Box::pin(break_glass::report(app, call))),
        row(Verb::Post, DECIDE, "Decide", "binauthz.decisions.preview", |app, call| Box::pin(decide(app, call))),
        row(Verb::Get, SETTINGS, "GetSettings", "binauthz.settings.get", |app, _| Box::pin(settings(app))),
    ]
}

/// Which recorded verdicts are wanted.
struct Wanted {
    project: String,
    /// What their log entries must be; the index of the log knows most of it.
    query: Query,
    /// Members of the record and the text each must be.
    members: Vec<(&'static str, String)>,
    image: Option<String>,
    since: Option<UnixTime>,
}

/// A parameter, which is also a member of the record, and where it is in the entry of it.
const MEMBERS: [(&str, &str); 4] = [
    ("verdict", "protoPayload.metadata.verdict"),
    ("namespace", "protoPayload.request.metadata.namespace"),
    ("effect", "protoPayload.metadata.effect"),
    ("reason", "protoPayload.metadata.reason"),
];

impl Wanted {
    fn of(call: &Call) -> Result<Wanted, ApiError> {
        let text = |name| Ok::<_, ApiError>(call.query.string(name)?.map(str::to_owned));
        let filter = call.query.string("filter")?.unwrap_or_default();
        // By itself first: an error names a column of it.
        let mut query = Query::parse(filter)?;
        let mut members = Vec::new();
        for (name, _) in MEMBERS {
            members.extend(text(name)?.map(|value| (name, value)));
        }
        let conditions = MEMBERS.iter().filter_map(|(name, path)| {
            let (_, value) = members
                .iter()
                .find(|(member, value)| member == name && !value.is_empty())?;
            Some(format!("{path}={}", Value::from(value.as_str())))
        });
        let given = (!filter.trim().is_empty()).then(|| format!("({filter}\n)"));
        let parts: Vec<String> = conditions.chain(given).collect();
        if !parts.is_empty() {
            query = Query::parse(&parts.join(" AND "))?;
        }
        Ok(Wanted {
            project: call.project()?.to_string(),
            query,
            members,
            image: text("image")?,
            since: since(call)?,
        })
    }

    fn wants(&self, record: &Value) -> bool {
        let is = |(name, text): &(&str, String)| record[*name].as_str() == Some(text);
        let shows = |part: &String| {
            let images = record["images"].as_array().into_iter().flatten();
            images
                .filter_map(|image| image["image"].as_str())
                .any(|image| image.contains(part.as_str()))
        };
        self.members.iter().all(is) && self.image.as_ref().is_none_or(shows)
    }

    /// What `read` makes of the wanted verdicts of the log.
    async fn read<T: Send + 'static>(
        self,
        app: &App,
        read: impl FnOnce(&Verdicts<'_>, &Indexed) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        blocking(app, move |journals| {
            let verdicts = Verdicts {
                project: &self.project,
                query: &self.query,
                since: self.since,
                wants: &|record| self.wants(record),
            };
            read(&verdicts, &journals.verdicts)
        })
        .await
    }
}

/// The time of the query parameter `since`.
pub(super) fn since(call: &Call) -> Result<Option<UnixTime>, ApiError> {
    let unreadable = || {
        ApiError::invalid_argument(
            "query parameter `since`: expected RFC 3339 such as `2026-11-23T08:00:00Z`",
        )
    };
    let since = call.query.string("since")?;
    since
        .map(|since| timestamp_from(since).ok_or_else(unreadable))
        .transpose()
}

/// Newest first; `verdict`, `namespace`, `effect`, `reason`, `image` (a part of one), `since` and `filter`, of the language
/// of log entries, narrow it.
async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let wanted = Wanted::of(&call)?;
    let most = usize::try_from(call.page_size(50, 1000)?).unwrap_or(50);
    let before = place(app, &call)?;
    let read = wanted.read(app, move |verdicts, indexed| {
        let mut found = Vec::new();
        let rest = verdicts.before(indexed, before, &mut |record| {
            found.push(record);
            match found.len() >= most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok((found, rest))
    });
    let (found, rest) = read.await?;
    let next = rest.map(|place| token(app, place));
    Ok(Reply::json(reply("decisions", found, next)))
}

/// The recorded verdict of a name, and what the verdict on the same request would be today.
async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?.to_string();
    let text = call.param("decision");
    let id = Uuid::parse_str(text).ok().filter(|id| id.get_version_num() == 7);
    let id = id.ok_or_else(|| {
        let why = format!(
            "`{}` is not the id of a decision, which is a UUID of version 7",
            text.escape_debug()
        );
        ApiError::invalid_argument(why)
    })?;
    let name = id.hyphenated().to_string();
    let not_found = ApiError::not_found(format!("project `{project}` has no decision `{name}` on record"));
    // The name begins with the time of the record, to the millisecond.
    let millis = i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX);
    let [from, until] =
        [millis, millis.saturating_add(1)].map(|millis| UnixTime::from_micros(millis.saturating_mul(1_000)));
    let query = format!(
        r#"timestamp>="{}" AND timestamp<="{}""#,
        timestamp_out(from),
        timestamp_out(until)
    );
    let query = Query::parse(&query)?;
    let found = blocking(app, move |journals| {
        let verdicts = Verdicts {
            project: &project,
            query: &query,
            since: Some(from),
            wants: &|record| record["id"] == name.as_str(),
        };
        let start = verdicts.start(&journals.verdicts)?;
        let (found, _) = verdicts.after(&journals.verdicts, (start, 1))?;
        Ok(found.into_iter().next())
    })
    .await?;
    let decision = found.ok_or(not_found)?;
    let mut members = json!({ "decision": decision });
    if let Some(today) = again(app, &members["decision"]).await {
        members["today"] = today;
    }
    Ok(Reply::json(members))
}

/// The verdicts after a place of the log, the oldest first; and the place to go on from, always: there may be more by then.
/// Without a `pageToken` it begins at `since`, else at the end. What narrows a list narrows this.
async fn follow(app: &App, call: Call) -> Result<Reply, ApiError> {
    let wanted = Wanted::of(&call)?;
    let most = usize::try_from(call.page_size(100, 1_000)?).unwrap_or(100);
    let from = place(app, &call)?;
    let read = wanted.read(app, move |verdicts, indexed| {
        let from = match (from, verdicts.since) {
            (Some(from), _) => from,
            (None, Some(_)) => verdicts.start(indexed)?,
            (None, None) => return Ok((Vec::new(), indexed.journal.end())),
        };
        verdicts.after(indexed, (from, most))
    });
    let (found, reached) = read.await?;
    let next = token(app, reached);
    Ok(Reply::json(reply("decisions", found, Some(next))))
}

/// The place that a `pageToken` stands for. It is one of this log: where another one has begun, nothing is known of what was
/// missed.
fn place(app: &App, call: &Call) -> Result<Option<Position>, ApiError> {
    let place = |token| position(PageToken::decode(&log(app), token)?.after());
    call.query.string("pageToken")?.map(place).transpose()
}

fn token(app: &App, place: Position) -> String {
    PageToken::encode(&log(app), &format!("{}-{}", place.segment, place.offset))
}

fn log(app: &App) -> String {
    format!("decisions {}", app.journal.verifier_key())
}

fn position(token: &str) -> Result<Position, ApiError> {
    let numbers = token
        .split_once('-')
        .and_then(|(segment, offset)| Some((segment.parse().ok()?, offset.parse().ok()?)));
    let (segment, offset) =
        numbers.ok_or_else(|| ApiError::invalid_argument("`pageToken` is not one of this list"))?;
    Ok(Position { segment, offset })
}

/// The verdict each object of the body would get. Nothing is recorded, nothing is admitted. With `asWebhook` objects of kinds
/// that the webhook is not asked about are left out, and those that cannot be read are denied; else they are refused.
async fn decide(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let cluster = ClusterName::new(
        call.project()?,
        call.param("location").parse()?,
        call.param("cluster").parse()?,
    );
    let namespace = call.query.string("namespace")?.map(str::to_owned);
    let explain = call.query.boolean("explain")?;
    let as_webhook = call.query.boolean("asWebhook")?;
    let text = Value::from(call.take_body()).to_string();
    let objects =
        manifest::read(text.as_bytes()).map_err(|why| ApiError::invalid_argument(why.to_string()))?;
    let mut results = Vec::new();
    for object in &objects {
        match preview(app, &cluster, object, namespace.as_deref(), explain).await {
            Ok(described) => results.push(described),
            Err(InvalidObject::Workload(InvalidWorkload::UnknownKind(_))) if as_webhook => {}
            // Of which version it would be converted to nothing is known here.
            Err(why) if as_webhook && !is_of_other_version(&why) => {
                let decision = refuse(Reason::Unreviewable(why.to_string()), None);
                results.push(verdict::describe_object(&decision, object));
            }
            Err(why) => return Err(ApiError::invalid_argument(why.to_string())),
        }
    }
    Ok(Reply::json(json!({ "decisions": results })))
}

fn is_of_other_version(why: &InvalidObject) -> bool {
    matches!(
        why,
        InvalidObject::Workload(InvalidWorkload::UnknownVersion { .. })
    )
}

/// Whether an object that a cluster sent would have nothing against it today; nothing if that cannot be told.
pub(super) async fn conforms_now(app: &App, cluster: &ClusterName, object: &Value) -> Option<bool> {
    let objects = manifest::read(object.to_string().as_bytes()).ok()?;
    let decision = judged(app, cluster, objects.first()?, None).await.ok()??;
    let is_told = match decision.reason()? {
        Reason::ClusterNotRegistered(_) | Reason::NoImages => false,
        reason => !reason.is_inconclusive(),
    };
    is_told.then(|| decision.conforms())
}

/// What the server was told to do that a verdict depends on and no resource says: for verdicts without the server.
async fn settings(app: &App) -> Result<Reply, ApiError> {
    // No secret is among them, and nothing that holds one: `Display` shows where they are.
    let shown = app.settings.to_string();
    let effective: serde_json::Map<String, Value> = shown
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let mut answer = json!({
        "requirePolicy": app.settings.require_policy,
        "customResources": app.settings.custom_resources.to_json(),
        "effective": effective,
    });
    let ends = app.certificates.get().map(|certificates| certificates.ends());
    if let Some(Ok(ends)) = ends.map(|ends| ends.duration_since(UNIX_EPOCH)) {
        let ends = i64::try_from(ends.as_secs()).unwrap_or(i64::MAX);
        answer["certificateEndTime"] = json!(timestamp_out(UnixTime::from_seconds(ends)));
    }
    Ok(Reply::json(answer))
}
