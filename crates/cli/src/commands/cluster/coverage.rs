//! `cluster coverage`: every kind that the API server serves and that can start an image, and whether the live webhook
//! is asked about it.

mod rules;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use binauthz_kubernetes::last_known_good::{LastKnownGood, policy_differences};
use binauthz_kubernetes::{Api, ApiError, Configuration, Guard, cluster_of};
use clap::Args;
use serde_json::{Value, json};

use self::rules::{Resource, Rules};
use self::schema::Schemas;
use crate::{
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// Group versions that are looked at; a cluster with every operator there is has some 200.
const GROUP_VERSIONS_MAX: usize = 1_000;
/// Fields of one kind that are shown in the table.
const FIELDS_SHOWN: usize = 3;
const COLUMNS: &str = "resource:label=RESOURCE,version:label=VERSION,kind:label=KIND,where:label=WHERE,\
                       coverage:label=COVERAGE,why:label=WHY";

/// Which cluster: what is served and what is registered in it are both asked of its API server.
#[derive(Debug, Args)]
pub struct Flags {
    /// Context of the kubeconfig; there is no default, so that it is never another cluster than was meant
    #[arg(long)]
    context: String,
    /// Kubeconfig file (else KUBECONFIG, else ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// A group in a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct GroupVersion {
    group: String,
    version: String,
}

/// A resource as discovery lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Served {
    /// With its subresource, such as `pods/ephemeralcontainers`.
    name: String,
    kind: String,
}

impl Flags {
    pub(super) async fn run(&self, settings: &Settings) -> Result<Exit, Failure> {
        let api = Api::of_context(self.kubeconfig.as_deref(), &self.context)?;
        let found = api.read(&Configuration::Validating.path()).await?;
        let served = served(&api).await?;
        let is_judged = match &found {
            Some(found) => is_judged_while_nobody_answers(&api, found).await?,
            None => false,
        };
        let rules = Rules::of(found.as_ref(), is_judged);
        let mut rows = Vec::new();
        for (at, resources) in &served {
            rows.extend(looked_at(&api, at, resources, (&rules, &served)).await?);
        }
        let uncovered = rows.iter().filter(|row| row["coverage"] != "covered").count();
        output::show_list(settings.format.as_ref(), &rows, COLUMNS)?;
        if found.is_none() {
            output::note("There is no ValidatingWebhookConfiguration `binauthz`: nothing is guarded.");
        }
        if uncovered == 0 {
            return Ok(Exit::Done);
        }
        output::note(&format!(
            "{uncovered} of {} kinds that can start images are not covered. Their Pods are, as long as they make Pods; \
             give those that are custom resources to `serve` and `cluster install` with --custom-resources.",
            rows.len()
        ));
        Ok(Exit::Refused)
    }
}

/// Whether there is the policy that judges what the shipped conditions of a webhook leave out.
async fn is_judged_while_nobody_answers(api: &Api, found: &Value) -> Result<bool, Failure> {
    let cluster = cluster_of(found).and_then(|name| name.parse().ok());
    let guard = cluster.and_then(|cluster| Guard::of(&cluster, Configuration::Validating, found));
    let Some((namespace, exempt)) = guard.and_then(|guard| Some((guard.last_known_good?, guard.exempt)))
    else {
        return Ok(false);
    };
    let shipped = LastKnownGood {
        namespace: &namespace,
        exempt: &exempt,
    };
    Ok(policy_differences(api, &shipped).await?.is_empty())
}

type AllServed = BTreeMap<GroupVersion, Vec<Served>>;

/// Every resource that can be written to.
async fn served(api: &Api) -> Result<AllServed, Failure> {
    let mut versions = vec![(
        GroupVersion {
            group: String::new(),
            version: "v1".to_owned(),
        },
        "/api/v1".to_owned(),
    )];
    let groups = asked(api, "/apis").await?;
    for group in array(&groups, "groups") {
        for version in array(group, "versions") {
            let (group, version) = (text(group, "name"), text(version, "version"));
            versions.push((
                GroupVersion {
                    group: group.to_owned(),
                    version: version.to_owned(),
                },
                format!("/apis/{group}/{version}"),
            ));
        }
    }
    if versions.len() > GROUP_VERSIONS_MAX {
        return Err(Failure::refused(format_args!(
            "the API server serves {} group versions, at most {GROUP_VERSIONS_MAX} are looked at",
            versions.len()
        )));
    }
    let mut all = AllServed::new();
    for (at, path) in versions {
        let list = asked(api, &path).await?;
        let resources = array(&list, "resources").filter(|resource| takes_images(resource));
        let resources: Vec<Served> = resources
            .map(|resource| Served {
                name: text(resource, "name").to_owned(),
                kind: text(resource, "kind").to_owned(),
            })
            .collect();
        if !resources.is_empty() {
            all.insert(at, resources);
        }
    }
    Ok(all)
}

/// Whether objects can be written through it. Through `status` nothing but a status is, and through `resize` nothing but
/// the resources of containers.
fn takes_images(resource: &Value) -> bool {
    let verbs = || array(resource, "verbs").filter_map(Value::as_str);
    let is_written = verbs().any(|verb| ["create", "update", "patch"].contains(&verb));
    let part = text(resource, "name").split_once('/').map(|(_, part)| part);
    is_written && !matches!(part, Some("status" | "resize"))
}

/// The rows of one group version.
async fn looked_at(
    api: &Api,
    at: &GroupVersion,
    resources: &[Served],
    (rules, all): (&Rules, &AllServed),
) -> Result<Vec<Value>, Failure> {
    let path = match at.group.as_str() {
        "" => format!("/openapi/v3/api/{}", at.version),
        group => format!("/openapi/v3/apis/{group}/{}", at.version),
    };
    let document = asked(api, &path).await?;
    let schemas = Schemas::of(&document);
    let mut rows = Vec::new();
    for Served { name, kind } in resources {
        let Some(fields) = schemas.fields_of(&at.group, &at.version, kind) else {
            continue;
        };
        let mut versions: BTreeSet<&str> = BTreeSet::new();
        for (other, resources) in all {
            if other.group == at.group && resources.iter().any(|resource| resource.name == *name) {
                versions.insert(&other.version);
            }
        }
        let resource = Resource {
            group: &at.group,
            version: &at.version,
            versions: &versions,
            name,
        };
        let gaps = rules.gaps(&resource);
        let shown = fields
            .iter()
            .take(FIELDS_SHOWN)
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        let more = match fields.len().saturating_sub(FIELDS_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let dot = if at.group.is_empty() { "" } else { "." };
        rows.push(json!({
            "resource": format!("{name}{dot}{}", at.group),
            "version": at.version,
            "kind": kind,
            "fields": fields,
            "where": format!("{shown}{more}"),
            "coverage": if gaps.is_empty() { "covered" } else { "NOT COVERED" },
            "why": gaps.join("; "),
        }));
    }
    Ok(rows)
}

async fn asked(api: &Api, path: &str) -> Result<Value, Failure> {
    match api.read(path).await {
        Ok(Some(found)) => Ok(found),
        // A path of OpenAPI that is not there is answered with a text.
        Ok(None) | Err(ApiError::NotKubernetes { code: 404, .. }) => Err(Failure::refused(format_args!(
            "the API server has no `{path}`"
        ))
        .advise("OpenAPI v3 is there since Kubernetes 1.24, and some seconds after a definition was added: try again")),
        Err(error) => Err(error.into()),
    }
}

fn array<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_bring_an_image_in_is_looked_at() {
        let resource = |name: &str, verbs: &[&str]| json!({"name": name, "kind": "Pod", "verbs": verbs});
        for (name, verbs, expected) in [
            ("pods", &["create", "get"][..], true),
            ("pods", &["update"], true),
            ("pods/ephemeralcontainers", &["get", "patch", "update"], true),
            ("pods/status", &["patch"], false),
            ("pods/resize", &["patch"], false),
            ("pods", &["get", "list", "watch"], false),
            ("pods", &[], false),
        ] {
            assert_eq!(takes_images(&resource(name, verbs)), expected, "{name} {verbs:?}");
        }
    }
}
