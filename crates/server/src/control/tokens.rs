//! API tokens: made, listed, revoked. The token itself is in the answer of its creation and nowhere else.

use binauthz_core::name::ProjectId;
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, TokenRow};
use binauthz_wire::json::{Object, timestamp_out};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::access::is_pattern;
use crate::app::App;
use crate::auth::{Grant, MAX_PERSON, Role, Scope, Token, bootstrap, is_person, is_plain_id};
use crate::files;

/// The longest description.
const MAX_DESCRIPTION: usize = 256;

/// Projects or permissions of one token: each is looked at with each call.
const MAX_SCOPE: usize = 50;

/// The longest life a token may be given: ten years. One without an end is asked for by leaving `ttl` out.
const MAX_SECONDS: u64 = 10 * 366 * 24 * 3600;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let versions = ApiVersion::V1_ONLY;
    vec![
        Route {
            verb: Verb::Post,
            template: "/binauthz/v1/tokens",
            versions,
            api: Api::Binauthz,
            name: "CreateToken",
            permission: "binauthz.tokens.create",
            class: Class::Write,
            handler: |app, call| Box::pin(create(app, call)),
        },
        // What a viewer's token could read here are the names of the others.
        Route {
            verb: Verb::Get,
            template: "/binauthz/v1/tokens",
            versions,
            api: Api::Binauthz,
            name: "ListTokens",
            permission: "binauthz.tokens.list",
            class: Class::Read,
            handler: |app, call| Box::pin(list(app, call)),
        },
        Route {
            verb: Verb::Delete,
            template: "/binauthz/v1/tokens/{token}",
            versions,
            api: Api::Binauthz,
            name: "RevokeToken",
            permission: "binauthz.tokens.revoke",
            class: Class::Write,
            handler: |app, call| Box::pin(revoke(app, call)),
        },
    ]
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let id = token_id(call.query_string("tokenId")?)?;
    let mut body = call.body_object()?;
    let principal = principal(&mut body)?.unwrap_or_else(|| Grant::own_principal(&id));
    let scope = scope(&mut body)?;
    let Wanted { grant, expires } = Wanted::take(&mut body, call.now)?;
    body.finish()?;
    let is_first = bootstrap::is_bootstrap(&call.caller);
    if is_first && !(grant.role == Role::Admin && scope.is_unbounded()) {
        return Err(ApiError::invalid_argument(
            "the first token must be an administrator's, or nobody is one: `role` must be `admin`, without `projects` and `permissions`",
        ));
    }
    if !is_first && !call.caller.is_administrator() {
        return Err(ApiError::permission_denied(
            "a token with a scope makes no tokens: they could do what it may not",
        ));
    }
    let token =
        Token::generate().map_err(|_| ApiError::unavailable("the system gave no random bytes; try again"))?;
    let row = TokenRow {
        principal,
        id,
        hash: token.hash(),
        document: Grant { scope, ..grant }.to_document(),
        created: call.now.as_micros(),
        expires,
        revoked: None,
    };
    let mut changes = vec![Change::InsertToken(row.clone())];
    changes.extend(is_first.then(bootstrap::spend));
    call.commit(app, changes).await?;
    if is_first && let Err(error) = files::use_up_admin_token(&app.settings.data_dir) {
        tracing::warn!(%error, "the token that was used up is still in its file; it opens nothing");
    }
    let mut answer = describe(&row)?;
    answer.insert("token".to_owned(), token.reveal().into());
    Ok(Reply::json(answer.into()))
}

/// Whom the token stands for: a person or an account that IAM policies name.
fn principal(body: &mut Object) -> Result<Option<String>, ApiError> {
    let Some(text) = body.take_optional_string("principal")? else {
        return Ok(None);
    };
    if !is_person(&text) {
        return Err(body
            .refused(
                "principal",
                format_args!("must be of the form `user:NAME@HOST` or `serviceAccount:NAME@HOST`, of at most {MAX_PERSON} characters"),
            )
            .into());
    }
    Ok(Some(text))
}

/// The bounds of a token: `projects` and `permissions`.
fn scope(body: &mut Object) -> Result<Scope, ApiError> {
    let projects = body.take_strings("projects")?;
    let permissions = body.take_strings("permissions")?;
    for (name, list) in [("projects", &projects), ("permissions", &permissions)] {
        if list.len() > MAX_SCOPE {
            return Err(body
                .refused(name, format_args!("has more than {MAX_SCOPE} entries"))
                .into());
        }
    }
    for project in &projects {
        project.parse::<ProjectId>()?;
    }
    if let Some(unknown) = permissions.iter().find(|pattern| !is_pattern(pattern)) {
        let shown: String = unknown.chars().take(80).collect();
        return Err(body
            .refused(
                "permissions",
                format_args!("has `{shown}`, which matches no permission, expected one such as `cloudkms.cryptoKeyVersions.useToSign` or `binaryauthorization.attestors.*`"),
            )
            .into());
    }
    let bound = |list: Vec<String>| (!list.is_empty()).then_some(list);
    Ok(Scope {
        projects: bound(projects),
        permissions: bound(permissions),
    })
}

/// What somebody wants a token or a credential to be good for, and how long.
pub(super) struct Wanted {
    pub(super) grant: Grant,
    /// In microseconds.
    pub(super) expires: Option<i64>,
}

impl Wanted {
    /// Takes `role`, `ttl` and `description` of a body.
    pub(super) fn take(body: &mut Object, now: UnixTime) -> Result<Wanted, ApiError> {
        let role = body.take_optional_string("role")?;
        let life = body.take_optional_duration("ttl")?;
        let description = body.take_optional_string("description")?.unwrap_or_default();
        let role = match role.as_deref() {
            None => Role::Member,
            Some(name) => Role::from_name(name).ok_or_else(|| {
                ApiError::invalid_argument(format!(
                    "`role` is `{name}`, expected `admin`, `viewer` or `member`"
                ))
            })?,
        };
        if description.chars().count() > MAX_DESCRIPTION {
            return Err(ApiError::invalid_argument(format!(
                "`description` is longer than {MAX_DESCRIPTION} characters"
            )));
        }
        Ok(Wanted {
            grant: Grant {
                role,
                scope: Scope::default(),
                description,
            },
            expires: life.map(|life| expiry(now, life.as_secs())).transpose()?,
        })
    }
}

fn expiry(now: UnixTime, seconds: u64) -> Result<i64, ApiError> {
    if seconds == 0 || seconds > MAX_SECONDS {
        return Err(ApiError::invalid_argument(format!(
            "`ttl` is `{seconds}s`, expected `1s` to `{MAX_SECONDS}s` (ten years); leave it out for a token without an end"
        )));
    }
    let micros = i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    Ok(now.as_micros().saturating_add(micros))
}

async fn list(app: &App, _call: Call) -> Result<Reply, ApiError> {
    let rows = app.store.list_tokens().await?;
    let tokens = rows
        .iter()
        .map(|row| describe(row).map(Into::into))
        .collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Reply::json(super::listing::reply("tokens", tokens, None)))
}

async fn revoke(app: &App, call: Call) -> Result<Reply, ApiError> {
    let id = token_id(call.param("token"))?;
    call.commit(app, vec![Change::RevokeToken { id }]).await?;
    Ok(Reply::empty())
}

fn token_id(text: &str) -> Result<String, ApiError> {
    plain_id("a token id", text)
}

/// An id as [`is_plain_id`] wants it.
pub(super) fn plain_id(what: &str, text: &str) -> Result<String, ApiError> {
    if is_plain_id(text) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(80).collect();
    Err(ApiError::invalid_argument(format!(
        "`{shown}` is not {what}, expected 1 to 63 lower-case letters, digits or `-`"
    )))
}

fn describe(row: &TokenRow) -> Result<serde_json::Map<String, serde_json::Value>, ApiError> {
    let grant = Grant::from_document(&row.document).ok_or_else(|| {
        ApiError::failed_precondition(format!("the token `{}` is not in a known format", row.id))
    })?;
    let mut answer = serde_json::Map::new();
    answer.insert("name".to_owned(), format!("tokens/{}", row.id).into());
    answer.insert("principal".to_owned(), row.principal.clone().into());
    answer.insert("role".to_owned(), grant.role.as_str().into());
    if !grant.description.is_empty() {
        answer.insert("description".to_owned(), grant.description.into());
    }
    let lists = [
        ("projects", grant.scope.projects),
        ("permissions", grant.scope.permissions),
    ];
    for (name, list) in lists {
        if let Some(list) = list {
            answer.insert(name.to_owned(), list.into());
        }
    }
    let times = [
        ("createTime", Some(row.created)),
        ("expireTime", row.expires),
        ("revokeTime", row.revoked),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            answer.insert(name.to_owned(), timestamp_out(UnixTime::from_micros(time)).into());
        }
    }
    Ok(answer)
}
