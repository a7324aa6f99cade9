//! Binary Authorization's attestors, and the validation of one attestation.

mod shared_keys;

use binauthz_core::attestation::{Attestation, verify};
use binauthz_core::attestor::Attestor;
use binauthz_core::image::PinnedImage;
use binauthz_core::name::{AttestorName, OccurrenceName};
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, ListQuery, NewResource, Resource};
use binauthz_wire::binaryauthorization::{
    AttestorRequest, NoteView, Stamp, ValidateRequest, read_attestor, read_validate_request, write_attestor,
    write_validate_response,
};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use super::{etag, iam, occurrences, projects};
use crate::app::App;
use crate::documents::{attestor_from, policy_from};

/// Policies looked through before an attestor is deleted.
const MAX_POLICIES: u32 = 5_000;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::BINARY_AUTHORIZATION,
        api: Api::BinaryAuthorization,
        name,
        permission,
        class,
        handler,
    };
    const ALL: &str = "/{version}/projects/{project}/attestors";
    const ONE: &str = "/{version}/projects/{project}/attestors/{attestor}";
    const VALIDATE: &str = "/{version}/projects/{project}/attestors/{attestor}:validateAttestationOccurrence";
    vec![
        row(Verb::Post, ALL, "CreateAttestor", "binaryauthorization.attestors.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, ALL, "ListAttestors", "binaryauthorization.attestors.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, ONE, "GetAttestor", "binaryauthorization.attestors.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Put, ONE, "UpdateAttestor", "binaryauthorization.attestors.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Delete, ONE, "DeleteAttestor", "binaryauthorization.attestors.delete", Class::Write, |app, call| Box::pin(delete(app, call))),
        row(Verb::Post, VALIDATE, "ValidateAttestationOccurrence", "binaryauthorization.attestors.verifyImageAttested", Class::Read, |app, call| Box::pin(validate(app, call))),
    ]
}

fn view(call: &Call) -> NoteView {
    if call.version == ApiVersion::V1 {
        NoteView::Grafeas
    } else {
        NoteView::Drydock
    }
}

fn name_of(call: &Call) -> Result<AttestorName, ApiError> {
    Ok(AttestorName::new(
        call.project()?,
        call.param("attestor").parse()?,
    ))
}

/// The account that reads the note on the attestor's behalf; part of Google's form, nobody's credential here.
fn service_account(name: &AttestorName) -> String {
    format!(
        "service-{}@gcp-sa-binaryauthorization.iam.gserviceaccount.com",
        projects::number(name.project())
    )
}

fn shown(call: &Call, name: &AttestorName, request: &AttestorRequest, stamp: &Stamp) -> Reply {
    Reply::json(write_attestor(
        &name.to_string(),
        request,
        view(call),
        &service_account(name),
        stamp,
    ))
}

fn document(name: &AttestorName, request: &AttestorRequest) -> String {
    write_attestor(
        &name.to_string(),
        request,
        NoteView::Grafeas,
        "",
        &Stamp::default(),
    )
    .to_string()
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = AttestorName::new(call.project()?, call.query_string("attestorId")?.parse()?);
    let request = read_attestor(call.take_body(), view(&call))?;
    check(&name, &request)?;
    let note = request.note.to_string();
    may_trust(app, &call, &note).await?;
    if app.store.resource(Kind::Note, &note).await?.is_none() {
        return Err(ApiError::not_found(format!(
            "`{note}` was not found: create the note first, with `binauthz notes create` or a POST to `/v1/projects/{}/notes?noteId={}`",
            request.note.project(),
            request.note.note()
        )));
    }
    let turn = app.attestor_writes.take(&app.store).await?;
    shared_keys::check(app, &call, &name, &[], &request.keys).await?;
    let parent = format!("projects/{}", name.project());
    let resource = NewResource {
        kind: Kind::Attestor,
        name: name.to_string(),
        parent,
        document: document(&name, &request),
    };
    let mut changes = vec![
        Change::Insert(resource),
        Change::Require {
            kind: Kind::Note,
            name: note,
            expect: None,
        },
    ];
    changes.extend(turn.mark());
    let committed = call.commit(app, changes).await?;
    app.snapshots.invalidate();
    let stamp = Stamp {
        updated: Some(call.now),
        etag: etag::of(committed.revision),
    };
    Ok(shown(&call, &name, &request, &stamp))
}

/// Through an attestor, what is attached to its note can be asked about: by those only who may read it, or who keep the note.
async fn may_trust(app: &App, call: &Call, note: &str) -> Result<(), ApiError> {
    if call.allows(app, "containeranalysis.notes.update", note).await? {
        return Ok(());
    }
    call.require(app, "containeranalysis.notes.listOccurrences", note)
        .await
}

/// What the judge will refuse is refused now.
fn check(name: &AttestorName, request: &AttestorRequest) -> Result<(), ApiError> {
    Attestor::new(name.clone(), request.note.clone(), request.keys.clone(), 0)
        .map(|_| ())
        .map_err(|why| ApiError::invalid_argument(why.to_string()))
}

async fn stored(app: &App, name: &AttestorName) -> Result<(Resource, AttestorRequest, Attestor), ApiError> {
    let row = app.store.resource(Kind::Attestor, &name.to_string()).await?;
    let row = row.ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))?;
    let (request, attestor) = attestor_from(name, &row).map_err(ApiError::failed_precondition)?;
    Ok((row, request, attestor))
}

fn stamp(row: &Resource) -> Stamp {
    Stamp {
        updated: Some(UnixTime::from_micros(row.updated)),
        etag: etag::of(row.revision),
    }
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let (row, request, _) = stored(app, &name).await?;
    Ok(shown(&call, &name, &request, &stamp(&row)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let parent = format!("projects/{}", call.project()?);
    let page = Page::of(&call, format!("{parent}/attestors"), 100, 1000)?;
    let (rows, next) = listing::resources(app, &page, Kind::Attestor, &parent).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let name: AttestorName = row.name.parse()?;
        let (request, _) = attestor_from(&name, &row).map_err(ApiError::failed_precondition)?;
        items.push(write_attestor(
            &row.name,
            &request,
            view(&call),
            &service_account(&name),
            &stamp(&row),
        ));
    }
    Ok(Reply::json(listing::reply("attestors", items, next)))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let mut request = read_attestor(call.take_body(), view(&call))?;
    check(&name, &request)?;
    let (row, before, _) = stored(app, &name).await?;
    request.match_identity = request.match_identity.or(before.match_identity);
    if before.note != request.note {
        return Err(ApiError::invalid_argument(format!(
            "`{}.noteReference` cannot be changed: it is `{}`",
            view(&call).field(),
            before.note
        )));
    }
    request.keys = shared_keys::with_what_is_known(request.keys, &before.keys);
    let turn = app.attestor_writes.take(&app.store).await?;
    shared_keys::check(app, &call, &name, &before.keys, &request.keys).await?;
    // Without an etag the caller takes whatever is there, but what was taken over from it must still be there.
    let expect = etag::expected(request.etag.as_deref(), &row.name)?.or(Some(row.revision));
    let mut changes = vec![Change::Replace {
        kind: Kind::Attestor,
        name: row.name,
        document: document(&name, &request),
        expect,
    }];
    changes.extend(turn.mark());
    let committed = call.commit(app, changes).await?;
    app.snapshots.invalidate();
    let stamp = Stamp {
        updated: Some(call.now),
        etag: etag::of(committed.revision),
    };
    Ok(shown(&call, &name, &request, &stamp))
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let query = ListQuery {
        kind: Kind::Policy,
        parent: String::new(),
        after: None,
        limit: MAX_POLICIES,
    };
    for row in app.store.list(&query).await? {
        let policy = policy_from(&row).map_err(ApiError::failed_precondition)?;
        if policy.attestors().any(|attestor| *attestor == name) {
            let read = ("binaryauthorization.policy.get", row.name.as_str());
            let policy = call.named(app, read, "the policy of another project").await?;
            return Err(ApiError::failed_precondition(format!(
                "`{name}` is required by {policy}: take it out of the policy first"
            )));
        }
    }
    let delete = Change::Delete {
        kind: Kind::Attestor,
        name: name.to_string(),
        expect: None,
    };
    call.commit(app, vec![delete, iam::clear(name.to_string())])
        .await?;
    app.snapshots.invalidate();
    Ok(Reply::empty())
}

/// Answers 200 in both cases: whether it counts is the answer, not an error.
async fn validate(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let request = read_validate_request(call.take_body())?;
    let (_, _, attestor) = stored(app, &name).await?;
    let denial = match occurrences::pinned("occurrenceResourceUri", &request.resource_uri) {
        Ok(image) => denial(&attestor, request, &image, call.now)?,
        Err(why) => Some(why),
    };
    Ok(Reply::json(write_validate_response(denial.as_deref())))
}

/// Why the attestation would not admit the image, asked the way an admission asks.
fn denial(
    attestor: &Attestor,
    request: ValidateRequest,
    image: &PinnedImage,
    now: UnixTime,
) -> Result<Option<String>, ApiError> {
    let name = attestor.name();
    let occurrence = OccurrenceName::new(name.project().clone(), "unstored".parse()?);
    let attestation =
        Attestation::claimed(occurrence, request.note, request.payload, request.signatures).received(now);
    let rejected = match verify(&attestation, attestor, now) {
        Ok(proof) => proof.shortfall(attestor, image, now),
        Err(why) => Some(why),
    };
    let digest = image.digest();
    Ok(rejected.map(|why| format!("the attestation of `{digest}` cannot be verified by `{name}`: {why}")))
}
