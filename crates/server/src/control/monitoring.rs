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
use binauthz_wire::json::{self, InvalidField, Limits, Object, Value};
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
        row(Verb::Get, POLICIES, "ListAlertPolicies", "monitoring.alertPolicies.list", Class::Read, |app, call| Box::pin(list(app, call, &policies::COLLECTION))),
        row(Verb::Get, POLICY, "GetAlertPolicy", "monitoring.alertPolicies.get", Class::Read, |app, call| Box::pin(read(app, call, &policies::COLLECTION))),
        row(Verb::Patch, POLICY, "UpdateAlertPolicy", "monitoring.alertPolicies.update", Class::Write, |app, call| Box::pin(policies::update(app, call))),
        row(Verb::Delete, POLICY, "DeleteAlertPolicy", "monitoring.alertPolicies.delete", Class::Write, |app, call| Box::pin(policies::delete(app, call))),
        row(Verb::Post, CHANNELS, "CreateNotificationChannel", "monitoring.notificationChannels.create", Class::Write, |app, call| Box::pin(channels::create(app, call))),
        row(Verb::Get, CHANNELS, "ListNotificationChannels", "monitoring.notificationChannels.list", Class::Read, |app, call| Box::pin(list(app, call, &channels::COLLECTION))),
        row(Verb::Get, CHANNEL, "GetNotificationChannel", "monitoring.notificationChannels.get", Class::Read, |app, call| Box::pin(read(app, call, &channels::COLLECTION))),
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

/// A row, and who wrote it.
struct Record {
    row: Resource,
    created_by: String,
    updated_by: String,
}

impl Record {
    /// With what the client wrote.
    fn read(row: Resource) -> Result<(Record, Value), ApiError> {
        let mut object = Object::new(json::parse(row.document.as_bytes(), Limits::API)?, "")?;
        let record = Record {
            created_by: object.take_string("createdBy")?,
            updated_by: object.take_string("updatedBy")?,
            row,
        };
        let content = object.take_optional_value("content")?.unwrap_or(Value::Null);
        object.finish()?;
        Ok((record, content))
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

/// What is stored under a name, with its record.
struct Stored<T> {
    record: Record,
    content: T,
}

/// Resources of one kind: what they are called in a path, how they are read and shown, and by what a list of them is
/// filtered and sorted.
struct Collection<T> {
    kind: Kind,
    name: &'static str,
    parameter: &'static str,
    fields: &'static [&'static str],
    parse: fn(Value) -> Result<T, InvalidField>,
    value: fn(&Stored<T>, &str) -> String,
    write: fn(&Stored<T>) -> serde_json::Value,
}

impl<T> Collection<T> {
    /// The name of the resource of the path.
    fn name_of(&self, call: &Call) -> Result<String, ApiError> {
        let (project, id) = (call.project()?, call.param(self.parameter));
        let is_id = |id: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !id.is_empty() && id.len() <= 63 && id.bytes().all(known)
        };
        if is_id(id) {
            return Ok(format!("projects/{project}/{}/{id}", self.name));
        }
        Err(ApiError::invalid_argument(format!(
            "`{}` is not an id: expected up to 63 letters, digits, `-` and `_`",
            id.chars()
                .take(63)
                .flat_map(char::escape_debug)
                .collect::<String>()
        )))
    }

    fn parse(&self, row: Resource) -> Result<Stored<T>, ApiError> {
        let (record, content) = Record::read(row)?;
        Ok(Stored {
            content: (self.parse)(content)?,
            record,
        })
    }

    async fn stored(&self, app: &App, name: &str) -> Result<Stored<T>, ApiError> {
        self.parse(self.row(app, name).await?)
    }

    async fn row(&self, app: &App, name: &str) -> Result<Resource, ApiError> {
        let row = app.store.resource(self.kind, name).await?;
        let shipped = || match self.kind {
            Kind::AlertPolicy => shipped::named(name).map(|policy| policies::shipped(name, &policy)),
            _ => None,
        };
        let row = row.or_else(shipped).filter(|row| !policies::is_deleted(row));
        row.ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))
    }
}

async fn read<T>(app: &App, call: Call, collection: &Collection<T>) -> Result<Reply, ApiError> {
    let name = collection.name_of(&call)?;
    let stored = collection.stored(app, &name).await?;
    Ok(Reply::json((collection.write)(&stored)))
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

/// One page of a filtered and sorted list.
async fn list<T>(app: &App, call: Call, collection: &Collection<T>) -> Result<Reply, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let filter = call.query.string("filter")?.unwrap_or_default();
    let order = call.query.string("orderBy")?.unwrap_or_default();
    let all_of = format!("{parent}/{} {order} {filter}", collection.name);
    let page = Page::of(&call, all_of, 100, 1000)?;
    let (filter, order) = (
        Filter::parse(filter, collection.fields)?,
        Order::parse(order, collection.fields)?,
    );
    let mut items = Vec::new();
    for row in all(app, collection.kind, &parent).await? {
        let item = collection.parse(row)?;
        if filter.matches(&|field| (collection.value)(&item, field)) {
            items.push((order.keys(&|field| (collection.value)(&item, field)), item));
        }
    }
    let total = items.len();
    items.sort_by(|(one, _), (other, _)| order.compare(one, other));
    if let Some(after) = page.after() {
        let after = order::from_token(&after)?;
        items.retain(|(keys, _)| order.compare(keys, &after).is_gt());
    }
    let next = page.cut(&mut items, |(keys, _)| order::to_token(keys));
    let items = items.iter().map(|(_, item)| (collection.write)(item)).collect();
    let mut reply = listing::reply(collection.name, items, next);
    if total > 0 {
        reply["totalSize"] = total.into();
    }
    Ok(Reply::json(reply))
}
