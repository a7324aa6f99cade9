//! Alert policies.

use binauthz_store::{ABSENT, Change, Kind, NewResource, Resource};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::monitoring::policy::{
    AlertPolicy, FIELDS, read_policy, write_policy, write_stored_policy,
};

use super::{Collection, Record, by_caller, document, new_id, require_room};
use crate::alert::shipped;
use crate::app::App;
use crate::control::call::{Call, Reply};
use crate::control::error::ApiError;

/// What a list may be filtered and sorted by.
const LISTED_BY: &[&str] = &[
    "name",
    "displayName",
    "enabled",
    "documentation.content",
    "documentation.subject",
];

pub(super) static COLLECTION: Collection<AlertPolicy> = Collection {
    kind: Kind::AlertPolicy,
    name: "alertPolicies",
    parameter: "policy",
    fields: LISTED_BY,
    parse: read_policy,
    value,
    write,
};

type Stored = super::Stored<AlertPolicy>;

pub(super) async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let mut policy = read_policy(call.take_body())?;
    let name = format!("{parent}/alertPolicies/{}", new_id(&call));
    policy.name_conditions(&name);
    let turn = app.alert_writes.take(&app.store).await?;
    require_room(app, Kind::AlertPolicy, &parent, "alert policies").await?;
    let caller = by_caller(&call);
    let mut changes = vec![Change::Insert(NewResource {
        kind: Kind::AlertPolicy,
        name: name.clone(),
        parent: parent.clone(),
        document: document(&write_stored_policy(&policy), &caller.by, &caller.by),
    })];
    changes.extend(channels_exist(app, &parent, &policy).await?);
    changes.extend(turn.mark());
    call.commit(app, changes).await?;
    Ok(Reply::json(write_policy(&name, &policy, &caller, &caller)))
}

/// Whoever is told must be there, now and by the time of the commit.
async fn channels_exist(app: &App, parent: &str, policy: &AlertPolicy) -> Result<Vec<Change>, ApiError> {
    let mut changes = Vec::with_capacity(policy.notification_channels.len());
    for (index, name) in policy.notification_channels.iter().enumerate() {
        if !name.starts_with(&format!("{parent}/notificationChannels/")) {
            return Err(ApiError::invalid_argument(format!(
                "`notificationChannels[{index}]`: expected `{parent}/notificationChannels/ID`"
            )));
        }
        let kind = Kind::NotificationChannel;
        if app.store.resource(kind, name).await?.is_none() {
            // Not "not found": `gcloud` would say that of the project.
            return Err(ApiError::invalid_argument(format!(
                "`notificationChannels[{index}]`: `{name}` was not found: create it first, with `gcloud alpha monitoring \
                 channels create` or a POST to `/v3/{parent}/notificationChannels`"
            )));
        }
        changes.push(Change::Require {
            kind,
            name: name.clone(),
            expect: None,
        });
    }
    Ok(changes)
}

fn write(stored: &Stored) -> serde_json::Value {
    let record = &stored.record;
    let (created, updated) = (record.created(), record.updated());
    write_policy(&record.row.name, &stored.content, &created, &updated)
}

fn value(stored: &Stored, field: &str) -> String {
    let documentation = stored.content.documentation.as_ref();
    match field {
        "displayName" => stored.content.display_name.clone(),
        "enabled" => stored.content.enabled.to_string(),
        "documentation.content" => documentation.map_or_else(String::new, |text| text.content.clone()),
        "documentation.subject" => documentation.map_or_else(String::new, |text| text.subject.clone()),
        _ => stored.record.row.name.clone(),
    }
}

pub(super) async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = COLLECTION.name_of(&call)?;
    let mask = FieldMask::parse_whole(call.query.string("updateMask")?.unwrap_or_default(), FIELDS)?;
    let body = call.take_body();
    let turn = app.alert_writes.take(&app.store).await?;
    let Stored { record, content } = COLLECTION.stored(app, &name).await?;
    let mut policy = content.updated(body, &mask)?;
    policy.name_conditions(&name);
    let caller = by_caller(&call);
    let mut changes = vec![replacement(&record, &policy, &caller.by)];
    changes.extend(channels_exist(app, &record.row.parent, &policy).await?);
    changes.extend(turn.mark());
    call.commit(app, changes).await?;
    Ok(Reply::json(write_policy(
        &name,
        &policy,
        &record.created(),
        &caller,
    )))
}

/// A policy that every project has from the start, as if it were stored.
pub(super) fn shipped(name: &str, policy: &AlertPolicy) -> Resource {
    Resource {
        kind: Kind::AlertPolicy,
        name: name.to_owned(),
        parent: parent_of(name),
        document: document(&write_stored_policy(policy), shipped::MAKER, shipped::MAKER),
        revision: ABSENT,
        created: 0,
        updated: 0,
    }
}

fn parent_of(name: &str) -> String {
    let (parent, _) = name.split_once("/alertPolicies/").unwrap_or_default();
    parent.to_owned()
}

/// Whether the row says of a policy that every project has from the start that it is not wanted here any more.
pub(super) fn is_deleted(row: &Resource) -> bool {
    row.kind == Kind::AlertPolicy && row.document == DELETED
}

/// What is stored in place of such a policy.
const DELETED: &str = r#"{"content":null,"createdBy":"","updatedBy":""}"#;

/// The change from a stored policy to another.
pub(super) fn replacement(record: &Record, policy: &AlertPolicy, updated_by: &str) -> Change {
    if record.row.revision == ABSENT {
        let resource = NewResource {
            kind: Kind::AlertPolicy,
            name: record.row.name.clone(),
            parent: record.row.parent.clone(),
            document: document(&write_stored_policy(policy), &record.created_by, updated_by),
        };
        return Change::Put {
            resource,
            expect: Some(ABSENT),
        };
    }
    Change::Replace {
        kind: Kind::AlertPolicy,
        name: record.row.name.clone(),
        document: document(&write_stored_policy(policy), &record.created_by, updated_by),
        expect: Some(record.row.revision),
    }
}

pub(super) async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = COLLECTION.name_of(&call)?;
    let delete = if shipped::named(&name).is_some() {
        let row = COLLECTION.row(app, &name).await?;
        let resource = NewResource {
            kind: Kind::AlertPolicy,
            parent: parent_of(&name),
            name,
            document: DELETED.to_owned(),
        };
        // Otherwise it would be there again.
        Change::Put {
            resource,
            expect: Some(row.revision),
        }
    } else {
        Change::Delete {
            kind: Kind::AlertPolicy,
            name,
            expect: None,
        }
    };
    call.commit(app, vec![delete]).await?;
    Ok(Reply::empty())
}
