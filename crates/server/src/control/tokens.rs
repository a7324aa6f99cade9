//! API tokens: made, listed, revoked. The token itself is in the answer of its creation and nowhere else.

use binauthz_core::time::UnixTime;
use binauthz_store::{Change, TokenRow};
use binauthz_wire::json::{self, Object, timestamp_out};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;
use crate::auth::{Role, Token, is_plain_id};

/// The longest description.
const MAX_DESCRIPTION: usize = 256;

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
    let Grant {
        role,
        description,
        expires,
    } = Grant::take(&mut body, call.now)?;
    body.finish()?;
    let token =
        Token::generate().map_err(|_| ApiError::unavailable("the system gave no random bytes; try again"))?;
    let row = TokenRow {
        principal: format!("token:{id}"),
        id,
        hash: token.hash(),
        document: json!({ "role": role.as_str(), "description": description }).to_string(),
        created: call.now.as_micros(),
        expires,
        revoked: None,
    };
    call.commit(app, vec![Change::InsertToken(row.clone())]).await?;
    let mut answer = describe(&row)?;
    answer.insert("token".to_owned(), token.reveal().into());
    Ok(Reply::json(answer.into()))
}

/// What a token or a credential is good for.
pub(super) struct Grant {
    pub(super) role: Role,
    pub(super) description: String,
    /// In microseconds.
    pub(super) expires: Option<i64>,
}

impl Grant {
    /// Takes `role`, `ttl` and `description` of a body.
    pub(super) fn take(body: &mut Object, now: UnixTime) -> Result<Grant, ApiError> {
        let role = body.take_optional_string("role")?;
        let life = body.take_optional_duration("ttl")?;
        let description = body.take_optional_string("description")?.unwrap_or_default();
        let role = match role.as_deref() {
            None => Role::Admin,
            Some(name) => Role::from_name(name).ok_or_else(|| {
                ApiError::invalid_argument(format!("`role` is `{name}`, expected `admin` or `viewer`"))
            })?,
        };
        if description.chars().count() > MAX_DESCRIPTION {
            return Err(ApiError::invalid_argument(format!(
                "`description` is longer than {MAX_DESCRIPTION} characters"
            )));
        }
        Ok(Grant {
            role,
            description,
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
    let document = json::parse(row.document.as_bytes(), json::Limits::API)?;
    let text = |name: &str| {
        document
            .member(name)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let mut answer = serde_json::Map::new();
    answer.insert("name".to_owned(), format!("tokens/{}", row.id).into());
    answer.insert("principal".to_owned(), row.principal.clone().into());
    answer.insert("role".to_owned(), text("role").into());
    if !text("description").is_empty() {
        answer.insert("description".to_owned(), text("description").into());
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
