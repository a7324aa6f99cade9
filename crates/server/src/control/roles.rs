//! Roles: those of Google's names, and those that a project makes for itself.

use binauthz_core::name::ProjectId;
use binauthz_store::{Change, Kind, NewResource, Resource};
use binauthz_wire::field_mask::FieldMask;
use binauthz_wire::json::{Object, bytes_from, bytes_out};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::{ApiError, stale};
use super::etag;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::access::{CustomRole, PREDEFINED, Predefined, every_permission, known};
use crate::app::App;

/// Google's bounds: permissions of a role, and characters of its texts.
const MAX_PERMISSIONS: usize = 3_000;
const MAX_TITLE: usize = 100;
const MAX_DESCRIPTION: usize = 256;
const STAGES: [&str; 6] = ["ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP"];
const FIELDS: &[&str] = &["title", "description", "includedPermissions", "stage"];

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, template, name, permission, class, handler| Route {
        verb,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::Iam,
        name,
        permission,
        class,
        handler,
    };
    const ALL: &str = "/{version}/projects/{project}/roles";
    const ONE: &str = "/{version}/projects/{project}/roles/{role}";
    vec![
        row(Verb::Get, "/{version}/roles", "ListRoles", "iam.roles.list", Class::Read, |_, call| Box::pin(async move { predefined(&call) })),
        row(Verb::Get, "/{version}/roles/{role}", "GetRole", "iam.roles.get", Class::Read, |_, call| Box::pin(async move { read_predefined(&call) })),
        row(Verb::Post, "/{version}/permissions:queryTestablePermissions", "QueryTestablePermissions", "iam.roles.get", Class::Read, |_, call| Box::pin(async move { testable(call) })),
        row(Verb::Post, ALL, "CreateRole", "iam.roles.create", Class::Write, |app, call| Box::pin(create(app, call))),
        row(Verb::Get, ALL, "ListRoles", "iam.roles.list", Class::Read, |app, call| Box::pin(list(app, call))),
        row(Verb::Get, ONE, "GetRole", "iam.roles.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Patch, ONE, "UpdateRole", "iam.roles.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Delete, ONE, "DeleteRole", "iam.roles.delete", Class::Write, |app, call| Box::pin(delete(app, call))),
    ]
}

/// What a role of a project can have, whatever resource it is for: there are few enough for one page.
fn testable(mut call: Call) -> Result<Reply, ApiError> {
    let mut body = call.body_object()?;
    body.ignore("fullResourceName");
    body.ignore("pageSize");
    body.ignore("pageToken");
    body.finish()?;
    let shown = |name: &str| json!({ "name": name, "stage": "GA", "customRolesSupportLevel": "SUPPORTED" });
    let all: Vec<serde_json::Value> = every_permission().map(shown).collect();
    Ok(Reply::json(json!({ "permissions": all })))
}

/// What a list shows of a role; `view=FULL` shows what it may.
fn described(name: &str, role: &CustomRole, revision: i64, is_full: bool) -> serde_json::Value {
    let mut answer = json!({ "name": name, "title": role.title, "stage": role.stage });
    if !role.description.is_empty() {
        answer["description"] = json!(role.description);
    }
    if revision > 0 {
        answer["etag"] = json!(bytes_out(&etag::bytes(revision)));
    }
    if is_full && !role.included.is_empty() {
        answer["includedPermissions"] = json!(role.included);
    }
    answer
}

fn is_full(call: &Call) -> Result<bool, ApiError> {
    match call.query.string("view")? {
        None | Some("" | "BASIC") => Ok(false),
        Some("FULL") => Ok(true),
        Some(other) => Err(ApiError::invalid_argument(format!(
            "query parameter `view` is `{other}`, expected `BASIC` or `FULL`"
        ))),
    }
}

/// A role that is there by itself, in the same form.
fn as_custom(role: &Predefined) -> CustomRole {
    CustomRole {
        title: role.title.to_owned(),
        description: String::new(),
        included: role.permissions().map(str::to_owned).collect(),
        stage: "GA".to_owned(),
    }
}

fn predefined(call: &Call) -> Result<Reply, ApiError> {
    let is_full = is_full(call)?;
    let page = Page::of(call, "roles".to_owned(), 300, 1_000)?;
    let after = page.after().unwrap_or_default();
    let mut names: Vec<&Predefined> = PREDEFINED.iter().filter(|role| *role.name > *after).collect();
    names.sort_by_key(|role| role.name);
    let next = page.cut(&mut names, |role| role.name.to_owned());
    let shown = |role: &&Predefined| described(role.name, &as_custom(role), 0, is_full);
    Ok(Reply::json(listing::reply(
        "roles",
        names.iter().map(shown).collect(),
        next,
    )))
}

fn read_predefined(call: &Call) -> Result<Reply, ApiError> {
    let name = format!("roles/{}", call.param("role"));
    let role = Predefined::named(&name)
        .ok_or_else(|| ApiError::not_found(format!("the role `{name}` was not found: see `/v1/roles`")))?;
    Ok(Reply::json(described(role.name, &as_custom(role), 0, true)))
}

fn parent(project: &ProjectId) -> String {
    format!("projects/{project}")
}

fn name_of(call: &Call, id: &str) -> Result<String, ApiError> {
    let project = call.project()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if !(3..=64).contains(&id.len()) || !id.bytes().all(is_plain) {
        let shown: String = id.chars().take(80).collect();
        return Err(ApiError::invalid_argument(format!(
            "`{shown}` is not a role id, expected 3 to 64 letters, digits, `_` or `.`"
        )));
    }
    Ok(format!("{}/roles/{id}", parent(&project)))
}

/// Takes the fields of a role that the mask names.
fn take(mut body: Object, before: CustomRole, mask: &FieldMask) -> Result<CustomRole, ApiError> {
    let mut role = before;
    body.ignore("name");
    body.ignore("etag");
    let title = body.take_optional_string("title")?.unwrap_or_default();
    let description = body.take_optional_string("description")?.unwrap_or_default();
    let included = body.take_strings("includedPermissions")?;
    let stage = body
        .take_optional_string("stage")?
        .unwrap_or_else(|| "GA".to_owned());
    for (name, text, most) in [
        ("title", &title, MAX_TITLE),
        ("description", &description, MAX_DESCRIPTION),
    ] {
        if text.chars().count() > most {
            return Err(body
                .refused(name, format_args!("is longer than {most} characters"))
                .into());
        }
    }
    if !STAGES.contains(&stage.as_str()) {
        return Err(body
            .refused("stage", format_args!("must be one of `{}`", STAGES.join("`, `")))
            .into());
    }
    if included.len() > MAX_PERMISSIONS {
        return Err(body
            .refused(
                "includedPermissions",
                format_args!("has more than {MAX_PERMISSIONS} entries"),
            )
            .into());
    }
    if let Some(unknown) = included.iter().find(|name| known(name).is_none()) {
        let shown: String = unknown.chars().take(80).collect();
        return Err(body
            .refused(
                "includedPermissions",
                format_args!("has `{shown}`, which is no permission that a role of a project can have"),
            )
            .into());
    }
    body.finish()?;
    if mask.covers("title") {
        role.title = title;
    }
    if mask.covers("description") {
        role.description = description;
    }
    if mask.covers("includedPermissions") {
        role.included = included;
    }
    if mask.covers("stage") {
        role.stage = stage;
    }
    role.included.sort_unstable();
    role.included.dedup();
    Ok(role)
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let mut body = call.body_object()?;
    let id = body.take_string("roleId")?;
    let role = body.take_optional_object("role")?;
    body.finish()?;
    let name = name_of(&call, &id)?;
    let role = match role {
        Some(role) => take(role, CustomRole::default(), &FieldMask::parse("", FIELDS)?)?,
        None => CustomRole {
            stage: "GA".to_owned(),
            ..CustomRole::default()
        },
    };
    let resource = NewResource {
        kind: Kind::Role,
        name: name.clone(),
        parent: parent(&call.project()?),
        document: role.to_document(),
    };
    let committed = call.commit(app, vec![Change::Insert(resource)]).await?;
    Ok(Reply::json(described(&name, &role, committed.revision, true)))
}

async fn stored(app: &App, name: &str) -> Result<(Resource, CustomRole), ApiError> {
    let row = app.store.resource(Kind::Role, name).await?;
    let row = row.ok_or_else(|| ApiError::not_found(format!("the role `{name}` was not found")))?;
    let role = parsed(&row)?;
    Ok((row, role))
}

fn parsed(row: &Resource) -> Result<CustomRole, ApiError> {
    CustomRole::from_document(&row.document)
        .ok_or_else(|| ApiError::failed_precondition(format!("`{}` is not in a known format", row.name)))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let (row, role) = stored(app, &name_of(&call, call.param("role"))?).await?;
    Ok(Reply::json(described(&row.name, &role, row.revision, true)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let is_full = is_full(&call)?;
    let parent = parent(&call.project()?);
    let page = Page::of(&call, format!("{parent}/roles"), 300, 1_000)?;
    let (rows, next) = listing::resources(app, &page, Kind::Role, &parent).await?;
    let items = rows
        .iter()
        .map(|row| Ok(described(&row.name, &parsed(row)?, row.revision, is_full)))
        .collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Reply::json(listing::reply("roles", items, next)))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call, call.param("role"))?;
    let mask = FieldMask::parse(call.query.string("updateMask")?.unwrap_or_default(), FIELDS)?;
    let mut body = call.body_object()?;
    let etag = body.take_optional_bytes("etag")?;
    let (row, before) = stored(app, &name).await?;
    let role = take(body, before, &mask)?;
    let expect = etag::expected_bytes(etag.as_deref(), &name)?.or(Some(row.revision));
    let change = Change::Replace {
        kind: Kind::Role,
        name: name.clone(),
        document: role.to_document(),
        expect,
    };
    let committed = call.commit(app, vec![change]).await?;
    Ok(Reply::json(described(&name, &role, committed.revision, true)))
}

/// Bindings of a role that is gone give nothing.
async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call, call.param("role"))?;
    let (row, role) = stored(app, &name).await?;
    let expect = match call.query.string("etag")?.filter(|etag| !etag.is_empty()) {
        None => row.revision,
        Some(etag) => {
            let bytes = bytes_from(etag).ok_or_else(|| stale(&name))?;
            etag::expected_bytes(Some(&bytes), &name)?.ok_or_else(|| stale(&name))?
        }
    };
    let change = Change::Delete {
        kind: Kind::Role,
        name: name.clone(),
        expect: Some(expect),
    };
    call.commit(app, vec![change]).await?;
    let mut answer = described(&name, &role, 0, true);
    answer["deleted"] = json!(true);
    Ok(Reply::json(answer))
}
