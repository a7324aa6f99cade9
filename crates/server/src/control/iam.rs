//! IAM policies of resources: kept with their etags, shown, and audited. [`crate::access`] judges by them.

use binauthz_core::name::{AttestorName, CryptoKeyName, KeyRingName, NoteName, OccurrenceName};
use binauthz_store::{ABSENT, Change, CommitError, Kind, NewResource};
use binauthz_wire::iam::{
    Binding, read_get_request, read_policy, read_set_request, read_test_request, write_policy,
};
use binauthz_wire::json::{self, Limits};
use binauthz_wire::status::Code;
use serde_json::json;

use super::call::{self, Call, Reply};
use super::error::ApiError;
use super::etag;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::access::{CustomRole, Predefined, project_of_role};
use crate::app::App;

/// The kinds of resources that have an IAM policy.
#[derive(Clone, Copy)]
enum Target {
    Project,
    Policy,
    ContinuousValidationConfig,
    Attestor,
    Note,
    Occurrence,
    KeyRing,
    CryptoKey,
}

/// The addresses of one kind's IAM policies.
struct Guarded {
    target: Target,
    api: Api,
    versions: &'static [ApiVersion],
    /// Read with POST, as Container Analysis and Resource Manager do, or with GET.
    read_verb: Verb,
    /// Templates of get, set and test.
    templates: [&'static str; 3],
    /// Permissions of get and set.
    permissions: [&'static str; 2],
}

/// The three templates of a resource.
macro_rules! templates {
    ($resource:literal) => {
        [
            concat!("/{version}/projects/{project}", $resource, ":getIamPolicy"),
            concat!("/{version}/projects/{project}", $resource, ":setIamPolicy"),
            concat!("/{version}/projects/{project}", $resource, ":testIamPermissions"),
        ]
    };
}

/// The two permissions of a resource.
macro_rules! permissions {
    ($resource:literal) => {
        [
            concat!($resource, ".getIamPolicy"),
            concat!($resource, ".setIamPolicy"),
        ]
    };
}

const GUARDED: [Guarded; 8] = [
    Guarded {
        target: Target::Policy,
        api: Api::BinaryAuthorization,
        versions: ApiVersion::BINARY_AUTHORIZATION,
        read_verb: Verb::Get,
        templates: templates!("/policy"),
        permissions: permissions!("binaryauthorization.policy"),
    },
    Guarded {
        target: Target::ContinuousValidationConfig,
        api: Api::BinaryAuthorization,
        versions: ApiVersion::V1_ALPHA2_ONLY,
        read_verb: Verb::Get,
        templates: templates!("/continuousValidationConfig"),
        permissions: permissions!("binaryauthorization.continuousValidationConfig"),
    },
    Guarded {
        target: Target::Attestor,
        api: Api::BinaryAuthorization,
        versions: ApiVersion::BINARY_AUTHORIZATION,
        read_verb: Verb::Get,
        templates: templates!("/attestors/{attestor}"),
        permissions: permissions!("binaryauthorization.attestors"),
    },
    Guarded {
        target: Target::Note,
        api: Api::ContainerAnalysis,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Post,
        templates: templates!("/notes/{note}"),
        permissions: permissions!("containeranalysis.notes"),
    },
    Guarded {
        target: Target::Occurrence,
        api: Api::ContainerAnalysis,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Post,
        templates: templates!("/occurrences/{occurrence}"),
        permissions: permissions!("containeranalysis.occurrences"),
    },
    Guarded {
        target: Target::KeyRing,
        api: Api::CloudKms,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Get,
        templates: templates!("/locations/{location}/keyRings/{key_ring}"),
        permissions: permissions!("cloudkms.keyRings"),
    },
    Guarded {
        target: Target::CryptoKey,
        api: Api::CloudKms,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Get,
        templates: templates!("/locations/{location}/keyRings/{key_ring}/cryptoKeys/{crypto_key}"),
        permissions: permissions!("cloudkms.cryptoKeys"),
    },
    Guarded {
        target: Target::Project,
        api: Api::ResourceManager,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Post,
        templates: templates!(""),
        permissions: permissions!("resourcemanager.projects"),
    },
];

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for Guarded { api, versions, read_verb, templates: [get, set, test], permissions: [may_get, may_set], .. } in GUARDED {
        let row = |verb, template, name, permission, class, handler| Route {
            verb,
            template,
            versions,
            api,
            name,
            permission,
            class,
            handler,
        };
        routes.extend([
            row(read_verb, get, "GetIamPolicy", may_get, Class::Read, |app, call| Box::pin(read(app, call))),
            row(Verb::Post, set, "SetIamPolicy", may_set, Class::Write, |app, call| Box::pin(replace(app, call))),
            row(Verb::Post, test, "TestIamPermissions", may_get, Class::Read, |app, call| Box::pin(test_permissions(app, call))),
        ]);
    }
    routes
}

/// The resource of the path, and the change that fails if it is gone by the time of a commit. What a project has by
/// itself exists with the project, everything else must be stored.
async fn resource(app: &App, call: &Call) -> Result<(String, Option<Change>), ApiError> {
    let project = call.project()?;
    let target = GUARDED
        .iter()
        .find(|guarded| guarded.templates.contains(&call.template))
        .map(|guarded| guarded.target);
    let at = |name: &str| call.param(name);
    let ring = || {
        let (location, ring) = (at("location"), at("key_ring"));
        format!("projects/{project}/locations/{location}/keyRings/{ring}")
    };
    let (kind, name) = match target {
        Some(Target::Project) => return Ok((format!("projects/{project}"), None)),
        Some(Target::Policy) => return Ok((format!("projects/{project}/policy"), None)),
        Some(Target::ContinuousValidationConfig) => {
            return Ok((format!("projects/{project}/continuousValidationConfig"), None));
        }
        Some(Target::Attestor) => {
            let name = AttestorName::new(project, at("attestor").parse()?);
            (Kind::Attestor, name.to_string())
        }
        Some(Target::Note) => {
            let name = NoteName::new(project, at("note").parse()?);
            (Kind::Note, name.to_string())
        }
        Some(Target::Occurrence) => return occurrence(app, call).await,
        Some(Target::KeyRing) => (Kind::KeyRing, ring().parse::<KeyRingName>()?.to_string()),
        Some(Target::CryptoKey) => {
            let name = format!("{}/cryptoKeys/{}", ring(), at("crypto_key"));
            (Kind::CryptoKey, name.parse::<CryptoKeyName>()?.to_string())
        }
        None => return Err(ApiError::internal(&call.request_id)),
    };
    if app.store.resource(kind, &name).await?.is_none() {
        return Err(CommitError::NotFound { name }.into());
    }
    let require = Change::Require {
        kind,
        name: name.clone(),
        expect: None,
    };
    Ok((name, Some(require)))
}

async fn occurrence(app: &App, call: &Call) -> Result<(String, Option<Change>), ApiError> {
    let name = OccurrenceName::new(call.project()?, call.param("occurrence").parse()?).to_string();
    match app.store.occurrence(&name).await? {
        Some(row) => Ok((row.name, None)),
        None => Err(CommitError::NotFound { name }.into()),
    }
}

/// What goes with the deletion of a resource: another one of the same name later must not inherit its policy.
pub(super) fn clear(name: String) -> Change {
    Change::Clear {
        kind: Kind::IamPolicy,
        name,
    }
}

async fn stored(app: &App, name: &str) -> Result<(Vec<Binding>, i64), ApiError> {
    match app.store.resource(Kind::IamPolicy, name).await? {
        None => Ok((Vec::new(), ABSENT)),
        Some(row) => {
            let policy = read_policy(json::parse(row.document.as_bytes(), Limits::API)?)?;
            Ok((policy.bindings, row.revision))
        }
    }
}

async fn read(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    read_get_request(call.take_body())?;
    let (name, _) = resource(app, &call).await?;
    let (bindings, revision) = stored(app, &name).await?;
    Ok(Reply::json(write_policy(&bindings, &etag::bytes(revision))))
}

async fn replace(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let (name, require) = resource(app, &call).await?;
    let request = read_set_request(call.take_body())?;
    for (index, binding) in request.bindings.iter().enumerate() {
        known_role(app, &name, index, binding).await?;
    }
    let expect = etag::expected_bytes(request.etag.as_deref(), &name)?;
    let document = write_policy(&request.bindings, &[]).to_string();
    let parent = format!("projects/{}", call.project()?);
    let resource = NewResource {
        kind: Kind::IamPolicy,
        name,
        parent,
        document,
    };
    let changes = std::iter::once(Change::Put { resource, expect })
        .chain(require)
        .collect();
    let committed = call.commit(app, changes).await?;
    Ok(Reply::json(write_policy(
        &request.bindings,
        &etag::bytes(committed.revision),
    )))
}

/// A role that is not there gives nothing, which is not what somebody wants who binds it.
async fn known_role(app: &App, name: &str, index: usize, binding: &Binding) -> Result<(), ApiError> {
    let role = &binding.role;
    if Predefined::named(role).is_some() || CustomRole::find(app, name, role).await?.is_some() {
        return Ok(());
    }
    let hint = match project_of_role(role) {
        Some(_) => "does not exist in the project of this resource",
        None => "does not exist: see `GET /v1/roles`",
    };
    Err(ApiError::invalid_argument(format!(
        "`policy.bindings[{index}].role`: the role `{role}` {hint}"
    )))
}

/// Those of the permissions asked about that the caller has; none of what is not there.
async fn test_permissions(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let asked = read_test_request(call.take_body())?;
    let is_there = match call::require_project(app, &call.project()?).await {
        Ok(()) => resource(app, &call).await.map(|(name, _)| Some(name)),
        Err(error) => Err(error),
    };
    let name = match is_there {
        Ok(name) => name,
        Err(error) if error.code() == Code::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut granted = Vec::new();
    if let Some(name) = name {
        for permission in asked {
            if call.allows(app, &permission, &name).await? {
                granted.push(permission);
            }
        }
    }
    Ok(Reply::json(if granted.is_empty() {
        json!({})
    } else {
        json!({ "permissions": granted })
    }))
}
