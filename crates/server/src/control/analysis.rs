//! Questions about IAM policies as a whole: who can do something, and who both signs and sets what must be signed.

use std::collections::{BTreeMap, BTreeSet};

use binauthz_core::name::{AttestorName, ProjectId};
use binauthz_store::{Kind, ListQuery, MAX_ROWS};
use serde_json::json;

use super::call::{Call, Reply};
use super::error::ApiError;
use super::listing;
use super::routes::{Api, ApiVersion, Class, Route, Verb};
use crate::access::{On, known, reads};
use crate::app::App;
use crate::auth::{Credential, Grant, Role};
use crate::documents::{attestor_from, policy_from};

/// What signs: with a key kept here, or by attaching what was signed elsewhere.
const SIGNING: [&str; 2] = [
    "cloudkms.cryptoKeyVersions.useToSign",
    "containeranalysis.notes.attachOccurrence",
];
/// What decides which signatures are needed.
const SETTING: [&str; 1] = ["binaryauthorization.policy.update"];

#[rustfmt::skip] // A table: one route a line.
pub(crate) fn routes() -> Vec<Route> {
    let row = |template, name, handler| Route {
        verb: Verb::Get,
        template,
        versions: ApiVersion::V1_ONLY,
        api: Api::Binauthz,
        name,
        permission: "binauthz.iam.analyze",
        class: Class::Read,
        handler,
    };
    vec![
        row("/binauthz/v1/projects/{project}/iam:whoCan", "ListWhoCan", |app, call| Box::pin(who_can(app, call))),
        row("/binauthz/v1/projects/{project}/iam:reportSeparation", "ReportSeparation", |app, call| Box::pin(separation(app, call))),
    ]
}

async fn who_can(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = format!("projects/{}", call.project()?);
    let asked = call.query_string("permission")?;
    let permission = known(asked).ok_or_else(|| {
        let shown: String = asked.chars().take(80).collect();
        ApiError::invalid_argument(format!(
            "query parameter `permission` is `{shown}`, which is no permission of resources, expected one such as `binaryauthorization.policy.update`"
        ))
    })?;
    let resource = call.query.string("resource")?.unwrap_or(&project);
    if On::Resource(resource).project() != On::Resource(&project).project() || resource.len() > 1_024 {
        return Err(ApiError::invalid_argument(format!(
            "query parameter `resource` must be `{project}` or the name of something in it"
        )));
    }
    let mut bindings = Vec::new();
    for place in On::Resource(resource).chain() {
        for grant in app.policies.of(app, place).await?.iter() {
            if !grant.role.includes(permission) {
                continue;
            }
            let mut members: Vec<&String> = grant.members.iter().collect();
            members.sort_unstable();
            for member in members {
                let mut binding = json!({ "member": member, "role": grant.role.name(), "resource": place });
                if let Some((text, condition)) = &grant.condition {
                    binding["condition"] = json!(text);
                    binding["holds"] = json!(condition.holds(call.now));
                }
                bindings.push(binding);
            }
        }
    }
    if call.caller.is_administrator() {
        bindings.extend(of_installation(app, &call, permission, resource).await?);
    }
    Ok(Reply::json(listing::reply("bindings", bindings, None)))
}

/// Tokens and credentials whose own role has the permission everywhere; for administrators to know.
async fn of_installation(
    app: &App,
    call: &Call,
    permission: &str,
    resource: &str,
) -> Result<Vec<serde_json::Value>, ApiError> {
    let can = |role| {
        let has = match role {
            Role::Admin => true,
            Role::Viewer => reads(permission),
            Role::Member => false,
        };
        has.then_some(role)
    };
    let shown = |member: String, role: Role| json!({ "member": member, "role": role.as_str(), "resource": "the installation" });
    let mut found = vec![shown("admin".to_owned(), Role::Admin)];
    for row in app.store.list_tokens().await? {
        let is_over = row.revoked.is_some() || row.expires.is_some_and(|end| end <= call.now.as_micros());
        let Some(grant) = Grant::from_document(&row.document).filter(|_| !is_over) else {
            continue;
        };
        if let Some(role) =
            can(grant.role).filter(|_| grant.scope.reaches(permission, On::Resource(resource)))
        {
            found.push(shown(Grant::own_principal(&row.id), role));
        }
    }
    for row in every(app, Kind::Credential, "credentials").await? {
        let id = row.name.strip_prefix("credentials/").unwrap_or(&row.name);
        let credential = Credential::from_document(id, &row.document);
        let credential = credential.filter(|credential| !credential.has_ended(call.now));
        if let Some(role) = credential.and_then(|credential| can(credential.role())) {
            found.push(shown(format!("credential:{id}"), role));
        }
    }
    Ok(found)
}

/// All resources of a kind under a parent.
async fn every(app: &App, kind: Kind, parent: &str) -> Result<Vec<binauthz_store::Resource>, ApiError> {
    let mut query = ListQuery {
        kind,
        parent: parent.to_owned(),
        after: None,
        limit: MAX_ROWS,
    };
    let mut all = Vec::new();
    loop {
        let rows = app.store.list(&query).await?;
        query.after = rows.last().map(|row| row.name.clone());
        all.extend(rows);
        if query.after.is_none() {
            return Ok(all);
        }
    }
}

/// Who has what, and by which roles where.
type Held = BTreeMap<String, BTreeSet<String>>;

/// Members of IAM policies who both sign and set the policy. Groups are compared by name, and a condition is taken to hold:
/// what may hold some day is no separation.
async fn separation(app: &App, call: Call) -> Result<Reply, ApiError> {
    let project = call.project()?;
    let (mut signing, mut setting) = (Held::new(), Held::new());
    for place in places_in(app, &project).await? {
        // A grant on an attestor or on the policy signs nothing, whatever its role has elsewhere.
        if place == format!("projects/{project}") || place.contains("/notes/") || place.contains("/keyRings/")
        {
            hold(app, &place, &SIGNING, &mut signing).await?;
        }
        if place == format!("projects/{project}") || place == format!("projects/{project}/policy") {
            hold(app, &place, &SETTING, &mut setting).await?;
        }
    }
    let Elsewhere { places, mut unseen } = places_elsewhere(app, &call, &project).await?;
    for place in places {
        if call.allows(app, may_see(&place), &place).await? {
            hold(app, &place, &SIGNING, &mut signing).await?;
        } else {
            unseen.insert(place);
        }
    }
    let conflicts = conflicts(&signing, &setting);
    Ok(Reply::json(json!({ "conflicts": conflicts, "unseen": unseen })))
}

/// Who is in both; whoever is given what everybody has is in it, too.
fn conflicts(signing: &Held, setting: &Held) -> Vec<serde_json::Value> {
    let by = |held: &Held, name: &String| {
        let everybody = ["allUsers", "allAuthenticatedUsers"];
        let found = held
            .get(name)
            .or_else(|| everybody.iter().find_map(|all| held.get(*all)));
        found.map(|by| by.iter().cloned().collect::<Vec<String>>())
    };
    let names: BTreeSet<&String> = signing.keys().chain(setting.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (signs, sets) = (by(signing, name)?, by(setting, name)?);
            Some(json!({ "member": name, "signsBy": signs, "setsPolicyBy": sets }))
        })
        .collect()
}

/// The permission that shows who has what on a resource.
fn may_see(place: &str) -> &'static str {
    match place.rsplit('/').nth(1) {
        Some("notes") => "containeranalysis.notes.getIamPolicy",
        Some("cryptoKeys") => "cloudkms.cryptoKeys.getIamPolicy",
        Some("keyRings") => "cloudkms.keyRings.getIamPolicy",
        _ => "resourcemanager.projects.getIamPolicy",
    }
}

async fn hold(app: &App, place: &str, permissions: &[&str], held: &mut Held) -> Result<(), ApiError> {
    for grant in app.policies.of(app, place).await?.iter() {
        for permission in permissions {
            if grant.role.includes(permission) {
                let by = format!("{} on {place}: {permission}", grant.role.name());
                for member in &grant.members {
                    held.entry(member.clone()).or_default().insert(by.clone());
                }
            }
        }
    }
    Ok(())
}

/// Everything in a project with an IAM policy.
async fn places_in(app: &App, project: &ProjectId) -> Result<Vec<String>, ApiError> {
    let rows = every(app, Kind::IamPolicy, &format!("projects/{project}")).await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// What signs for a policy and is in other projects.
#[derive(Default)]
struct Elsewhere {
    places: BTreeSet<String>,
    /// What would have to be read to know more, by names that the caller may read.
    unseen: BTreeSet<String>,
}

/// Notes and keys of the attestors that the policy of this project requires. An attestor says them to whoever may read it.
async fn places_elsewhere(app: &App, call: &Call, project: &ProjectId) -> Result<Elsewhere, ApiError> {
    let mut found = Elsewhere::default();
    let name = format!("projects/{project}/policy");
    if !call.allows(app, "binaryauthorization.policy.get", &name).await? {
        found.unseen.insert(name);
        return Ok(found);
    }
    let Some(row) = app.store.resource(Kind::Policy, &name).await? else {
        return Ok(found);
    };
    let policy = policy_from(&row).map_err(ApiError::failed_precondition)?;
    let attestors: BTreeSet<&AttestorName> = policy.attestors().collect();
    for name in attestors {
        // Before it is looked for: whether it is there is not told either.
        if !call
            .allows(app, "binaryauthorization.attestors.get", &name.to_string())
            .await?
        {
            found.unseen.insert(name.to_string());
            continue;
        }
        let Some(row) = app.store.resource(Kind::Attestor, &name.to_string()).await? else {
            continue;
        };
        let (request, _) = attestor_from(name, &row).map_err(ApiError::failed_precondition)?;
        let keys = request.keys.iter().filter_map(|key| {
            let (_, version) = key.id().split_once("projects/")?;
            let (key, _) = version.split_once("/cryptoKeyVersions/")?;
            Some(format!("projects/{key}"))
        });
        for place in keys.chain([request.note.to_string()]) {
            let chain = On::Resource(&place).chain();
            found.places.extend(chain.into_iter().map(str::to_owned));
        }
    }
    let own = format!("projects/{project}");
    found
        .places
        .retain(|place| *place != own && !place.starts_with(&format!("{own}/")));
    Ok(found)
}
