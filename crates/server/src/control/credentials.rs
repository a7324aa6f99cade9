//! Credentials for Google's client libraries: public keys are registered, listed, deleted. The private half is made by
//! whoever asks and never comes here.

use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, NewResource, Resource};
use binauthz_wire::json::timestamp_out;
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing::{self, Page};
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use super::tokens::{Wanted, plain_id};
use crate::app::App;
use crate::auth::{Credential, TOKEN_URI};

/// What credentials are listed under.
const PARENT: &str = "credentials";

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let versions = ApiVersion::V1_ONLY;
    vec![
        Route {
            verb: Verb::Post,
            template: "/binauthz/v1/credentials",
            versions,
            api: Api::Binauthz,
            name: "CreateCredential",
            permission: "binauthz.credentials.create",
            class: Class::Write,
            handler: |app, call| Box::pin(create(app, call)),
        },
        Route {
            verb: Verb::Get,
            template: "/binauthz/v1/credentials",
            versions,
            api: Api::Binauthz,
            name: "ListCredentials",
            permission: "binauthz.credentials.list",
            class: Class::Read,
            handler: |app, call| Box::pin(list(app, call)),
        },
        Route {
            verb: Verb::Delete,
            template: "/binauthz/v1/credentials/{credential}",
            versions,
            api: Api::Binauthz,
            name: "DeleteCredential",
            permission: "binauthz.credentials.delete",
            class: Class::Write,
            handler: |app, call| Box::pin(delete(app, call)),
        },
    ]
}

async fn create(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    if !app.settings.googleapis {
        return Err(ApiError::failed_precondition(
            "credentials are used under Google's names, which this server does not answer for: start it with `--googleapis`",
        ));
    }
    let id = plain_id("a credential id", call.query_string("credentialId")?)?;
    let mut body = call.body_object()?;
    let Wanted { grant, expires } = Wanted::take(&mut body, call.now)?;
    let pem = body.take_string("publicKey")?;
    body.finish()?;
    if !call.caller.is_administrator() {
        return Err(ApiError::permission_denied(
            "a token with a scope makes no credentials: they could do what it may not",
        ));
    }
    let key = Credential::read_key(&pem).ok_or_else(|| {
        ApiError::invalid_argument(
            "`publicKey` cannot be used, expected one PEM `PUBLIC KEY`: RSA of 2048, 3072 or 4096 bits, or P-256",
        )
    })?;
    let expires = expires.map(UnixTime::from_micros);
    let credential = Credential::new(id, grant.role, key, expires).described(grant.description);
    let name = Credential::name_of(credential.id());
    let resource = NewResource {
        kind: Kind::Credential,
        name,
        parent: PARENT.to_owned(),
        document: credential.to_document(),
    };
    call.commit(app, vec![Change::Insert(resource)]).await?;
    Ok(Reply::json(describe(&credential, call.now)))
}

async fn list(app: &App, call: Call) -> Result<Reply, ApiError> {
    let page = Page::of(&call, PARENT.to_owned(), 100, 1_000)?;
    let (rows, next) = listing::resources(app, &page, Kind::Credential, PARENT).await?;
    let items = rows
        .iter()
        .map(|row| read(row).map(|credential| describe(&credential, UnixTime::from_micros(row.created))))
        .collect::<Result<Vec<_>, ApiError>>()?;
    Ok(Reply::json(listing::reply("credentials", items, next)))
}

fn read(row: &Resource) -> Result<Credential, ApiError> {
    let id = row.name.strip_prefix("credentials/").unwrap_or(&row.name);
    Credential::from_document(id, &row.document)
        .ok_or_else(|| ApiError::failed_precondition(format!("`{}` is not in a known format", row.name)))
}

async fn delete(app: &App, call: Call) -> Result<Reply, ApiError> {
    let id = plain_id("a credential id", call.param("credential"))?;
    let change = Change::Delete {
        kind: Kind::Credential,
        name: Credential::name_of(&id),
        expect: None,
    };
    call.commit(app, vec![change]).await?;
    Ok(Reply::empty())
}

/// With the members that Google's credential files have under other names.
fn describe(credential: &Credential, created: UnixTime) -> serde_json::Value {
    let mut answer = json!({
        "name": Credential::name_of(credential.id()),
        "principal": format!("credential:{}", credential.id()),
        "role": credential.role().as_str(),
        "createTime": timestamp_out(created),
        "clientEmail": credential.email(),
        "keyId": credential.key_id(),
        "tokenUri": TOKEN_URI,
    });
    if !credential.description().is_empty() {
        answer["description"] = json!(credential.description());
    }
    if let Some(expires) = credential.expires() {
        answer["expireTime"] = json!(timestamp_out(expires));
    }
    answer
}
