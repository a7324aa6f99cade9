//! IAM policies of resources: kept with their etags, shown, and audited. What a caller may do follows from its token's
//! role; bindings name members that cannot sign in here yet.

use binauthz_core::name::{AttestorName, CryptoKeyName, KeyRingName, NoteName, OccurrenceName};
use binauthz_store::{ABSENT, Change, Kind, NewResource};
use binauthz_wire::iam::{Binding, read_policy, read_set_request, read_test_request, write_policy};
use binauthz_wire::json::{self, Limits};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::etag;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::app::App;

/// A kind of resource with an IAM policy.
struct Guarded {
    api: Api,
    versions: &'static [ApiVersion],
    /// Read with POST, as Container Analysis and Resource Manager do, or with GET.
    read_verb: Verb,
    /// Templates of get, set and test.
    templates: [&'static str; 3],
    /// Permissions of get and set.
    permissions: [&'static str; 2],
}

const GUARDED: [Guarded; 7] = [
    Guarded {
        api: Api::BinaryAuthorization,
        versions: ApiVersion::BINARY_AUTHORIZATION,
        read_verb: Verb::Get,
        templates: [
            "/{version}/projects/{project}/policy:getIamPolicy",
            "/{version}/projects/{project}/policy:setIamPolicy",
            "/{version}/projects/{project}/policy:testIamPermissions",
        ],
        permissions: [
            "binaryauthorization.policy.getIamPolicy",
            "binaryauthorization.policy.setIamPolicy",
        ],
    },
    Guarded {
        api: Api::BinaryAuthorization,
        versions: ApiVersion::BINARY_AUTHORIZATION,
        read_verb: Verb::Get,
        templates: [
            "/{version}/projects/{project}/attestors/{attestor}:getIamPolicy",
            "/{version}/projects/{project}/attestors/{attestor}:setIamPolicy",
            "/{version}/projects/{project}/attestors/{attestor}:testIamPermissions",
        ],
        permissions: [
            "binaryauthorization.attestors.getIamPolicy",
            "binaryauthorization.attestors.setIamPolicy",
        ],
    },
    Guarded {
        api: Api::ContainerAnalysis,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Post,
        templates: [
            "/{version}/projects/{project}/notes/{note}:getIamPolicy",
            "/{version}/projects/{project}/notes/{note}:setIamPolicy",
            "/{version}/projects/{project}/notes/{note}:testIamPermissions",
        ],
        permissions: [
            "containeranalysis.notes.getIamPolicy",
            "containeranalysis.notes.setIamPolicy",
        ],
    },
    Guarded {
        api: Api::ContainerAnalysis,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Post,
        templates: [
            "/{version}/projects/{project}/occurrences/{occurrence}:getIamPolicy",
            "/{version}/projects/{project}/occurrences/{occurrence}:setIamPolicy",
            "/{version}/projects/{project}/occurrences/{occurrence}:testIamPermissions",
        ],
        permissions: [
            "containeranalysis.occurrences.getIamPolicy",
            "containeranalysis.occurrences.setIamPolicy",
        ],
    },
    Guarded {
        api: Api::CloudKms,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Get,
        templates: [
            "/{version}/projects/{project}/locations/{location}/keyRings/{key_ring}:getIamPolicy",
            "/{version}/projects/{project}/locations/{location}/keyRings/{key_ring}:setIamPolicy",
            "/{version}/projects/{project}/locations/{location}/keyRings/{key_ring}:testIamPermissions",
        ],
        permissions: ["cloudkms.keyRings.getIamPolicy", "cloudkms.keyRings.setIamPolicy"],
    },
    Guarded {
        api: Api::CloudKms,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Get,
        templates: [
            "/{version}/projects/{project}/locations/{location}/keyRings/{key_ring}/cryptoKeys/{crypto_key}:getIamPolicy",
            "/{version}/projects/{project}/locations/{location}/keyRings/{key_ring}/cryptoKeys/{crypto_key}:setIamPolicy",
            "/{version}/projects/{project}/locations/{location}/keyRings/{key_ring}/cryptoKeys/{crypto_key}:testIamPermissions",
        ],
        permissions: [
            "cloudkms.cryptoKeys.getIamPolicy",
            "cloudkms.cryptoKeys.setIamPolicy",
        ],
    },
    Guarded {
        api: Api::ResourceManager,
        versions: ApiVersion::V1_ONLY,
        read_verb: Verb::Post,
        templates: [
            "/{version}/projects/{project}:getIamPolicy",
            "/{version}/projects/{project}:setIamPolicy",
            "/{version}/projects/{project}:testIamPermissions",
        ],
        permissions: [
            "resourcemanager.projects.getIamPolicy",
            "resourcemanager.projects.setIamPolicy",
        ],
    },
];

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for Guarded { api, versions, read_verb, templates: [get, set, test], permissions: [may_get, may_set] } in GUARDED {
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
            row(Verb::Post, test, "TestIamPermissions", may_get, Class::Read, |_, call| Box::pin(async { test_permissions(call) })),
        ]);
    }
    routes
}

/// The resource of the path; a policy of a project exists with the project, everything else must be stored.
async fn resource(app: &App, call: &Call) -> Result<String, ApiError> {
    let project = call.project()?;
    let at = |name: &str| call.param(name);
    let ring = || {
        format!(
            "projects/{project}/locations/{}/keyRings/{}",
            at("location"),
            at("key_ring")
        )
    };
    let missing = |name: &str| ApiError::not_found(format!("`{name}` was not found"));
    let (kind, name) = if !at("attestor").is_empty() {
        (
            Kind::Attestor,
            AttestorName::new(project, at("attestor").parse()?).to_string(),
        )
    } else if !at("note").is_empty() {
        (
            Kind::Note,
            NoteName::new(project, at("note").parse()?).to_string(),
        )
    } else if !at("occurrence").is_empty() {
        let name = OccurrenceName::new(project, at("occurrence").parse()?).to_string();
        return app
            .store
            .occurrence(&name)
            .await?
            .map(|row| row.name)
            .ok_or_else(|| missing(&name));
    } else if !at("crypto_key").is_empty() {
        let name: CryptoKeyName = format!("{}/cryptoKeys/{}", ring(), at("crypto_key")).parse()?;
        (Kind::CryptoKey, name.to_string())
    } else if !at("key_ring").is_empty() {
        (Kind::KeyRing, ring().parse::<KeyRingName>()?.to_string())
    } else if call.is_policy() {
        return Ok(format!("projects/{project}/policy"));
    } else {
        return Ok(format!("projects/{project}"));
    };
    app.store
        .resource(kind, &name)
        .await?
        .map(|row| row.name)
        .ok_or_else(|| missing(&name))
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

async fn read(app: &App, call: Call) -> Result<Reply, ApiError> {
    let name = resource(app, &call).await?;
    let (bindings, revision) = stored(app, &name).await?;
    Ok(Reply::json(write_policy(&bindings, &etag::bytes(revision))))
}

async fn replace(app: &App, mut call: Call) -> Result<Reply, ApiError> {
    let name = resource(app, &call).await?;
    let request = read_set_request(call.take_body())?;
    let expect = etag::expected_bytes(request.etag.as_deref(), &name)?;
    let document = write_policy(&request.bindings, &[]).to_string();
    let parent = format!("projects/{}", call.project()?);
    let resource = NewResource {
        kind: Kind::IamPolicy,
        name,
        parent,
        document,
    };
    let committed = call.commit(app, vec![Change::Put { resource, expect }]).await?;
    Ok(Reply::json(write_policy(
        &request.bindings,
        &etag::bytes(committed.revision),
    )))
}

/// Those of the permissions asked about that the caller's role includes.
fn test_permissions(mut call: Call) -> Result<Reply, ApiError> {
    let asked = read_test_request(call.take_body())?;
    let reading = |permission: &str| {
        let verb = permission.rsplit('.').next().unwrap_or_default();
        verb.starts_with("get") || verb.starts_with("list") || verb.starts_with("view")
    };
    let granted: Vec<String> = asked
        .into_iter()
        .filter(|permission| {
            call.caller.may(if reading(permission) {
                Class::Read
            } else {
                Class::Write
            })
        })
        .collect();
    Ok(Reply::json(if granted.is_empty() {
        json!({})
    } else {
        json!({ "permissions": granted })
    }))
}
