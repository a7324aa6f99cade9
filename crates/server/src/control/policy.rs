//! Binary Authorization's policies: the project's, and the system's.

use binauthz_core::name::LocationId;
use binauthz_core::policy::{GlobalEvaluation, Policy, SYSTEM_POLICY_VERSION, SystemPolicy};
use binauthz_core::time::UnixTime;
use binauthz_store::{Change, Kind, NewResource};
use binauthz_wire::binaryauthorization::{Stamp, read_policy, write_policy};

use super::call::{Call, Reply};
use super::error::ApiError;
use super::etag;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;
use crate::documents::policy_from;

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
    const POLICY: &str = "/{version}/projects/{project}/policy";
    const SYSTEM: &str = "/{version}/locations/{location}/policy";
    vec![
        row(Verb::Get, POLICY, "GetPolicy", "binaryauthorization.policy.get", Class::Read, |app, call| Box::pin(read(app, call))),
        row(Verb::Put, POLICY, "UpdatePolicy", "binaryauthorization.policy.update", Class::Write, |app, call| Box::pin(update(app, call))),
        row(Verb::Get, SYSTEM, "GetSystemPolicy", "binaryauthorization.policy.get", Class::Read, |_, call| Box::pin(async move { system(&call) })),
    ]
}

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = format!("projects/{}/policy", call.project()?);
    let Some(row) = app.store.resource(Kind::Policy, &name).await? else {
        return Ok(Reply::json(write_policy(
            &name,
            &Policy::google_default(),
            &Stamp::default(),
        )));
    };
    let policy = policy_from(&row).map_err(ApiError::failed_precondition)?;
    let stamp = Stamp {
        updated: Some(UnixTime::from_micros(row.updated)),
        etag: etag::of(row.revision),
    };
    Ok(Reply::json(write_policy(&name, &policy, &stamp)))
}

async fn update(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let name = format!("projects/{project}/policy");
    let request = read_policy(call.take_body())?;
    let mut changes = Vec::new();
    for attestor in request.policy.attestors() {
        let attestor = attestor.to_string();
        call.require(app, "binaryauthorization.attestors.get", &attestor)
            .await?;
        if app.store.resource(Kind::Attestor, &attestor).await?.is_none() {
            return Err(ApiError::invalid_argument(format!(
                "`requireAttestationsBy` names `{attestor}`, which does not exist: create it with `attestors create`"
            )));
        }
        changes.push(Change::Require {
            kind: Kind::Attestor,
            name: attestor,
            expect: None,
        });
    }
    let expect = etag::expected(request.etag.as_deref(), &name)?;
    let document = write_policy(&name, &request.policy, &Stamp::default()).to_string();
    let parent = format!("projects/{project}");
    let resource = NewResource {
        kind: Kind::Policy,
        name: name.clone(),
        parent,
        document,
    };
    changes.insert(0, Change::Put { resource, expect });
    let committed = call.commit(app, changes).await?;
    app.snapshots.invalidate();
    let stamp = Stamp {
        updated: Some(call.now),
        etag: etag::of(committed.revision),
    };
    Ok(Reply::json(write_policy(&name, &request.policy, &stamp)))
}

/// The same list everywhere: it is part of the program.
fn system(call: &Call) -> Result<Reply, ApiError> {
    let location: LocationId = call.param("location").parse()?;
    let policy = Policy {
        description: "Images that a cluster cannot start without; evaluated before a project's own policy."
            .to_owned(),
        global_evaluation: GlobalEvaluation::Disable,
        allowlist: SystemPolicy::shipped().patterns().clone(),
        ..Policy::google_default()
    };
    let stamp = Stamp {
        updated: None,
        etag: etag::of(i64::from(SYSTEM_POLICY_VERSION)),
    };
    Ok(Reply::json(write_policy(
        &format!("locations/{location}/policy"),
        &policy,
        &stamp,
    )))
}
