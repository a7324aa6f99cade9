//! Cloud KMS: key rings, signing keys, their versions, and the one use of a private key.

mod crypto_keys;
mod destruction;
mod key_rings;
mod key_versions;
mod signing;
mod version;

pub(crate) use destruction::destroy_as_scheduled;

use std::fmt::Display;

use binauthz_keyring::KeyAlgorithm;
use binauthz_store::{Kind, Resource};

use super::call::Call;
use super::error::ApiError;
use super::routes::{Api, ApiVersion, Class, Handler, Route, Verb};
use crate::app::App;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    [
        key_rings::routes(),
        crypto_keys::routes(),
        key_versions::routes(),
        vec![key_versions::import_route()],
        signing::routes(),
    ]
    .concat()
}

/// One row of this API: its method, its permission below `cloudkms.`, and who answers.
fn row(
    (verb, template): (Verb, &'static str),
    name: &'static str,
    permission: &'static str,
    class: Class,
    handler: Handler,
) -> Route {
    Route {
        verb,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::CloudKms,
        name,
        permission,
        class,
        handler,
    }
}

/// The row of a resource that must be there.
async fn stored(app: &App, kind: Kind, name: impl Display) -> Result<Resource, ApiError> {
    let name = name.to_string();
    let row = app.store.resource(kind, &name).await?;
    row.ok_or_else(|| ApiError::not_found(format!("`{name}` was not found")))
}

/// Lists are read whole: what narrows or orders them would be ignored, so it is refused.
fn refuse_filters(call: &Call) -> Result<(), ApiError> {
    for name in ["filter", "orderBy"] {
        if call.query.string(name)?.is_some() {
            let message =
                format!("query parameter `{name}` is not supported here, expected the list without it");
            return Err(ApiError::invalid_argument(message));
        }
    }
    Ok(())
}

/// The algorithm of a stored version.
pub(super) fn algorithm_of(row: &Resource) -> Result<KeyAlgorithm, ApiError> {
    Ok(version::Version::of(row.clone())?.algorithm)
}

/// A stored document that cannot be read was not written by this program.
fn damaged(name: &str, problem: &dyn Display) -> ApiError {
    tracing::error!(name, %problem, "a stored document cannot be read");
    ApiError::failed_precondition(format!(
        "the stored form of `{name}` cannot be read; the server's log says why"
    ))
}
