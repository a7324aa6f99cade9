//! Container Analysis' notes.

use binauthz_core::name::NoteName;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, NewResource, Resource};
use binauthz_wire::containeranalysis::{Note, read_note, write_note};
use binauthz_wire::json::{self, Limits};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;

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
    vec![
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

fn shown(row: &Resource) -> Result<serde_json::Value, ApiError> {
    let (created, updated) = (
        UnixTime::from_micros(row.created),
        UnixTime::from_micros(row.updated),
    );
    Ok(write_note(&row.name, &parsed(row)?, created, updated))
}

pub(super) async fn stored(app: &App, name: &NoteName) -> Result<Resource, ApiError> {
    let row = app.store.resource(Kind::Note, &name.to_string()).await?;
    row.ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = NoteName::new(call.project()?, call.query_string("noteId")?.parse()?);
    let note = read_note(call.take_body())?;
    let parent = format!("projects/{}", name.project());
    let document = document(&name, &note);
    let resource = NewResource {
        kind: Kind::Note,
        name: name.to_string(),
        parent,
        document,
    };
    call.commit(app, vec![Change::Insert(resource)]).await?;
    Ok(Reply::json(write_note(
        &name.to_string(),
        &note,
        call.now,
        call.now,
    )))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    show(app, &name_of(&call)?).await
}

/// The note of this name as an answer.
pub(super) async fn show(app: &App, name: &NoteName) -> Result<Reply, ApiError> {
    Ok(Reply::json(shown(&stored(app, name).await?)?))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    if call.query.string("filter")?.is_some() {
        return Err(ApiError::invalid_argument(
            "`filter` is not supported for notes: leave it out",
        ));
    }
    let parent = format!("projects/{}", call.project()?);
    let page = Page::of(&call, format!("{parent}/notes"), 20, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::Note, &parent).await?;
    let notes = rows.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    Ok(Reply::json(listing::reply("notes", notes, next)))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let mask = call.query.string("updateMask")?.map(str::to_owned);
    if mask.is_some_and(|mask| mask != "*") {
        return Err(ApiError::invalid_argument(
            "`updateMask` is not supported for notes: send the whole note without one",
        ));
    }
    let note = read_note(call.take_body())?;
    let row = stored(app, &name).await?;
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
        return Err(ApiError::failed_precondition(format!(
            "`{name}` is the note of `{}`: delete that first",
            row.name
        )));
    }
    call.commit(
        app,
        vec![Change::Delete {
            kind: Kind::Note,
            name: name.to_string(),
            expect: None,
        }],
    )
    .await?;
    Ok(Reply::empty())
}
