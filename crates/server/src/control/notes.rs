//! Container Analysis' notes.

use binauthz_core::name::NoteName;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, NewResource, Resource};
use binauthz_wire::containeranalysis::{Note, read_note, read_note_update, read_notes, write_note};
use binauthz_wire::filter::Filter;
use binauthz_wire::json::{self, Limits, timestamp_out};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::iam;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;

/// What a filter of notes may ask about.
const FIELDS: &[&str] = &[
    "kind",
    "createTime",
    "updateTime",
    "noteId",
    "name",
    "shortDescription",
];

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
    const ALL: &str = "/{version}/projects/{project}/notes";
    const ONE: &str = "/{version}/projects/{project}/notes/{note}";
    const BATCH: &str = "/{version}/projects/{project}/notes:batchCreate";
    vec![
        row(Verb::Post, BATCH, "BatchCreateNotes", "containeranalysis.notes.create", Class::Write, |app, call| Box::pin(batch(app, call))),
        row(Verb::Post, ALL, "CreateNote", "containeranalysis.notes.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, ALL, "ListNotes", "containeranalysis.notes.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, ONE, "GetNote", "containeranalysis.notes.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Patch, ONE, "UpdateNote", "containeranalysis.notes.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Delete, ONE, "DeleteNote", "containeranalysis.notes.delete", Class::Write, |app, call| Box::pin(delete(app, call))),
    ]
}

fn name_of(call: &Call) -> Result<NoteName, ApiError> {
    Ok(NoteName::new(call.project()?, call.param("note").parse()?))
}

fn document(name: &NoteName, note: &Note) -> String {
    let time = UnixTime::from_micros(0);
    write_note(&name.to_string(), note, time, time).to_string()
}

fn parsed(row: &Resource) -> Result<Note, ApiError> {
    Ok(read_note(json::parse(row.document.as_bytes(), Limits::API)?)?)
}

fn written(row: &Resource, note: &Note) -> serde_json::Value {
    let (created, updated) = (
        UnixTime::from_micros(row.created),
        UnixTime::from_micros(row.updated),
    );
    write_note(&row.name, note, created, updated)
}

pub(super) async fn stored(app: &App, name: &NoteName) -> Result<Resource, ApiError> {
    let row = app.store.resource(Kind::Note, &name.to_string()).await?;
    row.ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = NoteName::new(call.project()?, call.query_string("noteId")?.parse()?);
    let note = read_note(call.take_body())?;
    call.commit(app, vec![insert(&name, &note)]).await?;
    Ok(Reply::json(new(&call, &name, &note)))
}

/// All of the notes, or none and the reason.
async fn batch(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let (mut changes, mut shown) = (Vec::new(), Vec::new());
    for (id, note) in read_notes(call.take_body())? {
        let name = NoteName::new(project.clone(), id);
        changes.push(insert(&name, &note));
        shown.push(new(&call, &name, &note));
    }
    call.commit(app, changes).await?;
    Ok(Reply::json(json!({ "notes": shown })))
}

fn insert(name: &NoteName, note: &Note) -> Change {
    Change::Insert(NewResource {
        kind: Kind::Note,
        name: name.to_string(),
        parent: format!("projects/{}", name.project()),
        document: document(name, note),
    })
}

fn new(call: &Call, name: &NoteName, note: &Note) -> serde_json::Value {
    write_note(&name.to_string(), note, call.now, call.now)
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    show(app, &name_of(&call)?).await
}

/// The note of this name as an answer.
pub(super) async fn show(app: &App, name: &NoteName) -> Result<Reply, ApiError> {
    let row = stored(app, name).await?;
    Ok(Reply::json(written(&row, &parsed(&row)?)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let text = call.query.string("filter")?.unwrap_or_default();
    let filter = Filter::parse(text, FIELDS)?;
    let page = Page::of(&call, format!("{parent}/notes {text}"), 20, 1000)?;
    let query = ListQuery {
        kind: Kind::Note,
        parent,
        after: page.after(),
        limit: page.scan(&filter),
    };
    let rows = app.store.list(&query).await?;
    let mut notes = Vec::with_capacity(rows.len());
    for row in rows {
        let note = parsed(&row)?;
        notes.push((row, note));
    }
    let wanted = |(row, note): &(Resource, Note)| filter.matches(&|field| value(row, note, field));
    let (notes, next) = page.filtered(notes, query.limit, |(row, _)| row.name.clone(), wanted);
    let notes = notes.iter().map(|(row, note)| written(row, note)).collect();
    Ok(Reply::json(listing::reply("notes", notes, next)))
}

/// What a filter asks about.
fn value(row: &Resource, note: &Note, field: &str) -> String {
    match field {
        "kind" => "ATTESTATION".to_owned(),
        "name" => row.name.clone(),
        "createTime" => timestamp_out(UnixTime::from_micros(row.created)),
        "updateTime" => timestamp_out(UnixTime::from_micros(row.updated)),
        "shortDescription" => note.short_description.clone(),
        _ => row.name.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let mask = call.query.string("updateMask")?.unwrap_or_default().to_owned();
    let row = stored(app, &name).await?;
    let note = read_note_update(call.take_body(), &mask, parsed(&row)?)?;
    let document = document(&name, &note);
    let change = Change::Replace {
        kind: Kind::Note,
        name: row.name.clone(),
        document,
        expect: Some(row.revision),
    };
    call.commit(app, vec![change]).await?;
    Ok(Reply::json(write_note(
        &row.name,
        &note,
        UnixTime::from_micros(row.created),
        call.now,
    )))
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let reference = format!("\"noteReference\":\"{name}\"");
    let query = ListQuery {
        kind: Kind::Attestor,
        parent: String::new(),
        after: None,
        limit: 5_000,
    };
    if let Some(row) = app
        .store
        .list(&query)
        .await?
        .iter()
        .find(|row| row.document.contains(&reference))
    {
        let read = ("binaryauthorization.attestors.get", row.name.as_str());
        let attestor = call.named(app, read, "an attestor of another project").await?;
        return Err(ApiError::failed_precondition(format!(
            "`{name}` is the note of {attestor}: delete that first"
        )));
    }
    let delete = Change::Delete {
        kind: Kind::Note,
        name: name.to_string(),
        expect: None,
    };
    call.commit(app, vec![delete, iam::clear(name.to_string())])
        .await?;
    Ok(Reply::empty())
}
