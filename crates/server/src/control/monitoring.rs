//! Cloud Monitoring: alert policies, notification channels, and the series of log-based metrics.

mod channels;
mod descriptors;
mod order;
mod policies;
mod time_series;

pub(super) use channels::verify;

use binauthz_core::time::UnixTime;
use binauthz_store::{Kind, ListQuery, Resource};
use binauthz_wire::filter::Filter;
use binauthz_wire::json::{self, Limits, Object, Value};
use binauthz_wire::monitoring::Mutation;
use serde_json::json;

use self::order::Order;
use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::alert::shipped;
use crate::app::App;

/// Policies and channels of one project, each. A list is sorted and filtered in memory: 1 000 policies of about 4 KB are
/// 4 MB, and Google's own limit is 500.
const MAX_RESOURCES: u32 = 1_000;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::V3_ONLY,
        api: Api::Monitoring,
        name,
        permission,
        class,
        handler,
    };
    const POLICIES: &str = "/{version}/projects/{project}/alertPolicies";
    const POLICY: &str = "/{version}/projects/{project}/alertPolicies/{policy}";
    const CHANNELS: &str = "/{version}/projects/{project}/notificationChannels";
    const CHANNEL: &str = "/{version}/projects/{project}/notificationChannels/{channel}";
    const TEST: &str = "/{version}/projects/{project}/notificationChannels/{channel}:sendVerificationCode";
    const KINDS: &str = "/{version}/projects/{project}/notificationChannelDescriptors";
    const KIND: &str = "/{version}/projects/{project}/notificationChannelDescriptors/{descriptor}";
    const SNOOZES: &str = "/{version}/projects/{project}/snoozes";
    const SERIES: &str = "/{version}/projects/{project}/timeSeries";
    const METRICS: &str = "/{version}/projects/{project}/metricDescriptors";
    const METRIC: &str = "/{version}/projects/{project}/metricDescriptors/{metric_type**}";
    const RESOURCES: &str = "/{version}/projects/{project}/monitoredResourceDescriptors";
    const RESOURCE: &str = "/{version}/projects/{project}/monitoredResourceDescriptors/{resource_type}";
    vec![
        row(Verb::Post, POLICIES, "CreateAlertPolicy", "monitoring.alertPolicies.create", Class::Write, |app, call| Box::pin(policies::create(app, call))),
        row(Verb::Get, POLICIES, "ListAlertPolicies", "monitoring.alertPolicies.list", Class::Read, |app, call| Box::pin(policies::list(app, call))),
        row(Verb::Get, POLICY, "GetAlertPolicy", "monitoring.alertPolicies.get", Class::Read, |app, call| Box::pin(policies::read(app, call))),
        row(Verb::Patch, POLICY, "UpdateAlertPolicy", "monitoring.alertPolicies.update", Class::Write, |app, call| Box::pin(policies::update(app, call))),
        row(Verb::Delete, POLICY, "DeleteAlertPolicy", "monitoring.alertPolicies.delete", Class::Write, |app, call| Box::pin(policies::delete(app, call))),
        row(Verb::Post, CHANNELS, "CreateNotificationChannel", "monitoring.notificationChannels.create", Class::Write, |app, call| Box::pin(channels::create(app, call))),
        row(Verb::Get, CHANNELS, "ListNotificationChannels", "monitoring.notificationChannels.list", Class::Read, |app, call| Box::pin(channels::list(app, call))),
        row(Verb::Get, CHANNEL, "GetNotificationChannel", "monitoring.notificationChannels.get", Class::Read, |app, call| Box::pin(channels::read(app, call))),
        row(Verb::Patch, CHANNEL, "UpdateNotificationChannel", "monitoring.notificationChannels.update", Class::Write, |app, call| Box::pin(channels::update(app, call))),
        row(Verb::Delete, CHANNEL, "DeleteNotificationChannel", "monitoring.notificationChannels.delete", Class::Write, |app, call| Box::pin(channels::delete(app, call))),
        row(Verb::Post, TEST, "SendNotificationChannelVerificationCode", "monitoring.notificationChannels.sendVerificationCode", Class::Write, |app, call| Box::pin(channels::test(app, call))),
        row(Verb::Get, KINDS, "ListNotificationChannelDescriptors", "monitoring.notificationChannelDescriptors.list", Class::Read, |app, call| Box::pin(descriptors::list(app, call))),
        row(Verb::Get, KIND, "GetNotificationChannelDescriptor", "monitoring.notificationChannelDescriptors.get", Class::Read, |app, call| Box::pin(descriptors::read(app, call))),
        row(Verb::Get, SNOOZES, "ListSnoozes", "monitoring.snoozes.list", Class::Read, |app, call| Box::pin(snoozes(app, call))),
        row(Verb::Get, SERIES, "ListTimeSeries", "monitoring.timeSeries.list", Class::Read, |app, call| Box::pin(time_series::list(app, call))),
        row(Verb::Get, METRICS, "ListMetricDescriptors", "monitoring.metricDescriptors.list", Class::Read, |app, call| Box::pin(time_series::list_metrics(app, call))),
        row(Verb::Get, METRIC, "GetMetricDescriptor", "monitoring.metricDescriptors.get", Class::Read, |app, call| Box::pin(time_series::read_metric(app, call))),
        row(Verb::Get, RESOURCES, "ListMonitoredResourceDescriptors", "monitoring.monitoredResourceDescriptors.list", Class::Read, |app, call| Box::pin(time_series::list_resources(app, call))),
        row(Verb::Get, RESOURCE, "GetMonitoredResourceDescriptor", "monitoring.monitoredResourceDescriptors.get", Class::Read, |app, call| Box::pin(time_series::read_resource(app, call))),
    ]
}

/// Nothing can be silenced here, so nothing is.
async fn snoozes(_: &App, call: Call) -> Result<Reply, ApiError> {
    call.project()?;
    Ok(Reply::empty())
}

/// A stored document: what the client wrote, and who wrote it.
struct Record {
    row: Resource,
    created_by: String,
    updated_by: String,
    content: Value,
}

impl Record {
    fn read(row: Resource) -> Result<Record, ApiError> {
        let mut object = Object::new(json::parse(row.document.as_bytes(), Limits::API)?, "")?;
        let record = Record {
            created_by: object.take_string("createdBy")?,
            updated_by: object.take_string("updatedBy")?,
            content: object.take_optional_value("content")?.unwrap_or(Value::Null),
            row,
        };
        object.finish()?;
        Ok(record)
    }

    fn created(&self) -> Mutation {
        Mutation {
            time: UnixTime::from_micros(self.row.created),
            by: self.created_by.clone(),
        }
    }

    fn updated(&self) -> Mutation {
        Mutation {
            time: UnixTime::from_micros(self.row.updated),
            by: self.updated_by.clone(),
        }
    }
}

fn document(content: &serde_json::Value, created_by: &str, updated_by: &str) -> String {
    json!({ "content": content, "createdBy": created_by, "updatedBy": updated_by }).to_string()
}

/// Whoever makes this call, now.
fn by_caller(call: &Call) -> Mutation {
    Mutation {
        time: call.now,
        by: call.caller.principal().to_owned(),
    }
}

/// A name for a new resource, as Google's are: digits that grow with time. The last three make two names of one
/// microsecond differ.
fn new_id(call: &Call) -> String {
    let salt = uuid::Uuid::new_v4().as_u128() % 1_000;
    format!("{}{salt:03}", call.now.as_micros())
}

async fn stored(app: &App, kind: Kind, name: &str) -> Result<Record, ApiError> {
    let row = app.store.resource(kind, name).await?;
    let shipped = || match kind {
        Kind::AlertPolicy => shipped::named(name).map(|policy| policies::shipped(name, &policy)),
        _ => None,
    };
    let row = row.or_else(shipped).filter(|row| !policies::is_deleted(row));
    Record::read(row.ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))?)
}

/// Everything of a kind in a project; of alert policies those too that every project has from the start.
async fn all(app: &App, kind: Kind, parent: &str) -> Result<Vec<Resource>, ApiError> {
    let query = ListQuery {
        kind,
        parent: parent.to_owned(),
        after: None,
        limit: MAX_RESOURCES,
    };
    let mut rows = app.store.list(&query).await?;
    if kind == Kind::AlertPolicy {
        let project = parent.strip_prefix("projects/").unwrap_or_default();
        for (name, policy) in shipped::of(project) {
            if rows.iter().all(|row| row.name != name) {
                rows.push(policies::shipped(&name, &policy));
            }
        }
        rows.retain(|row| !policies::is_deleted(row));
    }
    Ok(rows)
}

/// Refuses one resource more than a project may have.
async fn require_room(app: &App, kind: Kind, parent: &str, what: &str) -> Result<(), ApiError> {
    if all(app, kind, parent).await?.len() < MAX_RESOURCES as usize {
        return Ok(());
    }
    Err(ApiError::failed_precondition(format!(
        "`{parent}` has {MAX_RESOURCES} {what} already, the most a project may have"
    )))
}

/// The name of the resource of the path.
fn name_of(call: &Call, collection: &str, parameter: &str) -> Result<String, ApiError> {
    let (project, id) = (call.project()?, call.param(parameter));
    let is_id = |id: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !id.is_empty() && id.len() <= 63 && id.bytes().all(known)
    };
    if is_id(id) {
        return Ok(format!("projects/{project}/{collection}/{id}"));
    }
    Err(ApiError::invalid_argument(format!(
        "`{}` is not an id: expected up to 63 letters, digits, `-` and `_`",
        id.chars()
            .take(63)
            .flat_map(char::escape_debug)
            .collect::<String>()
    )))
}

/// What a list of resources shows, and by what it is filtered and sorted.
struct Listing<T> {
    collection: &'static str,
    kind: Kind,
    fields: &'static [&'static str],
    parse: fn(Record) -> Result<T, ApiError>,
    value: fn(&T, &str) -> String,
    write: fn(&T) -> serde_json::Value,
}

/// One page of a filtered and sorted list.
async fn list<T>(app: &App, call: &Call, listing: Listing<T>) -> Result<Reply, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let filter = call.query.string("filter")?.unwrap_or_default();
    let order = call.query.string("orderBy")?.unwrap_or_default();
    let collection = listing.collection;
    let page = Page::of(call, format!("{parent}/{collection} {order} {filter}"), 100, 1000)?;
    let (filter, order) = (
        Filter::parse(filter, listing.fields)?,
        Order::parse(order, listing.fields)?,
    );
    let mut items = Vec::new();
    for row in all(app, listing.kind, &parent).await? {
        let item = (listing.parse)(Record::read(row)?)?;
        if filter.matches(&|field| (listing.value)(&item, field)) {
            items.push((order.keys(&|field| (listing.value)(&item, field)), item));
        }
    }
    let total = items.len();
    items.sort_by(|(one, _), (other, _)| order.compare(one, other));
    if let Some(after) = page.after() {
        let after = order::from_token(&after)?;
        items.retain(|(keys, _)| order.compare(keys, &after).is_gt());
    }
    let next = page.cut(&mut items, |(keys, _)| order::to_token(keys));
    let items = items.iter().map(|(_, item)| (listing.write)(item)).collect();
    let mut reply = listing::reply(collection, items, next);
    if total > 0 {
        reply["totalSize"] = total.into();
    }
    Ok(Reply::json(reply))
}
