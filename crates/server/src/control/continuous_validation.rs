//! The continuous validation configuration of v1alpha2: kept and shown, and acted on by nobody.

use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, NewResource};
use binauthz_wire::binaryauthorization::{
    read_continuous_validation_config, write_continuous_validation_config,
};
use binauthz_wire::json::{self, Limits};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |verb, name, permission, class, handler| Route {
        verb,
        template: "/{version}/projects/{project}/continuousValidationConfig",
        versions: ApiVersion::V1_ALPHA2_ONLY,
        api: Api::BinaryAuthorization,
        name,
        permission,
        class,
        handler,
    };
    vec![
        row(Verb::Get, "GetContinuousValidationConfig", "binaryauthorization.continuousValidationConfig.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Put, "UpdateContinuousValidationConfig", "binaryauthorization.continuousValidationConfig.update", Class::Write, |app, call| Box::pin(update(app, call))),
    ]
}

fn name_of(call: &Call) -> Result<String, ApiError> {
    Ok(format!("projects/{}/continuousValidationConfig", call.project()?))
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let row = app
        .store
        .resource(Kind::ContinuousValidationConfig, &name)
        .await?;
    let (enabled, updated) = match row {
        Some(row) => {
            let document = json::parse(row.document.as_bytes(), Limits::API)?;
            let enabled = read_continuous_validation_config(document)?;
            (enabled, Some(UnixTime::from_micros(row.updated)))
        }
        None => (false, None),
    };
    Ok(Reply::json(write_continuous_validation_config(
        &name, enabled, updated,
    )))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = name_of(&call)?;
    let enabled = read_continuous_validation_config(call.take_body())?;
    let resource = NewResource {
        kind: Kind::ContinuousValidationConfig,
        name: name.clone(),
        parent: format!("projects/{}", call.project()?),
        document: write_continuous_validation_config(&name, enabled, None).to_string(),
    };
    let put = Change::Put {
        resource,
        expect: None,
    };
    call.commit(app, vec![put]).await?;
    Ok(Reply::json(write_continuous_validation_config(
        &name,
        enabled,
        Some(call.now),
    )))
}
