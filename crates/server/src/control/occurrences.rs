//! Container Analysis' occurrences: attestations, kept as they came in.
//!
//! Nothing here makes trust. An occurrence is checked for being about what it says it is about; whether its signature
//! counts is decided at every admission.

mod verification;

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use binauthz_core::image::{Digest, ImageRef, PinnedImage};
use binauthz_core::name::{NoteName, OccurrenceName, ProjectId};
use binauthz_core::payload::unverified_digest;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, CommitError, Kind, OccurrenceQuery, OccurrenceRow, OccurrenceScope};
use binauthz_wire::containeranalysis::{
    Occurrence, read_occurrence, read_occurrence_object, read_remediation, write_occurrence,
};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::filter::Filter;
use binauthz_wire::json::{self, Limits, Object};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use super::{iam, notes};
use crate::app::App;

const FIELDS: &[&str] = &[
    "kind",
    "resourceUri",
    "noteName",
    "noteId",
    "noteProjectId",
    "createTime",
    "updateTime",
];
const MAX_BATCH: usize = 1_000;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::ContainerAnalysis,
        name,
        permission,
        class,
        handler,
    };
    const ALL: &str = "/{version}/projects/{project}/occurrences";
    const ONE: &str = "/{version}/projects/{project}/occurrences/{occurrence}";
    const BATCH: &str = "/{version}/projects/{project}/occurrences:batchCreate";
    const SUMMARY: &str = "/{version}/projects/{project}/occurrences:vulnerabilitySummary";
    const OF_NOTE: &str = "/{version}/projects/{project}/notes/{note}/occurrences";
    const NOTE: &str = "/{version}/projects/{project}/occurrences/{occurrence}/notes";
    vec![
        row(Verb::Post, ALL, "CreateOccurrence", "containeranalysis.occurrences.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Post, BATCH, "BatchCreateOccurrences", "containeranalysis.occurrences.create", Class::Write, |app, call| Box::pin(batch(app, call))),
        row(Verb::Get, ALL, "ListOccurrences", "containeranalysis.occurrences.list", Class::Read, |app, call| Box::pin(of_project(app, call))),
        row(Verb::Get, OF_NOTE, "ListNoteOccurrences", "containeranalysis.notes.listOccurrences", Class::Read, |app, call| Box::pin(of_note(app, call))),
        row(Verb::Get, ONE, "GetOccurrence", "containeranalysis.occurrences.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Get, NOTE, "GetOccurrenceNote", "containeranalysis.occurrences.get", Class::Read, |app, call| Box::pin(note(app, call))),
        row(Verb::Get, SUMMARY, "GetVulnerabilityOccurrencesSummary", "containeranalysis.occurrences.list", Class::Read, |_, call| Box::pin(async move { summary(&call) })),
        row(Verb::Patch, ONE, "UpdateOccurrence", "containeranalysis.occurrences.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Delete, ONE, "DeleteOccurrence", "containeranalysis.occurrences.delete", Class::Write, |app, call| Box::pin(delete(app, call))),
    ]
}

/// The image of `[SCHEME://]IMAGE@sha256:DIGEST` in a field; anything else is told what to do.
pub(super) fn pinned(field: &str, resource_uri: &str) -> Result<PinnedImage, String> {
    let image = resource_uri
        .split_once("://")
        .map_or(resource_uri, |(_, image)| image);
    let shown: String = resource_uri.chars().take(200).collect();
    match image.parse::<ImageRef>() {
        Ok(ImageRef::Pinned(pinned)) => Ok(pinned),
        Ok(ImageRef::Tagged(_)) => Err(format!(
            "`{field}` is `{shown}`, which names no digest: an attestation is about IMAGE@sha256:DIGEST; find the digest with `binauthz images describe {image}`"
        )),
        Err(why) => Err(format!("`{field}` is `{shown}`: {why}")),
    }
}

/// A row that says the same under every name: the resource may come with a scheme or without.
fn row(name: &OccurrenceName, occurrence: &Occurrence, now: UnixTime) -> Result<OccurrenceRow, ApiError> {
    let image = pinned("resourceUri", &occurrence.resource_uri).map_err(ApiError::invalid_argument)?;
    let digest = *image.digest();
    let signed = unverified_digest(&occurrence.attestation.payload)
        .map_err(|why| ApiError::invalid_argument(format!("`attestation.serializedPayload`: {why}")))?;
    if signed != digest {
        return Err(ApiError::invalid_argument(format!(
            "`resourceUri` is about `{digest}`, but the signed payload is about `{signed}`"
        )));
    }
    Ok(OccurrenceRow {
        name: name.to_string(),
        project: format!("projects/{}", name.project()),
        note: occurrence.note.to_string(),
        digest: Some(*digest.as_bytes()),
        resource_uri: occurrence.resource_uri.clone(),
        kind: "ATTESTATION".to_owned(),
        document: write_occurrence(&name.to_string(), occurrence, now, now).to_string(),
        fingerprint: fingerprint(name.project(), occurrence),
        created: now.as_micros(),
        updated: now.as_micros(),
    })
}

/// Project, note, resource, payload and signatures, each with its length before it, so that no two lists of parts collide.
/// The project is in it so that nobody learns by a refusal what another project holds.
fn fingerprint(project: &ProjectId, occurrence: &Occurrence) -> [u8; 32] {
    let note = occurrence.note.to_string();
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(bytes);
    };
    part(project.to_string().as_bytes());
    part(note.as_bytes());
    part(occurrence.resource_uri.as_bytes());
    part(&occurrence.attestation.payload);
    for signature in &occurrence.attestation.signatures {
        part(signature.key_id.as_bytes());
        part(&signature.bytes);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

fn new_name(call: &Call) -> Result<OccurrenceName, ApiError> {
    Ok(OccurrenceName::new(
        call.project()?,
        uuid::Uuid::now_v7().to_string().parse()?,
    ))
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let occurrence = read_occurrence(call.take_body())?;
    let shown = store(app, &call, vec![(new_name(&call)?, occurrence)]).await?;
    Ok(Reply::json(shown.into_iter().next().unwrap_or_default()))
}

async fn batch(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mut body: Object = call.body_object()?;
    body.ignore("parent");
    let objects = body.take_objects("occurrences")?;
    body.finish()?;
    if objects.is_empty() || objects.len() > MAX_BATCH {
        return Err(ApiError::invalid_argument(format!(
            "`occurrences` has {} entries, expected 1 to {MAX_BATCH}",
            objects.len()
        )));
    }
    let mut entries = Vec::with_capacity(objects.len());
    for object in objects {
        entries.push((new_name(&call)?, read_occurrence_object(object)?));
    }
    let shown = store(app, &call, entries).await?;
    Ok(Reply::json(json!({ "occurrences": shown })))
}

/// Stores all of them or none; gives them back as they are shown.
async fn store(
    app: &App,
    call: &Call,
    entries: Vec<(OccurrenceName, Occurrence)>,
) -> Result<Vec<serde_json::Value>, ApiError> {
    let rows = entries
        .iter()
        .map(|(name, occurrence)| row(name, occurrence, call.now))
        .collect::<Result<Vec<_>, _>>()?;
    let notes: BTreeSet<&NoteName> = entries.iter().map(|(_, occurrence)| &occurrence.note).collect();
    for name in &notes {
        call.require(app, "containeranalysis.notes.attachOccurrence", &name.to_string())
            .await?;
    }
    for name in &notes {
        if app.store.resource(Kind::Note, &name.to_string()).await?.is_none() {
            return Err(ApiError::not_found(format!(
                "note `{name}` was not found: create it before attaching attestations to it"
            )));
        }
    }
    let about: Vec<(String, Option<[u8; 32]>)> =
        rows.iter().map(|row| (row.note.clone(), row.digest)).collect();
    let require = notes.iter().map(|name| Change::Require {
        kind: Kind::Note,
        name: name.to_string(),
        expect: None,
    });
    let changes = rows
        .into_iter()
        .map(Change::InsertOccurrence)
        .chain(require)
        .collect();
    let entries: Arc<[(OccurrenceName, Occurrence)]> = entries.into();
    let facts = verification::look(app, &entries, call.now).await;
    if let Err(error) = call.commit_with(app, changes, facts).await {
        return Err(duplicate(app, call, error).await?);
    }
    about.iter().for_each(|(note, digest)| forget(app, note, *digest));
    Ok(entries
        .iter()
        .map(|(name, occurrence)| write_occurrence(&name.to_string(), occurrence, call.now, call.now))
        .collect())
}

/// Names the attestation that is there already by its id, as clients look for it; to whoever may see it.
async fn duplicate(app: &App, call: &Call, error: ApiError) -> Result<ApiError, ApiError> {
    let name = error
        .message()
        .strip_prefix('`')
        .and_then(|rest| rest.split('`').next())
        .filter(|name| name.starts_with("projects/"));
    let Some(name) = name.filter(|_| error.code() == binauthz_wire::status::Code::AlreadyExists) else {
        return Ok(error);
    };
    let is_shown = call
        .allows(app, "containeranalysis.occurrences.get", name)
        .await?;
    Ok(ApiError::already_exists(if is_shown {
        let id = name.rsplit('/').next().unwrap_or(name);
        format!("occurrence ID \"{id}\" already exists: `{name}` is the same attestation")
    } else {
        "the same attestation is in this project already".to_owned()
    }))
}

/// The next admission looks again.
fn forget(app: &App, note: &str, digest: Option<[u8; 32]>) {
    if let (Ok(note), Some(bytes)) = (note.parse::<NoteName>(), digest) {
        app.proofs.invalidate(&note, &Digest::from_bytes(bytes));
    }
}

async fn stored(app: &App, call: &Call) -> Result<OccurrenceRow, ApiError> {
    let name = OccurrenceName::new(call.project()?, call.param("occurrence").parse()?).to_string();
    app.store
        .occurrence(&name)
        .await?
        .ok_or_else(|| CommitError::NotFound { name }.into())
}

fn parsed(row: &OccurrenceRow) -> Result<Occurrence, ApiError> {
    Ok(read_occurrence(json::parse(
        row.document.as_bytes(),
        Limits::API,
    )?)?)
}

fn shown(row: &OccurrenceRow) -> Result<serde_json::Value, ApiError> {
    let occurrence = parsed(row)?;
    let (created, updated) = (
        UnixTime::from_micros(row.created),
        UnixTime::from_micros(row.updated),
    );
    Ok(write_occurrence(&row.name, &occurrence, created, updated))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::json(shown(&stored(app, &call).await?)?))
}

async fn note(app: &App, call: Call) -> Result<Reply, ApiError> {
    let row = stored(app, &call).await?;
    notes::show(app, &row.note.parse()?).await
}

/// What is said about an attestation may change. What was attested may not: whoever read it must find the same again.
async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    const IMMUTABLE: &str = "an attestation cannot be changed: delete the occurrence and create another";
    let mask = call.query.string("updateMask")?.unwrap_or_default().to_owned();
    let mut before = stored(app, &call).await?;
    if FieldMask::parse(&mask, &["remediation"]).map_or(true, |mask| mask.is_all()) {
        return Err(ApiError::invalid_argument(format!(
            "{IMMUTABLE}; `updateMask=remediation` is what can be updated"
        )));
    }
    let mut occurrence = parsed(&before)?;
    occurrence.remediation = read_remediation(call.take_body())?;
    let created = UnixTime::from_micros(before.created);
    let written = write_occurrence(&before.name, &occurrence, created, call.now);
    before.document = written.to_string();
    before.updated = call.now.as_micros();
    let (note, digest) = (before.note.clone(), before.digest);
    call.commit(app, vec![Change::ReplaceOccurrence(before)]).await?;
    forget(app, &note, digest);
    Ok(Reply::json(written))
}

/// Nothing but attestations is kept, so nothing is known of vulnerabilities; a filter is read all the same, because a
/// mistake in it must not look like a clean bill.
fn summary(call: &Call) -> Result<Reply, ApiError> {
    Filter::parse(call.query.string("filter")?.unwrap_or_default(), FIELDS)?;
    Ok(Reply::empty())
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let row = stored(app, &call).await?;
    let delete = Change::DeleteOccurrence {
        name: row.name.clone(),
    };
    call.commit(app, vec![delete, iam::clear(row.name)]).await?;
    forget(app, &row.note, row.digest);
    Ok(Reply::empty())
}

async fn of_project(app: &App, call: Call) -> Result<Reply, ApiError> {
    let scope = OccurrenceScope::Project(format!("projects/{}", call.project()?));
    list(app, call, scope, "project").await
}

async fn of_note(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = NoteName::new(call.project()?, call.param("note").parse()?);
    notes::stored(app, &name).await?;
    list(app, call, OccurrenceScope::Note(name.to_string()), "note").await
}

async fn list(app: &App, call: Call, scope: OccurrenceScope, what: &str) -> Result<Reply, ApiError> {
    let text = call.query.string("filter")?.unwrap_or_default().to_owned();
    let filter = Filter::parse(&text, FIELDS)?;
    let page = Page::of(&call, format!("{what} occurrences {scope:?} {text}"), 20, 1000)?;
    let wanted = filter.required_suffix("resourceUri").and_then(|suffix| {
        let (_, hexadecimal) = suffix.rsplit_once("sha256:")?;
        format!("sha256:{hexadecimal}").parse::<Digest>().ok()
    });
    let query = OccurrenceQuery {
        scope,
        digest: wanted.map(|digest| *digest.as_bytes()),
        after: page.after(),
        limit: page.scan(&filter),
    };
    let rows = app.store.list_occurrences(&query).await?;
    let wanted = |row: &OccurrenceRow| filter.matches(&|field| value(row, field));
    let (found, next) = page.filtered(rows, query.limit, |row| row.name.clone(), wanted);
    let items = found.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    Ok(Reply::json(listing::reply("occurrences", items, next)))
}

fn value(row: &OccurrenceRow, field: &str) -> String {
    let note = row.note.parse::<NoteName>();
    match field {
        "kind" => row.kind.clone(),
        "resourceUri" => row.resource_uri.clone(),
        "noteName" => row.note.clone(),
        "createTime" => json::timestamp_out(UnixTime::from_micros(row.created)),
        "updateTime" => json::timestamp_out(UnixTime::from_micros(row.updated)),
        "noteId" => note.map(|note| note.note().to_string()).unwrap_or_default(),
        _ => note.map(|note| note.project().to_string()).unwrap_or_default(),
    }
}
