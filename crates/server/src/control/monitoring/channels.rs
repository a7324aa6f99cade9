//! Notification channels. Their secrets are sealed apart from the document.

use std::time::Instant;

use binauthz_keyring::MasterKey;
use binauthz_store::{Change, Kind, NewResource};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::monitoring::channel::{
    FIELDS, NotificationChannel, read_channel, write_channel, write_stored_channel,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Collection, all, by_caller, document, new_id, policies, require_room};
use crate::alert::channel::{Message, SendError};
use crate::alert::kept::{self, Secrets, Unusable};
use crate::alert::series::Key;
use crate::alert::{self, Incident, Notice};
use crate::app::App;
use crate::control::call::{Call, Reply};
use crate::control::error::ApiError;

/// What a list may be filtered and sorted by.
/// The label that says where a channel posts.
const URL: &str = "url";
const LISTED_BY: &[&str] = &["name", "type", "displayName", "description", "enabled"];

pub(super) static COLLECTION: Collection<NotificationChannel> = Collection {
    kind: Kind::NotificationChannel,
    name: "notificationChannels",
    parameter: "channel",
    fields: LISTED_BY,
    parse: read_channel,
    value,
    write,
};

/// What is secret of it is hidden.
type Stored = super::Stored<NotificationChannel>;

pub(super) async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let mut channel = read_channel(call.take_body())?;
    channel.reveal_secrets(&[])?;
    require_way(app, &channel)?;
    let made = make_secret(&mut channel, &call)?;
    let name = format!("{parent}/notificationChannels/{}", new_id(&call));
    let secrets = channel.hide_secrets();
    let turn = app.alert_writes.take(&app.store).await?;
    require_room(app, Kind::NotificationChannel, &parent, "notification channels").await?;
    let caller = by_caller(&call);
    let mut changes = vec![Change::Insert(NewResource {
        kind: Kind::NotificationChannel,
        name: name.clone(),
        parent,
        document: document(&write_stored_channel(&channel), &caller.by, &caller.by),
    })];
    let master = app.master.hold().await;
    changes.extend(sealed(&master, &name, &secrets, &call)?);
    changes.extend(turn.mark());
    call.commit(app, changes).await?;
    let mut reply = write_channel(&name, &channel, &caller, &[]);
    if let Some(secret) = made {
        // Shown this once: whoever verifies signatures needs it, and nobody else has it.
        reply["labels"]["secret"] = json!(*secret);
    }
    Ok(Reply::json(reply))
}

/// A channel that nothing could be sent by is not kept: whoever relies on it would wait for notices in vain.
fn require_way(app: &App, channel: &NotificationChannel) -> Result<(), ApiError> {
    if channel.kind.kind == "email" && app.poster.mailer().is_none() {
        return Err(ApiError::failed_precondition(
            "a channel of type `email` needs a mail server: `smtp` is missing in the server's configuration file",
        ));
    }
    Ok(())
}

/// A webhook's signing secret, where none was given.
fn make_secret(
    channel: &mut NotificationChannel,
    call: &Call,
) -> Result<Option<Zeroizing<String>>, ApiError> {
    let wants = |key: &str| channel.kind.labels.iter().any(|label| label.key == key);
    if !wants("secret") || channel.label("secret").is_some() {
        return Ok(None);
    }
    let bytes = MasterKey::random_bytes().map_err(|error| {
        tracing::error!(%error, "no randomness for the secret of a channel");
        ApiError::internal(&call.request_id)
    })?;
    let secret = Zeroizing::new(hex::encode(*bytes));
    channel.labels.push(("secret".to_owned(), secret.to_string()));
    Ok(Some(secret))
}

/// The change that keeps the secrets of a channel, which replaces those kept before.
fn sealed(
    master: &MasterKey,
    name: &str,
    secrets: &Secrets,
    call: &Call,
) -> Result<Option<Change>, ApiError> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let clear = Zeroizing::new(json!(secrets).to_string());
    let sealed = master.seal_secret(name, clear.as_bytes()).map_err(|error| {
        tracing::error!(%error, name, "the secrets of a channel are not sealed");
        ApiError::internal(&call.request_id)
    })?;
    Ok(Some(Change::PutSealedKey {
        name: name.to_owned(),
        sealed,
    }))
}

/// The secrets that are kept for a channel; none if there are none.
async fn opened(app: &App, name: &str) -> Result<Secrets, ApiError> {
    kept::secrets(&app.store, &*app.master.hold().await, name)
        .await
        .map_err(|why| match why {
            Unusable::Store(why) => why.into(),
            why => ApiError::failed_precondition(why.to_string()),
        })
}

fn write(stored: &Stored) -> serde_json::Value {
    let record = &stored.record;
    let updates = if record.row.updated == record.row.created {
        Vec::new()
    } else {
        vec![record.updated()]
    };
    write_channel(&record.row.name, &stored.content, &record.created(), &updates)
}

fn value(stored: &Stored, field: &str) -> String {
    let channel = &stored.content;
    match field {
        "type" => channel.kind.kind.to_owned(),
        "displayName" => channel.display_name.clone(),
        "description" => channel.description.clone(),
        "enabled" => channel.enabled.to_string(),
        _ => stored.record.row.name.clone(),
    }
}

pub(super) async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = COLLECTION.name_of(&call)?;
    let mask = FieldMask::parse_whole(call.query.string("updateMask")?.unwrap_or_default(), FIELDS)?;
    let body = call.take_body();
    let turn = app.alert_writes.take(&app.store).await?;
    let Stored { record, content } = COLLECTION.stored(app, &name).await?;
    let kept = opened(app, &name).await?;
    let (kind, url) = (content.kind, content.label(URL).map(str::to_owned));
    let mut channel = content.updated(body, &mask)?;
    // The password of one kind of channel is not handed to another, nor one receiver's to the next.
    let kept = if channel.kind == kind && channel.label(URL) == url.as_deref() {
        kept
    } else {
        Secrets::new()
    };
    channel.reveal_secrets(&kept)?;
    require_way(app, &channel)?;
    make_secret(&mut channel, &call)?;
    let secrets = channel.hide_secrets();
    let caller = by_caller(&call);
    let mut changes = vec![Change::Replace {
        kind: Kind::NotificationChannel,
        name: name.clone(),
        document: document(&write_stored_channel(&channel), &record.created_by, &caller.by),
        expect: Some(record.row.revision),
    }];
    let master = app.master.hold().await;
    match sealed(&master, &name, &secrets, &call)? {
        Some(change) => changes.push(change),
        None => changes.extend(forgotten(app, &name).await?),
    }
    changes.extend(turn.mark());
    call.commit(app, changes).await?;
    Ok(Reply::json(write_channel(
        &name,
        &channel,
        &record.created(),
        &[caller],
    )))
}

/// The change that forgets the secrets of a channel, if it has any.
async fn forgotten(app: &App, name: &str) -> Result<Option<Change>, ApiError> {
    let kept = app.store.sealed_key(name).await?;
    Ok(kept.map(|_| Change::DeleteSealedKey {
        name: name.to_owned(),
    }))
}

/// Sends a notice that says that it is a test. There is no code in it: whoever sees it arrive knows that the channel works.
pub(super) async fn test(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = COLLECTION.name_of(&call)?;
    match send_test(app, &mut call, &name).await? {
        Ok(()) => Ok(Reply::empty()),
        Err(why) => Err(ApiError::failed_precondition(format!(
            "`{name}` did not take the test notice: {why}"
        ))),
    }
}

/// The same, and says what happened: also that it was not taken is an answer.
pub(in crate::control) async fn verify(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = COLLECTION.name_of(&call)?;
    let begun = Instant::now();
    let outcome = send_test(app, &mut call, &name).await?;
    let mut reply = json!({
        "name": name,
        "delivered": outcome.is_ok(),
        "durationMillis": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    if let Err(why) = outcome {
        reply["reason"] = json!(why.to_string());
        reply["again"] = json!(matches!(why, SendError::Later(_)));
    }
    Ok(Reply::json(reply))
}

async fn send_test(app: &App, call: &mut Call, name: &str) -> Result<Result<(), SendError>, ApiError> {
    let mut channel = COLLECTION.stored(app, name).await?.content;
    call.body_object()?.finish()?;
    channel.reveal_secrets(&opened(app, name).await?)?;
    require_way(app, &channel)?;
    let Some(way) = alert::channel::of(&channel, &app.poster) else {
        let kind = channel.kind.kind;
        return Err(ApiError::failed_precondition(format!(
            "`{name}`: notices cannot be sent by `{kind}` yet"
        )));
    };
    let notice = test_notice(call, name)?;
    let message = Message {
        delivery: &call.request_id,
        now: call.now,
        notice: &notice,
    };
    Ok(way.send(&message).await)
}

fn test_notice(call: &Call, name: &str) -> Result<Notice, ApiError> {
    let incident = Incident {
        id: format!("test-{}", call.request_id),
        policy: String::new(),
        condition: String::new(),
        started: call.now,
        renewed: call.now,
        notified: call.now,
        ended: Some(call.now),
        metric_type: String::new(),
        about: Key::default(),
        summary: format!(
            "this is a test of `{name}`, asked for by `{}`",
            call.caller.principal()
        ),
    };
    Ok(Notice {
        incident,
        project: call.project()?.to_string(),
        policy_name: "Test".to_owned(),
        condition_name: "Test".to_owned(),
        documentation: String::new(),
        user_labels: Vec::new(),
        channels: vec![name.to_owned()],
        is_wanted: true,
    })
}

/// A channel that policies name is deleted only with `force`, and then out of them, too.
pub(super) async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = COLLECTION.name_of(&call)?;
    let parent = format!("projects/{}", call.project()?);
    let force = call.query.boolean("force")?;
    let caller = by_caller(&call);
    let turn = app.alert_writes.take(&app.store).await?;
    let mut changes = vec![Change::Delete {
        kind: Kind::NotificationChannel,
        name: name.clone(),
        expect: None,
    }];
    changes.extend(forgotten(app, &name).await?);
    for row in all(app, Kind::AlertPolicy, &parent).await? {
        let stored = policies::COLLECTION.parse(row)?;
        let (record, mut policy) = (stored.record, stored.content);
        if !policy.notification_channels.contains(&name) {
            continue;
        }
        if !force {
            return Err(ApiError::failed_precondition(format!(
                "`{name}` is told by `{}`: take it out of the policy first, or delete with `force=true`",
                record.row.name
            )));
        }
        policy.notification_channels.retain(|channel| *channel != name);
        changes.push(policies::replacement(&record, &policy, &caller.by));
    }
    changes.extend(turn.mark());
    call.commit(app, changes).await?;
    Ok(Reply::empty())
}
